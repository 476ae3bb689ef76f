# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Radiation environments: which particles a detector meets, and how many."""

import math
from dataclasses import dataclass, replace
from functools import cached_property

from astropy import units as u

from .detectors import look_up, set_quantities

__all__ = [
    "KINDS",
    "Environment",
    "Species",
    "get_environment",
    "list_environments",
]

#: What an event can be; the column ``kind`` of an event table counts along it.
KINDS = ("muon", "proton", "helium", "ion", "electron")

RATE_UNIT = u.cm**-2 * u.s**-1


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
        set_quantities(self, {"rate": RATE_UNIT})
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
    ['muon', 'electron', 'electron', 'proton']
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
        set_quantities(self, {"zenith_angle": u.rad})

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
            Species("electron", muons * worms, 1, (40, 1000) * u.keV, 1.0),
            # photo-electrons of X-rays: round spots
            Species("electron", muons * worms / 6, 1, (2, 40) * u.keV, 1.0),
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
        return cls(name, _space(rate))

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
        return cls(name, _space(rate))

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


def _space(rate):
    """Galactic cosmic rays, with the slow secondaries of the spacecraft."""
    fast = (0.5, 100) * u.GeV
    slow = (20, 500) * u.MeV
    return (
        Species("proton", 0.845 * rate, 1, fast, 2.0),
        Species("proton", 0.045 * rate, 1, slow, 0.5),
        Species("helium", 0.06 * rate, 2, fast, 2.0),
        Species("ion", 0.005 * rate, 7, fast, 2.0),
        Species("ion", 0.003 * rate, 13, fast, 2.0),
        Species("ion", 0.001 * rate, 26, fast, 2.0),
        Species("electron", 0.041 * rate, 1, (0.01, 2.5) * u.MeV, 1.0),
    )


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
    <Quantity 4. 1 / (s cm2)>
    """
    return look_up("environment", name, Environment, _ENVIRONMENTS, {})
