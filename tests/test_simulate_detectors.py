# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Tests of detectors and environments."""

import dataclasses

import pytest
from astropy import units as u

from astro_deepcr.simulate import (
    Detector,
    Environment,
    Species,
    get_detector,
    get_environment,
    list_detectors,
    list_environments,
)

RATE = 1 / u.cm**2 / u.s


@pytest.mark.parametrize("name", list_detectors())
def test_named_detectors_hold_together(name):
    detector = get_detector(name)
    assert detector.name == name
    height, width, thickness, depleted, sigma = detector._geometry
    assert height == width == detector.pixel_size.to_value(u.um)
    assert 0 < depleted <= thickness
    assert 0 < sigma < thickness
    # the converter must be able to show at least a part of the full well
    assert detector.saturation * detector.gain > 100 * detector.read_noise


def test_promised_names_exist():
    promised = ["ACS/WFC", "WFC3/UVIS", "STIS", "WFPC2", "DECam", "LSST", "Euclid-like"]
    assert set(promised) <= set(list_detectors())


@pytest.mark.parametrize("name", list_environments())
def test_named_environments_hold_together(name):
    environment = get_environment(name)
    assert environment.rate > 0 * RATE
    assert get_environment(environment) is environment


def test_units_are_converted():
    detector = Detector("x", pixel_size=0.01 * u.mm, read_noise=4 * u.electron)
    assert detector.pixel_size.unit == u.um
    assert detector.pixel_size.value == pytest.approx(10)


def test_binning_is_along_columns_and_rows():
    height, width, *_ = get_detector("STIS", binning=(1, 2))._geometry
    assert (height, width) == (21, 42)


def test_detectors_and_environments_cannot_be_changed():
    with pytest.raises(dataclasses.FrozenInstanceError):
        get_detector("LSST").name = "other"
    with pytest.raises(dataclasses.FrozenInstanceError):
        get_environment("L2").name = "other"


def test_muons_grow_with_altitude_and_radioactivity_does_not():
    low, high = (Environment.ground(h * u.km) for h in (0, 4.4))
    muons, worms = (
        [
            next(s.rate for s in e.species if s.kind == kind).to_value(RATE.unit)
            for e in (low, high)
        ]
        for kind in ("muon", "electron")
    )
    assert muons[1] / muons[0] == pytest.approx(2.718, rel=1e-3)
    assert worms[1] == worms[0]


@pytest.mark.parametrize("make", [Environment.low_earth_orbit, Environment.l2])
def test_rate_is_the_sum_of_species(make):
    assert make(3 * RATE).rate.to_value(RATE.unit) == pytest.approx(3, rel=1e-6)


def test_scaled_multiplies_every_rate():
    environment = Environment.l2()
    ratio = environment.scaled(100).rate / environment.rate
    assert ratio.to_value(u.one) == pytest.approx(100)


@pytest.mark.parametrize(
    ("values", "match"),
    [
        ({"thickness": 0 * u.um}, "thickness=.*positive"),
        ({"thickness": -3 * u.um}, "thickness=.*positive"),
        ({"thickness": float("nan") * u.um}, "thickness=.*finite"),
        ({"thickness": [1, 2] * u.um}, "thickness=.*one finite number"),
        ({"thickness": 5}, "thickness=5 has no unit; multiply it by um"),
        ({"thickness": 5 * u.s}, "thickness=.*must be a number in um"),
        ({"thickness": "thick"}, "thickness='thick' must be a number in um"),
        ({"read_noise": -1 * u.electron}, "read_noise=.*0 or more"),
        ({"binning": 0}, "binning=0 must be a whole number"),
        ({"binning": 1.5}, "binning=1.5 must be a whole number"),
        ({"binning": (1, 2, 3)}, "binning=.*or two"),
        ({"field_free": 30 * u.um}, "field_free=30.0 um must be less than"),
    ],
)
def test_impossible_detectors(values, match):
    with pytest.raises(ValueError, match=match):
        Detector("x", **values)


@pytest.mark.parametrize(
    ("values", "match"),
    [
        ({"kind": "neutrino"}, "kind='neutrino' is not one of muon"),
        ({"rate": 3}, "rate=3 has no unit"),
        ({"rate": 3 * u.s}, "rate=.*must be a number in"),
        ({"energy": 3 * u.GeV}, "energy=.*two rising energies"),
        ({"energy": (3, 1) * u.GeV}, "energy=.*two rising energies"),
        ({"energy": (3, 4)}, "energy=.*two rising energies"),
        ({"charge_number": 0}, "charge_number=0 must be 1 or more"),
        ({"angular_power": -1}, "angular_power=-1 0 or more"),
    ],
)
def test_impossible_species(values, match):
    with pytest.raises(ValueError, match=match):
        Species(**{"kind": "muon", "rate": RATE, **values})


@pytest.mark.parametrize("species", [(), ("muon",)])
def test_an_environment_needs_species(species):
    with pytest.raises(ValueError, match="at least one Species"):
        Environment("x", species)


def test_unknown_names_are_told_with_a_choice():
    with pytest.raises(ValueError, match="no detector 'ACS'; choose one of ACS/WFC"):
        get_detector("ACS")
    with pytest.raises(ValueError, match="no environment 'moon'; choose one of"):
        get_environment("moon")
    with pytest.raises(ValueError, match="A detector has no value colour"):
        get_detector("LSST", colour="red")
