# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Whatever is wrong with the input of the public functions is one clear error."""

import numpy as np
import pytest
from astropy import units as u
from astropy.io import fits
from astropy.nddata import CCDData, NDData, StdDevUncertainty

from astro_deepcr import (
    conf,
    cosmicray_deepcr,
    cosmicray_probability,
    inpaint_cosmicrays,
)
from astro_deepcr.exceptions import CosmicRayWarning, DeviceError, WeightsError

GOOD = np.full((20, 20), 100.0)
MASKED = np.ma.MaskedArray(GOOD, np.eye(20, dtype=bool))


class LabelledArray:
    """Like those of xarray, which have a Dask graph only if they hold a Dask array."""

    data, chunks = GOOD, None

    def __dask_graph__(self):
        return None


@pytest.fixture(params=["clean", "probability", "inpaint"])
def call(request):
    """Return one of the public functions, as a function of the image alone."""
    return {
        "clean": cosmicray_deepcr,
        "probability": cosmicray_probability,
        "inpaint": lambda image: inpaint_cosmicrays(image, np.zeros((20, 20), bool)),
    }[request.param]


@pytest.mark.parametrize(
    ("image", "error", "match"),
    [
        ([[1.0, 2.0]], TypeError, r"type list.*numpy\.asarray"),
        (None, TypeError, "type NoneType"),
        ("frame.fits", TypeError, r"CCDData\.read"),
        (LabelledArray(), TypeError, r"type LabelledArray.*numpy\.asarray"),
        (fits.PrimaryHDU(GOOD), TypeError, r"CCDData\(hdu\.data"),
        (GOOD.astype(complex), TypeError, "complex128 values"),
        (GOOD.astype(object), TypeError, "object values"),
        (GOOD > 0, TypeError, "bool values"),
        (GOOD.astype(str), TypeError, "values; integers or real"),
        (np.ones(5), ValueError, r"1 dimensions.*2 are needed"),
        (np.ones((2, 5, 5)), ValueError, r"3 dimensions.*planes of a cube"),
        (CCDData(np.ones((2, 5, 5)), unit="adu"), ValueError, "3 dimensions"),
        (np.ones((0, 5)), ValueError, r"empty \(shape \(0, 5\)\)"),
        (np.full((4, 4), np.nan), ValueError, "All 16 pixels"),
        (np.full((4, 4), np.inf), ValueError, "All 16 pixels"),
        (np.ma.MaskedArray(GOOD, True), ValueError, "All 400 pixels"),
        (np.where(GOOD, 1e300, 0), ValueError, r"up to 1e\+300.*float32"),
        (np.full((4, 4), -1e25), ValueError, r"up to 1e\+25"),
        (np.full((4, 4), 1e-40), ValueError, r"up to 1e-40.*from 1e-34"),
        (np.full((4, 4), 1e-50), ValueError, "another unit"),
    ],
)
def test_image(call, image, error, match):
    with pytest.raises(error, match=match):
        call(image)


def test_mask_of_another_shape(call):
    ccd = NDData(GOOD, mask=np.zeros((3, 3), bool), unit="electron")
    with pytest.raises(ValueError, match=r"\(3, 3\), but the image has .*\(20, 20\)"):
        call(ccd)


def test_uncertainty_of_another_shape(call):
    ccd = NDData(GOOD, unit="electron", uncertainty=StdDevUncertainty(np.ones((3, 3))))
    with pytest.raises(ValueError, match=r"uncertainty has shape \(3, 3\), but the im"):
        call(ccd)


@pytest.mark.parametrize(
    ("arguments", "error", "match"),
    [
        ({"threshold": 1.5}, ValueError, r"threshold=1\.5 must be between 0 and 1"),
        ({"threshold": np.nan}, ValueError, "threshold=nan"),
        ({"threshold": True}, TypeError, "threshold=True must be one number"),
        ({"threshold": "high"}, TypeError, "'high' must be one number"),
        ({"threshold": 0.5, "fpr": 1e-3}, ValueError, "exclude each other"),
        ({"fpr": 0.9}, ValueError, r"fpr=0\.9"),
        ({"weights": "deepcr-example", "fpr": 0.01}, ValueError, "pass threshold="),
        ({"neighbor_threshold": 0.7}, ValueError, r"between 0 and 0\.5"),
        ({"grow": -1}, ValueError, "grow=-1 must be between"),
        ({"grow": [1, 2]}, TypeError, "one number"),
        ({"max_fraction": 2}, ValueError, "max_fraction=2"),
        (
            {"protect": np.zeros((3, 3), bool)},
            ValueError,
            r"protect has shape \(3, 3\)",
        ),
        ({"protect": GOOD}, TypeError, "protect holds float64"),
        ({"inpaint": "magic"}, ValueError, "inpaint='magic' is not known; choose"),
        ({"inpaint": 7}, ValueError, "inpaint=7 is not known"),
        ({"inpaint": "acs-wfc"}, ValueError, "inpaint='acs-wfc'"),
        ({"weights": "inpaint-acs-wfc-f606w-2-32"}, ValueError, "for the task 'inpa"),
        ({"weights": "nonsense"}, ValueError, "no weights called 'nonsense'; choose"),
        ({"weights": ""}, ValueError, "no weights called ''; choose"),
        ({"weights": 3}, TypeError, "weights=3 must be a name"),
        ({"weights": "absent.pth"}, WeightsError, r"no weights file absent\.pth"),
        ({"device": "abacus"}, DeviceError, "'abacus' is not known; choose"),
        ({"device": "cuda:99"}, DeviceError, r"'cuda:99' was asked for.*device='auto'"),
        ({"flag_bit": 4096}, TypeError, "needs a CCDData"),
        ({"background": np.zeros(3)}, ValueError, r"background has shape \(3,\)"),
        ({"background": 3 * u.Jy}, ValueError, "background is in Jy"),
        ({"background": np.nan}, ValueError, "background has values that are not"),
        (
            {"weights": "acs-wfc", "exposure_time": 10},
            ValueError,
            "image has no unit",
        ),
        ({"gain": -1}, ValueError, r"gain=-1 must be one positive number"),
        ({"gain": 2 * u.s}, ValueError, "gain=2"),
        ({"readnoise": -4}, ValueError, "readnoise=-4"),
        ({"readnoise": 3 * u.adu}, ValueError, "Pass gain="),
        ({"fpr": "x"}, TypeError, "fpr='x' must be one number"),
        ({"background": 1e300}, ValueError, r"beyond 1e\+18"),
        ({"background": NDData(np.zeros(3))}, ValueError, r"shape \(3,\)"),
        ({"background": MASKED}, ValueError, "background has values that are not fin"),
        ({"orientations": 2.0}, ValueError, r"orientations=2\.0 must be 1, 2, 4 or 8"),
        ({"orientations": np.arange(2)}, ValueError, "must be 1, 2, 4 or 8"),
        ({"gain": True}, ValueError, "gain=True must be one positive number"),
        ({"readnoise": True}, ValueError, "readnoise=True must be"),
        ({"readnoise": [1, 2]}, ValueError, r"readnoise=\[1, 2\] must be one number"),
        ({"readnoise": 3 * u.s}, ValueError, "readnoise=3.0 s must be one number, in"),
        ({"readnoise": "x"}, ValueError, "readnoise='x'"),
        ({"add_keyword": 5.5}, TypeError, r"add_keyword=5\.5"),
    ],
)
def test_arguments(arguments, error, match):
    image = CCDData(GOOD, unit="electron") if "add_keyword" in arguments else GOOD
    with pytest.raises(error, match=match):
        cosmicray_deepcr(image, **arguments)


@pytest.mark.parametrize(
    ("flag_bit", "error", "match"),
    [
        (12, ValueError, "power of two such as 4096"),
        (0, ValueError, "power of two"),
        (-8, ValueError, "power of two"),
        (2**64, ValueError, "power of two"),
        (True, ValueError, "power of two"),
        (4.0, TypeError, "integer or a name"),
        ("spitzer", ValueError, "choose one of banzai, hst"),
    ],
)
def test_flag_bit(ccd, flag_bit, error, match):
    with pytest.raises(error, match=match):
        cosmicray_deepcr(ccd, flag_bit=flag_bit)


@pytest.mark.parametrize(
    ("unit", "arguments", "match"),
    [
        ("adu", {}, r"in adu and electron is needed.*gain.*Pass gain="),
        ("electron / s", {}, r"EXPTIME.*Pass exposure_time="),
        ("Jy", {}, "in Jy, electron is needed"),
        ("adu", {"gain": "NOGAIN"}, "header has no such keyword"),
        ("adu", {"gain": 1 * u.adu / u.electron}, r"gain=1.* positive .* electron"),
        ("electron / s", {"exposure_time": 0}, "exposure_time=0 must be one positive"),
        ("electron / s", {"exposure_time": 5 * u.m}, r"exposure_time=5.* m must be"),
    ],
)
def test_units(unit, arguments, match):
    with pytest.raises(ValueError, match=match):
        cosmicray_deepcr(CCDData(GOOD, unit=unit), "acs-wfc", **arguments)


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        ({"gain": "NOGAIN"}, "header has no such keyword"),
        ({"gain": 1 * u.adu / u.electron}, r"gain=1.* positive .* electron"),
        ({"exposure_time": 0}, "exposure_time=0 must be one positive"),
        ({"exposure_time": "NOTIME"}, "header has no such keyword"),
    ],
)
def test_what_is_given_must_be_right_for_weights_of_any_unit(arguments, match):
    with pytest.raises(ValueError, match=match):
        cosmicray_deepcr(CCDData(GOOD, unit="adu"), "universal", **arguments)


def test_unit_that_is_not_linear():
    with pytest.raises(ValueError, match="no linear unit"):
        cosmicray_deepcr(NDData(GOOD, unit=u.ABmag))


def test_numpy_number_in_the_header():
    meta = {"GAIN": np.float32(2)}
    assert cosmicray_deepcr(CCDData(GOOD, unit="adu", meta=meta)).unit == u.adu


@pytest.mark.parametrize("key", ["BAYERPAT", "COLORTYP"])
def test_colours(key, recwarn):
    ccd = CCDData(GOOD, unit="adu", meta={key: "RGGB"})
    for call in (cosmicray_deepcr, lambda ccd: inpaint_cosmicrays(ccd, GOOD < 0)):
        with pytest.warns(CosmicRayWarning, match=r"different colours \(RGGB\)"):
            call(ccd)
    recwarn.clear()
    for value in ("NONE", "", True, None):
        cosmicray_deepcr(CCDData(GOOD, unit="adu", meta={key: value}))
    assert not recwarn


def test_flags_of_another_type(ccd):
    ccd.flags = np.zeros(ccd.shape, bool)
    with pytest.raises(TypeError, match=r"flags of integers.*bool"):
        cosmicray_deepcr(ccd, flag_bit=4096)


def test_values_that_overflow():
    with pytest.raises(ValueError, match="is not finite: values of the frame"):
        cosmicray_deepcr(CCDData(GOOD * 1e15, unit="adu"), "acs-wfc", gain=1e25)


@pytest.mark.parametrize("name", ["tile_size", "batch_size"])
def test_negative_sizes(name):
    with conf.set_temp(name, -1), pytest.raises(ValueError, match=f"{name}=-1 must"):
        cosmicray_deepcr(GOOD)


class TestInpaint:
    def test_mask(self):
        with pytest.raises(ValueError, match=r"mask has shape \(2, 2\)"):
            inpaint_cosmicrays(GOOD, np.zeros((2, 2), bool))
        with pytest.raises(TypeError, match="mask holds float64"):
            inpaint_cosmicrays(GOOD, GOOD)
        with pytest.raises(TypeError, match="mask is None; an array"):
            inpaint_cosmicrays(GOOD, CCDData(GOOD, unit="adu").mask)

    def test_nothing_left(self):
        for method in ("median", "biharmonic", "network"):
            with pytest.raises(ValueError, match="No good pixel is left"):
                inpaint_cosmicrays(GOOD, np.ones(GOOD.shape, bool), method)

    def test_method(self):
        with pytest.raises(ValueError, match="would replace nothing"):
            inpaint_cosmicrays(GOOD, GOOD < 0, None)
        with pytest.raises(ValueError, match="method='magic' is not known"):
            inpaint_cosmicrays(GOOD, GOOD < 0, "magic")

    def test_nan_under_the_mask_is_filled(self):
        image = GOOD.copy()
        image[3, 3] = np.nan
        filled = inpaint_cosmicrays(image, np.isnan(image))
        assert abs(filled[3, 3] - 100) < 2

    def test_noise(self):
        with pytest.raises(TypeError, match=r"noise=42 must be True, False or a numpy"):
            inpaint_cosmicrays(GOOD, GOOD < 0, noise=42)

    def test_add_uncertainty(self):
        with pytest.raises(TypeError, match="needs a CCDData or NDData, not a ndarray"):
            cosmicray_deepcr(GOOD, add_uncertainty=True)
        with pytest.raises(ValueError, match="needs the read noise"):
            cosmicray_deepcr(CCDData(GOOD, unit="adu"), add_uncertainty=True)
