# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""From what a user passes to plain pixels, and back."""

import copy
from dataclasses import dataclass

import numpy as np
from astropy import units as u
from astropy.nddata import (
    InverseVariance,
    NDData,
    StdDevUncertainty,
    VarianceUncertainty,
)
from astropy.utils.masked import Masked

from .exceptions import warn
from .fill import fill_pixels
from .header import colour_pattern
from .units import one_name

__all__ = [
    "PixelData",
    "background_value",
    "check_data",
    "is_dask",
    "parse_image",
    "parse_mask",
    "plain_background",
    "reading_deviation",
    "rebuild",
    "with_data",
    "without_mask",
]

# Kinds of uncertainty: what power of the standard deviation they hold.
_POWERS = {StdDevUncertainty: 1, VarianceUncertainty: 2, InverseVariance: -2}
# What float32, the type that the networks compute in, can hold with room to square, ...
_LARGEST_VALUE = 1e18
# ... and with all its digits, for the noise of frames that are nothing but faint.
_SMALLEST_VALUE = 1e-34


@dataclass(frozen=True, eq=False)
class PixelData:
    """
    The pixels of a frame, free of the class that they came in.

    Attributes
    ----------
    values : `~numpy.ndarray` of float32, shape (rows, columns)
        A native-byte-order copy, less the background.
    background : float or `~numpy.ndarray`, shape (rows, columns)
        What was subtracted from ``values``; where it is not known, which is where the
        frame says nothing either, that of the pixels around.
    data : `~numpy.ndarray`, shape (rows, columns)
        The caller's own values, not to be changed.
    mask : `~numpy.ndarray` of bool, shape (rows, columns)
        True where a pixel says nothing: masked by the user, or not finite.
    unit : `~astropy.units.Unit` or None
        Unit of ``values``.
    meta : dict-like or None
        Header of the frame.
    source : object
        What the user passed.
    """

    values: np.ndarray
    background: np.ndarray | float
    data: np.ndarray
    mask: np.ndarray
    unit: u.UnitBase | None
    meta: object
    source: object


def parse_image(image, background=None):
    """
    Take the pixels out of an image of any supported class.

    Parameters
    ----------
    image : `~astropy.nddata.CCDData`, `~astropy.nddata.NDData`, \
`~astropy.units.Quantity`, `~numpy.ma.MaskedArray` or `~numpy.ndarray`
        A two-dimensional image of integers or floats.
    background : float, array_like or `~astropy.units.Quantity`, optional
        Subtracted from the values; in the unit of the image. It need not be finite
        where the image is masked or not finite.

    Returns
    -------
    pixels : `PixelData`
        A float32 copy; ``image`` itself is not changed.

    Raises
    ------
    TypeError
        If ``image`` is not of a supported class or its values are not numbers.
    ValueError
        If it is not two-dimensional, is empty, holds no usable pixel, or holds
        values too large for float32; or if the background does not fit it.

    Examples
    --------
    >>> import numpy as np
    >>> from astropy.nddata import CCDData
    >>> from astro_deepcr.images import parse_image
    >>> pixels = parse_image(CCDData(np.ones((4, 5), dtype='>f4'), unit='adu'))
    >>> pixels.values.dtype, pixels.values.shape, str(pixels.unit)
    (dtype('float32'), (4, 5), 'adu')
    """
    if is_dask(image):
        msg = "A Dask array is not done in pieces here; pass what its compute() gives, "
        msg += "or numpy.asarray(image)."
        raise TypeError(msg)
    data, mask, unit, meta = _unpack(image)
    check_data(data)
    with np.errstate(over="ignore"):
        values = np.array(data, dtype=np.float32, order="C")
    bad = ~np.isfinite(np.asarray(data))
    if mask is not None and mask is not np.ma.nomask:
        bad |= parse_mask(mask, data.shape, "the image's own mask")
    _check_values(values, data, bad)
    _check_uncertainty(image, data.shape)
    if (message := colour_pattern(meta)) is not None:
        warn(message)
    background = _parse_background(background, bad, unit)
    if np.any(background):  # before digits are lost in float32
        with np.errstate(over="ignore"):
            values = np.subtract(data, background).astype(np.float32)
    return PixelData(values, background, np.asarray(data), bad, unit, meta, image)


def parse_mask(mask, shape, name):
    """
    Check a mask and return it as an array of bool.

    Parameters
    ----------
    mask : array_like
        True or non-zero where masked. One single value counts for all pixels.
    shape : tuple of int
        Shape that the mask must have.
    name : str
        How errors name this mask.

    Returns
    -------
    mask : `~numpy.ndarray` of bool
        Of the given shape.

    Raises
    ------
    TypeError
        If the mask does not hold booleans or integers.
    ValueError
        If its shape is another one.

    Examples
    --------
    >>> from astro_deepcr.images import parse_mask
    >>> parse_mask([[0, 4], [0, 0]], (2, 2), 'mask')
    array([[False,  True],
           [False, False]])
    """
    if mask is None:
        msg = f"{name} is None; an array of the image's shape is needed."
        raise TypeError(msg)
    mask = np.asarray(mask)
    if mask.dtype.kind not in "biu":
        msg = (
            f"{name} holds {mask.dtype} values; booleans or integers are needed "
            "(compare a probability with a threshold first)."
        )
        raise TypeError(msg)
    if mask.ndim == 0:
        return np.full(shape, bool(mask))
    if mask.shape != tuple(shape):
        msg = f"{name} has shape {mask.shape}, but the image has shape {tuple(shape)}."
        raise ValueError(msg)
    return mask.astype(bool)


def rebuild(
    pixels,
    data,
    mask,
    *,
    std=None,
    where=None,
    uncertainty=None,
    flag=None,
    meta=None,
):
    """
    Give a result the class of the image it came from.

    Parameters
    ----------
    pixels : `PixelData`
        The parsed input.
    data : `~numpy.ndarray`
        New pixel values, in the input's unit.
    mask : `~numpy.ndarray` of bool or None
        Pixels to be masked in addition to the input's own mask; `None` leaves
        the mask as it is.
    std, where : `~numpy.ndarray`, optional
        Standard deviation of the pixels ``where``, written into an existing
        uncertainty, or into the new one.
    uncertainty : `~astropy.nddata.NDUncertainty`, optional
        Instead of that of the source.
    flag : tuple of (int, `~numpy.ndarray` of bool), optional
        A bit, and the pixels whose ``.flags`` get it.
    meta : dict-like, optional
        New meta data.

    Returns
    -------
    result : same class as ``pixels.source``
        Shares no memory with the input.
    """
    source = pixels.source
    if isinstance(source, NDData):
        if uncertainty is None:
            uncertainty = _copy_uncertainty(source.uncertainty)
        std = None if std is None else (std, where)
        return _rebuild_nddata(pixels, data, mask, uncertainty, std, flag, meta)
    if isinstance(source, np.ma.MaskedArray):
        old = np.ma.getmaskarray(source)
        mask = old.copy() if mask is None else old | mask
        return np.ma.MaskedArray(data, mask, fill_value=source.fill_value)
    if isinstance(source, u.Quantity):
        data = u.Quantity(data, source.unit, copy=False)
    if isinstance(source, Masked):
        old = np.asarray(source.mask)
        return Masked(data, old.copy() if mask is None else old | mask)
    return data


def _copy_uncertainty(uncertainty):
    """Copy an uncertainty alone: a deep copy would take its whole frame along."""
    return None if uncertainty is None else type(uncertainty)(uncertainty, copy=True)


def _unpack(image):
    """Return data, mask, unit and meta data of an image."""
    if isinstance(image, NDData):
        return np.asanyarray(image.data), image.mask, image.unit, image.meta
    if isinstance(image, Masked):
        unit = getattr(image, "unit", None)
        return np.asarray(image.unmasked), np.asarray(image.mask), unit, None
    if isinstance(image, u.Quantity):
        return image.value, None, image.unit, None
    if isinstance(image, np.ma.MaskedArray):
        return image.data, image.mask, None, None
    if isinstance(image, np.ndarray):
        return image, None, None, None
    msg = (
        f"The image is of type {type(image).__name__}; CCDData, NDData, Quantity, "
        "masked array or numpy array is needed."
    )
    if isinstance(image, str) or hasattr(image, "__fspath__"):
        msg += " Read a file first: CCDData.read(filename, unit='adu')."
    elif hasattr(image, "header") and hasattr(image, "data"):
        msg += " Of a FITS HDU take CCDData(hdu.data, unit=..., meta=hdu.header)."
    else:
        msg += " Convert it with numpy.asarray(image)."
    raise TypeError(msg)


def is_dask(image):
    """Say whether an image, or the data of it, is a Dask array."""
    data = image.data if isinstance(image, NDData) else image
    # Arrays of xarray have a graph as well, or say so.
    return hasattr(data, "__dask_graph__") and hasattr(data, "_meta")


def check_data(data):
    """Raise TypeError or ValueError unless data are numbers in two dimensions."""
    if data.dtype.kind not in "iuf":
        msg = (
            f"The image holds {data.dtype} values; integers or real floating-point "
            "numbers are needed. Convert with image.astype('float32')."
        )
        raise TypeError(msg)
    if data.ndim != 2:
        msg = (
            f"The image has {data.ndim} dimensions (shape {data.shape}); 2 are "
            "needed. Pass the planes of a cube one by one."
        )
        raise ValueError(msg)
    if data.size == 0:
        msg = f"The image is empty (shape {data.shape}); at least 1 x 1 is needed."
        raise ValueError(msg)


def _check_values(values, data, bad):
    if bad.all():
        msg = (
            f"All {bad.size} pixels of the image are masked or not finite; at least "
            "one usable pixel is needed. Check the image and its mask."
        )
        raise ValueError(msg)
    peak = np.max(np.abs(values), where=~bad, initial=0)
    if _SMALLEST_VALUE <= peak <= _LARGEST_VALUE:
        return
    largest = np.max(np.abs(data), where=~bad, initial=0)
    if largest > 0:
        msg = (
            f"The image holds values up to {largest:.3g}; networks compute in "
            f"float32 and take from {_SMALLEST_VALUE:.0e} up to {_LARGEST_VALUE:.0e}. "
            "Mask these pixels or use another unit."
        )
        raise ValueError(msg)


def _check_uncertainty(image, shape):
    """Raise ValueError unless an uncertainty, if there is any, fits the image."""
    found = np.shape(getattr(getattr(image, "uncertainty", None), "array", None))
    try:
        fits = np.broadcast_shapes(found, shape) == shape
    except ValueError:
        fits = False
    if not fits:
        msg = f"The uncertainty has shape {found}, but the image has shape {shape}."
        raise ValueError(msg)


def _parse_background(background, bad, unit):
    """Return a background of floats, of one value or of the image's shape."""
    if background is None:
        return np.float32(0)
    array = np.asarray(plain_background(background, unit))
    if array.dtype.kind not in "iuf" or array.shape not in ((), bad.shape):
        msg = (
            f"The background has shape {array.shape} and type {array.dtype}; one "
            f"number, or an array of the image's shape {bad.shape}, is needed."
        )
        raise ValueError(msg)
    known = np.abs(array) <= _LARGEST_VALUE
    if not (known | bad).all():
        msg = (
            "The background has values that are not finite or beyond "
            f"{_LARGEST_VALUE:.0e}; replace them first."
        )
        raise ValueError(msg)
    array = array.astype(np.result_type(array.dtype, np.float32))
    if not known.all():  # also there, pixels may be replaced
        array[~known] = fill_pixels(array.astype(np.float32), ~known)[0]
    return array


def plain_background(background, unit):
    """Return the numbers of a background of any kind, NaN where it is masked."""
    unknown = None
    if isinstance(background, NDData):
        unknown, data = background.mask, np.asarray(background.data)
        background = data if background.unit is None else data * background.unit
    if isinstance(background, u.Quantity):
        background = background_value(background, unit)
    if unknown is not None and np.any(unknown):
        unknown = parse_mask(unknown, np.shape(background), "the background's own mask")
        background = np.ma.MaskedArray(background, unknown)
    if np.ma.is_masked(background):  # says nothing there
        background = np.ma.filled(np.ma.asarray(background, float), np.nan)
    return background


def without_mask(background):
    """Return a background of any kind, of which all values are meant."""
    if isinstance(background, NDData):
        return NDData(background.data, unit=background.unit)
    if isinstance(background, Masked):
        return background.unmasked
    return np.ma.getdata(background) if np.ma.isMA(background) else background


def background_value(background, unit):
    """Return the numbers of a background in the unit of the image."""
    wanted = u.dimensionless_unscaled if unit is None else unit
    try:
        if background.unit == wanted:
            return background.value
        return background.value * one_name(background.unit).to(one_name(wanted))
    except (AttributeError, TypeError, u.UnitConversionError):
        image = "has no unit" if unit is None else f"is in {unit}"
        msg = f"The background is in {background.unit}, the image {image}."
        raise ValueError(msg) from None


def reading_deviation(image):
    """
    Return a function that tells what an image's own uncertainty states.

    Parameters
    ----------
    image : object
        Any image.

    Returns
    -------
    reading : callable or None
        Gives for a mask the standard deviations of its pixels, in the unit of the
        image; `None` where nothing is stated, or in a way that does not tell.
    """
    uncertainty = getattr(image, "uncertainty", None)
    if getattr(uncertainty, "array", None) is None:
        return None
    power = next((n for cls, n in _POWERS.items() if isinstance(uncertainty, cls)), 0)
    if not power:
        return None

    def reading(where):
        array = np.broadcast_to(uncertainty.array, where.shape)[where].astype(float)
        if image.unit is not None and uncertainty.unit is not None:
            array = (array * uncertainty.unit).to_value(image.unit**power)
        with np.errstate(divide="ignore", invalid="ignore"):
            return array ** (1 / power)

    return reading


def _rebuild_nddata(pixels, data, mask, uncertainty, std, flag, meta):
    source = pixels.source
    old = None if source.mask is None else np.asarray(source.mask)
    new_mask = old
    if mask is not None:  # of bits, too, becomes one of True and False
        new_mask = mask if old is None else old.astype(bool) | mask
    result = with_data(source, data)
    result.mask = copy.deepcopy(new_mask)
    result.uncertainty = uncertainty
    result.meta = copy.deepcopy(source.meta) if meta is None else meta
    if std is not None and result.uncertainty is not None:
        _update_uncertainty(result.uncertainty, *std, source.unit)
    if getattr(source, "flags", None) is not None:
        result.flags = copy.deepcopy(source.flags)
    if flag is not None:
        result.flags = _set_flag(result.flags, *flag)
    return result


def with_data(source, data):
    """
    Return an object like another of any subclass, with its own other attributes.

    Parameters
    ----------
    source : `~astropy.nddata.NDData`
        It is not changed. Mask, uncertainty, meta data and flags are shared.
    data : array_like
        As large as its data.

    Returns
    -------
    result : same class as ``source``
    """
    # Constructors of subclasses need what only they know.
    result = copy.copy(source)
    result._data = data
    result._wcs = copy.deepcopy(source.wcs)
    result.psf = copy.deepcopy(source.psf)
    return result


def _update_uncertainty(uncertainty, std, where, unit):
    """Write standard deviations into an uncertainty of any type, in place."""
    for cls, power in _POWERS.items():
        if isinstance(uncertainty, cls) and uncertainty.array is not None:
            new = std.astype(np.float64) ** power
            if unit is not None and uncertainty.unit is not None:
                new = (new * unit**power).to_value(uncertainty.unit)
            # One number for all pixels, or integers, become an array of floats.
            old = np.broadcast_to(uncertainty.array, where.shape)
            array = old.astype(np.result_type(old.dtype, np.float32))
            array[where] = new
            uncertainty.array = array
            return
    if uncertainty.array is not None:
        msg = (
            f"The uncertainty is a {type(uncertainty).__name__}, which cannot be told "
            "what replaced pixels deviate by: it is that of before."
        )
        warn(msg)


def _set_flag(flags, bit, where):
    """Return flags with one bit set where asked, in a type that can hold it."""
    flags = np.zeros(where.shape, np.int32) if flags is None else np.asarray(flags)
    dtype = flags.dtype
    if bit > np.iinfo(dtype).max:
        dtype = np.result_type(dtype, np.min_scalar_type(bit))
        if dtype.kind == "f":  # what numpy makes of signed integers and uint64
            dtype = np.dtype(np.int64)
    flags = flags.astype(dtype)
    flags[where] |= dtype.type(bit)
    return flags
