# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
Filled pixels against the light below them, on simulated ACS/WFC frames.

    python benchmarks/accuracy_inpainting.py [--weights-dir DIR]

On the frames of accuracy_acs.py. Errors are in units of the
noise of a pixel; the pulls say whether the stated standard deviations are right.
"""

import argparse

from _options import add_options, print_table, start
from accuracy_acs import acs_fields

from astro_deepcr.evaluation import compare_inpainting


def main():
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[1])
    methods = ["median", "mean", "idw", "biharmonic", "network"]
    add_options(parser, methods=methods)
    args = start(parser)
    table = compare_inpainting(acs_fields(args.frames or 8), args.methods)
    for column in table.itercols():
        if column.dtype.kind == "f":
            column.info.format = ".3f"
    print_table(table)


if __name__ == "__main__":
    main()
