# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Pixel metrics: ROC, precision and recall, calibration; exact and in little memory."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from astropy.table import Table

from ._checks import as_ignore, as_mask, as_score, touching

__all__ = ["PixelCurve", "PixelScores", "reliability_curve"]


def _count_at_least(chunks, thresholds):
    """Count the values >= each threshold in chunks that are sorted."""
    # In their own precision, in which 0.9 is 0.9.
    below = (
        np.searchsorted(chunk, np.asarray(thresholds, chunk.dtype), side="left")
        for chunk in chunks
    )
    return sum(c.size for c in chunks) - sum(below, np.zeros(len(thresholds), int))


def _count_above(chunks, thresholds):
    """Count the values > each threshold in chunks that are sorted."""
    upto = (np.searchsorted(chunk, thresholds, side="right") for chunk in chunks)
    return sum(c.size for c in chunks) - sum(upto, np.zeros(len(thresholds), int))


@dataclass(frozen=True, eq=False)
class PixelCurve:
    """
    Exact counts of hits and false alarms at every threshold that matters.

    A pixel is flagged where ``score >= threshold``. Only scores of cosmic-ray
    pixels are listed as thresholds: between two of them, a lower threshold adds
    nothing but false positives. Every number below is nevertheless that of the
    full curve over all scores.

    Parameters
    ----------
    thresholds : 1-D `~numpy.ndarray`
        Distinct scores of the cosmic-ray pixels, falling.
    tp, fp : 1-D `~numpy.ndarray` of int
        Cosmic-ray pixels, and other pixels, that are flagged at each threshold.
    fp_above : 1-D `~numpy.ndarray` of int
        The other pixels whose score is above (not at) each threshold.
    n_positive, n_negative : int
        Number of cosmic-ray pixels and of other pixels.

    Notes
    -----
    What needs a cosmic-ray pixel (recall, precision, average precision, F1, AUC)
    is NaN where there is none; what needs another pixel (false-positive rate,
    AUC) is NaN where there is none.
    """

    thresholds: np.ndarray
    tp: np.ndarray
    fp: np.ndarray
    fp_above: np.ndarray
    n_positive: int
    n_negative: int

    @property
    def tpr(self):
        """True-positive rate (recall, completeness) at each threshold."""
        return self.tp / self.n_positive if self.n_positive else self.tp * np.nan

    recall = tpr

    @property
    def fpr(self):
        """False-positive rate at each threshold."""
        return self.fp / self.n_negative if self.n_negative else self.fp * np.nan

    @property
    def precision(self):
        """Precision (purity of pixels) at each threshold."""
        return self.tp / (self.tp + self.fp)

    def roc(self):
        """
        Vertices of the ROC polyline, from (0, 0) to (1, 1).

        Returns
        -------
        fpr, tpr : 1-D `~numpy.ndarray`
            False- and true-positive rates, rising.
        """
        if not (self.n_positive and self.n_negative):
            return np.full(2, np.nan), np.full(2, np.nan)
        before = np.concatenate([[0], self.tp[:-1]])
        fp = np.column_stack([self.fp_above, self.fp]).ravel()
        tp = np.column_stack([before, self.tp]).ravel()
        fpr = np.concatenate([[0], fp, [self.n_negative]]) / self.n_negative
        tpr = np.concatenate([[0], tp, [self.n_positive]]) / self.n_positive
        return fpr, tpr

    @property
    def auc(self):
        """Area below the ROC curve."""
        fpr, tpr = self.roc()
        return float(np.sum(np.diff(fpr) * (tpr[1:] + tpr[:-1]) / 2))

    @property
    def average_precision(self):
        """Mean of the precision over the recall, without interpolation."""
        if not self.n_positive:
            return np.nan
        return float(np.sum(np.diff(self.tp, prepend=0) * self.precision)) / (
            self.n_positive
        )

    @property
    def best_f1(self):
        """Largest F1 = 2 tp / (2 tp + fp + fn) of all thresholds."""
        return self._f1[0]

    @property
    def best_f1_threshold(self):
        """Threshold of the largest F1."""
        return self._f1[1]

    @cached_property
    def _f1(self):
        if not self.n_positive:
            return np.nan, np.nan
        f1 = 2 * self.tp / (self.tp + self.fp + self.n_positive)
        best = np.argmax(f1)
        return float(f1[best]), float(self.thresholds[best])

    def tpr_at(self, fpr):
        """
        Largest true-positive rate that keeps the false-positive rate.

        Parameters
        ----------
        fpr : float or array_like
            Largest false-positive rate allowed, between 0 and 1.

        Returns
        -------
        float or `~numpy.ndarray`
            No interpolation: a method that gives a plain mask has TPR 0 below
            its own false-positive rate.
        """
        return self._at(fpr, np.concatenate([[0.0], self.tpr]))

    def threshold_at(self, fpr):
        """
        Threshold of `tpr_at`; NaN where even the best score costs too much.

        Parameters
        ----------
        fpr : float or array_like
            Largest false-positive rate allowed, between 0 and 1.

        Returns
        -------
        float or `~numpy.ndarray`
        """
        return self._at(fpr, np.concatenate([[np.nan], self.thresholds]))

    def _at(self, fpr, values):
        fpr = np.asarray(fpr, float)
        if not np.all((fpr >= 0) & (fpr <= 1)):
            msg = f"fpr must lie between 0 and 1, but it is {fpr}"
            raise ValueError(msg)
        if not (self.n_positive and self.n_negative):
            return np.full(fpr.shape, np.nan)[()]
        return values[np.searchsorted(self.fpr, fpr, side="right")][()]


class PixelScores:
    """
    Scores of pixels with known truth, gathered frame by frame.

    All results are exact. The scores are kept (4 bytes for each pixel of a
    float32 score) in sorted chunks, one for each frame, and never concatenated:
    hundreds of megapixels fit into the memory of a laptop.

    See Also
    --------
    PixelCurve : The results.

    Examples
    --------
    >>> import numpy as np
    >>> from astro_deepcr.evaluation import PixelScores
    >>> truth = np.array([[0, 0, 1], [0, 0, 1]], bool)
    >>> score = np.array([[0.1, 0.8, 0.9], [0.0, 0.3, 0.6]])
    >>> scores = PixelScores()
    >>> scores.add(score, truth)
    >>> curve = scores.curve()
    >>> curve.tpr_at([0.1, 0.3])
    array([0.5, 1. ])
    >>> curve.average_precision
    0.8333333333333334
    >>> scores.curve(tolerance=1).average_precision  # 0.8 touches a cosmic ray
    1.0
    """

    def __init__(self):
        self._positive, self._near, self._far = [], [], []
        self.n_ignored = 0

    def add(self, score, truth, ignore=None):
        """
        Add one frame.

        Parameters
        ----------
        score : 2-D array_like
            Probability, or anything that rises with it; boolean for a mask.
        truth : 2-D array_like of bool
            True where a cosmic ray hit the pixel.
        ignore : 2-D array_like of bool or None, optional
            True where the pixel does not count. By default all pixels count.

        Raises
        ------
        ValueError
            If the arrays are not 2-D, differ in shape, are not boolean, or if the
            score of a pixel that counts is not finite.
        """
        truth = as_mask(truth, "truth")
        ignore = as_ignore(ignore, truth.shape)
        score = as_score(score, truth.shape, ignore)
        self.n_ignored += int(np.count_nonzero(ignore))
        near = touching(truth) & ~truth & ~ignore
        for chunks, where in (
            (self._positive, truth & ~ignore),
            (self._near, near),
            (self._far, ~(truth | near | ignore)),
        ):
            chunk = score[where]
            if chunk.size:
                chunk.sort()
                chunks.append(chunk)

    def curve(self, tolerance=0):
        """
        Count hits and false alarms at all thresholds.

        Parameters
        ----------
        tolerance : {0, 1}, optional
            1 leaves out the pixels that touch a cosmic ray (by an edge or a corner)
            without belonging to it: they are no false positives, and no negatives.

        Returns
        -------
        PixelCurve

        Raises
        ------
        ValueError
            If no pixel counts.
        """
        negative = self._negative(tolerance)
        hits = self._positive or [np.empty(0, np.float32)]
        thresholds = np.unique(np.concatenate(hits))[::-1]
        return PixelCurve(
            thresholds,
            _count_at_least(self._positive, thresholds),
            _count_at_least(negative, thresholds),
            _count_above(negative, thresholds),
            sum(chunk.size for chunk in self._positive),
            sum(chunk.size for chunk in negative),
        )

    def rates(self, threshold, tolerance=0):
        """
        Rates at one threshold, chosen freely.

        Parameters
        ----------
        threshold : float
            Pixels with ``score >= threshold`` are flagged.
        tolerance : {0, 1}, optional
            As in `curve`.

        Returns
        -------
        tpr, fpr, precision : float
            NaN where there is nothing to divide by.
        """
        negative, at = self._negative(tolerance), [threshold]
        tp, fp = (_count_at_least(c, at)[0] for c in (self._positive, negative))
        n_positive, n_negative = (
            sum(chunk.size for chunk in chunks) for chunks in (self._positive, negative)
        )
        with np.errstate(invalid="ignore"):
            return tuple(
                float(np.divide(part, whole))
                for part, whole in ((tp, n_positive), (fp, n_negative), (tp, tp + fp))
            )

    def _negative(self, tolerance):
        if tolerance not in (0, 1):
            msg = f"tolerance must be 0 or 1 pixel, but it is {tolerance!r}"
            raise ValueError(msg)
        if not (self._positive or self._near or self._far):
            msg = (
                f"no pixel to score: {self.n_ignored} pixels were added, all ignored. "
                "`ignore` is True where a pixel does NOT count; is it inverted?"
            )
            raise ValueError(msg)
        return self._far if tolerance else self._far + self._near


def reliability_curve(scores, bins=10):
    """
    Compare stated probabilities with the share of pixels that were hit.

    Parameters
    ----------
    scores : PixelScores
        Probabilities between 0 and 1.
    bins : int or 1-D array_like, optional
        Number of bins of equal width, or their edges.

    Returns
    -------
    `~astropy.table.Table`
        One row for each bin that holds pixels: ``probability`` (mean of the stated
        ones), ``observed`` (share of pixels that were hit), ``n`` (pixels). The
        entry ``ece`` of its ``meta`` is the expected calibration error: the mean of
        ``|observed - probability|``, weighted by ``n``.

    Raises
    ------
    ValueError
        If a score lies outside 0 to 1, or if no pixel counts.

    Examples
    --------
    >>> import numpy as np
    >>> from astro_deepcr.evaluation import PixelScores, reliability_curve
    >>> scores = PixelScores()
    >>> scores.add([[0.25, 0.25], [0.25, 0.25]], [[0, 1], [0, 0]])
    >>> print(reliability_curve(scores))
    probability observed  n
    ----------- -------- ---
           0.25     0.25   4
    """
    chunks = scores._positive + scores._negative(0)
    low, high = min(c[0] for c in chunks), max(c[-1] for c in chunks)
    if low < 0 or high > 1:
        msg = (
            f"a reliability curve needs probabilities between 0 and 1, but the scores "
            f"reach from {low} to {high}"
        )
        raise ValueError(msg)
    edges = np.linspace(0, 1, bins + 1) if np.isscalar(bins) else np.asarray(bins)
    n = _histogram(chunks, edges)
    total = _histogram(chunks, edges, weighted=True)
    hits = _histogram(scores._positive, edges)
    held = n > 0
    if not held.any():
        msg = f"none of the scores, from {low} to {high}, is in one of the bins {bins}"
        raise ValueError(msg)
    table = Table(
        {
            "probability": total[held] / n[held],
            "observed": hits[held] / n[held],
            "n": n[held].astype(int),
        }
    )
    gap = np.abs(table["observed"] - table["probability"])
    table.meta["ece"] = float(np.average(gap, weights=table["n"]))
    return table


def _histogram(chunks, edges, weighted=False):
    """Number (or sum) of the values in each bin, added over chunks."""
    total = np.zeros(len(edges) - 1)
    for chunk in chunks:
        # Not float32: the sum runs over all pixels of a frame.
        weights = chunk.astype(float) if weighted else None
        total += np.histogram(chunk, edges, weights=weights)[0]
    return total
