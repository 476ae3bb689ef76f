# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
Threshold for a wanted false-positive rate, for the official detection weights.

    python benchmarks/thresholds.py [--weights-dir DIR] [--frames 16] [--side 512]

Each set of weights is run on simulated frames of its own instrument: as many of a deep
field, a cluster, and a resolved galaxy (stars, galaxies and a deep field for DECam).
The first table holds one row for each kind of field, the last rows, "all", those of all
pixels: they are the ``operating_points`` of the registry.
"""

import argparse
from functools import partial

from _options import add_options, start
from _simulated import simulated_frames
from astropy.table import Table

from astro_deepcr.evaluation import PixelScores, get_method

FPRS = (1e-4, 5e-4, 1e-3, 5e-3, 1e-2)

HST_FIELDS = ("deep field", "cluster", "resolved galaxy")

# detector, environment, exposure times (s), sky (electrons per second), fields
INSTRUMENTS = {
    "acs-wfc": ("ACS/WFC", "low Earth orbit", (400, 1200), (0.05, 0.12), HST_FIELDS),
    "wfc3-uvis": (
        "WFC3/UVIS",
        "low Earth orbit",
        (400, 1200),
        (0.03, 0.1),
        HST_FIELDS,
    ),
    "decam": (
        "DECam",
        "mountain",
        (60, 300),
        (5, 60),
        ("deep field", "stars", "galaxy"),
    ),
}


def measure(methods, fields, frames_of):
    """Return field -> method -> scores, and the same for all fields together."""
    scores = {
        field: {m.name: PixelScores() for m in methods} for field in (*fields, "all")
    }
    for field in fields:
        for frame in frames_of(field):
            for method in methods:
                score = method.score(frame)
                for name in (field, "all"):
                    scores[name][method.name].add(score, frame.truth, frame.ignored)
    return scores


def rows(scores):
    """Yield one row for each field, method and false-positive rate."""
    for field, by_method in scores.items():
        for name, gathered in by_method.items():
            curve = gathered.curve()
            for fpr in FPRS:
                yield {
                    "field": field,
                    "weights": name,
                    "Mpix": (curve.n_positive + curve.n_negative) / 1e6,
                    "hit pixels": curve.n_positive,
                    "FPR": fpr,
                    "threshold": curve.threshold_at(fpr),
                    "TPR": curve.tpr_at(fpr),
                }


def main():
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[1])
    acs = [f"acs-wfc{s}" for s in ("", "-f435w", "-f606w", "-f814w", "-f606w-2-4")]
    add_options(parser, methods=[*acs, "wfc3-uvis", "decam"])
    parser.add_argument("--side", type=int, default=512)
    parser.add_argument("--seed", type=int, default=1)
    args = start(parser)
    for instrument, (*place, times, sky, fields) in INSTRUMENTS.items():
        names = [name for name in args.methods if name.startswith(instrument)]
        if not names:
            continue
        frames_of = partial(
            simulated_frames,
            detector=place[0],
            environment=place[1],
            exposure_times=times,
            sky_rate=sky,
            n=args.frames or 16,
            side=args.side,
            seed=args.seed,
        )
        methods = [get_method(name) for name in names]
        table = Table(list(rows(measure(methods, fields, frames_of))))
        for name, digits in (("threshold", 7), ("TPR", 4), ("Mpix", 1)):
            table[name].info.format = f".{digits}f"
        print("\n".join(table.pformat(max_lines=-1, max_width=-1)), flush=True)


if __name__ == "__main__":
    main()
