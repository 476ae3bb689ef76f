# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""One-dimensional spectra: continua, lines, and their place on the detector."""

import math

import torch

from .._random import per_frame

__all__ = []

# Samples per pixel along the dispersion.
SAMPLES = 6
# Pixels beyond both ends, for tilted and curved lines and for velocities.
MARGIN = 48


def line_grid(rng, width, number, *, slope=1.6, groups=False):
    """
    Delta functions of random lines, (n, L): fluxes run from 1 to 1000.

    ``number`` is the expected number of lines per thing of ``rng``.
    """
    length = (width + 2 * MARGIN) * SAMPLES
    owner, each = rng.scatter(rng.poisson(number))
    place = each.uniform(0, length)
    if groups:
        # Bands: lines of a branch crowd together, as those of OH in the night sky.
        heads = rng.uniform(0, length, 6)
        spread = each.normal(12.0 * SAMPLES)
        place = heads[owner, each.integers(0, 6)] + spread
    strength = each.power_law(slope, 1.0, 1000.0)
    place = place.long().clamp(0, length - 1)
    grid = torch.zeros(rng.n, length, device=rng.device)
    grid.view(-1).index_add_(0, owner * length + place, strength)
    return grid


def smear(grid, fwhm):
    """Give lines a Gaussian profile of ``fwhm`` pixels, integrated over pixels."""
    if not len(grid):  # no object is in the field
        return grid
    length = grid.shape[1]
    wave = torch.fft.rfftfreq(length, device=grid.device) * SAMPLES
    sigma = fwhm[:, None] / 2.3548
    transfer = torch.exp(-2 * (math.pi * sigma * wave) ** 2) * torch.sinc(wave)
    lines = torch.fft.irfft(torch.fft.rfft(grid) * transfer, n=length)
    return lines.clamp_min(0) * SAMPLES


def continuum(rng, width):
    """Smooth continua of mean about one, (n, L)."""
    length = (width + 2 * MARGIN) * SAMPLES
    nodes = rng.normal(0.3, 1, 6)
    smooth = torch.nn.functional.interpolate(
        nodes, size=length, mode="linear", align_corners=True
    )
    return torch.exp(smooth[:, 0])


def object_spectrum(rng, width, fwhm):
    """Continuum with absorption and emission lines, (n, L)."""
    narrow = fwhm * rng.log_uniform(1.0, 1.6)
    number = rng.log_uniform(2, 80) * width / 256
    depth = smear(line_grid(rng, width, number, slope=1.9), narrow)
    depth = depth * (rng.log_uniform(0.005, 0.3))[:, None]
    spectrum = continuum(rng, width) * torch.exp(-depth)
    number = rng.chance(0.5) * rng.uniform(0, 8) * width / 256
    emission = smear(line_grid(rng, width, number, slope=1.3), narrow)
    return spectrum + emission * rng.log_uniform(0.02, 0.5)[:, None]


def read_off(spectra, which, place):
    """
    Value of spectra at places in pixels, interpolated linearly.

    Parameters
    ----------
    spectra : (N, L) `torch.Tensor`
        From the functions above.
    which : `torch.Tensor`
        Index of the spectrum, for each value of ``place`` or broadcast with it.
    place : `torch.Tensor`
        Pixels along the dispersion, 0 at the first column of the frame.
    """
    length = spectra.shape[1]
    place = ((place + MARGIN) * SAMPLES).clamp(0, length - 1.001)
    first = place.long()
    part = place - first
    flat, index = spectra.reshape(-1), which * length + first
    return flat[index] * (1 - part) + flat[index + 1] * part


def line_profile(distance, fwhm, wings=0.0):
    """Light in a pixel at a distance from a Gaussian trace with Lorentzian wings."""
    width = fwhm / 2.3548 * 2**0.5
    core = torch.erf((distance + 0.5) / width) - torch.erf((distance - 0.5) / width)
    half = fwhm / 2
    wing = half / math.pi / (distance**2 + half**2)
    return core / 2 * (1 - wings) + wing * wings


def window(distance, half, blur):
    """Slit of half-length ``half`` with edges blurred over ``blur`` pixels."""
    rise = torch.erf((distance + half) / blur) - torch.erf((distance - half) / blur)
    return rise / 2


def dispersion(rng, rows, columns, *, tilt=0.05, curve=3.0):
    """Wavelength in pixels at each pixel: tilted and curved lines, (B, H, W)."""
    centre = rows.shape[0] / 2
    y = (rows - centre) / centre
    slope = per_frame(rng.normal(tilt)).clamp(-0.2, 0.2) * (rows - centre)
    bow = per_frame(rng.normal(curve)).clamp(-20, 20) * y**2
    return columns + slope + bow


def orient(rng, images):
    """Turn half of the frames, so that the dispersion runs along columns there."""
    if images.shape[1] != images.shape[2]:
        return images
    return torch.where(per_frame(rng.chance(0.5)), images.mT, images)
