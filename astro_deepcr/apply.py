# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""What is computed from the pixels of a frame: probabilities, and replaced values."""

from dataclasses import replace

import numpy as np

from .deviations import (
    Correction,
    choose_blocks,
    error_beside,
    hide_pixels,
    measure_correction,
)
from .fill import fill_pixels, local_noise
from .noise import measure_normalization
from .weights import get_weights

__all__ = ["hit_probability", "replace_hit"]

# Masked pixels so many sigma above the sky are in stars and the like.
_BRIGHT = 20


def hit_probability(
    pixels, entry, to_unit, device=None, orientations=1, fill=None, where=None
):
    """
    Normalise a whole frame once, and run a mask network over it.

    Parameters
    ----------
    pixels : `~astro_deepcr.images.PixelData`
        The frame.
    entry : `~astro_deepcr.weights.Weights`
        Of a mask network.
    to_unit : callable
        Gives for a unit the factor from that of the frame to it.
    device, orientations : optional
        As in `~astro_deepcr.cosmicray_deepcr`.
    fill : `~astro_deepcr.weights.Weights`, optional
        The inpainting network for masked pixels in stars and the like; by default the
        bundled one.
    where : `~numpy.ndarray` of bool, optional
        The pixels that matter; others may be given 0. By default all.

    Returns
    -------
    probability : `~numpy.ndarray` of float32, shape (rows, columns)
        0 where the frame is masked.
    """
    from .inference import predict  # torch, loaded only when it is needed

    values, factor = _in_unit_of(entry, pixels, to_unit)
    if pixels.mask.any():
        light = _fill_masked(pixels, fill, to_unit, device)
        values[pixels.mask] = light * factor
    image = measure_normalization(values, pixels.mask, entry).forward(values)
    del values  # a frame of memory
    how = {"where": where, "device": device, "orientations": orientations}
    probability = predict([image], entry, **how)
    if where is not None:
        wanted, probability = probability, np.zeros(image.shape, np.float32)
        probability[where] = wanted
    probability[pixels.mask] = 0
    return probability


def _fill_masked(pixels, fill, to_unit, device):
    """Return what stands for the masked pixels, which must not look like hits."""
    light, _ = fill_pixels(pixels.values, pixels.mask)
    # A median makes a plateau of the core of a star, whose edge looks like a hit.
    fill = get_weights(None, task="inpaint") if fill is None else fill
    frame = measure_normalization(pixels.values, pixels.mask, fill)
    bright = np.zeros(pixels.mask.shape, bool)
    bright[pixels.mask] = light > frame.offset + _BRIGHT * frame.scale
    if bright.any():
        told, _ = _fill_by_network(pixels, bright, fill, to_unit, device)
        light[bright[pixels.mask]] = told
    return light


def replace_hit(
    pixels,
    hit,
    inpaint,
    to_unit,
    *,
    floor,
    reading=None,
    searched=True,
    generator=None,
    device=None,
):
    """
    Replace pixels by what their neighbours, or a network, say of them.

    Parameters
    ----------
    pixels : `~astro_deepcr.images.PixelData`
        The frame.
    hit : `~numpy.ndarray` of bool, shape (rows, columns)
        The pixels.
    inpaint : str, `~astro_deepcr.weights.Weights` or None
        A classical method, an inpainting network, or nothing to be done.
    to_unit : callable
        As for `hit_probability`.
    floor : callable
        Gives for values the smallest deviation that a reading of them has.
    reading : callable, optional
        Gives for a mask the deviations of a reading of its pixels. With it, what an
        inpainting network says of its own is checked on good pixels of the frame.
    searched : bool, optional
        Whether ``hit`` is all that cosmic rays hit. Otherwise they are looked for where
        the frame is checked.
    generator : `numpy.random.Generator`, optional
        Noise like that of the neighbours is drawn from it.
    device : str, optional
        As for `hit_probability`.

    Returns
    -------
    data : `~numpy.ndarray` of float, shape (rows, columns)
        A copy of the frame's data with pixels replaced.
    std : `~numpy.ndarray` or None, shape (n,)
        Expected deviation of the pixels ``hit``.
    """
    dtype = np.result_type(pixels.data.dtype, np.float32).newbyteorder("=")
    if inpaint is None or not hit.any():
        return pixels.data.astype(dtype), None
    filled, std, told = _fill(pixels, hit, inpaint, to_unit, device)
    if told and reading is not None:
        known = ~(hit | pixels.mask)
        if not searched:
            known &= ~_found(pixels, known, to_unit, device)
        how = (inpaint, to_unit, device)
        std = _correction(pixels, hit, known, reading, *how).apply(std)
    background = np.broadcast_to(pixels.background, hit.shape)[hit]
    data = pixels.data.astype(dtype)  # not before, for the network needs memory
    data[hit] = filled + background
    if isinstance(inpaint, str):  # networks tell of the light, which has no read noise
        std = np.maximum(std, floor(data[hit]))
    if generator is not None:
        sigma = local_noise(pixels.values, hit, pixels.mask)
        data[hit] += sigma * generator.standard_normal(sigma.size, np.float32)
        std = np.hypot(std, sigma)
    return data, std


def _fill(pixels, hit, inpaint, to_unit, device):
    """Return values of hit pixels, their deviation, and whether a network told it."""
    if isinstance(inpaint, str):
        return *fill_pixels(pixels.values, hit, pixels.mask, inpaint), False
    filled, std = _fill_by_network(pixels, hit, inpaint, to_unit, device)
    if std is None:
        return filled, fill_pixels(pixels.values, hit, pixels.mask)[1], False
    return filled, std, True


def _found(pixels, known, to_unit, device):
    """Return pixels that look hit, where pixels may be hidden."""
    entry = get_weights(None)
    where = np.zeros_like(known)
    for block in choose_blocks(known):
        where[block] = True
    pixels = replace(pixels, mask=~known)
    probability = hit_probability(pixels, entry, to_unit, device, where=where)
    return probability >= entry.threshold


def _correction(pixels, hit, known, reading, entry, to_unit, device):
    """Return what makes the deviations of a network right in this frame."""
    parts = []
    for hidden in hide_pixels(hit, known, pixels.values):
        filled, std = _fill_by_network(pixels, hidden, entry, to_unit, device, ~known)
        error = pixels.values[hidden] - filled
        beside = error_beside(hidden, pixels.values, known, filled)
        parts.append((error, beside, std, reading(hidden)))
    return measure_correction(*np.concatenate(parts, axis=1)) if parts else Correction()


def _fill_by_network(pixels, hit, entry, to_unit, device, unknown=False):
    """Return what an inpainting network gives, and its deviation if it tells."""
    from .inference import predict

    bad = hit | pixels.mask | unknown
    if bad.all():
        fill_pixels(pixels.values, bad)  # says that no good pixel is left
    values, factor = _in_unit_of(entry, pixels, to_unit)
    normalization = measure_normalization(values, bad, entry)
    image = normalization.forward(values)
    image[bad] = 0
    del values  # a frame of memory
    output = predict([image, bad], entry, where=hit, device=device)
    if output.ndim == 1:
        return normalization.inverse(output) / factor, None
    value, log_std = output
    std = np.exp(log_std) * normalization.scale / factor
    return normalization.inverse(value) / factor, std


def _in_unit_of(entry, pixels, to_unit):
    """Return values in the unit of some weights, and the factor."""
    factor = np.float32(to_unit(entry.unit))
    with np.errstate(over="ignore"):  # predict refuses what is not finite
        return pixels.values * factor, factor
