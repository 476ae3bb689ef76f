# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Frames in memory that training cuts pieces out of."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from astropy.io import fits
from astropy.nddata import CCDData

from ..evaluation.frames import LabelledFrame
from ..evaluation.frames import read_frames as read_labelled
from ..fill import fill_pixels
from ..fits_files import read_frames
from ..images import parse_image, parse_mask
from ..noise import NORMALIZATIONS, sky_and_noise
from ..units import conversion_factor
from ._batch import Batch
from ._exposures import with_gain
from ._labelled import CosmicRayLabels

__all__ = ["Frame", "cut_frames", "parse_frames"]

# So often another place is tried if no pixel of a cut-out counts.
_TRIES = 20


@dataclass(eq=False)
class Frame:
    """
    A whole frame: values, labels, what counts, unit, header, sky, noise and level.

    The sky is the median of the values, as the network will find it; the level is what
    the sky was before it was subtracted, if the user says so.
    """

    values: np.ndarray
    target: np.ndarray
    counts: np.ndarray
    unit: object
    meta: object
    sky: float
    noise: float
    level: float

    @property
    def gain(self):
        """Electrons per unit of the frame, or 1 where nothing tells it."""
        try:
            return conversion_factor(self.unit, "electron", meta=self.meta)
        except ValueError:
            return 1.0

    def normalization(self, name):
        """Measure offset and scale in the unit of the frame."""
        if name == "sky-noise-asinh":
            return self.sky, self.noise
        measured = NORMALIZATIONS[name](self.values, ~self.counts, 1.0)
        return measured.offset, measured.scale


@dataclass(eq=False)
class Cutouts:
    """Pieces of frames in the frames' own units, with facts about the frames."""

    image: np.ndarray
    target: np.ndarray
    weight: np.ndarray
    offset: np.ndarray
    scale: np.ndarray
    sky: np.ndarray
    noise: np.ndarray
    level: np.ndarray
    factor: np.ndarray
    gain: np.ndarray

    def to_batch(self, form, device):
        """Return what the network learns from, in its unit."""
        factor = self.factor.astype(np.float32)
        offset, scale = self.offset * factor, self.scale * factor
        if form.normalization == "fixed":
            offset, scale = 0 * factor, 0 * factor + form.scale
        arrays = (
            self.image * factor[:, None, None],
            self.target,
            self.weight,
            offset,
            scale,
        )
        tensors = (np.asarray(array, np.float32) for array in arrays)
        return Batch(*(torch.from_numpy(tensor).to(device) for tensor in tensors))


def parse_frames(frames, masks, ignore, sky, *, clean=False):
    """
    Return a list of `Frame` for what a user gave, or raise one clear error.

    With ``clean``, cosmic rays that the frames are known to hold are left out.
    """
    one = isinstance(frames, (str, Path, CCDData)) or not hasattr(frames, "__len__")
    if one or (isinstance(frames, np.ndarray) and frames.ndim == 2):
        msg = f"One {type(frames).__name__} is given as frames; give a list of them."
        raise TypeError(msg)
    if not len(frames):
        msg = "There are no frames to train on; give one or more."
        raise ValueError(msg)
    for name, given in (("masks", masks), ("ignore", ignore)):
        if given is not None and len(given) != len(frames):
            count = len(given)
            msg = f"There are {len(frames)} frames but {count} {name}; give one each."
            raise ValueError(msg)
    none = [None] * len(frames)
    levels = none if sky is None else np.broadcast_to(sky, len(frames))
    parsed = []
    for i, frame in enumerate(frames):
        mask = None if masks is None else masks[i]
        hidden = None if ignore is None else ignore[i]
        parts = _read(i, frame, clean=clean) if _is_path(frame) else [frame]
        if len(parts) > 1 and not (mask is None and hidden is None):
            msg = (
                f"Frame {i}, {frame}, holds {len(parts)} images; give them as arrays "
                "or CCDData, each with its mask."
            )
            raise ValueError(msg)
        for part in parts:
            parsed.append(_parse(i, part, mask, hidden, levels[i], clean=clean))
    return parsed


def _is_path(frame):
    return isinstance(frame, (str, Path))


def _parse(i, frame, mask, ignore, level, *, clean):
    image, own_mask, own_ignore = _unpack(frame)
    pixels = parse_image(image)
    shape = pixels.values.shape
    mask = own_mask if mask is None else mask
    rays = None
    if clean:
        mask, rays = np.zeros(shape, bool), mask
    if mask is None:
        msg = f"Frame {i} has no mask of its cosmic rays; pass masks=."
        raise ValueError(msg)
    target = _parse_target(mask, shape, f"the mask of frame {i}")
    hidden = np.zeros(shape, bool)
    for given in (ignore, own_ignore, getattr(image, "mask", None), rays):
        if given is not None and given is not np.ma.nomask:
            hidden |= parse_mask(given, shape, f"what frame {i} ignores")
    _check_pixels(i, pixels, hidden)
    values = pixels.values
    if hidden.any():
        values[hidden], _ = fill_pixels(values, hidden)
    sky, noise = sky_and_noise(values, hidden)
    level = sky if level is None else float(level)
    return Frame(values, target, ~hidden, pixels.unit, pixels.meta, sky, noise, level)


def _unpack(frame):
    """Return image, mask and ignore mask of what stands for a frame."""
    if isinstance(frame, CosmicRayLabels):
        return frame.ccd, frame.cosmic_rays, frame.ignore
    if isinstance(frame, LabelledFrame):
        return with_gain(frame.ccd, frame.gain), frame.truth, frame.ignored
    if isinstance(frame, CCDData):
        return frame, None, None
    return np.asanyarray(frame), None, None


def _read(i, path, *, clean):
    """Read all images of a FITS file; those of clean frames need no extension MASK."""
    try:
        with fits.open(path) as hdus:
            labelled = any(hdu.name.strip() == "MASK" for hdu in hdus)
        if clean and not labelled:
            return [ccd for _, ccd in read_frames(path)]
        return list(read_labelled(path))
    except OSError as err:
        msg = f"Frame {i}, {path}, cannot be read as FITS: {err}."
        raise ValueError(msg) from err


def _parse_target(mask, shape, name):
    mask = np.asarray(mask)
    if mask.dtype.kind != "f":
        return parse_mask(mask, shape, name).astype(np.float32)
    if mask.shape != shape:
        msg = f"{name} has shape {mask.shape}, but the frame {shape}."
        raise ValueError(msg)
    if not (np.all(mask >= 0) and np.all(mask <= 1)):
        msg = f"{name} holds values outside of 0 to 1, or not a number."
        raise ValueError(msg)
    return mask.astype(np.float32)


def _check_pixels(i, pixels, hidden):
    lost = int(np.count_nonzero(pixels.mask & ~hidden))
    if lost:
        msg = (
            f"Frame {i} holds {lost} pixel(s) that are not finite (NaN or infinite). "
            "Mask them in the frame, or pass ignore=."
        )
        raise ValueError(msg)
    if hidden.all():
        msg = f"All pixels of frame {i} are masked or ignored; is the mask inverted?"
        raise ValueError(msg)


def cut_frames(frames, n, crop, rng, form, ranges):
    """
    Cut random pieces out of random frames, and change their sky, flux and noise.

    Parameters
    ----------
    frames : list of `Frame`
        Large ones are chosen more often.
    n, crop : int
        Number of pieces, and their rows and columns.
    rng : `~numpy.random.Generator`
        Source of all randomness.
    form : `InputForm`
        What they are for.
    ranges : tuple
        Limits of the added sky, the factor of the flux and the added noise.

    Returns
    -------
    cutouts : `Cutouts`
    """
    areas = np.array([frame.values.size for frame in frames], float)
    chosen = [frames[i] for i in rng.choice(len(frames), n, p=areas / areas.sum())]
    places = [_choose_place(frame, crop, rng) for frame in chosen]

    def gather(name):
        pairs = zip(chosen, places, strict=True)
        return np.stack([getattr(frame, name)[place] for frame, place in pairs])

    measured = [frame.normalization(form.normalization) for frame in chosen]
    offset, scale = np.array(measured, np.float32).T
    factor = [conversion_factor(f.unit, form.unit, meta=f.meta) for f in chosen]
    facts = [(f.sky, f.noise, f.level) for f in chosen]
    cutouts = Cutouts(
        gather("values"),
        gather("target"),
        gather("counts").astype(np.float32),
        offset,
        scale,
        *np.array(facts, np.float32).T,
        np.array(factor, np.float32),
        np.array([frame.gain for frame in chosen], np.float32),
    )
    _change(cutouts, rng, *ranges)
    return cutouts


def _choose_place(frame, crop, rng):
    rows, columns = frame.values.shape
    if crop > min(rows, columns):
        msg = (
            f"A frame of {rows} x {columns} pixels is smaller than crop={crop}; leave "
            "it out, or choose a smaller crop."
        )
        raise ValueError(msg)
    for _ in range(_TRIES):
        y, x = rng.integers(rows - crop + 1), rng.integers(columns - crop + 1)
        place = (slice(y, y + crop), slice(x, x + crop))
        if frame.counts[place].any():
            break
    return place


def _change(cutouts, rng, sky_range, flux_range, noise_range):
    """Change sky, flux and noise, and what is known about the frames, in place."""
    n = len(cutouts.image)
    more = cutouts.level * rng.uniform(*sky_range, size=n).astype(np.float32)
    flux = np.exp(rng.uniform(*np.log(flux_range), size=n)).astype(np.float32)
    added = cutouts.noise * rng.uniform(*noise_range, size=n).astype(np.float32)
    # More sky brings more photon noise; what is taken away leaves its noise.
    added = flux * np.hypot(added, np.sqrt(np.maximum(more, 0) / cutouts.gain))
    # A new array: what was cut may be part of the caller's frame.
    image = (cutouts.image + more[:, None, None]) * flux[:, None, None]
    if added.any():
        noise = rng.standard_normal(image.shape, dtype=np.float32)
        image += added[:, None, None] * noise
    cutouts.image = image
    cutouts.offset = (cutouts.offset + more) * flux
    cutouts.sky = (cutouts.sky + more) * flux
    cutouts.level = (cutouts.level + more) * flux
    cutouts.scale = np.hypot(cutouts.scale * flux, added)
    cutouts.noise = np.hypot(cutouts.noise * flux, added)
