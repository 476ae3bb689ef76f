# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Star fields, from nearly empty ones to cores of globular clusters."""

import math

import torch

from .._fields import pixel_grid, rotated
from .._random import per_frame
from ._layers import Layers

__all__ = ["bright_stars", "cluster", "field_stars", "stars"]

# Saturated stars are drawn one by one over the whole frame; no more than this.
_GIANTS = 2


def stars(setting):
    """Star fields of any density, up to fields in the Milky Way's plane."""
    points = field_stars(setting, fewest=5, most=4000)
    return Layers(setting.background(), points=[points])


def field_stars(setting, *, fewest=1, most=60):
    """Stars spread evenly, with a power law of fluxes; a list of points."""
    rng, shape = setting.rng, setting.shape
    counts = rng.poisson(rng.log_uniform(fewest, most) * setting.area)
    slope = rng.uniform(1.3, 2.1)
    faintest = setting.peak_flux(rng.log_uniform(0.5, 5))
    brightest = faintest * rng.log_uniform(30, 1e5)
    brightest = torch.minimum(brightest, setting.brightest_flux(20))
    frame, each = rng.scatter(counts)
    flux = each.power_law(slope[frame], faintest[frame], brightest[frame])
    return frame, each.uniform(-4, shape[0] + 3), each.uniform(-4, shape[1] + 3), flux


def cluster(setting):
    """Star clusters with a dense core, and the light of stars too faint to see."""
    rng, shape = setting.rng, setting.shape
    core = rng.log_uniform(15, 400)
    centre = rng.uniform(0, 1, 2) * torch.tensor(shape, device=rng.device)
    # Stars per pixel in the centre; thinned out as a Plummer sphere in projection.
    # Small clusters are dense, too: a hundred stars at least.
    sparsest = (100 / (math.pi * core**2)).clamp(0.005, 0.1)
    density = rng.log_uniform(sparsest, 0.15)
    frame, each = rng.scatter(rng.poisson(density * math.prod(shape)))
    row, column = each.uniform(-4, shape[0] + 3), each.uniform(-4, shape[1] + 3)
    r2 = (row - centre[frame, 0]) ** 2 + (column - centre[frame, 1]) ** 2
    kept = each.chance((1 + r2 / core[frame] ** 2) ** -2)
    flux = _cluster_fluxes(setting, frame, each)
    points = tuple(values[kept] for values in (frame, row, column, flux))
    rows, columns = pixel_grid(shape, rng.device)
    dy, dx = rows - per_frame(centre[:, 0]), columns - per_frame(centre[:, 1])
    glow = per_frame(setting.sigma * rng.log_uniform(0.3, 30))
    glow = glow / (1 + (dy**2 + dx**2) / per_frame(core) ** 2) ** 2
    return Layers(
        setting.background() + glow, points=[points, field_stars(setting, most=20)]
    )


def _cluster_fluxes(setting, frame, each):
    """Main sequence and giant branch (a power law) with a horizontal branch."""
    rng = setting.rng
    faintest = setting.peak_flux(rng.log_uniform(0.3, 20))
    brightest = faintest * rng.log_uniform(300, 3e4)
    # Observers choose exposures in which the cores of most giants survive.
    brightest = torch.minimum(brightest, setting.brightest_flux(3))
    slope = rng.uniform(1.4, 2.1)
    flux = each.power_law(slope[frame], faintest[frame], brightest[frame])
    branch = (faintest * brightest).sqrt()[frame] * torch.exp(each.normal(0.15))
    return torch.where(each.chance(0.03), branch, flux)


def bright_stars(setting):
    """Saturated stars with haloes, spikes and ghosts among fainter ones."""
    rng, shape = setting.rng, setting.shape
    detector = setting.background()
    size = torch.tensor(shape, device=rng.device)
    points = [field_stars(setting, most=400)]
    for number in range(_GIANTS):
        centre = rng.uniform(-0.05, 1.05, 2) * size
        shown = rng.chance(1.0 if number == 0 else 0.4)
        # How far the core would go above the full well, were there no limit.
        flux = setting.saturating_flux * rng.log_uniform(0.5, 300)
        flux = flux * shown
        detector = detector + _halo(setting, centre, flux)
        detector = detector + _ghost(setting, centre, flux)
        frame = torch.arange(rng.n, device=rng.device)
        points.append((frame, centre[:, 0], centre[:, 1], flux.clamp_min(1e-3)))
    return Layers(detector, points=points)


def _halo(setting, centre, flux):
    """Wings of a very bright star, far beyond its template, and diffraction spikes."""
    rng = setting.rng
    rows, columns = pixel_grid(setting.shape, rng.device)
    dy, dx = rows - per_frame(centre[:, 0]), columns - per_frame(centre[:, 1])
    radius = torch.hypot(dy, dx)
    ring, start = setting.psf.wing
    scattered = per_frame(flux * ring)
    # It takes over, at the same brightness, where the template ends.
    halo = scattered / (1 + (radius / start) ** per_frame(rng.uniform(2.0, 3.2)))
    angle = rng.uniform(0, math.pi)
    width = per_frame(rng.log_uniform(0.6, 2.0))
    strength = per_frame(rng.chance(0.8) * rng.log_uniform(0.05, 1.0))
    strength = strength * per_frame(flux) * 3e-3
    ripple = per_frame(rng.log_uniform(3.0, 25.0))
    for turn in (0.0, math.pi / 2):
        along, across = rotated(dy, dx, per_frame(angle + turn))
        along = along.abs() + 4.0
        # Spikes fall with the square of the distance and show broad-band ripples.
        spike = torch.exp(-0.5 * (across / width) ** 2) * along**-1.6
        halo = halo + strength * spike * (1 + 0.3 * torch.cos(along / ripple * 6.28))
    return halo


def _ghost(setting, centre, flux):
    """Out-of-focus reflection: a faint disc with a hole, beside the star."""
    rng = setting.rng
    rows, columns = pixel_grid(setting.shape, rng.device)
    place = centre + rng.normal(40.0, 2)
    outer = per_frame(rng.log_uniform(8, 60))
    inner = outer * per_frame(rng.uniform(0.2, 0.5))
    dy, dx = rows - per_frame(place[:, 0]), columns - per_frame(place[:, 1])
    radius = torch.hypot(dy, dx)
    disc = (outer - radius + 0.5).clamp(0, 1) * (radius - inner + 0.5).clamp(0, 1)
    light = per_frame(rng.chance(0.4) * flux * rng.log_uniform(1e-5, 3e-4))
    return light * disc / outer**2
