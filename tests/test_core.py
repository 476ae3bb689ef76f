# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""The public functions: what goes in, what comes out."""

import copy
import threading
import warnings
from dataclasses import replace

import numpy as np
import pytest
from astropy import units as u
from astropy.io import fits
from astropy.nddata import (
    CCDData,
    InverseVariance,
    NDData,
    StdDevUncertainty,
    UnknownUncertainty,
    VarianceUncertainty,
)
from astropy.utils.masked import Masked
from astropy.wcs import WCS
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from astro_deepcr import (
    conf,
    cosmicray_deepcr,
    cosmicray_probability,
    inpaint_cosmicrays,
)
from astro_deepcr.exceptions import (
    CosmicRayWarning,
    TooManyCosmicRaysWarning,
    WeightsMismatchWarning,
)
from astro_deepcr.masks import find_cosmic_rays
from astro_deepcr.simulate import make_cosmicray_ccd
from astro_deepcr.weights import get_weights

from .conftest import draw_frame


def test_finds_tracks(frame):
    image, truth = frame
    cleaned, crmask = cosmicray_deepcr(image)
    assert crmask.dtype == bool
    assert np.mean(crmask[truth]) > 0.95
    assert np.mean(crmask[~truth]) < 0.01
    assert abs(np.median(cleaned[truth]) - 100) < 10


@pytest.mark.parametrize("inpaint", ["median", "mean", "idw", "biharmonic", "network"])
def test_only_flagged_pixels_change(frame, inpaint):
    image, _ = frame
    before = image.copy()
    cleaned, crmask = cosmicray_deepcr(image, inpaint=inpaint)
    assert np.array_equal(cleaned[~crmask], before[~crmask])
    assert np.all(cleaned[crmask] < before[crmask])
    assert np.array_equal(image, before)


def test_inpaint_none_leaves_data(ccd):
    cleaned = cosmicray_deepcr(ccd, inpaint=None)
    assert np.array_equal(cleaned.data, ccd.data)
    assert cleaned.mask.sum() > 1
    assert cleaned.meta["CRFILL"] == "None"


def test_ccddata_round_trip(ccd):
    before = copy.deepcopy(ccd)
    cleaned = cosmicray_deepcr(ccd)
    assert type(cleaned) is CCDData
    assert cleaned.unit == u.electron
    assert cleaned.mask[50, 40]
    for name in ("data", "mask"):
        assert np.array_equal(getattr(ccd, name), getattr(before, name))
    assert np.array_equal(ccd.uncertainty.array, before.uncertainty.array)
    assert dict(ccd.meta) == dict(before.meta)
    assert not np.shares_memory(cleaned.data, ccd.data)
    assert not np.shares_memory(cleaned.mask, ccd.mask)
    assert not np.shares_memory(cleaned.uncertainty.array, ccd.uncertainty.array)


def test_kinds_agree(frame):
    image, _ = frame
    reference, crmask = cosmicray_deepcr(image)
    quantity, crmask_q = cosmicray_deepcr(image * u.electron)
    assert quantity.unit == u.electron
    assert np.array_equal(quantity.value, reference)
    assert np.array_equal(crmask_q, crmask)

    holes = np.zeros(image.shape, bool)
    holes[5, 5] = True
    masked, _ = cosmicray_deepcr(np.ma.MaskedArray(image, holes))
    assert isinstance(masked, np.ma.MaskedArray)
    assert masked.mask[5, 5]
    astropy_masked, _ = cosmicray_deepcr(Masked(image, holes))
    assert isinstance(astropy_masked, Masked)
    assert astropy_masked.mask[5, 5]

    nddata = cosmicray_deepcr(NDData(image, unit="electron"))
    assert type(nddata) is NDData
    assert np.array_equal(nddata.data, reference)
    assert np.array_equal(nddata.mask, crmask)


def test_subclasses_keep_what_is_their_own(frame):
    """Whatever their constructors want."""

    class Spectrum(NDData):
        def __init__(self, flux, wavelength):
            super().__init__(flux.value, unit=flux.unit)
            self.wavelength = wavelength

    image, _ = frame
    spectrum = Spectrum(image * u.electron, np.arange(image.shape[1]))
    spectrum.wcs = WCS(naxis=2)
    cleaned = cosmicray_deepcr(spectrum)
    assert type(cleaned) is Spectrum
    assert cleaned.wavelength is spectrum.wavelength
    assert cleaned.wcs is not spectrum.wcs
    assert np.array_equal(cleaned.data, cosmicray_deepcr(image)[0])
    assert np.array_equal(spectrum.data, image)
    assert spectrum.mask is None


@pytest.mark.parametrize(
    "kind", [StdDevUncertainty, VarianceUncertainty, InverseVariance]
)
def test_uncertainties_are_copied_without_their_frame(frame, kind):
    """An uncertainty knows the whole frame, which may hold what cannot be copied."""
    spectrum = NDData(frame[0], unit=u.adu)
    deviation = StdDevUncertainty(np.full(frame[0].shape, 12.0), unit=u.adu)
    spectrum.uncertainty = deviation.represent_as(kind)
    spectrum.file = threading.Lock()
    cleaned = cosmicray_deepcr(spectrum)
    assert cleaned.file is spectrum.file
    assert type(cleaned.uncertainty) is kind
    assert cleaned.uncertainty.unit == spectrum.uncertainty.unit
    assert cleaned.uncertainty.parent_nddata is cleaned
    old, new = spectrum.uncertainty.array, cleaned.uncertainty.array
    assert not np.shares_memory(old, new)
    assert np.array_equal(old[~cleaned.mask], new[~cleaned.mask])
    assert np.all(old == old[0, 0])


def test_uncertainty_that_cannot_be_updated(ccd):
    ccd.uncertainty = UnknownUncertainty(np.ones(ccd.shape))
    with pytest.warns(CosmicRayWarning, match="is a UnknownUncertainty, which cannot"):
        cleaned = cosmicray_deepcr(ccd)
    assert np.all(cleaned.uncertainty.array == 1)


@pytest.mark.parametrize(
    ("dtype", "expected"),
    [
        (">f4", "f4"),
        ("<f8", "f8"),
        (">i2", "f4"),
        ("u2", "f4"),
        (">i4", "f8"),
        ("f2", "f4"),
        ("u1", "f4"),
    ],
)
def test_dtypes(frame, dtype, expected):
    image, _ = frame
    image = np.clip(np.round(image), 0, 250 if dtype == "u1" else 60000).astype(dtype)
    cleaned, crmask = cosmicray_deepcr(image, inpaint="mean")
    assert cleaned.dtype == np.dtype(expected)
    assert cleaned.dtype.isnative
    assert np.array_equal(cleaned[~crmask], image[~crmask])


class TestMasks:
    def test_masked_and_nan_never_flagged(self, frame):
        image, truth = frame
        rows, columns = np.nonzero(truth)
        image[rows[0], columns[0]] = np.nan
        mask = np.zeros(image.shape, bool)
        mask[rows[-1], columns[-1]] = True
        ccd = CCDData(image, unit="electron", mask=mask)
        cleaned = cosmicray_deepcr(ccd, grow=3, neighbor_threshold=0.1)
        assert np.isnan(cleaned.data[rows[0], columns[0]])
        assert not cleaned.mask[rows[0], columns[0]]
        assert cleaned.data[rows[-1], columns[-1]] == image[rows[-1], columns[-1]]
        probability = cosmicray_probability(ccd)
        assert probability[rows[0], columns[0]] == 0
        assert probability[rows[-1], columns[-1]] == 0

    def test_one_nan_harms_nobody(self, frame):
        image, _ = frame
        _, reference = cosmicray_deepcr(image)
        holed = image.copy()
        holed[60, 60] = np.nan
        _, crmask = cosmicray_deepcr(holed)
        assert np.count_nonzero(crmask != reference) <= 2

    def test_protect(self, frame):
        image, truth = frame
        cleaned, crmask = cosmicray_deepcr(image, protect=truth, grow=2)
        assert not crmask[truth].any()
        assert np.array_equal(cleaned[truth], image[truth])

    def test_neighbor_threshold_is_that_of_the_masks(self, frame):
        probability = cosmicray_probability(frame[0])
        _, crmask = cosmicray_deepcr(frame[0], threshold=0.9, neighbor_threshold=0.05)
        expected = find_cosmic_rays(probability, 0.9, neighbor_threshold=0.05)
        assert np.array_equal(crmask, expected)
        assert crmask.sum() > (probability >= 0.9).sum()

    def test_grow_and_neighbors_only_add(self, frame):
        image, _ = frame
        _, plain = cosmicray_deepcr(image)
        _, wide = cosmicray_deepcr(image, neighbor_threshold=0.05)
        _, grown = cosmicray_deepcr(image, grow=1)
        assert np.all(wide >= plain)
        assert np.all(grown >= plain)
        assert grown.sum() > wide.sum() >= plain.sum()

    def test_update_mask_false(self, ccd):
        cleaned = cosmicray_deepcr(ccd, update_mask=False, flag_bit="hst")
        assert np.array_equal(cleaned.mask, ccd.mask)
        flagged = (cleaned.flags & 4096) != 0
        assert np.array_equal(flagged, cosmicray_deepcr(ccd).mask & ~ccd.mask)

    def test_flag_bit_keeps_other_bits(self, ccd):
        ccd.flags = np.full(ccd.shape, 3, np.uint8)
        cleaned = cosmicray_deepcr(ccd, flag_bit=8192)
        assert np.all(cleaned.flags & 3 == 3)
        assert cleaned.flags.max() == 8195
        assert ccd.flags.dtype == np.uint8
        assert ccd.flags.max() == 3

    @pytest.mark.parametrize(
        ("dtype", "bit", "expected"),
        [
            ("i2", 4096, "i2"),
            ("i2", 2**15, "i4"),
            ("u1", 4096, "u2"),
            ("i8", 1, "i8"),
            ("i4", 2**40, "i8"),
            ("i1", 2**62, "i8"),
            ("u4", 2**40, "u8"),
        ],
    )
    def test_flags_keep_their_type_if_it_holds_the_bit(self, ccd, dtype, bit, expected):
        ccd.flags = np.zeros(ccd.shape, dtype)
        assert cosmicray_deepcr(ccd, flag_bit=bit).flags.dtype == np.dtype(expected)

    def test_too_many(self, frame):
        image, _ = frame
        with pytest.warns(TooManyCosmicRaysWarning, match="max_fraction=0.001"):
            cosmicray_deepcr(image, max_fraction=0.001)


def test_masked_cores_of_stars_make_no_hits():
    """What stands in for masked pixels must not look like a hit beside them."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:256, :256]
    light = np.full((256, 256), 200.0)
    for _ in range(12):
        row, column = rng.uniform(15, 241, 2)
        distance2 = (y - row) ** 2 + (x - column) ** 2
        light += 10 ** rng.uniform(5, 6) * np.exp(-distance2 / (2 * 1.6**2))
    image = np.minimum(rng.normal(light, np.sqrt(light + 16)), 60_000)
    for value in (60_000, np.nan):
        saturated = image >= 60_000
        ccd = CCDData(np.where(saturated, value, image), unit="electron")
        ccd.mask = saturated
        found = cosmicray_deepcr(ccd, inpaint=None).mask & ~saturated
        assert saturated.sum() > 200
        assert found.sum() < 20


class TestUnits:
    @pytest.fixture
    def reference(self, frame):
        return cosmicray_deepcr(frame[0] * u.electron)[1]

    @pytest.mark.parametrize(
        ("unit", "factor", "arguments"),
        [
            ("adu", 2.0, {"gain": 2.0}),
            ("adu", 2.0, {"gain": 2.0 * u.electron / u.adu}),
            ("adu", 2.0, {"gain": "GAIN"}),
            ("adu", 2.0, {}),
            ("DN", 2.0, {"gain": 2.0}),
            ("electron / s", 500.0, {"exposure_time": 500.0}),
            ("electron / s", 500.0, {"exposure_time": 500 / 60 * u.min}),
            ("electron / s", 500.0, {}),
            ("adu / s", 1000.0, {"gain": 2.0, "exposure_time": 500.0}),
            ("kelectron", 1000.0, {}),
        ],
    )
    def test_same_mask_in_any_unit(self, frame, reference, unit, factor, arguments):
        meta = {"EXPTIME": 500.0, "GAIN": 2.0}
        with u.add_enabled_units([u.def_unit("kelectron", 1000 * u.electron)]):
            ccd = CCDData(frame[0] / np.float32(factor), unit=unit, meta=meta)
            cleaned = cosmicray_deepcr(ccd, **arguments)
            assert cleaned.unit == u.Unit(unit)
        assert np.array_equal(cleaned.mask, reference)
        values = cleaned.data[reference] * factor
        assert abs(np.median(values) - 100) < 10

    @pytest.mark.parametrize(
        ("unit", "factor", "arguments"),
        [
            ("adu", 2.0, {}),
            ("adu", 2.0, {"gain": 2.0 * u.electron / u.adu}),
            ("electron / s", 500.0, {"exposure_time": 500.0}),
            ("adu / s", 1000.0, {}),
        ],
    )
    def test_weights_in_electrons(self, frame, unit, factor, arguments):
        """Both networks are given electrons, and what they give is in the unit."""
        image, truth = frame
        bad = np.zeros(truth.shape, bool)
        bad[20:23, 20:23] = True
        image = np.where(bad, 60_000, image)  # as a core that is saturated
        meta = {"EXPTIME": 500.0, "GAIN": 2.0}
        frames = (
            CCDData(image, unit="electron", mask=bad),
            CCDData(image / np.float32(factor), unit=unit, meta=meta, mask=bad),
        )
        fill = "inpaint-acs-wfc-f606w-2-32"
        p, q = (
            cosmicray_probability(ccd, "acs-wfc", **given)
            for ccd, given in zip(frames, ({}, arguments), strict=True)
        )
        assert np.allclose(p, q, atol=1e-4)
        assert p[truth & ~bad].mean() > 0.5
        one, other = (
            inpaint_cosmicrays(ccd, truth & ~bad, fill, **given).data
            for ccd, given in zip(frames, ({}, arguments), strict=True)
        )
        assert np.allclose(other * factor, one, rtol=1e-3)

    def test_gain_of_plain_array(self, frame, reference):
        assert np.array_equal(cosmicray_deepcr(frame[0] / 2, gain=2)[1], reference)

    @pytest.mark.parametrize("scale", [0.1, 1000.0])
    def test_scale_free_weights(self, frame, scale):
        _, reference = cosmicray_deepcr(frame[0], "wfc3-uvis")
        _, scaled = cosmicray_deepcr(frame[0] * np.float32(scale), "wfc3-uvis")
        assert np.array_equal(scaled, reference)

    def test_network_fill_in_adu(self, frame):
        image, truth = frame
        electrons = inpaint_cosmicrays(image * u.electron, truth, "network")
        adu = inpaint_cosmicrays(image / 2 * u.adu, truth, "network", gain=2)
        assert np.allclose(adu.value * 2, electrons.value, rtol=1e-4)

    @pytest.mark.parametrize(
        "method", ["median", "mean", "idw", "biharmonic", "network"]
    )
    def test_masked_pixels_tell_nothing_of_their_neighbours(self, method):
        image = np.random.default_rng(0).normal(100, 5, (64, 64))
        bad, hit = np.zeros((2, 64, 64), bool)
        bad[30:33, 28:31] = hit[31, 31:34] = True
        image[bad], image[hit] = 30_000, 5_000
        ccd = CCDData(image, unit="electron", mask=bad)
        filled = inpaint_cosmicrays(ccd, hit, method)
        assert np.abs(filled.data[hit] - 100).max() < 15
        assert np.array_equal(filled.data[bad], image[bad])

    def test_masks_of_filled_frames(self, ccd):
        hit = np.zeros(ccd.shape, bool)
        hit[40, 40:50] = True
        old = ccd.mask.copy()
        filled = inpaint_cosmicrays(ccd, hit, "median")
        assert np.array_equal(filled.mask, old | hit)
        assert filled.meta["CRNPIX"] == hit.sum()
        assert filled.meta["CRFILL"] == "median"
        other = inpaint_cosmicrays(ccd, hit, update_mask=False, add_keyword=False)
        assert np.array_equal(other.mask, old)
        assert dict(other.meta) == dict(ccd.meta)

    def test_background(self, frame):
        image, _ = frame
        ramp = np.linspace(0, 5000, image.shape[1], dtype=np.float32)
        ccd = CCDData(image + ramp, unit="electron")
        ramps = np.broadcast_to(ramp, image.shape)
        cleaned = cosmicray_deepcr(ccd, background=ramps * u.electron)
        reference, crmask = cosmicray_deepcr(image)
        assert np.mean(cleaned.mask == crmask) > 0.999
        both = cleaned.mask & crmask
        assert np.allclose(cleaned.data[both], (reference + ramp)[both], atol=20)
        assert np.array_equal(cleaned.data[~cleaned.mask], ccd.data[~cleaned.mask])

    @pytest.mark.parametrize("method", ["median", "network"])
    def test_background_that_is_not_known_where_pixels_are_replaced(self, method):
        image = np.random.default_rng(0).normal(1000, 5, (32, 32))
        background, bad = np.full(image.shape, 1000.0), np.zeros(image.shape, bool)
        bad[9, 9] = True
        image[bad], background[bad] = -32768, np.nan
        ccd = CCDData(image, unit="adu", mask=bad)
        for known in (background, np.ma.masked_invalid(background)):
            filled = inpaint_cosmicrays(ccd, bad, method, background=known)
            assert 985 < filled.data[9, 9] < 1015

    def test_background_much_brighter_than_the_frame(self, frame):
        image, _ = frame
        reference, crmask = cosmicray_deepcr(image.astype(float))
        cleaned, again = cosmicray_deepcr(image.astype(float) + 1e9, background=1e9)
        assert np.array_equal(again, crmask)
        assert np.allclose(cleaned - 1e9, reference, atol=1e-2)

    def test_mask_of_bits(self, ccd):
        frame = NDData(ccd.data, mask=4 * ccd.mask.astype(np.int16), unit=ccd.unit)
        cleaned = cosmicray_deepcr(frame, inpaint=None)
        assert cleaned.mask.dtype == bool
        assert cleaned.mask[frame.mask > 0].all()
        kept = cosmicray_deepcr(frame, inpaint=None, update_mask=False)
        assert np.array_equal(kept.mask, frame.mask)

    @pytest.mark.parametrize("unit", [u.mag, u.dex, u.ABmag, u.mag / u.arcsec**2])
    def test_logarithmic_units(self, frame, unit):
        ccd = CCDData(frame[0], unit=unit)
        with pytest.raises(ValueError, match="no linear unit"):
            cosmicray_deepcr(ccd)

    def test_fill_value_of_masked_arrays(self, frame):
        masked = np.ma.array(frame[0], mask=frame[0] < 0, fill_value=-7)
        assert cosmicray_deepcr(masked, inpaint=None)[0].fill_value == -7


class TestUncertainty:
    @pytest.mark.parametrize(
        ("cls", "power"),
        [(StdDevUncertainty, 1), (VarianceUncertainty, 2), (InverseVariance, -2)],
    )
    def test_three_types(self, ccd, cls, power):
        ccd.uncertainty = cls(np.full(ccd.shape, 11.0**power))
        cleaned = cosmicray_deepcr(ccd)
        found = cleaned.mask & ~ccd.mask
        assert type(cleaned.uncertainty) is cls
        assert np.all(cleaned.uncertainty.array[~found] == 11.0**power)
        std = cleaned.uncertainty.array[found] ** (1 / power)
        assert 0.3 < np.median(std) < 11

    def test_own_unit_of_the_uncertainty(self, ccd):
        unit = u.Unit(1000 * u.electron)
        ccd.uncertainty = StdDevUncertainty(np.full(ccd.shape, 0.011), unit=unit)
        reference = cosmicray_deepcr(ccd)
        found = reference.mask & ~ccd.mask
        assert 0.0003 < np.median(reference.uncertainty.array[found]) < 0.011

    @pytest.mark.parametrize("array", [144, np.full((96, 80), 144)])
    def test_integers_and_one_number_for_all(self, frame, array):
        ccd = NDData(frame[0], unit="electron", uncertainty=VarianceUncertainty(array))
        cleaned = cosmicray_deepcr(ccd)
        variance = cleaned.uncertainty.array
        assert np.all(variance[~cleaned.mask] == 144)
        assert np.any(variance[cleaned.mask] % 1)
        assert np.all(np.asarray(ccd.uncertainty.array) == 144)

    def test_empty_one_stays_empty(self, frame):
        ccd = NDData(frame[0], unit="electron", uncertainty=StdDevUncertainty())
        assert cosmicray_deepcr(ccd).uncertainty.array is None

    def test_readnoise_in_adu(self, frame):
        rate = CCDData(
            frame[0] / 1000,
            unit="electron / s",
            uncertainty=StdDevUncertainty(np.full(frame[0].shape, 0.012)),
        )
        arguments = {"gain": 2, "exposure_time": 1000}
        cleaned = cosmicray_deepcr(
            rate, inpaint="median", readnoise=50 * u.adu, **arguments
        )
        std = cleaned.uncertainty.array[cleaned.mask]
        assert np.all((std > 0.1) & (std < 0.12))

    @pytest.mark.parametrize("unit", ["adu", "MJy/sr"])
    def test_readnoise_that_is_not_needed(self, frame, unit):
        """It must not ask for a gain then."""
        ccd = CCDData(frame[0], unit=unit)
        same = cosmicray_deepcr(ccd, readnoise=3).data == cosmicray_deepcr(ccd).data
        assert same.all()
        with pytest.raises(ValueError, match="electron"):
            cosmicray_deepcr(ccd, readnoise=3, add_uncertainty=True)

    def test_readnoise_of_classical_fills(self, frame):
        """The same, but for the floor of the deviations that they state."""
        ccd = CCDData(frame[0], unit="MJy / sr")
        plain = cosmicray_deepcr(ccd, inpaint="median")
        told = cosmicray_deepcr(ccd, inpaint="median", readnoise=3)
        assert np.array_equal(told.data, plain.data)
        told = inpaint_cosmicrays(ccd, frame[1], "median", readnoise=3)
        assert told.uncertainty is None
        ccd.uncertainty = StdDevUncertainty(np.ones(ccd.shape))
        for quiet in (
            ccd,
            CCDData(np.full((40, 40), 9.0), uncertainty=None, unit="Jy"),
        ):
            if quiet is not ccd:  # nothing is hit: told of all the same
                quiet.uncertainty = StdDevUncertainty(np.ones(quiet.shape))
            with pytest.raises(ValueError, match="electron"):
                cosmicray_deepcr(quiet, inpaint="median", readnoise=3)

    def test_empty_uncertainty_is_none(self, frame):
        ccd = CCDData(frame[0], unit="electron", uncertainty=StdDevUncertainty(None))
        cleaned = cosmicray_deepcr(ccd, add_uncertainty=True, readnoise=5)
        assert np.all(cleaned.uncertainty.array > 0)
        assert cleaned.uncertainty.array.shape == ccd.shape

    @pytest.mark.parametrize(
        "wrong", [{"gain": -5}, {"gain": "NOKEY"}, {"exposure_time": -1}]
    )
    @pytest.mark.parametrize("method", ["median", "network"])
    def test_what_is_given_must_be_right(self, frame, method, wrong):
        ccd = CCDData(frame[0], unit="adu")
        with pytest.raises(ValueError, match=next(iter(wrong))):
            inpaint_cosmicrays(ccd, frame[1], method, **wrong)

    @pytest.mark.parametrize("other", ["DN", "ct", "adu"])
    def test_unit_of_the_background_has_several_names(self, frame, other):
        image, _ = frame
        level = np.full(image.shape, 90.0)
        expected = cosmicray_deepcr(image * u.adu, background=level * u.adu)
        got = cosmicray_deepcr(image * u.adu, background=level * u.Unit(other))
        assert np.array_equal(got[0], expected[0])
        with pytest.raises(ValueError, match="the image has no unit"):
            cosmicray_deepcr(image, background=level * u.Unit(other))

    def test_masked_pixels_of_a_background_say_nothing(self, frame):
        """Also of NDData, as of masked arrays."""
        image, _ = frame
        hole = np.zeros(image.shape, bool)
        hole[40:50, 40:50] = True
        wrong = np.where(hole, 1e6, 100.0)
        for unknown in (NDData(wrong, mask=hole), np.ma.MaskedArray(wrong, hole)):
            with pytest.raises(ValueError, match="background has values that are not"):
                cosmicray_deepcr(image, background=unknown)
            ccd = CCDData(image, unit="adu", mask=hole)  # not needed there
            cleaned = cosmicray_deepcr(ccd, background=unknown)
            expected = cosmicray_deepcr(ccd, background=np.full(image.shape, 100.0))
            assert np.array_equal(cleaned.mask, expected.mask)

    def test_readnoise_is_a_floor(self, ccd):
        cleaned = cosmicray_deepcr(ccd, inpaint="median", readnoise=300)
        found = cleaned.mask & ~ccd.mask
        assert np.all(cleaned.uncertainty.array[found] >= 300)

    @pytest.mark.parametrize("method", ["median", "mean", "idw"])
    def test_spread_is_the_error(self, method):
        image, truth = draw_frame((300, 300), tracks=400)
        clean, _ = draw_frame((300, 300), tracks=0)
        ccd = CCDData(
            image, unit="electron", uncertainty=StdDevUncertainty(np.ones(image.shape))
        )
        filled = inpaint_cosmicrays(ccd, truth, method)
        pull = (filled.data - clean)[truth] / filled.uncertainty.array[truth]
        assert 0.9 < np.std(pull) < 1.1

    def test_none_is_invented(self, frame):
        cleaned = cosmicray_deepcr(CCDData(frame[0], unit="electron"))
        assert cleaned.uncertainty is None

    def test_one_is_made_when_asked(self, frame):
        ccd = CCDData(frame[0], unit="electron")
        cleaned = cosmicray_deepcr(ccd, readnoise=7, add_uncertainty=True)
        std, hit = cleaned.uncertainty.array, cleaned.mask
        assert isinstance(cleaned.uncertainty, StdDevUncertainty)
        expected = np.sqrt(np.maximum(frame[0], 0) + 49)
        assert np.allclose(std[~hit], expected[~hit])
        assert np.all((std[hit] > 0) & (std[hit] < 12))
        assert ccd.uncertainty is None

    def test_an_old_one_is_kept(self, ccd):
        ccd.uncertainty = VarianceUncertainty(np.full(ccd.shape, 121.0))
        cleaned = cosmicray_deepcr(ccd, readnoise=7, add_uncertainty=True)
        assert isinstance(cleaned.uncertainty, VarianceUncertainty)
        assert np.all(cleaned.uncertainty.array[~cleaned.mask] == 121)

    def test_the_network_states_its_error(self):
        image, truth = draw_frame((300, 300), tracks=400)
        ccd = CCDData(image, unit="electron")
        ccd.uncertainty = StdDevUncertainty(np.ones(image.shape))
        filled = inpaint_cosmicrays(ccd, truth)
        pull = (filled.data[truth] - 100) / filled.uncertainty.array[truth]
        assert 0.3 < np.std(pull) < 1.3
        assert np.std(filled.data[truth] - 100) < 5  # the noise of a pixel is 10

    def test_noise_of_a_sky_that_was_subtracted(self):
        """Nothing in the values tells of it any more."""
        image = np.random.default_rng(0).poisson(400, (200, 200)) - 400.0
        for level in (0, 400):
            ccd = CCDData(image + level, unit="electron")
            cleaned = cosmicray_deepcr(ccd, readnoise=3, add_uncertainty=True)
            assert np.median(cleaned.uncertainty.array) == pytest.approx(20, rel=0.1)
        ccd = CCDData(image, unit="electron")
        cleaned = cosmicray_deepcr(
            ccd, readnoise=3, add_uncertainty=True, background=-400.0
        )
        assert np.median(cleaned.uncertainty.array) == pytest.approx(20, rel=0.1)


class TestNoise:
    @pytest.mark.parametrize("method", ["median", "idw"])
    def test_stated_deviation_from_a_reading(self, method):
        """Of the reading that was drawn from the one that would have been there."""
        rng = np.random.default_rng(0)
        image, hit = rng.normal(100, 10, (300, 300)), rng.random((300, 300)) < 0.005
        ccd = CCDData(image, unit="electron")
        ccd.uncertainty = StdDevUncertainty(np.full(image.shape, 10.0))
        filled = inpaint_cosmicrays(ccd, hit, method, noise=rng)
        pull = (filled.data - image)[hit] / filled.uncertainty.array[hit]
        assert np.std(pull) == pytest.approx(1, abs=0.1)

    def test_statistics_of_the_neighbours(self):
        image, truth = draw_frame((300, 300), tracks=400)
        for method in ("network", "median"):
            rng = np.random.default_rng(1)
            filled = inpaint_cosmicrays(image, truth, method, noise=rng)
            assert 9 < np.std(filled[truth]) < 16
        assert np.array_equal(filled[~truth], image[~truth])

    def test_generator_decides(self, frame):
        first, second, other = (
            cosmicray_deepcr(frame[0], noise=np.random.default_rng(seed))[0]
            for seed in (1, 1, 2)
        )
        assert np.array_equal(first, second)
        assert not np.array_equal(first, other)
        assert not np.array_equal(cosmicray_deepcr(frame[0], noise=True)[0], first)


def test_colours_are_levelled_as_the_page_of_limits_says():
    ccd, truth = make_cosmicray_ccd(
        (400, 400), seed=4, scene="deep field", sky=600, exposure_time=1000
    )
    parts = np.s_[::2, ::2], np.s_[::2, 1::2], np.s_[1::2, ::2], np.s_[1::2, 1::2]
    pattern, flat = np.ones(ccd.shape), np.ones(ccd.shape)
    for part, factor in zip(parts, (1, 2, 2, 1.4), strict=True):
        pattern[part] = factor
    rng = np.random.default_rng(0)
    light = rng.poisson(truth.clean.data * pattern) + rng.normal(0, 5, ccd.shape)
    ccd = CCDData(light + truth.charge.value, unit="electron")
    for part in parts:
        flat[part] = np.median(ccd.data[part])
    cleaned = cosmicray_deepcr(ccd.divide(flat)).multiply(flat)
    hit = truth.charge.value > 5 * np.sqrt(truth.clean.data * pattern + 25)
    assert np.mean(cosmicray_deepcr(ccd).mask[hit]) < 0.5
    assert np.mean(cleaned.mask[hit]) > 0.9
    assert cleaned.data[~cleaned.mask] == pytest.approx(ccd.data[~cleaned.mask])


class TestProvenance:
    def test_standard_keywords_survive_fits(self, ccd, tmp_path):
        ccd.meta = fits.Header([("OBJECT", "M31"), ("HISTORY", "bias subtracted")])
        cleaned = cosmicray_deepcr(ccd, "acs-wfc")
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            cleaned.write(tmp_path / "cleaned.fits")
        meta = CCDData.read(tmp_path / "cleaned.fits").meta
        assert meta["CRMODEL"] == "acs-wfc"
        assert meta["CRSHA"] == "0075cef7a8b7"
        assert meta["CRTHRESH"] == 0.5
        assert meta["CRFILL"] == "inpaint-universal"
        assert meta["CRNPIX"] == np.count_nonzero(cleaned.mask) - 1
        assert meta["CRFRAC"] == pytest.approx(meta["CRNPIX"] / (ccd.data.size - 1))
        assert meta["OBJECT"] == "M31"
        assert len(meta["HISTORY"]) >= 2
        assert "inpaint-universal" in str(meta["HISTORY"])  # in one line

    def test_dictionary_survives_fits(self, ccd, tmp_path):
        ccd.meta["HISTORY"] = "bias subtracted"
        cosmicray_deepcr(cosmicray_deepcr(ccd)).write(tmp_path / "cleaned.fits")
        history = str(CCDData.read(tmp_path / "cleaned.fits").meta["HISTORY"])
        assert history.startswith("bias subtracted; astro_deepcr")

    def test_list_of_history(self, ccd):
        ccd.meta["HISTORY"] = ["bias subtracted", "flat fielded"]
        history = cosmicray_deepcr(ccd, inpaint=None).meta["HISTORY"]
        assert history.startswith("bias subtracted; flat fielded; astro_deepcr")

    def test_names_that_fits_does_not_allow(self, ccd):
        ccd.header = fits.Header(ccd.header)
        weights = replace(get_weights(), name="d\u00e9tecteur")
        cleaned = cosmicray_deepcr(ccd, weights, inpaint=None)
        assert cleaned.meta["CRMODEL"] == "d?tecteur"
        assert "d?tecteur" in str(cleaned.meta["HISTORY"])

    def test_off(self, ccd):
        for off in (False, None, np.False_):
            assert dict(cosmicray_deepcr(ccd, add_keyword=off).meta) == dict(ccd.meta)
        with conf.set_temp("auto_logging", False):
            for on in (True, np.True_):
                cleaned = cosmicray_deepcr(ccd, add_keyword=on)
                assert dict(cleaned.meta) == dict(ccd.meta)
        assert "CRMODEL" in cosmicray_deepcr(ccd, add_keyword=np.True_).meta

    def test_ccdproc_kinds(self, ccd):
        from ccdproc import Keyword

        keyword = Keyword("CRDONE", value="yes")
        assert cosmicray_deepcr(ccd, add_keyword=keyword).meta["CRDONE"] == "yes"
        cleaned = cosmicray_deepcr(ccd, add_keyword={"WHO": "me"})
        assert cleaned.meta["WHO"] == "me"
        assert "CRMODEL" not in cleaned.meta
        told = cosmicray_deepcr(ccd, add_keyword="CRDONE").meta["CRDONE"]
        assert "universal" in told


class TestThreshold:
    def test_fpr(self, frame):
        image, _ = frame
        flagged = []
        for fpr in (1e-4, 3e-4, 1e-2):
            _, crmask = cosmicray_deepcr(image, fpr=fpr)
            threshold = get_weights().threshold_for(fpr)
            assert np.array_equal(crmask, cosmicray_probability(image) > threshold)
            flagged.append(crmask.sum())
        assert flagged[0] <= flagged[1] < flagged[2]
        ccd = CCDData(image, unit="electron")
        assert cosmicray_deepcr(ccd, fpr=1e-2).meta["CRTHRESH"] == threshold

    def test_threshold_counts(self, frame):
        image, _ = frame
        probability = cosmicray_probability(image)
        for threshold in (0.1, 0.5, 0.9):
            _, crmask = cosmicray_deepcr(image, threshold=threshold)
            assert np.array_equal(crmask, probability > threshold)

    def test_default_is_that_of_the_weights(self, frame):
        _, crmask = cosmicray_deepcr(frame[0], "wfc3-uvis")
        assert np.array_equal(
            crmask, cosmicray_probability(frame[0], "wfc3-uvis") > 0.15
        )


def test_mismatch_warns(ccd):
    ccd.meta["INSTRUME"] = "STIS"
    with pytest.warns(WeightsMismatchWarning, match=r"ACS/WFC.*STIS"):
        cosmicray_deepcr(ccd, "acs-wfc")


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    shape=st.tuples(st.integers(1, 41), st.integers(1, 41)),
    dtype=st.sampled_from([">f4", "<f4", ">f8", ">i2", "<u2", "<i4", "f2"]),
    masked=st.sampled_from([0.0, 0.1, 0.9]),
    order=st.sampled_from("CF"),
)
def test_any_shape_dtype_order_and_mask(shape, dtype, masked, order):
    rng = np.random.default_rng(0)
    image = np.asarray(rng.uniform(50, 3000, shape).astype(dtype), order=order)
    mask = rng.random(shape) < masked
    mask[0, 0] = False
    ccd = CCDData(image, unit="electron", mask=mask)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", TooManyCosmicRaysWarning)
        cleaned = cosmicray_deepcr(ccd, inpaint=None)
    assert cleaned.shape == shape
    assert np.all(cleaned.mask >= mask)
    assert np.array_equal(cleaned.data, image)


def test_warnings_point_to_the_line_of_the_caller(ccd):
    ccd.meta["INSTRUME"] = "STIS"
    ccd.meta["BAYERPAT"] = "RGGB"
    ccd.uncertainty = UnknownUncertainty(np.ones(ccd.shape))
    with pytest.warns(CosmicRayWarning) as found:
        cosmicray_deepcr(ccd, "acs-wfc", max_fraction=0.0, gain=1.0)
    assert len(found) >= 3
    assert {one.filename for one in found} == {__file__}


def test_code_without_a_module_is_warned(frame):
    """As the code is that a string holds, or some notebook's."""
    with pytest.warns(TooManyCosmicRaysWarning):
        exec(  # noqa: S102
            "from astro_deepcr import cosmicray_deepcr\n"
            "cosmicray_deepcr(image, max_fraction=0.0)",
            {"image": frame[0]},
        )
