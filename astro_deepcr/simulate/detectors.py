# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Detectors that frames are simulated for."""

import math
from dataclasses import dataclass, fields, replace
from functools import cached_property

import numpy as np
from astropy import units as u

__all__ = ["Detector", "get_detector", "list_detectors"]


def set_quantities(instance, units, *, positive=()):
    """Convert the named fields of a frozen dataclass, and check their values."""
    for name, unit in units.items():
        given = getattr(instance, name)
        try:
            value = u.Quantity(given)
            if value.unit == u.dimensionless_unscaled and unit != u.one:
                msg = f"{name}={given!r} has no unit; multiply it by {unit}."
                raise ValueError(msg)
            value = value.to(unit)
        except (TypeError, u.UnitConversionError):
            msg = f"{name}={given!r} must be a number in {unit}."
            raise ValueError(msg) from None
        low_enough = value.value > 0 if name in positive else value.value >= 0
        if not (value.isscalar and math.isfinite(value.value) and low_enough):
            limit = "positive" if name in positive else "0 or more"
            msg = f"{name}={given!r} must be one finite number, {limit}."
            raise ValueError(msg)
        object.__setattr__(instance, name, value)


@dataclass(frozen=True)
class Detector:
    """
    A CCD, as far as cosmic rays and noise are concerned.

    Depth is counted from the gates, where charge is collected.

    Parameters
    ----------
    name : str
        Name of the detector.
    pixel_size : `~astropy.units.Quantity`, optional
        Side of a physical pixel.
    binning : int or tuple of int, optional
        Physical pixels that make up one pixel of a frame, as one number or as
        (along a column, along a row).
    thickness : `~astropy.units.Quantity`, optional
        Thickness of the silicon from which charge is collected.
    diffusion : `~astropy.units.Quantity`, optional
        Standard deviation of the lateral diffusion of charge from the far end of
        the depleted region; it grows with the square root of depth.
    field_free : `~astropy.units.Quantity`, optional
        Thickness of the layer without a field beyond the depleted region (in thin
        back-illuminated and in front-illuminated CCDs), part of ``thickness``.
    gain : `~astropy.units.Quantity`, optional
        In electron / adu.
    read_noise : `~astropy.units.Quantity`, optional
        In electron.
    full_well : `~astropy.units.Quantity`, optional
        Charge in electron at which a pixel overflows into its column.
    saturation : `~astropy.units.Quantity`, optional
        Largest value in adu that the converter gives.

    Raises
    ------
    ValueError
        If a value is negative, not finite, or has the wrong unit.

    Examples
    --------
    >>> from astropy import units as u
    >>> from astro_deepcr.simulate import Detector
    >>> ccd = Detector('mine', pixel_size=9 * u.um, thickness=12 * u.um, binning=2)
    >>> ccd.binning
    (2, 2)
    >>> ccd.read_noise
    <Quantity 5. electron>
    """

    name: str
    pixel_size: u.Quantity = 15 * u.um
    binning: int | tuple = (1, 1)
    thickness: u.Quantity = 20 * u.um
    diffusion: u.Quantity = 3 * u.um
    field_free: u.Quantity = 0 * u.um
    gain: u.Quantity = 1.5 * u.electron / u.adu
    read_noise: u.Quantity = 5 * u.electron
    full_well: u.Quantity = 90_000 * u.electron
    saturation: u.Quantity = 65_535 * u.adu

    _UNITS = {
        "pixel_size": u.um,
        "thickness": u.um,
        "diffusion": u.um,
        "field_free": u.um,
        "gain": u.electron / u.adu,
        "read_noise": u.electron,
        "full_well": u.electron,
        "saturation": u.adu,
    }

    def __post_init__(self):
        positive = ("pixel_size", "thickness", "gain", "full_well", "saturation")
        set_quantities(self, self._UNITS, positive=positive)
        binning = np.atleast_1d(self.binning)
        if not (binning.dtype.kind in "iu" and binning.shape in ((1,), (2,))) or np.any(
            binning < 1
        ):
            msg = (
                f"binning={self.binning!r} must be a whole number, 1 or more, or two "
                "of them: (along a column, along a row)."
            )
            raise ValueError(msg)
        binning = tuple(int(n) for n in np.broadcast_to(binning, 2))
        object.__setattr__(self, "binning", binning)
        if self.field_free >= self.thickness:
            msg = (
                f"field_free={self.field_free} must be less than the thickness of "
                f"{self.thickness}, which it is part of."
            )
            raise ValueError(msg)

    @cached_property
    def _geometry(self):
        """Pixel height and width, thickness, depleted depth and diffusion in um."""
        size = self.pixel_size.value
        thickness = self.thickness.value
        return (
            size * self.binning[0],
            size * self.binning[1],
            thickness,
            thickness - self.field_free.value,
            self.diffusion.value,
        )


def _detector(name, pixel, thickness, diffusion, field_free, **values):
    units = Detector._UNITS
    values = {key: value * units[key] for key, value in values.items()}
    return Detector(
        name,
        pixel_size=pixel * u.um,
        thickness=thickness * u.um,
        diffusion=diffusion * u.um,
        field_free=field_free * u.um,
        **values,
    )


# Nominal values of handbooks; pixel size, thickness, diffusion, field-free layer in um
_DETECTORS = {
    one.name: one
    for one in (
        _detector("ACS/WFC", 15, 11, 3, 6, gain=2, read_noise=4, full_well=84_700),
        _detector("WFC3/UVIS", 15, 12, 3, 6, gain=1.55, read_noise=3.1, full_well=72e3),
        _detector("STIS", 21, 10, 3, 6.25, gain=1, read_noise=5.5, full_well=120e3,
                  saturation=33e3),
        _detector("WFPC2", 15, 14, 3, 6, gain=7, read_noise=5.2, full_well=90e3,
                  saturation=4095),
        _detector("DECam", 15, 250, 7, 0, gain=4, read_noise=7, full_well=130e3),
        _detector("LSST", 10, 100, 4.8, 0, gain=1.7, read_noise=6, full_well=130e3,
                  saturation=262_143),
        _detector("LBNL thick", 15, 280, 7.5, 0, gain=1, read_noise=3.5,
                  full_well=130e3),
        _detector("thin back-illuminated", 13.5, 14, 3, 6, gain=1.2, read_noise=4,
                  full_well=100e3),
        _detector("Euclid-like", 12, 40, 4, 0, gain=3.5, read_noise=4,
                  full_well=190e3),
        _detector("amateur front-illuminated", 9, 14, 2, 8, gain=0.8, read_noise=9,
                  full_well=50e3),
    )
}  # fmt: skip


def list_detectors():
    """
    List the detectors that have a name.

    Returns
    -------
    names : list of str
        For `get_detector`.

    Examples
    --------
    >>> from astro_deepcr.simulate import list_detectors
    >>> list_detectors()[:3]
    ['ACS/WFC', 'WFC3/UVIS', 'STIS']
    """
    return list(_DETECTORS)


def get_detector(name, **changes):
    """
    Return a detector by its name.

    Parameters
    ----------
    name : str or Detector
        One of `list_detectors`; a `Detector` comes back as it is.
    **changes
        Values to replace, as for `Detector`.

    Returns
    -------
    detector : Detector
        The detector.

    Raises
    ------
    ValueError
        If there is no detector of that name, or it has no such value.

    Examples
    --------
    >>> from astro_deepcr.simulate import get_detector
    >>> get_detector('STIS', binning=(1, 2)).pixel_size
    <Quantity 21. um>
    """
    return look_up("detector", name, Detector, _DETECTORS, changes)


def look_up(what, name, kind, table, changes):
    """Return the preset of a name, or the object itself; else one clear error."""
    found = name if isinstance(name, kind) else table.get(name)
    if found is None:
        msg = f"There is no {what} {name!r}; choose one of {', '.join(table)}."
        raise ValueError(msg)
    unknown = set(changes) - {field.name for field in fields(kind)}
    if unknown:
        msg = f"A {what} has no value {', '.join(sorted(unknown))}."
        raise ValueError(msg)
    return replace(found, **changes) if changes else found
