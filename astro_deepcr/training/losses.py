# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""What training makes small."""

import torch
from torch.nn import functional

__all__ = ["cross_entropy", "dice_loss", "fill_loss", "mask_loss"]

# Degrees of freedom: how heavy the tails of errors of filled pixels are.
_FREEDOM = 3


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
    The deviation is learnt as the scale of Student's t distribution: a Gaussian, whose
    deviation rare hidden stars widen, would say too much of all the other pixels.

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


def _far_off(error, log_std):
    """Half a square, and beyond ten deviations linear: few stars are hidden."""
    size = error.abs() / (2 * log_std.exp())
    return torch.where(size < 5, 0.5 * size**2, 5 * size - 12.5)


def _misjudged(error, log_std):
    """Minus the logarithm of Student's t distribution, but for a constant."""
    pull = error / log_std.exp()
    return log_std + (_FREEDOM + 1) / 2 * torch.log1p(pull**2 / _FREEDOM)


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
