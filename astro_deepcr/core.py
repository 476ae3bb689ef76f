# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
Find cosmic rays in a frame, and replace the hit pixels.

This page is the whole package in short: every step of `cosmicray_deepcr` is one
call, and each of these calls is one module.
"""

from functools import partial

import numpy as np
from astropy.nddata import NDData, StdDevUncertainty

from . import __version__
from .apply import hit_probability, replace_hit
from .arguments import (
    check_limits,
    check_orientations,
    choose_threshold,
    parse_flag,
    parse_generator,
    parse_inpaint,
)
from .header import log_to_meta
from .images import is_dask, parse_image, parse_mask, reading_deviation, rebuild
from .masks import check_fraction, find_cosmic_rays
from .noise import sky_and_noise
from .units import check_given, conversion_factor, noise_floor
from .weights import get_weights

__all__ = ["cosmicray_deepcr", "cosmicray_probability", "inpaint_cosmicrays"]


def cosmicray_deepcr(
    ccd,
    weights=None,
    *,
    threshold=None,
    fpr=None,
    neighbor_threshold=None,
    orientations=1,
    grow=0,
    protect=None,
    inpaint="network",
    noise=False,
    gain=None,
    readnoise=None,
    exposure_time=None,
    background=None,
    update_mask=True,
    add_uncertainty=False,
    flag_bit=None,
    max_fraction=0.2,
    device=None,
    add_keyword=True,
):
    """
    Find the cosmic rays of a frame and replace the pixels that they hit.

    Stands where `ccdproc.cosmicray_lacosmic` stood: after bias, dark and flat
    correction, before anything that resamples or combines frames. The unit of the
    result is that of the input, and pixels that no cosmic ray hit are the same to
    the last bit.

    Parameters
    ----------
    ccd : `~astropy.nddata.CCDData`, `~astropy.nddata.NDData`, \
`~astropy.units.Quantity`, `~numpy.ma.MaskedArray` or `~numpy.ndarray`
        The frame, two-dimensional. It is not changed. Masked pixels and those
        that are not finite are never flagged and come back as they are. A
        `dask.array.Array`, or a `~astropy.nddata.CCDData` that holds one, is cleaned
        block by block when the result is computed.
    weights : str, path-like, `~astro_deepcr.weights.Weights` or None, optional
        Which network: a name of the zoo (`~astro_deepcr.weights.list_weights`),
        a local weights file, 'auto' to choose by the header's INSTRUME and
        DETECTOR, or `None` for the default.
    threshold : float, optional
        Pixels with this probability or a larger one are flagged. The default is what
        the weights recommend. Lower it if faint parts of tracks are left, raise it
        if cores of stars are flagged.
    fpr : float, optional
        Instead of ``threshold``: fraction of the good pixels that may be flagged
        wrongly, as measured for these weights.
    neighbor_threshold : float, optional
        A lower threshold for pixels connected to a flagged one. Use it to get
        the faint ends of tracks without raising the number of false events.
    orientations : {1, 2, 4, 8}, optional
        In how many the network looks at the frame: as it is, turned by 180 degrees,
        mirrored, turned by 90 degrees. The mean of the logits is more accurate, and
        takes as many times as long. 2 gives half of the gain or more.
    grow : float, optional
        Radius in pixels by which the mask is grown at the end. 1 adds the
        nearest neighbours of each pixel; worthwhile before resampling.
    protect : array_like of bool, optional
        Pixels that are never flagged, such as known cores of stars.
    inpaint : str, path-like, `~astro_deepcr.weights.Weights` or None, optional
        How hit pixels are replaced: 'network' (the default inpainting weights),
        'median', 'mean' or 'idw' of their neighbours, 'biharmonic', the name or
        file of inpainting weights, or `None` to leave them as they are.
    noise : bool or `numpy.random.Generator`, optional
        Whether replaced pixels get random noise as large as that of their
        neighbours. Pass a generator to get the same noise again. Use it only where
        a smooth patch would do harm, such as in tests of statistics.
    gain : float, `~astropy.units.Quantity` or str, optional
        Electrons per adu, or the name of a header keyword. Needed for a frame in
        adu if the weights want electrons, or the reverse; looked up in the header
        by default. The result keeps the unit of the input. For an array without a
        unit, a gain says that it is in adu.
    readnoise : float, `~astropy.units.Quantity` or str, optional
        Read noise in electrons, or the name of a header keyword. The uncertainty of a
        pixel that was replaced by a classical method is then never smaller than its
        Poisson and read noise.
    exposure_time : float, `~astropy.units.Quantity` or str, optional
        Seconds, or the name of a header keyword. Needed for frames that count per
        second; looked up in the header by default.
    background : float, array_like or `~astropy.units.Quantity`, optional
        Model of the sky, or of a spectrum, in the unit of the frame, known (not masked)
        wherever the frame is. It is subtracted before the network looks at the frame,
        and added again. For weights that were trained on images only, and a pedestal;
        'universal' knows spectra, and does better with the lines still there.
    update_mask : bool, optional
        Whether flagged pixels are added to the result's mask.
    add_uncertainty : bool, optional
        Whether an `~astropy.nddata.NDData` without uncertainty gets one: the Poisson
        and read noise of its pixels, for which ``readnoise`` is needed, that of a
        sky that was subtracted before, which is measured, and the expected
        deviation of those that were replaced.
    flag_bit : int or str, optional
        Bit (4096, 'hst', 'jwst', ..., see `astro_deepcr.flags`) that flagged pixels
        get in the ``.flags`` of a `~astropy.nddata.CCDData`. Mind that slicing
        and arithmetic of astropy drop ``.flags``.
    max_fraction : float, optional
        A warning is given if more than this fraction of the usable pixels is
        flagged.
    device : str, optional
        'cpu', 'cuda', 'cuda:1', 'mps' or 'auto'; by default that of
        ``astro_deepcr.conf.device``.
    add_keyword : bool, str, `ccdproc.Keyword`, dict-like or None, optional
        What is written into the header: True for the standard provenance (CRMODEL,
        CRSHA, CRTHRESH, CRORIENT, CRFRAC, CRFILL, CRNPIX and HISTORY), False or `None`
        for nothing, anything else as in ccdproc.

    Returns
    -------
    cleaned : same class as ``ccd``
        With hit pixels replaced in ``.data``, and added to ``.mask``. An existing
        ``.uncertainty`` gets their expected deviation: of networks that tell it,
        from the light under the hit, checked on good pixels of the frame; else from
        what the pixels would have shown without the hit, noise and all. Integers
        become floats.
    crmask : `~numpy.ndarray` of bool, shape (rows, columns)
        The cosmic rays alone. Only if ``ccd`` is an array or a quantity.

    Raises
    ------
    TypeError, ValueError
        If an argument is of the wrong type, shape, unit or size.
    ~astro_deepcr.exceptions.WeightsError
        If the weights cannot be found, fetched or verified.
    ~astro_deepcr.exceptions.DeviceError
        If there is no such device.

    See Also
    --------
    cosmicray_probability : The probability itself.
    inpaint_cosmicrays : Replace pixels of a known mask.

    References
    ----------
    Zhang, K. & Bloom, J. S. 2020, ApJ, 889, 24, doi:10.3847/1538-4357/ab3fa6.

    Examples
    --------
    >>> import numpy as np
    >>> from astropy.nddata import CCDData
    >>> from astro_deepcr import cosmicray_deepcr
    >>> sky = np.random.default_rng(0).normal(100, 10, size=(64, 64))
    >>> sky[30, 20:28] += 3000
    >>> ccd = CCDData(sky, unit='electron')
    >>> cleaned = cosmicray_deepcr(ccd)
    >>> cleaned.mask[30, 18:30].astype(int)
    array([0, 0, 1, 1, 1, 1, 1, 1, 1, 1, 0, 0])
    >>> bool(cleaned.data.max() < 200)
    True
    """
    arguments = locals()
    if is_dask(ccd):
        from .dask_arrays import clean_lazily

        return clean_lazily(**arguments)
    pixels = parse_image(ccd, background)
    entry = get_weights(weights, meta=pixels.meta)
    inpaint = parse_inpaint(inpaint, pixels.meta)
    to_unit = _converter(pixels, gain, exposure_time)
    floor = noise_floor(readnoise, to_unit, gain, pixels.meta)
    threshold = choose_threshold(entry, threshold, fpr)
    check_limits(threshold, neighbor_threshold, grow, max_fraction)
    check_orientations(orientations)
    if protect is not None:
        protect = parse_mask(protect, pixels.mask.shape, "protect")
    bit, generator = parse_flag(flag_bit, ccd), parse_generator(noise)
    deviation = _deviation(add_uncertainty, ccd, pixels, readnoise, floor)
    floor, reading = _noise_of_readings(pixels, inpaint, floor, deviation)

    crmask = find_cosmic_rays(
        hit_probability(pixels, entry, to_unit, device, orientations),
        threshold,
        neighbor_threshold=neighbor_threshold,
        grow=grow,
        exclude=pixels.mask,
        protect=protect,
    )
    provenance = {
        "CRMODEL": entry.name,
        "CRSHA": entry.sha256[:12],
        "CRTHRESH": threshold,
        "CRORIENT": orientations,
        "CRFRAC": check_fraction(crmask, ~pixels.mask, max_fraction),
    }
    data, std = replace_hit(
        pixels,
        crmask,
        inpaint,
        to_unit,
        floor=floor,
        reading=reading,
        generator=generator,
        device=device,
    )

    cleaned = rebuild(
        pixels,
        data,
        crmask if update_mask else None,
        std=std,
        where=crmask,
        uncertainty=None if deviation is None else StdDevUncertainty(deviation(data)),
        flag=None if bit is None else (bit, crmask),
        meta=_log(pixels.meta, provenance, crmask, inpaint, add_keyword),
    )
    return cleaned if isinstance(ccd, NDData) else (cleaned, crmask)


def cosmicray_probability(
    ccd,
    weights=None,
    *,
    gain=None,
    exposure_time=None,
    background=None,
    orientations=1,
    device=None,
):
    """
    Compute the probability of each pixel to be hit by a cosmic ray.

    Parameters
    ----------
    ccd : `~astropy.nddata.CCDData`, `~astropy.nddata.NDData`, \
`~astropy.units.Quantity`, `~numpy.ma.MaskedArray` or `~numpy.ndarray`
        The frame, two-dimensional. It is not changed. May be or hold a
        `dask.array.Array`, as in `cosmicray_deepcr`.
    weights, gain, exposure_time, background, orientations, device
        As in `cosmicray_deepcr`.

    Returns
    -------
    probability : `~numpy.ndarray` of float32, shape (rows, columns)
        Between 0 and 1; 0 where the frame is masked or not finite.

    Raises
    ------
    TypeError, ValueError, WeightsError, DeviceError
        As in `cosmicray_deepcr`.

    See Also
    --------
    cosmicray_deepcr : Flag and replace the pixels.

    Examples
    --------
    >>> import numpy as np
    >>> from astropy import units as u
    >>> from astro_deepcr import cosmicray_probability
    >>> noise = np.random.default_rng(1).normal(0, 7, size=(32, 32))
    >>> image = (50 + noise) * u.electron
    >>> image[10, 10:14] += 2000 * u.electron
    >>> probability = cosmicray_probability(image)
    >>> bool(probability[10, 12] > 0.9), bool(probability[25, 25] < 0.1)
    (True, True)
    """
    check_orientations(orientations)
    if is_dask(ccd):
        from .dask_arrays import probability_lazily

        how = {"gain": gain, "exposure_time": exposure_time}
        how |= {"device": device, "orientations": orientations}
        return probability_lazily(ccd, weights, background=background, **how)
    pixels = parse_image(ccd, background)
    entry = get_weights(weights, meta=pixels.meta)
    to_unit = _converter(pixels, gain, exposure_time)
    return hit_probability(pixels, entry, to_unit, device, orientations)


def inpaint_cosmicrays(
    ccd,
    mask,
    method="network",
    *,
    noise=False,
    gain=None,
    readnoise=None,
    exposure_time=None,
    background=None,
    update_mask=True,
    device=None,
    add_keyword=True,
):
    """
    Replace the pixels of a known mask.

    Parameters
    ----------
    ccd : `~astropy.nddata.CCDData`, `~astropy.nddata.NDData`, \
`~astropy.units.Quantity`, `~numpy.ma.MaskedArray` or `~numpy.ndarray`
        The frame, two-dimensional. It is not changed.
    mask : array_like of bool, shape (rows, columns)
        The pixels to be replaced, also such as the frame's own mask covers.
        Other masked pixels come back as they are.
    method : str, path-like or `~astro_deepcr.weights.Weights`, optional
        As ``inpaint`` in `cosmicray_deepcr`.
    noise, gain, readnoise, exposure_time, background, update_mask, device, add_keyword
        As in `cosmicray_deepcr`.

    Returns
    -------
    filled : same class as ``ccd``
        With the pixels replaced, added to ``.mask``, and given their expected
        deviation in an existing ``.uncertainty``.

    Raises
    ------
    TypeError, ValueError, WeightsError, DeviceError
        As in `cosmicray_deepcr`.

    See Also
    --------
    cosmicray_deepcr : Find and replace.

    Examples
    --------
    >>> import numpy as np
    >>> from astro_deepcr import inpaint_cosmicrays
    >>> image = np.full((5, 5), 7.)
    >>> image[2, 2] = 1000.
    >>> float(inpaint_cosmicrays(image, image > 100, 'median')[2, 2])
    7.0
    """
    pixels = parse_image(ccd, background)
    mask = parse_mask(mask, pixels.mask.shape, "mask")
    method = parse_inpaint(method, pixels.meta, name="method")
    if method is None:
        msg = "method=None would replace nothing; choose 'network', 'median', ..."
        raise ValueError(msg)
    to_unit = _converter(pixels, gain, exposure_time)
    if isinstance(method, str):  # nothing is converted, also not magnitudes
        check_given(None, gain, exposure_time, pixels.meta)
    floor = noise_floor(readnoise, to_unit, gain, pixels.meta)
    floor, reading = _noise_of_readings(pixels, method, floor)
    generator = parse_generator(noise)
    data, std = replace_hit(
        pixels,
        mask,
        method,
        to_unit,
        floor=floor,
        reading=reading,
        searched=False,
        generator=generator,
        device=device,
    )
    meta = _log(pixels.meta, {}, mask, method, add_keyword)
    new_mask = mask if update_mask else None
    return rebuild(pixels, data, new_mask, std=std, where=mask, meta=meta)


def _converter(pixels, gain, exposure_time):
    """Return a function of a unit that gives the factor from the frame's unit."""
    return partial(
        conversion_factor,
        pixels.unit,
        gain=gain,
        exposure_time=exposure_time,
        meta=pixels.meta,
    )


def _has_uncertainty(ccd):
    return getattr(getattr(ccd, "uncertainty", None), "array", None) is not None


def _noise_of_readings(pixels, inpaint, floor, deviation=None):
    """Return the least noise of filled pixels, and what tells that of good ones."""
    reading = reading_deviation(pixels.source)
    if deviation is not None:  # of a new uncertainty
        reading = partial(_deviation_at, pixels.data, deviation)
    stated = deviation is not None or _has_uncertainty(pixels.source)
    if not (stated and isinstance(inpaint, str)):
        return np.zeros_like, reading
    floor(np.float32(0))  # what it lacks is told before the network runs
    return floor, reading


def _deviation(wanted, ccd, pixels, readnoise, floor):
    """Return a function of data that gives deviations of readings, or `None`."""
    if not wanted:
        return None
    if not isinstance(ccd, NDData):
        msg = f"add_uncertainty needs a CCDData or NDData, not a {type(ccd).__name__}."
        raise TypeError(msg)
    if _has_uncertainty(ccd):
        return None
    if readnoise is None:
        msg = "add_uncertainty=True needs the read noise: pass readnoise=... electrons."
        raise ValueError(msg)
    sky, noise = sky_and_noise(pixels.values, pixels.mask)
    sky += np.median(pixels.background)
    # Where the sky was subtracted before, only its noise is left to tell of it.
    unseen = np.sqrt(max(noise**2 - floor(sky) ** 2, 0.0)) if sky < noise else 0.0
    return lambda data: np.hypot(floor(data), unseen)


def _deviation_at(data, deviation, where):
    return deviation(data[where])


def _log(meta, provenance, hit, inpaint, add_keyword):
    """Add provenance to a copy of the meta data."""
    fill = inpaint if inpaint is None else getattr(inpaint, "name", inpaint)
    number = int(np.count_nonzero(hit))
    provenance = provenance | {"CRFILL": str(fill), "CRNPIX": number}
    found = f"found by {provenance['CRMODEL']}, " if "CRMODEL" in provenance else ""
    version = __version__.partition("+")[0]  # short enough for one line of FITS
    history = f"astro_deepcr {version}: {number} pixels {found}fill: {fill}"
    return log_to_meta(meta, provenance, history, add_keyword)
