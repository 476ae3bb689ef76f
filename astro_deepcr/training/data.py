# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Where training data come from: the simulator, labelled frames, pasted rays."""

import copy
import multiprocessing
import os
import threading
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import replace
from functools import cached_property, lru_cache, partial
from inspect import signature

import numpy as np
import torch
from torch.nn import functional

from ..exceptions import TrainingError
from ..simulate.frames import background_level, is_unclear, simulate_frames, soft_label
from ..simulate.paste import cut_cosmic_rays, in_unit_of, paste_cosmic_rays
from ._batch import Batch, measure_images
from ._frames import cut_frames, parse_frames
from ._hiding import hide_pixels
from .config import check_keys, check_one_for_all

__all__ = ["LabelledFrames", "PastedCosmicRays", "SimulatedFrames"]

# How much good pixels count that look like hit ones: hot ones, cores of stars, and what
# a cosmic ray left alone of a star that it hit, if it is so many sigma bright.
_HOT_WEIGHT, _CORE_WEIGHT, _HIT_STAR_WEIGHT = 0.3, 8.0, 4.0
_STAR_LIGHT = 5.0
# What a hit must add before saturation to be seen, in units of the noise.
_SEEN = 3.0
# Arguments of the simulator that no option is for.
_CHOSEN_HERE = {"n", "shape", "generator", "device"}
# Frames that are simulated together: more need memory and save no time.
_TOGETHER = 16


class SimulatedFrames:
    """
    An endless stream of simulated frames.

    To find cosmic rays, good pixels in the cores of stars count eight times as much as
    others, what is left of stars that were hit four times, and hot pixels 0.3 times:
    what looks like a hit is then rather flagged if it is a hot pixel than if it is a
    star.

    Where simulating takes longer than training, frames are used more than once:
    every ``every`` steps, ``fresh`` new ones replace the oldest of a pool.

    Parameters
    ----------
    every : int, optional
        1 simulates all frames anew in each step.
    fresh, pool : int, optional
        New frames at a time, and how many times as many are kept. Only if
        ``every`` is larger than 1.
    side : int, optional
        Rows and columns of the frames in the pool; cut-outs are taken from them.
    processes : int, optional
        Number of processes that simulate the pool, on the CPU; 0 does it in this
        one. A script that asks for some must be guarded by
        ``if __name__ == '__main__':``. The frames are the same but for rounding.
    hide : bool, optional
        Whether pixels are hidden instead of labelled, for ``task='inpaint'``: those
        of cosmic rays, more or less closely, and blocks and columns.
    **options
        Passed to `~astro_deepcr.simulate.simulate_frames`: ``scenes``,
        ``detectors``, ``environments``, ``exposure_times``, ``sky``, ``nuisances``,
        ``hit_stars``.

    Raises
    ------
    ValueError
        If a number is not positive, or an option not known.

    Examples
    --------
    >>> from astro_deepcr.training import SimulatedFrames
    >>> source = SimulatedFrames(scenes='cluster')
    """

    def __init__(
        self,
        *,
        every=1,
        fresh=16,
        pool=32,
        side=256,
        processes=0,
        hide=False,
        **options,
    ):
        if min(every, fresh, pool, side) < 1 or processes < 0:
            msg = (
                f"every={every}, fresh={fresh}, pool={pool} and side={side} must be 1 "
                f"or more, processes={processes} 0 or more."
            )
            raise ValueError(msg)
        known = signature(simulate_frames).parameters.keys() - _CHOSEN_HERE
        check_keys("SimulatedFrames", options, known)
        check_one_for_all(options)
        self.every, self.fresh, self.pool, self.side = every, fresh, pool, side
        self.processes, self.hide, self.options = processes, hide, options
        self.task = "inpaint" if hide else "mask"
        # The oldest of the pool is needed until after the newest was made.
        self._chunk = lru_cache(maxsize=pool + 1)(self._make_chunk)

    def split(self, fraction):  # noqa: ARG002 (other sources need it)
        """Return sources for training and for validation."""
        return self, SimulatedFrames(hide=self.hide, **self.options)

    def draw(self, n, crop, key, form, device):
        """Draw a batch of ``n`` cut-outs."""
        if torch.device(device).type == "mps":  # cannot do float64, as simulators do
            batch = self.draw(n, crop, key, form, "cpu")
            return batch.map(lambda part: part.float().to(device))
        if self.every == 1:
            return _simulate(n, crop, self.options, self.hide, key, 0, form, device)
        newest = key.step // self.every
        rng = key.numpy(1)
        chunks = rng.integers(max(newest - self.pool + 1, 0), newest + 1, size=n)
        frames = rng.integers(self.fresh, size=n)
        side = max(self.side, crop)
        rows, columns = rng.integers(side - crop + 1, size=(2, n))
        self._chunk(side, replace(key, step=newest), form, device)  # in its turn
        parts = []
        for chunk, i, y, x in zip(chunks, frames, rows, columns, strict=True):
            batch = self._chunk(side, replace(key, step=int(chunk)), form, device)
            place = (slice(i, i + 1), slice(y, y + crop), slice(x, x + crop))
            parts.append(batch.map(lambda t, p=place: t[p[: t.ndim]].float()))
        return Batch.cat(parts)

    def _make_chunk(self, side, key, form, device):
        """Simulate new frames of the pool, a few at a time."""
        sizes = [_TOGETHER] * (self.fresh // _TOGETHER)
        sizes += [self.fresh % _TOGETHER] if self.fresh % _TOGETHER else []
        jobs = [
            (n, side, self.options, self.hide, key, i, form, device)
            for i, n in enumerate(sizes)
        ]
        run = self._processes.map if self.processes else map
        try:
            batch = Batch.cat(run(_simulate, *zip(*jobs, strict=True)))
        except BrokenProcessPool:
            del self._processes  # the next call starts others
            msg = (
                f"One of the {self.processes} process(es) that simulate frames was "
                "ended from outside; for want of memory? The same call goes on from "
                "the last checkpoint, perhaps with fewer processes."
            )
            raise TrainingError(msg) from None
        # Labels are good to a thousandth: half of the memory.
        target = batch.target if self.hide else batch.target.half()
        return batch.replace(target=target, weight=batch.weight.half())

    @cached_property
    def _processes(self):
        spawn = multiprocessing.get_context("spawn")  # torch does not survive a fork
        return ProcessPoolExecutor(self.processes, spawn, initializer=_start_process)


def _start_process():
    """Use one thread; and end with the process that is served, however it ends."""
    torch.set_num_threads(1)
    parent = multiprocessing.parent_process()
    threading.Thread(target=lambda: (parent.join(), os._exit(1)), daemon=True).start()


def _simulate(n, side, options, hide, key, part, form, device):
    """Simulate frames with labels, in the unit that weights want."""
    frames = simulate_frames(
        n,
        (side, side),
        generator=key.torch(device, part),
        device=device,
        **options,
    )
    factor = _from_electrons(frames.meta, form, device)
    image = frames.image.float() * factor
    offset, scale = measure_images(image, form.normalization, form.scale)
    if hide:
        hidden = hide_pixels(frames, key.torch(device, -1 - part))
        weight = (hidden & ~frames.bad & ~frames.saturated).float()
        image = image.masked_fill(hidden, torch.nan)
        return Batch(image, frames.clean.float() * factor, weight, offset, scale)
    return Batch(image, frames.soft_label.float(), _mask_weight(frames), offset, scale)


def _mask_weight(frames):
    """How much each pixel of simulated frames counts in learning what is hit."""
    weight = 1.0 - frames.ignore.float()
    good = frames.soft_label == 0
    # A hot pixel that is flagged costs an observer less than a cosmic ray that is not;
    # a whole column costs much.
    hot = frames.bad & (frames.bad.float().mean(dim=1, keepdim=True) < 0.1)
    weight = torch.where(hot & good, _HOT_WEIGHT * weight, weight)
    cores = tuple(frames.star_cores.T)
    around = _hit_stars(frames) & good
    around[cores] = False
    weight[around] *= _HIT_STAR_WEIGHT
    weight[cores] *= torch.where(good[cores], _CORE_WEIGHT, 1.0)
    return weight


def _hit_stars(frames):
    """Bright pixels within two of the core of a star that a cosmic ray hit there."""
    near = partial(functional.max_pool2d, kernel_size=5, stride=1, padding=2)
    cores = torch.zeros_like(frames.clean)
    hit = near(frames.truth[:, None].float())[:, 0]
    cores[tuple(frames.star_cores.T)] = hit[tuple(frames.star_cores.T)]
    floor = background_level(frames.clean)[:, None, None]
    bright = frames.clean > floor + _STAR_LIGHT * frames.sigma
    return (near(cores[:, None])[:, 0] > 0) & bright


class _FrameSource:
    """Frames in memory that pieces are cut out of."""

    task = "mask"

    def __len__(self):
        return len(self.frames)

    def split(self, fraction):
        """Return sources for training and for validation; the last frames."""
        held = max(1, round(fraction * len(self)))
        if held >= len(self):
            msg = (
                f"{len(self)} frame(s) cannot be split into training and validation; "
                "give more, or validation data of their own."
            )
            raise ValueError(msg)
        parts = copy.copy(self), copy.copy(self)
        parts[0].frames, parts[1].frames = self.frames[:-held], self.frames[-held:]
        return parts

    def cut(self, n, crop, key, form):
        """Cut pieces out of random frames."""
        return cut_frames(self.frames, n, crop, key.numpy(), form, self.ranges)


class LabelledFrames(_FrameSource):
    """
    Frames with known cosmic rays: a user's own, or those of any archive.

    deepCR's training mode 'pair'.

    Parameters
    ----------
    frames : list or `~numpy.ndarray` of shape (N, rows, columns)
        Arrays, `~astropy.nddata.CCDData`, `~astro_deepcr.training.CosmicRayLabels`,
        `~astro_deepcr.evaluation.LabelledFrame`, or paths of FITS files with
        extensions SCI and MASK.
    masks : list or `~numpy.ndarray`, optional
        Where the cosmic rays are: booleans, or numbers from 0 to 1 where that is
        not sure. Only for frames that do not bring them.
    ignore : list or `~numpy.ndarray`, optional
        True for pixels that do not count.
    sky : float or list of float, optional
        Level of the sky of each frame, for ``sky_range``; measured by default.
    sky_range : tuple of float, optional
        A number between these, times the level of the sky, is added to cut-outs, and
        the photon noise of it; deepCR used (-0.9, 3), without.
    flux_range : tuple of float, optional
        Cut-outs are multiplied by a number between these, even in its logarithm.
    noise_range : tuple of float, optional
        Gaussian noise, a number between these times that of the sky, is added.

    Raises
    ------
    TypeError, ValueError
        If there are no frames, a mask is missing or does not fit, values are not
        finite where they count, no pixel counts or none is a cosmic ray.

    Examples
    --------
    >>> import numpy as np
    >>> from astro_deepcr.training import LabelledFrames
    >>> images = np.random.default_rng(0).normal(10, 2, size=(4, 64, 64))
    >>> masks = np.zeros(images.shape, bool)
    >>> images[:, 20, 20:30], masks[:, 20, 20:30] = 500, True
    >>> source = LabelledFrames(images, masks, sky_range=(-0.9, 3))
    >>> len(source)
    4
    """

    def __init__(
        self,
        frames,
        masks=None,
        ignore=None,
        *,
        sky=None,
        sky_range=(0.0, 0.0),
        flux_range=(1.0, 1.0),
        noise_range=(0.0, 0.0),
    ):
        self.frames = parse_frames(frames, masks, ignore, sky)
        _check_labels(self.frames)
        self.ranges = _check_ranges(sky_range, flux_range, noise_range)

    def draw(self, n, crop, key, form, device):
        """Draw a batch of ``n`` cut-outs."""
        return self.cut(n, crop, key, form).to_batch(form, device)


class PastedCosmicRays(_FrameSource):
    """
    Real cosmic rays pasted on frames that hold none: training without labels.

    deepCR's training mode 'simulate'.

    Parameters
    ----------
    frames : list or `~numpy.ndarray` of shape (N, rows, columns)
        As for `LabelledFrames`, with few or no cosmic rays. They may bring masks:
        what they hold is left out.
    stamps : list of `~numpy.ndarray`
        Charges of cosmic rays in the unit of the frames, 0 around them, such as
        `~astro_deepcr.simulate.read_stamps` returns.
    ignore : list or `~numpy.ndarray`, optional
        Pixels that do not count, such as cosmic rays of the frames themselves.
    per_megapixel : tuple of float, optional
        Number of stamps, between these, for each million pixels.
    charge_factor : tuple of float, optional
        Charges are multiplied by a number between these.
    saturation : float, optional
        Largest value of a pixel, in the unit of the frames.
    gain : float, optional
        Electrons per unit of the frames; by default what the header of the first one
        tells, or else 1.
    sky, sky_range, flux_range, noise_range
        As for `LabelledFrames`; the frame is changed before anything is pasted.

    Raises
    ------
    TypeError, ValueError
        As for `LabelledFrames`, or if there are no stamps.

    See Also
    --------
    astro_deepcr.simulate.paste_cosmic_rays : What is done to each cut-out.

    Examples
    --------
    >>> import numpy as np
    >>> from astro_deepcr.training import PastedCosmicRays
    >>> sky = np.random.default_rng(0).normal(10, 2, size=(3, 64, 64))
    >>> source = PastedCosmicRays(sky, [np.full((1, 5), 300.)], sky_range=(-0.9, 3))
    """

    def __init__(
        self,
        frames,
        stamps,
        ignore=None,
        *,
        per_megapixel=(500.0, 5000.0),
        charge_factor=(1.0, 1.0),
        saturation=np.inf,
        gain=None,
        sky=None,
        sky_range=(0.0, 0.0),
        flux_range=(1.0, 1.0),
        noise_range=(0.0, 0.0),
    ):
        self.frames = parse_frames(frames, None, ignore, sky, clean=True)
        unit = self.frames[0].unit
        if any(frame.unit != unit for frame in self.frames):
            units = sorted({str(frame.unit) for frame in self.frames})
            msg = f"The frames are in {', '.join(units)}; stamps fit one unit only."
            raise ValueError(msg)
        _check_pair("per_megapixel", per_megapixel, 0)
        _check_pair("charge_factor", charge_factor, 1e-6)
        if gain is not None and not 0 < gain < np.inf:
            msg = f"gain={gain} must be a positive number of electrons."
            raise ValueError(msg)
        self.stamps = [in_unit_of(one, unit, "A stamp") for one in stamps]
        self.charge_factor = charge_factor
        self.per_megapixel, self.saturation = per_megapixel, saturation
        self.gain = self.frames[0].gain if gain is None else gain
        # Wrong stamps are better found now than in the first step.
        self._paste((1, 1), 0, np.random.default_rng(0))
        self.ranges = _check_ranges(sky_range, flux_range, noise_range)

    def split(self, fraction):
        """Return sources for training and for validation, of different stamps."""
        parts, number = super().split(fraction), len(self.stamps)
        held = min(max(1, round(fraction * number)), number - 1)
        order = np.random.default_rng(0).permutation(number)  # they may be sorted
        if held:  # of a single stamp both must be content with the same
            parts[0].stamps = [self.stamps[i] for i in order[held:]]
            parts[1].stamps = [self.stamps[i] for i in order[:held]]
        return parts

    @classmethod
    def from_darks(cls, frames, darks, masks, *, background=0.0, **options):
        """
        Take the cosmic rays out of dark frames.

        Parameters
        ----------
        frames
            As for the class.
        darks, masks : list of array_like
            Dark frames in the unit of ``frames``, and where their cosmic rays are.
        background : float or array_like, optional
            What is subtracted from the darks.
        **options
            As for the class. Without ``per_megapixel``, one to three times as many
            cosmic rays as the darks hold.

        Returns
        -------
        source : `PastedCosmicRays`
        """
        if len(darks) != len(masks) or not len(darks):
            msg = (
                f"There are {len(darks)} dark frame(s) and {len(masks)} mask(s); give "
                "as many of both, one or more."
            )
            raise ValueError(msg)
        cut = [
            cut_cosmic_rays(dark, mask, background)
            for dark, mask in zip(darks, masks, strict=True)
        ]
        stamps = [stamp for stamps in cut for stamp in stamps]
        density = 1e6 * len(stamps) / sum(np.size(mask) for mask in masks)
        options.setdefault("per_megapixel", (density, 3 * density))
        return cls(frames, stamps, **options)

    def draw(self, n, crop, key, form, device):
        """Draw a batch of ``n`` cut-outs."""
        cutouts, rng = self.cut(n, crop, key, form), key.numpy(1)
        mean = rng.uniform(*self.per_megapixel, size=n) * crop**2 / 1e6
        charge = np.stack(
            [self._paste((crop, crop), k, rng) for k in rng.poisson(mean)]
        )
        light = np.maximum(cutouts.image - cutouts.sky[:, None, None], 0)
        sigma = np.hypot(cutouts.noise[:, None, None], np.sqrt(light / self.gain))
        deposit, sigma = torch.from_numpy(charge), torch.from_numpy(sigma)
        cutouts.target = soft_label(deposit, sigma).numpy()
        cutouts.weight = cutouts.weight * ~is_unclear(deposit, sigma).numpy()
        # Where the pixel was all but saturated before, the hit cannot be seen.
        room = self.saturation - cutouts.image
        hidden = (charge > room) & (room < _SEEN * sigma.numpy())
        cutouts.weight = cutouts.weight * ~hidden
        cutouts.image = np.minimum(cutouts.image + charge, self.saturation)
        return cutouts.to_batch(form, device)

    def _paste(self, shape, number, rng):
        """Return the charge of some cosmic rays."""
        dark, factor = np.zeros(shape), self.charge_factor
        return paste_cosmic_rays(
            dark, self.stamps, int(number), rng=rng, charge_factor=factor
        )[0]


def _check_labels(frames):
    known = sum(int(frame.counts.sum()) for frame in frames)
    hit = sum(float(frame.target[frame.counts].sum()) for frame in frames)
    if not 0 < hit < known:
        what = "no pixel is" if hit == 0 else "all pixels are"
        msg = (
            f"In the masks of {len(frames)} frame(s) {what} a cosmic ray: nothing can "
            "be learnt from that. Are they the right masks?"
        )
        raise ValueError(msg)


def _check_pair(name, limits, low):
    if np.shape(limits) != (2,) or not low <= limits[0] <= limits[1] < np.inf:
        msg = f"{name}={limits} must be two rising numbers, {low} or more."
        raise ValueError(msg)


def _check_ranges(sky, flux, noise):
    for name, limits, low in (
        ("sky_range", sky, -np.inf),
        ("flux_range", flux, 1e-6),
        ("noise_range", noise, 0),
    ):
        _check_pair(name, limits, low)
    return (tuple(sky), tuple(flux), tuple(noise))


def _from_electrons(meta, form, device):
    """Return the factors from electrons to the unit of the weights."""
    if form.unit in (None, "electron"):
        return 1.0
    if form.unit != "adu":
        msg = f"Simulated frames cannot be in {form.unit!r}; electron or adu can be."
        raise ValueError(msg)
    gains = torch.tensor([one["gain"] for one in meta], device=device)
    return (1 / gains)[:, None, None]
