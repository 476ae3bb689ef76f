# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Exposures in electrons, and how one is brought onto the pixels of another."""

import copy
from dataclasses import dataclass

import numpy as np
from astropy.nddata import CCDData, NDData
from ccdproc import wcs_project
from scipy import ndimage
from skimage.registration import phase_cross_correlation

from ..images import parse_image
from ..noise import sky_and_noise
from ..units import (
    EXPOSURE_KEYWORDS,
    GAIN_KEYWORDS,
    conversion_factor,
    parse_exposure_time,
    parse_gain,
)

__all__ = ["Exposure", "make_aligner", "measure_shift", "parse_exposures"]

# Registration sees no pixel brighter than this many times the noise, so that
# cosmic rays, hot pixels and the one brightest star do not decide alone.
_BRIGHTEST = 30
_REGISTRATION_STEPS = 50  # per pixel
# A pixel counts as bad when bad pixels contribute more than this to it.
_BAD_WEIGHT = 0.02
_WCS_ORDERS = {1: "bilinear", 3: "bicubic"}


@dataclass(frozen=True, eq=False)
class Exposure:
    """
    One exposure, ready to be compared with the others.

    Attributes
    ----------
    ccd : `~astropy.nddata.CCDData`
        What the user passed.
    values : `~numpy.ndarray` of float32, shape (rows, columns)
        In electrons; finite everywhere.
    bad : `~numpy.ndarray` of bool, shape (rows, columns)
        Masked, not finite or saturated.
    seconds : float
        Exposure time; 1 for all exposures where no header gives one.
    """

    ccd: CCDData
    values: np.ndarray
    bad: np.ndarray
    seconds: float

    def filled(self, hit, reference):
        """Return values with bad and hit pixels replaced, and where that was."""
        replaced = self.bad | hit
        sky = np.median(self.values[~self.bad])
        filler = np.where(np.isfinite(reference), reference, sky)
        return np.where(replaced, filler, self.values), replaced


def parse_exposures(ccds, *, gain=None, exposure_time=None, saturation=None):
    """
    Check exposures and convert them to electrons.

    Parameters
    ----------
    ccds : iterable of images
        At least two.
    gain, exposure_time, saturation
        See `~astro_deepcr.training.labels_from_exposures`.

    Returns
    -------
    exposures : list of `Exposure`
        In the order of ``ccds``.
    """
    if isinstance(ccds, (str, bytes, NDData)) or not np.iterable(ccds):
        msg = (
            f"ccds is of type {type(ccds).__name__}; a list of at least two exposures "
            "of the same field is needed."
        )
        raise TypeError(msg)
    ccds = list(ccds)
    if len(ccds) < 2:
        msg = (
            f"ccds holds {len(ccds)} exposure(s); a cosmic ray is known by its absence "
            "from other exposures, so at least 2 are needed. For one frame use "
            "labels_from_dq, or simulate."
        )
        raise ValueError(msg)
    seconds = _exposure_times(ccds, exposure_time)
    return [
        _parse_exposure(number, ccd, gain, time, saturation)
        for number, (ccd, time) in enumerate(zip(ccds, seconds, strict=True))
    ]


def _exposure_times(ccds, exposure_time):
    """Return one exposure time per exposure, in seconds; None where none is known."""
    metas = [getattr(ccd, "meta", None) for ccd in ccds]
    if exposure_time is None and not any(
        keyword in meta for meta in metas if meta for keyword in EXPOSURE_KEYWORDS
    ):
        return [None] * len(ccds)
    several = isinstance(exposure_time, (list, tuple)) or np.ndim(exposure_time)
    if isinstance(exposure_time, str) or not several:
        exposure_time = [exposure_time] * len(ccds)
    if len(exposure_time) != len(ccds):
        msg = (
            f"exposure_time holds {len(exposure_time)} values for {len(ccds)} "
            "exposures; give one number for all, or one per exposure."
        )
        raise ValueError(msg)
    return [
        parse_exposure_time(time, meta, getattr(ccd, "unit", None), "electron")
        for ccd, meta, time in zip(ccds, metas, exposure_time, strict=True)
    ]


def _parse_exposure(number, ccd, gain, seconds, saturation):
    pixels = parse_image(ccd)
    factor = conversion_factor(
        pixels.unit,
        "electron",
        gain=gain,
        exposure_time=None if pixels.unit is None else seconds,
        meta=pixels.meta,
    )
    bad = pixels.mask.copy()
    if saturation is not None:
        bad |= np.where(bad, 0, pixels.values) >= saturation
    if bad.all():
        msg = (
            f"All {bad.size} pixels of exposure {number} are saturated (at or above "
            f"{saturation}), masked or not finite; leave this exposure out, or give "
            "the saturation in the unit of the exposures."
        )
        raise ValueError(msg)
    values = np.where(bad, np.median(pixels.values[~bad]), pixels.values)
    if not isinstance(ccd, CCDData):
        unit = pixels.unit or ("electron" if gain is None else "adu")
        ccd = CCDData(pixels.values, mask=pixels.mask, unit=unit, meta=pixels.meta)
    ccd = with_gain(ccd, gain)  # who trains on it needs it, too
    return Exposure(ccd, (values * factor).astype(np.float32), bad, seconds or 1.0)


def with_gain(ccd, gain):
    """Return a frame whose header says the gain that was given, if one was."""
    if gain is None:
        return ccd
    ccd, meta = copy.copy(ccd), copy.deepcopy(ccd.meta)
    meta[GAIN_KEYWORDS[0]] = parse_gain(gain, meta)
    ccd.meta = meta
    return ccd


def make_aligner(exposures, align):
    """
    Return the function that brings one exposure onto the pixels of another.

    Parameters
    ----------
    exposures : list of `Exposure`
        Of one shape, unless aligned by WCS.
    align : None, 'wcs', 'register' or array_like of shape (n, 2)
        See `~astro_deepcr.training.labels_from_exposures`.

    Returns
    -------
    aligner : callable
        ``aligner(values, bad, source, target, order)`` returns float32 values on
        the pixels of exposure number ``target``, NaN where nothing is known.
    """
    if isinstance(align, str) and align == "wcs":
        _check_wcs(exposures)
        return _Projection(exposures)
    shapes = {exposure.values.shape for exposure in exposures}
    if len(shapes) > 1:
        msg = (
            f"The exposures have different shapes {sorted(shapes)}; trim them to one "
            "shape, or give each a WCS and use align='wcs'."
        )
        raise ValueError(msg)
    if align is None:
        return _Shift(np.zeros((len(exposures), 2)))
    if isinstance(align, str) and align == "register":
        return _Shift(_register(exposures))
    return _Shift(_check_offsets(align, len(exposures)))


def _check_wcs(exposures):
    for number, exposure in enumerate(exposures):
        wcs = exposure.ccd.wcs
        if wcs is None or not getattr(wcs, "has_celestial", False):
            msg = (
                f"Exposure {number} has {'no' if wcs is None else 'no celestial'} WCS, "
                "which align='wcs' needs in all of them; use align='register', give "
                "the offsets, or read the file with CCDData.read, which keeps the WCS."
            )
            raise ValueError(msg)


def _check_offsets(align, number):
    try:
        offsets = np.asarray(align, dtype=float)
    except (TypeError, ValueError):
        offsets = np.empty(0)
    if offsets.shape != (number, 2) or not np.isfinite(offsets).all():
        msg = (
            f"align={align!r} is not known; use None, 'wcs', 'register', or an array "
            f"of finite offsets (rows, columns) of shape ({number}, 2)."
        )
        raise ValueError(msg)
    return offsets


@dataclass(frozen=True)
class _Shift:
    """Aligns by offsets (rows, columns) of the scene in each exposure."""

    offsets: np.ndarray

    def __call__(self, values, bad, source, target, order):
        delta = self.offsets[target] - self.offsets[source]
        if np.allclose(delta, np.round(delta), atol=1e-3):
            order, delta = 0, np.round(delta)
        moved = ndimage.shift(values, delta, order=order, cval=np.nan)
        weight = ndimage.shift(bad.astype(np.float32), delta, order=min(order, 1))
        moved[weight > _BAD_WEIGHT] = np.nan
        return moved


@dataclass(frozen=True)
class _Projection:
    """Aligns by the WCS of the exposures."""

    exposures: list

    def __call__(self, values, bad, source, target, order):
        moved = self._project(values, source, target, _WCS_ORDERS[order])
        # always linear: of a mask, splines would leave ripples everywhere
        weight = self._project(bad.astype(np.float32), source, target, _WCS_ORDERS[1])
        return np.where(weight <= _BAD_WEIGHT, moved, np.nan)

    def _project(self, values, source, target, order):
        frame = CCDData(values, unit="electron", wcs=self.exposures[source].ccd.wcs)
        target = self.exposures[target]
        moved = wcs_project(frame, target.ccd.wcs, target.values.shape, order)
        return moved.data.astype(np.float32)


def _register(exposures):
    """Measure the offset of the scene in each exposure against the first."""
    first, *others = (exposure.values for exposure in exposures)
    return np.array([(0.0, 0.0), *(measure_shift(first, other) for other in others)])


def measure_shift(reference, image):
    """
    Measure how far a scene has moved.

    Parameters
    ----------
    reference, image : `~numpy.ndarray` of float
        Finite images of one shape.

    Returns
    -------
    shift : `~numpy.ndarray` of float, shape (2,)
        Rows and columns from ``reference`` to ``image``, to a fiftieth of a pixel.
    """
    shift, _, _ = phase_cross_correlation(
        _flattened(image),
        _flattened(reference),
        upsample_factor=_REGISTRATION_STEPS,
        normalization=None,
    )
    return shift


def _flattened(values):
    """Return an image of which no few pixels dominate a correlation."""
    sky, noise = sky_and_noise(values)
    clipped = np.clip((values - sky) / noise, 0, _BRIGHTEST)
    return clipped - clipped.mean()
