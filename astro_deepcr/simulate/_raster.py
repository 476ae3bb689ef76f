# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Point charges that diffuse, integrated over pixels."""

import math
from dataclasses import dataclass

import torch

__all__ = []

# half-widths of the windows that charges are spread over, in pixels
RADII = (1, 2, 4, 8, 16, 32)
SIGMAS_PER_RADIUS = 3.6


@dataclass(frozen=True)
class Charges:
    """Gaussian clouds of charge: what a batch of frames is made of."""

    event: torch.Tensor
    frame: torch.Tensor
    row: torch.Tensor
    column: torch.Tensor
    sigma_row: torch.Tensor
    sigma_column: torch.Tensor
    charge: torch.Tensor

    def __getitem__(self, index):
        return Charges(*(value[index] for value in vars(self).values()))


@dataclass(frozen=True)
class PixelCharges:
    """Charge that each event gives to each pixel it reaches."""

    event: torch.Tensor
    pixel: torch.Tensor  # (frame * rows + row) * columns + column
    charge: torch.Tensor


def rasterise(charges, shape):
    """
    Integrate clouds of charge over the pixels of their frames.

    Each cloud is spread over a window and normalised there, so that no charge is
    lost except over the edge of the frame.
    """
    sigma = torch.maximum(charges.sigma_row, charges.sigma_column)
    limits = torch.tensor(RADII[:-1], device=sigma.device) / SIGMAS_PER_RADIUS
    window = torch.bucketize(sigma, limits)
    parts = [_spread(charges[window == i], r, shape) for i, r in enumerate(RADII)]
    event, pixel, charge = (torch.cat(part) for part in zip(*parts, strict=True))
    return _add_up(event, pixel, charge)


def _spread(charges, radius, shape):
    """Event, pixel and charge of every pixel of every window inside the frame."""
    height, width = shape
    rows, in_rows = _integrals(charges.row, charges.sigma_row, radius)
    columns, in_columns = _integrals(charges.column, charges.sigma_column, radius)
    share = (charges.charge[:, None] * in_rows)[:, :, None] * in_columns[:, None, :]
    pixel = (charges.frame[:, None] * height + rows)[:, :, None] * width
    pixel = pixel + columns[:, None, :]
    inside = ((rows >= 0) & (rows < height))[:, :, None]
    inside = inside & ((columns >= 0) & (columns < width))[:, None, :]
    event = charges.event[:, None, None].expand_as(pixel)
    return event[inside], pixel[inside], share[inside]


def _integrals(position, sigma, radius):
    """Pixels of a window, and the integral of a normalised Gaussian over them."""
    middle = torch.round(position)
    offsets = torch.arange(-radius, radius + 2, device=position.device)
    edges = offsets - 0.5 + (middle - position)[:, None]
    cumulative = torch.special.erf(edges / (sigma * math.sqrt(2))[:, None])
    integral = torch.diff(cumulative, dim=1)
    pixels = middle.long()[:, None] + offsets[:-1]
    return pixels, integral / integral.sum(dim=1, keepdim=True)


def _add_up(event, pixel, charge):
    """Add the charges that one event gives to one pixel."""
    size = 1 << 40  # above any pixel of a batch, so that the key is unique
    key, where = torch.unique(event * size + pixel, return_inverse=True)
    # in double precision the order of the sum, which GPUs leave open, does not matter
    total = torch.zeros(len(key), dtype=torch.float64, device=charge.device)
    total.index_add_(0, where, charge.double())
    return PixelCharges(key // size, key % size, total.float())
