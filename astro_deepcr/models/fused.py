# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Convolutions that rectify what they write, on CPUs."""

import copy
from itertools import pairwise

import torch
from torch import nn

__all__ = ["fuse_for_cpu"]

# Side of the image on which the fused network is compared with the plain one.
_TRIAL = 64


class _ConvReLU(nn.Module):
    """A convolution and the ReLU after it as one call of oneDNN."""

    def __init__(self, layer):
        super().__init__()
        self.weight, self.bias = layer.weight, layer.bias
        sizes = (layer.padding, layer.stride, layer.dilation)
        self.geometry = (*map(list, sizes), layer.groups)

    def forward(self, x):
        # What torch.compile makes of the two layers, without its start-up.
        return torch.ops.mkldnn._convolution_pointwise(
            x, self.weight, self.bias, *self.geometry, "relu", [], ""
        )


def fuse_for_cpu(network, in_channels):
    """
    Let convolutions apply the ReLU that follows them, where this torch can.

    The result is the same: a value is rectified before it is written to memory, and
    not read and written once more.

    Parameters
    ----------
    network : `torch.nn.Module`
        On the CPU, with sequences of `torch.nn.Conv2d` and `torch.nn.ReLU`. It is
        not changed.
    in_channels : int
        Channels of its input.

    Returns
    -------
    network : `torch.nn.Module`
        A fused one with the same tensors; or the one that was given, if the two do
        not give the same, or this build of torch has no such function.

    Examples
    --------
    >>> import torch
    >>> from astro_deepcr.models import DeepCRUNet, fuse_for_cpu
    >>> network = DeepCRUNet(hidden=4).eval()
    >>> fused = fuse_for_cpu(network, 1)
    >>> image = torch.randn(1, 1, 32, 32)
    >>> with torch.inference_mode():
    ...     torch.allclose(network(image), fused(image), atol=1e-6)
    True
    """
    fused = copy.deepcopy(network)
    for block in fused.modules():
        if not isinstance(block, nn.Sequential):
            continue
        for i, (layer, after) in enumerate(pairwise(block)):
            if isinstance(layer, nn.Conv2d) and isinstance(after, nn.ReLU):
                block[i], block[i + 1] = _ConvReLU(layer), nn.Identity()
    first, last = (list(network.parameters())[i] for i in (0, -1))
    image = torch.linspace(-3, 9, in_channels * _TRIAL**2, dtype=first.dtype)
    image = image.view(1, in_channels, _TRIAL, _TRIAL)
    image = image.contiguous(memory_format=torch.channels_last)
    try:
        with torch.inference_mode():
            plain = network(image)
            difference = (fused(image) - plain).abs().max()
    except (AttributeError, RuntimeError):  # not in this build, or not in this type
        return network
    rounding = 16 * torch.finfo(last.dtype).eps * plain.abs().max()
    return fused if difference <= rounding else network
