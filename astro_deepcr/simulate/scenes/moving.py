# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Things that move while the shutter is open: asteroids, comets, trailed stars."""

import math

import torch

from .._fields import pixel_grid, rotated
from .._random import per_frame
from ._layers import Layers
from .galaxies import deep_field
from .stars import field_stars

__all__ = ["comet", "moving", "trailed_stars"]

# Steps along a trail for each pixel of its length.
_STEPS = 3


def moving(setting):
    """Asteroids among galaxies and stars: short straight or wobbling trails."""
    layers = deep_field(setting)
    rng = setting.rng
    frame, each = rng.scatter(1 + rng.poisson(rng.uniform(0, 4)))
    place = (
        frame,
        each.uniform(0, setting.shape[0]),
        each.uniform(0, setting.shape[1]),
    )
    peak = setting.peak_flux(each.log_uniform(2, 200), frame)
    length = each.log_uniform(2, 60)
    layers.points.append(_trails(each, place, peak, length, each.uniform(0, 6.28)))
    return layers


def trailed_stars(setting):
    """Stars of a field that the telescope did not follow."""
    rng = setting.rng
    frame, row, column, flux = field_stars(setting, most=60)
    each = rng.many(len(frame))
    length, angle = rng.log_uniform(2, 40)[frame], rng.uniform(0, math.pi)[frame]
    points = _trails(each, (frame, row, column), flux, length, angle)
    return Layers(setting.background(), points=[points])


def _trails(each, place, flux, length, angle):
    """Points along lines; ``flux`` is what one pixel of the trail gets."""
    owner, _ = each.scatter((length * _STEPS).ceil())
    start = torch.zeros(each.n, device=each.device, dtype=torch.long)
    counts = (length * _STEPS).ceil().long()
    start[1:] = counts.cumsum(0)[:-1]
    step = (torch.arange(len(owner), device=each.device) - start[owner]) / _STEPS
    frame, row, column = (values[owner] for values in place)
    bend = (each.normal(0.002) * each.chance(0.3))[owner] * step**2
    cos, sin = torch.cos(angle)[owner], torch.sin(angle)[owner]
    row = row + sin * step + cos * bend
    column = column + cos * step - sin * bend
    return frame, row, column, (flux[owner] / _STEPS)


def comet(setting):
    """A coma with a nucleus and a tail, in front of trailed or sharp stars."""
    rng, shape = setting.rng, setting.shape
    centre = rng.uniform(0.15, 0.85, 2) * torch.tensor(shape, device=rng.device)
    rows, columns = pixel_grid(shape, rng.device)
    dy, dx = rows - per_frame(centre[:, 0]), columns - per_frame(centre[:, 1])
    along, across = rotated(dy, dx, per_frame(rng.uniform(0, 2 * math.pi)))
    radius = torch.sqrt(dy**2 + dx**2 + 1)
    scale = per_frame(rng.log_uniform(3, 40))
    coma = torch.exp(-radius / (6 * scale)) / radius
    behind = along.clamp_min(0)
    width = 2 + behind * per_frame(rng.uniform(0.05, 0.3))
    tail = torch.exp(-0.5 * (across / width) ** 2 - behind / (8 * scale)) / width
    tail = tail * (along > 0) * per_frame(rng.uniform(0, 1))
    brightness = per_frame(setting.sigma * rng.log_uniform(20, 1000))
    frame = torch.arange(rng.n, device=rng.device)
    nucleus = (*_columns(frame, centre), setting.peak_flux(rng.log_uniform(5, 1000)))
    background = trailed_stars(setting)
    points = [*background.points, nucleus]
    return Layers(background.detector, (coma + tail) * brightness, points)


def _columns(frame, centre):
    return frame, centre[:, 0], centre[:, 1]
