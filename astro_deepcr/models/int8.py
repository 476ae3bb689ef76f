# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Networks that calculate in integers of 8 bits, on processors that are made for it."""

from typing import NamedTuple

import torch
from torch import nn

from .fill_unet import FillUNet
from .plain_unet import Join, PlainUNet

__all__ = ["can_quantize", "quantize"]

_STEPS = 255
# Values may be larger than in the example, by this factor, before they are cut off.
_MARGIN = 1.5
# Rows that the first layer does at once: few enough to stay in the cache.
_STRIP = 32
_LAST = torch.channels_last


class _Scale(NamedTuple):
    """What the integers of a tensor stand for: (integer - zero) * step."""

    step: float
    zero: int

    @classmethod
    def of(cls, least, most):
        """Return the scale on which values in a range fit."""
        least, most = min(least, 0.0), max(most, 1e-6)
        step = (most - least) / _STEPS
        return cls(step, round(-least / step))


def can_quantize(architecture):
    """
    Say whether there is such a form of a kind of network.

    Parameters
    ----------
    architecture : type
        A class of networks.
    """
    return issubclass(architecture, (FillUNet, PlainUNet))


@torch.inference_mode()
def quantize(network, x):
    """
    Let the layers in the middle of a network calculate in integers of 8 bits.

    The layers that see the image calculate in float32, and so does what comes after the
    last level; the result is float32. The values between are rounded to 1/255 of the
    largest that there may be, 1.5 times what an example gives, and cut off there;
    kernels to 1/127 of their largest number [1]_.

    Parameters
    ----------
    network : `PlainUNet` or `FillUNet`
        On the CPU, in float32; is changed.
    x : `torch.Tensor`
        An input that shows how large the values become.

    Returns
    -------
    network : `PlainUNet` or `FillUNet`
        The same object, which is of use only for the inference.

    References
    ----------
    .. [1] Jacob, B., et al. 2018, "Quantization and Training of Neural Networks for
       Efficient Integer-Arithmetic-Only Inference", CVPR.
    """
    body = network.body if isinstance(network, FillUNet) else network
    scales = _observe(body, network, x)
    skips = []
    for block in body.down:
        before = skips[-1] if skips else None
        skips.append(_quantize_block(block, before, scales))
    source = skips.pop()
    for i, block in enumerate(body.merge):
        target = scales[body.up[i]]
        body.up[i] = _Int8Join(body.up[i], source, skips.pop(), target)
        source = _quantize_block(block, target, scales)
    last = "head" if body.detail is None else "spread"
    setattr(body, last, _Int8Conv(getattr(body, last), source, None))
    return network


def _observe(body, network, x):
    """Return the scale of what each ReLU, and each join, gives."""
    scales, hooks = {}, []

    def look(layer, _, output):
        least, most = output.aminmax()
        scales[layer] = _Scale.of(_MARGIN * float(least), _MARGIN * float(most))

    for layer in body.modules():
        if isinstance(layer, (nn.ReLU, Join)):
            hooks.append(layer.register_forward_hook(look))
    network(x)
    for hook in hooks:
        hook.remove()
    return scales


def _quantize_block(block, source, scales):
    """Replace the layers of a block; return the scale of what it gives."""
    for i in range(0, len(block), 2):
        target = scales[block[i + 1]]
        make = _Int8Conv if source else _FirstConv
        block[i] = make(block[i], source, target, relu=True)
        block[i + 1] = nn.Identity()
        source = target
    return source


class _FirstConv(nn.Module):
    """A convolution of the image in float32, and a ReLU, that gives integers."""

    def __init__(self, conv, _, target, *, relu):  # noqa: ARG002 (as the others)
        super().__init__()
        self.weight = nn.Parameter(conv.weight / target.step, requires_grad=False)
        self.bias = conv.bias / target.step + 0.5  # then to cut is to round

    def forward(self, x):
        n, _, height, width = x.shape
        shape = (n, len(self.weight), height, width)
        y = torch.empty(shape, dtype=torch.uint8, device="cpu", memory_format=_LAST)
        x = nn.functional.pad(x, (1, 1, 1, 1)).contiguous(memory_format=_LAST)
        for row in range(0, height, _STRIP):
            strip = x[:, :, row : row + _STRIP + 2]
            strip = nn.functional.conv2d(strip, self.weight, self.bias)
            y[:, :, row : row + _STRIP] = strip.clamp_(0, _STEPS)
        return y


class _Int8Conv(nn.Module):
    """A convolution from integers to integers, or to float32."""

    def __init__(self, conv, source, target, *, relu=False):
        super().__init__()
        self.source, self.target = source, target or _Scale(1.0, 0)
        self.kind = torch.uint8 if target else torch.float32
        self.after = "relu" if relu else "none"
        self.bias = conv.bias.detach()
        step = conv.weight.detach().abs().amax((1, 2, 3)).clamp_min(1e-12) / 127
        weight = (conv.weight / step[:, None, None, None]).round().to(torch.int8)
        self.steps, self.zeros = step, torch.zeros(len(step), dtype=torch.int64)
        self.shape = ([1, 1], list(conv.padding), [1, 1], 1)
        self.packed = torch.ops.onednn.qconv_prepack(
            weight.contiguous(), step, *source, *self.shape
        )
        self.weight = conv.weight

    def forward(self, x):
        return torch.ops.onednn.qconv2d_pointwise(
            x,
            *self.source,
            self.packed,
            self.steps,
            self.zeros,
            self.bias,
            *self.shape,
            *self.target,
            self.kind,
            self.after,
            [],
            "",
        )


class _Int8Join(_Int8Conv):
    def __init__(self, conv, source, skip, target):
        super().__init__(conv, source, target)
        self.skip = skip

    def forward(self, low, skip):
        return torch.ops.onednn.qconv2d_pointwise.binary(
            _double(low),
            *self.source,
            self.packed,
            self.steps,
            self.zeros,
            skip.contiguous(memory_format=_LAST),
            self.bias,
            *self.shape,
            *self.target,
            self.kind,
            *self.skip,
            "sum",
            1.0,
            "none",
            [],
            "",
        )


def _double(x):
    """Repeat each pixel along both axes: eight channels at a time, as one number."""
    x = x.permute(0, 2, 3, 1)
    wide = torch.float64 if x.shape[-1] % 8 == 0 else torch.uint8
    x = x.view(wide).permute(0, 3, 1, 2)
    x = nn.functional.interpolate(x, scale_factor=2, mode="nearest")
    return x.permute(0, 2, 3, 1).view(torch.uint8).permute(0, 3, 1, 2)
