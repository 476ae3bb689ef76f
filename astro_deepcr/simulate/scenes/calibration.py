# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Darks, biases and flat fields."""

import torch

from .._fields import pixel_grid, power_law_field, smooth_field
from .._random import per_frame
from ._layers import Layers

__all__ = ["bias", "dark", "flat"]


def dark(setting):
    """Dark current that varies a little, with the glow of amplifiers."""
    rng, shape = setting.rng, setting.shape
    rows, columns = pixel_grid(shape, rng.device)
    level = per_frame(rng.log_uniform(0.1, 100))
    light = level * (1 + 0.1 * smooth_field(rng, shape)).clamp_min(0)
    reach = per_frame(rng.log_uniform(10, 80))
    glow = per_frame(rng.chance(0.3) * rng.log_uniform(1, 200))
    corner = rows + columns
    return Layers(light + glow * torch.exp(-corner / reach))


def bias(setting):
    """Read-out without light: an offset with a faint pattern of rows and columns."""
    rng, shape = setting.rng, setting.shape
    level = per_frame(rng.log_uniform(0.3, 10))
    pattern = power_law_field(rng, shape, rng.uniform(0.5, 2.0))
    lines = pattern[:, :1, :] * per_frame(rng.uniform(0, 0.3))
    return Layers((level * (1 + lines)).clamp_min(0))


def flat(setting):
    """Even light with vignetting, uneven pixels, and shadows of dust."""
    rng, shape = setting.rng, setting.shape
    level = per_frame(setting.full_well * rng.log_uniform(0.02, 0.6))
    uneven = 1 + per_frame(rng.log_uniform(0.002, 0.05)) * rng.normal(1.0, *shape)
    smooth = 1 + per_frame(rng.log_uniform(0.005, 0.2)) * smooth_field(rng, shape, 3)
    shadows = _dust_rings(rng, shape)
    return Layers((level * uneven * smooth * shadows).clamp_min(0))


def _dust_rings(rng, shape):
    """Transmission of a few out-of-focus dust grains."""
    rows, columns = pixel_grid(shape, rng.device)
    clear = torch.ones(rng.n, *shape, device=rng.device)
    for _ in range(3):
        size = torch.tensor(shape, device=rng.device)
        place = rng.uniform(0, 1, 2) * size
        radius = torch.hypot(
            rows - per_frame(place[:, 0]), columns - per_frame(place[:, 1])
        )
        outer = per_frame(rng.log_uniform(4, 40))
        ring = torch.sigmoid((outer - radius) / 1.5) * torch.sigmoid(
            (radius - 0.4 * outer) / 1.5
        )
        clear = clear - per_frame(rng.chance(0.5) * rng.log_uniform(0.003, 0.15)) * ring
    return clear
