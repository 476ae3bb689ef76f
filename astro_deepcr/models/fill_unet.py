# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""A network that says what lies under masked pixels, and how sure that is."""

import math

import torch
from torch import nn

from .plain_unet import PlainUNet

__all__ = ["FillUNet"]

# The first guess: a Gaussian mean of the good neighbours, this wide, ...
_WIDTH, _RADIUS = 0.8, 3
# ... and where there are hardly any, the mean of the 24 x 24 pixels around, which
# weighs as little as a neighbour that is four pixels away.
_CELL, _FAR_WEIGHT = 8, 1e-5
# Limits of the logarithm of the deviation.
_LEAST, _MOST = -5.0, 12.0


class FillUNet(nn.Module):
    """
    A U-Net that corrects a mean of good neighbours, and says how far off it may be.

    The input has two channels: the image as the asinh of its signal over noise, and
    1 for the pixels that it knows nothing of, 0 for the others. The output has two,
    too: the light in the same stretch, and the logarithm of its deviation, in units of
    the noise that the image was scaled with.

    Inside, values x are stretched as 2 sinh(x / 2), like a square root of bright
    ones, in which photon noise is about as large everywhere.

    Parameters
    ----------
    in_channels : int, optional
        2; here so that all networks can be made alike.
    widths, depths, stem, detail
        As for `PlainUNet`.

    Raises
    ------
    ValueError
        If the arguments do not go together.

    Examples
    --------
    >>> import torch
    >>> from astro_deepcr.models import FillUNet
    >>> network = FillUNet(widths=(8, 16), depths=1)
    >>> network(torch.zeros(1, 2, 32, 48)).shape
    torch.Size([1, 2, 32, 48])
    """

    def __init__(
        self, in_channels=2, widths=(32, 64), depths=2, stem="unshuffle", detail=16
    ):
        super().__init__()
        if in_channels != 2:
            msg = f"in_channels={in_channels} must be 2: the image and its mask."
            raise ValueError(msg)
        self.body = PlainUNet(2, widths, depths, stem, detail, out_channels=2)
        nn.init.zeros_(self.body.head.weight)
        nn.init.zeros_(self.body.head.bias)

    def forward(self, x, inside=None):
        """
        Return light and logarithm of its deviation.

        Parameters
        ----------
        x : `torch.Tensor`
            Shape (batch, 2, rows, columns), a multiple of the stride.
        inside : tuple of slice, optional
            The rows and columns that are wanted, as for `PlainUNet`.

        Returns
        -------
        both : `torch.Tensor`
            Shape (batch, 2, rows, columns), or less if so wanted.
        """
        bad = x[:, 1:].float()
        image = x[:, :1].float().masked_fill(bad > 0.5, 0.0)
        stretched = 2 * torch.sinh(image / 2)
        guess = self._guess(stretched, bad)
        image = torch.where(bad > 0.5, guess, stretched)
        told = self.body(torch.cat([image, bad], dim=1), inside).float()
        light = guess[(..., *(inside or ()))] + told[:, :1]
        # From the stretch inside to the asinh, and to signal over noise.
        slope = (1 + light**2 / 2) / (1 + light**2 / 4).sqrt()
        log_std = told[:, 1:].clamp(_LEAST, _MOST) + slope.log()
        return torch.cat([2 * torch.asinh(light / 2), log_std], dim=1)

    def _guess(self, image, bad):
        """Mean of the good neighbours; the image is 0 where it is bad."""
        good = 1 - bad
        both = torch.cat([image, good], dim=1)
        height, width = both.shape[2:]
        near = _blur(_blur(both, dim=2), dim=3)
        cells = nn.functional.avg_pool2d(both, _CELL, ceil_mode=True)
        far = nn.functional.avg_pool2d(cells, 3, 1, 1, count_include_pad=False)
        far = far[:, :1] / far[:, 1:].clamp_min(1e-6)
        far = nn.functional.interpolate(far, scale_factor=_CELL, mode="nearest")
        far = far[..., :height, :width]
        return (near[:, :1] + _FAR_WEIGHT * far) / (near[:, 1:] + _FAR_WEIGHT)

    def to_precision(self, dtype):
        """
        Change the type of the layers in the middle.

        Parameters
        ----------
        dtype : `torch.dtype`
            The type.

        Returns
        -------
        network : `FillUNet`
            The same object; its input stays float32.
        """
        self.body.to_precision(dtype)
        return self

    @staticmethod
    def reach(
        in_channels=2,  # noqa: ARG004 (the same arguments as the class)
        widths=(32, 64),
        depths=2,
        stem="unshuffle",
        detail=16,
    ):
        """
        Say how far a network with such arguments looks, without making it.

        Parameters
        ----------
        in_channels, widths, depths, stem, detail
            As for the class.

        Returns
        -------
        halo : int
            Pixels on each side, a multiple of the stride.
        stride : int
            Pixels that are pooled together along each axis.
        """
        halo, stride = PlainUNet.reach(2, widths, depths, stem, detail)
        stride = max(stride, _CELL)
        halo += 2 * _CELL - 1  # the far end of the next cell
        return -(-halo // stride) * stride, stride


def _blur(image, dim):
    """Convolve with the Gaussian: sums, since a convolution of one channel is slow."""
    out = image.clone()
    for shift in range(1, min(_RADIUS + 1, image.shape[dim])):
        n = image.shape[dim] - shift
        factor = math.exp(-(shift**2) / (2 * _WIDTH**2))
        out.narrow(dim, 0, n).add_(image.narrow(dim, shift, n), alpha=factor)
        out.narrow(dim, shift, n).add_(image.narrow(dim, 0, n), alpha=factor)
    return out
