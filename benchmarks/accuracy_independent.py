# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
Accuracy on scenes that share no code with this package's simulator.

    python benchmarks/accuracy_independent.py [--data FOLDER] [--scenarios ...]

Needs GalSim: ``pip install galsim``. FOLDER holds ``cr_stamps/*.npz`` with real cosmic
rays; without it straight tracks are drawn. Real stamps end at the mask they were cut
with (their faint skirts are missing) and carry noise of their own.
"""

import argparse

from _independent import SCENARIOS, independent_frames
from _options import add_options, print_table, start

from astro_deepcr.evaluation import compare


def main():
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[1])
    add_options(parser, methods=["acs-wfc", "astroscrappy-space"])
    parser.add_argument("--data", help="folder with cr_stamps")
    parser.add_argument("--scenarios", nargs="+", default=list(SCENARIOS))
    args = start(parser)
    scenarios = {
        name: independent_frames(name, args.frames or 4, data=args.data)
        for name in args.scenarios
    }
    table = compare(
        scenarios, args.methods, figures=args.figures, progress=args.progress
    )
    print_table(table)


if __name__ == "__main__":
    main()
