# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
Peak memory and time of an evaluation, with scores that are all different.

    python benchmarks/memory_evaluation.py [--side 4096] [--frames 1]

The network or peer is not part of it: the score is made of random numbers. The peak
is that of the whole process, with the frame, its truth and all imports.
"""

import argparse
import resource
import time

import numpy as np
from astropy.nddata import CCDData

from astro_deepcr.evaluation import LabelledFrame, Method, compare


def random_frame(side, rng):
    """A frame of noise with 1-pixel events in 0.5 % and tracks in about 2 %."""
    truth = rng.random((side, side), np.float32) < 0.005
    for shift in range(1, 5):
        truth[:, shift:] |= truth[:, :-shift] & (rng.random() < 0.8)
    image = rng.normal(100, 10, truth.shape).astype(np.float32)
    image[truth] += 500
    return LabelledFrame(CCDData(image, unit="electron"), truth, charge=500.0 * truth)


def main():
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[1])
    parser.add_argument("--side", type=int, default=4096)
    parser.add_argument("--frames", type=int, default=1)
    args = parser.parse_args()
    rng = np.random.default_rng(0)

    def score(frame):
        noise = rng.random(frame.truth.shape, np.float32)
        return np.where(frame.truth, noise ** np.float32(0.1), noise**20)

    frames = (random_frame(args.side, rng) for _ in range(args.frames))
    start = time.perf_counter()
    table = compare({"random": frames}, [Method("random", score)])
    seconds = time.perf_counter() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024**2
    print(table["n_pixels", "cr_fraction", "ap", "tpr@0.001", "completeness", "purity"])
    print(
        f"{args.frames * args.side**2 / 1e6:.1f} Mpix: {seconds:.1f} s, {peak:.2f} GiB"
    )


if __name__ == "__main__":
    main()
