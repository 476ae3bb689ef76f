# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
What is left of a measurement when cosmic rays were filled.

    python benchmarks/accuracy_photometry.py --data FOLDER [--scenes NAME ...]

Sources of the scenes of accuracy_independent.py (stars, galaxies, knots of emission
lines) of at least 20 sigma, whose aperture holds hit pixels: their sum in the aperture
with the hit pixels filled, less that of the same frame without cosmic rays, over the
true sum of the source. Printed are the median and the scatter (half the range of the
middle 68 %), in per cent. The mask is the true one.
"""

import argparse

import numpy as np
from _independent import independent_frames
from _options import add_options, print_table, start
from astropy.convolution import Gaussian2DKernel, interpolate_replace_nans
from astropy.nddata import CCDData
from astropy.table import Table
from photutils.aperture import CircularAperture, aperture_photometry

from astro_deepcr import inpaint_cosmicrays

# Scenes with sources, and the radius of the aperture in pixels.
SCENES = {
    "cluster": 2.5,
    "extragalactic": 2.5,
    "resolved galaxy": 2.5,
    "low sky": 2.5,
    "ground sparse": 4.0,
    "ground crowded": 4.0,
    "ground bright": 4.0,
    "long slit": 3.0,
}
LEAST = 20.0


def fill(frame, hit, method):
    """Return the data with hit pixels filled."""
    if method == "interpolate":
        holed = np.where(hit, np.nan, frame.electrons)
        for width in (1.0, 2.0, 4.0):  # wide holes need a second and a third look
            if np.isnan(holed).any():
                holed = interpolate_replace_nans(holed, Gaussian2DKernel(width))
        return np.nan_to_num(holed, nan=np.nanmedian(holed))
    ccd = CCDData(frame.electrons, unit="electron")
    return inpaint_cosmicrays(ccd, hit, method, readnoise=frame.readnoise).data


def sums(image, places, radius):
    """Return the sums in apertures."""
    apertures = CircularAperture(places, radius)
    return np.asarray(aperture_photometry(image, apertures)["aperture_sum"])


def measure(frames, radius, methods):
    """Yield for each frame the errors of each method, in per cent of the source."""
    for frame in frames:
        hit = frame.truth | frame.ignored
        row, column = np.nonzero(frame.objects["cores"])
        places = np.column_stack([column, row]).astype(float)
        if not len(places):
            continue
        number = sums(hit.astype(float), places, radius)
        sky = np.median(frame.clean)
        flux = sums(frame.clean - sky, places, radius)
        noise = np.sqrt(sums(frame.sigma**2, places, radius))
        chosen = (number > 0) & (flux > LEAST * noise)
        chosen &= sums((frame.clean > frame.saturation).astype(float), places, 3) == 0
        unhit = frame.electrons - frame.charge
        places, flux = places[chosen], flux[chosen]
        if not len(places):
            continue
        before = sums(unhit, places, radius)
        yield {
            method: 100 * (sums(data, places, radius) - before) / flux
            for method in methods
            for data in [fill(frame, hit, method)]
        }


def main():
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[1])
    methods = ["network", "median", "mean", "idw", "biharmonic", "interpolate"]
    add_options(parser, methods=methods)
    parser.add_argument("--data", help="folder of the cosmic-ray stamps")
    parser.add_argument("--side", type=int, default=512)
    parser.add_argument("--scenes", nargs="+", default=list(SCENES), choices=SCENES)
    args = start(parser)
    rows = []
    for scene in args.scenes:
        frames = independent_frames(
            scene, args.frames or 4, data=args.data, side=args.side
        )
        found = list(measure(frames, SCENES[scene], args.methods))
        if not found:
            args.progress(f"{scene}: no source of so many sigma was hit")
            continue
        for method in args.methods:
            errors = np.concatenate([one[method] for one in found])
            low, middle, high = np.percentile(errors, [16, 50, 84])
            row = {"scene": scene, "method": method, "n": errors.size}
            rows.append(row | {"bias": middle, "scatter": (high - low) / 2})
        args.progress(scene)
    print_table(Table(rows), ".2f")


if __name__ == "__main__":
    main()
