# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Frames in Dask arrays give what the same frames in memory give."""

from dataclasses import replace

import numpy as np
import pytest
from astropy import units as u
from astropy.io import fits
from astropy.nddata import CCDData, NDData

from astro_deepcr import (
    cosmicray_deepcr,
    cosmicray_events,
    cosmicray_probability,
    inpaint_cosmicrays,
    noise,
)
from astro_deepcr.weights import get_weights

from .conftest import draw_frame

dask = pytest.importorskip("dask")
da = pytest.importorskip("dask.array")

SHAPE = (230, 250)


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch):
    """Cut small frames into several blocks, which are done by two threads."""
    from astro_deepcr import dask_arrays

    monkeypatch.setattr(dask_arrays, "_BLOCK", 96)
    monkeypatch.setattr(dask_arrays, "_LARGEST_BLOCK", 128)
    with dask.config.set(scheduler="threads", num_workers=2):
        yield


@pytest.fixture
def ccd():
    """Return a frame with tracks, a wide masked gap, a bad column and NaN."""
    image, _ = draw_frame(SHAPE, 60, seed=5)
    image[:, 31] = np.nan
    mask = np.zeros(SHAPE, bool)
    mask[60:75, 20:200] = True
    meta = {"GAIN": 2.0, "EXPTIME": 500.0}
    return CCDData(image, unit="electron", mask=mask, meta=meta)


def lazy(ccd, chunks=(64, 70)):
    """Return the same frame with Dask arrays."""
    data = da.from_array(ccd.data, chunks=chunks)
    return CCDData(data, unit=ccd.unit, mask=ccd.mask, meta=ccd.meta)


def compare(ccd, *args, **kwargs):
    """Clean both ways; return the mask."""
    expected = cosmicray_deepcr(ccd, *args, **kwargs)
    found = cosmicray_deepcr(lazy(ccd), *args, **kwargs)
    assert isinstance(found, CCDData)
    data, mask = dask.compute(found.data, found.mask)
    assert np.array_equal(mask, expected.mask)
    # Networks that fill see statistics of a frame whose hits are not masked.
    atol = 0.2 if kwargs.get("inpaint", "network") == "network" else 0
    assert np.allclose(data, expected.data, rtol=1e-5, atol=atol, equal_nan=True)
    same = ~mask & np.isfinite(ccd.data)
    assert np.array_equal(data[same], ccd.data[same])
    assert data.dtype == expected.data.dtype
    return mask


class TestEqual:
    @pytest.mark.parametrize("chunks", [(64, 70), (230, 250), (100, 250), (1, 250)])
    @pytest.mark.parametrize("normalization", noise.NORMALIZATIONS)
    def test_probability(self, ccd, normalization, chunks):
        weights = replace(get_weights("acs-wfc"), normalization=normalization)
        expected = cosmicray_probability(ccd, weights)
        found = cosmicray_probability(lazy(ccd, chunks), weights)
        assert isinstance(found, da.Array)
        found = found.compute()
        assert found.dtype == np.float32
        # also where another normalisation makes all of them small
        good = expected > 0
        assert np.array_equal(good, found > 0)
        assert np.allclose(np.log(found[good]), np.log(expected[good]), atol=1e-3)

    def test_probability_in_orientations(self, ccd):
        one, two = (cosmicray_probability(ccd, orientations=n) for n in (1, 2))
        found = cosmicray_probability(lazy(ccd), orientations=2).compute()
        assert np.allclose(found, two, atol=1e-3)
        assert np.abs(one - two).max() > 0.01

    def test_clean(self, ccd):
        mask = compare(ccd)
        assert 300 < (mask & ~ccd.mask).sum() < 1000

    @pytest.mark.parametrize(
        "options",
        [
            {"grow": 2.5, "threshold": 0.3},
            {"inpaint": "median"},
            {"inpaint": "idw", "background": 20.0},
            {"inpaint": None, "update_mask": True},
            {"inpaint": None, "orientations": 2},
            {"background": np.linspace(0, 50, SHAPE[1]) * np.ones(SHAPE)},
            {"protect": np.arange(SHAPE[1]) > 120 + np.zeros(SHAPE)},
        ],
    )
    def test_options(self, ccd, options):
        compare(ccd, **options)

    @pytest.mark.parametrize("kind", ["ccd", "lazy ccd", "masked", "quantity"])
    def test_kinds_of_backgrounds(self, ccd, kind):
        plane = np.linspace(0, 50, SHAPE[1]) * np.ones(SHAPE)
        background = {
            "ccd": lambda: CCDData(plane, unit="electron", mask=ccd.mask),
            "lazy ccd": lambda: lazy(
                CCDData(plane / 2, unit="2 electron", mask=ccd.mask)
            ),
            "masked": lambda: np.ma.MaskedArray(plane, ccd.mask),
            "quantity": lambda: plane / 1000 * u.Unit("1000 electron"),
        }[kind]()
        expected = cosmicray_deepcr(lazy(ccd), background=plane).data.compute()
        found = cosmicray_deepcr(lazy(ccd), background=background).data.compute()
        assert np.array_equal(found, expected, equal_nan=True)

    def test_smaller_than_the_overlap(self):
        image, _ = draw_frame((40, 250), 8, seed=3)
        assert compare(CCDData(image, unit="electron")).any()

    def test_units_and_integers(self, ccd):
        ccd.mask = ccd.mask | ~np.isfinite(ccd.data)
        counts = np.nan_to_num(ccd.data / 2).astype(">i2")
        adu = CCDData(counts, unit="adu", mask=ccd.mask, meta=ccd.meta)
        assert compare(adu, gain=2.0).sum() == compare(adu).sum() > 3000

    def test_arrays(self, ccd):
        image = np.nan_to_num(ccd.data, nan=100.0)
        expected, crmask = cosmicray_deepcr(image, inpaint="idw")
        frame = da.from_array(image, chunks=80)
        found, lazy_mask = cosmicray_deepcr(frame, inpaint="idw")
        assert np.array_equal(lazy_mask.compute(), crmask)
        assert np.array_equal(found.compute(), expected)

    def test_blocks_without_a_good_pixel(self, ccd):
        ccd.data[:, 100:230] = np.nan
        compare(ccd)

    def test_sample_of_large_frames(self, ccd, monkeypatch):
        """Every third row is measured, in memory and not."""
        monkeypatch.setattr(noise, "_LARGEST_SAMPLE", ccd.data.size // 3 + 1)
        assert noise.row_step(ccd.shape) == 3
        weights = replace(get_weights("acs-wfc"), normalization="sky-noise-asinh")
        expected = cosmicray_probability(ccd, weights)
        found = cosmicray_probability(lazy(ccd), weights).compute()
        good = expected > 0
        assert np.allclose(np.log(found[good]), np.log(expected[good]), atol=1e-3)
        bad = ccd.mask | ~np.isfinite(ccd.data)
        part = noise.measure_normalization(ccd.data, bad, weights)
        sky, sigma = noise.sky_and_noise(ccd.data, bad)
        assert abs(part.offset - sky) < 0.02 * sigma
        assert part.scale == pytest.approx(sigma, rel=0.02)


class TestLazy:
    @pytest.mark.parametrize("normalization", ["sky-noise-asinh", "fixed"])
    def test_statistics_are_measured_once(self, ccd, normalization):
        """And nothing else is computed before it is asked for."""
        passes = []

        def look(block, block_info=None):
            if block_info:
                passes.append(block_info[0]["chunk-location"])
            return block

        data = da.from_array(ccd.data, chunks=96).map_blocks(look, dtype=np.float32)
        weights = replace(get_weights("acs-wfc"), normalization=normalization)
        probability = cosmicray_probability(NDData(data, unit="electron"), weights)
        number = data.npartitions
        assert len(passes) == number
        probability.compute()
        assert len(passes) == 2 * number

    def test_memory_mapped_file(self, tmp_path, ccd):
        image = np.nan_to_num(ccd.data, nan=100.0)
        fits.writeto(tmp_path / "a.fits", image)
        with fits.open(tmp_path / "a.fits", memmap=True) as hdus:
            data = da.from_array(hdus[0].data, chunks=(64, -1))
            crmask = cosmicray_deepcr(data)[1].compute()
        assert np.array_equal(crmask, cosmicray_deepcr(image)[1])

    def test_header(self, ccd):
        cleaned = cosmicray_deepcr(lazy(ccd), threshold=0.25)
        assert cleaned.meta["CRTHRESH"] == 0.25
        assert cleaned.meta["CRMODEL"] in cleaned.meta["HISTORY"]
        assert "CRNPIX" not in cleaned.meta
        assert "CRMODEL" not in ccd.meta
        assert "CRMODEL" not in cosmicray_deepcr(lazy(ccd), add_keyword=False).meta

    @pytest.mark.parametrize("update_mask", [True, False])
    def test_masked_arrays(self, ccd, update_mask):
        masked = np.ma.array(np.nan_to_num(ccd.data), mask=ccd.mask)
        how = {"inpaint": None, "update_mask": update_mask}
        expected, crmask = cosmicray_deepcr(masked, **how)
        chunks = da.from_array(masked, chunks=(64, 70))
        data, found = dask.compute(*cosmicray_deepcr(chunks, **how))
        assert np.array_equal(found, crmask)
        assert np.array_equal(data.mask, expected.mask)
        frame = NDData(chunks, unit="electron")
        found = cosmicray_deepcr(frame, **how).mask.compute()
        assert np.array_equal(found, expected.mask)

    def test_flags_are_kept(self, ccd):
        frame = lazy(ccd)
        frame.flags = np.arange(ccd.data.size).reshape(SHAPE)
        cleaned = cosmicray_deepcr(frame, inpaint=None)
        assert np.array_equal(cleaned.flags, frame.flags)
        cleaned.flags[0, 0] = 9
        assert frame.flags[0, 0] == 0


class TestRefused:
    @pytest.mark.parametrize(
        ("options", "match"),
        [
            ({"neighbor_threshold": 0.2}, "without neighbor_threshold="),
            ({"flag_bit": 4}, "without flag_bit="),
            ({"noise": True}, "without noise="),
            ({"add_uncertainty": True}, "without add_uncertainty="),
            ({"inpaint": "biharmonic"}, "needs the whole frame"),
            ({"threshold": 3}, "between 0"),
            ({"grow": -1}, "between 0"),
            ({"max_fraction": 7}, "max_fraction=7"),
            ({"protect": np.zeros((2, 3), bool)}, r"protect has shape \(2, 3\)"),
            ({"background": np.zeros((2, 3))}, r"background has shape \(2, 3\)"),
            ({"background": 3 * u.m}, "background is in m, the image is in electron"),
            ({"readnoise": "NO"}, "readnoise"),
        ],
    )
    def test_options(self, ccd, options, match):
        with pytest.raises(ValueError, match=match):
            cosmicray_deepcr(lazy(ccd), **options)

    def test_units_of_weights(self, ccd):
        """Known before anything is computed."""
        ccd.unit = u.Jy
        for function in (cosmicray_deepcr, cosmicray_probability):
            with pytest.raises(ValueError, match="in Jy, electron is needed"):
                function(lazy(ccd), "acs-wfc")

    def test_protect_of_numbers(self, ccd):
        with pytest.raises(TypeError, match="protect holds float64 values"):
            cosmicray_deepcr(lazy(ccd), protect=np.ones(SHAPE))

    def test_unknown_chunks(self):
        data = da.ones((9, 9), chunks=3)
        with pytest.raises(ValueError, match="compute_chunk_sizes"):
            cosmicray_deepcr(data[data[:, 0] > 0])

    def test_frames(self, ccd):
        with pytest.raises(ValueError, match="3 dimensions"):
            cosmicray_probability(da.zeros((2, 5, 5)))
        with pytest.raises(TypeError, match="complex"):
            cosmicray_probability(da.zeros((5, 5), dtype=complex))
        frame = lazy(ccd)
        frame.uncertainty = np.ones(SHAPE)
        with pytest.raises(ValueError, match=r"without an uncertainty .*= None"):
            cosmicray_deepcr(frame)


def test_functions_that_are_not_lazy_say_so(frame):
    image, mask = frame
    lazy = da.from_array(image, chunks=64)
    for ccd in (lazy, NDData(lazy)):
        for call in (inpaint_cosmicrays, cosmicray_events):
            with pytest.raises(TypeError, match=r"what its compute\(\) gives"):
                call(ccd, mask)
