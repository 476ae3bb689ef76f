# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Options and output that the accuracy benchmarks share."""

import datetime
import importlib.metadata
import platform
import sys
from dataclasses import replace

import astro_deepcr
from astro_deepcr.evaluation import network_method

PACKAGES = ("astro_deepcr", "torch", "numpy", "astropy", "astroscrappy", "ccdproc")


def add_options(parser, methods):
    """Add the options that all accuracy benchmarks have."""
    parser.add_argument(
        "--methods",
        nargs="+",
        default=methods,
        help="names, and of weights 'NAME*8' for the mean over 8 orientations",
    )
    parser.add_argument("--precision", help="of the networks, such as float32")
    parser.add_argument("--frames", type=int, help="number of frames a scenario")
    parser.add_argument("--weights-dir", help="folder with the weights files")
    parser.add_argument("--figures", help="folder for the figures")
    parser.add_argument("--threads", type=int, default=1)


def start(parser):
    """Parse the arguments, apply them, and print what is being run."""
    args = parser.parse_args()
    if args.weights_dir:
        astro_deepcr.conf.weights_dir = args.weights_dir
    if args.precision:
        astro_deepcr.conf.precision = args.precision
    astro_deepcr.conf.num_threads = args.threads
    args.methods = [_in_orientations(name) for name in args.methods or ()]
    args.progress = lambda line: print(line, file=sys.stderr)
    versions = (f"{name} {importlib.metadata.version(name)}" for name in PACKAGES)
    print(datetime.datetime.now(datetime.UTC).date(), platform.machine())
    print(", ".join(versions))
    return args


def _in_orientations(name):
    """Return the method that a name with a star stands for."""
    weights, star, number = name.partition("*")
    if not star:
        return name
    method = network_method(weights, orientations=int(number))
    return replace(method, name=name)


def print_table(table, digits=None):
    """Print all rows, the columns in blocks that fit a page; digits as in '.3f'."""
    for column in table.itercols():
        if digits and column.dtype.kind == "f":
            column.info.format = digits
    keys = table.colnames[:2]
    rest = table.colnames[2:]
    for start_column in range(0, len(rest), 6):
        block = table[keys + rest[start_column : start_column + 6]]
        sys.stdout.write("\n".join(block.pformat(max_lines=-1, max_width=-1)) + "\n\n")
