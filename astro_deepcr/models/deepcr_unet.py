# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""The U-Net of deepCR (Zhang & Bloom 2020), and its official weights."""

import re
from itertools import pairwise

import torch
from torch import nn

from ._parts import cut, halved, parts_needed

__all__ = ["DeepCRUNet", "convert_official"]


class DeepCRUNet(nn.Module):
    """
    A U-Net of plain 3 x 3 convolutions, as used by deepCR.

    The batch or weight normalisation that the official networks were trained
    with is folded into the convolutions, which are all that is left.

    Parameters
    ----------
    in_channels : int, optional
        1 (image) to find cosmic rays, 2 (image, mask) to fill pixels.
    hidden : int, optional
        Channels at full resolution; twice as many at each level below.
    levels : int, optional
        Number of resolutions.

    References
    ----------
    Zhang, K. & Bloom, J. S. 2020, ApJ, 889, 24, doi:10.3847/1538-4357/ab3fa6.
    """

    def __init__(self, in_channels=1, hidden=32, levels=2):
        super().__init__()
        sizes = [hidden * 2**level for level in range(levels)]
        self.down = nn.ModuleList(
            _double_convolution(n_in, n_out)
            for n_in, n_out in zip([in_channels, *sizes], sizes, strict=False)
        )
        below = list(pairwise(sizes))[::-1]
        self.up = nn.ModuleList(
            nn.ConvTranspose2d(n_low, n_high, 2, stride=2) for n_high, n_low in below
        )
        self.merge = nn.ModuleList(
            _double_convolution(2 * n_high, n_high) for n_high, _ in below
        )
        self.head = nn.Conv2d(hidden, 1, 1)

    def forward(self, x, inside=None):
        """
        Return logits or values.

        Parameters
        ----------
        x : `torch.Tensor`
            Shape (batch, in_channels, rows, columns), a multiple of the stride.
        inside : tuple of slice, optional
            The rows and columns that are wanted; the others need no way up.

        Returns
        -------
        result : `torch.Tensor`
            Shape (batch, 1, rows, columns), or less if so wanted.
        """
        *parts, held = parts_needed(inside, x.shape[2:], [2] * len(self.up))
        x = self.down[0](x)
        skips = []
        for block in self.down[1:]:
            skips.append(x)
            x = block(nn.functional.max_pool2d(x, 2))
        for up, merge in zip(self.up, self.merge, strict=True):
            part = parts.pop()
            low = up(cut(x, halved(part), held))
            x = merge(torch.cat([skips.pop()[(..., *part)], low], dim=1))
            held = part
        return cut(self.head(x), inside or held, held)

    @staticmethod
    def reach(in_channels=1, hidden=32, levels=2):  # noqa: ARG004 (as the class)
        """
        Say how far a network with such arguments looks, without making it.

        Parameters
        ----------
        in_channels, hidden, levels
            As for the class.

        Returns
        -------
        halo : int
            Pixels on each side, a multiple of the stride.
        stride : int
            Pixels that are pooled together along each axis.
        """
        stride = 2 ** (levels - 1)
        # Two convolutions a block, on the way down and up, and once at the bottom.
        halo = sum(4 * 2**level for level in range(levels - 1)) + 2 * stride
        halo += stride - 1  # pixels that are pooled together see the same
        return -(-halo // stride) * stride, stride


def convert_official(state):
    """
    Convert the state of an official network to that of `DeepCRUNet`.

    Parameters
    ----------
    state : dict of str to `torch.Tensor`
        As stored in the ``.pth`` files of deepCR: with batch normalisation, or
        with weight normalisation.

    Returns
    -------
    arguments : dict
        What `DeepCRUNet` has to be made with.
    state : dict of str to `torch.Tensor`
        Its weights.

    Raises
    ------
    KeyError, ValueError
        If the state is not that of a U-Net of deepCR.
    """
    state = {key.removeprefix("module."): value for key, value in state.items()}
    blocks = ["inc.conv", *_numbered(state, r"(down\d+)\.mpconv", ".mpconv.1")]
    ups = _numbered(state, r"(up\d+)\.up", "")
    converted = {}
    for i, block in enumerate(blocks):
        converted |= _convert_block(state, f"{block}.conv", f"down.{i}")
    for i, up in enumerate(ups):
        converted |= _convert_block(state, f"{up}.conv.conv", f"merge.{i}")
        for kind in ("weight", "bias"):
            converted[f"up.{i}.{kind}"] = state[f"{up}.up.{kind}"]
    for kind in ("weight", "bias"):
        converted[f"head.{kind}"] = state[f"outc.conv.{kind}"]
    hidden, in_channels = converted["down.0.0.weight"].shape[:2]
    arguments = {"in_channels": in_channels, "hidden": hidden, "levels": len(blocks)}
    return arguments, converted


def _double_convolution(n_in, n_out):
    return nn.Sequential(
        nn.Conv2d(n_in, n_out, 3, padding=1),
        nn.ReLU(inplace=True),
        nn.Conv2d(n_out, n_out, 3, padding=1),
        nn.ReLU(inplace=True),
    )


def _numbered(state, pattern, suffix):
    """Return the names of the numbered blocks, in the order of their numbers."""
    names = {match[1] for key in state if (match := re.match(pattern, key))}
    return [f"{name}{suffix}" for name in sorted(names)]


def _convert_block(state, old, new):
    """Convert two convolutions with their normalisation."""
    batch_norm = f"{old}.1.running_mean" in state
    converted = {}
    for i in (0, 1):
        position = 3 * i if batch_norm else 2 * i
        weight, bias = _fold(state, f"{old}.{position}", f"{old}.{position + 1}")
        converted[f"{new}.{2 * i}.weight"] = weight
        converted[f"{new}.{2 * i}.bias"] = bias
    return converted


def _fold(state, convolution, norm):
    """Fold weight normalisation or batch normalisation into a convolution."""
    bias = state[f"{convolution}.bias"].double()
    if f"{convolution}.weight_v" in state:
        direction = state[f"{convolution}.weight_v"].double()
        length = direction.flatten(1).norm(dim=1).view(-1, 1, 1, 1)
        weight = state[f"{convolution}.weight_g"].double() * direction / length
        return weight.float(), bias.float()
    weight = state[f"{convolution}.weight"].double()
    std = (state[f"{norm}.running_var"].double() + 1e-5).sqrt()
    factor = state[f"{norm}.weight"].double() / std
    shift = state[f"{norm}.bias"].double()
    bias = (bias - state[f"{norm}.running_mean"].double()) * factor + shift
    return (weight * factor.view(-1, 1, 1, 1)).float(), bias.float()
