# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
Accuracy on real frames from the ground.

    python benchmarks/accuracy_real.py --data FOLDER [--weights-dir DIR] ...

FOLDER holds FITS files and stamps of real cosmic rays:

``clean/*.fits``
    Frames free of cosmic rays, as far as is known: one that was overlooked counts as a
    false positive. Real cosmic rays are pasted on them, their peaks 5 to 200 sigma.
``cr_stamps/*.npz``
    See ``accuracy_independent.py``.
``decam_cp/*.fits``
    Frames with the mask of the DECam Community Pipeline, which is generously grown
    and not complete: of that row only ``completeness`` and ``purity`` tell something.
"""

import argparse
from pathlib import Path

import numpy as np
from _independent import STAMPS, cosmic_rays, read_stamps, truth_of
from _options import add_options, print_table, start
from astropy.io import fits
from astropy.nddata import CCDData
from astropy.stats import sigma_clipped_stats
from scipy.ndimage import median_filter

from astro_deepcr.evaluation import LabelledFrame, compare, find_fits, read_frame


def pasted_frames(paths, stamps, seed=5):
    """Yield the clean frames with cosmic rays."""
    stamps = [stamp / stamp.max() for stamp in stamps if stamp.max() > 0]
    for path in paths:
        rng = np.random.default_rng([seed, *path.name.encode()])
        yield pasted_frame(rng, fits.getdata(path, "SCI").astype(float), stamps, path)


def pasted_frame(rng, image, stamps, path):
    """
    Return the frame with cosmic rays on 0.2 to 2 % of its pixels.

    The level and the noise of the sky stand for the gain: the files have none, and
    some are scaled or summed.
    """
    _, sky, _ = sigma_clipped_stats(image)
    noise = 1.48 * np.median(np.abs(np.diff(image))) / np.sqrt(2)
    smooth = median_filter(image, 5)
    sigma = noise * np.sqrt(np.maximum(smooth / sky, 1))
    peaks = 10 ** rng.uniform(np.log10(5), np.log10(200), len(stamps))
    scaled = [noise * peak * stamp for peak, stamp in zip(peaks, stamps, strict=True)]
    rate = rng.uniform(0.002, 0.02)
    charge, event = cosmic_rays(rng, image.shape, rate, scaled, least=3 * noise)
    truth, ignore = truth_of(charge, sigma)
    return LabelledFrame(
        CCDData(image + charge, unit="adu"),
        truth,
        ignore,
        charge=charge,
        event_id=event,
        gain=sky / noise**2,
        readnoise=0.0,
        name=path.name,
    )


def main():
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[1])
    add_options(parser, methods=["universal", "acs-wfc", "astroscrappy-ground"])
    parser.add_argument("--data", required=True, help="folder of the frames and stamps")
    args = start(parser)
    folder = Path(args.data)
    clean = find_fits(folder / "clean")[: args.frames]
    scenarios = {
        f"clean + {file}": pasted_frames(clean, read_stamps(folder / "cr_stamps", site))
        for site, file in STAMPS.items()
    }
    pipeline = find_fits(folder / "decam_cp")[: args.frames]
    scenarios["DECam pipeline"] = (read_frame(path) for path in pipeline)
    table = compare(
        scenarios, args.methods, figures=args.figures, progress=args.progress
    )
    print_table(table)


if __name__ == "__main__":
    main()
