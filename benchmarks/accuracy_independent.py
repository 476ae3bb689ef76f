# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
Accuracy on scenes that share no code with this package's simulator.

    python benchmarks/accuracy_independent.py [--data FOLDER] [--mosaic FILE] ...

Needs GalSim, which this package does not depend on: ``pip install galsim``. FOLDER
holds ``hst_stis_cr.npz`` (for scenes in space and spectra) and
``lsst_itl_2017_cr.npz`` (for the ground), real cosmic rays in electrons; without it
straight tracks are drawn. Real stamps end at the mask they were cut with (their faint
skirts are missing) and carry noise of their own.
"""

import argparse
from dataclasses import replace

from _independent import SCENARIOS, independent_frames, save_mosaic
from _options import add_options, print_table, start

from astro_deepcr.evaluation import compare, get_method


def main():
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[1])
    add_options(parser, methods=["universal", "acs-wfc", "astroscrappy-space"])
    parser.add_argument("--data", help="folder of the cosmic-ray stamps")
    parser.add_argument(
        "--scenarios",
        nargs="+",
        default=list(SCENARIOS),
        choices=list(SCENARIOS),
        metavar="NAME",
        help=f"which of {', '.join(SCENARIOS)}; all by default",
    )
    parser.add_argument("--side", type=int, default=512, help="pixels of a side")
    parser.add_argument("--threshold", type=float, help="of weights, not their own")
    parser.add_argument("--mosaic", help="save a figure of all scenes there, and end")
    args = start(parser)
    options = {"data": args.data, "side": args.side}
    if args.mosaic:
        save_mosaic(args.mosaic, args.scenarios, **options)
        return
    scenarios = {
        name: independent_frames(name, args.frames or 4, **options)
        for name in args.scenarios
    }
    if args.threshold:
        methods = [get_method(method) for method in args.methods]
        args.methods = [
            replace(m, threshold=args.threshold) if m.is_probability else m
            for m in methods
        ]
    table = compare(
        scenarios, args.methods, figures=args.figures, progress=args.progress
    )
    print_table(table)


if __name__ == "__main__":
    main()
