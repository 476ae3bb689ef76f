# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""A family of fast U-Nets of plain convolutions."""

from numbers import Integral

import torch
from torch import nn
from torch.nn.utils import parametrize

from ._parts import cut, doubled, halved, parts_needed, whole

__all__ = ["PlainUNet", "enlarge", "fold", "reparametrize"]

_STEMS = {"full": 1, "unshuffle": 2}
# Cosmic rays hit about one pixel in a hundred: where training starts from.
_FIRST_LOGIT = -4.6


class PlainUNet(nn.Module):
    """
    A U-Net of plain 3 x 3 convolutions with additive skips, to find cosmic rays.

    Nothing normalises inside of it, so that a pixel's result depends on nothing
    that is farther away than `reach` says.

    Parameters
    ----------
    in_channels : int, optional
        Channels of the image.
    widths : tuple of int, optional
        Channels at each level; a level has half the resolution of the one above.
    depths : tuple of int or int, optional
        Convolutions in a row at each level, on the way down and, but for the last
        level, again on the way up.
    stem : {'full', 'unshuffle'}, optional
        Whether the first level has the resolution of the image, or half of it:
        squares of 2 x 2 pixels then become four channels.
    detail : int, optional
        Channels of a thin branch at full resolution that is merged at the end; 0
        for none. Only with the stem 'unshuffle'.
    stretches : {1, 2}, optional
        2 shows the network its input x, which is the asinh of the image, a second
        time as 2 sinh(x / 2): nearly the same for faint pixels, and like a square
        root for bright ones, so that their photon noise does not get small.
    out_channels : int, optional
        Channels of the output.

    Raises
    ------
    ValueError
        If the arguments do not go together.

    Notes
    -----
    With a stem 'unshuffle' the convolutions of the first level cost a quarter.

    The layers that see the image always calculate in float32: on the core of a
    bright star, neighbouring steps of bfloat16 are farther apart than the noise.

    Examples
    --------
    >>> import torch
    >>> from astro_deepcr.models import PlainUNet
    >>> network = PlainUNet(widths=(8, 16), depths=1, detail=4)
    >>> network(torch.zeros(2, 1, 32, 48)).shape
    torch.Size([2, 1, 32, 48])
    >>> PlainUNet.reach(widths=(8, 16), depths=1, detail=4)
    (12, 4)
    """

    def __init__(
        self,
        in_channels=1,
        widths=(32, 64, 96),
        depths=2,
        stem="unshuffle",
        detail=0,
        stretches=1,
        out_channels=1,
    ):
        super().__init__()
        widths, depths = _check(widths, depths, stem, detail, stretches)
        self.fold_input, self.stretches = _STEMS[stem], stretches
        in_channels *= stretches
        n_in = in_channels * self.fold_input**2
        self.down = nn.ModuleList(
            _block(n_in, n_out, depth)
            for n_in, n_out, depth in zip((n_in, *widths), widths, depths, strict=False)
        )
        below = list(zip(widths[1:], widths[:-1], depths[:-1], strict=True))[::-1]
        self.up = nn.ModuleList(Join(low, high, 1) for low, high, _ in below)
        self.merge = nn.ModuleList(_block(high, high, n) for _, high, n in below)
        self.detail = nn.Conv2d(in_channels, detail, 3, padding=1) if detail else None
        last = detail or widths[0]
        if detail:
            self.spread = nn.Conv2d(widths[0], detail * self.fold_input**2, 1)
            self.refine = nn.Conv2d(detail, detail, 3, padding=1)
        folded = 1 if detail else self.fold_input**2
        self.head = nn.Conv2d(last, out_channels * folded, 1)
        nn.init.constant_(self.head.bias, _FIRST_LOGIT)

    def forward(self, x, inside=None):
        """
        Return logits.

        Parameters
        ----------
        x : `torch.Tensor`
            Shape (batch, in_channels, rows, columns), a multiple of the stride.
        inside : tuple of slice, optional
            The rows and columns that are wanted, which saves half of the time of the
            others: they need no way up.

        Returns
        -------
        logits : `torch.Tensor`
            Shape (batch, out_channels, rows, columns), or less if so wanted.
        """
        image = x
        if self.stretches == 2:
            image = torch.cat([x, 2 * torch.sinh(x / 2)], dim=1)
        if self.fold_input == 1:
            x, held = self._logits_of_first_level(image, inside)
            return cut(x, inside or held, held)
        (first, _), shape = parts_needed(inside, x.shape[2:], [2]), x.shape[2:]
        x = nn.functional.pixel_unshuffle(image, self.fold_input)
        x, held = self._logits_of_first_level(x, halved(first))
        x = nn.functional.pixel_shuffle(x, self.fold_input)
        x = cut(x, first, doubled(held))
        if self.detail is not None:
            fine = cut(image, first, whole(shape))
            fine = _see(self.detail, fine, self.head.weight.dtype)
            x = self.head(self.refine(fine.add_(x).relu_()).relu_())
        return cut(x, inside or first, first)

    def _logits_of_first_level(self, x, inside):
        """Go down and up; return what is inside, or a little more, and where it is."""
        shape = x.shape[2:]
        x = self.down[0][1:](_see(self.down[0][0], x, self.head.weight.dtype))
        skips = []
        for block in self.down[1:]:
            skips.append(x)
            x = block(_halve(x))
        reaches = [len(block) // 2 for block in self.merge][::-1]
        *parts, held = parts_needed(inside, shape, reaches)
        for up, merge in zip(self.up, self.merge, strict=True):
            part = parts.pop()
            low = cut(x, halved(part), held)
            x, held = merge(up(low, skips.pop()[(..., *part)])), part
        return (self.head(x) if self.detail is None else self.spread(x)), held

    def to_precision(self, dtype):
        """
        Change the type of all layers but those that see the image.

        Parameters
        ----------
        dtype : `torch.dtype`
            The type.

        Returns
        -------
        network : `PlainUNet`
            The same object; its input stays float32.
        """
        self.to(dtype)
        for layer in (self.down[0][0], self.detail):
            if layer is not None:
                layer.float()
        return self

    @staticmethod
    def reach(
        in_channels=1,  # noqa: ARG004 (the same arguments as the class)
        widths=(32, 64, 96),
        depths=2,
        stem="unshuffle",
        detail=0,
        stretches=1,
        out_channels=1,  # noqa: ARG004
    ):
        """
        Say how far a network with such arguments looks, without making it.

        Parameters
        ----------
        in_channels, widths, depths, stem, detail, stretches, out_channels
            As for the class.

        Returns
        -------
        halo : int
            Pixels on each side, a multiple of the stride.
        stride : int
            Pixels that are pooled together along each axis.
        """
        widths, depths = _check(widths, depths, stem, detail, stretches)
        steps = [_STEMS[stem] * 2**level for level in range(len(widths))]
        ways = [2] * (len(widths) - 1) + [1]
        blocks = zip(ways, depths, steps, strict=True)
        halo = sum(way * depth * step for way, depth, step in blocks)
        # Pixels of one coarse cell see the same; the first may be its last one.
        halo += steps[-1] - 1 + bool(detail)
        return -(-halo // steps[-1]) * steps[-1], steps[-1]


class Join(nn.Conv2d):
    """Takes what comes from a coarser level, and adds it to what went down."""

    def forward(self, low, skip):
        """Return what goes into the way up, at the finer level."""
        low = super().forward(low)
        return nn.functional.interpolate(low, scale_factor=2, mode="nearest").add_(skip)


class _Kernel(nn.Module):
    """
    A 3 x 3 kernel as gain x direction, plus a 1 x 1 kernel in its centre.

    The length of the direction does not matter, which steadies the steps of the
    optimiser. The sum is one plain kernel.
    """

    def forward(self, direction, gain, point):
        """Return the plain kernel."""
        length = direction.flatten(1).norm(dim=1).clamp_min(1e-12)
        kernel = direction * (gain / length)[:, None, None, None]
        return kernel + nn.functional.pad(point[:, :, None, None], (1, 1, 1, 1))

    def right_inverse(self, kernel):
        """Return the parts that a plain kernel starts from."""
        point = torch.zeros_like(kernel[:, :, 0, 0])
        return kernel.clone(), kernel.flatten(1).norm(dim=1), point


def reparametrize(network):
    """
    Give the 3 x 3 convolutions of a network more parameters to train.

    Each kernel becomes the sum of a 3 x 3 kernel with a gain of its own and a 1 x 1
    kernel [1]_. What the network computes does not change, nor what it costs.

    Parameters
    ----------
    network : `torch.nn.Module`
        Is changed.

    Returns
    -------
    network : `torch.nn.Module`
        The same object. `fold` gives its tensors as plain kernels.

    References
    ----------
    .. [1] Ding, X., et al. 2021, "RepVGG: Making VGG-style ConvNets Great Again",
       CVPR. Salimans, T. & Kingma, D. P. 2016, "Weight Normalization", NeurIPS.

    Examples
    --------
    >>> from astro_deepcr.models import PlainUNet, fold, reparametrize
    >>> network = reparametrize(PlainUNet(widths=(4, 8), depths=1))
    >>> fold(network).keys() == PlainUNet(widths=(4, 8), depths=1).state_dict().keys()
    True
    """
    for layer in list(network.modules()):
        if isinstance(layer, nn.Conv2d) and layer.kernel_size == (3, 3):
            parametrize.register_parametrization(layer, "weight", _Kernel())
    return network


def fold(network):
    """
    Return the tensors of a network as those of plain convolutions.

    Parameters
    ----------
    network : `torch.nn.Module`
        Reparametrised or not; it is not changed.

    Returns
    -------
    state : dict of str to `torch.Tensor`
        On the CPU; for the ``load_state_dict`` of the plain network.
    """
    state = {
        name: value
        for name, value in network.state_dict().items()
        if ".parametrizations." not in name
    }
    for name, layer in network.named_modules():
        if parametrize.is_parametrized(layer, "weight"):
            state[f"{name}.weight"] = layer.weight
    return {name: value.detach().cpu().clone() for name, value in state.items()}


def enlarge(state, network):
    """
    Carry the tensors of a small network over to a larger one.

    The larger network at first computes the same [1]_: what its new channels see is as
    it was before (random, if it was just built), and nobody listens to them yet; nor to
    its new levels, which come below the old ones.

    Parameters
    ----------
    state : dict of str to `torch.Tensor`
        Of a plain network with fewer channels or levels and else the same arguments.
    network : `PlainUNet` or `FillUNet`
        Not reparametrised; is changed.

    Returns
    -------
    network : `PlainUNet` or `FillUNet`
        The same object.

    Raises
    ------
    ValueError
        If the networks differ in more than their widths, or this one is smaller.

    References
    ----------
    .. [1] Chen, T., Goodfellow, I. & Shlens, J. 2016, "Net2Net: Accelerating Learning
       via Knowledge Transfer", ICLR (there, new channels are copies).

    Examples
    --------
    >>> import torch
    >>> from astro_deepcr.models import PlainUNet, enlarge
    >>> small = PlainUNet(widths=(4, 8), depths=1)
    >>> large = enlarge(small.state_dict(), PlainUNet(widths=(6, 9, 12), depths=1))
    >>> image = torch.randn(1, 1, 16, 16)
    >>> torch.allclose(small(image), large(image), atol=1e-5)
    True
    """
    if hasattr(network, "body"):  # of a network that fills
        enlarge(
            {name.removeprefix("body."): state[name] for name in state}, network.body
        )
        return network
    old = _with_levels(state, network)
    large = network.state_dict()
    fits = large.keys() == old.keys() and all(
        all(map(int.__ge__, tensor.shape, old[name].shape))
        for name, tensor in large.items()
    )
    if not fits:
        msg = "The network must be the same but for levels: none less, none narrower."
        raise ValueError(msg)
    for name, tensor in large.items():
        small = old[name]
        if small.ndim > 1:  # the old outputs do not listen to new channels
            tensor[: len(small), small.shape[1] :] = 0
        tensor[tuple(map(slice, small.shape))] = small
    network.load_state_dict(large)
    return network


def _with_levels(state, network):
    """Add the tensors of the new levels of a network, which do nothing yet."""
    new = len(network.up) - len({name for name in state if name.startswith("up.")}) // 2
    if new <= 0:
        return state
    state = {_lowered(name, new): tensor for name, tensor in state.items()}
    for name, tensor in network.state_dict().items():
        if name not in state:
            state[name] = torch.zeros_like(tensor)
            if name.startswith("down."):  # learns from what nobody listens to yet
                state[name] = tensor
            elif name.startswith("merge.") and tensor.ndim > 1:
                torch.nn.init.dirac_(state[name])  # passes on what is above
    return state


def _lowered(name, levels):
    """Return the name of a tensor when there are more levels below its own."""
    part, *rest = name.split(".")
    if part in ("up", "merge"):
        rest[0] = str(int(rest[0]) + levels)
    return ".".join([part, *rest])


def _see(layer, image, dtype):
    """Run a layer in full precision, and go on in another, or in integers."""
    with torch.autocast(image.device.type, enabled=False):
        seen = layer(image.to(layer.weight.dtype))
    return seen.to(dtype) if seen.is_floating_point() else seen


def _halve(x):
    """Return the largest of each 2 x 2 pixels."""
    if not x.is_cpu or torch.is_grad_enabled():
        return nn.functional.max_pool2d(x, 2)
    # Three times as fast on a CPU; no gradient asks which of the four it was.
    x = torch.maximum(x[:, :, ::2], x[:, :, 1::2])
    return torch.maximum(x[..., ::2], x[..., 1::2])


def _check(widths, depths, stem, detail, stretches):
    """Return widths and depths as tuples of the same length."""
    widths = tuple(widths)
    whole = isinstance(depths, Integral)
    depths = (depths,) * len(widths) if whole else tuple(depths)
    if not widths or len(depths) != len(widths) or min(*widths, *depths) < 1:
        msg = (
            f"widths={widths} and depths={depths} must be as many numbers, 1 or more: "
            "one for each level."
        )
        raise ValueError(msg)
    if stem not in _STEMS:
        msg = f"stem={stem!r} is not known; choose one of {', '.join(_STEMS)}."
        raise ValueError(msg)
    if detail < 0 or (detail and stem == "full"):
        msg = (
            f"detail={detail} with stem={stem!r}: a branch at full resolution (1 "
            "channel or more) goes with the stem 'unshuffle' only."
        )
        raise ValueError(msg)
    if stretches not in (1, 2):
        msg = f"stretches={stretches} must be 1 or 2."
        raise ValueError(msg)
    return widths, depths


def _block(n_in, n_out, depth):
    layers = []
    for i in range(depth):
        layer = nn.Conv2d(n_in if i == 0 else n_out, n_out, 3, padding=1)
        nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
        nn.init.zeros_(layer.bias)
        if layer.in_channels == n_out:
            _make_residual(layer)
        layers += [layer, nn.ReLU(inplace=True)]
    return nn.Sequential(*layers)


@torch.no_grad()
def _make_residual(layer):
    """Let a convolution start near the identity, as a residual block does."""
    layer.weight.mul_(0.5)
    layer.weight[:, :, 1, 1] += torch.eye(layer.in_channels)
