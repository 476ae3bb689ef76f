# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Pixel metrics against scikit-learn, their memory, and bad input."""

import subprocess
import sys

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from astro_deepcr.evaluation import PixelScores, reliability_curve

sklearn_metrics = pytest.importorskip("sklearn.metrics")


def make_frames(ties, dtype=np.float32, n_frames=3, shape=(60, 70)):
    """Scores that know a little of the truth, with or without ties."""
    rng = np.random.default_rng(42)
    frames = []
    for _ in range(n_frames):
        truth = rng.random(shape) < 0.05
        score = rng.beta(1, 6, shape) + 0.4 * truth * rng.random(shape)
        if ties:
            score = np.round(score, 2)
        frames.append((score.astype(dtype), truth, rng.random(shape) < 0.2))
    return frames


def flat(frames):
    """Scores and truth of all pixels that count."""
    score = np.concatenate([s[~i] for s, _, i in frames])
    return np.concatenate([t[~i] for _, t, i in frames]), score


def gather(frames):
    scores = PixelScores()
    for frame in frames:
        scores.add(*frame)
    return scores


@pytest.fixture(params=[(False, np.float32), (True, np.float32), (True, np.float64)])
def frames(request):
    return make_frames(*request.param)


def test_roc_is_that_of_scikit_learn(frames):
    truth, score = flat(frames)
    fpr, tpr, thresholds = sklearn_metrics.roc_curve(
        truth, score, drop_intermediate=False
    )
    curve = gather(frames).curve()
    at = np.searchsorted(-thresholds, -curve.thresholds.astype(float))
    assert_array_equal(thresholds[at], curve.thresholds)
    assert_allclose(curve.tpr, tpr[at], rtol=0, atol=1e-12)
    assert_allclose(curve.fpr, fpr[at], rtol=0, atol=1e-12)
    assert curve.auc == pytest.approx(
        sklearn_metrics.roc_auc_score(truth, score), abs=1e-9
    )
    x, y = curve.roc()
    assert np.all(np.diff(x) >= 0)
    assert np.all(np.diff(y) >= 0)


def test_precision_and_recall_are_those_of_scikit_learn(frames):
    truth, score = flat(frames)
    precision, recall, thresholds = sklearn_metrics.precision_recall_curve(truth, score)
    curve = gather(frames).curve()
    at = np.searchsorted(thresholds, curve.thresholds)
    assert_allclose(curve.precision, precision[at], rtol=0, atol=1e-12)
    assert_allclose(curve.recall, recall[at], rtol=0, atol=1e-12)
    assert curve.average_precision == pytest.approx(
        sklearn_metrics.average_precision_score(truth, score), abs=1e-9
    )
    f1 = [sklearn_metrics.f1_score(truth, score >= t) for t in curve.thresholds[::40]]
    assert np.max(f1) <= curve.best_f1
    best = sklearn_metrics.f1_score(truth, score >= curve.best_f1_threshold)
    assert curve.best_f1 == pytest.approx(best, abs=1e-12)
    assert curve.best_f1 == pytest.approx(
        np.max(2 * precision * recall / (precision + recall)), abs=1e-12
    )


@pytest.mark.parametrize("fpr", [0, 1e-3, 0.01, 0.3, 1])
def test_tpr_at_is_the_largest_that_keeps_the_fpr(frames, fpr):
    truth, score = flat(frames)
    curve = gather(frames).curve()
    fprs, tprs, _ = sklearn_metrics.roc_curve(truth, score, drop_intermediate=False)
    assert curve.tpr_at(fpr) == pytest.approx(tprs[fprs <= fpr].max(), abs=1e-12)
    threshold = curve.threshold_at(fpr)
    if np.isfinite(threshold):
        assert np.mean(score[~truth] >= threshold) <= fpr
        assert np.mean(score[truth] >= threshold) == curve.tpr_at(fpr)
    else:
        assert curve.tpr_at(fpr) == 0


def test_tolerance_leaves_out_the_pixels_that_touch():
    frames = make_frames(ties=True)
    curve = gather(frames).curve(tolerance=1)
    from skimage.morphology import dilation

    touching = [(s, t, i | (dilation(t, np.ones((3, 3))) & ~t)) for s, t, i in frames]
    truth, score = flat(touching)
    assert curve.n_negative == np.count_nonzero(~truth)
    assert curve.average_precision == pytest.approx(
        sklearn_metrics.average_precision_score(truth, score), abs=1e-9
    )


def test_rates_at_any_threshold(frames):
    truth, score = flat(frames)
    tpr, fpr, precision = gather(frames).rates(0.255)
    flagged = score >= 0.255
    assert tpr == pytest.approx(np.mean(flagged[truth]), abs=1e-12)
    assert fpr == pytest.approx(np.mean(flagged[~truth]), abs=1e-12)
    assert precision == pytest.approx(np.mean(truth[flagged]), abs=1e-12)
    assert np.isnan(gather(frames).rates(2.0)[2])


def test_a_mask_is_one_point_of_the_curve():
    scores = PixelScores()
    scores.add([[True, False, True, False]], [[True, True, False, False]])
    curve = scores.curve()
    assert_array_equal(curve.tpr_at([0.1, 0.5, 1]), [0, 0.5, 1])
    assert curve.auc == 0.5


def test_reliability_of_calibrated_and_of_overconfident_scores():
    from sklearn.calibration import calibration_curve

    rng = np.random.default_rng(1)
    score = rng.random((300, 300)).astype(np.float32)
    truth = rng.random(score.shape) < score
    scores = PixelScores()
    scores.add(score, truth)
    table = reliability_curve(scores, bins=8)
    observed, stated = calibration_curve(truth.ravel(), score.ravel(), n_bins=8)
    assert_allclose(table["observed"], observed, atol=1e-9)
    assert_allclose(table["probability"], stated, atol=1e-6)
    assert table.meta["ece"] < 0.02
    overconfident = PixelScores()
    overconfident.add(score > 0.5, truth)
    assert reliability_curve(overconfident).meta["ece"] == pytest.approx(0.25, abs=0.02)


def test_no_cosmic_ray_gives_nan_but_keeps_the_false_positives():
    scores = PixelScores()
    scores.add(np.linspace(0, 1, 9).reshape(3, 3), np.zeros((3, 3), bool))
    curve = scores.curve()
    values = (curve.auc, curve.average_precision, curve.best_f1, curve.tpr_at(0.1))
    assert np.isnan([*values, curve.threshold_at(0.1)]).all()
    assert scores.rates(0.5)[1] == pytest.approx(5 / 9)


def test_no_other_pixel_gives_nan():
    scores = PixelScores()
    scores.add(np.full((2, 2), 0.5), np.ones((2, 2), bool))
    curve = scores.curve()
    assert np.isnan([curve.auc, curve.tpr_at(0.1)]).all()
    assert curve.average_precision == 1


def test_all_ignored_is_an_error():
    scores = PixelScores()
    scores.add(np.zeros((3, 3)), np.eye(3, dtype=bool), np.ones((3, 3), bool))
    with pytest.raises(ValueError, match=r"9 pixels were added, all ignored.*inverted"):
        scores.curve()


def test_nan_score_is_an_error_unless_ignored():
    score, truth = np.zeros((3, 3)), np.eye(3, dtype=bool)
    score[0, 1] = np.nan
    with pytest.raises(ValueError, match=r"score is NaN or infinite in 1 pixels"):
        PixelScores().add(score, truth)
    scores = PixelScores()
    scores.add(score, truth, np.isnan(score))
    assert scores.curve().n_negative == 5


@pytest.mark.parametrize(
    ("arguments", "error", "match"),
    [
        ((np.zeros((3, 4)), np.eye(3) > 0), ValueError, r"score has shape \(3, 4\)"),
        ((np.zeros(3), np.ones(3, bool)), ValueError, "truth must be a non-empty 2-D"),
        ((np.zeros((3, 3)), np.eye(3)), ValueError, "truth must be boolean"),
        (
            (np.zeros((3, 3)), 4 * np.eye(3, dtype=int)),
            ValueError,
            "it is int64 from 0 to 4",
        ),
        ((np.zeros((3, 3)), -np.eye(3, dtype=int)), ValueError, "from -1 to 0"),
        ((np.zeros((3, 3), complex), np.eye(3) > 0), TypeError, "it is complex128"),
        (
            (np.zeros((3, 3)), np.eye(3) > 0, np.eye(2) > 0),
            ValueError,
            r"ignore has shape \(2, 2\)",
        ),
    ],
)
def test_bad_frames(arguments, error, match):
    with pytest.raises(error, match=match):
        PixelScores().add(*arguments)


def test_bad_options():
    scores = gather(make_frames(ties=True))
    with pytest.raises(ValueError, match="tolerance must be 0 or 1 pixel"):
        scores.curve(tolerance=2)
    with pytest.raises(ValueError, match="fpr must lie between 0 and 1"):
        scores.curve().tpr_at(5)
    scores.add([[4.5]], [[True]])
    with pytest.raises(ValueError, match=r"reach from 0.0 to 4.5"):
        reliability_curve(scores)
    scores = PixelScores()
    scores.add([[0.75, 0.7]], [[True, False]])
    with pytest.raises(ValueError, match="none of the scores"):
        reliability_curve(scores, bins=[0, 0.5])


def test_caller_arrays_are_not_modified():
    score, truth, ignore = make_frames(ties=False)[0]
    copies = score.copy(), truth.copy(), ignore.copy()
    gather([(score, truth, ignore)]).curve()
    for array, copy in zip((score, truth, ignore), copies, strict=True):
        assert_array_equal(array, copy)


MEMORY = """
import resource, sys, numpy as np
from astro_deepcr.evaluation import PixelScores
def peak():
    unit = 1024**2 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit
rng = np.random.default_rng(0)
before, scores = peak(), PixelScores()
score = rng.random(({side}, {side}), np.float32)
truth = score > 0.97
scores.add(score, truth, rng.random(score.shape, np.float32) < 0.01)
for tolerance in (0, 1):
    curve = scores.curve(tolerance)
    curve.average_precision, curve.best_f1, curve.auc, curve.tpr_at(1e-3)
print((peak() - before) * 1024**2 / score.size)
"""


def test_memory_for_each_pixel_stays_small():
    """16 Mpix below 2 GB leaves 128 bytes a pixel, of which half is plenty."""
    pytest.importorskip("resource")
    code = MEMORY.format(side=2048)
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert float(done.stdout) < 64


def test_thresholds_are_those_of_the_scores():
    """0.9 in float32 is a little less than 0.9."""
    scores = PixelScores()
    scores.add(np.float32([[0.9, 0.0, 0.0]]), np.array([[True, False, False]]))
    assert scores.rates(0.9)[0] == 1
