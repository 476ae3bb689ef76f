# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Which pixels of an exposure hold charge that the other exposures do not show."""

from dataclasses import dataclass

import numpy as np
from astropy.stats import mad_std
from scipy import ndimage, stats

from ..masks import find_cosmic_rays
from ..noise import sky_and_noise

__all__ = [
    "Limits",
    "Verdict",
    "find_peaks",
    "judge",
    "match_level",
    "order_statistics",
]

# Noise of rounding to whole electrons: no exposure is assumed to be better.
_SMALLEST_NOISE = 12**-0.5
# The lowest of the others replaces their median where that exceeds it by so much.
_LOWEST_SNR = 4
# Two exposures show the same excess if it differs by less than this factor.
_ALIKE = 1.5
# On a peak of the reference, this part of what the derivative term allows is put
# down to resampling and no sign of a cosmic ray: few star cores are to be ignored.
_PEAK_EXCUSE = 0.5
# Neighbour differences up to this many times their noise are no structure.
_DERIVATIVE_SNR = 2
# Chance that pure noise makes the others look as if they disagreed.
_SCATTER_CHANCE = 1e-3
# Fluxes are compared after smoothing (pixels) that makes all PSFs alike, where that
# leaves at least so many pixels so far above the noise.
_FLUX_SMOOTHING = 2
_FLUX_SNR = 20
_FLUX_PIXELS = 1000
# Width in pixels of the average that tells sky from sources.
_SKY_BOX = 5
_CROSS = ndimage.generate_binary_structure(2, 1)
_TOUCHING = ndimage.generate_binary_structure(2, 2)


@dataclass(frozen=True)
class Limits:
    """
    When a pixel is a cosmic ray.

    Attributes
    ----------
    snr, neighbor_snr : float
        Residual over noise of a hit pixel, and of pixels that touch one.
    derivative_scale : float
        How much of the steepest gradient to a neighbour is added to the limit.
    readnoise : float
        Smallest noise, in electrons.
    """

    snr: float
    neighbor_snr: float
    derivative_scale: float
    readnoise: float = 0.0


@dataclass(frozen=True, eq=False)
class Verdict:
    """
    What the other exposures say about one.

    Attributes
    ----------
    cosmic_rays, ignore : `~numpy.ndarray` of bool
        Hit pixels, and those about which nothing is known. They do not overlap.
    reference : `~numpy.ndarray` of float32
        The exposure without cosmic rays; NaN where no other exposure looked.
    noise : float
        Noise of the sky in this exposure, in electrons.
    false_pixels : int
        Pixels as far below the reference as the hit ones are above it.
    """

    cosmic_rays: np.ndarray
    ignore: np.ndarray
    reference: np.ndarray
    noise: float
    false_pixels: int


def match_level(values, bad, other, ratio, *, flux=False):
    """
    Scale another exposure to this one's exposure time and sky.

    Parameters
    ----------
    values, bad : `~numpy.ndarray`
        This exposure, and its bad pixels.
    other : `~numpy.ndarray`
        The other one, aligned; NaN where nothing is known.
    ratio : float
        Exposure time of this one over that of the other.
    flux : bool
        Whether to measure by how much the sources differ beyond that.

    Returns
    -------
    matched : `~numpy.ndarray`
        The other one as it would look in this exposure's place.
    """
    matched = other * np.float32(ratio)
    common = ~bad & np.isfinite(matched)
    if not common.any():
        return matched
    if flux:
        matched *= _flux_ratio(values, matched, common)
    return matched + np.median(values[common] - matched[common])


def _flux_ratio(values, matched, common):
    """Return the flux of sources in one image over that in another; 1 if unknown."""
    _, noise = sky_and_noise(values, ~common)
    smooth = []
    for image in (values, matched):
        sources = np.where(common, image - np.median(image[common]), 0)
        smooth.append(ndimage.gaussian_filter(sources, _FLUX_SMOOTHING))
    # what white noise keeps of its standard deviation in a Gaussian filter
    limit = _FLUX_SNR * noise / (2 * np.sqrt(np.pi) * _FLUX_SMOOTHING)
    bright = common & (smooth[0] > limit) & (smooth[1] > limit)
    if np.count_nonzero(bright) < _FLUX_PIXELS:
        return np.float32(1)
    return np.float32(np.median(smooth[0][bright] / smooth[1][bright]))


def judge(values, bad, others, limits, *, clean=False):
    """
    Find the cosmic rays of one exposure from the others.

    Parameters
    ----------
    values, bad : `~numpy.ndarray`, shape (rows, columns)
        This exposure in electrons, and its bad pixels.
    others : `~numpy.ndarray`, shape (n, rows, columns)
        The other exposures, aligned and matched; NaN where nothing is known.
    limits : `Limits`
        When a pixel is a cosmic ray.
    clean : bool
        Whether the hit pixels of the others are NaN. If not, their lowest value
        counts where it is far below the median.

    Returns
    -------
    verdict : `Verdict`
        Masks, reference and noise.
    """
    lowest, middle, count = order_statistics(others)
    known = ~bad & (count > 0)
    single, noise = _noise(values - middle, middle, count, known, limits.readnoise)
    reference, total = middle, noise
    if clean:
        total = np.hypot(noise, _excess_scatter(others, single, count))
    else:
        reference = np.where(middle - lowest > _LOWEST_SNR * noise, lowest, middle)
    residual = np.where(known, values - reference, 0)
    slope = limits.derivative_scale * _derivative(reference, noise)
    allowed = known & ~_seen_twice(residual, others - reference, limits.snr * noise)
    found = _hysteresis((residual - slope) / total, limits, allowed)
    below = _hysteresis((-residual - slope) / total, limits, known)
    excused = np.where(find_peaks(reference), _PEAK_EXCUSE * slope, 0)
    unsure = residual - excused > limits.snr * noise
    unsure |= _touching(found) & (residual > noise)
    unsure |= _touching(below)
    sky_noise = float(np.median(single[known]))
    ignore = ~known | (unsure & ~found)
    return Verdict(found, ignore, reference, sky_noise, int(below.sum()))


def find_peaks(reference):
    """Return the pixels that are as high as the highest of their neighbours."""
    filled = np.where(np.isfinite(reference), reference, -np.inf)
    return ndimage.maximum_filter(filled, footprint=_TOUCHING) == reference


def _seen_twice(residual, others, limit):
    """Return where another exposure is brighter by about as much as this one."""
    with np.errstate(invalid="ignore"):
        alike = others > np.maximum(limit, residual / _ALIKE)
        alike &= others < residual * _ALIKE
    return alike.any(axis=0)


def _hysteresis(score, limits, known):
    return find_cosmic_rays(
        score, limits.snr, neighbor_threshold=limits.neighbor_snr, exclude=~known
    )


def _touching(mask):
    return ndimage.binary_dilation(mask, _TOUCHING)


def order_statistics(others):
    """Return lowest, median and number of the finite values of each pixel."""
    ordered = np.sort(others, axis=0)  # NaN go last
    count = np.isfinite(others).sum(axis=0)
    lower = np.maximum(count - 1, 0) // 2
    upper = np.minimum(count // 2, len(others) - 1)
    pair = [np.take_along_axis(ordered, k[None], axis=0)[0] for k in (lower, upper)]
    return ordered[0], (pair[0] + pair[1]) / 2, count


def _noise(residual, reference, count, known, readnoise):
    """
    Return the noise of one exposure and that of the residual, per pixel.

    The noise of the sky is measured, so that a bias level or a subtracted sky does
    no harm; what is brighter than the sky adds its Poisson noise.
    """
    both = np.sqrt(1 + _median_variance(np.maximum(count, 1)))
    sky = np.median(reference[known])
    # smoothed, as the noise must not decide which pixels are faint
    level = ndimage.uniform_filter(np.where(known, reference, sky), _SKY_BOX)
    faint = known & (level <= np.median(level[known]))
    sky = np.median(reference[faint])
    sky_noise = max(mad_std((residual / both)[faint]), readnoise, _SMALLEST_NOISE)
    excess = np.where(known, np.maximum(reference - sky, 0), 0)
    single = np.sqrt(sky_noise**2 + excess)
    return single, single * both


def _median_variance(n):
    """Return the variance of the median of n Gaussian values of variance 1."""
    # pi / (2 n) for large n; the term added makes it good to 3 percent for any
    return np.pi / 2 / (n + (np.pi / 2 - 1) * np.where(n % 2, 1, 2))


def _derivative(reference, noise):
    """Return the largest difference to one of the four neighbours, less noise."""
    known = np.isfinite(reference)
    high = ndimage.maximum_filter(np.where(known, reference, -np.inf), footprint=_CROSS)
    low = ndimage.minimum_filter(np.where(known, reference, np.inf), footprint=_CROSS)
    steepest = np.maximum(high - reference, reference - low)
    # the noise of the residual, as a bound on that of a difference in the reference
    significant = steepest - _DERIVATIVE_SNR * noise
    return np.where(known, np.maximum(significant, 0), 0)


def _excess_scatter(others, single, count):
    """Return the standard deviation of the others where it is more than noise."""
    mean = np.nansum(others, axis=0) / np.maximum(count, 1)
    dof = np.maximum(count - 1, 1)
    variance = np.nansum((others - mean) ** 2, axis=0) / dof
    limit = stats.chi2.isf(_SCATTER_CHANCE, np.arange(1, len(others) + 1))
    excess = variance * dof > limit[dof - 1] * single**2
    return np.sqrt(np.where(excess & (count > 2), variance, 0))
