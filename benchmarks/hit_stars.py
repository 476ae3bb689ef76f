# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
Stars that a cosmic ray hit: what of the star is taken for the cosmic ray.

    python benchmarks/hit_stars.py --data FOLDER [--methods universal acs-wfc ...]

Stars without and with wings, sampled in the middle of the pixels, on a sky of 200
electrons with a read noise of 5. Each is hit by a real cosmic ray of
accuracy_independent.py, which tells of FOLDER, with its brightest pixel two pixels from
the star or less along each axis. "wrong": share of the stars of which five pixels or
more are flagged that the cosmic ray left alone; "lost": share of those that lose 30 %
of their light or more when all that is flagged is replaced; "found": share of the hit
pixels around the stars that are flagged. "truth" flags what the cosmic ray hit.
"""

import argparse

import numpy as np
from _independent import read_stamps, straight_tracks, truth_of
from _options import add_options, print_table, start
from astropy.nddata import CCDData
from astropy.table import Table

from astro_deepcr import inpaint_cosmicrays
from astro_deepcr.evaluation import LabelledFrame, get_method

SKY, READNOISE = 200.0, 5.0
STEP, ALONG = 50, 7  # pixels between the stars, and stars along each axis
BOX = 5  # pixels around a star that count as its own
STARS = {  # profile, full width at half maximum
    "Gaussian": (2.0, 2.5, 3.0, 4.0),
    "Moffat": (2.0, 2.5, 3.0, 4.0),
}


def profile(kind, fwhm, distance2):
    """Return a star of unit flux; a Moffat one of beta 3."""
    if kind == "Gaussian":
        width2 = fwhm**2 / (8 * np.log(2))
        return np.exp(-distance2 / (2 * width2)) / (2 * np.pi * width2)
    alpha2 = fwhm**2 / 4 / (2 ** (1 / 3) - 1)
    return 2 / (np.pi * alpha2) / (1 + distance2 / alpha2) ** 3


def draw_frame(kind, fwhm, flux, stamps, seed=1):
    """Return hit stars, what the frame shows without hits, and boxes around them."""
    rng = np.random.default_rng(seed)
    side = STEP * ALONG
    y, x = np.mgrid[:side, :side]
    light, charge = np.full((side, side), SKY), np.zeros((side, side))
    centres = STEP // 2 + STEP * np.indices((ALONG, ALONG)).reshape(2, -1).T
    for row, column in centres:
        dy, dx = rng.uniform(-0.5, 0.5, 2)
        distance2 = (y - row - dy) ** 2 + (x - column - dx) ** 2
        light += flux * profile(kind, fwhm, distance2)
        stamp = np.rot90(stamps[rng.integers(len(stamps))], rng.integers(4))
        peak = np.unravel_index(np.argmax(stamp), stamp.shape)
        first = (row, column) - np.array(peak) + rng.integers(-2, 3, 2)
        charge[tuple(map(slice, first, first + stamp.shape))] += stamp
    sigma = np.sqrt(light + READNOISE**2)
    clean = rng.poisson(light) + rng.normal(0, READNOISE, light.shape)
    truth, unclear = truth_of(charge, sigma)
    frame = LabelledFrame(
        CCDData((clean + charge).astype(np.float32), unit="electron"),
        truth,
        unclear,
        gain=1.0,
        readnoise=READNOISE,
        name=f"{kind} {fwhm} {flux}",
    )
    boxes = [np.s_[r - BOX : r + BOX + 1, c - BOX : c + BOX + 1] for r, c in centres]
    return frame, clean, boxes


def judge(frame, clean, boxes, flux, flagged):
    """Return the shares of stars that are flagged wrongly, and lost; of hits found."""
    filled = inpaint_cosmicrays(frame.ccd, flagged).data
    alone = flagged & ~frame.truth & ~frame.ignore
    wrong = [np.count_nonzero(alone[box]) >= 5 for box in boxes]
    # A hit that was not found adds light, which makes good for none that is lost.
    less = np.where(flagged, clean - filled, 0)
    lost = [np.sum(less[box]) > 0.3 * flux for box in boxes]
    hit = np.concatenate([flagged[box][frame.truth[box]] for box in boxes])
    return {"wrong": np.mean(wrong), "lost": np.mean(lost), "found": np.mean(hit)}


def main():
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[1])
    add_options(parser, methods=["universal", "acs-wfc", "astroscrappy-space"])
    parser.add_argument("--data", help="folder of the cosmic-ray stamps")
    args = start(parser)
    if args.data is None:
        stamps = straight_tracks(np.random.default_rng(3), "space")
    else:
        stamps = read_stamps(args.data, "space")
    # Those that are easily seen, and shorter than the stars are apart.
    bright = [s for s in stamps if s.max() > 150 and np.sum(s > 15) > 2]
    stamps = [s for s in bright if max(s.shape) < 16]
    methods = [get_method(method) for method in args.methods]
    rows = []
    for kind, widths in STARS.items():
        for fwhm in widths:
            for flux in (5000, 20_000, 100_000):
                frame, clean, boxes = draw_frame(kind, fwhm, flux, stamps)
                row = {"star": kind, "fwhm": fwhm, "flux": flux}
                for method in methods:
                    flagged = method.score(frame) >= method.threshold
                    judged = judge(frame, clean, boxes, flux, flagged)
                    row |= {f"{method.name} {key}": judged[key] for key in judged}
                row["truth lost"] = judge(frame, clean, boxes, flux, frame.truth)[
                    "lost"
                ]
                rows.append(row)
    print_table(Table(rows), ".2f")


if __name__ == "__main__":
    main()
