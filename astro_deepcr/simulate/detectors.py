# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Detectors and radiation environments that frames are simulated for."""

import math
from dataclasses import dataclass, fields, replace
from functools import cached_property

import numpy as np
from astropy import units as u

__all__ = [
    "KINDS",
    "Detector",
    "Environment",
    "Species",
    "get_detector",
    "get_environment",
    "list_detectors",
    "list_environments",
]

#: What an event can be; the column ``kind`` of an event table counts along it.
KINDS = ("muon", "proton", "helium", "ion", "electron")

RATE_UNIT = u.cm**-2 * u.s**-1


def _set_quantities(instance, units, *, positive=()):
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
        _set_quantities(self, self._UNITS, positive=positive)
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


@dataclass(frozen=True)
class Species:
    """
    One kind of particle in an environment.

    Parameters
    ----------
    kind : {'muon', 'proton', 'helium', 'ion', 'electron'}
        Electrons start anywhere in the silicon (Compton scattering of gamma rays);
        all others cross it.
    rate : `~astropy.units.Quantity`
        Particles per area of a level detector and time.
    charge_number : int, optional
        Nuclear charge; ionisation goes with its square.
    energy : `~astropy.units.Quantity`, optional
        Lowest and highest kinetic energy (per nucleon).
    slope : float, optional
        Energies are drawn from dN/dE ~ E\\ :sup:`-slope`.
    angular_power : float, optional
        Intensity goes with this power of the cosine of the angle from the vertical:
        0 is isotropic, 2 are muons at sea level.

    Raises
    ------
    ValueError
        If the kind is not known or a value is out of range.

    Examples
    --------
    >>> from astropy import units as u
    >>> from astro_deepcr.simulate import Species
    >>> Species('proton', 1 / u.cm**2 / u.s).charge_number
    1
    """

    kind: str
    rate: u.Quantity
    charge_number: int = 1
    energy: u.Quantity = (1e3, 1e5) * u.MeV
    slope: float = 2.7
    angular_power: float = 0.0

    def __post_init__(self):
        if self.kind not in KINDS:
            msg = f"kind={self.kind!r} is not one of {', '.join(KINDS)}."
            raise ValueError(msg)
        _set_quantities(self, {"rate": RATE_UNIT})
        try:
            low, high = self.energy.to_value(u.MeV)
        except (AttributeError, TypeError, ValueError):
            low = high = math.nan
        if not 0 < low < high < math.inf:
            msg = f"energy={self.energy!r} must be two rising energies, in MeV."
            raise ValueError(msg)
        if not (self.charge_number >= 1 and self.angular_power >= 0):
            msg = (
                f"charge_number={self.charge_number} must be 1 or more and "
                f"angular_power={self.angular_power} 0 or more."
            )
            raise ValueError(msg)

    @cached_property
    def _numbers(self):
        """Kind, rate per um2 and s, charge, energies in MeV, slope, angular power."""
        low, high = self.energy.to_value(u.MeV)
        rate = self.rate.to_value(u.um**-2 * u.s**-1)
        kind = KINDS.index(self.kind)
        return (kind, rate, self.charge_number, low, high, self.slope)


@dataclass(frozen=True)
class Environment:
    """
    The particles that a detector meets.

    Use `ground`, `low_earth_orbit` or `l2`, or list the species.

    Parameters
    ----------
    name : str
        Name of the environment.
    species : tuple of Species
        What there is, with rates.
    zenith_angle : `~astropy.units.Quantity`, optional
        Angle between the normal of the detector and the vertical that
        ``angular_power`` refers to: where a telescope on the ground points.

    Raises
    ------
    ValueError
        If there is no species, or a value has the wrong unit.

    Examples
    --------
    >>> from astropy import units as u
    >>> from astro_deepcr.simulate import Environment
    >>> site = Environment.ground(altitude=2400 * u.m, zenith_angle=30 * u.deg)
    >>> [species.kind for species in site.species]
    ['muon', 'electron', 'proton']
    """

    name: str
    species: tuple
    zenith_angle: u.Quantity = 0 * u.deg

    def __post_init__(self):
        species = tuple(self.species)
        if not species or not all(isinstance(one, Species) for one in species):
            msg = f"species={self.species!r} must be a list of at least one Species."
            raise ValueError(msg)
        object.__setattr__(self, "species", species)
        _set_quantities(self, {"zenith_angle": u.rad})

    @cached_property
    def _numbers(self):
        tilt = self.zenith_angle.value
        return [(*one._numbers, one.angular_power, tilt) for one in self.species]

    @property
    def rate(self):
        """Particles of all species per area of a level detector and time."""
        return sum(one.rate for one in self.species)

    @classmethod
    def ground(
        cls, altitude=0 * u.m, *, worms=1.0, zenith_angle=0 * u.deg, name="ground"
    ):
        """
        Make the environment of an observatory on the ground.

        Parameters
        ----------
        altitude : `~astropy.units.Quantity`, optional
            Height above sea level; the rate of muons grows e-fold in 4.4 km.
        worms : float, optional
            Compton electrons per muon at sea level: 0.2 with low-activity materials,
            5 with radioactive glass in front of the detector.
        zenith_angle : `~astropy.units.Quantity`, optional
            Where the telescope points.
        name : str, optional
            Name of the environment.

        Returns
        -------
        environment : Environment
            With muons, Compton electrons and a few protons.
        """
        growth = math.exp(u.Quantity(altitude).to_value(u.km) / 4.4)
        muons = 1 / u.cm**2 / u.min
        species = (
            Species("muon", muons * growth, 1, (0.3, 100) * u.GeV, 2.0, 2.0),
            Species("electron", muons * worms, 1, (0.02, 2.5) * u.MeV, 1.0),
            Species(
                "proton", 0.02 * muons * growth**2, 1, (15, 3000) * u.MeV, 1.0, 3.0
            ),
        )
        return cls(name, species, zenith_angle)

    @classmethod
    def low_earth_orbit(cls, rate=1.1 / u.cm**2 / u.s, *, name="low Earth orbit"):
        """
        Make the environment of a low Earth orbit, outside the radiation belts.

        Parameters
        ----------
        rate : `~astropy.units.Quantity`, optional
            Particles per area and time; 0.96 to 1.20 per cm\\ :sup:`2` and second
            in instruments of HST.
        name : str, optional
            Name of the environment.

        Returns
        -------
        environment : Environment
            Isotropic, with protons, helium and heavier nuclei.
        """
        return cls(name, _space(rate, slowest=20 * u.MeV))

    @classmethod
    def l2(cls, rate=4 / u.cm**2 / u.s, *, name="L2"):
        """
        Make the environment at the second Lagrange point of Sun and Earth.

        Parameters
        ----------
        rate : `~astropy.units.Quantity`, optional
            Particles per area and time; 2.3 to 6 per cm\\ :sup:`2` and second over
            the solar cycle.
        name : str, optional
            Name of the environment.

        Returns
        -------
        environment : Environment
            Isotropic, with protons, helium and heavier nuclei.
        """
        return cls(name, _space(rate, slowest=20 * u.MeV))

    def scaled(self, factor):
        """
        Make an environment with all rates multiplied.

        Parameters
        ----------
        factor : float
            For example 100 for the edge of the South Atlantic Anomaly.

        Returns
        -------
        environment : Environment
            The new one.
        """
        species = tuple(replace(one, rate=one.rate * factor) for one in self.species)
        return replace(self, species=species)


def _space(rate, *, slowest):
    """Galactic cosmic rays, with the slow secondaries of the spacecraft."""
    fast = (0.5, 100) * u.GeV
    slow = u.Quantity([slowest, 500 * u.MeV])
    return (
        Species("proton", 0.75 * rate, 1, fast, 2.0),
        Species("proton", 0.10 * rate, 1, slow, 0.5),
        Species("helium", 0.09 * rate, 2, fast, 2.0),
        Species("ion", 0.005 * rate, 7, fast, 2.0),
        Species("ion", 0.003 * rate, 13, fast, 2.0),
        Species("ion", 0.001 * rate, 26, fast, 2.0),
        Species("electron", 0.05 * rate, 1, (0.01, 2.5) * u.MeV, 1.0),
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
        _detector("ACS/WFC", 15, 15, 3, 5, gain=2, read_noise=4, full_well=84_700),
        _detector("WFC3/UVIS", 15, 16, 3, 5, gain=1.55, read_noise=3.1, full_well=72e3),
        _detector("STIS", 21, 14, 3, 6, gain=1, read_noise=5.5, full_well=120e3,
                  saturation=33e3),
        _detector("WFPC2", 15, 14, 3, 6, gain=7, read_noise=5.2, full_well=90e3,
                  saturation=4095),
        _detector("DECam", 15, 250, 7, 0, gain=4, read_noise=7, full_well=130e3),
        _detector("LSST", 10, 100, 3.5, 0, gain=1.7, read_noise=6, full_well=130e3,
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

_ENVIRONMENTS = {
    one.name: one
    for one in (
        Environment.ground(name="sea level"),
        Environment.ground(2.4 * u.km, name="mountain"),
        Environment.ground(4.2 * u.km, name="high mountain"),
        Environment.ground(2.4 * u.km, worms=5.0, name="radioactive window"),
        Environment.low_earth_orbit(),
        Environment.l2(),
    )
}


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


def list_environments():
    """
    List the environments that have a name.

    Returns
    -------
    names : list of str
        For `get_environment`.

    Examples
    --------
    >>> from astro_deepcr.simulate import list_environments
    >>> list_environments()[-2:]
    ['low Earth orbit', 'L2']
    """
    return list(_ENVIRONMENTS)


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
    return _look_up("detector", name, Detector, _DETECTORS, changes)


def get_environment(name):
    """
    Return an environment by its name.

    Parameters
    ----------
    name : str or Environment
        One of `list_environments`; an `Environment` comes back as it is.

    Returns
    -------
    environment : Environment
        The environment.

    Raises
    ------
    ValueError
        If there is no environment of that name.

    Examples
    --------
    >>> from astro_deepcr.simulate import get_environment
    >>> get_environment('L2').rate
    <Quantity 3.996 1 / (s cm2)>
    """
    return _look_up("environment", name, Environment, _ENVIRONMENTS, {})


def _look_up(what, name, kind, table, changes):
    found = name if isinstance(name, kind) else table.get(name)
    if found is None:
        msg = f"There is no {what} {name!r}; choose one of {', '.join(table)}."
        raise ValueError(msg)
    unknown = set(changes) - {field.name for field in fields(kind)}
    if unknown:
        msg = f"A {what} has no value {', '.join(sorted(unknown))}."
        raise ValueError(msg)
    return replace(found, **changes) if changes else found
