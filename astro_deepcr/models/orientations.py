# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""A network's mean answer to an image that lies in several ways."""

from itertools import product

import torch

__all__ = ["ORIENTATIONS", "mean_over_orientations"]

#: As it is, turned by 180 degrees; the first two mirrored; the first four turned by 90
#: degrees. Each: swap the axes? Turn the rows around, and the columns?
ORIENTATIONS = [
    (swap, turn ^ mirror, turn)
    for swap, mirror, turn in product((False, True), repeat=3)
]


def mean_over_orientations(network, x, ways, inside=None):
    """
    Run a network over an image in several orientations, and average what it gives.

    Parameters
    ----------
    network : `torch.nn.Module`
        Takes ``x`` and ``inside``.
    x : `torch.Tensor`, shape (batch, channels, rows, columns)
        The image.
    ways : list
        Those of `ORIENTATIONS` to take.
    inside : tuple of slice, optional
        The rows and columns that are wanted.

    Returns
    -------
    output : `torch.Tensor` of float32
        The mean, in the orientation of ``x``.

    Examples
    --------
    >>> import torch
    >>> from astro_deepcr.models import PlainUNet
    >>> from astro_deepcr.models.orientations import ORIENTATIONS
    >>> from astro_deepcr.models.orientations import mean_over_orientations
    >>> network, image = PlainUNet(widths=(4, 8)), torch.randn(1, 1, 16, 24)
    >>> one = mean_over_orientations(network, image, ORIENTATIONS)
    >>> other = mean_over_orientations(network, image.flip(2), ORIENTATIONS)
    >>> torch.allclose(one.flip(2), other, atol=1e-5)
    True
    """
    total = None
    for way in ways:
        turned = _turn(x, *way).contiguous(memory_format=torch.channels_last)
        part = None if inside is None else _turn_part(inside, x.shape[2:], *way)
        output = _turn_back(network(turned, part).float(), *way)
        total = output if total is None else total.add_(output)
    return total / len(ways) if len(ways) > 1 else total


def _turn(x, swap, *flips):
    x = _flip(x, *flips)
    return x.transpose(2, 3) if swap else x


def _turn_back(x, swap, *flips):
    return _flip(x.transpose(2, 3) if swap else x, *flips)


def _flip(x, rows, columns):
    axes = [axis for axis, flip in ((2, rows), (3, columns)) if flip]
    return x.flip(axes) if axes else x


def _turn_part(inside, shape, swap, *flips):
    """Return where the slices of an image are in the one that was turned."""
    part = [
        slice(n - one.stop, n - one.start) if flip else one
        for one, n, flip in zip(inside, shape, flips, strict=True)
    ]
    return tuple(part[::-1] if swap else part)
