# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Tests of the frame that documentation and demonstrations use."""

import numpy as np
import pytest
from astropy import units as u
from astropy.nddata import CCDData, StdDevUncertainty

from astro_deepcr.simulate import get_detector, make_cosmicray_ccd


@pytest.fixture(scope="module")
def made():
    return make_cosmicray_ccd((256, 256), seed=3)


def test_ccd_is_complete(made, tmp_path):
    ccd, _ = made
    assert isinstance(ccd, CCDData)
    assert ccd.unit == u.electron
    assert ccd.shape == (256, 256)
    assert isinstance(ccd.uncertainty, StdDevUncertainty)
    assert not ccd.mask.any()
    assert (ccd.header["INSTRUME"], ccd.header["DETECTOR"]) == ("ACS", "WFC")
    assert (ccd.header["EXPTIME"], ccd.header["GAIN"]) == (600.0, 2.0)
    sky = ccd.wcs.pixel_to_world(127.5, 127.5)
    assert sky.ra.deg == pytest.approx(150.0)
    ccd.write(tmp_path / "frame.fits")
    again = CCDData.read(tmp_path / "frame.fits")
    assert np.array_equal(again.data, ccd.data)
    assert again.header["RDNOISE"] == 4.0


def test_truth_fits_the_frame(made):
    ccd, truth = made
    assert truth.mask.shape == truth.ignore.shape == truth.charge.shape == ccd.shape
    assert truth.mask.any()
    assert not (truth.mask & truth.ignore).any()
    assert (truth.event_id[truth.mask] > 0).all()
    noise = ccd.data - truth.clean.data - truth.charge.value
    ratio = noise / truth.clean.uncertainty.array
    assert ratio.std() == pytest.approx(1, abs=0.02)
    assert np.median(ccd.uncertainty.array / truth.clean.uncertainty.array) == (
        pytest.approx(1, abs=0.05)
    )


def test_units_differ_by_the_gain():
    electrons, _ = make_cosmicray_ccd((64, 64), detector="WFPC2", seed=1)
    adu, truth = make_cosmicray_ccd((64, 64), detector="WFPC2", seed=1, unit=u.adu)
    assert adu.unit == truth.clean.unit == u.adu
    assert np.allclose(adu.data * 7, electrons.data)
    assert np.allclose(adu.uncertainty.array * 7, electrons.uncertainty.array)
    assert np.array_equal(adu.data, adu.data.round())


def test_seed_decides():
    frames = [make_cosmicray_ccd((64, 64), seed)[0].data for seed in (1, 1, 2)]
    assert np.array_equal(frames[0], frames[1])
    assert not np.array_equal(frames[0], frames[2])


def test_mask_is_of_bad_pixels_only():
    masked = 0
    for seed in range(4):
        ccd, truth = make_cosmicray_ccd((96, 96), seed, nuisances=True)
        masked += ccd.mask.sum()
        assert (ccd.mask & truth.mask).sum() <= 0.5 * truth.mask.sum()
        assert np.array_equal(ccd.mask, truth.clean.mask)
    assert masked > 0


def test_own_detector():
    mine = get_detector("LSST", gain=0.7 * u.electron / u.adu)
    ccd, _ = make_cosmicray_ccd(
        (64, 64), scene="flat", detector=mine, environment="sea level"
    )
    assert ccd.header["GAIN"] == 0.7
    assert ccd.header["OBJECT"] == "flat"
    assert ccd.header["INSTRUME"] == "LSST"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"unit": "Jy"}, "unit='Jy' must be 'electron' or 'adu'"),
        ({"exposure_time": 3 * u.m}, "exposure_time=.* must be one number, in s"),
        ({"exposure_time": "long"}, "exposure_time='long' must be one number, in s"),
        ({"sky": -1 * u.electron}, "sky=.* must be one finite number, 0 or more"),
        ({"sky": [1, 2] * u.electron}, "sky=.* must be one finite number"),
        ({"scene": "nothing"}, "There is no scene 'nothing'"),
        ({"environment": "Mars"}, "There is no environment 'Mars'"),
        ({"shape": (3, 3)}, "32 or more"),
        ({"shape": 64}, "32 or more"),
        ({"seed": "a"}, "seed='a' must be a whole number"),
        ({"seed": 2**64}, "a whole number of 64 bits"),
    ],
)
def test_wrong_arguments(change, message):
    with pytest.raises(ValueError, match=message):
        make_cosmicray_ccd(**({"shape": (64, 64)} | change))


def test_uncertainty_with_nuisances():
    """That of the light, also where the sky was subtracted."""
    for seed in range(8):
        ccd, truth = make_cosmicray_ccd((48, 48), sky=60, seed=seed, nuisances=True)
        good = ~truth.mask & ~truth.ignore
        ratio = ccd.uncertainty.array[good] / truth.clean.uncertainty.array[good]
        assert np.median(ratio) == pytest.approx(1, abs=0.02)


def test_saturation_level_is_in_the_unit_of_the_frame():
    electron, _ = make_cosmicray_ccd((32, 32), detector="WFPC2")
    adu, _ = make_cosmicray_ccd((32, 32), detector="WFPC2", unit="adu")
    assert adu.header["SATURATE"] == 4095
    assert electron.header["SATURATE"] == 4095 * electron.header["GAIN"]
