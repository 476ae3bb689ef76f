# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""What a person should know of a cleaned frame: rates, and reasons to look at it."""

import contextlib

import numpy as np
from astropy import units as u
from astropy.io.fits import VerifyError
from scipy import ndimage

from .header import colour_pattern
from .masks import TOUCHING
from .simulate.detectors import get_detector, list_detectors
from .simulate.environments import RATE_UNIT, get_environment
from .units import parse_exposure_time
from .weights import Weights, mismatch

__all__ = ["frame_quality", "unusable_frame"]

# Size of a pixel in micrometres: as binned (cameras of amateurs), or as it was made.
_BINNED_KEYWORDS, _PIXEL_KEYWORDS = ("XPIXSZ",), ("PIXSIZE1", "PIXSIZE")
# How many pixels are one, along rows and columns.
_BINNING_KEYWORDS = (
    ("BINAXIS1", "BINAXIS2"),
    ("XBINNING", "YBINNING"),
    ("CCDXBIN", "CCDYBIN"),
)
# Where telescopes and instruments are, if not on a mountain.
_ORBITS = dict.fromkeys(("HST", "ACS", "WFC3", "STIS", "WFPC2"), "low Earth orbit")
_ORBITS |= dict.fromkeys(("JWST", "EUCLID", "GAIA", "ROMAN"), "L2")
# More saturated pixels, or a number of events further from what is expected (and not
# by chance), are told.
_MANY_SATURATED = 0.01
_FAR_FROM_EXPECTED = 5
_FEW_EVENTS = 10


def frame_quality(
    ccd,
    cleaned,
    crmask,
    weights,
    fill=None,
    *,
    max_fraction=0.2,
    pixel_size=None,
    environment=None,
):
    """
    Sum up a cleaned frame in numbers and warnings.

    Parameters
    ----------
    ccd, cleaned : `~astropy.nddata.CCDData`
        The frame before and after, the latter with provenance in its header.
    crmask : `~numpy.ndarray` of bool, shape (rows, columns)
        The cosmic rays.
    weights : `~astro_deepcr.weights.Weights`
        What found them.
    fill : `~astro_deepcr.weights.Weights`, str or None, optional
        What filled them.
    max_fraction : float, optional
        Largest plausible fraction of the usable pixels.
    pixel_size : float, optional
        In micrometres; looked up in the header, or by the name of the instrument, by
        default.
    environment : str, optional
        One of `~astro_deepcr.simulate.list_environments`, for the expected rate; by
        default an orbit for the space telescopes that are known, else 'mountain'.

    Returns
    -------
    quality : dict
        ``pixels``, ``fraction``, ``weights``, ``threshold``, ``fill`` (from the
        header), ``events`` (groups of pixels that touch), ``rate`` (events per
        cm\\ :sup:`2` and second; `None` if area or time are not known), ``expected``
        (particles, in the same unit) and ``warnings`` (list of str).
    """
    meta, usable = _readable(cleaned.meta), _usable(ccd)
    events = ndimage.label(crmask, TOUCHING)[1]
    exposure = _exposure(np.count_nonzero(usable), meta, pixel_size)
    expected = get_environment(environment or _orbit(meta)).rate.to_value(RATE_UNIT)
    fraction = float(meta["CRFRAC"])
    reasons = [
        mismatch(weights, meta),
        mismatch(fill, meta) if isinstance(fill, Weights) else None,
        colour_pattern(meta),
        _too_many(fraction, max_fraction),
        _implausible(events, exposure and expected * exposure),
        _saturated(ccd, usable, meta.get("SATURATE")),
    ]
    return {
        "pixels": int(meta["CRNPIX"]),
        "fraction": fraction,
        "weights": meta["CRMODEL"],
        "threshold": float(meta["CRTHRESH"]),
        "fill": meta["CRFILL"],
        "events": int(events),
        "rate": events / exposure if exposure else None,
        "expected": expected,
        "warnings": [reason for reason in reasons if reason],
    }


def unusable_frame(ccd, weights):
    """
    Sum up a frame of which no pixel is good, such as that of a dead chip.

    Parameters
    ----------
    ccd : `~astropy.nddata.CCDData`
        The frame.
    weights : `~astro_deepcr.weights.Weights`
        What would have looked at it.

    Returns
    -------
    quality : dict or None
        As of `frame_quality`; `None` if there are good pixels.
    """
    if _usable(ccd).any():
        return None
    return {
        "pixels": 0,
        "fraction": 0.0,
        "weights": weights.name,
        "threshold": weights.threshold,
        "fill": "None",
        "events": 0,
        "rate": None,
        "expected": None,
        "warnings": ["an image without good pixels was left as it is"],
    }


def _usable(ccd):
    usable = np.isfinite(ccd.data)
    return usable if ccd.mask is None else usable & ~ccd.mask


def _readable(meta):
    """Return the cards that can be read: one that is damaged is as good as none."""
    cards = {}
    for key in meta:
        with contextlib.suppress(VerifyError):
            cards[key] = meta[key]
    return cards


def _exposure(pixels, meta, pixel_size):
    """Return area times time, in cm2 s, or None."""
    try:
        seconds = parse_exposure_time(None, meta)
    except ValueError:
        return None
    size = _pixel_size(meta) if pixel_size is None else pixel_size * u.um
    if size is None:
        return None
    return float((pixels * size**2 * seconds * u.s).to_value(1 / RATE_UNIT))


def _pixel_size(meta):
    """Return the side of a square as large as a pixel, or None."""
    for key in _BINNED_KEYWORDS:
        if _is_positive(meta.get(key)):
            return meta[key] * u.um
    made = _size_as_made(meta)
    return None if made is None else made * np.sqrt(_binning(meta))


def _binning(meta):
    """Return how many pixels of the detector are one of the image."""
    for keys in _BINNING_KEYWORDS:
        if all(_is_positive(meta.get(key)) for key in keys):
            return meta[keys[0]] * meta[keys[1]]
    parts = str(meta.get("CCDSUM", "")).split()
    whole = len(parts) == 2 and all(part.isdigit() for part in parts)
    return max(int(parts[0]) * int(parts[1]), 1) if whole else 1


def _is_positive(value):
    return isinstance(value, (int, float)) and value > 0


def _size_as_made(meta):
    for key in _PIXEL_KEYWORDS:
        if _is_positive(meta.get(key)):
            return meta[key] * u.um
    camera, chip = (str(meta.get(k, "")).strip() for k in ("INSTRUME", "DETECTOR"))
    for name in (f"{camera}/{chip}", camera):
        if name in list_detectors():
            return get_detector(name).pixel_size
    return None


def _orbit(meta):
    names = (str(meta.get(key, "")).strip().upper() for key in ("TELESCOP", "INSTRUME"))
    return next((_ORBITS[name] for name in names if name in _ORBITS), "mountain")


def _too_many(fraction, max_fraction):
    if fraction > max_fraction:
        return f"{100 * fraction:.1f} % of the usable pixels are flagged"
    return None


def _implausible(events, expected):
    if expected is None or max(events, expected) < _FEW_EVENTS:
        return None
    if 1 / _FAR_FROM_EXPECTED <= events / expected <= _FAR_FROM_EXPECTED:
        return None
    return f"{events} events, where {expected:.3g} are expected"


def _saturated(ccd, usable, limit):
    if not isinstance(limit, (int, float)):
        return None
    share = np.mean(ccd.data[usable] >= limit)
    if share <= _MANY_SATURATED:
        return None
    return f"{100 * share:.1f} % of the pixels are saturated"
