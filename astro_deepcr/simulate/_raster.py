# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Point charges that diffuse, integrated over pixels."""

import math
from dataclasses import dataclass, replace

import torch

__all__ = []

# half-widths of the windows that charges are spread over, in pixels
RADII = (1, 2, 4, 8, 16, 32)
SIGMAS_PER_RADIUS = 3.6
LEAST_CHARGE = 1e-3  # electrons of one event in one pixel; less is left out
BLOOM_PASSES = 16  # at most


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

    def __getitem__(self, index):
        return PixelCharges(*(value[index] for value in vars(self).values()))


def rasterise(charges, events, shape):
    """
    Integrate clouds of charge over the pixels of their frames.

    Each cloud is spread over a window and normalised there, so that no charge is
    lost except over the edge of the frame. Each event is added up on a canvas of its
    own, as large as its bounding box.

    Parameters
    ----------
    charges : Charges
        The clouds.
    events : int
        Number of events that they may belong to.
    shape : tuple of int
        Rows and columns of a frame.

    Returns
    -------
    pixels : PixelCharges
        In the order of the events.
    """
    sigma = torch.maximum(charges.sigma_row, charges.sigma_column)
    radii = torch.tensor(RADII, device=sigma.device)
    size = torch.bucketize(sigma, radii[:-1] / SIGMAS_PER_RADIUS)
    top, height = _extent(charges.event, charges.row, radii[size], events, shape[0])
    left, width = _extent(charges.event, charges.column, radii[size], events, shape[1])
    area = height * width
    start = torch.cumsum(area, 0) - area
    # in double precision the order of the sum, which GPUs leave open, does not matter
    canvas = torch.zeros(int(area.sum()), dtype=torch.float64, device=sigma.device)
    for i, radius in enumerate(RADII):
        some = charges[size == i]
        rows, columns, share = _spread(some, radius, shape)
        rows = rows - top[some.event, None]
        columns = columns - left[some.event, None]
        row_start = start[some.event, None] + rows * width[some.event, None]
        place = row_start[:, :, None] + columns[:, None, :]
        canvas.index_add_(0, place.flatten(), share.flatten().double())
    reached = torch.nonzero(canvas > LEAST_CHARGE)[:, 0]
    event = torch.bucketize(reached, torch.cumsum(area, 0), right=True)
    frame = torch.zeros(events, dtype=torch.int64, device=sigma.device)
    frame[charges.event] = charges.frame
    place = reached - start[event]
    row = top[event] + place // width[event]
    column = left[event] + place % width[event]
    pixel = (frame[event] * shape[0] + row) * shape[1] + column
    return PixelCharges(event, pixel, canvas[reached].float())


def _extent(event, position, radius, events, size):
    """First pixel and number of pixels that each event covers, inside the frame."""
    middle = torch.round(position).long()
    first = torch.full((events,), size, device=position.device)
    first.scatter_reduce_(0, event, (middle - radius).clamp(0, size - 1), "amin")
    last = torch.full_like(first, -1)
    last.scatter_reduce_(0, event, (middle + radius).clamp(0, size - 1), "amax")
    return first, (last - first + 1).clamp(min=0)


def _spread(charges, radius, shape):
    """Rows and columns of windows, and the charge in each of their pixels."""
    rows, in_rows = _integrals(charges.row, charges.sigma_row, radius, shape[0])
    columns, in_columns = _integrals(
        charges.column, charges.sigma_column, radius, shape[1]
    )
    share = (charges.charge[:, None] * in_rows)[:, :, None] * in_columns[:, None, :]
    return rows, columns, share


def _integrals(position, sigma, radius, size):
    """Pixels of a window, and the integral of a Gaussian; none beyond the frame."""
    middle = torch.round(position)
    offsets = torch.arange(-radius, radius + 2, device=position.device)
    edges = offsets - 0.5 + (middle - position)[:, None]
    cumulative = torch.special.erf(edges / (sigma * math.sqrt(2))[:, None])
    integral = torch.diff(cumulative, dim=1)
    integral = integral / integral.sum(dim=1, keepdim=True)
    pixels = middle.long()[:, None] + offsets[:-1]
    inside = (pixels >= 0) & (pixels < size)
    return pixels.clamp(0, size - 1), integral * inside


def bloom(pixels, full_well, shape):
    """
    Let what is over the full well flow up and down the column, half each way.

    Parameters
    ----------
    pixels : PixelCharges
        Left as it is.
    full_well : `torch.Tensor`
        One value per event.
    shape : tuple of int
        Rows and columns of a frame.

    Returns
    -------
    pixels : PixelCharges
        Where bloomed events come last.
    """
    full = pixels.charge > full_well[pixels.event]
    blooming = torch.zeros_like(full_well, dtype=torch.bool)
    blooming[pixels.event[full]] = True
    affected = blooming[pixels.event]
    if not affected.any():
        return pixels
    spilling = pixels[affected]
    for _ in range(BLOOM_PASSES):
        limit = full_well[spilling.event]
        over = spilling.charge > limit * 1.001
        if not over.any():
            break
        source = spilling[over]
        flows = [_flow(source, limit[over], sign, shape) for sign in (1, -1)]
        kept = torch.minimum(spilling.charge, torch.where(over, limit, math.inf))
        spilling = _add_up(replace(spilling, charge=kept), *flows)
    return _joined(pixels[~affected], spilling)


def _flow(pixels, limit, sign, shape):
    """Half of the charge above a limit, in the pixels it fills on one side."""
    height, width = shape
    excess = (pixels.charge - limit) / 2
    reach = (excess / limit).ceil().clamp(max=height).long()
    owner = torch.repeat_interleave(
        torch.arange(len(reach), device=limit.device), reach
    )
    step = torch.arange(len(owner), device=limit.device)
    step = step - (reach.cumsum(0) - reach)[owner]
    pixels, limit, excess = pixels[owner], limit[owner], excess[owner]
    row = pixels.pixel // width % height + sign * (step + 1)
    inside = (row >= 0) & (row < height)
    moved = pixels.pixel + sign * (step + 1) * width
    amount = torch.minimum(excess - step * limit, limit)
    return PixelCharges(pixels.event, moved, amount)[inside]


def _joined(*parts):
    columns = zip(*(vars(part).values() for part in parts), strict=True)
    return PixelCharges(*(torch.cat(column) for column in columns))


def _add_up(*parts):
    """Add the charges that one event gives to one pixel."""
    every = _joined(*parts)
    size = 1 << 40  # above any pixel of a batch, so that the key is unique
    key, where = torch.unique(every.event * size + every.pixel, return_inverse=True)
    total = torch.zeros(len(key), dtype=torch.float64, device=key.device)
    total.index_add_(0, where, every.charge.double())
    return PixelCharges(key // size, key % size, total.float())
