# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Checks of what a user passes beside the frame, with errors that say what is wrong."""

import numpy as np
from astropy.nddata import NDData

from .fill import FILL_METHODS
from .flags import parse_flag_bit
from .weights import get_weights

__all__ = [
    "check_limits",
    "check_number",
    "check_orientations",
    "choose_threshold",
    "parse_flag",
    "parse_generator",
    "parse_inpaint",
]

# In which an image can be looked at: half turns, mirror images, quarter turns.
_ORIENTATIONS = (1, 2, 4, 8)


def choose_threshold(entry, threshold, fpr):
    """Return the threshold that is asked for, or else that of the weights."""
    if threshold is not None and fpr is not None:
        msg = f"threshold={threshold} and fpr={fpr} exclude each other; pass one."
        raise ValueError(msg)
    if fpr is not None:
        return entry.threshold_for(check_number("fpr", fpr, 0, 1))
    if threshold is None:
        return entry.threshold
    return check_number("threshold", threshold, 0, 1)


def check_number(name, value, low, high):
    """Return a number as float if it lies within limits."""
    if not isinstance(value, (int, float, np.number)) or isinstance(value, bool):
        msg = f"{name}={value!r} must be one number."
        raise TypeError(msg)
    if not low <= value <= high:
        msg = f"{name}={value} must be between {low} and {high}."
        raise ValueError(msg)
    return float(value)


def check_limits(threshold, neighbor_threshold, grow, max_fraction):
    """Raise an error unless the numbers that shape a mask are within limits."""
    if neighbor_threshold is not None:
        check_number("neighbor_threshold", neighbor_threshold, 0, threshold)
    check_number("grow", grow, 0, 100)
    check_number("max_fraction", max_fraction, 0, 1)


def check_orientations(orientations):
    """Raise an error unless there are so many to choose from."""
    whole = isinstance(orientations, (int, np.integer))
    if not whole or isinstance(orientations, bool) or orientations not in _ORIENTATIONS:
        msg = f"orientations={orientations!r} must be 1, 2, 4 or 8."
        raise ValueError(msg)


def parse_flag(flag_bit, ccd):
    """Return the bit that is to be set in the flags of a frame, or `None`."""
    if flag_bit is None:
        return None
    if not hasattr(ccd, "flags") or not isinstance(ccd, NDData):
        msg = (
            f"flag_bit needs a CCDData, whose .flags are set; got {type(ccd).__name__}."
        )
        raise TypeError(msg)
    if ccd.flags is not None and np.asarray(ccd.flags).dtype.kind not in "iu":
        msg = f"flag_bit needs .flags of integers; these are {type(ccd.flags).__name__}"
        msg += f" of {np.asarray(ccd.flags).dtype}."
        raise TypeError(msg)
    return parse_flag_bit(flag_bit)


def parse_inpaint(inpaint, meta, name="inpaint"):
    """Return `None`, the name of a classical method, or inpainting weights."""
    if inpaint is None or (isinstance(inpaint, str) and inpaint in FILL_METHODS):
        return inpaint
    if isinstance(inpaint, str) and inpaint == "network":
        return get_weights(None, task="inpaint", meta=meta)
    try:
        return get_weights(inpaint, task="inpaint", meta=meta)
    except (TypeError, ValueError) as err:
        methods = ", ".join(map(repr, FILL_METHODS))
        msg = f"{name}={inpaint!r} is not known; choose {methods}, 'network' or None."
        raise ValueError(msg) from err


def parse_generator(noise):
    """Return a random generator to draw noise from, or `None` for no noise."""
    if isinstance(noise, np.random.Generator):
        return noise
    if isinstance(noise, (bool, np.bool_)):
        return np.random.default_rng() if noise else None
    msg = (
        f"noise={noise!r} must be True, False or a numpy.random.Generator, such as "
        "numpy.random.default_rng(42)."
    )
    raise TypeError(msg)
