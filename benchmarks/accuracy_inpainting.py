# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
Filled pixels against the light below them, with the true mask.

    python benchmarks/accuracy_inpainting.py [--scenes independent --data FOLDER] ...

On the simulated ACS/WFC frames of accuracy_acs.py, or on the scenes of
accuracy_independent.py, which share no code with this package's simulator. Errors are
in units of the noise of a pixel; the pulls say whether the stated standard deviations
are right.
"""

import argparse

from _independent import SCENARIOS, independent_frames
from _options import add_options, print_table, start
from accuracy_acs import acs_fields

from astro_deepcr.evaluation import compare_inpainting


def main():
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[1])
    methods = ["network", "median", "mean", "idw", "biharmonic"]
    add_options(parser, methods=methods)
    parser.add_argument("--scenes", choices=["acs", "independent"], default="acs")
    parser.add_argument("--data", help="folder of the cosmic-ray stamps")
    parser.add_argument("--side", type=int, default=512, help="of independent scenes")
    args = start(parser)
    if args.scenes == "acs":
        scenarios = acs_fields(args.frames or 8)
    else:
        options = {"data": args.data, "side": args.side}
        scenarios = {
            name: independent_frames(name, args.frames or 4, **options)
            for name in SCENARIOS
        }
    table = compare_inpainting(scenarios, args.methods)
    for column in table.itercols():
        if column.dtype.kind == "f":
            column.info.format = ".3f"
    print_table(table)


if __name__ == "__main__":
    main()
