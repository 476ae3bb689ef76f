# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
How well pixels near a frame's edge are scored: the network's padding, or reflection.

    python benchmarks/frame_edges.py [--weights-dir DIR] [--frames 8]

Average precision of the weights ACS-WFC at several distances from the edge: as in this
package (the network pads each layer with zeros, as it was trained), and with the
frame reflected, the outermost pixel repeated or not.
"""

import argparse
from functools import partial

import numpy as np
from _options import add_options, start
from _simulated import simulated_frames

from astro_deepcr import cosmicray_probability
from astro_deepcr.evaluation import PixelScores

RINGS = ((0, 2), (2, 4), (4, 8), (8, 16), (16, 256))
MARGIN = 16


def reflected(image, mode):
    """Return the probability of an image that is reflected at its edges."""
    probability = cosmicray_probability(np.pad(image, MARGIN, mode=mode), "acs-wfc")
    return probability[MARGIN:-MARGIN, MARGIN:-MARGIN]


WAYS = {
    "network's padding": partial(cosmicray_probability, weights="acs-wfc"),
    "edge repeated": partial(reflected, mode="symmetric"),
    "edge not repeated": partial(reflected, mode="reflect"),
}


def distance_to_edge(shape):
    """Return the distance of each pixel to the nearest edge, 0 at the edge."""
    y, x = np.indices(shape)
    return np.minimum.reduce([y, x, shape[0] - 1 - y, shape[1] - 1 - x])


def main():
    """Print one row for each field and distance."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[1])
    add_options(parser, methods=[])
    args = start(parser)
    print(f"{'field':12} {'pixels':>8}" + "".join(f"{way:>20}" for way in WAYS))
    for field in ("deep field", "cluster"):
        gathered = {(way, ring): PixelScores() for way in WAYS for ring in RINGS}
        for frame in simulated_frames(
            field,
            "ACS/WFC",
            "low Earth orbit",
            (400, 1200),
            (0.05, 0.12),
            n=args.frames or 8,
            side=512,
            seed=2,
        ):
            distance = distance_to_edge(frame.truth.shape)
            for way, score in WAYS.items():
                scored = score(frame.ccd.data)
                for low, high in RINGS:
                    outside = (distance < low) | (distance >= high)
                    gathered[way, (low, high)].add(
                        scored, frame.truth, frame.ignored | outside
                    )
        for ring in RINGS:
            values = [gathered[way, ring].curve().average_precision for way in WAYS]
            label = f"{ring[0]}-{ring[1]}"
            print(f"{field:12} {label:>8}" + "".join(f"{v:20.4f}" for v in values))


if __name__ == "__main__":
    main()
