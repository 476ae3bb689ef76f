# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Frames made without astro_deepcr.simulate: GalSim scenes, real or straight tracks."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import _galsim_scenes as scenes
import numpy as np
from astropy import units as u
from astropy.nddata import CCDData
from scipy.ndimage import gaussian_filter

from astro_deepcr.evaluation import LabelledFrame

STAMPS = {"space": "hst_stis_cr.npz", "ground": "lsst_itl_2017_cr.npz"}
THICKNESS = {"space": 1, "ground": 8}  # of the silicon, in pixels
RATES = {"space": (0.005, 0.05), "ground": (0.001, 0.01)}  # share of pixels hit
LEAST = 20  # electrons that make a pixel count as hit, for the rate


@dataclass(frozen=True)
class Scenario:
    """A scene, where its cosmic rays come from, and the limits of its sky."""

    scene: Callable
    site: str
    sky: tuple


SCENARIOS = {
    "cluster": Scenario(scenes.cluster, "space", (20, 120)),
    "extragalactic": Scenario(scenes.extragalactic, "space", (20, 150)),
    "resolved galaxy": Scenario(scenes.resolved_galaxy, "space", (20, 120)),
    "low sky": Scenario(scenes.low_sky, "space", (0, 3)),
    "ground sparse": Scenario(scenes.ground_sparse, "ground", (100, 1500)),
    "ground crowded": Scenario(scenes.ground_crowded, "ground", (100, 1500)),
    "ground bright": Scenario(scenes.ground_bright, "ground", (100, 1500)),
    "long slit": Scenario(scenes.long_slit, "space", (3, 30)),
    "echelle": Scenario(scenes.echelle, "space", (3, 30)),
}


def read_stamps(folder, site):
    """Return the real cosmic rays of a folder, in electrons."""
    with np.load(Path(folder) / STAMPS[site]) as file:
        shapes, flat = file["shapes"], file["flat"].astype(float)
    ends = np.cumsum(shapes.prod(axis=1))[:-1]
    pairs = zip(np.split(flat, ends), shapes, strict=True)
    return [np.maximum(stamp.reshape(shape), 0) for stamp, shape in pairs]


def straight_track(rng, thickness):
    """Return a muon's charge: a straight line, Landau-like losses, diffusion."""
    length = min(thickness * np.sqrt(1 / rng.uniform(0.005, 1) - 1), 80)
    size = int(length) + 9
    n = int(length * 10) + 10
    angle = rng.uniform(0, 2 * np.pi)
    along = np.linspace(-length / 2, length / 2, n)
    y, x = size / 2 + along * np.sin(angle), size / 2 + along * np.cos(angle)
    mean = 1000 * np.hypot(thickness, length) / n  # 1000 electrons for each pixel
    charge = mean * (0.7 + 0.15 / rng.uniform(0.01, 1, n))
    edges = np.arange(size + 1)
    stamp, _, _ = np.histogram2d(y, x, bins=(edges, edges), weights=charge)
    return gaussian_filter(stamp, rng.uniform(0.25, 0.6))


def straight_tracks(rng, site, n=1000):
    """Return tracks to choose from."""
    return [straight_track(rng, THICKNESS[site]) for _ in range(n)]


def cosmic_rays(rng, shape, rate, stamps, least=LEAST):
    """
    Return charge and event number of stamps turned, mirrored and put anywhere.

    `rate` is the share of pixels with a charge above `least`, on average.
    """
    pad = max(max(stamp.shape) for stamp in stamps)
    size = np.add(shape, pad)
    charge, event = np.zeros(size + pad), np.zeros(size + pad, int)
    mean_size = np.mean([np.count_nonzero(stamp > least) for stamp in stamps])
    for number in range(1, 1 + rng.poisson(rate * size.prod() / mean_size)):
        stamp = stamps[rng.integers(len(stamps))]
        stamp = np.rot90(stamp, rng.integers(4))[:: rng.choice([-1, 1])]
        y, x = rng.integers(size)
        part = np.s_[y : y + stamp.shape[0], x : x + stamp.shape[1]]
        event[part][stamp > charge[part]] = number
        charge[part] += stamp
    inside = np.s_[pad : pad + shape[0], pad : pad + shape[1]]
    return charge[inside], event[inside]


def bleed(light, full_well):
    """Return the light with what is above the full well spilt along columns."""
    held = np.minimum(light, full_well)
    columns = np.flatnonzero((light > full_well).any(axis=0))
    part = held[:, columns]
    up = (light[:, columns] - part) / 2
    down = up.copy()
    for _ in range(len(light)):
        up, down = np.roll(up, -1, axis=0), np.roll(down, 1, axis=0)
        up[-1] = down[0] = 0
        for moving in (up, down):
            taken = np.minimum(moving, full_well - part)
            part += taken
            moving -= taken
    held[:, columns] = part
    return held


def independent_frames(name, n, *, data=None, side=512, seed=5):
    """Yield frames of a scenario; without `data`, with straight tracks."""
    scenario = SCENARIOS[name]
    rng = np.random.default_rng([seed, *name.encode()])
    if data is None:
        stamps = straight_tracks(rng, scenario.site)
    else:
        stamps = read_stamps(data, scenario.site)
    for number in range(1, n + 1):
        yield independent_frame(rng, scenario, stamps, side, f"{name} {number}")


def independent_frame(rng, scenario, stamps, side, name):
    """Return one frame, quantised by a gain, in electrons."""
    shape, full_well = (side, side), rng.uniform(6e4, 1e5)
    readnoise, gain = rng.uniform(3, 6), rng.choice([0.5, 1, 1.5, 2])
    light, peaks = scenario.scene(rng, side)
    clean = bleed(light + rng.uniform(*scenario.sky), full_well)
    rate = rng.uniform(*RATES[scenario.site])
    charge, event = cosmic_rays(rng, shape, rate, stamps)
    image = rng.poisson(clean) + charge + rng.normal(0, readnoise, shape)
    # The converter ends below the full well, or above: flat or noisy stars.
    top = full_well * rng.choice([0.97, 1.05])
    image = gain * np.rint(np.minimum(image, top) / gain)
    sigma = np.sqrt(clean + readnoise**2)
    truth, ignore = truth_of(charge, sigma, least=2)
    saturated = clean >= 0.97 * full_well
    cores = np.where(peaks > 5 * sigma, np.arange(side**2).reshape(shape), 0)
    return LabelledFrame(
        CCDData(image, unit=u.electron),
        truth & ~saturated,
        ignore | (saturated & (charge > 0)),
        charge=charge,
        event_id=event,
        objects={"cores": cores},
        pixels={"saturated": saturated},
        clean=clean,
        sigma=sigma,
        gain=gain,
        readnoise=readnoise,
        saturation=0.97 * full_well,
        name=name,
    )


def truth_of(charge, sigma, least=0.0):
    """Return pixels that are hit (3 sigma), and those that do not count."""
    truth = charge >= 3 * sigma
    return truth, (charge >= np.maximum(least, 0.5 * sigma)) & ~truth


def save_mosaic(path, scenarios=SCENARIOS, *, data=None, side=512):
    """Save a figure of the first frame of each scenario."""
    from matplotlib.figure import Figure

    columns = min(3, len(scenarios))
    rows = -(-len(scenarios) // columns)
    figure = Figure(figsize=(5 * columns, 5.2 * rows), layout="compressed")
    axes = figure.subplots(rows, columns, squeeze=False).ravel()
    for axis, name in zip(axes, scenarios, strict=False):
        frame = next(independent_frames(name, 1, data=data, side=side))
        image = frame.electrons
        noise = np.median(np.abs(np.diff(image))) / 0.95
        view = np.arcsinh((image - np.median(image)) / (2 * noise))
        axis.imshow(view, origin="lower", cmap="gray", vmin=-1.5, vmax=6)
        share = np.mean(frame.truth)
        axis.set_title(f"{name}, {share:.1%} of the pixels hit")
    for axis in axes:
        axis.set_axis_off()
    figure.savefig(path, dpi=110)
