# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""How well hit pixels were filled."""

import numpy as np
from astropy.nddata import CCDData, StdDevUncertainty
from astropy.stats import mad_std
from astropy.table import Table

from ._checks import as_image, as_mask

__all__ = ["CLIP", "compare_inpainting", "inpainting_metrics"]

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
        deviations are those of the light; ``reading_pull_rms``, 1 where they are
        those of a reading of the pixel, with its own noise ``sigma`` as well. Every
        figure is NaN where ``mask`` is empty.

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
    sigma = _selected(sigma, "sigma", mask, positive=True)
    ratio = error / sigma
    result = {
        "n": error.size,
        "rms": _rms(ratio),
        "clipped_rms": _rms(np.clip(ratio, -clip, clip)),
        "bias": _mean(ratio),
        "median_bias": float(np.median(ratio)) if ratio.size else np.nan,
    }
    if stated is not None:
        stated = _selected(stated, "stated", mask, positive=True)
        pull = error / stated
        result["reading_pull_rms"] = _rms(np.hypot(error, sigma) / stated)
        result["pull_mean"] = _mean(pull)
        result["pull_std"] = float(pull.std()) if pull.size else np.nan
        result["pull_mad_std"] = float(mad_std(pull)) if pull.size else np.nan
    return result


def compare_inpainting(
    scenarios, methods=("median", "mean", "idw", "biharmonic", "network")
):
    """
    Compare ways to fill the pixels that cosmic rays hit.

    Filled are the true mask and the ignored pixels, which may hold charge of cosmic
    rays as well; judged are those of the true mask.

    Parameters
    ----------
    scenarios : dict of str to iterable of LabelledFrame
        Name -> frames, which need ``clean`` and ``sigma``.
    methods : sequence of str, optional
        Methods of `astro_deepcr.inpaint_cosmicrays`.

    Returns
    -------
    `~astropy.table.Table`
        One row for each scenario and method, with the figures of
        `inpainting_metrics`, pixels of all frames together.

    Raises
    ------
    ValueError
        If a frame has no ``clean`` or no ``sigma``, or if a scenario has no frame.

    Examples
    --------
    >>> import numpy as np
    >>> from astropy.nddata import CCDData
    >>> from astro_deepcr.evaluation import LabelledFrame, compare_inpainting
    >>> clean = np.full((32, 32), 50.0)
    >>> image = np.random.default_rng(0).normal(clean, 3)
    >>> truth = np.zeros(image.shape, bool)
    >>> truth[7, 7:15] = True
    >>> ccd = CCDData(image + 900 * truth, unit="electron")
    >>> frame = LabelledFrame(ccd, truth, clean=clean, sigma=np.full((32, 32), 3.0))
    >>> table = compare_inpainting({"sky": [frame]}, ["median"])
    >>> bool(table["rms"][0] < 1)
    True
    """
    methods, rows = [methods] if isinstance(methods, str) else list(methods), []
    for scenario, frames in scenarios.items():
        parts = {method: [] for method in methods}
        for frame in frames:
            for method in methods:
                parts[method].append(_fill(frame, method))
        for method in methods:
            if not parts[method]:
                msg = f"the scenario {scenario!r} holds no frame"
                raise ValueError(msg)
            columns = np.concatenate(parts[method], axis=1)[:, np.newaxis]
            filled, clean, sigma, stated = columns
            everywhere = np.ones(filled.shape, bool)
            result = inpainting_metrics(filled, clean, everywhere, sigma, stated)
            rows.append({"scenario": scenario, "method": method} | result)
    return Table(rows)


def _fill(frame, method):
    """Return filled, true, noise and stated error of the hit pixels."""
    from ..core import inpaint_cosmicrays

    if frame.clean is None or frame.sigma is None:
        msg = f"frame {frame.name!r} needs `clean` and `sigma` to judge filled pixels"
        raise ValueError(msg)
    ccd = CCDData(
        frame.ccd.data,
        unit=frame.ccd.unit,
        meta=frame.ccd.meta,
        mask=frame.bad,
        uncertainty=StdDevUncertainty(np.asarray(frame.sigma)),
    )
    hit = frame.truth & ~frame.ignored
    filled = inpaint_cosmicrays(
        ccd,
        frame.truth | frame.ignored,
        method,
        gain=frame.gain,
        readnoise=frame.readnoise,
    )
    stated = filled.uncertainty.array[hit]
    return np.array([filled.data[hit], frame.clean[hit], frame.sigma[hit], stated])


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
