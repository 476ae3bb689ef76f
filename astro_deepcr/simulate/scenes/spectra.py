# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Two-dimensional spectra: long slits, echelles, fibres, lamps, and grisms."""

import math

import torch

from .._fields import add_stamps, pixel_grid, power_law_field, smooth_field
from .._random import per_frame
from . import _spectrum as spectrum
from ._layers import Layers
from .stars import field_stars

__all__ = ["arc_lamp", "echelle", "fibres", "long_slit", "slitless"]

# Objects on a long slit, and orders or fibres of a frame: no more than this.
_OBJECTS = 4
_ORDERS = 64


def long_slit(setting):
    """Sky lines, traces of stars, and extended sources that rotate."""
    rng, shape = setting.rng, setting.shape
    rows, columns = pixel_grid(shape, rng.device)
    place = spectrum.dispersion(rng, rows, columns)
    fwhm = rng.log_uniform(1.3, 6.0)
    light = _sky_spectrum(setting, place, fwhm)
    for number in range(_OBJECTS):
        shown = rng.chance(0.8 if number == 0 else 0.4)
        light = light + per_frame(shown) * _trace(setting, place, fwhm)
    for probability in (0.5, 0.25):
        shown = per_frame(rng.chance(probability))
        light = light + shown * _extended_source(setting, place, fwhm)
    light = light * _slit(rng, rows, shape) * _fringes(rng, place, rows, shape)
    scattered = 0.02 * per_frame(setting.sky)
    return Layers(spectrum.orient(rng, light + scattered))


def _frames(rng):
    return per_frame(torch.arange(rng.n, device=rng.device))


def _sky_spectrum(setting, place, fwhm):
    """Night-sky continuum and lines, in electrons per pixel."""
    rng, width = setting.rng, setting.shape[1]
    number = rng.chance(0.85) * rng.log_uniform(2, 100) * width / 256
    lines = spectrum.line_grid(rng, width, number, groups=True)
    lines = spectrum.smear(lines, fwhm) * rng.log_uniform(0.3, 30.0)[:, None]
    sky = spectrum.continuum(rng, width) * setting.sky[:, None]
    sky = sky + lines * setting.sigma[:, None]
    return spectrum.read_off(sky, _frames(rng), place)


def _trace(setting, place, fwhm):
    """Spectrum of a point source, tilted and bent against the rows."""
    rng, shape = setting.rng, setting.shape
    rows, columns = pixel_grid(shape, rng.device)
    x = columns / shape[1] - 0.5
    centre = per_frame(rng.uniform(0.03, 0.97) * shape[0])
    bend = per_frame(rng.normal(8.0)) * x + per_frame(rng.normal(5.0)) * x**2
    seeing = per_frame(rng.log_uniform(1.2, 7.0))
    distance = rows - centre - bend
    profile = spectrum.line_profile(distance, seeing, per_frame(rng.uniform(0, 0.2)))
    light = spectrum.object_spectrum(rng, shape[1], fwhm)
    light = spectrum.read_off(light, _frames(rng), place)
    total = setting.sigma * rng.log_uniform(0.5, 3000)
    return light * profile * per_frame(total)


def _extended_source(setting, place, fwhm):
    """A galaxy along the slit: rotation, clumpy emission lines, faint continuum."""
    rng, shape = setting.rng, setting.shape
    rows, _ = pixel_grid(shape, rng.device)
    size = per_frame(rng.log_uniform(4, 80))
    along = (rows - per_frame(rng.uniform(0.1, 0.9) * shape[0])) / size
    velocity = per_frame(rng.normal(4.0)) * torch.tanh(along * 2)
    ripple = power_law_field(rng, shape, rng.uniform(2.0, 4.0))[:, :, :1]
    ripple = per_frame(rng.log_uniform(0.2, 6.0)) * ripple
    moved = place + velocity + ripple
    profile = torch.exp(-along.abs())
    clumps = power_law_field(rng, shape, rng.uniform(1.5, 3.0))[:, :, :1]
    clumps = torch.exp(per_frame(rng.uniform(0.2, 1.6)) * clumps)
    width = shape[1]
    number = rng.uniform(1, 8) * width / 256
    lines = spectrum.line_grid(rng, width, number, slope=1.3)
    lines = spectrum.smear(lines, (fwhm**2 + rng.log_uniform(0.3, 8.0) ** 2).sqrt())
    lines = spectrum.read_off(lines, _frames(rng), moved)
    smooth = spectrum.read_off(spectrum.continuum(rng, width), _frames(rng), moved)
    strength = per_frame(setting.sigma * rng.log_uniform(0.3, 30))
    return strength * (profile * clumps * lines * 0.1 + profile * smooth * 0.3)


def _slit(rng, rows, shape):
    """Uneven illumination along the slit, and its ends in some frames."""
    uneven = per_frame(rng.log_uniform(0.002, 0.03))
    grooves = power_law_field(rng, shape, rng.uniform(0.5, 2.0))[:, :, :1]
    ends = per_frame(rng.chance(0.35))
    half = per_frame(rng.uniform(0.25, 0.7)) * shape[0]
    centre = per_frame(rng.uniform(0.3, 0.7)) * shape[0]
    blur = per_frame(rng.log_uniform(0.4, 4.0))
    length = spectrum.window(rows - centre, half, blur)
    return (1 + uneven * grooves).clamp_min(0) * torch.where(ends, length, 1.0)


def _fringes(rng, place, rows, shape):
    """Interference in the silicon in the red."""
    strength = per_frame(rng.chance(0.3) * rng.log_uniform(0.005, 0.15))
    period = per_frame(rng.log_uniform(6, 40))
    wander = 3 * smooth_field(rng, shape, 4)
    tilt = per_frame(rng.normal(0.1)) * rows
    return 1 + strength * torch.cos(2 * math.pi * (place + tilt) / period + wander)


def echelle(setting):
    """Orders, sharp across and full of lines along, sometimes with sky or a lamp."""
    rng = setting.rng
    spacing = rng.log_uniform(6, 60)
    growth = rng.uniform(-0.4, 0.8)
    order, across, place = _orders(setting, spacing, growth, curve=25.0)
    fwhm = rng.log_uniform(1.4, 4.5)
    seeing = per_frame(torch.minimum(rng.log_uniform(1.3, 6.0), spacing / 2.5))
    profile = spectrum.line_profile(across, seeing, per_frame(rng.uniform(0, 0.05)))
    stars = _bank(setting, fwhm, spectrum.object_spectrum)
    level = setting.sigma * rng.log_uniform(1.0, 2000)
    light = _read_orders(stars, order, place) * profile * per_frame(level)
    light = light * _blaze(rng, place, setting.shape[1])
    light = light + _order_slit(setting, order, across, place, spacing, fwhm)
    glow = 1 + 0.3 * smooth_field(rng, setting.shape, 3)
    stray = per_frame(setting.sky * 0.1 + level * rng.log_uniform(1e-4, 3e-3)) * glow
    return Layers(spectrum.orient(rng, light + stray.clamp_min(0)))


def fibres(setting):
    """Fibres side by side in bundles, each with its own object, sky in all."""
    rng = setting.rng
    spacing = rng.log_uniform(4, 16)
    fibre, across, place = _orders(setting, spacing, 0 * spacing, curve=3.0)
    bundle = rng.integers(6, 30)
    gap = fibre % per_frame(bundle) == 0
    fwhm = rng.log_uniform(1.5, 4.0)
    seeing = per_frame((spacing * rng.uniform(0.25, 0.5)).clamp_min(1.4))
    profile = spectrum.line_profile(across, seeing, per_frame(rng.uniform(0, 0.05)))
    objects = _bank(setting, fwhm, spectrum.object_spectrum)
    faint = rng.log_uniform(0.1, 1000)
    bright = faint[:, None] * torch.exp(rng.normal(1.2, _ORDERS))
    objects = objects * (bright * setting.sigma[:, None]).view(-1, 1)
    light = _read_orders(objects, fibre, place)
    throughput = (1 + rng.normal(0.15, _ORDERS)).clamp_min(0.1)
    sky = _sky_spectrum(setting, place, fwhm) * per_frame(spacing)
    light = light + sky * torch.gather(throughput, 1, fibre.flatten(1)).view_as(light)
    light = torch.where(gap, 0.0, light) * profile
    return Layers(spectrum.orient(rng, light + 0.05 * per_frame(setting.sky)))


def _orders(setting, spacing, growth, *, curve):
    """Number of the order of each pixel, distance from its centre, wavelength."""
    rng, shape = setting.rng, setting.shape
    rows, columns = pixel_grid(shape, rng.device)
    x = columns / shape[1] - 0.5
    bend = per_frame(rng.normal(curve)) * x**2 + per_frame(rng.normal(15.0)) * x
    y = rows - bend + per_frame(rng.uniform(0, 1) * spacing)
    # The spacing grows along the frame; orders are whole numbers of this coordinate.
    stretch = per_frame(growth) / (2 * shape[0])
    number = y / per_frame(spacing) * (1 + stretch * y)
    order = number.round()
    local = per_frame(spacing) / (1 + 2 * stretch * y).clamp_min(0.2)
    across = (number - order) * local
    tilt = per_frame(rng.normal(0.08)).clamp(-0.3, 0.3)
    shift = torch.sin(order * per_frame(rng.log_uniform(0.02, 1.0)))
    shift = per_frame(rng.uniform(-10, 10)) * shift
    place = columns + tilt * across + shift
    return order.long() % _ORDERS, across, place


def _bank(setting, fwhm, make):
    """One spectrum for each order of each frame, (B * orders, L)."""
    many = setting.rng.many(setting.rng.n * _ORDERS)
    return make(many, setting.shape[1], fwhm.repeat_interleave(_ORDERS))


def _read_orders(bank, order, place):
    frame = per_frame(torch.arange(len(order), device=order.device))
    return spectrum.read_off(bank, frame * _ORDERS + order, place)


def _blaze(rng, place, width):
    """Efficiency along an order."""
    x = (place - per_frame(rng.uniform(0.3, 0.7)) * width) / width
    return torch.sinc(x * per_frame(rng.uniform(0.2, 1.6))) ** 2


def _order_slit(setting, order, across, place, spacing, fwhm):
    """Light that fills the slit in each order: sky, or a lamp."""
    rng = setting.rng
    half = per_frame(spacing * rng.uniform(0.15, 0.45))
    length = spectrum.window(across, half, per_frame(rng.log_uniform(0.4, 1.5)))
    lamp = rng.chance(0.4)
    number = torch.where(lamp, rng.uniform(5, 40), rng.uniform(0, 6))
    number = number * setting.shape[1] / 256

    def lines(many, width, fwhm):
        grid = spectrum.line_grid(
            many, width, number.repeat_interleave(_ORDERS), slope=1.4
        )
        return spectrum.smear(grid, fwhm)

    bright = torch.where(lamp, rng.log_uniform(1, 30), rng.log_uniform(0.1, 3))
    light = _read_orders(_bank(setting, fwhm, lines), order, place)
    light = light * per_frame(bright * setting.sigma)
    return (light + 0.2 * per_frame(setting.sky)) * length


def arc_lamp(setting):
    """Emission lines of a lamp through a slit; the brightest may saturate."""
    rng, shape = setting.rng, setting.shape
    rows, columns = pixel_grid(shape, rng.device)
    place = spectrum.dispersion(rng, rows, columns)
    fwhm = rng.log_uniform(1.3, 6.0)
    number = rng.log_uniform(5, 80) * shape[1] / 256
    lines = spectrum.line_grid(rng, shape[1], number, slope=1.3)
    lines = spectrum.smear(lines, fwhm)
    strength = setting.sigma * rng.log_uniform(1.0, 300)
    light = spectrum.read_off(lines, _frames(rng), place) * per_frame(strength)
    light = (light + 0.1 * per_frame(setting.sky)) * _slit(rng, rows, shape)
    return Layers(spectrum.orient(rng, light))


def slitless(setting):
    """Grism images: each object drawn out into its spectrum, with zeroth orders."""
    rng, shape = setting.rng, setting.shape
    background = setting.background()
    frame, row, column, flux = field_stars(setting, most=80)
    each = rng.many(len(frame))
    length = rng.log_uniform(30, 200)[frame] * each.uniform(0.9, 1.1)
    half = shape[1] // 2
    along = torch.arange(-half, half + 1, device=rng.device)[None, None, :]
    across = torch.arange(-6, 7, device=rng.device)[None, :, None]
    tilt = per_frame(rng.normal(0.02)[frame])
    distance = across - per_frame(row - row.round()) - tilt * along
    width = rng.log_uniform(1.2, 3.5)[frame] * each.power_law(3.0, 1.0, 5.0)
    profile = spectrum.line_profile(distance, per_frame(width.clamp_max(6.0)), 0.02)
    light = spectrum.object_spectrum(each, 2 * half + 1, width)
    light = light[:, :: spectrum.SAMPLES][:, spectrum.MARGIN :][:, : 2 * half + 1]
    band = spectrum.window(along, per_frame(length / 2), 4.0)
    stamps = light[:, None, :] * profile * band * per_frame(flux * 2 / length.sqrt())
    centre = (column + each.uniform(-5, 5)).round().long()
    add_stamps(background, frame, row.round().long(), centre, stamps)
    zeroth = (frame, row, column - length, flux * 0.05)
    return Layers(background, points=[zeroth])
