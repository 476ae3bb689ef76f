# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
Frames larger than the memory, as Dask arrays. Imports dask.

Each block is cleaned like a frame of its own, with as much of its neighbours around it
as the network looks, and with the statistics of the whole frame.
"""

import copy
import math
import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import cached_property, lru_cache, partial

import dask
import dask.array as da
import numpy as np
from astropy.nddata import NDData

from . import __version__
from .apply import hit_probability, replace_hit
from .arguments import check_limits, check_orientations, choose_threshold, parse_inpaint
from .fill import FILL_REACH
from .header import log_to_meta
from .images import (
    background_value,
    check_data,
    is_dask,
    parse_image,
    plain_background,
    with_data,
)
from .masks import find_cosmic_rays
from .noise import measure_sample, row_step
from .units import conversion_factor, parse_readnoise
from .weights import Weights, get_weights

__all__ = ["clean_lazily", "probability_lazily"]

# Side of a block. Frames come with blocks of their own, which are kept if they are
# between these: smaller ones are mostly overlap, larger ones take much memory.
_BLOCK = 1024
_LARGEST_BLOCK = 4096
_LOCAL_FILLS = (None, "median", "mean", "idw")


def probability_lazily(ccd, weights, *, background, **how):
    """
    Build the graph of the probability of each pixel to be hit.

    Parameters
    ----------
    ccd : `dask.array.Array` or `~astropy.nddata.NDData` with one
        The frame.
    weights, background
        As in `~astro_deepcr.cosmicray_probability`.
    **how
        Its ``gain``, ``exposure_time``, ``orientations`` and ``device``.

    Returns
    -------
    probability : `dask.array.Array` of float32, shape (rows, columns)
        Nothing is computed yet but the statistics of the frame, where the weights
        want them.
    """
    frame = _Frame(ccd, background, how)
    entry = get_weights(weights, meta=frame.meta)
    return frame.probability(frame.settle(entry))


def clean_lazily(
    ccd,
    weights,
    *,
    threshold,
    fpr,
    neighbor_threshold,
    orientations,
    grow,
    protect,
    inpaint,
    noise,
    gain,
    readnoise,  # only checked: it is for uncertainties, which are refused
    exposure_time,
    background,
    update_mask,
    add_uncertainty,
    flag_bit,
    max_fraction,
    device,
    add_keyword,
):
    """
    Build the graph of a cleaned frame.

    Parameters
    ----------
    ccd : `dask.array.Array` or `~astropy.nddata.NDData` with one
        The frame.
    weights, threshold, fpr, neighbor_threshold, orientations, grow, protect, inpaint, \
noise, gain, readnoise, exposure_time, background, update_mask, add_uncertainty, \
flag_bit, max_fraction, device, add_keyword
        As in `~astro_deepcr.cosmicray_deepcr`. Nothing is warned of ``max_fraction``,
        since nothing is computed yet.

    Returns
    -------
    cleaned : same class as ``ccd``
        With Dask arrays.
    crmask : `dask.array.Array` of bool, shape (rows, columns)
        Only if ``ccd`` is an array. One of masked arrays gives one again, with the
        cosmic rays masked, too.

    Raises
    ------
    ValueError
        For what needs the whole frame at once.
    """
    _refuse(ccd, neighbor_threshold, flag_bit, noise, add_uncertainty)
    how = {"gain": gain, "exposure_time": exposure_time}
    how |= {"device": device, "orientations": orientations}
    frame = _Frame(ccd, background, how)
    entry = get_weights(weights, meta=frame.meta)
    threshold = choose_threshold(entry, threshold, fpr)
    check_limits(threshold, None, grow, max_fraction)
    check_orientations(orientations)
    if readnoise is not None:
        parse_readnoise(readnoise, gain, frame.meta)
    fill = parse_inpaint(inpaint, frame.meta)
    if isinstance(fill, str) and fill not in _LOCAL_FILLS:
        msg = f"inpaint={fill!r} needs the whole frame at once; for Dask arrays choose "
        msg += "'median', 'mean', 'idw', 'network' or None."
        raise ValueError(msg)
    data, crmask = frame.clean(
        frame.settle(entry), threshold, grow, protect, frame.settle(fill)
    )
    mask = frame.mask | crmask if update_mask else frame.mask
    if not isinstance(ccd, NDData):
        return da.ma.masked_array(data, mask) if frame.masked else data, crmask
    fill_name = str(getattr(fill, "name", fill))
    provenance = {
        "CRMODEL": entry.name,
        "CRSHA": entry.sha256[:12],
        "CRTHRESH": threshold,
        "CRORIENT": orientations,
        "CRFILL": fill_name,
    }
    version = __version__.partition("+")[0]
    history = f"astro_deepcr {version}: found by {entry.name}, fill: {fill_name}"
    meta = log_to_meta(ccd.meta, provenance, history, add_keyword)
    cleaned = with_data(ccd, data)
    cleaned.meta = meta
    # The setters of CCDData would compute these, and keep the whole in memory.
    cleaned._mask = mask if update_mask or frame.masked else ccd.mask
    if getattr(ccd, "flags", None) is not None:
        cleaned._flags = copy.deepcopy(ccd.flags)
    return cleaned


def _refuse(ccd, neighbor_threshold, flag_bit, noise, add_uncertainty):
    """Raise ValueError for what cannot be done block by block."""
    refused = {
        "neighbor_threshold=": neighbor_threshold is not None,
        "flag_bit=": flag_bit is not None,
        "noise=": noise is not False,
        "add_uncertainty=": bool(add_uncertainty),
        "an uncertainty (take it off: ccd.uncertainty = None)": getattr(
            ccd, "uncertainty", None
        )
        is not None,
    }
    for what, given in refused.items():
        if given:
            msg = f"A frame in a Dask array is cleaned block by block, without {what}."
            raise ValueError(msg)


class _Frame:
    """A frame in blocks that begin at multiples of what networks pool together."""

    def __init__(self, ccd, background, how):
        is_nddata = isinstance(ccd, NDData)
        data = ccd.data if is_nddata else ccd
        check_data(data)
        if np.isnan(data.shape).any():
            msg = "The sizes of the Dask array's chunks are not known; call its "
            msg += "compute_chunk_sizes() first."
            raise ValueError(msg)
        self.masked = isinstance(data._meta, np.ma.MaskedArray)
        self.data = da.ma.getdata(data) if self.masked else data
        self.unit = ccd.unit if is_nddata else None
        self.meta = ccd.meta if is_nddata else None
        mask = ccd.mask if is_nddata else None
        self.mask = self._plane(False if mask is None else mask, bool, "mask")
        if self.masked:
            self.mask = self.mask | da.ma.getmaskarray(data)
        if isinstance(background, NDData) and is_dask(background):
            background = _lazy_background(background, self.unit)
        elif background is not None and not is_dask(background):
            background = plain_background(background, self.unit)
        self.background = self._plane(background, np.float32, "background")
        self.how = how

    def _plane(self, values, dtype, name):
        """Return one number, or an array of the frame's shape, as a Dask array."""
        if values is None:
            return None
        values = da.asarray(values)
        if values.shape not in ((), self.data.shape):
            msg = f"{name} has shape {values.shape}, the frame {self.data.shape}."
            raise ValueError(msg)
        if dtype is bool and values.dtype.kind not in "biu":
            msg = (
                f"{name} holds {values.dtype} values; booleans or integers are needed."
            )
            raise TypeError(msg)
        return da.broadcast_to(values.astype(dtype), self.data.shape)

    def settle(self, entry):
        """Return weights with the statistics of the whole frame, from a sample."""
        if not isinstance(entry, Weights):
            return entry
        entry = replace(entry, instruments=())  # a mismatch was told already
        factor = self._factor(entry)  # whatever is wrong with the unit is told now
        if entry.normalization == "fixed":
            return entry
        values = self.sample.values * np.float32(factor)
        normalization = measure_sample(values, self.sample.mask, entry)
        return replace(entry, normalization=normalization)

    @cached_property
    def sample(self):
        """Rows of the frame that tell the statistics of all, read once."""
        step = row_step(self.data.shape)
        planes = (self.data, self.mask, self.background)
        planes = (None if plane is None else plane[::step] for plane in planes)
        data, mask, background = dask.compute(*planes)
        return parse_image(NDData(data, mask=mask), background)

    def _factor(self, entry):
        given = {key: self.how[key] for key in ("gain", "exposure_time")}
        return conversion_factor(self.unit, entry.unit, meta=self.meta, **given)

    def probability(self, entry):
        """Return the probability of each pixel."""
        fill = self.settle(get_weights(None, task="inpaint"))
        return self._map(
            _probability_of_block,
            entry.halo + FILL_REACH + fill.halo,
            math.lcm(entry.stride, fill.stride),
            np.float32,
            weights=entry,
            fill=fill,
            orientations=self.how["orientations"],
        )

    def clean(self, entry, threshold, grow, protect, method):
        """Return the data with cosmic rays replaced, and the mask of these."""
        fill = self.settle(get_weights(None, task="inpaint"))
        depth = entry.halo + FILL_REACH + fill.halo + int(np.ceil(grow))
        strides = [entry.stride, fill.stride]
        if method is not None:
            depth += FILL_REACH
        if isinstance(method, Weights):
            depth += method.halo
            strides.append(method.stride)
        dtype = np.result_type(self.data.dtype, np.float32).newbyteorder("=")
        # Both results come from one step. If the mask were an array of its own, a large
        # part of all blocks would be kept until their neighbours' masks are there.
        both = self._map(
            _clean_block,
            depth,
            math.lcm(*strides),
            [("data", dtype), ("crmask", bool)],
            protect=self._plane(protect, bool, "protect"),
            weights=entry,
            fill=fill,
            orientations=self.how["orientations"],
            method=method,
            threshold=threshold,
            grow=grow,
        )
        return both["data"], both["crmask"]

    def _map(self, function, depth, stride, dtype, *, protect=None, **options):
        """Run a function on overlapping blocks of all planes that there are."""
        planes = {"data": self.data, "mask": self.mask, "background": self.background}
        planes["protect"] = protect
        planes = {name: plane for name, plane in planes.items() if plane is not None}
        depth = -(-depth // stride) * stride
        chunks = tuple(_chunks(sizes, depth, stride) for sizes in self.data.chunks)
        return da.map_overlap(
            _call_with_names,
            *(plane.rechunk(chunks) for plane in planes.values()),
            depth=tuple(depth * (len(sizes) > 1) for sizes in chunks),
            boundary="none",
            allow_rechunk=False,
            dtype=dtype,
            meta=np.empty((0, 0), dtype),
            function=function,
            names=tuple(planes),
            kind={"unit": self.unit, "meta": self.meta},
            how=self.how,
            **options,
        )


def _lazy_background(background, unit):
    """Return the numbers of a background in an NDData, NaN where it is masked."""
    values = background.data
    if background.unit is not None:
        values = values * float(background_value(1.0 * background.unit, unit))
    if background.mask is None:
        return values
    return da.where(da.asarray(background.mask).astype(bool), np.nan, values)


def _call_with_names(*blocks, function, names, kind, how, **options):
    """Run a function on the pixels of a block, unless there are none."""
    planes = dict(zip(names, blocks, strict=True))
    background, protect = planes.get("background"), planes.get("protect")
    data, mask = planes["data"], planes["mask"]
    if not (np.isfinite(data) & ~mask).any():
        return function(None, data, protect, **options)
    pixels = parse_image(NDData(data, mask=mask, **kind), background)
    given = {key: how[key] for key in ("gain", "exposure_time")}
    to_unit = partial(conversion_factor, pixels.unit, meta=pixels.meta, **given)
    work = partial(function, pixels, data, protect, **options)
    worker = _worker(os.getpid())
    return worker.submit(work, to_unit=to_unit, device=how["device"]).result()


def _chunks(sizes, depth, stride):
    """Return sizes of blocks along one axis: the old ones, if they fit."""
    aligned = all(size % stride == 0 for size in sizes[:-1])
    if aligned and depth <= min(sizes) and _BLOCK <= max(sizes) <= _LARGEST_BLOCK:
        return tuple(sizes)
    length, side = sum(sizes), max(_BLOCK, depth)
    side = -(-side // stride) * stride
    number = max(length // side, 1)
    return (side,) * (number - 1) + (length - side * (number - 1),)


def _probability_of_block(pixels, data, _protect, *, weights, fill, **run):
    if pixels is None:
        return np.zeros(data.shape, np.float32)
    return hit_probability(pixels, weights, fill=fill, **run)


def _clean_block(
    pixels,
    data,
    protect,
    *,
    weights,
    fill,
    orientations,
    method,
    threshold,
    grow,
    **run,
):
    dtype = np.result_type(data.dtype, np.float32).newbyteorder("=")
    both = np.zeros(data.shape, [("data", dtype), ("crmask", bool)])
    both["data"] = data
    if pixels is not None:
        ways = {"fill": fill, "orientations": orientations}
        probability = hit_probability(pixels, weights, **ways, **run)
        crmask = find_cosmic_rays(
            probability, threshold, grow=grow, exclude=pixels.mask, protect=protect
        )
        both["crmask"] = crmask
        if not (crmask | pixels.mask).all():  # something is left to fill from
            both["data"], _ = replace_hit(
                pixels, crmask, method, floor=np.zeros_like, **run
            )
    return both


@lru_cache(maxsize=1)
def _worker(_process):
    """
    Return the one thread of a process in which networks are run for blocks.

    Each run takes all cores already. In many threads each would need memory of its own,
    also afterwards, since the C library keeps for a thread what it had once.
    """
    return ThreadPoolExecutor(1, "astro_deepcr")
