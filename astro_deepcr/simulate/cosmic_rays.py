# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Cosmic rays: the charge they leave in frames, and which event left it."""

import math
from dataclasses import dataclass

import numpy as np
import torch
from astropy import units as u
from astropy.table import QTable

from ..devices import resolve_device
from ._random import Draws, check_device, check_generator
from ._raster import bloom, rasterise
from ._tracks import draw_particles, free_charges
from .detectors import get_detector
from .environments import KINDS, get_environment

__all__ = ["CosmicRays", "draw_cosmic_rays", "simulate_cosmic_rays"]

#: A pixel counts as hit where an event gives it this many times the read noise.
HIT_THRESHOLD = 3.0


@dataclass(frozen=True)
class CosmicRays:
    """
    Cosmic rays of a batch of frames.

    Parameters
    ----------
    charge : (B, H, W) `torch.Tensor`
        Electrons, in single precision.
    event_id : (B, H, W) `torch.Tensor`
        0 where no event reaches, else 1 + the index in ``events`` of the event that
        gives the pixel most charge.
    events : dict of `torch.Tensor`
        One-dimensional: ``frame``, ``kind`` (index in ``KINDS``),
        ``energy`` (MeV), ``row`` and ``column`` of entry, ``polar`` and ``azimuth``
        angle (rad), ``length`` of a straight path (um), ``charge`` inside the frame
        (electrons) and ``pixels`` above three times the read noise.
    """

    charge: torch.Tensor
    event_id: torch.Tensor
    events: dict


def draw_cosmic_rays(
    shape,
    detectors,
    environments,
    exposure_times,
    *,
    generator,
    rate_factors=1.0,
    device="cpu",
):
    """
    Draw the cosmic rays of a batch of frames.

    Parameters
    ----------
    shape : tuple of int
        Rows and columns of each frame.
    detectors : list of Detector
        One per frame.
    environments : list of Environment
        One per frame.
    exposure_times : array-like or `~astropy.units.Quantity`
        Seconds, one per frame or one for all.
    generator : `torch.Generator`
        Source of all randomness, on ``device``.
    rate_factors : array-like, optional
        The rates are multiplied by these.
    device : str or `torch.device`, optional
        Where the tensors live.

    Returns
    -------
    cosmic_rays : CosmicRays
        Charge, event of each pixel, and table of events.

    Raises
    ------
    ValueError
        If the shape is impossible, the lists differ in length, or a time or factor
        is negative or not finite.

    Examples
    --------
    >>> import torch
    >>> from astro_deepcr.simulate import draw_cosmic_rays, get_detector, Environment
    >>> generator = torch.Generator().manual_seed(1)
    >>> batch = draw_cosmic_rays(
    ...     (64, 64), [get_detector('ACS/WFC')] * 2,
    ...     [Environment.low_earth_orbit()] * 2, 500.0, generator=generator)
    >>> batch.charge.shape
    torch.Size([2, 64, 64])
    """
    check_generator(generator, device)
    exposure_times = _seconds(exposure_times)
    _check_batch(detectors, environments, exposure_times, rate_factors)
    shape, device = _check_shape(shape), torch.device(device)
    geometry = torch.tensor(
        [detector._geometry for detector in detectors],
        dtype=torch.float32,
        device=device,
    )
    species = _species(environments, exposure_times, rate_factors, device)
    rng = Draws(generator, len(detectors))
    particles = draw_particles(rng, geometry, species, shape)
    each = rng.many(len(particles.frame))
    charges = free_charges(each, particles, geometry)
    pixels = rasterise(charges, len(particles.frame), shape)
    full_well, read_noise = torch.tensor(
        [(one.full_well.value, one.read_noise.value) for one in detectors],
        dtype=torch.float32,
        device=device,
    ).T[:, particles.frame]
    pixels = bloom(pixels, full_well, shape)
    return _collect(particles, pixels, geometry, read_noise, shape)


def _species(environments, exposure_times, rate_factors, device):
    """All species of all frames, with their expected number per um2."""
    factor = np.broadcast_to(
        np.asarray(exposure_times, float) * np.asarray(rate_factors, float),
        len(environments),
    )
    rows = [
        (frame, kind, rate * factor[frame], *others)
        for frame, environment in enumerate(environments)
        for kind, rate, *others in environment._numbers
    ]
    names = ("frame", "kind", "number", "charge_number", "lowest", "highest", "slope")
    names = (*names, "angular_power", "tilt")
    table = torch.tensor(rows, dtype=torch.float32, device=device)
    species = dict(zip(names, table.T, strict=True))
    # a slope of 1 is a logarithm; as good as one is a power close to it
    species["slope"] = species["slope"] + 1e-3
    return species | {name: species[name].long() for name in ("frame", "kind")}


def _collect(particles, pixels, geometry, read_noise, shape):
    """Images and table of the events that left charge."""
    size = len(geometry) * math.prod(shape)
    found, event = torch.unique(pixels.event, return_inverse=True)
    charge = torch.zeros(size, dtype=torch.float64, device=geometry.device)
    charge.index_add_(0, pixels.pixel, pixels.charge.double())
    most = torch.zeros(size, device=geometry.device)
    most.scatter_reduce_(0, pixels.pixel, pixels.charge, "amax")
    first = pixels.charge == most[pixels.pixel]
    event_id = torch.zeros(size, dtype=torch.int64, device=geometry.device)
    event_id.scatter_reduce_(0, pixels.pixel[first], event[first] + 1, "amax")
    hit = pixels.charge > HIT_THRESHOLD * read_noise[pixels.event]
    particles = particles[found]
    total = torch.zeros(len(found), dtype=torch.float64, device=geometry.device)
    events = _describe(particles, geometry[particles.frame])
    events["charge"] = total.index_add(0, event, pixels.charge.double()).float()
    events["pixels"] = torch.bincount(event[hit], minlength=len(found))
    shape = (len(geometry), *shape)
    return CosmicRays(charge.float().reshape(shape), event_id.reshape(shape), events)


def _describe(particles, geometry):
    """Physical columns of the table of events."""
    place = particles.start[:, :2] / geometry[:, :2] - 0.5
    direction = particles.direction
    nucleons = torch.where(
        particles.charge_number > 1, 2 * particles.charge_number, 1.0
    )
    return {
        "frame": particles.frame,
        "kind": particles.kind,
        "energy": particles.energy * nucleons,
        "row": place[:, 0],
        "column": place[:, 1],
        "polar": torch.acos(direction[:, 2].abs().clamp(max=1.0)),
        "azimuth": torch.atan2(direction[:, 0], direction[:, 1]),
        "length": particles.length,
    }


_UNITS = {
    "energy": u.MeV,
    "polar": u.rad,
    "azimuth": u.rad,
    "length": u.um,
    "charge": u.electron,
}


def simulate_cosmic_rays(
    shape, detector, environment, exposure_time, *, seed=None, rng=None, device="cpu"
):
    """
    Simulate the cosmic rays of one frame.

    Parameters
    ----------
    shape : tuple of int
        Rows and columns.
    detector : str or Detector
        One of `list_detectors`, or your own.
    environment : str or Environment
        One of `list_environments`, or your own.
    exposure_time : `~astropy.units.Quantity`
        Time between the end of the last and the end of this read-out.
    seed : int, optional
        The same seed gives the same frame on the same device; `None` draws one.
    rng : `torch.Generator`, optional
        Instead of a seed; on ``device``.
    device : str or `torch.device`, optional
        Where it is computed, as in `~astro_deepcr.cosmicray_deepcr`; the
        result is always in NumPy arrays.

    Returns
    -------
    charge : `~astropy.units.Quantity`
        Electrons that cosmic rays leave in each pixel, of the given shape.
    event_id : `~numpy.ndarray`
        0 where no event reaches, else 1 + the row in ``events`` of the event that
        gives the pixel most charge.
    events : `~astropy.table.QTable`
        Kind, energy, row and column of entry (pixels, centre of the first pixel at 0),
        polar and azimuth angle (from +x towards +y), length of the straight path
        through the silicon (also if the particle stops before its end; 0 of electrons,
        whose paths are not straight), charge
        inside the frame, and number of pixels above three times the read noise.

    Raises
    ------
    ValueError
        If the shape or the exposure time is impossible, or a name is not known.

    Examples
    --------
    >>> from astropy import units as u
    >>> from astro_deepcr.simulate import simulate_cosmic_rays
    >>> charge, event_id, events = simulate_cosmic_rays(
    ...     (256, 256), 'ACS/WFC', 'low Earth orbit', 500 * u.s, seed=2)
    >>> charge.shape, charge.unit
    ((256, 256), Unit("electron"))
    >>> bool(event_id.max() == len(events))
    True
    """
    shape = _check_shape(shape)
    detector, environment = get_detector(detector), get_environment(environment)
    seconds, device = _check_time(exposure_time), resolve_device(device)
    check_device(device)
    if rng is None:
        rng = torch.Generator(device)
        rng.seed() if seed is None else rng.manual_seed(int(seed))
    elif seed is not None:
        msg = "seed and rng exclude each other; give one of them."
        raise ValueError(msg)
    drawn = draw_cosmic_rays(
        shape, [detector], [environment], seconds, generator=rng, device=device
    )
    columns = {name: value.cpu().numpy() for name, value in drawn.events.items()}
    del columns["frame"]
    columns["kind"] = np.array(KINDS)[columns["kind"]]
    for name, unit in _UNITS.items():
        columns[name] = columns[name] * unit
    charge, event_id = drawn.charge[0].cpu().numpy(), drawn.event_id[0].cpu().numpy()
    return charge * u.electron, event_id, QTable(columns)


def _check_shape(shape):
    try:
        rows, columns = (int(n) for n in shape)
    except (TypeError, ValueError):
        rows = columns = 0
    if rows < 1 or columns < 1:
        msg = f"shape={shape!r} must be two positive whole numbers: rows and columns."
        raise ValueError(msg)
    return rows, columns


def _check_batch(detectors, environments, exposure_times, rate_factors):
    if not detectors or len(detectors) != len(environments):
        msg = (
            f"{len(detectors)} detectors and {len(environments)} environments were "
            "given; give one of each per frame."
        )
        raise ValueError(msg)
    for name, values in (
        ("exposure_times", exposure_times),
        ("rate_factors", rate_factors),
    ):
        values = np.asarray(values, dtype=float)
        if values.ndim and values.shape != (len(detectors),):
            msg = f"{name} has shape {values.shape} for {len(detectors)} frames."
            raise ValueError(msg)
        if not np.all((values >= 0) & np.isfinite(values)):
            msg = f"{name}={values} must be finite and 0 or more."
            raise ValueError(msg)


def _seconds(times):
    """Return times, or quantities of time, in seconds."""
    if torch.is_tensor(times):
        return times
    try:
        return u.Quantity(times, u.s).value
    except (TypeError, u.UnitConversionError):
        msg = f"exposure_times={times!r} must be seconds, or times such as 60 * u.s."
        raise ValueError(msg) from None


def _check_time(exposure_time):
    try:
        seconds = u.Quantity(exposure_time).to_value(u.s)
    except (TypeError, u.UnitConversionError):
        seconds = math.nan
    if not (np.ndim(seconds) == 0 and 0 <= seconds < math.inf):
        msg = f"exposure_time={exposure_time!r} must be one time, for example 60 * u.s."
        raise ValueError(msg)
    return float(seconds)
