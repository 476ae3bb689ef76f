# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Frames of any kind of scene, with cosmic rays and exact truth."""

from dataclasses import dataclass
from numbers import Integral

import torch
from torch.nn import functional

from . import nuisances as effects
from ._cameras import check_scenes, draw_cameras
from ._random import Draws, check_device, check_generator, per_frame
from .cosmic_rays import draw_cosmic_rays
from .scenes import Setting, draw_scenes

__all__ = ["Frames", "simulate_frames"]

# Pixels that belong to an event are at most this far from where it struck.
_LONGEST_TRAIL = 12


@dataclass(frozen=True)
class Frames:
    """
    A batch of frames and the truth about them; all images are in electrons.

    Parameters
    ----------
    image : (B, H, W) `torch.Tensor`
        What the detector gives: with cosmic rays, noise, quantisation and saturation.
    clean : (B, H, W) `torch.Tensor`
        What was expected without noise and cosmic rays; hot pixels belong to it.
    sigma : (B, H, W) `torch.Tensor`
        Noise of each pixel without cosmic rays.
    charge : (B, H, W) `torch.Tensor`
        Charge of cosmic rays.
    event_id : (B, H, W) `torch.Tensor`
        0, or the number of the event that gives a pixel most charge.
    saturated : (B, H, W) `torch.Tensor`
        Pixels where nothing can be told: at the full well or the converter's limit.
    bad : (B, H, W) `torch.Tensor`
        Hot, weak and dead pixels that a bad-pixel mask would hold.
    star_cores : (N, 3) `torch.Tensor`
        Frame, row and column of peaks of stars and galaxies.
    meta : list of dict
        Of each frame: scene, detector, environment, exposure time, sky and so on.
    """

    image: torch.Tensor
    clean: torch.Tensor
    sigma: torch.Tensor
    charge: torch.Tensor
    event_id: torch.Tensor
    saturated: torch.Tensor
    bad: torch.Tensor
    star_cores: torch.Tensor
    meta: list

    @property
    def soft_label(self):
        """How much of a cosmic ray a pixel is: 0 below 0.6 sigma, 1 above 2.5 sigma."""
        return soft_label(self.charge, self.sigma)

    @property
    def ignore(self):
        """Pixels that training leaves out: with faint or hidden cosmic rays."""
        return is_unclear(self.charge, self.sigma) | self._hidden

    @property
    def truth(self):
        """Pixels that scoring counts as cosmic rays: at least three sigma of charge."""
        return (self.charge >= 3 * self.sigma) & ~self._hidden

    @property
    def score_ignore(self):
        """Pixels that scoring leaves out: neither cosmic ray nor clean."""
        floor = (0.5 * self.sigma).clamp_min(2.0)
        unclear = (self.charge.abs() >= floor) & (self.charge < 3 * self.sigma)
        return unclear | self._hidden

    @property
    def _hidden(self):
        # What light alone saturates shows no cosmic ray; one that saturates does.
        visible = self.image - self.clean >= 3 * self.sigma
        return self.saturated & (self.charge.abs() >= 0.6 * self.sigma) & ~visible


def soft_label(charge, sigma):
    """Return how much of a cosmic ray pixels are, as `Frames.soft_label`."""
    part = ((charge / sigma - 0.6) / 1.9).clamp(0, 1)
    return part * part * (3 - 2 * part)


def is_unclear(charge, sigma):
    """Say where the charge is neither nothing nor clearly a cosmic ray's."""
    ratio = charge.abs() / sigma
    return (ratio > 0.6) & (ratio < 2.5)


def simulate_frames(
    n,
    shape=(256, 256),
    *,
    generator,
    scenes=None,
    detectors=None,
    environments=None,
    exposure_times=None,
    sky=None,
    nuisances=True,
    hit_stars=0.0,
    device="cpu",
):
    """
    Simulate frames with cosmic rays whose every electron is known.

    Parameters
    ----------
    n : int
        Number of frames.
    shape : tuple of int, optional
        Rows and columns.
    generator : `torch.Generator`
        Source of all randomness, on ``device``. The same seed gives the same frames on
        the same device (on GPUs up to the rounding of sums).
    scenes : str, dict or list of str, optional
        Kind of scene (see `~astro_deepcr.simulate.SCENES`), weights of several kinds,
        or one kind per frame. `None` is the mix that the networks are trained on.
    detectors, environments : str, Detector, Environment or list, optional
        One for all frames or one per frame. `None` draws widely.
    exposure_times : float or list of float, optional
        Seconds. `None` draws the number of cosmic rays widely: up to 10 % of pixels.
    sky : float or list of float, optional
        Background in electrons per pixel. `None` draws from 0.01 to 3000.
    nuisances : bool, optional
        Whether to add hot pixels, bad columns, flat-field errors, streaks, charge
        trails, resampling, sky subtraction and sums of exposures, and to cut the faint
        pixels of cosmic rays away, in part of the frames.
    hit_stars : float, optional
        Share of the stars on which a cosmic ray of the frame is put again, beside
        those that are hit by chance; at most one in 2000 pixels. For training: such
        frames are rare in nature.
    device : str or `torch.device`, optional
        Where the tensors live.

    Returns
    -------
    frames : Frames
        Images and truth.

    Raises
    ------
    ValueError
        If a number, shape or name is impossible.

    Examples
    --------
    >>> import torch
    >>> from astro_deepcr.simulate import simulate_frames
    >>> generator = torch.Generator().manual_seed(3)
    >>> frames = simulate_frames(2, (64, 64), scenes='cluster', generator=generator)
    >>> frames.image.shape, frames.meta[0]['scene']
    (torch.Size([2, 64, 64]), 'cluster')
    >>> bool((frames.soft_label[frames.truth] == 1).all())
    True
    """
    rng = _check(n, shape, generator, device)
    if not 0 <= hit_stars <= 1:
        msg = f"hit_stars={hit_stars} must be a share of the stars, from 0 to 1."
        raise ValueError(msg)
    kinds = check_scenes(scenes, rng)
    cameras = draw_cameras(rng, detectors, environments, exposure_times, sky)
    if nuisances:
        cameras = cameras.summed(torch.where(rng.chance(0.1), rng.integers(2, 6), 1))
    light, cores = draw_scenes(kinds, _setting(rng, shape, cameras))
    light, bad = _pass_through(rng, light, cameras, nuisances)
    light = effects.bleed(light.clamp_min(0), cameras.full_well)
    rays = draw_cosmic_rays(
        shape,
        cameras.detectors,
        cameras.environments,
        cameras.exposure_times,
        rate_factors=cameras.rate_factors,
        generator=generator,
        device=device,
    )
    charge, event_id = rays.charge, rays.event_id
    if nuisances:
        charge, event_id = effects.sharp_tracks(rng, charge, event_id, cameras.sigma)
        charge, event_id = effects.cut_skirts(rng, charge, event_id, cameras.sigma)
    if hit_stars:
        stars = _snap(cores, light, cameras.sigma)
        charge, event_id = effects.strike_stars(
            rng, charge, event_id, stars, cameras.sigma, hit_stars
        )
    if nuisances:
        light, charge = effects.transfer_trails(rng, [light, charge])
    exposed = _expose(rng, light, charge, bad, cameras, nuisances)
    return Frames(
        **exposed,
        event_id=_spread(event_id, exposed["charge"]),
        star_cores=_snap(cores, exposed["clean"], cameras.sigma),
        meta=cameras.describe(kinds),
    )


def _check(n, shape, generator, device):
    if isinstance(n, bool) or not isinstance(n, Integral) or n < 1:
        msg = f"n={n!r} must be a whole number of frames, 1 or more."
        raise ValueError(msg)
    check_device(device)
    if not hasattr(shape, "__len__") or len(shape) != 2 or min(shape) < 32:
        msg = f"shape={shape!r} must be two numbers, 32 or more: rows and columns."
        raise ValueError(msg)
    check_generator(generator, device)
    return Draws(generator, int(n))


def _setting(rng, shape, cameras):
    """What scenes know of the cameras."""
    return Setting(
        rng,
        tuple(shape),
        cameras.sky,
        cameras.sigma,
        torch.minimum(cameras.full_well, cameras.ceiling),
        cameras.space,
    )


def _pass_through(rng, light, cameras, nuisances):
    """Optics and defects of the detector."""
    if not nuisances:
        return light, torch.zeros_like(light, dtype=torch.bool)
    light = effects.optics(rng, light, cameras.sigma)
    return effects.detector_defects(rng, light, cameras.sigma)


def _expose(rng, light, charge, bad, cameras, nuisances):
    """Noise, read-out and first steps of processing: the images of `Frames`."""
    gain, read_noise = per_frame(cameras.gain), per_frame(cameras.read_noise)
    variance = light + read_noise**2 + gain**2 / 12
    signal = torch.poisson(light, generator=rng.generator) + charge
    full = per_frame(cameras.full_well)
    saturated = signal >= torch.minimum(full, per_frame(cameras.ceiling)) * 0.99
    offset = 0.0
    if nuisances:
        offset = effects.readout_pattern(rng, light.shape[1:], cameras.read_noise)
    image = torch.minimum(signal, full) + offset
    image = image + rng.normal(1.0, *light.shape[1:]) * read_noise
    image = torch.minimum((image / gain).round() * gain, per_frame(cameras.ceiling))
    clean = light + offset
    if nuisances:
        resampling = effects.Resampling.draw(rng, light.shape[1:])
        image, clean, charge = (resampling.apply(x) for x in (image, clean, charge))
        variance = resampling.apply_variance(variance)
        saturated, bad = (
            resampling.apply(x.float()).abs() > part
            for x, part in ((saturated, 1e-4), (bad, 0.01))
        )
        below = per_frame(rng.chance(0.3) * cameras.sky * rng.uniform(0.8, 1.1))
        image, clean = image - below, clean - below
    return {
        "image": image,
        "clean": clean,
        "sigma": variance.clamp_min(1e-6).sqrt(),
        "charge": charge,
        "saturated": saturated,
        "bad": bad,
    }


def _spread(event_id, charge):
    """Give pixels that trails and interpolation reached their neighbour's event."""
    event_id = event_id.clone()
    for _ in range(_LONGEST_TRAIL):
        open_pixels = (charge.abs() > 1) & (event_id == 0)
        frames = torch.nonzero(open_pixels.any(dim=2).any(dim=1))[:, 0]
        if not len(frames):
            break
        old = event_id[frames]
        padded = functional.pad(old, (1, 1, 1, 1))
        near = torch.maximum(padded[:, :-2, 1:-1], padded[:, 2:, 1:-1])
        near = torch.maximum(near, padded[:, 1:-1, :-2])
        near = torch.maximum(near, padded[:, 1:-1, 2:])
        event_id[frames] = torch.where(open_pixels[frames], near, old)
    return event_id


def background_level(light):
    """Return the level of each frame; every fourth row and column will do for it."""
    return light[:, ::4, ::4].flatten(1).median(dim=1).values


def _snap(cores, light, sigma):
    """Move peaks to the brightest neighbour; keep those that stand out of the noise."""
    padded = functional.pad(light[:, None], (1, 1, 1, 1), mode="replicate")[:, 0]
    frame, row, column = cores.T
    step = torch.arange(3, device=light.device)
    around = padded[
        frame[:, None, None],
        row[:, None, None] + step[:, None],
        column[:, None, None] + step,
    ].flatten(1)
    peak, place = around.max(dim=1)
    limit = torch.tensor(light.shape[1:], device=light.device) - 1
    moved = torch.stack([row + place // 3 - 1, column + place % 3 - 1], dim=1)
    moved = torch.minimum(moved.clamp_min(0), limit)
    floor = background_level(light)
    seen = peak > (floor + 5 * sigma)[frame]
    return torch.unique(torch.cat([frame[:, None], moved], dim=1)[seen], dim=0)
