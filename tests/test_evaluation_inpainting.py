# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Metrics of filled pixels."""

import numpy as np
import pytest

from astro_deepcr.evaluation import inpainting_metrics

RNG = np.random.default_rng(5)
TRUTH = RNG.uniform(50, 150, (200, 200))
SIGMA = np.sqrt(TRUTH)
MASK = RNG.random(TRUTH.shape) < 0.3


def test_errors_in_units_of_the_local_noise():
    filled = TRUTH + SIGMA * (0.5 * RNG.standard_normal(TRUTH.shape) + 0.1)
    result = inpainting_metrics(filled, TRUTH, MASK, SIGMA)
    assert result["n"] == np.count_nonzero(MASK)
    assert result["rms"] == pytest.approx(np.hypot(0.5, 0.1), rel=0.02)
    assert result["bias"] == pytest.approx(0.1, abs=0.02)
    assert result["median_bias"] == pytest.approx(0.1, abs=0.02)
    assert "pull_std" not in result


def test_one_disaster_is_clipped():
    filled = np.where(MASK, TRUTH, 0)
    y, x = np.argwhere(MASK)[0]
    filled[y, x] += 1000 * SIGMA[y, x]
    result = inpainting_metrics(filled, TRUTH, MASK, SIGMA)
    n = result["n"]
    assert result["rms"] == pytest.approx(1000 / np.sqrt(n))
    assert result["clipped_rms"] == pytest.approx(10 / np.sqrt(n))


@pytest.mark.parametrize("scale", [0.5, 1, 2])
def test_pulls_tell_whether_the_stated_errors_are_right(scale):
    filled = TRUTH + 3 * RNG.standard_normal(TRUTH.shape)
    stated = np.full(TRUTH.shape, 3 * scale)
    result = inpainting_metrics(filled, TRUTH, MASK, SIGMA, stated)
    assert result["pull_mean"] == pytest.approx(0, abs=0.05 / scale)
    assert result["pull_std"] == pytest.approx(1 / scale, rel=0.03)
    assert result["pull_mad_std"] == pytest.approx(1 / scale, rel=0.03)


def test_stated_errors_may_be_those_of_a_reading():
    light = TRUTH + 3 * RNG.standard_normal(TRUTH.shape)
    stated = np.hypot(3, SIGMA)
    result = inpainting_metrics(light, TRUTH, MASK, SIGMA, stated)
    assert result["reading_pull_rms"] == pytest.approx(1, rel=0.03)
    assert result["pull_std"] < 0.5


def test_nothing_filled_gives_nan():
    nothing = np.zeros(TRUTH.shape, bool)
    result = inpainting_metrics(TRUTH, TRUTH, nothing, 1.0, SIGMA)
    assert result.pop("n") == 0
    assert np.isnan(list(result.values())).all()


def test_bad_input():
    with pytest.raises(ValueError, match=r"truth has shape \(3, 3\)"):
        inpainting_metrics(TRUTH, TRUTH[:3, :3], MASK, 1.0)
    with pytest.raises(ValueError, match="filled must be finite in all pixels of mask"):
        inpainting_metrics(np.full(TRUTH.shape, np.nan), TRUTH, MASK, 1.0)
    with pytest.raises(ValueError, match="sigma must be positive and finite"):
        inpainting_metrics(TRUTH, TRUTH, MASK, 0.0)
    with pytest.raises(ValueError, match="mask must be boolean"):
        inpainting_metrics(TRUTH, TRUTH, MASK * 0.5, 1.0)
