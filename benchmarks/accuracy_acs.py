# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
deepCR's ACS/WFC weights against L.A.Cosmic, on simulated ACS/WFC frames.

    python benchmarks/accuracy_acs.py [--weights-dir DIR] [--figures DIR]

The comparison of Zhang & Bloom (2020, doi:10.3847/1538-4357/ab3fa6), on simulations
instead of labels from repeat exposures: an extragalactic field, a globular cluster, and
a resolved galaxy, each by itself; low Earth orbit, exposures of 400 to 1200 s, sky as
in F606W. L.A.Cosmic is astroscrappy at 16 values of sigclip, with its default settings
and with sepmed=False, objlim=5.
"""

import argparse

from _options import add_options, print_table, start
from _simulated import simulated_frames

from astro_deepcr.evaluation import compare

FIELDS = {
    "extragalactic": "deep field",
    "globular cluster": "cluster",
    "resolved galaxy": "resolved galaxy",
}


def acs_fields(n, side=512, seed=2):
    """Return field -> generator of frames."""
    return {
        field: simulated_frames(
            scene,
            "ACS/WFC",
            "low Earth orbit",
            exposure_times=(400, 1200),
            sky_rate=(0.05, 0.12),
            n=n,
            side=side,
            seed=seed,
        )
        for field, scene in FIELDS.items()
    }


def main():
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[1])
    methods = ["universal", "acs-wfc", "astroscrappy", "astroscrappy-space"]
    add_options(parser, methods=methods)
    parser.add_argument("--side", type=int, default=512)
    parser.add_argument("--seed", type=int, default=2)
    args = start(parser)
    fields = acs_fields(args.frames or 8, args.side, args.seed)
    table = compare(fields, args.methods, figures=args.figures, progress=args.progress)
    print_table(table)


if __name__ == "__main__":
    main()
