# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""The detectors, sites and exposures of a batch of frames, given or drawn."""

import math
from dataclasses import dataclass, replace

import numpy as np
import torch
from astropy import units as u

from .detectors import get_detector, list_detectors
from .environments import RATE_UNIT, get_environment, list_environments
from .scenes import SCENES, TRAINING_MIX

__all__ = []

# Cosmic rays in 256 x 256 pixels where no exposure time is given.
_FEWEST, _MOST = 4, 900
# The converter's range, in electrons, is at least this where detectors are drawn.
_LOWEST_CEILING = 2e4


@dataclass(frozen=True)
class Cameras:
    """What the frames of a batch are taken with; tensors hold one value per frame."""

    detectors: list
    environments: list
    exposure_times: list
    rate_factors: list
    gain: torch.Tensor
    read_noise: torch.Tensor
    full_well: torch.Tensor
    ceiling: torch.Tensor
    sky: torch.Tensor
    space: torch.Tensor
    exposures: torch.Tensor

    @property
    def sigma(self):
        """Noise of the background in electrons, not 0: brightness is in units of it."""
        return (self.sky + self.read_noise**2).sqrt().clamp_min(0.1)

    def summed(self, number):
        """Make each frame the sum of a number of exposures."""
        return replace(
            self,
            read_noise=self.read_noise * number.sqrt(),
            full_well=self.full_well * number,
            ceiling=self.ceiling * number,
            exposures=number,
        )

    def describe(self, kinds):
        """Describe each frame in a dictionary."""
        columns = zip(
            kinds,
            (one.name for one in self.detectors),
            (one.name for one in self.environments),
            self.exposure_times,
            self.gain.tolist(),
            self.read_noise.tolist(),
            self.full_well.tolist(),
            self.sky.tolist(),
            self.exposures.tolist(),
            strict=True,
        )
        names = ("scene", "detector", "environment", "exposure_time", "gain")
        names = (*names, "read_noise", "full_well", "sky", "exposures")
        return [dict(zip(names, values, strict=True)) for values in columns]


def draw_cameras(rng, detectors, environments, exposure_times, sky):
    """Look up what is given and draw what is `None`."""
    environments = _one_per_frame("environments", environments, rng.n, get_environment)
    # Some telescopes on the ground reach the diffraction limit.
    sharp = rng.chance(0.08 if environments is None else 0.0)
    if environments is None:
        environments = _draw_environments(rng)
    detectors = _one_per_frame("detectors", detectors, rng.n, get_detector)
    if detectors is None:
        detectors = _draw_detectors(rng)
    seconds = _one_per_frame("exposure_times", exposure_times, rng.n, _number_of(u.s))
    factors = [1.0] * rng.n
    if seconds is None:
        seconds = rng.log_uniform(10, 3000).tolist()
        factors = _rate_factors(rng, detectors, environments, seconds)
    space = [_in_space(one) for one in environments]
    space = torch.tensor(space, device=rng.device) | sharp
    return Cameras(
        detectors,
        environments,
        seconds,
        factors,
        *_electronics(detectors, rng.device),
        sky=_draw_sky(rng, sky, space),
        space=space,
        exposures=torch.ones(rng.n, device=rng.device, dtype=torch.long),
    )


def _one_per_frame(name, given, n, convert):
    """Repeat one value, or check that there is one per frame."""
    if given is None:
        return None
    several = isinstance(given, (list, tuple)) or np.ndim(given) == 1
    values = list(given) if several else [given] * n
    if len(values) != n:
        msg = f"{name} has {len(values)} entries for {n} frames; give one, or {n}."
        raise ValueError(msg)
    return [convert(value) for value in values]


def _number_of(unit):
    """Return a function that makes a number of a number or a quantity."""

    def convert(value):
        try:
            return float(u.Quantity(value, unit).value)
        except (TypeError, u.UnitConversionError):
            msg = f"{value!r} is no number, in {unit} or with a unit."
            raise ValueError(msg) from None

    return convert


def _in_space(environment):
    """Whether there is no atmosphere to make muons, nor seeing."""
    return all(species.kind != "muon" for species in environment.species)


def _draw_environments(rng):
    """As many in space as on the ground."""
    known = [get_environment(name) for name in list_environments()]
    above = [one for one in known if _in_space(one)]
    below = [one for one in known if not _in_space(one)]
    choices = zip(rng.chance(0.5).tolist(), rng.uniform().tolist(), strict=True)
    drawn = []
    for space, part in choices:
        group = above if space else below
        drawn.append(group[int(part * len(group))])
    return drawn


def _draw_detectors(rng):
    """Detectors of all sorts: the named ones with other thickness, noise and gain."""
    names = list_detectors()
    drawn = zip(
        rng.integers(0, len(names)).tolist(),
        rng.log_uniform(0.7, 1.4).tolist(),
        # Some hardly widen a track, as simpler simulations do not at all.
        torch.where(
            rng.chance(0.12), rng.uniform(0, 0.2), rng.log_uniform(0.8, 1.8)
        ).tolist(),
        rng.log_uniform(1.0, 20.0).tolist(),
        rng.log_uniform(0.2, 10.0).tolist(),
        rng.log_uniform(3e4, 2e5).tolist(),
        torch.where(rng.chance(0.25), rng.integers(2, 5), 1).tolist(),
        strict=True,
    )
    detectors = []
    for name, thick, wide, noise, gain, well, binning in drawn:
        base = get_detector(names[name])
        # No one lets the converter's steps outgrow the noise by much.
        gain = min(gain, 2.0 * noise)
        one = replace(
            base,
            thickness=base.thickness * thick,
            field_free=base.field_free * (thick if wide > 0.5 else 0.0),
            diffusion=base.diffusion * wide,
            read_noise=noise * u.electron,
            gain=gain * u.electron / u.adu,
            saturation=max(base.saturation.value, _LOWEST_CEILING / gain) * u.adu,
            full_well=well * u.electron,
            binning=binning if base.thickness < 50 * u.um else 1,
        )
        detectors.append(one)
    return detectors


def _rate_factors(rng, detectors, environments, seconds):
    """Factors that make the number of cosmic rays log-uniform."""
    wanted = rng.log_uniform(_FEWEST, _MOST).tolist()
    factors = []
    for number, one, site, time in zip(
        wanted, detectors, environments, seconds, strict=True
    ):
        side = one.pixel_size.value * 1e-4 * 256
        expected = site.rate.to_value(RATE_UNIT) * time * side**2
        # Inclined tracks in thick silicon cover many pixels each.
        spread = max(1.0, one.thickness.value / one.pixel_size.value / 2)
        factors.append(number / spread / (expected * math.prod(one.binning)))
    return factors


def _electronics(detectors, device):
    """Gain, read noise, full well and largest signal, all in electrons."""
    rows = [
        (
            one.gain.value,
            one.read_noise.value,
            one.full_well.value,
            one.saturation.value * one.gain.value,
        )
        for one in detectors
    ]
    return torch.tensor(rows, dtype=torch.float32, device=device).T


def _draw_sky(rng, sky, space):
    values = _one_per_frame("sky", sky, rng.n, _number_of(u.electron))
    if values is None:
        brightest = torch.where(space, 400.0, 3000.0)
        drawn = rng.log_uniform(0.3 + 0 * brightest, brightest)
        # The ultraviolet and narrow bands see almost none from space.
        return torch.where(space & rng.chance(0.2), rng.log_uniform(0.01, 2.0), drawn)
    if min(values) < 0 or not math.isfinite(sum(values)):
        msg = f"sky={sky!r} must be finite electrons per pixel, 0 or more."
        raise ValueError(msg)
    return torch.tensor(values, device=rng.device, dtype=torch.float32)


def check_scenes(scenes, rng):
    """Kind of scene of each frame."""
    if isinstance(scenes, (list, tuple)):
        kinds = _one_per_frame("scenes", scenes, rng.n, str)
    elif isinstance(scenes, str):
        kinds = [scenes] * rng.n
    else:
        kinds = _draw_kinds(TRAINING_MIX if scenes is None else scenes, rng)
    unknown = set(kinds) - set(SCENES)
    if unknown:
        msg = (
            f"There is no scene {', '.join(map(repr, sorted(unknown)))}; choose from "
            f"{', '.join(SCENES)}."
        )
        raise ValueError(msg)
    return kinds


def _draw_kinds(mix, rng):
    weights = [float(weight) for weight in mix.values()]
    if not weights or min(weights) < 0 or not 0 < sum(weights) < math.inf:
        msg = f"scenes={mix!r} must give weights, 0 or more, that are not all 0."
        raise ValueError(msg)
    weights = torch.tensor(weights, device=rng.device)
    chosen = torch.multinomial(weights, rng.n, True, generator=rng.generator)
    names = list(mix)
    return [names[one] for one in chosen.tolist()]
