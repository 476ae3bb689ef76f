# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
Compare labels made from real STIS exposures with the masks that came with them.

    python benchmarks/labels_stis.py FOLDER [--figure FILE]

FOLDER holds FITS files with arrays SCI and MASK (bit 1: cosmic ray, 2: ignore).
"""

import argparse
from pathlib import Path

import numpy as np
from astropy.io import fits
from astropy.nddata import CCDData
from scipy import ndimage

from astro_deepcr.training import MASK_BITS, labels_from_exposures

_TOUCHING = np.ones((3, 3), bool)


def read(path):
    """Return the exposure and the bits of its mask."""
    with fits.open(path) as hdus:
        # "DN raw" is no unit; the gain is 1
        meta = hdus[0].header
        ccd = CCDData(hdus["SCI"].data.astype("f4"), unit="adu", meta=meta)
        return ccd, hdus["MASK"].data


def compare(labels, mask):
    """Return figures of one exposure's labels against its mask."""
    truth = (mask & MASK_BITS.COSMIC_RAY) > 0
    use = ~labels.ignore & ((mask & MASK_BITS.IGNORE) == 0)
    found = labels.cosmic_rays & use
    truth_used = truth & use
    both = np.count_nonzero(found & truth_used)
    precision = both / np.count_nonzero(found)
    recall = both / np.count_nonzero(truth_used)
    near = ndimage.binary_dilation(truth, _TOUCHING)
    extra, missed = found & ~truth, truth_used & ~found
    return {
        "precision": precision,
        "recall": recall,
        "F1": 2 * precision * recall / (precision + recall),
        "extra touching": np.count_nonzero(extra & near) / np.count_nonzero(extra),
        "missed touching": np.count_nonzero(
            missed & ndimage.binary_dilation(labels.cosmic_rays, _TOUCHING)
        )
        / np.count_nonzero(missed),
        "truth ignored": np.count_nonzero(truth & labels.ignore)
        / np.count_nonzero(truth),
        "ignored": labels.quality["ignored_fraction"],
        "false": labels.quality["false_fraction"],
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--figure", type=Path, help="file for a figure of one frame")
    args = parser.parse_args()
    paths = sorted(args.folder.glob("*.fits"))
    ccds, masks = zip(*map(read, paths), strict=True)
    labels = labels_from_exposures(list(ccds))
    rows = [compare(one, mask) for one, mask in zip(labels, masks, strict=True)]
    print("exposure".ljust(18), *(name.rjust(15) for name in rows[0]))
    for path, row in zip(paths, rows, strict=True):
        print(path.stem.ljust(18), *(f"{value:15.4f}" for value in row.values()))


if __name__ == "__main__":
    main()
