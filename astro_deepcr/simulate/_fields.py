# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Images made of coordinates, of smooth noise, and of stamps added up."""

import math

import torch
from torch.nn import functional

from ._random import per_frame

__all__ = []


def pixel_grid(shape, device):
    """Rows and columns of all pixels, as (H, 1) and (1, W) tensors."""
    rows = torch.arange(shape[0], device=device, dtype=torch.float32)
    columns = torch.arange(shape[1], device=device, dtype=torch.float32)
    return rows[:, None], columns[None, :]


def rotated(dy, dx, angle):
    """Coordinates along and across an axis at an angle (per frame) from +x."""
    cos, sin = torch.cos(angle), torch.sin(angle)
    return dx * cos + dy * sin, dy * cos - dx * sin


def power_law_field(rng, shape, slope):
    """
    Gaussian noise of zero mean and unit variance with a power spectrum k**-slope.

    ``slope`` has one value per frame: 0 is white, 3 looks like clouds, above 4 like
    hills.
    """
    white = rng.normal(1.0, *shape)
    spectrum = torch.fft.rfft2(white)
    ky = torch.fft.fftfreq(shape[0], device=rng.device)[:, None] * shape[0]
    kx = torch.fft.rfftfreq(shape[1], device=rng.device)[None, :] * shape[1]
    k2 = ky**2 + kx**2
    k2[0, 0] = math.inf
    spectrum *= k2 ** (-per_frame(slope) / 4)
    field = torch.fft.irfft2(spectrum, s=shape)
    return field / field.std(dim=(1, 2), keepdim=True)


def smooth_field(rng, shape, cells=4):
    """Slowly varying noise of about unit variance: a few random nodes, bicubic."""
    nodes = rng.normal(1.0, 1, cells, cells)
    return functional.interpolate(
        nodes, size=shape, mode="bicubic", align_corners=True
    )[:, 0]


def gradient_field(rng, shape):
    """A plane of random direction that runs from -1 to 1 across the frame."""
    rows, columns = pixel_grid(shape, rng.device)
    angle = per_frame(rng.uniform(0, 2 * math.pi))
    along = (rows / shape[0] - 0.5) * torch.sin(angle) + (
        columns / shape[1] - 0.5
    ) * torch.cos(angle)
    return along * 2


def sersic(m, radius, index):
    """Sersic profile, one at the effective radius (Ciotti & Bertin 1999)."""
    b = 2.0 * index - 1.0 / 3.0 + 0.01 / index
    return torch.exp(-b * ((m / radius).clamp_min(1e-6) ** (1.0 / index) - 1.0))


def add_stamps(images, frame, row, column, stamps):
    """
    Add square stamps of odd side at whole pixels into a batch of images, in place.

    Parameters
    ----------
    images : `torch.Tensor`
        Batch of shape (B, H, W), contiguous.
    frame, row, column : `torch.Tensor`
        For each of N stamps the image and the pixel of its centre.
    stamps : `torch.Tensor`
        Stamps of shape (N, S, T) with S and T odd; what falls outside is lost.
    """
    height, width = images.shape[1:]
    reach = [side // 2 for side in stamps.shape[1:]]
    dy = torch.arange(-reach[0], reach[0] + 1, device=images.device)
    dx = torch.arange(-reach[1], reach[1] + 1, device=images.device)
    rows = row[:, None, None] + dy[:, None]
    columns = column[:, None, None] + dx
    inside = (rows >= 0) & (rows < height) & (columns >= 0) & (columns < width)
    target = (frame[:, None, None] * height + rows) * width + columns
    target = torch.where(inside, target, 0)
    values = torch.where(inside, stamps, 0.0)
    images.view(-1).index_add_(0, target.view(-1), values.reshape(-1))
