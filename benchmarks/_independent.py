# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Frames made without astro_deepcr.simulate: GalSim scenes, real or straight tracks."""

from pathlib import Path

import galsim
import numpy as np
from astropy import units as u
from astropy.nddata import CCDData
from scipy.ndimage import gaussian_filter

from astro_deepcr.evaluation import LabelledFrame

STAMPS = {"space": "hst_stis_cr.npz", "ground": "lsst_itl_2017_cr.npz"}


def read_stamps(data, site):
    """Return the real cosmic rays of the data folder, in electrons."""
    with np.load(Path(data) / "cr_stamps" / STAMPS[site]) as file:
        shapes, flat = file["shapes"], file["flat"].astype(float)
    ends = np.cumsum(shapes.prod(axis=1))[:-1]
    pairs = zip(np.split(flat, ends), shapes, strict=True)
    return [np.maximum(stamp.reshape(shape), 0) for stamp, shape in pairs]


def straight_track(rng):
    """Return a muon's charge: a straight line, Landau-like losses, diffusion."""
    length = min(2.0 * np.sqrt(1 / rng.uniform(0.005, 1) - 1), 40)
    size = int(length) + 9
    n = int(length * 10) + 10
    angle = rng.uniform(0, 2 * np.pi)
    along = np.linspace(-length / 2, length / 2, n)
    y, x = size / 2 + along * np.sin(angle), size / 2 + along * np.cos(angle)
    mean = 1000 * np.hypot(1, length / 2) / n
    charge = mean * (0.7 + 0.15 / rng.uniform(0.01, 1, n))
    edges = np.arange(size + 1)
    stamp, _, _ = np.histogram2d(y, x, bins=(edges, edges), weights=charge)
    return gaussian_filter(stamp, rng.uniform(0.25, 0.6))


def cosmic_rays(rng, shape, rate, stamps):
    """Return charge and event number; `rate` is the share of pixels hit."""
    charge, event = np.zeros(shape), np.zeros(shape, int)
    number = 0
    while np.mean(charge > 20) < rate:
        number += 1
        stamp = straight_track(rng) if stamps is None else rng.choice(stamps)
        stamp = np.rot90(stamp, rng.integers(4))[:: rng.choice([-1, 1])]
        y, x = (rng.integers(n) for n in shape)
        part = np.s_[y : y + stamp.shape[0], x : x + stamp.shape[1]]
        stamp = stamp[: shape[0] - y, : shape[1] - x]
        event[part][stamp > charge[part]] = number
        charge[part] += stamp
    return charge, event


def point_sources(rng, shape, psf, y, x, flux):
    """Return the image of stars, and the number of each bright one at its centre."""
    image, cores = galsim.ImageD(shape[1], shape[0]), np.zeros(shape, int)
    for number, (yi, xi, f) in enumerate(zip(y, x, flux, strict=True), 1):
        size = 64 if f > 3e4 else 24
        center = galsim.PositionD(xi + 1, yi + 1)
        stamp = psf.withFlux(f).drawImage(nx=size, ny=size, scale=1, center=center)
        both = stamp.bounds & image.bounds
        if both.isDefined():
            image[both] += stamp[both]
        row, column = int(np.rint(yi)), int(np.rint(xi))
        if f > 500 and 0 <= row < shape[0] and 0 <= column < shape[1]:
            cores[row, column] = number
    return np.maximum(image.array, 0), cores


def stars(rng, shape, psf, n, *, radius=None, faintest=100):
    """Return stars everywhere, or in a cluster of that core radius."""
    flux = faintest * rng.uniform(1e-4, 1, n) ** -0.9
    if radius is None:
        y, x = rng.uniform(0, shape[0], n), rng.uniform(0, shape[1], n)
    else:
        r = radius * np.sqrt(1 / rng.uniform(0.05, 1, n) - 1)
        phi = rng.uniform(0, 2 * np.pi, n)
        y, x = shape[0] / 2 + r * np.sin(phi), shape[1] / 2 + r * np.cos(phi)
    return point_sources(rng, shape, psf, y, x, flux)


def long_slit(rng, shape):
    """Return object traces and tilted sky lines."""
    y, x = np.indices(shape)
    image = np.zeros(shape)
    for _ in range(3):
        row = rng.uniform(0, shape[0]) + rng.uniform(-0.02, 0.02) * x
        image += rng.uniform(50, 2000) * np.exp(-0.5 * ((y - row) / 1.8) ** 2)
    for _ in range(25):
        column = rng.uniform(0, shape[1]) + 0.02 * y + 1e-5 * (y - 256) ** 2
        image += 10 ** rng.uniform(1, 3.5) * np.exp(-0.5 * ((x - column) / 1.3) ** 2)
    return image, np.zeros(shape, int)


def space_psf():
    """An undersampled Airy disc, in pixels."""
    return galsim.Airy(lam_over_diam=1.0, obscuration=0.3)


# name -> site, sky, share of pixels hit, function of (rng, shape)
SCENARIOS = {
    "cluster": (
        "space", (20, 120), (0.005, 0.05),
        lambda rng, shape: stars(rng, shape, space_psf(), 3000, radius=70),
    ),
    "low sky": (
        "space", (0, 3), (0.005, 0.05),
        lambda rng, shape: stars(rng, shape, space_psf(), 60),
    ),
    "ground sparse": (
        "ground", (100, 1500), (0.001, 0.01),
        lambda rng, shape: stars(
            rng, shape, galsim.Moffat(3, fwhm=rng.uniform(2, 5)), 100, faintest=500
        ),
    ),
    "long slit": ("space", (3, 30), (0.005, 0.05), long_slit),
}  # fmt: skip


def independent_frames(name, n, *, data=None, side=512, seed=5):
    """Yield frames of a scenario; without `data`, with straight tracks."""
    site, skies, rates, scene = SCENARIOS[name]
    rng = np.random.default_rng([seed, *name.encode()])
    stamps = None if data is None else read_stamps(data, site)
    for number in range(n):
        shape = (side, side)
        light, cores = scene(rng, shape)
        clean = light + rng.uniform(*skies)
        charge, event = cosmic_rays(rng, shape, rng.uniform(*rates), stamps)
        readnoise = rng.uniform(3, 6)
        sigma = np.sqrt(clean + readnoise**2)
        image = rng.poisson(clean) + charge + rng.normal(0, readnoise, shape)
        full_well = 80_000
        saturated = clean >= full_well
        truth = charge >= 3 * sigma
        ignore = (charge >= np.maximum(2, 0.5 * sigma)) & ~truth
        yield LabelledFrame(
            CCDData(np.rint(np.minimum(image, full_well)), unit=u.electron),
            truth & ~saturated,
            ignore | (saturated & (charge > 0)),
            charge=charge,
            event_id=event,
            objects={"cores": cores},
            pixels={"saturated": saturated},
            clean=clean,
            sigma=sigma,
            gain=1.0,
            readnoise=readnoise,
            saturation=full_well,
            name=f"{name} {number}",
        )
