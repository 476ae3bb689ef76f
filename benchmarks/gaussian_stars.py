# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
Which share of the cores of wingless stars is flagged.

    python benchmarks/gaussian_stars.py [--methods universal acs-wfc ...]

Stars that are a Gaussian sampled in the middle of the pixels, as many simulations have
them, on a sky of 100 electrons with a read noise of 5. Their cores are the pixels above
0.3 of the peak.
"""

import argparse

import numpy as np
from _options import add_options, print_table, start
from astropy.nddata import CCDData
from astropy.table import Table

from astro_deepcr.evaluation import LabelledFrame, get_method

SKY, READNOISE, SIDE, STARS = 100.0, 5.0, 512, 30


def draw_frame(fwhm, peak, seed=1):
    """Return a frame of stars without a cosmic ray, and where their cores are."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:SIDE, :SIDE]
    light, cores = np.full((SIDE, SIDE), SKY), np.zeros((SIDE, SIDE), bool)
    for row, column in rng.uniform(20, SIDE - 20, (STARS, 2)):
        distance2 = (y - row) ** 2 + (x - column) ** 2
        star = peak * np.exp(-4 * np.log(2) * distance2 / fwhm**2)
        light += star
        cores |= star > 0.3 * peak
    values = rng.normal(light, np.sqrt(light + READNOISE**2)).astype(np.float32)
    frame = LabelledFrame(
        CCDData(values, unit="electron"),
        np.zeros(values.shape, bool),
        gain=1.0,
        readnoise=READNOISE,
        name=f"{fwhm} {peak}",
    )
    return frame, cores


def main():
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[1])
    add_options(parser, methods=["universal", "acs-wfc", "astroscrappy-space"])
    args = start(parser)
    methods = [get_method(method) for method in args.methods]
    rows = []
    for fwhm in (1.6, 2.0, 2.5, 3.0):
        for peak in (300, 1000, 10_000, 60_000):
            frame, cores = draw_frame(fwhm, peak)
            row = {"fwhm": fwhm, "peak": peak, "pixels": np.count_nonzero(cores)}
            for method in methods:
                flagged = method.score(frame) >= method.threshold
                row[method.name] = np.mean(flagged[cores])
            rows.append(row)
    print_table(Table(rows), ".2f")


if __name__ == "__main__":
    main()
