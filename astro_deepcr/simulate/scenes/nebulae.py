# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Clouds of gas and dust."""

import torch

from .._fields import power_law_field, smooth_field
from .._random import per_frame
from ._layers import Layers
from .stars import field_stars

__all__ = ["nebula"]


def nebula(setting):
    """Clouds, filaments and dark lanes of gas, with stars in front."""
    rng, shape = setting.rng, setting.shape
    cloud = power_law_field(rng, shape, rng.uniform(2.4, 3.6))
    ridges = power_law_field(rng, shape, rng.uniform(2.8, 3.8))
    dust = power_law_field(rng, shape, rng.uniform(2.4, 3.4))
    contrast = per_frame(rng.uniform(0.3, 1.2))
    sharpness = per_frame(rng.log_uniform(2.0, 20.0))
    filaments = torch.exp(-sharpness * ridges.abs()) * per_frame(rng.uniform(0, 3))
    light = torch.exp(contrast * cloud) + filaments
    light = light * torch.exp(
        -per_frame(rng.uniform(0, 2.5)) * (dust - 0.5).clamp_min(0)
    )
    light = light * (1 + 0.4 * smooth_field(rng, shape)).clamp_min(0)
    brightness = per_frame(setting.sigma * rng.log_uniform(1.0, 100.0))
    return Layers(
        setting.background(),
        extended=light * brightness,
        points=[field_stars(setting, fewest=3, most=600)],
    )
