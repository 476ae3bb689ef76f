# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
Accuracy on real HST/STIS spectra with truth from repeat exposures.

    python benchmarks/accuracy_stis.py FOLDER [--weights-dir DIR] [--figures DIR]

FOLDER holds FITS files with the extensions SCI (raw, in DN) and MASK (bit 1 cosmic
ray, 2 ignore, 4 static hot pixel). The bias is the median of the leading overscan
columns. Two tables: with static hot pixels as pixels that must not be flagged, and
with static hot pixels ignored.
"""

import argparse
from dataclasses import replace
from functools import cache

import numpy as np
from _options import add_options, print_table, start

from astro_deepcr.evaluation import compare, find_fits, get_method, read_frame

OVERSCAN = 5  # leading columns, all overscan


def overscan_level(image):
    """Median of the leading columns."""
    return np.median(image[:, :OVERSCAN])


@cache
def read_stis(path):
    """Read a frame, once."""
    return read_frame(path, unit="adu", bias=overscan_level)


def scored_once(name):
    """Return a method that keeps its scores: both tables need the same."""
    method, scores = get_method(name), {}

    def score(frame):
        if frame.name not in scores:
            scores[frame.name] = method.score(frame)
        return scores[frame.name]

    return replace(method, score=score)


def stis_frames(paths, hot_counts):
    """Yield the frames; overscan, and hot pixels if they do not count, are ignored."""
    for path in paths:
        frame = read_stis(path)
        ignore = frame.ignore | (frame.pixels["hot"] & ~frame.truth & (not hot_counts))
        ignore[:, :OVERSCAN] = True
        yield replace(frame, ignore=ignore)


def main():
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[1])
    parser.add_argument("folder", help="folder of the STIS frames")
    methods = ["universal", "acs-wfc", "astroscrappy", "astroscrappy-space"]
    add_options(parser, methods=methods)
    args = start(parser)
    paths = find_fits(args.folder)[: args.frames]
    scenarios = {
        "STIS, hot pixels count": stis_frames(paths, hot_counts=True),
        "STIS, hot pixels ignored": stis_frames(paths, hot_counts=False),
    }
    methods = [scored_once(name) for name in args.methods]
    table = compare(scenarios, methods, figures=args.figures, progress=args.progress)
    print_table(table)


if __name__ == "__main__":
    main()
