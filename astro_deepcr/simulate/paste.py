# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Real cosmic rays, cut out of dark or difference frames and pasted on others."""

from pathlib import Path

import numpy as np
from astropy import units as u
from scipy import ndimage

from ..images import parse_mask

__all__ = ["cut_cosmic_rays", "paste_cosmic_rays", "read_stamps"]


def read_stamps(path):
    """
    Read cosmic-ray stamps from a file.

    Parameters
    ----------
    path : str or `~pathlib.Path`
        A NumPy ``.npz`` file with ``shapes``, rows and columns of each stamp, and
        ``flat``, the pixels of all stamps one after the other, each row by row.

    Returns
    -------
    stamps : list of `~numpy.ndarray`
        Two-dimensional; 0 outside the cosmic ray.

    Raises
    ------
    ValueError
        If the file has another layout.

    Examples
    --------
    >>> from io import BytesIO
    >>> import numpy as np
    >>> from astro_deepcr.simulate import read_stamps
    >>> file = BytesIO()
    >>> np.savez(file, shapes=[(1, 2), (1, 1)], flat=[300., 40., 900.])
    >>> _ = file.seek(0)
    >>> [stamp.shape for stamp in read_stamps(file)]
    [(1, 2), (1, 1)]
    """
    where = Path(path) if isinstance(path, str) else path
    with np.load(where, allow_pickle=False) as file:
        missing = {"shapes", "flat"} - set(file.files)
        if missing:
            msg = (
                f"{path} has no array {', '.join(sorted(missing))}; it needs 'shapes' "
                "(N, 2) and 'flat' (all pixels of all stamps)."
            )
            raise ValueError(msg)
        shapes, flat = file["shapes"].astype(int), file["flat"]
    sizes = shapes.prod(axis=-1)
    if shapes.ndim != 2 or shapes.shape[1] != 2 or sizes.sum() != flat.size:
        msg = (
            f"{path}: 'shapes' of {shapes.shape} asks for {sizes.sum()} pixels, but "
            f"'flat' has {flat.size}. Write both again from the same list of stamps."
        )
        raise ValueError(msg)
    parts = np.split(flat, np.cumsum(sizes)[:-1])
    return [part.reshape(shape) for part, shape in zip(parts, shapes, strict=True)]


def cut_cosmic_rays(frame, mask, background=0.0):
    """
    Cut cosmic rays out of a dark frame, or of any frame with a known background.

    Parameters
    ----------
    frame : array-like, `~astropy.units.Quantity` or `~astropy.nddata.CCDData`
        Two-dimensional; in electrons, if the stamps are pasted on electrons.
    mask : array-like of bool
        Where the cosmic rays are; pixels that touch, also at corners, are one stamp.
    background : float or array-like, optional
        What is taken off the frame: bias, dark current, sky.

    Returns
    -------
    stamps : list of `~numpy.ndarray` or `~astropy.units.Quantity`
        Two-dimensional, in the unit of the frame, if it has one; 0 outside the cosmic
        ray, never negative.

    Raises
    ------
    ValueError
        If shapes differ, or a masked pixel is not finite.
    TypeError
        If the mask holds neither booleans nor integers.

    Examples
    --------
    >>> import numpy as np
    >>> from astro_deepcr.simulate import cut_cosmic_rays
    >>> dark = np.full((5, 5), 10.)
    >>> dark[1, 1:4] = 300
    >>> cut_cosmic_rays(dark, dark > 50, background=10)
    [array([[290., 290., 290.]])]
    """
    unit = getattr(frame, "unit", None)
    frame = np.asarray(getattr(frame, "value", frame), dtype=float)
    background = in_unit_of(background, unit, "background")
    if frame.ndim != 2 or frame.shape != np.shape(mask):
        msg = (
            f"frame of shape {frame.shape} and mask of shape {np.shape(mask)} must be "
            "two-dimensional and alike."
        )
        raise ValueError(msg)
    mask = parse_mask(mask, frame.shape, "mask")
    charge = np.where(mask, frame - background, 0.0)
    if not np.all(np.isfinite(charge)):
        msg = "frame - background is not finite under the mask; unmask such pixels."
        raise ValueError(msg)
    labels, _ = ndimage.label(mask, np.ones((3, 3)))
    charge = np.maximum(charge, 0.0)
    stamps = [
        charge[place] * (labels[place] == label)
        for label, place in enumerate(ndimage.find_objects(labels), start=1)
    ]
    return stamps if unit is None else [u.Quantity(stamp, unit) for stamp in stamps]


def paste_cosmic_rays(
    image, stamps, number, *, rng, charge_factor=(1.0, 1.0), least_charge=0.0
):
    """
    Paste real cosmic rays on a clean image.

    What a network learns from such pairs needs no labels of the image itself [1]_.

    Parameters
    ----------
    image : array-like, or `~astropy.units.Quantity`
        Two-dimensional, or (N, rows, columns) for several images. Never modified.
    stamps : list of array-like
        Two-dimensional charges in the unit of the image; 0 outside the cosmic ray.
    number : int
        Cosmic rays per image.
    rng : `~numpy.random.Generator`
        Chooses stamps, positions (anywhere, also across an edge), flips and
        transpositions.
    charge_factor : tuple of float, optional
        Every charge is multiplied by a factor drawn between these limits.
    least_charge : float, optional
        A pixel is in the mask if it got more than this.

    Returns
    -------
    pasted : `~numpy.ndarray` or `~astropy.units.Quantity`
        Image and cosmic rays, in the unit of the image.
    mask : `~numpy.ndarray`
        Boolean; where cosmic rays are.

    Raises
    ------
    ValueError
        If there is nothing to paste, or a value is out of range.

    References
    ----------
    .. [1] Chen, Z., Zhang, K., Williams, B. F., and Durbin, M. 2024, "A New
       Cosmic-Ray Rejection Routine for HST WFC3/UVIS via Label-free Training of
       deepCR", ApJ 962, 7. https://doi.org/10.3847/1538-4357/ad1602

    Examples
    --------
    >>> import numpy as np
    >>> from astro_deepcr.simulate import paste_cosmic_rays
    >>> pasted, mask = paste_cosmic_rays(
    ...     np.zeros((32, 32)), [[[200., 900.]]], 3, rng=np.random.default_rng(2))
    >>> int(mask.sum()), float(pasted.max())
    (6, 900.0)
    """
    if not isinstance(rng, np.random.Generator):
        msg = f"rng={rng!r} must be a numpy.random.Generator: numpy.random.default_rng."
        raise TypeError(msg)
    values = np.asarray(getattr(image, "value", image), dtype=float)
    stamps = [_check_stamp(stamp, getattr(image, "unit", None)) for stamp in stamps]
    _check_request(values, stamps, number, charge_factor)
    charge = np.zeros(values.shape)
    for layer in charge.reshape(-1, *values.shape[-2:]):
        for chosen in rng.integers(len(stamps), size=number):
            stamp = stamps[chosen] * rng.uniform(*charge_factor)
            _add_stamp(layer, _turned(stamp, rng), rng)
    pasted = values + charge
    unit = getattr(image, "unit", None)
    if unit is not None:
        pasted = u.Quantity(pasted, unit)
    return pasted, charge > least_charge


def _turned(stamp, rng):
    transpose, *flips = rng.random(3) < 0.5
    stamp = stamp.T if transpose else stamp
    return np.flip(stamp, [axis for axis in (0, 1) if flips[axis]])


def _add_stamp(layer, stamp, rng):
    """Add a stamp with its first pixel anywhere where it reaches the layer."""
    starts = [
        int(rng.integers(1 - n, size))
        for n, size in zip(stamp.shape, layer.shape, strict=True)
    ]
    inside = [
        slice(max(-start, 0), size - start)
        for start, size in zip(starts, layer.shape, strict=True)
    ]
    part = stamp[tuple(inside)]
    place = [
        slice(max(start, 0), max(start, 0) + n)
        for start, n in zip(starts, part.shape, strict=True)
    ]
    layer[tuple(place)] += part


def in_unit_of(values, unit, name):
    """Return numbers in the unit of the image, if they have one."""
    if not isinstance(values, u.Quantity):
        return values
    try:
        return values.to_value(unit or u.dimensionless_unscaled)
    except u.UnitConversionError:
        has = "has none" if unit is None else f"is in {unit}"
        msg = f"{name} is in {values.unit}, and the image {has}; convert it first."
        raise ValueError(msg) from None


def _check_stamp(stamp, unit):
    stamp = np.asarray(in_unit_of(stamp, unit, "A stamp"), dtype=float)
    if stamp.ndim != 2 or not (np.all(np.isfinite(stamp)) and np.all(stamp >= 0)):
        msg = (
            f"A stamp of shape {stamp.shape} must be two-dimensional, finite and not "
            "negative; take the background off and set pixels around the cosmic ray "
            "to 0."
        )
        raise ValueError(msg)
    return stamp


def _check_request(values, stamps, number, charge_factor):
    if values.ndim not in (2, 3) or not values.size:
        msg = (
            f"image has shape {values.shape}; it must be (rows, columns), or (N, ...)."
        )
        raise ValueError(msg)
    if not stamps:
        msg = "stamps is empty; give at least one cosmic ray to paste."
        raise ValueError(msg)
    if isinstance(number, bool) or int(number) != number or number < 0:
        msg = f"number={number!r} must be a whole number, 0 or more."
        raise ValueError(msg)
    low, high = charge_factor
    if not 0 < low <= high < np.inf:
        msg = f"charge_factor={charge_factor!r} must be two positive, rising numbers."
        raise ValueError(msg)
