# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
Compare labels made from real STIS exposures with the masks that came with them.

    python benchmarks/labels_stis.py FOLDER [--figure FILE]

FOLDER holds FITS files NAME_e1.fits and NAME_e2.fits (the two parts of a CR-split
exposure) with the arrays SCI and MASK (bit 1: cosmic ray, 2: ignore, 4: hot pixel).
The slit was stepped over a galaxy between the pairs: only the two parts of a pair
show one scene on the target, while off the target all exposures do.
"""

import argparse
from itertools import groupby
from pathlib import Path

import numpy as np
from astropy.io import fits
from astropy.nddata import CCDData

from astro_deepcr.flags import MASK_BITS
from astro_deepcr.training import labels_from_exposures

TARGET = slice(450, 650)  # rows that the galaxy reaches
_COLORS = {"both": "0.75", "labels only": "tab:orange", "MASK only": "tab:blue"}


def read(path):
    """Return the exposure and the bits of its mask."""
    with fits.open(path) as hdus:
        data = hdus["SCI"].data.astype(np.float32)
        return CCDData(data, unit="adu", meta=hdus[0].header), hdus["MASK"].data


def labels_of_pairs(paths, ccds):
    """Return labels from the two parts of each pair; None where there is one part."""
    labels = []
    for _, group in groupby(zip(paths, ccds, strict=True), lambda x: x[0].stem[:-3]):
        pair = [ccd for _, ccd in group]
        labels += labels_from_exposures(pair) if len(pair) == 2 else [None]
    return labels


def classify(label, mask):
    """Return the labels, the truth, and where both can be judged."""
    use = ~label.ignore & ((mask & MASK_BITS.IGNORE) == 0)
    return label.cosmic_rays, (mask & MASK_BITS.COSMIC_RAY) > 0, use


def precision_recall(label, mask, where):
    """Return precision, recall and F1 of some pixels."""
    found, truth, use = classify(label, mask)
    found, truth = found & use & where, truth & use & where
    both = np.count_nonzero(found & truth)
    precision, recall = both / found.sum(), both / truth.sum()
    return precision, recall, 2 * precision * recall / (precision + recall)


def report(title, paths, masks, labels, where):
    """Print figures, with and without the static hot pixels of MASK."""
    print(f"\n{title}\n{'':14}{'all pixels':^24}{'without hot pixels':^24}")
    print(f"{'exposure':14}" + 2 * f"{'precision':>9}{'recall':>8}{'F1':>7}")
    for path, mask, label in zip(paths, masks, labels, strict=True):
        if label is None:
            continue
        cool = (mask & MASK_BITS.HOT) == 0
        values = [
            *precision_recall(label, mask, where),
            *precision_recall(label, mask, where & cool),
        ]
        widths = 2 * (9, 8, 7)
        cells = [f"{v:{w}.4f}" for v, w in zip(values, widths, strict=True)]
        share = label.ignore[where].mean()
        print(f"{path.stem:14}" + "".join(cells) + f"   ignored {share:.4f}")


def plot(path, ccd, mask, labels, filename):
    """Show where labels and MASK disagree, off and on the target."""
    import matplotlib.pyplot as plt
    from matplotlib.colors import ListedColormap

    colors = ListedColormap(["white", *_COLORS.values(), "0.92"])
    figure, axes = plt.subplots(2, 2, figsize=(12, 11), layout="constrained")
    cuts = (np.s_[100:220, 100:220], np.s_[500:620, 240:360])
    titles = ("off target", "on target")
    for row, cut, label, title in zip(axes, cuts, labels, titles, strict=True):
        found, truth, use = classify(label, mask)
        kind = np.select([~use, found & truth, found, truth], [4, 1, 2, 3], default=0)
        image = ccd.data[cut] - np.median(ccd.data)
        row[0].imshow(np.arcsinh(image / 10), origin="lower", cmap="gray", vmin=-1)
        row[0].set_title(f"{path.stem}, {title}")
        row[1].imshow(kind[cut], origin="lower", cmap=colors, vmin=0, vmax=4)
        row[1].set_title("grey: both, orange: labels only, blue: MASK only")
    figure.savefig(filename, dpi=110)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--figure", type=Path, help="file for a figure")
    args = parser.parse_args()
    paths = sorted(args.folder.glob("*.fits"))
    ccds, masks = zip(*map(read, paths), strict=True)
    target = np.zeros(masks[0].shape, bool)
    target[TARGET] = True
    every, pairs = labels_from_exposures(ccds), labels_of_pairs(paths, ccds)
    report("All exposures, off target", paths, masks, every, ~target)
    report("CR-split pairs, on target", paths, masks, pairs, target)
    report("All exposures, everywhere", paths, masks, every, target | ~target)
    hot = target & ((masks[0] & MASK_BITS.HOT) > 0)
    often = sum((mask[hot] & MASK_BITS.COSMIC_RAY) > 0 for mask in masks)
    share = np.mean(often >= len(masks) - 1)
    print(f"\nMASK calls {share:.3f} of the target's hot pixels cosmic rays in all")
    print("exposures but at most one.")
    if args.figure:
        plot(paths[4], ccds[4], masks[4], (every[4], pairs[4]), args.figure)


if __name__ == "__main__":
    main()
