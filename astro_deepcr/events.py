# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""The cosmic rays of a mask, one by one."""

import numpy as np
from astropy import units as u
from astropy.table import QTable
from scipy import ndimage

from .fill import fill_pixels
from .images import parse_image, parse_mask, without_mask
from .masks import TOUCHING
from .units import check_given

__all__ = ["cosmicray_events"]


def cosmicray_events(ccd, mask, *, background=None):
    """
    Measure each cosmic ray of a mask.

    Pixels that touch, corners included, are one event. Tracks that cross are one, too.

    Parameters
    ----------
    ccd : `~astropy.nddata.CCDData`, `~astropy.nddata.NDData`, \
`~astropy.units.Quantity`, `~numpy.ma.MaskedArray` or `~numpy.ndarray`
        The frame as it was before it was cleaned. It is not changed.
    mask : array_like of bool, shape (rows, columns)
        The pixels that cosmic rays hit.
    background : float, array_like or `~astropy.units.Quantity`, optional
        What the pixels would show without cosmic rays, in the unit of the frame: a
        cleaned frame, for example. By default the median of the pixels around.

    Returns
    -------
    events : `~astropy.table.QTable`
        One row for each event, from the bottom of the frame to its top: ``label``;
        ``x`` and ``y`` (centre of the charge, in pixels from 0); ``pixels`` (their
        number); ``charge`` (their sum above the background, in the unit of the frame);
        ``peak`` (the largest of them); ``length`` (extent along the longest axis, in
        pixels); ``orientation`` (angle of that axis from the rows towards the columns,
        -90 to 90 degrees).

    Raises
    ------
    TypeError, ValueError
        If ``ccd``, ``mask`` or ``background`` is of the wrong type or shape, or the
        unit is not linear: magnitudes have no sum.

    See Also
    --------
    cosmicray_deepcr : Finds the cosmic rays.

    Examples
    --------
    >>> import numpy as np
    >>> from astropy import units as u
    >>> from astro_deepcr import cosmicray_events
    >>> image = np.full((9, 9), 50.0)
    >>> image[range(2, 6), range(2, 6)] += 100
    >>> events = cosmicray_events(image * u.adu, image > 100)
    >>> for name in ('x', 'y', 'charge', 'orientation'):
    ...     print(name, events[name][0])
    x 3.5 pix
    y 3.5 pix
    charge 400.0 adu
    orientation 45.0 deg
    """
    # Of a cleaned frame, the masked pixels are those that are wanted.
    pixels = parse_image(ccd, without_mask(background))
    check_given(pixels.unit, None, None, pixels.meta)
    mask = parse_mask(mask, pixels.mask.shape, "mask")
    hit = mask & np.isfinite(pixels.values)
    excess = pixels.values[hit]
    if background is None and excess.size:
        excess = excess - fill_pixels(pixels.values, hit, pixels.mask)[0]
    labels, number = ndimage.label(hit, TOUCHING)
    rows, columns = np.nonzero(hit)
    return _measure(labels[hit] - 1, number, rows, columns, excess, pixels.unit)


def _measure(event, number, rows, columns, excess, unit):
    """Make the table from the event, position and charge of each hit pixel."""

    def total(values):
        return np.bincount(event, values, minlength=number)

    count = total(np.ones(event.size))
    # Where noise makes the charge vanish, the centre is that of the pixels.
    weight = np.maximum(excess, 0).astype(float)
    weight = np.where((total(weight) > 0)[event], weight, 1)
    x, y = (total(weight * place) / total(weight) for place in (columns, rows))
    angle, length = _axes(event, count, rows, columns, total)
    peak = np.full(number, -np.inf)
    np.maximum.at(peak, event, excess)
    unit = u.dimensionless_unscaled if unit is None else unit
    events = QTable(
        {
            "label": np.arange(1, number + 1),
            "x": x * u.pix,
            "y": y * u.pix,
            "pixels": count.astype(int),
            "charge": total(excess) * unit,
            "peak": peak * unit,
            "length": length * u.pix,
            "orientation": np.degrees(angle) * u.deg,
        }
    )
    for name, digits in {"x": 2, "y": 2, "length": 1, "orientation": 0}.items():
        events[name].info.format = f".{digits}f"  # as printed; the numbers stay exact
    return events


def _axes(event, count, rows, columns, total):
    """Return the angle of the longest axis of each event, and the extent along it."""
    dx = columns - (total(columns) / count)[event]
    dy = rows - (total(rows) / count)[event]
    angle = 0.5 * np.arctan2(2 * total(dx * dy), total(dx**2) - total(dy**2))
    along = dx * np.cos(angle)[event] + dy * np.sin(angle)[event]
    low, high = np.full(count.size, np.inf), np.full(count.size, -np.inf)
    np.minimum.at(low, event, along)
    np.maximum.at(high, event, along)
    return angle, high - low + 1
