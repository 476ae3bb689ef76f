# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Conversion between the units that frames and weights come in."""

import contextlib
import math
import re
from numbers import Real

import numpy as np
from astropy import units as u

__all__ = [
    "EXPOSURE_KEYWORDS",
    "GAIN_KEYWORDS",
    "check_given",
    "conversion_factor",
    "noise_floor",
    "one_name",
    "parse_exposure_time",
    "parse_gain",
    "parse_readnoise",
]

GAIN_UNIT = u.electron / u.adu

#: Header keywords that are tried, in this order. EGAIN comes first: where it is
#: present, GAIN is the setting of an amateur camera and not electrons per adu.
GAIN_KEYWORDS = ("EGAIN", "CCDGAIN", "ATODGAIN", "GAIN")
EXPOSURE_KEYWORDS = ("EXPTIME", "EXPOSURE", "TEXPTIME", "ITIME")

# Units that only the name tells apart.
_SAME_UNIT = {u.DN: u.adu, u.ct: u.adu, u.ph: u.electron}


def conversion_factor(unit, wanted, *, gain=None, exposure_time=None, meta=None):
    """
    Find the factor from the unit of a frame to another, that of weights.

    Parameters
    ----------
    unit : `~astropy.units.Unit` or None
        Unit of the frame. `None` counts as adu if ``gain`` is given, and
        otherwise as the unit of the weights.
    wanted : `~astropy.units.Unit`, str or None
        Unit of the weights; `None` for weights that take any unit.
    gain, exposure_time : float, `~astropy.units.Quantity`, str or None
        See `parse_gain` and `parse_exposure_time`. Looked up only where needed.
    meta : dict-like or None
        Header in which gain and exposure time are looked up.

    Returns
    -------
    factor : float
        Values of the frame times this factor are in the unit of the weights.

    Raises
    ------
    ValueError
        If there is no way from one unit to the other.

    Examples
    --------
    >>> from astropy import units as u
    >>> from astro_deepcr.units import conversion_factor
    >>> conversion_factor(u.adu, 'electron', gain=1.5)
    1.5
    >>> conversion_factor(u.electron / u.s, 'electron', meta={'EXPTIME': 300.})
    300.0
    """
    if wanted is None:
        check_given(unit, gain, exposure_time, meta)
        return 1.0
    wanted = u.Unit(wanted)
    if unit is None or unit == u.dimensionless_unscaled:
        if exposure_time is not None:
            msg = (
                "exposure_time is given, but the image has no unit, so that nothing "
                "says whether it counts per second. Give it a unit, for example "
                "image * u.electron / u.s, or leave exposure_time out."
            )
            raise ValueError(msg)
        unit = wanted if gain is None else u.adu
    _check_linear(unit, wanted)
    for over_time in (False, True):
        for gain_power in (0, 1, -1):
            trial = one_name(unit) * GAIN_UNIT**gain_power * u.s**over_time
            if not trial.is_equivalent(one_name(wanted)):
                continue
            factor = trial.to(one_name(wanted))
            if gain_power:
                factor *= parse_gain(gain, meta, unit, wanted) ** gain_power
            if over_time:
                factor *= parse_exposure_time(exposure_time, meta, unit, wanted)
            return float(factor)
    msg = (
        f"The image is in {unit}, {wanted} is needed, and neither gain nor "
        "exposure time leads from one to the other. Convert the image first."
    )
    raise ValueError(msg)


def check_given(unit, gain, exposure_time, meta):
    """
    Raise an error if what is given is wrong, also where nothing has to be converted.

    Parameters
    ----------
    unit, gain, exposure_time, meta
        As for `conversion_factor`.

    Raises
    ------
    TypeError, ValueError
        If the unit is not linear, or a number is none or not positive.
    """
    if unit is not None:
        _check_linear(unit, "a linear unit, such as electron or adu,")
    if gain is not None:
        parse_gain(gain, meta)
    if exposure_time is not None:
        parse_exposure_time(exposure_time, meta, unit, "a number of seconds")


def _check_linear(unit, wanted):
    if not isinstance(unit, u.UnitBase) or u.dex in unit.decompose().bases:
        msg = f"The image is in {unit}, which is no linear unit; {wanted} is needed."
        raise ValueError(msg)


def parse_gain(gain, meta=None, unit=u.adu, wanted=u.electron):
    """
    Return the gain in electrons per adu.

    Parameters
    ----------
    gain : float, `~astropy.units.Quantity`, str or None
        A number of electrons per adu, a quantity of that kind, or the name of a
        header keyword. `None` looks for the first of `GAIN_KEYWORDS`.
    meta : dict-like or None
        The header.
    unit, wanted : `~astropy.units.Unit`, optional
        Units named in the error.

    Returns
    -------
    gain : float
        In electron / adu.

    Raises
    ------
    ValueError
        If no gain is known, or it is not a positive number of electrons per adu.

    Examples
    --------
    >>> from astro_deepcr.units import parse_gain
    >>> parse_gain(None, {'EGAIN': 0.8, 'GAIN': 120})
    0.8
    """
    return _parse("gain", gain, GAIN_UNIT, GAIN_KEYWORDS, meta, unit, wanted)


def parse_exposure_time(exposure_time, meta=None, unit=None, wanted=None):
    """
    Return the exposure time in seconds.

    Parameters
    ----------
    exposure_time : float, `~astropy.units.Quantity`, str or None
        Seconds, a quantity of time, or the name of a header keyword. `None`
        looks for the first of `EXPOSURE_KEYWORDS`.
    meta : dict-like or None
        The header.
    unit, wanted : `~astropy.units.Unit`, optional
        Units named in the error.

    Returns
    -------
    exposure_time : float
        In seconds.

    Raises
    ------
    ValueError
        If no exposure time is known, or it is not positive.

    Examples
    --------
    >>> from astropy import units as u
    >>> from astro_deepcr.units import parse_exposure_time
    >>> parse_exposure_time(2 * u.min)
    120.0
    """
    return _parse(
        "exposure_time", exposure_time, u.s, EXPOSURE_KEYWORDS, meta, unit, wanted
    )


def parse_readnoise(readnoise, gain=None, meta=None):
    """
    Return the read noise in electrons.

    Parameters
    ----------
    readnoise : float, `~astropy.units.Quantity` or str
        Electrons, a quantity in electrons or adu, or a keyword of the header.
    gain : float, `~astropy.units.Quantity`, str or None, optional
        Needed for a read noise in adu.
    meta : dict-like or None, optional
        Header in which the gain is looked up.

    Returns
    -------
    readnoise : float
        In electrons.

    Raises
    ------
    ValueError
        If it is negative, not finite, in another unit, or not in the header.

    Examples
    --------
    >>> from astropy import units as u
    >>> from astro_deepcr.units import parse_readnoise
    >>> parse_readnoise(3 * u.adu, gain=2)
    6.0
    """
    if isinstance(readnoise, str):
        readnoise = _of_keyword("readnoise", readnoise, meta)
    try:
        value = u.Quantity(_not_bool(readnoise))
    except TypeError:
        msg = f"readnoise={readnoise!r} must be a number or quantity of electrons."
        raise ValueError(msg) from None
    if value.unit == u.dimensionless_unscaled:
        value = value * u.electron
    if not value.isscalar or one_name(value.unit).bases not in ([u.electron], [u.adu]):
        msg = f"readnoise={readnoise} must be one number, in electrons or adu."
        raise ValueError(msg)
    factor = conversion_factor(value.unit, u.electron, gain=gain, meta=meta)
    number = float(value.value) * factor
    if not (math.isfinite(number) and number >= 0):
        msg = f"readnoise={readnoise} must be a number of electrons, 0 or more."
        raise ValueError(msg)
    return number


def noise_floor(readnoise, to_unit, gain=None, meta=None):
    """
    Make a function that gives the smallest noise that readings can have.

    Parameters
    ----------
    readnoise : float, `~astropy.units.Quantity` or None
        See `parse_readnoise`; `None` means that nothing is known.
    to_unit : callable
        Gives for a unit the factor from that of the frame to it.
    gain, meta
        As for `parse_readnoise`.

    Returns
    -------
    floor : callable
        Gives for values of the frame their Poisson and read noise, or 0.

    Examples
    --------
    >>> from astro_deepcr.units import noise_floor
    >>> float(noise_floor(3.0, lambda unit: 1.0)(16.0))
    5.0
    """
    if readnoise is None:
        return np.zeros_like
    readnoise = parse_readnoise(readnoise, gain, meta)

    def floor(values):
        factor = to_unit(u.electron)  # which needs a gain: asked for only if needed
        electrons = np.maximum(values * factor, 0)
        return np.sqrt(electrons + readnoise**2) / factor

    return floor


def _parse(name, value, target, keywords, meta, unit, wanted):
    """Return a positive number in unit ``target`` from an argument or a header."""
    if value is None:
        value = _look_up(meta, keywords, target)
        if value is None:
            msg = (
                f"The image is in {unit} and {wanted} is needed, which takes "
                f"{name} ({target}); none was given, and the header has none of "
                f"{', '.join(keywords)}. Pass {name}=..."
            )
            raise ValueError(msg)
    elif isinstance(value, str):
        value = _of_keyword(name, value, meta, target)
    try:
        quantity = u.Quantity(_not_bool(value))
        if quantity.unit == u.dimensionless_unscaled:
            quantity = quantity * target
        number = float(quantity.value * one_name(quantity.unit).to(target))
    except (TypeError, u.UnitConversionError):
        number = math.nan
    if not (math.isfinite(number) and number > 0):
        msg = f"{name}={value} must be one positive number or quantity in {target}."
        raise ValueError(msg)
    return number


def one_name(unit):
    """
    Return a unit with data numbers and electrons called by one name each.

    Parameters
    ----------
    unit : `~astropy.units.UnitBase`
        Any linear unit.

    Returns
    -------
    unit : `~astropy.units.UnitBase`
        With adu for DN and counts, and electron for photons.
    """
    unit = unit.decompose()
    result = u.CompositeUnit(unit.scale, [], [])
    for base, power in zip(unit.bases, unit.powers, strict=True):
        result = result * _SAME_UNIT.get(base, base) ** power
    return result


def _not_bool(value):
    """Return a number; True is none."""
    if isinstance(value, (bool, np.bool_)):
        raise TypeError
    return value


def _of_keyword(name, keyword, meta, target=None):
    """Return the number that an argument names a keyword for."""
    value = _look_up(meta, (keyword,), target)
    if value is None:
        msg = (
            f"{name}={keyword!r}: the header has no such keyword with a number. Pass "
            "another keyword, or the number itself."
        )
        raise ValueError(msg)
    return value


def _look_up(meta, keywords, target=None):
    """Return the first positive number of some keywords, or else the first number."""
    first = None
    for keyword in keywords:
        value = None if meta is None else meta.get(keyword)
        if isinstance(value, str):  # some write numbers in quotes
            with contextlib.suppress(ValueError):
                value = float(value)
        if isinstance(value, (Real, u.Quantity)) and not isinstance(value, bool):
            if value > 0:
                return value * _unit_of_comment(meta, keyword, target)
            first = value if first is None else first
    return first


def _unit_of_comment(meta, keyword, target):
    """Return the unit that a comment begins with, '[d] ...', if it is of that kind."""
    comments = getattr(meta, "comments", None)
    found = re.match(r"\s*\[([^]]+)\]", comments[keyword]) if comments else None
    # Of gains, some give the unit upside down, in names that astropy does not know.
    if target == u.s and found:
        with contextlib.suppress(ValueError, u.UnitConversionError):
            return (1 * u.Unit(found[1])).to(u.s)
    return 1
