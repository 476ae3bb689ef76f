# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
Measure labels of simulated dithered exposures against their truth.

    python benchmarks/labels_simulated.py

The simulation is the one of ``tests/test_training_labels.py``.
"""

import sys
from pathlib import Path

from astropy.nddata import CCDData

from astro_deepcr.training import labels_from_exposures

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
from test_training_labels import INTEGER, NONE, SUBPIXEL, measure, simulate, wcs_at

# name, positions of the scene, how they are aligned, FWHM in pixels
CASES = [
    ("no dither", NONE, None, 1.6),
    ("no dither, a pair", NONE[:2], None, 1.6),
    ("whole pixels", INTEGER, "register", 1.6),
    ("sub-pixel, registered", SUBPIXEL, "register", 1.6),
    ("sub-pixel, by WCS", SUBPIXEL, "wcs", 1.6),
    ("sub-pixel, offsets given", SUBPIXEL, SUBPIXEL, 1.2),
    ("sub-pixel, offsets given", SUBPIXEL, SUBPIXEL, 0.9),
    ("sub-pixel, a pair", SUBPIXEL[:2], SUBPIXEL[:2], 1.6),
]


def main():
    head = ("FWHM", "stars", "recall", "precision", "hits ign.", "cores", "labelled")
    print(f"{'':26}" + "".join(f"{name:>11}" for name in (*head, "ignored")))
    for name, offsets, align, fwhm in CASES:
        for n_stars in (40, 150, 2500):
            frames = simulate(offsets, fwhm, n_stars)
            ccds = [
                CCDData(frame.data, unit="electron", wcs=wcs_at(offset))
                for frame, offset in zip(frames, offsets, strict=True)
            ]
            n = measure(frames, labels_from_exposures(ccds, align=align))
            fractions = (
                n["hit"] / (n["hit"] + n["missed"]),
                n["right"] / (n["right"] + n["wrong"]),
                n["hidden"] / (n["hit"] + n["hidden"]),
            )
            print(
                f"{name:26}{fwhm:11.1f}{n_stars:11}"
                + "".join(f"{value:11.4f}" for value in fractions)
                + f"{n['cores']:11}{n['eaten']:11}{n['lost'] / n['cores']:11.4f}"
            )


if __name__ == "__main__":
    main()
