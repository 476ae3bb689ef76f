# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
How many of the faint hit pixels, of 3 to 5 sigma, are found.

    python benchmarks/accuracy_faint.py --data FOLDER [--frames 4] [--side 512] ...

On the scenes of ``accuracy_independent.py``, which tells of FOLDER. Of each scene, one
threshold for all frames flags the share FPR of the pixels without a cosmic ray.
"""

import argparse

import numpy as np
from _independent import SCENARIOS, independent_frames
from _options import add_options, print_table, start
from astropy.table import Table

from astro_deepcr.evaluation import get_method

LIMITS = (3, 5)  # sigma


def found_share(method, frames, fpr):
    """Return the share of faint hit pixels that are found, and their number."""
    good, faint = [], []
    for frame in frames:
        score = method.score(frame)
        ratio = frame.charge / frame.sigma
        good.append(score[~frame.truth & ~frame.ignore])
        faint.append(score[frame.truth & (ratio >= LIMITS[0]) & (ratio < LIMITS[1])])
    good, faint = np.concatenate(good), np.concatenate(faint)
    limit = np.quantile(good, 1 - fpr, method="higher")
    return float(np.mean(faint > limit)), faint.size


def main():
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[1])
    add_options(parser, methods=["universal", "acs-wfc", "astroscrappy-space"])
    parser.add_argument("--data", help="folder of the cosmic-ray stamps")
    parser.add_argument("--side", type=int, default=512, help="pixels of a side")
    parser.add_argument("--fpr", type=float, default=1e-3)
    args = start(parser)
    rows = []
    for name in SCENARIOS:
        frames = independent_frames(
            name, args.frames or 4, data=args.data, side=args.side
        )
        frames, row = list(frames), {"scene": name, "pixels": 0}
        for method in args.methods:
            method = get_method(method)
            row[method.name], row["pixels"] = found_share(method, frames, args.fpr)
        rows.append(row)
        args.progress(name)
    print_table(Table(rows), ".3f")


if __name__ == "__main__":
    main()
