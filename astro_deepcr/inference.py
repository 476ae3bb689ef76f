# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Run a network over a frame. Imports torch."""

import os
import threading
from dataclasses import replace
from functools import lru_cache

import numpy as np
import torch

from . import conf
from .devices import (
    cpu_has_bfloat16,
    cpu_has_int8,
    cpu_threads,
    exact_convolutions,
    keep_freed_memory,
    resolve_device,
    resolve_precision,
)
from .exceptions import OutOfMemoryWarning, WeightsError, warn
from .models import ARCHITECTURES, build_model
from .models.int8 import can_quantize, quantize
from .models.orientations import ORIENTATIONS, mean_over_orientations
from .noise import Normalization, measure_normalization
from .tiling import common_inside, cut_tile, gather_tile, plan_tiles, stitch_tile
from .weights import resolve
from .weights.files import load_state

__all__ = ["predict"]

_TILE_SIZE = {"cpu": 352, "cuda": 1024, "mps": 512}
# Tiles are at least as many halos wide, by the bytes of a number: narrower ones compute
# much twice, wider ones need more memory.
_HALOS = {4: 9, 2: 10, 1: 11}
_BATCH_SIZE = {"cpu": 1, "cuda": 8, "mps": 4}
# Without memory for a tile of this size, nothing works.
_SMALLEST_TILE = 64
# Tiles around few pixels give the result for no less than this, to both sides.
_SMALLEST_INNER = 16
_EXACT = torch.float32
# Side of the frame on which a short type is tried, and the part of its pixels that may
# come out otherwise.
_TRIAL, _MOST_DIFFERENT = 256, 1e-4
# Up to so much darker and brighter than on the trial frame, as asinh, integers are good
# enough.
_BEYOND_TRIAL = (3.0, 1.5)


def predict(image, weights, *, where=None, device=None, orientations=1):
    """
    Run a network over a frame, tile by tile.

    Tiles overlap by as much as the network looks, so that the result does not
    depend on how the frame was cut. If the device runs out of memory, the frame
    is done again in smaller tiles, with a warning.

    Parameters
    ----------
    image : list of `~numpy.ndarray`, each of shape (rows, columns)
        The channels of the network's input: the frame, finite and normalised, and for
        networks that fill pixels the mask of these. Or one array of three dimensions.
    weights : `~astro_deepcr.weights.Weights`
        Which network.
    where : `~numpy.ndarray` of bool, shape (rows, columns), optional
        The pixels that are wanted; only tiles with such a pixel are run.
    device : str, optional
        `None` means ``astro_deepcr.conf.device``.
    orientations : {1, 2, 4, 8}, optional
        Of the image, over which the output of the network (the logits) is averaged.

    Returns
    -------
    output : `~numpy.ndarray` of float32, shape (rows, columns)
        The probability for mask networks, the normalised value for others; of
        networks that give more than one channel, shape (channels, rows, columns).
        With ``where``, the pixels that are wanted alone: shape (n,) or (channels, n).

    Raises
    ------
    ~astro_deepcr.exceptions.DeviceError
        If there is no such device.
    ~astro_deepcr.exceptions.WeightsError
        If there is no good weights file.

    Examples
    --------
    >>> import numpy as np
    >>> from astro_deepcr.inference import predict
    >>> from astro_deepcr.weights import get_weights
    >>> predict(np.full((1, 20, 30), 90., np.float32), get_weights('acs-wfc')).shape
    (20, 30)
    """
    _check_finite(image[0], "input", weights)
    weights = _of_no_frame(weights)
    device = resolve_device(device)
    # Types are chosen here, whatever the caller's autocast says; also in the trial.
    plain = torch.autocast(device.type, enabled=False)
    with _turns(), cpu_threads(), plain, exact_convolutions(device):
        dtype = _choose_precision(weights, device)
        if dtype is torch.int8 and not _fits_in_int8(image[0], weights):
            dtype = next(_short_floats(), _EXACT)  # integers would cut it off
        what = (image, weights, where, orientations)
        output = _predict_in_memory(*what, device, dtype)
        if dtype is not _EXACT and not np.isfinite(output).all():
            # The values of this frame overflow the short type.
            output = _predict_in_memory(*what, device, _EXACT)
    _check_finite(output, "output", weights)
    return output


@lru_cache(maxsize=1)
def _lock_of(_process):
    return threading.Lock()


def _turns():
    """
    Return the lock by which threads that clean different frames take turns.

    A network is loaded once, and memory and torch's number of threads are for one
    frame. A process that was forked has its own: the other's may be locked for ever.
    """
    return _lock_of(os.getpid())


_turns()  # threads that ask for the first time at once must get the same


def _of_no_frame(weights):
    """Return weights without the statistics of a frame: these are loaded once."""
    weights, measured = replace(weights, instruments=()), weights.normalization
    if not isinstance(measured, Normalization):
        return weights
    name = "sky-noise-asinh" if measured.asinh else "mean-std"
    return replace(weights, normalization=name)


def _choose_precision(weights, device):
    """Return what was asked for, or the fastest type that is as good as float32."""
    asked = resolve_precision(device)
    free = conf.precision == "auto" or (asked is torch.int8 and not _has_int8(weights))
    if device.type != "cpu" or not free:
        return asked
    return next((dtype for dtype in _short_types() if _does(weights, dtype)), _EXACT)


def _short_types():
    """Yield the types that this processor is fast with, the fastest first."""
    if cpu_has_int8():
        yield torch.int8
    yield from _short_floats()


def _short_floats():
    if cpu_has_bfloat16():
        yield torch.bfloat16


def _fits_in_int8(values, weights):
    """Say whether integers are good enough for the input."""
    least, most = _limits_of_int8(weights)
    return values.min() >= least and values.max() <= most


@lru_cache(maxsize=32)
def _limits_of_int8(weights):
    image, (darker, brighter) = _trial_image(weights)[0], _BEYOND_TRIAL
    return image.min() - darker, image.max() + brighter


def _has_int8(weights):
    return can_quantize(ARCHITECTURES.get(weights.architecture, object))


@lru_cache(maxsize=32)
def _does(weights, dtype):
    """Try some weights in a short type, on this processor, on a small frame."""
    if dtype is torch.int8 and not _has_int8(weights):
        return False
    cpu, results = torch.device("cpu"), []
    image = _trial_image(weights)
    for kind in (_EXACT, dtype):
        network = _load_network(weights, cpu, kind)
        with torch.inference_mode():
            results.append(_run_tiles(network, image, weights, None, _TRIAL, 1))
    exact, quick = results
    if weights.task == "mask":
        other = (exact > weights.threshold) != (quick > weights.threshold)
    else:
        other = np.abs(quick - exact) > 0.02 * (1 + np.abs(exact))
    return bool(np.mean(other) <= _MOST_DIFFERENT)


def _trial_image(weights):
    """Return the input of a network for a frame of stars and tracks, in electrons."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:_TRIAL, :_TRIAL]
    light = np.full((_TRIAL, _TRIAL), 100.0)
    for row, column in rng.uniform(0, _TRIAL, (25, 2)):
        with np.errstate(under="ignore"):  # far from the star
            star = np.exp(-((y - row) ** 2 + (x - column) ** 2) / 4)
            light += 10 ** rng.uniform(2, 5) * star
    values = rng.normal(light, np.sqrt(light + 25))
    hit = np.zeros(values.shape, bool)
    for row, column in rng.integers(0, _TRIAL - 12, (40, 2)):
        hit[row, column : column + 8] = True
    values[hit] += rng.exponential(800, np.count_nonzero(hit))
    normalization = measure_normalization(values, np.zeros_like(hit), weights)
    image = normalization.forward(values)
    return [image] if weights.task == "mask" else [np.where(hit, 0, image), hit]


def _check_finite(values, what, weights):
    if not np.isfinite(values).all():
        msg = (
            f"The {what} of the network {weights.name!r} is not finite: values of the "
            "frame are too large, or too small, for it. Check the unit, the gain and "
            "the background."
        )
        raise ValueError(msg)


def _chosen(name, default):
    """Return a size of the configuration, or the default where that is 0."""
    size = getattr(conf, name)
    if size < 0:
        msg = f"{name}={size} must be 0 (chosen by device) or more."
        raise ValueError(msg)
    return size or default


def _predict_in_memory(image, weights, where, orientations, device, dtype):
    """Run the tiles, smaller ones if the device has too little memory."""
    if device.type == "cpu":
        keep_freed_memory()
    network = _load_network(weights, device, dtype)
    # Networks that fill end in float32, at the resolution of the frame.
    halos = _HALOS[dtype.itemsize if weights.task == "mask" else _EXACT.itemsize]
    least = max(_TILE_SIZE[device.type], halos * weights.halo)
    tile_size = _chosen("tile_size", least)
    batch_size = _chosen("batch_size", _BATCH_SIZE[device.type])
    while True:
        try:
            with torch.inference_mode():
                return _run_tiles(
                    network, image, weights, where, tile_size, batch_size, orientations
                )
        except (MemoryError, RuntimeError) as err:
            if not _is_out_of_memory(err) or tile_size <= _SMALLEST_TILE:
                raise
        if device.type != "cpu":
            getattr(torch, device.type).empty_cache()
        tile_size, batch_size = max(tile_size // 2, _SMALLEST_TILE), 1
        msg = (
            f"{device} ran out of memory; the frame is done again in tiles of "
            f"{tile_size} pixels, one at a time. Set astro_deepcr.conf.tile_size "
            "and batch_size to avoid this."
        )
        warn(msg, OutOfMemoryWarning)


@lru_cache(maxsize=8)
def _load_network(weights, device, dtype):
    """Load a network onto a device; kept, since frames come in hundreds."""
    # What it starts with is drawn; the caller's default may be another device or type.
    with torch.random.fork_rng(devices=[]), torch.device("cpu"):
        network = build_model(weights.architecture, weights.arguments).float()
        state = load_state(resolve(weights))
    try:
        network.load_state_dict(state)
    except RuntimeError as err:
        msg = (
            f"The tensors of the weights {weights.name!r} do not fit the "
            f"architecture {weights.architecture!r} with {weights.arguments}: "
            f"{str(err).partition(chr(10))[0]}"
        )
        raise WeightsError(msg) from err
    network = network.eval().requires_grad_(False)
    network = network.to(device, memory_format=torch.channels_last)
    if dtype is torch.int8:
        example = np.stack(_trial_image(weights)).astype(np.float32)
        with torch.device("cpu"):
            return quantize(network, torch.from_numpy(example)[None])
    return getattr(network, "to_precision", network.to)(dtype)


def _run_tiles(network, image, weights, where, tile_size, batch_size, orientations=1):
    parameter = next(network.parameters())
    shape = image[0].shape
    tiles = _plan(shape, weights, where, tile_size, parameter.device)
    # Of few pixels, whole frames of memory would be mostly empty.
    order = None if where is None else np.flatnonzero(where)
    form = shape if order is None else order.shape
    output = np.zeros((1, *form), np.float32)
    for start in range(0, len(tiles), batch_size):
        batch = tiles[start : start + batch_size]
        cutouts = np.stack([[cut_tile(part, tile) for part in image] for tile in batch])
        x = torch.from_numpy(cutouts).to(parameter.device, parameter.dtype)
        inside = common_inside(batch)
        y = mean_over_orientations(network, x, ORIENTATIONS[:orientations], inside)
        if weights.task == "mask":
            y = y.sigmoid_()
        if len(output) != y.shape[1]:
            output = np.zeros((y.shape[1], *form), np.float32)
        for tile, result in zip(batch, y.cpu().numpy(), strict=True):
            if order is None:
                stitch_tile(output, tile, result, inside)
            else:
                gather_tile(output, tile, result, inside, where, order)
    return output[0] if len(output) == 1 else output


def _plan(shape, weights, where, tile_size, device):
    """Return the tiles to run: all, or the cheapest that hold the pixels wanted."""
    halo, stride = weights.halo, weights.stride
    side = max(tile_size, 4 * halo)
    tiles = plan_tiles(shape, side, halo, stride)
    if where is None:
        return tiles
    tiles, inner = _that_hold(where, tiles), side - 2 * halo
    while device.type == "cpu" and inner >= 2 * _SMALLEST_INNER:
        inner //= 2  # few pixels are in few small tiles
        plan = plan_tiles(shape, inner + 2 * halo, halo, stride)
        smaller = _that_hold(where, plan)
        if sum(tile.cost for tile in smaller) >= sum(tile.cost for tile in tiles):
            break
        tiles = smaller
    return tiles


def _that_hold(where, tiles):
    return [tile for tile in tiles if where[tile.area].any()]


def _is_out_of_memory(err):
    """Tell a lack of memory, of which torch has several kinds, from real errors."""
    return isinstance(err, (MemoryError, torch.cuda.OutOfMemoryError)) or (
        "not enough memory" in str(err)
        or "can't allocate memory" in str(err)
        or "MPS backend out of memory" in str(err)
    )
