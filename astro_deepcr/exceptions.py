# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Errors and warnings of this package."""

import sys
import warnings

from astropy.utils.exceptions import AstropyUserWarning

__all__ = [
    "BatchError",
    "CosmicRayWarning",
    "DeviceError",
    "OutOfMemoryWarning",
    "TooManyCosmicRaysWarning",
    "TrainingError",
    "WeightsError",
    "WeightsMismatchWarning",
]


class WeightsError(RuntimeError):
    """A weights file is missing, cannot be read, or is not the file it should be."""


class TrainingError(RuntimeError):
    """A training cannot go on; what was reached is in its last checkpoint."""


class BatchError(RuntimeError):
    """Some files of a batch could not be cleaned; the others are done."""


class DeviceError(RuntimeError):
    """The device that was asked for does not exist on this computer."""


class CosmicRayWarning(AstropyUserWarning):
    """Something about a frame or a result that a person should look at."""


class TooManyCosmicRaysWarning(CosmicRayWarning):
    """More of the frame was flagged than cosmic rays can plausibly hit."""


class WeightsMismatchWarning(CosmicRayWarning):
    """The weights were not trained for the instrument named in the header."""


class OutOfMemoryWarning(CosmicRayWarning):
    """The device ran out of memory; the frame was done in smaller tiles."""


def warn(message, category=CosmicRayWarning):
    """
    Warn, with the line of the caller's own code that led here.

    Parameters
    ----------
    message : str
        What to say.
    category : type of Warning, optional
        Which warning it is.
    """
    package = __name__.partition(".")[0]
    level, frame = 1, sys._getframe()
    while frame.f_back and _module(frame).partition(".")[0] == package:
        level, frame = level + 1, frame.f_back
    warnings.warn(message, category, stacklevel=level)


def _module(frame):
    return str(frame.f_globals.get("__name__", ""))  # code of exec() may have none
