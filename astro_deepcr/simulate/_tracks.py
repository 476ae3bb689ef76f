# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
Particles on their way through silicon: from rates to clouds of charge.

Primaries are straight legs; electrons (from Compton scattering and from hard
collisions) are random walks of many legs. Legs are cut into pieces with a loss each,
and what the pieces and the small hard collisions free diffuses towards the gates.
Positions are in um from the corner of the frame along columns (y) and rows (x), and
from the gates (z).
"""

import math
from dataclasses import dataclass

import torch

from . import _silicon as silicon
from ._raster import Charges
from .environments import KINDS

__all__ = []

ELECTRON = KINDS.index("electron")
MARGIN = 10.0  # thicknesses around the frame from which tracks may enter
PIECE = 0.7  # pixels; its own width is added to the diffusion
PIECES = 4  # at least, so that the diffusion follows the depth
WALK_STEPS = 64
TRACKED_ENERGY = 20.0  # keV, above which a struck electron has a track
SMALLEST_SIGMA = 0.05  # pixels


@dataclass(frozen=True)
class Particles:
    """Primaries that may touch a frame; one-dimensional tensors."""

    frame: torch.Tensor
    kind: torch.Tensor
    charge_number: torch.Tensor
    energy: torch.Tensor  # MeV, per nucleon
    start: torch.Tensor  # (N, 3), um
    direction: torch.Tensor  # (N, 3)
    length: torch.Tensor  # um in the silicon

    def __getitem__(self, index):
        return Particles(*(value[index] for value in vars(self).values()))


@dataclass(frozen=True)
class Legs:
    """Straight stretches along which energy is lost."""

    event: torch.Tensor
    start: torch.Tensor
    direction: torch.Tensor
    length: torch.Tensor
    mean: torch.Tensor  # soft loss per um, at the start
    variance: torch.Tensor
    stopping: torch.Tensor  # path after which the particle has stopped


def draw_particles(rng, geometry, species, area_shape):
    """
    Draw the primaries of a batch.

    Parameters
    ----------
    rng : Draws
        One per frame.
    geometry : (B, 5) `torch.Tensor`
        ``Detector._geometry`` of each frame.
    species : dict of `torch.Tensor`
        What `Environment` lists, with the frame and expected number per um2.
    area_shape : tuple of int
        Rows and columns of a frame.

    Returns
    -------
    particles : Particles
        In the order of their frames.
    """
    size = geometry[:, :2] * torch.tensor(area_shape, device=rng.device)
    margin = MARGIN * geometry[:, 2:3]
    azimuth = rng.uniform(0, 2 * math.pi)
    frame = species["frame"]
    area = (size + 2 * margin).prod(dim=1)[frame]
    crossing = species["kind"] != ELECTRON
    power = species["angular_power"]
    # directions are drawn without the cosine of a surface's projection, and thinned
    boost = torch.where(crossing, (power + 2) / (power + 1), 1.0)
    counts = rng.poisson(species["number"] * area * boost)
    owner, each = rng.many(len(frame)).scatter(counts)
    frame, crossing = frame[owner], crossing[owner]
    direction = _directions(
        each, power[owner], species["tilt"][owner], azimuth[frame], crossing
    )
    thickness = geometry[frame, 2]
    place = each.uniform(0, 1, 2) * (size + 2 * margin)[frame] - margin[frame]
    height = thickness * torch.where(crossing, 0.5, each.uniform())
    cosine = direction[:, 2].abs().clamp(min=1 / math.hypot(1, 2 * MARGIN))
    length = torch.where(crossing, thickness / cosine, 0.0)
    start = torch.cat([place, height[:, None]], 1) - direction * length[:, None] / 2
    particles = Particles(
        frame,
        species["kind"][owner],
        species["charge_number"][owner],
        each.power_law(
            species["slope"][owner],
            *(species[name][owner] for name in ("lowest", "highest")),
        ),
        start,
        direction,
        length,
    )
    seen = each.uniform() < torch.where(crossing, direction[:, 2].abs(), 1.0)
    return particles[seen & _touches(particles, size[frame], thickness)]


def _directions(rng, power, tilt, azimuth, crossing):
    """Directions with an intensity of cos^power around a tilted vertical."""
    cosine = (1 - rng.uniform()) ** (1 / (1 + power))
    around = rng.uniform(0, 2 * math.pi)
    sine = torch.sqrt((1 - cosine**2).clamp(min=0))
    along, across = sine * torch.cos(around), sine * torch.sin(around)
    tilted = along * torch.cos(tilt) + cosine * torch.sin(tilt)
    up = cosine * torch.cos(tilt) - along * torch.sin(tilt)
    y = tilted * torch.sin(azimuth) + across * torch.cos(azimuth)
    x = tilted * torch.cos(azimuth) - across * torch.sin(azimuth)
    # whatever is not bound to the vertical comes from either side
    side = torch.where(rng.chance(0.5) & (power == 0), 1.0, -1.0)
    z = side * up
    steep = 1 / math.hypot(1, 2 * MARGIN)
    shallow = crossing & (z.abs() < steep)
    z = torch.where(shallow, torch.copysign(torch.full_like(z, steep), z), z)
    return torch.nn.functional.normalize(torch.stack([y, x, z], 1), dim=1)


def _touches(particles, size, thickness):
    """Whether a track, and what it frees nearby, may reach the frame."""
    reach = thickness + torch.where(
        particles.kind == ELECTRON,
        silicon.electron_range(1e3 * particles.energy),
        50.0,
    )
    first = particles.start[:, :2]
    last = first + (particles.direction * particles.length[:, None])[:, :2]
    low, high = torch.minimum(first, last), torch.maximum(first, last)
    near = (high > -reach[:, None]) & (low < size + reach[:, None])
    return near.all(dim=1)


def free_charges(rng, particles, geometry):
    """
    Let particles lose energy, and the charge diffuse.

    Parameters
    ----------
    rng : Draws
        One per particle.
    particles : Particles
        What crosses the detectors.
    geometry : (B, 5) `torch.Tensor`
        ``Detector._geometry`` of each frame.

    Returns
    -------
    charges : Charges
        Positions and widths in pixels.
    """
    geometry = geometry[particles.frame]
    primary, event, transfer, place, heading = _cross(rng, particles)
    compton = particles.kind == ELECTRON
    born = torch.nonzero(compton)[:, 0]
    tracked = transfer > TRACKED_ENERGY
    walks = _walk(
        rng,
        torch.cat([born, event[tracked]]),
        torch.cat([1e3 * particles.energy[born], transfer[tracked]]),
        torch.cat([particles.start[born], place[tracked]]),
        torch.cat([particles.direction[born], heading[tracked]]),
        geometry[:, 2],
    )
    parts = [_pieces(rng, legs, geometry) for legs in (primary, walks)]
    point = ~tracked
    still = torch.zeros_like(place[point])
    parts.append((event[point], place[point], still, transfer[point]))
    event, place, extent, energy = (
        torch.cat(part) for part in zip(*parts, strict=True)
    )
    return _diffuse(event, place, extent, energy, particles.frame, geometry)


def _cross(rng, particles):
    """Legs of the primaries that cross, and their hard collisions."""
    crossing = torch.nonzero(particles.kind != ELECTRON)[:, 0]
    one = particles[crossing]
    mass = torch.tensor(silicon.MASSES_MEV, device=rng.device)[one.kind]
    bg2 = silicon.momentum2(one.energy, mass)
    mean, variance, number, lowest, highest = silicon.collisions(one.charge_number, bg2)
    nucleons = torch.where(one.charge_number > 1, 2 * one.charge_number, 1)
    total = mean + lowest * number * torch.log(highest / lowest)
    stopping = 1e3 * one.energy * nucleons / (silicon.RANGE_POWER * total)
    stops = torch.minimum(one.length, stopping)
    legs = Legs(
        crossing, one.start, one.direction, one.length, mean, variance, stopping
    )
    owner, each = rng.many(len(crossing)).scatter(rng.poisson(number * stops))
    transfer = silicon.hard_transfers(each, lowest[owner], highest[owner])
    along = each.uniform() * stops[owner]
    place = one.start[owner] + along[:, None] * one.direction[owner]
    speed = torch.sqrt(transfer / (transfer + 2 * silicon.ELECTRON_MASS))
    fastest = torch.sqrt(highest / (highest + 2 * silicon.ELECTRON_MASS))[owner]
    cosine = (speed / fastest).clamp(max=1.0)
    around = each.uniform(0, 2 * math.pi)
    heading = _turn(one.direction[owner], cosine, around)
    return legs, crossing[owner], transfer, place, heading


def _turn(direction, cosine, around):
    """Turn directions by an angle, to the side that ``around`` says."""
    helper = torch.zeros_like(direction)
    helper.scatter_(1, direction.abs().argmin(dim=1, keepdim=True), 1.0)
    first = torch.linalg.cross(direction, helper, dim=1)
    first = torch.nn.functional.normalize(first, dim=1)
    second = torch.linalg.cross(direction, first, dim=1)
    cosine, around = cosine[:, None], around[:, None]
    side = torch.cos(around) * first + torch.sin(around) * second
    turned = cosine * direction + torch.sqrt((1 - cosine**2).clamp(min=0)) * side
    return torch.nn.functional.normalize(turned, dim=1)


def _walk(rng, event, energy, place, direction, thickness):
    """Random walks of electrons, until they stop or leave the silicon."""
    rng = rng.many(len(event))
    path = silicon.electron_range(energy)
    step = path / WALK_STEPS
    left = torch.arange(WALK_STEPS, -1, -1, device=rng.device)[:, None] * step
    energies = torch.where(left > 0, silicon.electron_energy(left), 0.0)
    lost = -torch.diff(energies, dim=0)
    angle = silicon.scattering_angle((energies[:-1] + energies[1:]) / 2, step, path)
    # two projected angles, mapped so that large ones become isotropic
    squared = angle**2 * (rng.normal(1.0, WALK_STEPS) ** 2).T
    squared = squared + angle**2 * (rng.normal(1.0, WALK_STEPS) ** 2).T
    cosines = 2 * torch.exp(-squared / 4) - 1
    around = rng.uniform(0, 2 * math.pi, WALK_STEPS).T
    headings = [direction]
    for i in range(WALK_STEPS - 1):
        headings.append(_turn(headings[-1], cosines[i], around[i]))
    headings = torch.stack(headings)
    ends = place + torch.cumsum(headings * step[:, None], dim=0)
    starts = torch.cat([place[None], ends[:-1]])
    height = starts[..., 2]
    inside = (height > 0) & (height < thickness[event])
    keep = torch.cumprod(inside, dim=0).bool() & (lost > 0)
    owner = torch.nonzero(keep)[:, 1]
    return _electron_legs(
        event[owner], starts[keep], headings[keep], step[owner], lost[keep]
    )


def _electron_legs(event, start, heading, length, lost):
    """Legs of known loss: an electron ionises as its loss says."""
    mean = lost / length
    spread = silicon.SOFT_VARIANCE + silicon.LANDAU_WIDTH * silicon.SPLIT_ENERGY
    # no more than an electron has
    variance = torch.minimum(spread * mean / silicon.SOFT_LOSS, mean * lost / 4)
    never = torch.full_like(length, math.inf)
    return Legs(event, start, heading, length, mean, variance, never)


def _pieces(rng, legs, geometry):
    """Cut legs into pieces, with the energy lost in each."""
    geometry = geometry[legs.event]
    extent = (legs.direction[:, :2] * legs.length[:, None]) / geometry[:, :2]
    steep = legs.direction[:, 2].abs() * legs.length / geometry[:, 2]
    number = torch.maximum(
        extent.norm(dim=1) / PIECE, (PIECES * steep).clamp(max=PIECES)
    )
    number = number.ceil().clamp(min=1)
    leg, each = rng.many(len(number)).scatter(number)
    first = torch.repeat_interleave(torch.cumsum(number, 0) - number, number.long())
    index = torch.arange(len(leg), device=rng.device) - first
    step = legs.length[leg] / number[leg]
    mean = _mean_loss(legs.mean[leg], index * step, step, legs.stopping[leg])
    lost = mean > 0
    leg, step, mean, index = leg[lost], step[lost], mean[lost], index[lost]
    variance = legs.variance[leg] * mean / legs.mean[leg]
    loss = silicon.inverse_gaussian(each.many(len(leg)), mean, variance)
    direction = legs.direction[leg]
    along = ((index + 0.5) * step)[:, None]
    place = legs.start[leg] + along * direction
    inside = (place[:, 2] > 0) & (place[:, 2] < geometry[leg, 2])
    parts = (legs.event[leg], place, step[:, None] * direction, loss)
    return tuple(part[inside] for part in parts)


def _mean_loss(rate, path, step, stopping):
    """Mean loss between ``path`` and ``path + step`` as a particle slows down."""
    power = 1 / silicon.RANGE_POWER

    def remaining(where):
        return torch.expm1(torch.log1p(-(where / stopping).clamp(max=1.0)) * power)

    slowed = rate * stopping / power * (remaining(path) - remaining(path + step))
    return torch.where(stopping > 1e4 * (path + step), rate * step, slowed)


def _diffuse(event, place, extent, energy, frame, geometry):
    """Clouds of charge at the gates, in pixels."""
    geometry = geometry[event]
    depleted, sigma = geometry[:, 3], geometry[:, 4]
    depth = place[:, 2]
    drift = sigma**2 * (depth / depleted).clamp(0, 1)
    above = (depth - depleted).clamp(min=0)
    # escape from a field-free layer that reflects at the back: variance 2 h L - h^2,
    # as a mixture of two, because the time to escape has a spread of sqrt(2/3)
    free = 2 * above * (geometry[:, 2] - depleted) - above**2
    wide = free > 0
    spread = math.sqrt(2 / 3) * free
    charge = energy / silicon.PAIR_ENERGY * torch.where(wide, 0.5, 1.0)
    variance = torch.cat([drift + free - spread, (drift + free + spread)[wide]])
    event, place, extent, geometry, charge = (
        torch.cat([value, value[wide]])
        for value in (event, place, extent, geometry, charge)
    )
    size = geometry[:, :2]
    variance = variance[:, None] / size**2 + (extent[:, :2] / size) ** 2 / 12
    sigma = torch.sqrt(variance).clamp(min=SMALLEST_SIGMA)
    pixel = place[:, :2] / size - 0.5
    return Charges(
        event, frame[event], pixel[:, 0], pixel[:, 1], sigma[:, 0], sigma[:, 1], charge
    )
