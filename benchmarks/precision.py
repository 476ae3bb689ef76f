# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
How many pixels bfloat16 and int8 flag otherwise than float32, on the CPU.

    python benchmarks/precision.py [--methods universal acs-wfc] [--data FOLDER]

On the scenes of accuracy_independent.py. Printed is the share of all pixels that are
flagged in one precision only, at the weights' own threshold.
"""

import argparse

import numpy as np
from _independent import SCENARIOS, independent_frames
from _options import add_options, print_table, start
from astropy.table import Table

from astro_deepcr import conf, cosmicray_probability
from astro_deepcr.devices import cpu_has_int8
from astro_deepcr.weights import get_weights


def flagged(frame, weights, precision):
    """Return the mask of a frame, computed in some precision."""
    with conf.set_temp("precision", precision):
        probability = cosmicray_probability(
            frame.ccd, weights, gain=frame.gain, device="cpu"
        )
    return probability > weights.threshold


def main():
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[1])
    add_options(parser, methods=["universal"])
    parser.add_argument("--data", help="folder of the cosmic-ray stamps")
    parser.add_argument("--side", type=int, default=384, help="pixels of a side")
    args = start(parser)
    rows = []
    for scene in SCENARIOS:
        frames = independent_frames(
            scene, args.frames or 2, data=args.data, side=args.side
        )
        frames = list(frames)
        for name in args.methods:
            weights = get_weights(name)
            exact = [flagged(frame, weights, "float32") for frame in frames]
            row = {"scene": scene, "weights": name, "flagged": np.mean(exact)}
            for precision in ("bfloat16", "int8") if cpu_has_int8() else ("bfloat16",):
                short = [flagged(frame, weights, precision) for frame in frames]
                row[precision] = np.mean(np.not_equal(exact, short))
            rows.append(row)
    print_table(Table(rows), ".1e")


if __name__ == "__main__":
    main()
