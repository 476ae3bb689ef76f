# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""From logits to probabilities that mean what they say, and their error rates."""

import numpy as np
from scipy.optimize import minimize
from scipy.special import expit

from ..evaluation.metrics import PixelScores, reliability_curve
from .losses import cross_entropy

__all__ = ["fit_temperature", "measure", "operating_points"]

# False-positive rates of the table; those with fewer false positives are left out.
_RATES = tuple(float(m * 10.0**e) for e in (-6, -5, -4, -3, -2) for m in (1, 2, 5))
_FEWEST_FALSE_POSITIVES = 10


def fit_temperature(logits, target, weight):
    """
    Find the line that turns logits into those of calibrated probabilities [1]_.

    Parameters
    ----------
    logits : (N, 1, rows, columns) `torch.Tensor`
        Of validation data.
    target, weight : (N, rows, columns) `torch.Tensor`
        Their labels.

    Returns
    -------
    slope, shift : float
        ``slope * logit + shift`` has the smallest cross-entropy. The slope is one
        over the temperature.

    References
    ----------
    .. [1] Guo, C., et al. 2017, "On Calibration of Modern Neural Networks", ICML.

    Examples
    --------
    >>> import torch
    >>> from astro_deepcr.training.calibration import fit_temperature
    >>> generator = torch.Generator().manual_seed(0)
    >>> logits = torch.randn(1, 1, 300, 300, generator=generator)
    >>> target = torch.bernoulli(logits[:, 0].sigmoid(), generator=generator)
    >>> slope, shift = fit_temperature(logits * 4, target, torch.ones_like(target))
    >>> round(slope, 2), abs(round(shift, 1))
    (0.24, 0.0)
    """
    used = weight > 0
    arrays = (logits[:, 0][used], target[used], weight[used] / weight.sum())
    x, y, w = (array.double().numpy() for array in arrays)

    def loss(line):
        z = line[0] * x + line[1]
        return w @ (np.logaddexp(0, z) - y * z)

    def gradient(line):
        error = w * (expit(line[0] * x + line[1]) - y)
        return np.array([error @ x, error.sum()])

    def hessian(line):
        p = expit(line[0] * x + line[1])
        v = w * p * (1 - p)
        return np.array([[v @ x**2, v @ x], [v @ x, v.sum()]])

    found = minimize(loss, [1.0, 0.0], jac=gradient, hess=hessian, method="trust-exact")
    slope, shift = map(float, found.x)
    # Too few cosmic rays, or a network that knows nothing, allow anything.
    sane = 0.05 < slope < 20 and 0 < w @ y < 1
    return (slope, shift) if sane else (1.0, 0.0)


def measure(logits, target, weight):
    """
    Measure what a network finds.

    Parameters
    ----------
    logits, target, weight
        As for `fit_temperature`.

    Returns
    -------
    metrics : dict of str to float
        Cross-entropy, average precision, true-positive rates at two false-positive
        rates, and the expected calibration error.
    scores : `~astro_deepcr.evaluation.PixelScores`
        All scores.
    """
    scores = PixelScores()
    truth, ignore = (target >= 0.5).numpy(), (weight <= 0).numpy()
    probability = logits[:, 0].sigmoid().numpy()
    for one in zip(probability, truth, ignore, strict=True):
        scores.add(*one)
    curve = scores.curve()
    metrics = {
        "loss": cross_entropy(logits, target, weight),
        "average_precision": curve.average_precision,
        "tpr_at_fpr_1e-3": curve.tpr_at(1e-3),
        "tpr_at_fpr_1e-4": curve.tpr_at(1e-4),
        "calibration_error": reliability_curve(scores).meta["ece"],
    }
    return {name: float(value) for name, value in metrics.items()}, scores


def operating_points(scores):
    """
    Tabulate thresholds.

    Parameters
    ----------
    scores : `~astro_deepcr.evaluation.PixelScores`
        Probabilities of validation data.

    Returns
    -------
    points : tuple of tuple of float
        False-positive rate, threshold, true-positive rate; as many rates as the
        number of pixels allows.
    """
    curve = scores.curve()
    if not curve.n_positive:
        return ()
    points, last = [], 1.0
    for fpr in _RATES:
        threshold = float(curve.threshold_at(fpr))
        enough = fpr * curve.n_negative >= _FEWEST_FALSE_POSITIVES
        # At a probability of 1 no logit tells rates apart, nor where all is found.
        if enough and np.isfinite(threshold) and 0 < threshold < last:
            points.append((fpr, threshold, float(curve.tpr_at(fpr))))
            last = threshold
    return tuple(points)
