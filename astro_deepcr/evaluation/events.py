# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Metrics of whole cosmic rays and of whole objects, from a mask and the truth."""

import numpy as np
from astropy.table import Table
from scipy import ndimage

from ._checks import TOUCHING, as_ignore, as_image, as_mask, touching

__all__ = [
    "binned_completeness",
    "event_table",
    "group_table",
    "wrongly_flagged",
    "wrongly_flagged_objects",
]


def event_table(mask, truth, *, ignore=None, charge=None, event_id=None, tolerance=1):
    """
    Tell of each true cosmic ray whether it was found.

    Parameters
    ----------
    mask : 2-D array_like of bool
        Pixels that a method flags.
    truth : 2-D array_like of bool
        Pixels that a cosmic ray hit.
    ignore : 2-D array_like of bool or None, optional
        Pixels that do not count. A cosmic ray of which no pixel counts is left out.
    charge : 2-D array_like or None, optional
        Charge of the cosmic rays in each pixel, in any unit.
    event_id : 2-D array_like of int or None, optional
        Number of the cosmic ray that each pixel belongs to (0 for none), where it
        is known. By default pixels that touch, corners included, are one event.
    tolerance : int, optional
        An event is found if a flagged pixel is at most so many pixels away from it.

    Returns
    -------
    `~astropy.table.Table`
        One row for each event: ``label``, ``x`` and ``y`` (centre, in pixels),
        ``size`` (number of pixels), ``charge`` (sum over them; NaN if it is not
        known), ``flagged`` (share of the pixels that are flagged), ``found``.
        The mean of ``found`` is the completeness.

    Raises
    ------
    ValueError
        If the arrays are not 2-D, differ in shape, or are not boolean.

    Examples
    --------
    >>> import numpy as np
    >>> from astro_deepcr.evaluation import event_table
    >>> truth = np.zeros((8, 8), bool)
    >>> truth[1, 1:4] = truth[6, 6] = True
    >>> mask = np.zeros((8, 8), bool)
    >>> mask[1, 2:4] = True
    >>> print(event_table(mask, truth)["size", "flagged", "found"])
    size      flagged       found
    ---- ------------------ -----
       3 0.6666666666666666  True
       1                0.0 False
    """
    truth = as_mask(truth, "truth")
    mask = as_mask(mask, "mask", truth.shape)
    counts = truth & ~as_ignore(ignore, truth.shape)
    labels = _event_labels(truth, counts, event_id)
    index = np.unique(labels[labels > 0])
    size = ndimage.sum_labels(counts, labels, index)
    centre = np.array(ndimage.center_of_mass(counts, labels, index)).reshape(-1, 2)
    if charge is None:
        total = np.full(len(index), np.nan)
    else:
        charge = as_image(charge, "charge", truth.shape)
        total = ndimage.sum_labels(charge, labels, index)
    return Table(
        {
            "label": index,
            "x": centre[:, 1],
            "y": centre[:, 0],
            "size": np.asarray(size, int),
            "charge": total,
            "flagged": np.asarray(ndimage.mean(mask, labels, index), float),
            "found": _touched(touching(mask, tolerance), labels, index),
        }
    )


def group_table(mask, truth, *, ignore=None, tolerance=1):
    """
    Tell of each group of flagged pixels whether it is a cosmic ray.

    Parameters
    ----------
    mask, truth, ignore : 2-D array_like of bool
        As in `event_table`. A group of which no pixel counts is left out.
    tolerance : int, optional
        A group is true if at least half of its pixels that count are at most so many
        pixels away from a cosmic ray: flagging a whole frame finds every event, and
        is not pure.

    Returns
    -------
    `~astropy.table.Table`
        One row for each group: ``label``, ``size`` (number of pixels), ``true``.
        The mean of ``true`` is the purity.

    Raises
    ------
    ValueError
        If the arrays are not 2-D, differ in shape, or are not boolean.

    Examples
    --------
    >>> import numpy as np
    >>> from astro_deepcr.evaluation import group_table
    >>> truth = np.zeros((8, 8), bool)
    >>> truth[1, 1:4] = True
    >>> mask = np.zeros((8, 8), bool)
    >>> mask[2, 2] = mask[6, 6] = True
    >>> print(group_table(mask, truth)["size", "true"])
    size  true
    ---- -----
       1  True
       1 False
    """
    truth = as_mask(truth, "truth")
    mask = as_mask(mask, "mask", truth.shape)
    ignore = as_ignore(ignore, truth.shape)
    groups, _ = ndimage.label(mask, TOUCHING)
    # A hit pixel of which nothing is known otherwise still explains a detection.
    labels = np.where(ignore, 0, groups)
    index = np.unique(labels[labels > 0])
    near = ndimage.mean(touching(truth, tolerance), labels, index)
    return Table(
        {
            "label": index,
            "size": np.asarray(ndimage.sum_labels(mask, labels, index), int),
            "true": np.asarray(near) >= 0.5,
        }
    )


def binned_completeness(events, column="charge", bins=10):
    """
    Completeness of events against their charge or size.

    Parameters
    ----------
    events : `~astropy.table.Table`
        From `event_table`; stack the tables of several frames with
        `astropy.table.vstack`.
    column : str, optional
        ``"charge"``, ``"size"``, or any other column of positive numbers.
    bins : int or 1-D array_like, optional
        Number of bins of equal width in the logarithm, or their edges.

    Returns
    -------
    `~astropy.table.Table`
        One row for each bin that holds events: ``low``, ``high``, ``n``,
        ``completeness``, and the ends ``lower`` and ``upper`` of its 68 % interval
        (Wilson's).

    Raises
    ------
    ValueError
        If the column holds no positive finite number.

    Examples
    --------
    >>> from astropy.table import Table
    >>> from astro_deepcr.evaluation import binned_completeness
    >>> events = Table({"charge": [20.0, 30.0, 500.0], "found": [False, True, True]})
    >>> print(binned_completeness(events, bins=[10, 100, 1000])["n", "completeness"])
     n  completeness
    --- ------------
      2          0.5
      1          1.0
    """
    from astropy.stats import binom_conf_interval

    values, found = np.asarray(events[column], float), np.asarray(events["found"])
    good = np.isfinite(values) & (values > 0)
    if not good.any():
        msg = f"column {column!r} holds no positive number in {len(events)} events"
        raise ValueError(msg)
    if np.isscalar(bins):
        low, high = values[good].min(), values[good].max()
        bins = np.geomspace(low, high if high > low else 2 * low, bins + 1)
    n, edges = np.histogram(values[good], bins)
    hits, _ = np.histogram(values[good & found], edges)
    held = n > 0
    interval = binom_conf_interval(hits[held], n[held], interval="wilson")
    return Table(
        {
            "low": edges[:-1][held],
            "high": edges[1:][held],
            "n": n[held],
            "completeness": hits[held] / n[held],
            "lower": interval[0],
            "upper": interval[1],
        }
    )


def wrongly_flagged(mask, pixels, truth, ignore=None):
    """
    Count pixels of one kind (hot, saturated, ...) that are wrongly flagged.

    Parameters
    ----------
    mask : 2-D array_like of bool
        Pixels that a method flags.
    pixels : 2-D array_like of bool
        The pixels of that kind.
    truth : 2-D array_like of bool
        Pixels that a cosmic ray hit; they and the pixels that touch them are left
        out.
    ignore : 2-D array_like of bool or None, optional
        Pixels that do not count.

    Returns
    -------
    n_flagged, n : int
        Wrongly flagged pixels, and all pixels of that kind that count.

    Raises
    ------
    ValueError
        If the arrays are not 2-D, differ in shape, or are not boolean.

    Examples
    --------
    >>> import numpy as np
    >>> from astro_deepcr.evaluation import wrongly_flagged
    >>> hot = np.eye(4, dtype=bool)
    >>> wrongly_flagged(np.ones((4, 4), bool), hot, np.zeros((4, 4), bool))
    (4, 4)
    """
    truth = as_mask(truth, "truth")
    mask = as_mask(mask, "mask", truth.shape)
    pixels = as_mask(pixels, "pixels", truth.shape)
    counted = pixels & ~touching(truth) & ~as_ignore(ignore, truth.shape)
    return int(np.count_nonzero(mask & counted)), int(np.count_nonzero(counted))


def wrongly_flagged_objects(mask, objects, truth, ignore=None):
    """
    Count objects (cores of stars, of galaxies) that are wrongly flagged.

    Parameters
    ----------
    mask : 2-D array_like of bool
        Pixels that a method flags.
    objects : 2-D array_like of bool or int
        Pixels of the objects: the number of the object (0 for none), or boolean;
        then pixels that touch are one object.
    truth : 2-D array_like of bool
        Pixels that a cosmic ray hit. Objects that are hit or touched are left out.
    ignore : 2-D array_like of bool or None, optional
        Pixels that do not count. Objects with such a pixel are left out.

    Returns
    -------
    n_flagged, n : int
        Objects with at least one flagged pixel, and all objects that count.

    Raises
    ------
    ValueError
        If the arrays are not 2-D, differ in shape, or are not boolean.

    Examples
    --------
    >>> import numpy as np
    >>> from astro_deepcr.evaluation import wrongly_flagged_objects
    >>> stars = np.zeros((8, 8), bool)
    >>> stars[1, 1] = stars[5, 5:7] = True
    >>> mask = np.zeros((8, 8), bool)
    >>> mask[5, 6] = True
    >>> wrongly_flagged_objects(mask, stars, np.zeros((8, 8), bool))
    (1, 2)
    """
    truth = as_mask(truth, "truth")
    mask = as_mask(mask, "mask", truth.shape)
    labels = as_image(objects, "objects", truth.shape)
    if labels.dtype == bool:
        labels, _ = ndimage.label(labels, TOUCHING)
    index = np.unique(labels[labels > 0])
    unfit = touching(truth) | as_ignore(ignore, truth.shape)
    counted = ~_touched(unfit, labels, index)
    flagged = _touched(mask, labels, index)
    return int(np.count_nonzero(flagged & counted)), int(np.count_nonzero(counted))


def _event_labels(truth, counts, event_id):
    """Number of the event of each pixel that counts, 0 elsewhere."""
    if event_id is None:
        labels, _ = ndimage.label(truth, TOUCHING)
    else:
        labels = as_image(event_id, "event_id", truth.shape)
    return np.where(counts, labels, 0)


def _touched(mask, labels, index):
    """Whether each label has a pixel in ``mask``."""
    return np.isin(index, np.unique(labels[mask]))
