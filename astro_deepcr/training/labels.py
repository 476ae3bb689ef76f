# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
Cosmic-ray labels of a user's own exposures.

What several exposures of one field, or several darks, have in common is no
cosmic ray; what only one of them shows is.
"""

from numbers import Real

import numpy as np
from astropy.nddata import CCDData, bitmask
from scipy import ndimage

from ..images import parse_image
from ..units import parse_readnoise
from ._exposures import make_aligner, parse_exposures
from ._labelled import CosmicRayLabels, label_exposure, measure_fractions
from ._rejection import Limits, judge, match_level, order_statistics

__all__ = [
    "CosmicRayLabels",
    "labels_from_darks",
    "labels_from_dq",
    "labels_from_exposures",
]

# Width in pixels of the neighbourhood that a hot pixel stands out from.
_HOT_NEIGHBOURHOOD = 5


def labels_from_exposures(
    ccds,
    *,
    align=None,
    match_flux=False,
    gain=None,
    exposure_time=None,
    saturation=None,
    readnoise=0.0,
    snr=4.0,
    neighbor_snr=3.0,
    derivative_scale=1.5,
):
    """
    Label the cosmic rays in repeat exposures of one field.

    Each exposure is compared with the median of the others, brought onto its
    pixels and scaled to its exposure time and sky.

    Parameters
    ----------
    ccds : list of `~astropy.nddata.CCDData` or `~numpy.ndarray`
        At least two exposures, through the same filter; three or more are much
        better. Arrays without a unit count as electrons, or as adu if ``gain`` is
        given. Masked and non-finite pixels are ignored.
    align : None, 'wcs', 'register' or array_like of shape (n, 2), optional
        How the exposures are brought onto each other: not at all (the default),
        by their WCS, by the shifts measured between the first exposure and each
        other one, or by known positions (rows, columns) of the scene in each
        exposure.
    match_flux : bool, optional
        Whether to measure how bright the sources are in one exposure relative to
        the others, beyond the ratio of exposure times: for exposures through
        clouds. Good to 1 to 3 percent; needs many stars or a galaxy.
    gain : float, `~astropy.units.Quantity` or str, optional
        Electrons per adu, or a header keyword; by default from the header. Needed
        for exposures in adu.
    exposure_time : float, str or list of float, optional
        Seconds, for all or for each exposure, or a header keyword; by default from
        the header. Where no header has it, the exposure times are taken as equal.
    saturation : float, optional
        Pixels at or above this level, in the unit of the exposures, are ignored.
    readnoise : float or `~astropy.units.Quantity`, optional
        Smallest noise assumed, in electrons. The noise of the sky itself is
        measured.
    snr : float, optional
        Pixels so many times the noise above the other exposures are labelled.
    neighbor_snr : float, optional
        The same for pixels touching a labelled one.
    derivative_scale : float, optional
        How much of the difference to the steepest neighbour a pixel must exceed
        the other exposures by, in addition. It protects the cores of undersampled
        stars, which no resampling gets quite right.

    Returns
    -------
    labels : list of `CosmicRayLabels`
        One per exposure, in the same order.

    Raises
    ------
    TypeError
        If ``ccds`` is no list of images.
    ValueError
        If there are fewer than two exposures, their shapes differ (unless aligned
        by WCS), one has no WCS where that is asked for, one does not overlap with
        any other, or has no usable pixel; if a unit, gain, exposure time or limit
        does not make sense.

    Warns
    -----
    CosmicRayWarning
        If many labels of an exposure are expected to be wrong, or star cores are
        labelled much more often than other pixels.

    See Also
    --------
    labels_from_darks : Also finds hot pixels.

    Notes
    -----
    A pixel is labelled where ``I - R > derivative_scale * D + snr * sigma``, with
    the image ``I``, the reference ``R``, its largest difference ``D`` to one of
    the four neighbours, and the noise ``sigma``. This is the idea of AstroDrizzle's
    ``driz_cr`` [1]_. Pixels above ``snr * sigma`` that the first term protects are
    neither cosmic rays nor certainly free of them: they are ignored. So are pixels
    in which another exposure shows the same excess, faint pixels that touch a
    labelled one, and pixels where the reference itself is hit.

    It is done twice. The second time, the cosmic rays found in the other exposures
    are taken out of the reference, and resampling is by cubic instead of linear
    interpolation.

    References
    ----------
    .. [1] Hoffmann, S. L., et al. 2021, "The DrizzlePac Handbook", version 2.0
       (Baltimore: STScI), chapter 3

    Examples
    --------
    >>> import numpy as np
    >>> from astro_deepcr.training import labels_from_exposures
    >>> rng = np.random.default_rng(1)
    >>> exposures = rng.poisson(100., size=(4, 50, 50)).astype(float)
    >>> exposures[2, 10, 20:25] += 500
    >>> labels = labels_from_exposures(exposures)
    >>> labels[2].cosmic_rays[10, 18:27].astype(int)
    array([0, 0, 1, 1, 1, 1, 1, 0, 0])
    """
    limits = _parse_limits(snr, neighbor_snr, derivative_scale, readnoise)
    exposures = parse_exposures(
        ccds, gain=gain, exposure_time=exposure_time, saturation=saturation
    )
    verdicts = _compare(exposures, align, limits, match_flux)
    # of two exposures, what is low in one is a cosmic ray in the other
    symmetric = len(exposures) > 2
    return [
        label_exposure(number, exposure, verdict, expect_false=symmetric)
        for number, (exposure, verdict) in enumerate(
            zip(exposures, verdicts, strict=True)
        )
    ]


def labels_from_darks(
    ccds,
    *,
    gain=None,
    exposure_time=None,
    saturation=None,
    readnoise=0.0,
    snr=4.0,
    neighbor_snr=3.0,
    hot_snr=5.0,
):
    """
    Label the cosmic rays in dark exposures, and find the hot pixels.

    Parameters
    ----------
    ccds : list of `~astropy.nddata.CCDData` or `~numpy.ndarray`
        At least two darks of one detector, taken at one temperature.
    gain, exposure_time, saturation, readnoise, snr, neighbor_snr
        See `labels_from_exposures`.
    hot_snr : float, optional
        Pixels whose median over all darks exceeds their neighbourhood by so many
        times the noise of one dark are hot.

    Returns
    -------
    labels : list of `CosmicRayLabels`
        One per dark, in the same order. Hot pixels are in ``hot`` and no cosmic
        rays; a cosmic ray on a hot pixel is in both masks. Hot pixels that flicker
        more than the noise allows are ignored.

    Raises
    ------
    TypeError, ValueError
        As `labels_from_exposures`.

    See Also
    --------
    labels_from_exposures : The same for exposures of the sky.

    Examples
    --------
    >>> import numpy as np
    >>> from astro_deepcr.training import labels_from_darks
    >>> darks = np.random.default_rng(1).normal(0, 5, size=(5, 40, 40))
    >>> darks[:, 30, 30] += 300
    >>> darks[1, 5, 5:8] += 300
    >>> labels = labels_from_darks(darks)
    >>> int(labels[1].cosmic_rays.sum()), np.argwhere(labels[1].hot)
    (3, array([[30, 30]]))
    """
    limits = _parse_limits(snr, neighbor_snr, 0.0, readnoise)
    _check_number("hot_snr", hot_snr)
    exposures = parse_exposures(
        ccds, gain=gain, exposure_time=exposure_time, saturation=saturation
    )
    verdicts = _compare(exposures, None, limits)
    hot = _hot_pixels(exposures, verdicts, hot_snr)
    symmetric = len(exposures) > 2
    return [
        label_exposure(number, exposure, verdict, hot, expect_false=symmetric)
        for number, (exposure, verdict) in enumerate(
            zip(exposures, verdicts, strict=True)
        )
    ]


def labels_from_dq(
    ccd, dq=None, *, bits, ignore_bits=0, hot_bits=0, flag_name_map=None
):
    """
    Take cosmic-ray labels from an observatory's data-quality array.

    Parameters
    ----------
    ccd : `~astropy.nddata.CCDData` or `~numpy.ndarray`
        The exposure.
    dq : `~numpy.ndarray` of int, optional
        Its data-quality array; by default ``ccd.flags``.
    bits : int, str or list
        Bits that mean cosmic ray, as `astropy.nddata.bitmask.interpret_bit_flags`
        takes them: 12288, '4096,8192', or names in ``flag_name_map``.
    ignore_bits, hot_bits : int, str or list, optional
        Bits of pixels to be ignored, and of hot pixels.
    flag_name_map : `~astropy.nddata.bitmask.BitFlagNameMap`, optional
        Names of the bits, for example `astro_deepcr.flags.HST`.

    Returns
    -------
    labels : `CosmicRayLabels`
        Masked and non-finite pixels are ignored. Nothing is measured: ``quality``
        holds the two fractions only.

    Raises
    ------
    TypeError
        If ``dq`` does not hold integers.
    ValueError
        If there is no data-quality array, it has another shape than the exposure,
        or ``bits`` names no bit.

    Examples
    --------
    >>> import numpy as np
    >>> from astro_deepcr.flags import HST
    >>> from astro_deepcr.training import labels_from_dq
    >>> dq = np.array([[0, 4096, 256], [16, 0, 8192]])
    >>> labels = labels_from_dq(np.ones((2, 3)), dq, bits='CR_DRIZZLE,CR_SPLIT',
    ...                         ignore_bits='SATURATED', flag_name_map=HST)
    >>> labels.mask
    array([[0, 1, 2],
           [0, 0, 1]], dtype=uint8)
    """
    pixels = parse_image(ccd)
    dq = _parse_dq(ccd, dq, pixels.values.shape)
    if not bitmask.interpret_bit_flags(bits, flag_name_map=flag_name_map):
        msg = f"bits={bits!r} names no bit; give the bits of cosmic rays, such as 4096."
        raise ValueError(msg)
    found, ignore, hot = (
        _select_bits(dq, chosen, flag_name_map)
        for chosen in (bits, ignore_bits, hot_bits)
    )
    ignore |= pixels.mask
    found &= ~ignore
    if not isinstance(ccd, CCDData):
        ccd = CCDData(ccd, unit=pixels.unit or "electron")
    return CosmicRayLabels(ccd, found, ignore, hot, measure_fractions(found, ignore))


def _parse_limits(snr, neighbor_snr, derivative_scale, readnoise):
    _check_number("snr", snr)
    _check_number("neighbor_snr", neighbor_snr)
    _check_number("derivative_scale", derivative_scale, zero=True)
    readnoise = parse_readnoise(readnoise)
    if neighbor_snr > snr:
        msg = (
            f"neighbor_snr={neighbor_snr} must not exceed snr={snr}: pixels that touch "
            "a cosmic ray need less evidence, not more."
        )
        raise ValueError(msg)
    return Limits(snr, neighbor_snr, derivative_scale, readnoise)


def _check_number(name, value, *, zero=False):
    good = isinstance(value, Real) and np.isfinite(value)
    if not good or value < 0 or (value == 0 and not zero):
        limit = "0 or more" if zero else "above 0"
        msg = f"{name}={value!r} must be a number, {limit}."
        raise ValueError(msg)


def _compare(exposures, align, limits, match_flux=False):
    """Return the verdict on each exposure; see the notes of labels_from_exposures."""
    aligner = make_aligner(exposures, align)
    planes = [(exposure.values, exposure.bad) for exposure in exposures]
    for order, clean in ((1, False), (3, True)):
        verdicts = []
        for target, exposure in enumerate(exposures):
            others = _gather(exposures, planes, aligner, target, order, match_flux)
            verdicts.append(
                judge(exposure.values, exposure.bad, others, limits, clean=clean)
            )
        planes = [
            exposure.filled(verdict.cosmic_rays, verdict.reference)
            for exposure, verdict in zip(exposures, verdicts, strict=True)
        ]
    return verdicts


def _gather(exposures, planes, aligner, target, order, match_flux):
    """Return all other exposures as they would look in one exposure's place."""
    this = exposures[target]
    others = [
        match_level(
            this.values,
            this.bad,
            aligner(values, bad, source, target, order),
            this.seconds / exposures[source].seconds,
            flux=match_flux,
        )
        for source, (values, bad) in enumerate(planes)
        if source != target
    ]
    others = np.array(others)
    if not np.isfinite(others).any(axis=0)[~this.bad].any():
        msg = (
            f"Exposure {target} does not overlap with any other exposure; leave it "
            "out, or check the WCS or the offsets."
        )
        raise ValueError(msg)
    return others


def _hot_pixels(exposures, verdicts, hot_snr):
    """Return the pixels that stand out from their neighbourhood in every dark."""
    seconds = exposures[0].seconds
    rates = []
    for exposure, verdict in zip(exposures, verdicts, strict=True):
        values = np.where(exposure.bad | verdict.cosmic_rays, np.nan, exposure.values)
        # The pedestal does not grow with time, and is not the same in all.
        above = values - np.nanmedian(values)
        rates.append(above * (seconds / exposure.seconds))
    typical = order_statistics(np.array(rates))[1]
    typical = np.where(np.isfinite(typical), typical, np.nanmedian(typical))
    excess = typical - ndimage.median_filter(typical, _HOT_NEIGHBOURHOOD)
    return excess > hot_snr * verdicts[0].noise


def _parse_dq(ccd, dq, shape):
    if dq is None and isinstance(ccd, CCDData):
        dq = ccd.flags
    if dq is None:
        msg = (
            "There is no data-quality array: ccd.flags is empty. Pass it as the second "
            "argument, for example fits.getdata(filename, 'DQ')."
        )
        raise ValueError(msg)
    dq = np.asarray(dq)
    if dq.dtype.kind not in "iu":
        msg = f"dq holds {dq.dtype} values; integers, whose bits are flags, are needed."
        raise TypeError(msg)
    if dq.shape != shape:
        msg = f"dq has shape {dq.shape}, but the exposure has shape {shape}."
        raise ValueError(msg)
    return dq


def _select_bits(dq, bits, flag_name_map):
    chosen = bitmask.interpret_bit_flags(bits, flag_name_map=flag_name_map)
    if not chosen:
        return np.zeros(dq.shape, bool)
    return bitmask.bitfield_to_boolean_mask(dq, ignore_flags=chosen, flip_bits=True)
