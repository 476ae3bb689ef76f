# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Stated deviations that are checked on pixels of the same frame."""

import numpy as np
import pytest
from astropy import units as u
from astropy.nddata import (
    CCDData,
    InverseVariance,
    StdDevUncertainty,
    UnknownUncertainty,
    VarianceUncertainty,
)

from astro_deepcr import cosmicray_deepcr, inpaint_cosmicrays
from astro_deepcr.apply import replace_hit
from astro_deepcr.deviations import (
    Correction,
    error_beside,
    hide_pixels,
    measure_correction,
)
from astro_deepcr.images import parse_image
from astro_deepcr.simulate import make_cosmicray_ccd
from astro_deepcr.weights import get_weights

N = 20_000


def simulated(rng, true=4.0, stated=2.0, noise=1.0):
    """Return errors, of half of which a network is surer than of the noise."""
    std = np.where(np.arange(N) % 2, stated, 0.1 * noise)
    light = rng.normal(0, np.where(np.arange(N) % 2, true, 0.1 * noise))
    error = light + rng.normal(0, noise, N)
    return error, np.zeros(N), std, np.full(N, noise)


@pytest.mark.parametrize("true", [1.5, 2.0, 4.0, 6.0])
def test_large_deviations_become_those_of_the_errors(true):
    correction = measure_correction(*simulated(np.random.default_rng(0), true))
    # Of 2 beside a noise of 1, some is taken for granted.
    assert correction.apply(20.0) == pytest.approx(10 * true, rel=0.1)
    assert correction.apply(2.0) == pytest.approx(true, rel=0.25)


def test_small_deviations_cannot_be_judged_and_stay():
    correction = measure_correction(*simulated(np.random.default_rng(1)))
    assert correction.apply(0.1) == pytest.approx(0.1, rel=0.02)


@pytest.mark.parametrize("wrong", [0.01, 0.3, 2.0, 30.0])
def test_a_common_factor_of_the_uncertainty_does_no_harm(wrong):
    error, beside, std, reading = simulated(np.random.default_rng(2))
    right = measure_correction(error, beside, std, reading)
    other = measure_correction(error, beside, std, wrong * reading)
    assert other.factor == pytest.approx(right.factor, rel=0.05)
    assert other.noise == pytest.approx(right.noise, rel=0.05)


def test_hidden_stars_count_and_hot_pixels_do_not():
    error, beside, std, reading = simulated(np.random.default_rng(3), 2.0, 2.0)
    rare = np.arange(0, N, 200)  # of those that the network is sure of
    error[rare] = 8.0
    assert measure_correction(error, beside, std, reading).extra < 0.01
    beside[rare] = 4.0
    extra = measure_correction(error, beside, std, reading).extra
    assert extra == pytest.approx(63 * rare.size / (N / 2), rel=0.1)
    beside[rare[1:]] = 0.0  # one alone may be chance
    alone = measure_correction(error, beside, std, reading).extra
    assert alone == pytest.approx(0.25 * extra / rare.size, rel=0.1)


def test_one_huge_error_does_not_decide():
    error, beside, std, reading = simulated(np.random.default_rng(4), 2.0, 2.0)
    error[:2], beside[:2] = 1e6, 1e6
    correction = measure_correction(error, beside, std, reading)
    assert correction.factor == pytest.approx(1, abs=0.1)
    assert correction.extra < 0.05


@pytest.mark.parametrize(
    "bad", [0.0, -1.0, np.nan, np.inf, 1e-200, np.finfo(float).max]
)
def test_pixels_without_a_reading_deviation_are_left_out(bad):
    error, beside, std, reading = simulated(np.random.default_rng(5))
    right = measure_correction(error, beside, std, reading)
    extended = [np.append(one, one[:500]) for one in (error, beside, std, reading)]
    extended[0][N:], extended[3][N:] = 1e9, bad
    assert measure_correction(*extended) == right
    extended[3][:] = bad
    assert measure_correction(*extended) == Correction()


def test_hidden_pixels_have_the_shapes_of_the_hit_ones():
    hit = np.zeros((300, 520), bool)
    hit[100, 50:57] = True
    usable = ~hit
    usable[:, 300:310] = False
    values = np.random.default_rng(0).normal(100, 5, hit.shape)
    values[200:203, 100:103] = 10_000
    sets = list(hide_pixels(hit, usable, values))
    assert 1 < len(sets) <= 8
    for hidden in sets:
        assert not (hidden & ~usable).any()
        assert not hidden[values == 10_000].any()
        assert 1000 < hidden.sum() < 0.1 * hidden.size
        # Horizontal streaks: nearly all have a neighbour in the row.
        beside = hidden[:, :-2] | hidden[:, 2:]
        assert beside[hidden[:, 1:-1]].mean() > 0.9
    again = list(hide_pixels(hit, usable, values))
    assert all(np.array_equal(a, b) for a, b in zip(sets, again, strict=True))


def test_of_a_large_frame_a_part_is_looked_at():
    hit = np.zeros((3000, 2000), bool)
    hit[::50, ::40] = True
    (hidden,) = hide_pixels(hit, ~hit, np.zeros(hit.shape))
    rows, columns = np.nonzero(hidden)
    assert len(set(zip(rows // 256, columns // 256, strict=True))) <= 16


def test_the_blocks_are_where_the_frame_is():
    image = np.full((2304, 2304), np.nan, np.float32)
    image[1030:1210, 1030:1210] = np.random.default_rng(0).normal(100, 10, (180, 180))
    hit = np.zeros(image.shape, bool)
    hit[1080, 1080:1088] = True
    usable = np.isfinite(image) & ~hit
    assert sum(hidden.sum() for hidden in hide_pixels(hit, usable, image)) > 1000


@pytest.mark.parametrize("shape", [(1, 3), (2, 2), (1, 1000), (1000, 1), (128, 128)])
def test_frames_with_hardly_a_pixel_to_hide(shape):
    image = np.full(shape, np.nan)
    image[:4, :4] = 100 + np.arange(16).reshape(4, 4)[: shape[0], : shape[1]]
    hit = np.zeros(shape, bool)
    hit.flat[1] = True
    std = StdDevUncertainty(np.full(shape, 5.0))
    filled = inpaint_cosmicrays(CCDData(image, unit="adu", uncertainty=std), hit)
    assert np.isfinite(filled.data.flat[1])
    assert 0 < filled.uncertainty.array.flat[1] < 100


def test_what_is_left_tells_of_the_frame():
    hit = np.ones((40, 40), bool)
    hit[20, 20:24] = hit[3, 7] = False
    for hidden in hide_pixels(hit, ~hit, np.zeros(hit.shape)):
        assert hidden.sum() <= 2
    image = np.random.default_rng(0).normal(100, 5, hit.shape)
    std = StdDevUncertainty(np.full(hit.shape, 5.0))
    filled = inpaint_cosmicrays(CCDData(image, unit="adu", uncertainty=std), hit)
    assert np.isfinite(filled.data).all()
    assert (filled.uncertainty.array > 0).all()


def test_neighbours_on_the_same_side():
    hidden, known = np.zeros((5, 6), bool), np.ones((5, 6), bool)
    values = np.zeros((5, 6))
    hidden[0, 0] = hidden[2, 3] = hidden[4, 5] = True
    values[0, 0], values[0, 1] = 9, 4
    values[2, 3], values[2, 2], values[2, 4] = -9, -3, np.nan
    values[4, 5], values[3, 5] = 9, -5
    known[2, 4] = False
    beside = error_beside(hidden, values, known, np.zeros(3))
    assert beside.tolist() == [4, 3, 0]


@pytest.fixture(scope="module")
def cluster():
    ccd, truth = make_cosmicray_ccd(
        (256, 256), seed=9, scene="cluster", sky=40, exposure_time=1500
    )
    return ccd, truth, truth.mask | truth.ignore


def test_the_check_leaves_the_values(cluster):
    ccd, _, mask = cluster
    filled = inpaint_cosmicrays(ccd, mask)
    assert filled.uncertainty.array[mask].min() > 0
    ccd = CCDData(ccd, uncertainty=UnknownUncertainty(ccd.uncertainty.array))
    with pytest.warns(match="UnknownUncertainty"):
        same = inpaint_cosmicrays(ccd, mask)
    assert np.array_equal(filled.data, same.data)


def test_deviations_in_clusters_are_nearer_to_the_errors():
    """Than those that the network states, in all frames together."""
    entry, pulls = get_weights(None, task="inpaint"), []
    how = {"scene": "cluster", "sky": 40, "exposure_time": 1500}
    for seed in (14, 15, 16):
        ccd, truth = make_cosmicray_ccd((256, 256), seed=seed, **how)
        mask = truth.mask | truth.ignore
        filled = inpaint_cosmicrays(ccd, mask)
        pixels = parse_image(ccd)
        _, stated = replace_hit(pixels, mask, entry, lambda _: 1.0, floor=np.zeros_like)
        both = np.array([stated, filled.uncertainty.array[mask]])
        error = (filled.data - truth.clean.data)[truth.mask]
        pulls.append(error / both[:, truth.mask[mask]])
    stated, checked = np.log(np.concatenate(pulls, axis=1).std(axis=1))
    assert abs(checked) < abs(stated)


@pytest.mark.parametrize("kind", [VarianceUncertainty, InverseVariance])
def test_all_kinds_of_uncertainty_give_the_same(cluster, kind):
    ccd, _, mask = cluster
    right = inpaint_cosmicrays(ccd, mask).uncertainty.array[mask]
    power = {VarianceUncertainty: 2, InverseVariance: -2}[kind]
    array = ccd.uncertainty.array.astype(float) ** power
    other = CCDData(ccd.data, unit=ccd.unit, mask=ccd.mask, uncertainty=kind(array))
    std = inpaint_cosmicrays(other, mask).uncertainty.array[mask] ** (1 / power)
    assert np.allclose(std, right, rtol=1e-3)


def test_unit_of_the_uncertainty(cluster):
    ccd, _, mask = cluster
    right = inpaint_cosmicrays(ccd, mask).uncertainty.array[mask]
    array = ccd.uncertainty.array / 1000
    std = StdDevUncertainty(array, unit=u.Unit(1000 * ccd.unit))
    other = CCDData(ccd.data, unit=ccd.unit, mask=ccd.mask, uncertainty=std)
    assert np.allclose(
        1000 * inpaint_cosmicrays(other, mask).uncertainty.array[mask], right, rtol=1e-3
    )


def test_cosmic_rays_that_are_not_in_the_mask_are_no_hidden_stars():
    ccd, truth = make_cosmicray_ccd(
        (256, 256), seed=1, scene="deep field", sky=40, exposure_time=1500
    )
    mask = np.random.default_rng(0).random(ccd.shape) < 0.005
    mask[:, [30, 120, 200]] = True
    mask &= ~(truth.mask | truth.ignore)
    clean = CCDData(ccd, mask=ccd.mask | truth.mask | truth.ignore)
    right = inpaint_cosmicrays(clean, mask).uncertainty.array[mask]
    found = inpaint_cosmicrays(ccd, mask).uncertainty.array[mask]
    assert np.median(right) / 2 < np.median(found) < 2 * np.median(right)


@pytest.mark.parametrize("value", [0.0, np.nan, -3.0, 1e-200, np.finfo(float).max])
def test_an_uncertainty_that_says_nothing(cluster, value):
    ccd, _, mask = cluster
    array = np.full(ccd.shape, value)
    other = CCDData(ccd.data, unit=ccd.unit, uncertainty=StdDevUncertainty(array))
    filled = inpaint_cosmicrays(other, mask)
    assert (filled.uncertainty.array[mask] > 0).all()
    assert (filled.uncertainty.array[mask] < 1e4).all()


def test_a_new_uncertainty_is_checked_like_an_old_one(cluster):
    ccd, _, _ = cluster
    bare = CCDData(ccd.data, unit=ccd.unit, mask=ccd.mask)
    new = cosmicray_deepcr(bare, readnoise=5.0, add_uncertainty=True)
    bare.uncertainty = StdDevUncertainty(
        np.sqrt(np.maximum(bare.data, 0) + 5.0**2).astype(np.float32)
    )
    old = cosmicray_deepcr(bare)
    hit = new.mask & ~np.asarray(ccd.mask, bool)
    assert hit.sum() > 100
    assert np.allclose(new.uncertainty.array[hit], old.uncertainty.array[hit], rtol=0.1)
