# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""How well hit pixels were filled."""

import numpy as np
from astropy.stats import mad_std

from ._checks import as_image, as_mask

__all__ = ["CLIP", "inpainting_metrics"]

CLIP = 10.0  # errors beyond so many local sigma count as this much, see ANCHORS


def inpainting_metrics(filled, truth, mask, sigma, stated=None, clip=CLIP):
    """
    Compare filled pixels with the light that is under the cosmic rays.

    Parameters
    ----------
    filled : 2-D array_like
        The image whose hit pixels were filled.
    truth : 2-D array_like
        The image without cosmic rays and, where known, without noise, in the unit of
        ``filled``.
    mask : 2-D array_like of bool
        Pixels that were filled and that count.
    sigma : 2-D array_like or float
        Local noise of a pixel, in the same unit: results are given in units of it.
    stated : 2-D array_like or None, optional
        Standard deviation that the filling method states for its values.
    clip : float, optional
        Errors beyond so many sigma count as this many, in ``clipped_rms``.

    Returns
    -------
    dict
        ``n`` (pixels); ``rms``, ``clipped_rms``, ``bias`` (mean error) and
        ``median_bias``, all in units of the local noise; and, with ``stated``,
        ``pull_mean``, ``pull_std`` and ``pull_mad_std`` of the pulls
        ``(filled - truth) / stated``, which are 0, 1 and 1 where the stated standard
        deviations are right. Every figure is NaN where ``mask`` is empty.

    Raises
    ------
    ValueError
        If the arrays are not 2-D or differ in shape, if a pixel of ``mask`` is not
        finite in one of them, or if ``sigma`` or ``stated`` is not positive there.

    Examples
    --------
    >>> import numpy as np
    >>> from astro_deepcr.evaluation import inpainting_metrics
    >>> mask = np.ones((2, 2), bool)
    >>> filled, truth = np.array([[5.0, 1.0], [3.0, 3.0]]), np.full((2, 2), 3.0)
    >>> result = inpainting_metrics(filled, truth, mask, sigma=2.0)
    >>> result["rms"], result["bias"]
    (0.7071067811865476, 0.0)
    """
    mask = as_mask(mask, "mask")
    filled = _selected(filled, "filled", mask)
    error = filled - _selected(truth, "truth", mask)
    ratio = error / _selected(sigma, "sigma", mask, positive=True)
    result = {
        "n": error.size,
        "rms": _rms(ratio),
        "clipped_rms": _rms(np.clip(ratio, -clip, clip)),
        "bias": _mean(ratio),
        "median_bias": float(np.median(ratio)) if ratio.size else np.nan,
    }
    if stated is not None:
        pull = error / _selected(stated, "stated", mask, positive=True)
        result["pull_mean"] = _mean(pull)
        result["pull_std"] = float(pull.std()) if pull.size else np.nan
        result["pull_mad_std"] = float(mad_std(pull)) if pull.size else np.nan
    return result


def _selected(values, name, mask, positive=False):
    """Return the values at the filled pixels, as float64 and checked."""
    if np.ndim(values) == 0:
        values = np.broadcast_to(values, mask.shape)
    selected = as_image(values, name, mask.shape)[mask].astype(float)
    good = np.isfinite(selected)
    if positive:
        good &= selected > 0
    if not good.all():
        kind = "positive and finite" if positive else "finite"
        msg = (
            f"{name} must be {kind} in all pixels of mask, but it is not in "
            f"{np.count_nonzero(~good)}: leave these pixels out of mask"
        )
        raise ValueError(msg)
    return selected


def _mean(values):
    return float(values.mean()) if values.size else np.nan


def _rms(values):
    return float(np.sqrt(np.mean(values**2))) if values.size else np.nan
