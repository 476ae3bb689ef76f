# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
Scenes made with GalSim and NumPy, without astro_deepcr.simulate.

A scene is a function of a random generator and a side (in pixels) that returns the
light in electrons, without sky, and an image that holds, at the centre of each star
and galaxy, its light in that pixel: how peaked it is.

Stars lie on a grid of quarter pixels, and the sky is periodic: the wings of a star
at one edge reach over to the other, as if a neighbour stood outside.
"""

import galsim
import numpy as np
from scipy import fft
from scipy.special import expit

FINE = 4  # steps of the grid in a pixel


def space_psf(rng):
    """Return an undersampled telescope in space: four struts, a little coma."""
    coma, astigmatism = rng.normal(0, 0.02, (2, 2))
    optics = galsim.OpticalPSF(
        lam_over_diam=rng.uniform(0.9, 1.5),
        obscuration=0.33,
        nstruts=4,
        strut_thick=0.02,
        strut_angle=rng.uniform(0, 90) * galsim.degrees,
        coma1=coma[0],
        coma2=coma[1],
        astig1=astigmatism[0],
        astig2=astigmatism[1],
    )
    return galsim.Convolve(optics, galsim.Gaussian(sigma=rng.uniform(0.15, 0.35)))


def ground_psf(rng):
    """Return seeing, a little out of round."""
    seeing = galsim.Moffat(beta=rng.uniform(2.5, 4), fwhm=rng.uniform(2, 5))
    return seeing.shear(g1=rng.normal(0, 0.03), g2=rng.normal(0, 0.03))


def spiked_psf(rng):
    """Return seeing, and the spikes and halo of a telescope with four struts."""
    params = galsim.GSParams(folding_threshold=2e-3)
    optics = galsim.OpticalPSF(
        lam_over_diam=0.8,
        obscuration=0.35,
        nstruts=4,
        strut_thick=0.03,
        strut_angle=rng.uniform(0, 90) * galsim.degrees,
        gsparams=params,
    )
    return galsim.Convolve(optics, ground_psf(rng))


def draw_stars(psf, side, y, x, flux):
    """Return the light of stars at these places, and their light at the centres."""
    n = FINE * side
    in_pixel = galsim.Convolve(psf, galsim.Pixel(1))
    kernel = in_pixel.drawImage(
        nx=n, ny=n, scale=1 / FINE, method="no_pixel", offset=(0.5, 0.5), dtype=float
    )
    kernel = FINE**2 * fft.ifftshift(np.maximum(kernel.array, 0))
    fine_y, fine_x = ((FINE * np.asarray(v)).astype(int) % n for v in (y, x))
    sources = np.zeros((n, n))
    np.add.at(sources, (fine_y, fine_x), flux)
    light = fft.irfft2(fft.rfft2(sources) * fft.rfft2(kernel), s=(n, n))
    row, column = (np.rint(v / FINE).astype(int) for v in (fine_y, fine_x))
    peaks = np.zeros((side, side))
    at_centre = flux * kernel[FINE * row - fine_y, FINE * column - fine_x]
    np.maximum.at(peaks, (row % side, column % side), at_centre)
    return np.maximum(light[::FINE, ::FINE], 0), peaks


def draw_galaxies(rng, psf, side, y, x, flux, radius, index):
    """Return the light of Sersic galaxies, and their light at the centres."""
    image, peaks = galsim.ImageD(side, side), np.zeros((side, side))
    image.setOrigin(0, 0)
    for yi, xi, f, r, n in zip(y, x, flux, radius, index, strict=True):
        disc = galsim.Sersic(n, half_light_radius=1, trunc=6).dilate(r)
        g, angle = rng.uniform(0, 0.6), rng.uniform(0, 180) * galsim.degrees
        galaxy = galsim.Convolve(disc.shear(g=g, beta=angle), psf).withFlux(f)
        size = 2 * int(14 * r + 16)
        stamp = galaxy.drawImage(
            nx=size, ny=size, scale=1, center=galsim.PositionD(xi, yi)
        )
        both = stamp.bounds & image.bounds
        image[both] += stamp[both]
        row, column = min(int(yi), side - 1), min(int(xi), side - 1)
        peaks[row, column] = stamp.array.max()
    return np.maximum(image.array, 0), peaks


def fluxes(rng, n, faintest, brightest, slope=0.9):
    """Return fluxes of a power law: numbers above a flux f fall as f ** -slope."""
    low, high = faintest**-slope, brightest**-slope
    return rng.uniform(high, low, n) ** (-1 / slope)


def star_field(rng, side, psf, density, faintest, brightest):
    """Return stars anywhere; their density is in 1e-3 per pixel."""
    n = int(density * side**2 / 1000)
    y, x = rng.uniform(0, side, (2, n))
    return draw_stars(psf, side, y, x, fluxes(rng, n, faintest, brightest))


def cluster(rng, side):
    """Return a globular cluster: 3,000 stars (side 512), crowded at the centre."""
    n = int(0.0115 * side**2)
    r = side / 7 * np.sqrt(1 / rng.uniform(0.05, 1, n) - 1)
    phi = rng.uniform(0, 2 * np.pi, n)
    y, x = side / 2 + r * np.sin(phi), side / 2 + r * np.cos(phi)
    return draw_stars(space_psf(rng), side, y, x, fluxes(rng, n, 150, 5e5))


def low_sky(rng, side):
    """Return few stars; the frame has almost no sky."""
    return star_field(rng, side, space_psf(rng), 0.6, 150, 3e5)


def extragalactic(rng, side):
    """Return galaxies of all sizes, and some stars."""
    psf, n = space_psf(rng), int(0.35e-3 * side**2) + 5
    y, x = rng.uniform(0, side, (2, n))
    radius = np.minimum(fluxes(rng, n, 0.8, 15, slope=1.2), 0.04 * side)
    flux = 1500 * radius**1.7 * rng.lognormal(0, 1, n)
    index = rng.choice([0.8, 1, 1.5, 2.5, 4], n)
    light, peaks = draw_galaxies(rng, psf, side, y, x, flux, radius, index)
    more_light, more_peaks = star_field(rng, side, psf, 0.2, 100, 1e5)
    return light + more_light, np.maximum(peaks, more_peaks)


def resolved_galaxy(rng, side):
    """Return a near galaxy: smooth light, and thousands of stars that follow it."""
    psf, middle = space_psf(rng), rng.uniform(0.3, 0.7, 2) * side
    light, peaks = draw_galaxies(
        rng,
        psf,
        side,
        middle[:1].repeat(2),
        middle[1:].repeat(2),
        np.array([400, 40]) * rng.uniform(0.3, 1) * side**2 / 4,
        np.array([0.25, 0.03]) * side,
        [1, 2.5],
    )
    n = int(0.03 * side**2)
    where = rng.choice(side**2, n, p=(light / light.sum()).ravel())
    y, x = np.divmod(where, side) + rng.uniform(-0.5, 0.5, (2, n))
    stars, star_peaks = draw_stars(psf, side, y, x, fluxes(rng, n, 60, 5e4))
    return light + stars, np.maximum(peaks, star_peaks)


def ground_sparse(rng, side):
    """Return stars through seeing."""
    return star_field(rng, side, ground_psf(rng), 0.8, 1500, 3e6)


def ground_crowded(rng, side):
    """Return a field near the Milky Way's plane."""
    return star_field(rng, side, ground_psf(rng), 15, 500, 1e6)


def ground_bright(rng, side):
    """Return a sparse field, and saturated stars with spikes."""
    light, peaks = star_field(rng, side, ground_psf(rng), 0.8, 1500, 3e5)
    n = rng.integers(4, 10)
    y, x = rng.uniform(0, side, (2, n))
    flux = fluxes(rng, n, 5e6, 3e8, slope=0.5)
    bright, bright_peaks = draw_stars(spiked_psf(rng), side, y, x, flux)
    return light + bright, np.maximum(peaks, bright_peaks)


def long_slit(rng, side):
    """Return traces, tilted sky lines, and nebular lines with knots."""
    y, x = np.indices((side, side), dtype=float)
    image = np.zeros((side, side))
    tilt, bend = rng.normal(0, 0.02), rng.normal(0, 1e-5)
    shift = tilt * (y - side / 2) + bend * (y - side / 2) ** 2
    width = rng.uniform(0.9, 2)
    for _ in range(rng.integers(1, 5)):  # objects in the slit
        trace = rng.uniform(0, side) + rng.normal(0, 0.01) * x
        spectrum = 10 ** rng.uniform(1.5, 4) * absorption(rng, x - shift, side, 15)
        image += spectrum * _gauss(y - trace, rng.uniform(0.8, 2.5))
    for _ in range(25):  # lines of the sky
        column = rng.uniform(0, side)
        image += 10 ** rng.uniform(0.5, 3.5) * _gauss(x - column - shift, width)
    peaks = np.zeros((side, side))
    for _ in range(3):  # lines of a nebula: diffuse, and knots that move
        column, strength = rng.uniform(0.1, 0.9) * side, 10 ** rng.uniform(1, 2.5)
        middle, extent = rng.uniform(0.2, 0.8) * side, rng.uniform(0.05, 0.2) * side
        along = strength * _gauss(y - middle, extent)
        image += along * _gauss(x - column - shift, width)
        for _ in range(rng.integers(3, 12)):
            row = min(abs(rng.normal(middle, extent)), side - 1)
            at = column + rng.normal(0, 2.5) + shift[int(row), 0]
            peak = strength * rng.uniform(1, 30)
            across, size = width * rng.uniform(1, 1.6), rng.uniform(0.8, 2.5)
            image += peak * _gauss(x - at, across) * _gauss(y - row, size)
            peaks[int(row), int(np.clip(at, 0, side - 1))] = peak
    edges = rng.uniform(0.02, 0.1, 2) * side  # ends of the slit
    ends = expit(y - edges[0]) * expit(side - edges[1] - y)
    return image * ends, peaks * ends


def echelle(rng, side):
    """Return curved orders with a blaze, absorption lines, and lines of the sky."""
    y, x = np.indices((side, side), dtype=float)
    image = np.zeros((side, side))
    u = x / side - 0.5
    curve = rng.uniform(-60, 60) * u**2 + rng.uniform(-30, 30) * u
    spacing, width = rng.uniform(16, 32), rng.uniform(1.3, 2.5)
    peak, tilt = 10 ** rng.uniform(2, 4.3), rng.normal(0, 0.05)
    sky_row = rng.uniform(3, 5)  # half length of the slit
    row = -60.0
    while row < side + 60:
        away = y - row - curve
        blaze = np.sinc(1.1 * (u - rng.normal(0, 0.03))) ** 2
        spectrum = peak * blaze * absorption(rng, x - tilt * away, side, 20)
        slit = expit((sky_row - np.abs(away)) / 0.4)
        light = spectrum * _gauss(away - 0.5, width) + 0.003 * peak * slit
        for _ in range(rng.poisson(1.5)):
            line = _gauss(x - tilt * away - rng.uniform(0, side), 1.2)
            light += 10 ** rng.uniform(1.5, 3.5) * line * slit
        image += light
        row, spacing, peak = row + spacing, 1.03 * spacing, 0.97 * peak
    return image + 0.01 * peak, np.zeros((side, side))


def absorption(rng, x, side, n):
    """Return what n absorption lines leave of a continuum."""
    depth = np.zeros_like(x)
    for _ in range(n):
        line = _gauss(x - rng.uniform(0, side), rng.uniform(1, 3))
        depth += rng.exponential(0.5) * line
    return np.exp(-depth)


def _gauss(x, sigma):
    return np.exp(-0.5 * (x / sigma) ** 2)
