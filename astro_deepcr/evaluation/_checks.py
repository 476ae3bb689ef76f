# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Checks that all measurements of this sub-package share."""

import numpy as np

from ..masks import TOUCHING

__all__ = ["as_image", "as_mask", "as_score", "touching"]


def as_image(values, name, shape=None):
    """Return ``values`` as a 2-D array, of ``shape`` if that is given."""
    image = np.asarray(values)
    if image.ndim != 2 or image.size == 0:
        msg = f"{name} must be a non-empty 2-D array, but its shape is {image.shape}"
        raise ValueError(msg)
    if shape is not None and image.shape != shape:
        msg = (
            f"{name} has shape {image.shape}, but the other arrays have {shape}: "
            "give arrays of one frame, of one shape"
        )
        raise ValueError(msg)
    return image


def as_mask(values, name, shape=None):
    """Return ``values`` (bool, or integers 0 and 1) as a 2-D boolean array."""
    image = as_image(values, name, shape)
    if image.dtype.kind not in "bui" or image.min() < 0 or image.max() > 1:
        msg = (
            f"{name} must be boolean (or 0 and 1), but it is {image.dtype} from "
            f"{image.min()} to {image.max()}: select the bits or a threshold first"
        )
        raise ValueError(msg)
    return image.astype(bool, copy=False)


def as_score(values, shape, ignore):
    """Return ``values`` as a 2-D float array that is finite where not ignored."""
    image = as_image(values, "score", shape)
    if image.dtype.kind not in "buif":
        msg = f"score must be real numbers or boolean, but it is {image.dtype}"
        raise TypeError(msg)
    score = image.astype(np.result_type(image.dtype, np.float32), copy=False)
    n_bad = np.count_nonzero(~np.isfinite(score) & ~ignore)
    if n_bad:
        msg = (
            f"score is NaN or infinite in {n_bad} pixels that are not ignored: "
            "set `ignore` there, or give these pixels a score"
        )
        raise ValueError(msg)
    return score


def as_ignore(values, shape):
    """Return the ignore mask; None means that every pixel counts."""
    if values is None:
        return np.zeros(shape, bool)
    return as_mask(values, "ignore", shape)


def touching(mask, tolerance=1):
    """Return ``mask`` grown by ``tolerance`` pixels, corners included."""
    from scipy.ndimage import binary_dilation

    if tolerance < 0:
        msg = f"tolerance={tolerance} must be 0 pixels or more."
        raise ValueError(msg)
    if not tolerance or not mask.any():
        return mask
    return binary_dilation(mask, TOUCHING, iterations=tolerance)
