# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Galaxies: faint ones by the hundred, large ones with arms, dust and knots."""

import math

import torch

from .._fields import (
    add_stamps,
    pixel_grid,
    power_law_field,
    rotated,
    sersic,
    smooth_field,
)
from .._random import per_frame
from ._layers import Layers
from .stars import field_stars

__all__ = ["deep_field", "galaxy", "merger", "resolved_galaxy"]

# Half the side of the stamps that faint galaxies are drawn on.
_STAMP = 20


def deep_field(setting):
    """Blank sky with faint galaxies and a few stars."""
    extended = setting.blank()
    cores = _add_faint_galaxies(setting, extended, fewest=10, most=400)
    return Layers(
        setting.background(), extended, [field_stars(setting, most=40)], [cores]
    )


def _add_faint_galaxies(setting, images, *, fewest=1, most=15):
    """Add Sersic profiles on stamps; return frame, row and column of the sharp ones."""
    rng = setting.rng
    frame, each = rng.scatter(rng.poisson(rng.log_uniform(fewest, most) * setting.area))
    radius = each.power_law(2.0, each.uniform(0.5, 0.8), each.uniform(5.0, 8.0))
    index = each.log_uniform(0.6, 4.5)
    row = each.uniform(0, setting.shape[0] - 1)
    column = each.uniform(0, setting.shape[1] - 1)
    stamps = _sersic_stamps(each, row, column, radius, index)
    brightness = setting.sigma[frame] * each.power_law(1.6, 0.5, 300.0)
    add_stamps(
        images,
        frame,
        row.round().long(),
        column.round().long(),
        stamps * per_frame(brightness),
    )
    sharp = brightness > 10 * setting.sigma[frame]
    return frame[sharp], row[sharp], column[sharp]


def _sersic_stamps(each, row, column, radius, index):
    """Profiles of unit surface brightness at the effective radius, tapered."""
    side = torch.arange(-_STAMP, _STAMP + 1, device=each.device)
    dy = side[:, None] - per_frame(row - row.round())
    dx = side[None, :] - per_frame(column - column.round())
    along, across = rotated(dy, dx, per_frame(each.uniform(0, math.pi)))
    ratio = per_frame(each.uniform(0.15, 1.0))
    # A third of a pixel stands for the integration over the central pixel.
    m = torch.sqrt(along**2 * ratio + across**2 / ratio + 0.1)
    taper = ((_STAMP - torch.hypot(dy, dx)) / (0.4 * _STAMP)).clamp(0, 1)
    return sersic(m, per_frame(radius), per_frame(index)) * taper


def galaxy(setting):
    """One large galaxy: disc with arms, bar, dust and knots, edge-on, or elliptical."""
    centre, light, knots = _large_galaxy(setting, setting.rng.log_uniform(8, 90))
    cores = [_core_list(centre)]
    cores.append(_add_faint_galaxies(setting, light, most=30))
    points = [field_stars(setting, most=80), *knots]
    return Layers(setting.background(), light, points, cores)


def merger(setting):
    """Two galaxies torn by tides: a smooth random warp of the coordinates."""
    size = setting.rng.log_uniform(10, 40)
    offset = size[:, None] * setting.rng.normal(1.3, 2)
    first, light, knots = _large_galaxy(setting, size, warp=0.35)
    second, other, more = _large_galaxy(
        setting, size * 0.7, warp=0.45, centre=first + offset
    )
    points = [field_stars(setting, most=40), *knots, *more]
    cores = [_core_list(first), _core_list(second)]
    return Layers(setting.background(), light + other, points, cores)


def _core_list(centre):
    frame = torch.arange(len(centre), device=centre.device)
    return frame, centre[:, 0], centre[:, 1]


def _large_galaxy(setting, size, *, warp=0.0, centre=None):
    """Light, place and bright knots of one galaxy of a given scale per frame."""
    rng, shape = setting.rng, setting.shape
    if centre is None:
        extent = torch.tensor(shape, device=rng.device)
        centre = rng.uniform(0.1, 0.9, 2) * extent
    rows, columns = pixel_grid(shape, rng.device)
    dy, dx = rows - per_frame(centre[:, 0]), columns - per_frame(centre[:, 1])
    if warp:
        pull = per_frame(size) * warp
        dy = dy + pull * smooth_field(rng, shape, 5)
        dx = dx + pull * smooth_field(rng, shape, 5)
    along, across = rotated(dy, dx, per_frame(rng.uniform(0, math.pi)))
    disc, arms = _disc(rng, along, across, per_frame(size), shape)
    bulge = _bulge(rng, along, across, per_frame(size))
    light = disc + bulge
    brightness = setting.sigma * rng.log_uniform(2.0, 200.0)
    light = light * per_frame(brightness) / per_frame(rng.uniform(1.0, 3.0))
    return centre, light, [_knots(setting, disc * arms, brightness)]


def _bulge(rng, along, across, size):
    """Spheroid with a steep centre; ellipticals are nothing but this."""
    ratio = per_frame(rng.uniform(0.55, 1.0))
    m = torch.sqrt(along**2 * ratio + across**2 / ratio + 0.15)
    index = per_frame(rng.log_uniform(0.8, 5.0))
    radius = size * per_frame(rng.log_uniform(0.08, 0.6))
    strength = per_frame(rng.log_uniform(0.02, 3.0))
    return strength * sersic(m, radius, index).clamp_max(3e3)


def _disc(rng, along, across, size, shape):
    """Exponential disc with spiral arms, bar, dust and texture; light and arms."""
    flat = per_frame(torch.where(rng.chance(0.2), 0.12, rng.uniform(0.3, 1.0)))
    across = across / flat
    radius = torch.sqrt(along**2 + across**2 + 0.3)
    phase = torch.atan2(across, along)
    winding = radius.clamp_min(1e-2).log() / per_frame(rng.uniform(0.15, 0.6))
    number = per_frame(rng.integers(1, 4) + rng.integers(0, 2))
    wiggle = 0.6 * power_law_field(rng, shape, rng.uniform(2.8, 3.6))
    wave = torch.cos(number * (phase - winding) + wiggle)
    strength = per_frame(rng.uniform(0, 1.0) * rng.chance(0.7))
    arms = ((1 + wave) / 2) ** per_frame(rng.uniform(1.0, 4.0))
    texture = power_law_field(rng, shape, rng.uniform(1.6, 2.8))
    mottle = torch.exp(per_frame(rng.uniform(0.05, 0.6)) * (texture - 0.2))
    profile = torch.exp(-radius / size) * (1 - strength + 2 * strength * arms * mottle)
    profile = profile + _bar(rng, along, across, size)
    return profile * _dust(rng, wave, texture, across, size, flat), arms


def _bar(rng, along, across, size):
    """Box-like bar through the centre."""
    length = size * per_frame(rng.uniform(0.4, 1.0))
    shape = (along / length) ** 4 + (across / (0.3 * length)) ** 4
    strength = per_frame(rng.chance(0.25) * rng.uniform(0.3, 1.5))
    return strength * torch.exp(-shape)


def _dust(rng, wave, texture, across, size, flat):
    """Transmission: lanes at the inner side of the arms, a dark plane if edge-on."""
    lanes = ((wave.roll(3, -1) - 0.2).clamp_min(0) + 0.5 * texture).clamp_min(0)
    lanes = lanes * per_frame(rng.chance(0.6) * rng.uniform(0.1, 1.2))
    plane = torch.exp(-0.5 * (across * flat / (0.04 * size + 0.7)) ** 2)
    plane = plane * (flat < 0.15) * per_frame(rng.uniform(0.0, 1.5))
    return torch.exp(-lanes - plane)


def _knots(setting, where, brightness):
    """Star-forming regions and clusters, drawn where the arms are bright."""
    rng = setting.rng
    frame, each = rng.scatter(rng.poisson(rng.log_uniform(1, 300)))
    row, column = _places(setting, where, frame, each)
    peak = brightness[frame] * each.power_law(1.8, 0.03, 3.0)
    # In bad seeing they drown in each other rather than outshine the galaxy.
    flux = peak / setting.psf.peak[frame].clamp_min(0.04)
    return frame, row, column, flux


def _places(setting, where, frame, each):
    """Random positions with the density of an image, (B, H, W)."""
    cumulative = where.flatten(1).double().cumsum(1)
    cumulative = cumulative / cumulative[:, -1:].clamp_min(1e-30)
    # One sorted table for all frames: frame number plus cumulative probability.
    table = (cumulative + _frame_axis(cumulative)).flatten()
    wanted = frame.double() + each.uniform().double() * 0.999999
    place = torch.searchsorted(table, wanted).clamp_max(len(table) - 1)
    place = place - frame * cumulative.shape[1]
    width = setting.shape[1]
    row = torch.div(place, width, rounding_mode="floor")
    row, column = row + each.uniform(-0.5, 0.5), place % width + each.uniform(-0.5, 0.5)
    return row, column


def _frame_axis(values):
    return torch.arange(len(values), device=values.device)[:, None]


def resolved_galaxy(setting):
    """Nearby galaxies that break up into stars: texture, dust lanes, clusters."""
    rng, shape = setting.rng, setting.shape
    _, light, knots = _large_galaxy(setting, rng.log_uniform(60, 600))
    light = light / light.mean(dim=(1, 2), keepdim=True)
    # Unresolved stars: Poisson fluctuations of their number in each pixel.
    per_pixel = per_frame(rng.log_uniform(0.3, 30))
    texture = (1 + rng.normal(1.0, *shape) / (light * per_pixel).sqrt()).clamp_min(0)
    brightness = per_frame(setting.sigma * rng.log_uniform(1.0, 40.0))
    brightest = setting.peak_flux(rng.log_uniform(30, 3000))
    frame, each = rng.scatter(rng.poisson(rng.log_uniform(300, 5000) * setting.area))
    row, column = _places(setting, light, frame, each)
    slope = rng.uniform(1.7, 2.6)
    flux = each.power_law(slope[frame], setting.peak_flux(0.7, frame), brightest[frame])
    points = [(frame, row, column, flux), field_stars(setting, most=30), *knots]
    return Layers(setting.background(), light * texture * brightness, points)
