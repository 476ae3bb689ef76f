# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""From a probability to a mask."""

import numpy as np
from scipy import ndimage

from .arguments import check_number
from .exceptions import TooManyCosmicRaysWarning, warn
from .images import parse_mask

__all__ = ["TOUCHING", "check_fraction", "find_cosmic_rays", "grow_mask"]

#: Pixels that touch, corners included, are one cosmic ray.
TOUCHING = np.ones((3, 3), bool)


def find_cosmic_rays(
    probability,
    threshold,
    *,
    neighbor_threshold=None,
    grow=0,
    exclude=None,
    protect=None,
):
    """
    Turn a probability into a cosmic-ray mask.

    Parameters
    ----------
    probability : `~numpy.ndarray` of float, shape (rows, columns)
        Probability that a pixel was hit, or another score that is not negative.
    threshold : float
        Pixels with this probability or a larger one are flagged.
    neighbor_threshold : float, optional
        Pixels from this lower threshold on are flagged as well if a chain of such
        pixels, diagonals included, connects them to a flagged one.
    grow : float, optional
        Pixels whose centre lies within this many pixels of a flagged one are
        flagged at the end.
    exclude : array_like of bool, optional
        Pixels (masked, not finite) that are never flagged and never pass a flag on.
    protect : array_like of bool, optional
        Pixels that are never flagged, for example the cores of stars.

    Returns
    -------
    crmask : `~numpy.ndarray` of bool, shape (rows, columns)
        True for pixels hit by a cosmic ray.

    Raises
    ------
    TypeError, ValueError
        If a number is beyond its limits, or a mask does not fit.

    Examples
    --------
    >>> import numpy as np
    >>> from astro_deepcr.masks import find_cosmic_rays
    >>> probability = np.array([[0.1, 0.3, 0.9, 0.3, 0.1]])
    >>> find_cosmic_rays(probability, 0.5).astype(int)
    array([[0, 0, 1, 0, 0]])
    >>> find_cosmic_rays(probability, 0.5, neighbor_threshold=0.2).astype(int)
    array([[0, 1, 1, 1, 0]])
    >>> find_cosmic_rays(probability, 0.5, grow=2).astype(int)
    array([[1, 1, 1, 1, 1]])
    """
    threshold = check_number("threshold", threshold, 0, np.inf)
    allowed = np.ones(probability.shape, bool)
    for name, mask in {"exclude": exclude, "protect": protect}.items():
        if mask is not None:
            allowed &= ~parse_mask(mask, probability.shape, name)
    crmask = (probability >= threshold) & allowed
    if neighbor_threshold is not None:
        check_number("neighbor_threshold", neighbor_threshold, 0, threshold)
        candidates = (probability >= neighbor_threshold) & allowed
        crmask = ndimage.binary_propagation(crmask, TOUCHING, mask=candidates)
    if check_number("grow", grow, 0, np.inf):
        crmask = grow_mask(crmask, grow) & allowed
    return crmask


def grow_mask(mask, radius):
    """
    Grow a mask by a radius.

    Parameters
    ----------
    mask : `~numpy.ndarray` of bool
        The mask.
    radius : float
        In pixels, between the centres of pixels: 1 adds the four neighbours,
        1.5 the diagonal ones too.

    Returns
    -------
    grown : `~numpy.ndarray` of bool
        True within ``radius`` of a True pixel.

    Raises
    ------
    TypeError, ValueError
        If the radius is not a number, or negative.

    Examples
    --------
    >>> import numpy as np
    >>> from astro_deepcr.masks import grow_mask
    >>> grow_mask(np.array([[0, 0, 1, 0, 0]], bool), 1).astype(int)
    array([[0, 1, 1, 1, 0]])
    """
    check_number("radius", radius, 0, np.inf)
    mask = parse_mask(mask, np.shape(mask), "mask")
    if not mask.any():
        return mask.copy()
    return ndimage.distance_transform_edt(~mask) <= radius


def check_fraction(crmask, usable, max_fraction):
    """
    Warn when implausibly many pixels were flagged.

    Parameters
    ----------
    crmask : `~numpy.ndarray` of bool
        The cosmic-ray mask.
    usable : `~numpy.ndarray` of bool
        Pixels that could have been flagged.
    max_fraction : float
        Largest plausible fraction of the usable pixels.

    Returns
    -------
    fraction : float
        The fraction flagged.
    """
    fraction = float(np.count_nonzero(crmask) / max(np.count_nonzero(usable), 1))
    if fraction > max_fraction:
        msg = (
            f"{100 * fraction:.1f} % of the usable pixels were flagged as cosmic "
            f"rays, more than max_fraction={max_fraction}. Check the unit and gain, "
            "the weights and the threshold; for a frame that really is so full, "
            "raise max_fraction."
        )
        warn(msg, TooManyCosmicRaysWarning)
    return fraction
