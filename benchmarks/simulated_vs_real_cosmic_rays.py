# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
Compare simulated cosmic rays with real ones, event by event.

Real stamps and simulated frames (with read noise) go through the same cut: pixels
above a threshold, connected over corners, events with a least charge. Prints the
two-sample Kolmogorov-Smirnov distance of pixels, charge, peak over charge, and
elongation; writes overlaid histograms and galleries, real on the left.

    python benchmarks/simulated_vs_real_cosmic_rays.py SHARED_DATA/real/cr_stamps OUTDIR
"""

import argparse
from dataclasses import dataclass
from pathlib import Path

import matplotlib as mpl
import numpy as np
import torch
from astropy import units as u
from scipy import ndimage
from scipy.stats import ks_2samp
from skimage.measure import regionprops

from astro_deepcr.simulate import (
    Detector,
    Environment,
    draw_cosmic_rays,
    get_detector,
    read_stamps,
)

mpl.use("Agg")
import matplotlib.pyplot as plt

QUANTITIES = ("pixels", "charge", "peak over charge", "elongation")


@dataclass(frozen=True)
class Case:
    """A file of real stamps, and what to simulate beside it."""

    file: str
    detector: Detector
    environment: Environment
    exposure_time: float
    threshold: float
    least_charge: float
    shape: tuple
    frames: int


CASES = (
    Case(
        "hst_stis_cr.npz",
        get_detector("STIS", binning=(1, 2)),
        Environment.low_earth_orbit(1.15 / u.cm**2 / u.s),
        1350.0,
        threshold=40.0,
        least_charge=300.0,
        shape=(512, 256),
        frames=8,
    ),
    Case(
        "lsst_itl_2017_cr.npz",
        get_detector("LSST"),
        Environment.ground(worms=1.2, zenith_angle=75 * u.deg),
        1500.0,
        threshold=60.0,
        least_charge=500.0,
        shape=(512, 512),
        frames=128,
    ),
)


def simulated_frames(case, seed=1):
    """Simulate frames of cosmic rays with read noise."""
    generator = torch.Generator().manual_seed(seed)
    drawn = draw_cosmic_rays(
        case.shape,
        [case.detector] * case.frames,
        [case.environment] * case.frames,
        case.exposure_time,
        generator=generator,
    )
    noise = torch.randn(drawn.charge.shape, generator=generator)
    return (drawn.charge + noise * case.detector.read_noise.value).numpy()


def find_events(image, case, *, drop_edge):
    """Cut the events out of an image; everything below the threshold becomes 0."""
    labels, _ = ndimage.label(image > case.threshold, np.ones((3, 3)))
    events = []
    for region in regionprops(labels):
        low_row, low_column, high_row, high_column = region.bbox
        edge = min(low_row, low_column) == 0 or (
            high_row == image.shape[0] or high_column == image.shape[1]
        )
        event = image[region.slice] * region.image
        if event.sum() >= case.least_charge and not (edge and drop_edge):
            events.append(event)
    return events


def measure(event):
    """Return pixels, charge, peak over charge and elongation of an event."""
    total = event.sum()
    y, x = np.indices(event.shape)
    my, mx = (y * event).sum() / total, (x * event).sum() / total
    yy = ((y - my) ** 2 * event).sum() / total + 1 / 12
    xx = ((x - mx) ** 2 * event).sum() / total + 1 / 12
    xy = ((y - my) * (x - mx) * event).sum() / total
    small, large = np.linalg.eigvalsh([[yy, xy], [xy, xx]])
    return (event > 0).sum(), total, event.max() / total, np.sqrt(large / small)


def histograms(real, simulated, title, path):
    """Overlay the four histograms."""
    figure, axes = plt.subplots(1, 4, figsize=(14, 3.2), layout="constrained")
    for axis, name, a, b in zip(axes, QUANTITIES, real.T, simulated.T, strict=True):
        joined = np.concatenate([a, b])
        low, high = np.quantile(joined, [0.001, 0.998])
        if name == "peak over charge":
            bins = np.linspace(0, 1, 41)
        elif name == "pixels":
            bins = np.unique(np.round(np.geomspace(1, high + 1, 30))) - 0.5
        else:
            bins = np.geomspace(low, high, 41)
        axis.hist(a, bins, density=True, histtype="step", label="real")
        axis.hist(b, bins, density=True, histtype="step", label="simulated")
        axis.set(xlabel=name, xscale="linear" if "peak" in name else "log")
    axes[0].legend()
    figure.suptitle(title)
    figure.savefig(path, dpi=110)
    plt.close(figure)


def gallery(events, cell, columns, rows, rng):
    """Put events that are drawn at random side by side."""
    canvas = np.zeros((rows * cell, columns * cell))
    for i, choice in enumerate(rng.choice(len(events), rows * columns)):
        event = events[choice][: cell - 2, : cell - 2]
        row, column = divmod(i, columns)
        place = (slice(row * cell + 1, row * cell + 1 + event.shape[0]),)
        start = column * cell + 1
        canvas[(*place, slice(start, start + event.shape[1]))] = event
    return canvas


def galleries(real, simulated, case, path):
    """Write a gallery in a linear and a logarithmic stretch, real on the left."""
    large = np.quantile([max(event.shape) for event in real], 0.9)
    cell = int(large) + 3
    shape = {"cell": cell, "columns": 210 // cell, "rows": 150 // cell}
    sides = [
        gallery(events, **shape, rng=np.random.default_rng(5))
        for events in (real, simulated)
    ]
    top = np.quantile(np.concatenate([e.ravel() for e in real]), 0.98)
    figure, axes = plt.subplots(2, 2, figsize=(14, 11), layout="constrained")
    stretches = (
        ("linear", lambda x: np.clip(x / top, 0, 1)),
        ("log", lambda x: np.log10(np.clip(x, case.threshold / 2, 10 * top))),
    )
    for line, (stretch, function) in zip(axes, stretches, strict=True):
        for axis, image, name in zip(line, sides, ("real", "simulated"), strict=True):
            axis.imshow(function(image), cmap="gray", interpolation="nearest")
            axis.set(title=f"{name}, {stretch}", xticks=[], yticks=[])
    figure.savefig(path, dpi=110)
    plt.close(figure)


def compare(case, folder, out):
    """Print the distances of one case, and write its figures."""
    stamps = read_stamps(Path(folder) / case.file)
    real = [e for s in stamps for e in find_events(s, case, drop_edge=False)]
    frames = simulated_frames(case)
    made = [e for f in frames for e in find_events(f, case, drop_edge=True)]
    tables = [np.array([measure(e) for e in events]) for events in (real, made)]
    name = Path(case.file).stem
    print(f"{name}: {len(real)} real, {len(made)} simulated events")
    for i, quantity in enumerate(QUANTITIES):
        a, b = (table[:, i] for table in tables)
        quantiles = [np.quantile(x, [0.05, 0.25, 0.5, 0.75, 0.95]) for x in (a, b)]
        numbers = [" ".join(f"{q:8.4g}" for q in one) for one in quantiles]
        distance = ks_2samp(a, b).statistic
        print(f"  {quantity:17s} KS {distance:.3f}  real {numbers[0]} | {numbers[1]}")
    histograms(*tables, name, out / f"{name}_histograms.png")
    galleries(real, made, case, out / f"{name}_gallery.png")


def main():
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("stamps", type=Path, help="folder of the real stamps")
    parser.add_argument("out", type=Path, help="folder for the figures")
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(1)
    for case in CASES:
        compare(case, arguments.stamps, arguments.out)


if __name__ == "__main__":
    main()
