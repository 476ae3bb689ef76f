# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
Filled pixels against the light below them, with the true mask.

    python benchmarks/accuracy_inpainting.py [--scenes independent --data FOLDER] ...

On the simulated ACS/WFC frames of accuracy_acs.py; on the scenes of
accuracy_independent.py, which share no code with this package's simulator; or on the
real spectra of accuracy_stis.py, whose extension MODEL tells what repeat exposures say
(with some noise of its own). Errors are in units of the noise of a pixel; the pulls say
whether the stated standard deviations are right.
"""

import argparse
from dataclasses import replace

import numpy as np
from _independent import SCENARIOS, independent_frames
from _options import add_options, print_table, start
from accuracy_acs import acs_fields
from accuracy_stis import overscan_level, read_stis
from astropy.io import fits

from astro_deepcr.evaluation import compare_inpainting, find_fits

STIS_NOISE = 5.4  # electrons; a DN is about one


def stis_frames(paths):
    """Yield real spectra, with the light that repeat exposures tell of."""
    for path in paths:
        frame = read_stis(path)
        bias = overscan_level(fits.getdata(path, "SCI"))
        clean = fits.getdata(path, "MODEL") - bias
        sigma = np.sqrt(np.maximum(clean, 0) + STIS_NOISE**2)
        ignore = frame.ignore | frame.pixels["hot"]
        yield replace(
            frame,
            clean=clean,
            sigma=sigma,
            ignore=ignore,
            gain=1.0,
            readnoise=STIS_NOISE,
        )


def main():
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[1])
    methods = ["network", "median", "mean", "idw", "biharmonic"]
    add_options(parser, methods=methods)
    parser.add_argument(
        "--scenes", choices=["acs", "independent", "stis"], default="acs"
    )
    parser.add_argument("--data", help="folder of the stamps, or of the spectra")
    parser.add_argument("--side", type=int, default=512, help="of independent scenes")
    args = start(parser)
    if args.scenes == "acs":
        scenarios = acs_fields(args.frames or 8)
    elif args.scenes == "stis":
        scenarios = {"STIS": stis_frames(find_fits(args.data)[: args.frames])}
    else:
        options = {"data": args.data, "side": args.side}
        scenarios = {
            name: independent_frames(name, args.frames or 4, **options)
            for name in SCENARIOS
        }
    table = compare_inpainting(scenarios, args.methods)
    print_table(table, ".3f")


if __name__ == "__main__":
    main()
