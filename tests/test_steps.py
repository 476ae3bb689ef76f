# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""The small steps between a frame and its mask: noise, masks, fills, tiles."""

import numpy as np
import pytest
import torch
from astropy import units as u
from astropy.io import fits
from hypothesis import given, settings
from hypothesis import strategies as st

from astro_deepcr.fill import fill_pixels, local_noise
from astro_deepcr.flags import COSMIC_RAY_BITS, HST, parse_flag_bit
from astro_deepcr.masks import find_cosmic_rays, grow_mask
from astro_deepcr.noise import Normalization, measure_normalization, sky_and_noise
from astro_deepcr.tiling import cut_tile, plan_tiles, stitch_tile
from astro_deepcr.training._batch import measure_images
from astro_deepcr.units import conversion_factor, parse_gain, parse_readnoise
from astro_deepcr.weights import get_weights


class TestNoise:
    def test_ignores_stars_gradients_and_masked_pixels(self):
        rng = np.random.default_rng(0)
        image = rng.normal(50, 3, (300, 300)) + np.linspace(0, 30, 300)
        image[rng.random(image.shape) < 0.05] += 1e4
        mask = np.zeros(image.shape, bool)
        mask[:, :100] = True
        image[mask] = np.nan
        sky, noise = sky_and_noise(image, mask)
        assert 60 < sky < 75
        assert noise == pytest.approx(3, rel=0.15)

    @pytest.mark.filterwarnings("error")
    def test_infinite_pixels_beside_each_other(self):
        image = np.random.default_rng(0).normal(50, 3, (30, 30)).astype(np.float32)
        image[4, 4:7] = np.inf
        image[8, 4:6] = [-3e38, 3e38]
        mask = np.abs(image) > 1e30
        assert sky_and_noise(image, mask)[1] == pytest.approx(3, rel=0.2)

    def test_unsigned_integers(self):
        image = np.random.default_rng(0).poisson(100, (80, 80))
        assert sky_and_noise(image.astype(np.uint16)) == sky_and_noise(image)

    def test_constant_and_quantised(self):
        assert sky_and_noise(np.full((9, 9), 4.0)) == (4, 1)
        few = np.zeros((50, 50))
        few[::5, ::5] = 1
        assert 0 < sky_and_noise(few)[1] < 1

    def test_hits_of_a_coarse_frame_are_no_noise(self):
        """Most of its pixels are equal, so that hits make most of the rest."""
        rng = np.random.default_rng(0)
        for image in (rng.poisson(0.05, (200, 200)), rng.normal(0, 0.3, (200, 200))):
            frame = np.rint(image).astype(np.float32)
            noise = sky_and_noise(frame)[1]
            assert 0.5 * frame.std() < noise < 2 * frame.std()
            frame[rng.random(frame.shape) < 0.03] = 3000
            hit = sky_and_noise(frame)[1]
            assert hit < 2.5 * noise
            measured = measure_images(torch.tensor(frame)[None], "sky-noise-asinh")
            assert float(measured[1]) == pytest.approx(hit, rel=1e-5)

    def test_one_pixel(self):
        assert sky_and_noise(np.array([[3.0]])) == (3, 1)

    @pytest.mark.parametrize("period", [3, 8, 16])
    def test_large_frames_are_sampled(self, period):
        rng = np.random.default_rng(1)
        image = rng.normal(50, 3, (3000, 1100)).astype(np.float32)
        image[::period] += 40  # orders of a spectrum
        mask = np.zeros(image.shape, bool)
        mask[:, 500:600] = True
        image[mask] = 1e9
        weights = get_weights("universal")
        sky, noise = sky_and_noise(image, mask)
        measured = measure_normalization(image, mask, weights)
        assert measured.offset == pytest.approx(sky, abs=0.1)
        assert measured.scale == pytest.approx(noise, rel=0.01)
        mask[50:] = True  # the few pixels that are left all count
        sky, noise = sky_and_noise(image, mask)
        measured = measure_normalization(image, mask, weights)
        assert (measured.offset, measured.scale) == (sky, noise)

    def test_large_frame_without_every_second_row(self):
        image = np.random.default_rng(0).normal(50, 3, (8192, 2050)).astype("f4")
        mask = np.zeros(image.shape, bool)
        mask[::2] = True
        found = measure_normalization(image, mask, get_weights("universal"))
        assert found.offset == pytest.approx(50, abs=0.1)
        assert found.scale == pytest.approx(3, abs=0.1)

    @pytest.mark.parametrize("turned", [False, True])
    def test_no_neighbours_in_the_rows(self, turned):
        """A column, and a frame without every second one: as large as when turned."""
        rng = np.random.default_rng(0)
        column, frame = rng.normal(100, 10, (4000, 1)), rng.normal(100, 10, (300, 300))
        hidden = np.zeros(frame.shape, bool)
        hidden[:, ::2] = True
        if turned:
            column, frame, hidden = column.T, frame.T, hidden.T
        assert sky_and_noise(column)[1] == pytest.approx(10, rel=0.05)
        assert sky_and_noise(frame, hidden)[1] == pytest.approx(10, rel=0.05)

    def test_normalization_inverts(self):
        values = np.array([-5.0, 0, 1e5], np.float32)
        for asinh in (False, True):
            normalization = Normalization(100.0, 7.0, asinh=asinh)
            back = normalization.inverse(normalization.forward(values))
            assert np.allclose(back, values, rtol=1e-4, atol=1e-3)


class TestMasks:
    def test_threshold_itself_is_flagged(self):
        """As in the evaluation, which thresholds by rate come from."""
        probability = np.array([[0.9, 0.9, 0.5, 0.2]])
        crmask = find_cosmic_rays(probability, 0.9, neighbor_threshold=0.5)
        assert crmask.tolist() == [[True, True, True, False]]

    def test_chain_of_neighbors_stops_at_excluded_pixels(self):
        probability = np.array([[0.9, 0.3, 0.3, 0.3]])
        exclude = np.array([[False, False, True, False]])
        crmask = find_cosmic_rays(
            probability, 0.5, neighbor_threshold=0.2, exclude=exclude
        )
        assert crmask.tolist() == [[True, True, False, False]]

    @pytest.mark.parametrize(("radius", "count"), [(0.5, 1), (1, 5), (1.5, 9), (2, 13)])
    def test_radius(self, radius, count):
        mask = np.zeros((9, 9), bool)
        mask[4, 4] = True
        assert grow_mask(mask, radius).sum() == count

    @pytest.mark.parametrize(
        ("options", "error"),
        [
            ({"threshold": -0.1}, ValueError),
            ({"threshold": "a"}, TypeError),
            ({"grow": -1}, ValueError),
            ({"grow": np.nan}, ValueError),
            ({"neighbor_threshold": 0.7}, ValueError),
            ({"exclude": np.zeros((2, 2), bool)}, ValueError),
            ({"protect": np.zeros((9, 9))}, TypeError),
        ],
    )
    def test_wrong_arguments(self, options, error):
        probability = np.zeros((9, 9), np.float32)
        with pytest.raises(error, match=next(iter(options))):
            find_cosmic_rays(probability, **{"threshold": 0.5, **options})

    def test_masks_of_bits(self):
        probability = np.zeros((9, 9), np.float32)
        probability[4, 3:6] = 0.9
        bits = np.zeros((9, 9), int)
        bits[4, 4] = 4
        found = find_cosmic_rays(
            probability, 0.5, exclude=bits, protect=bits.T.tolist()
        )
        assert found.dtype == bool
        assert np.argwhere(found).tolist() == [[4, 3], [4, 5]]

    @pytest.mark.parametrize("dtype", ["uint8", "int16", "int64"])
    def test_integers_grow_as_booleans(self, dtype):
        mask = np.random.default_rng(0).random((30, 40)) < 0.05
        grown = grow_mask(mask.astype(dtype), 1)
        assert np.array_equal(grown, grow_mask(mask, 1))
        assert mask.sum() < grown.sum() < mask.size

    def test_negative_radius(self):
        with pytest.raises(ValueError, match="radius=-1 must be between"):
            grow_mask(np.ones((2, 2), bool), -1)


class TestFlags:
    def test_observatories(self):
        assert (int(HST.CR_DRIZZLE), int(HST.CR_SPLIT)) == (4096, 8192)
        assert COSMIC_RAY_BITS["jwst"] == COSMIC_RAY_BITS["roman"] == 4
        assert parse_flag_bit("BANZAI") == 8
        assert parse_flag_bit(np.int64(2)) == 2


class TestUnits:
    def test_all_ways(self):
        ways = {"gain": 4.0, "exposure_time": 10.0}
        e, adu, s = u.electron, u.adu, u.s
        assert conversion_factor(adu / s, e, **ways) == 40
        assert conversion_factor(e, adu, **ways) == 0.25
        assert conversion_factor(e / s, adu, **ways) == 2.5
        assert conversion_factor(e / u.min, e, **ways) == pytest.approx(1 / 6)
        assert conversion_factor(u.ct, adu) == 1
        assert conversion_factor(u.ph, e) == 1
        assert conversion_factor(u.Jy, None) == 1
        assert conversion_factor(None, e) == 1

    def test_gain_of_the_header(self):
        assert parse_gain(None, {"GAIN": 1.6}) == 1.6
        assert parse_gain("MYGAIN", {"GAIN": 9, "MYGAIN": 2}) == 2
        with pytest.raises(ValueError, match="none was given"):
            parse_gain(None, {"GAIN": "high"})
        assert parse_readnoise(3 * u.electron) == 3
        assert parse_readnoise("RN", meta={"RN": 4.5}) == 4.5
        with pytest.raises(ValueError, match="readnoise='RN': the header has no such"):
            parse_readnoise("RN", meta={})

    @pytest.mark.parametrize(
        ("comment", "seconds"),
        [("[d] time on source", 86400), ("[s]", 1), ("[ms] shutter", 1e-3), ("", 1)],
    )
    def test_unit_of_the_comment(self, comment, seconds):
        header = fits.Header(
            [("EXPOSURE", 2.0, comment), ("GAIN", 3.0, "[ms] no gain")]
        )
        rate = u.electron / u.s
        found = conversion_factor(rate, u.electron, meta=header)
        assert found == pytest.approx(2 * seconds)
        found = conversion_factor(
            rate, u.electron, meta=header, exposure_time="exposure"
        )
        assert found == pytest.approx(2 * seconds)
        assert parse_gain(None, header) == 3

    def test_true_is_no_number(self):
        with pytest.raises(ValueError, match="gain=True must be one positive"):
            parse_gain(True)
        with pytest.raises(ValueError, match="readnoise=True must be a number"):
            parse_readnoise(True)


class TestFill:
    @pytest.fixture
    def plane(self):
        y, x = np.mgrid[:30, :40]
        return (2 * x + 3 * y).astype(np.float32)

    @pytest.mark.parametrize("method", ["median", "mean", "idw", "biharmonic"])
    def test_plane(self, plane, method):
        hit = np.zeros(plane.shape, bool)
        hit[10, 12] = hit[20, 25:27] = True
        image = np.where(hit, 1e6, plane)
        filled, std = fill_pixels(image.astype(np.float32), hit, method=method)
        assert np.allclose(filled, plane[hit], atol=2)
        assert np.all(std > 0)

    @pytest.mark.parametrize("method", ["median", "mean", "idw", "biharmonic"])
    def test_bad_pixels_and_nan_say_nothing(self, plane, method):
        hit = np.zeros(plane.shape, bool)
        hit[10:12, 10:12] = True
        bad = np.zeros(plane.shape, bool)
        bad[8:10, 8:14] = True
        image = plane.copy()
        image[bad] = np.nan
        filled, _ = fill_pixels(image, hit, bad, method)
        assert np.allclose(filled, plane[hit], atol=6)

    @pytest.mark.parametrize("method", ["median", "mean", "idw"])
    def test_each_is_what_it_is_called(self, method):
        image, hit = np.zeros((5, 5), np.float32), np.zeros((5, 5), bool)
        image[2, 3], hit[2, 2] = 24, True
        y, x = np.mgrid[-2:3, -2:3]
        distance2 = (y**2 + x**2)[~hit]
        told = {"median": 0, "mean": 1, "idw": 24 / np.sum(1 / distance2)}
        assert fill_pixels(image, hit, method=method)[0] == pytest.approx(told[method])

    def test_large_masked_parts_are_not_solved(self, monkeypatch):
        """They would be one system of equations, with a hit beside them."""
        from skimage import restoration

        solve, numbers = restoration.inpaint_biharmonic, []

        def count(image, mask, **how):
            numbers.append(np.count_nonzero(mask))
            return solve(image, mask, **how)

        monkeypatch.setattr(restoration, "inpaint_biharmonic", count)
        y, x = np.mgrid[:120, :120]
        image = (100 + 20 * np.sin(x / 9) * np.cos(y / 7)).astype(np.float32)
        image += np.random.default_rng(0).normal(0, 0.1, image.shape).astype("f4")
        hit, bad = np.zeros((2, *image.shape), bool)
        bad[:60, :60] = True
        hit[30, 60:62] = hit[90, 90:93] = True
        filled, _ = fill_pixels(image, hit, bad, "biharmonic")
        assert numbers[0] < 200
        whole = solve(np.where(hit | bad, 0, image), hit | bad)
        assert np.allclose(filled[2:], image[hit][2:], atol=0.5)
        assert np.allclose(filled, whole[hit], atol=1)

    def test_window_grows(self, plane):
        hit = np.zeros(plane.shape, bool)
        hit[5:25, 5:25] = True
        filled, _ = fill_pixels(plane, hit)
        assert np.isfinite(filled).all()
        assert plane.min() < filled.min() < filled.max() < plane.max()

    def test_deep_inside_a_block(self):
        image = np.random.default_rng(0).normal(7, 1, (100, 100)).astype(np.float32)
        hit = np.ones(image.shape, bool)
        hit[:3] = False
        filled, std = fill_pixels(image, hit)
        assert np.all(np.abs(filled - 7) < 1.5)
        assert std[-1] == pytest.approx(1, rel=0.2)

    @pytest.mark.parametrize("sigma", [0.3, 1, 10])
    def test_stated_deviation_of_a_reading(self, sigma):
        """Also of coarse values."""
        rng = np.random.default_rng(2)
        image = np.rint(rng.normal(0, sigma, (300, 300))).astype(np.float32)
        hit = rng.random(image.shape) < 0.004
        filled, std = fill_pixels(image, hit)
        error = np.std(filled - image[hit])
        assert np.sqrt(np.mean(std**2)) == pytest.approx(error, rel=0.15)

    def test_noise_of_neighbours_is_not_exaggerated(self):
        rng = np.random.default_rng(3)
        image = rng.normal(0, 10, (400, 400)).astype(np.float32)
        hit = rng.random(image.shape) < 0.003
        noise = local_noise(image, hit)
        assert np.sqrt(np.mean(noise**2)) == pytest.approx(10, rel=0.05)

    def test_batches_do_not_matter(self, plane, monkeypatch):
        hit = np.random.default_rng(0).random(plane.shape) < 0.3
        whole = fill_pixels(plane, hit)
        monkeypatch.setattr("astro_deepcr.fill._BATCH_NUMBERS", 100)
        assert np.array_equal(whole, fill_pixels(plane, hit))

    @pytest.mark.parametrize("method", ["median", "mean", "idw"])
    def test_many_pixels_are_filled_like_one(self, method):
        rng = np.random.default_rng(5)
        image = rng.normal(100, 5, (120, 90)).astype(np.float32)
        bad = rng.random(image.shape) < 0.4
        bad[30:80] = True
        bad[50:60, 40:43] = image[90, 40] = False
        values = np.full(image.shape, np.nan)
        values[bad] = fill_pixels(image, bad, method=method)[0]
        some = bad & (rng.random(bad.shape) < 0.01)
        for row, column in np.argwhere(some):
            one = np.zeros(bad.shape, bool)
            one[row, column] = True
            expected = fill_pixels(image, one, bad & ~one, method)[0]
            assert values[row, column] == pytest.approx(float(expected[0]), rel=1e-6)

    @pytest.mark.parametrize("method", ["idw", "mean", "median"])
    def test_small_units(self, method):
        image = np.random.default_rng(0).normal(100, 10, (40, 40)).round(-1)
        hit = np.zeros(image.shape, bool)
        hit[20, 10:14] = True
        expected = fill_pixels(image.astype(np.float32), hit, method=method)
        found = fill_pixels((image * 1e-26).astype(np.float32), hit, method=method)
        assert np.ptp(expected[1]) > 0.5
        for one, other in zip(found, expected, strict=True):
            assert one * 1e26 == pytest.approx(other, rel=1e-3)


class TestTiling:
    @settings(max_examples=100, deadline=None)
    @given(
        shape=st.tuples(st.integers(1, 90), st.integers(1, 90)),
        tile_size=st.integers(40, 100),
        halo=st.integers(0, 12),
        stride=st.sampled_from([1, 2, 4]),
    )
    def test_every_pixel_once_with_its_halo(self, shape, tile_size, halo, stride):
        image = np.arange(np.prod(shape), dtype=np.float32).reshape(shape)
        output = np.full(shape, np.nan, np.float32)
        for tile in plan_tiles(shape, tile_size, halo, stride):
            for area, window, length in zip(tile.area, tile.window, shape, strict=True):
                assert window.start % stride == (window.stop % stride) == 0
                assert 0 <= window.start <= max(area.start - halo, 0)
                assert min(area.stop + halo, length) <= window.stop < length + stride
                assert window.stop - window.start <= max(tile_size, 2 * halo + stride)
            assert np.isnan(output[tile.area]).all()
            result = cut_tile(image, tile)[tile.inside]
            stitch_tile(output, tile, result, tile.inside)
        assert np.array_equal(output, image)

    @given(length=st.integers(40, 3000))
    def test_tiles_of_one_size(self, length):
        tiles = plan_tiles((length, 1), 256, 10, 2)
        sizes = {tile.window[0].stop - tile.window[0].start for tile in tiles}
        assert len(sizes) == 1

    def test_channels(self):
        image = np.arange(2 * 5 * 7).reshape(2, 5, 7)
        (tile,) = plan_tiles((5, 7), 100, 12, 4)
        cutout = cut_tile(image, tile)
        assert cutout.shape == (2, 8, 8)
        assert np.array_equal(cutout[:, :5, :7], image)
        assert np.array_equal(cutout[:, 5], cutout[:, 4])
