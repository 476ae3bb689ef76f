# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""What training makes small."""

import numpy as np
import torch
from torch.nn import functional

__all__ = ["cross_entropy", "dice_loss", "fill_loss", "mask_loss", "pull_scale"]

# Squares of pulls count as p**2 / (1 + p**2 / _TAIL): rare large ones hardly do. Of
# Gaussian errors that are stated rightly, the mean of it is _MEAN.
_TAIL = 10
_MEAN = 0.7921
# Steps to find the scale of pulls, each of which is twice as close or more.
_ROUNDS = 40


def cross_entropy(logits, target, weight):
    """
    Binary cross-entropy of soft labels, over the pixels that count.

    Parameters
    ----------
    logits : (N, 1, rows, columns) `torch.Tensor`
        What a mask network gives.
    target : (N, rows, columns) `torch.Tensor`
        1 for cosmic rays, 0 for other pixels, or a probability between.
    weight : (N, rows, columns) `torch.Tensor`
        How much each pixel counts; 0 for ignored ones, whatever their target is.

    Returns
    -------
    loss : `torch.Tensor`
        Mean over the weight.

    Raises
    ------
    ValueError
        If no pixel counts.

    Examples
    --------
    >>> import torch
    >>> from astro_deepcr.training.losses import cross_entropy
    >>> logits, target = torch.zeros(1, 1, 2, 2), torch.eye(2)[None]
    >>> round(float(cross_entropy(logits, target, torch.ones(1, 2, 2))), 3)
    0.693
    """
    loss = functional.binary_cross_entropy_with_logits(
        logits[:, 0].float(), target, weight, reduction="sum"
    )
    return loss / _total(weight)


def dice_loss(logits, target, weight):
    """
    One minus the Dice coefficient of probability and label, over the whole batch.

    It weighs cosmic rays and other pixels alike, however few the former are, and so
    helps in the beginning; but what it makes is no probability.

    Parameters
    ----------
    logits, target, weight
        As for `cross_entropy`.

    Returns
    -------
    loss : `torch.Tensor`
        Between 0 and 1.
    """
    probability = logits[:, 0].float().sigmoid()
    both = (weight * probability * target).sum()
    total = (weight * (probability + target)).sum()
    return 1 - (2 * both + 1) / (total + 1)


def mask_loss(logits, target, weight, dice=0.0):
    """
    Cross-entropy, and some Dice loss.

    Parameters
    ----------
    logits, target, weight
        As for `cross_entropy`.
    dice : float, optional
        Factor of the `dice_loss`.

    Returns
    -------
    loss : `torch.Tensor`

    Raises
    ------
    ValueError
        If no pixel counts.
    """
    loss = cross_entropy(logits, target, weight)
    return loss + dice * dice_loss(logits, target, weight) if dice else loss


def fill_loss(output, light, weight):
    """
    How far off the light under masked pixels is, and its stated deviation.

    Each pixel is weighted with its stated deviation, in units of about the photon
    noise, so that pixels about which little can be known teach something, too [1]_.
    The stated deviation is the standard deviation of Gaussian errors; but rare large
    ones (a star was hidden, of which nobody could know) hardly widen what is said of
    all the other pixels. They count as with Student's t distribution.

    Parameters
    ----------
    output : (N, 2, rows, columns) `torch.Tensor`
        What a `~astro_deepcr.models.FillUNet` gives.
    light : (N, rows, columns) `torch.Tensor`
        The truth, as signal over the noise of the frame.
    weight : (N, rows, columns) `torch.Tensor`
        How much each pixel counts; 0 for those that are not masked.

    Returns
    -------
    loss : `torch.Tensor`
        Mean over the weight.

    Raises
    ------
    ValueError
        If no pixel counts.

    References
    ----------
    .. [1] Seitzer, M., et al. 2022, "On the Pitfalls of Heteroscedastic Uncertainty
       Estimation with Probabilistic Neural Networks", ICLR.
    """
    used = weight > 0
    total = _total(weight)
    value, log_std = output[:, 0].float()[used], output[:, 1].float()[used]
    light, weight = light[used], weight[used]
    # Like the square root of bright light: noise is about 1 everywhere.
    log_std = log_std + _log_slope(light)
    error = _root(value.sinh()) - _root(light)
    loss = _far_off(error, log_std.detach()) + _misjudged(error.detach(), log_std)
    return (loss * log_std.detach().exp().clamp(0.25, 5) * weight).sum() / total


def pull_scale(pull):
    """
    How much wider pulls are than `fill_loss` wants them.

    Parameters
    ----------
    pull : array_like of float
        Errors over stated deviations, of any shape.

    Returns
    -------
    scale : float
        Stated deviations should be so many times as large: the standard deviation of
        the pulls, but that rare large ones hardly count.

    Examples
    --------
    >>> import numpy as np
    >>> from astro_deepcr.training.losses import pull_scale
    >>> round(pull_scale(np.random.default_rng(0).normal(0, 2, 10_000)), 1)
    2.0
    """
    square = np.square(np.asarray(pull, float))
    scale = float(square.mean()) or 1.0
    for _ in range(_ROUNDS):
        scale = (square / (1 + square / scale / _TAIL)).mean() / _MEAN or 1.0
    return float(np.sqrt(scale))


def _far_off(error, log_std):
    """Half a square, and beyond ten deviations linear: few stars are hidden."""
    size = error.abs() / (2 * log_std.exp())
    return torch.where(size < 5, 0.5 * size**2, 5 * size - 12.5)


def _misjudged(error, log_std):
    """Least where the stated deviation is that of the errors, see `_TAIL`."""
    pull = error / log_std.exp()
    return log_std + _TAIL / (2 * _MEAN) * torch.log1p(pull**2 / _TAIL)


def _root(light):
    """Stretch as 2 sinh(x / 2) does the asinh x of the light."""
    return 2 * torch.sinh(torch.asinh(light) / 2)


def _log_slope(light):
    """Logarithm of the derivative of `_root`."""
    return (torch.asinh(light) / 2).cosh().log() - 0.5 * torch.log1p(light**2)


def _total(weight):
    total = weight.sum()
    if total.device.type == "cpu" and total <= 0:  # a GPU should not wait for this
        msg = (
            "No pixel of this batch counts: all are ignored. Are the ignore masks "
            "inverted? They are True where a pixel does not count."
        )
        raise ValueError(msg)
    return total
