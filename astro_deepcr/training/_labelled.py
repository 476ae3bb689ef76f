# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""A labelled exposure, and how far its labels can be trusted."""

from dataclasses import dataclass

import numpy as np
from astropy.io import fits
from astropy.nddata import CCDData

from ..exceptions import warn
from ..flags import MASK_BITS
from ._exposures import measure_shift
from ._rejection import find_peaks

__all__ = ["CosmicRayLabels", "label_exposure", "measure_fractions"]

_QUALITY_KEYWORDS = {
    "cosmic_ray_fraction": ("LBLCRFR", "fraction of known pixels labelled"),
    "ignored_fraction": ("LBLIGFR", "fraction of pixels ignored"),
    "false_fraction": ("LBLFALSE", "expected fraction of wrong labels"),
    "peak_fraction": ("LBLPEAKS", "fraction of peaks of sources labelled"),
    "misalignment": ("LBLSHIFT", "[pix] shift left against the other exposures"),
    "noise": ("LBLNOISE", "[electron] noise of the sky"),
}
# More than this fraction of wrong labels brings a warning, if it is not only a few.
_WORRYING_FALSE_FRACTION = 0.1
_FEWEST_FALSE_PIXELS = 25
# Cosmic rays hit peaks no more often than other pixels; a ratio above this, to at
# least the fraction given, brings a warning.
_WORRYING_PEAK_RATIO = 3
_SMALLEST_PEAK_FRACTION = 0.01
# What counts as a source, and how many peaks or pixels of sources tell something.
_SOURCE_SNR = 10
_FEWEST_PEAKS = 30
_FEWEST_SOURCE_PIXELS = 50


@dataclass(frozen=True, eq=False)
class CosmicRayLabels:
    """
    One exposure and what is known about the cosmic rays in it.

    Attributes
    ----------
    ccd : `~astropy.nddata.CCDData`
        The exposure as it was given.
    cosmic_rays : `~numpy.ndarray` of bool, shape (rows, columns)
        True for pixels hit by a cosmic ray.
    ignore : `~numpy.ndarray` of bool, shape (rows, columns)
        True for pixels about which nothing reliable is known. They should count
        neither in training nor in an evaluation. Never True for a labelled pixel.
    hot : `~numpy.ndarray` of bool, shape (rows, columns), or None
        True for static hot pixels; None where these were not looked for.
    quality : dict of str to float
        Figures that say how far the labels can be trusted; see :doc:`/labels`.
    """

    ccd: CCDData
    cosmic_rays: np.ndarray
    ignore: np.ndarray
    hot: np.ndarray | None
    quality: dict

    @property
    def mask(self):
        """All masks in one array of uint8: bits of `~astro_deepcr.flags.MASK_BITS`."""
        mask = self.cosmic_rays * np.uint8(MASK_BITS.COSMIC_RAY)
        mask |= self.ignore * np.uint8(MASK_BITS.IGNORE)
        if self.hot is not None:
            mask |= self.hot * np.uint8(MASK_BITS.HOT)
        return mask

    def to_hdulist(self):
        """
        Return the frame and its labels as FITS: arrays SCI and MASK.

        The form that the training and the evaluation of this package read. Header
        and WCS of the exposure are in SCI, the quality figures in MASK.

        Returns
        -------
        hdulist : `~astropy.io.fits.HDUList`
            Write it with ``hdulist.writeto(filename)``.
        """
        hdus = self.ccd.to_hdu(hdu_mask=None, hdu_uncertainty=None, hdu_flags=None)
        science = fits.ImageHDU(hdus[0].data, hdus[0].header, name="SCI")
        science.header["BUNIT"] = self.ccd.unit.to_string()
        mask = fits.ImageHDU(self.mask, name="MASK")
        for flag, bit in zip(("cosmic ray", "ignore", "hot"), (1, 2, 4), strict=True):
            mask.header.add_comment(f"bit {bit}: {flag}")
        for name, value in self.quality.items():
            keyword, comment = _QUALITY_KEYWORDS[name]
            mask.header[keyword] = (value if np.isfinite(value) else None, comment)
        return fits.HDUList([fits.PrimaryHDU(), science, mask])


def label_exposure(number, exposure, verdict, hot=None, *, expect_false=True):
    """
    Turn the verdict on one exposure into its labels, with figures of quality.

    Parameters
    ----------
    number : int
        How warnings name the exposure.
    exposure : `Exposure`
        The exposure.
    verdict : `Verdict`
        What the other exposures say about it.
    hot : `~numpy.ndarray` of bool, optional
        Static hot pixels.
    expect_false : bool
        Whether pixels below the reference say how many of those above are noise.

    Returns
    -------
    labels : `CosmicRayLabels`
        With a warning if they look doubtful.
    """
    found, ignore = verdict.cosmic_rays, verdict.ignore
    n_found = int(found.sum())
    sources = _bright_sources(verdict)
    quality = measure_fractions(found, ignore)
    quality["false_fraction"] = (
        verdict.false_pixels / n_found if expect_false and n_found else np.nan
    )
    quality["peak_fraction"] = _peak_fraction(verdict, sources)
    quality["misalignment"] = _misalignment(exposure, verdict, sources)
    quality["noise"] = verdict.noise
    _warn_if_doubtful(number, quality, verdict.false_pixels)
    return CosmicRayLabels(exposure.ccd, found, ignore, hot, quality)


def measure_fractions(found, ignore):
    """Return how much of an exposure is labelled, and how much ignored."""
    known = int((~ignore).sum())
    return {
        "cosmic_ray_fraction": int(found.sum()) / max(known, 1),
        "ignored_fraction": 1 - known / ignore.size,
    }


def _bright_sources(verdict):
    """Return the known pixels in which the other exposures show a source."""
    known = np.isfinite(verdict.reference)
    limit = np.median(verdict.reference[known]) + _SOURCE_SNR * verdict.noise
    return known & (verdict.reference > limit)


def _peak_fraction(verdict, sources):
    """Return the fraction of peaks of sources that is labelled; NaN for few peaks."""
    peaks = sources & find_peaks(verdict.reference) & ~verdict.ignore
    if np.count_nonzero(peaks) < _FEWEST_PEAKS:
        return np.nan
    return float(verdict.cosmic_rays[peaks].mean())


def _misalignment(exposure, verdict, sources):
    """Return the shift in pixels against the reference; NaN for an empty field."""
    if np.count_nonzero(sources & ~verdict.ignore) < _FEWEST_SOURCE_PIXELS:
        return np.nan
    known = np.isfinite(verdict.reference)
    reference = np.where(known, verdict.reference, np.median(verdict.reference[known]))
    values, _ = exposure.filled(verdict.cosmic_rays | ~known, reference)
    return float(np.hypot(*measure_shift(reference, values)))


def _warn_if_doubtful(number, quality, false_pixels):
    expected = max(quality["cosmic_ray_fraction"], _SMALLEST_PEAK_FRACTION)
    worrying = quality["false_fraction"] > _WORRYING_FALSE_FRACTION
    if worrying and false_pixels >= _FEWEST_FALSE_PIXELS:
        msg = (
            f"About {100 * quality['false_fraction']:.0f} % of the labels of exposure "
            f"{number} are expected to be wrong: so many pixels lie as far below the "
            "other exposures as the labelled ones above. Check align, match_flux, gain "
            "and saturation, or raise snr."
        )
    elif quality["peak_fraction"] > _WORRYING_PEAK_RATIO * expected:
        msg = (
            f"{100 * quality['peak_fraction']:.0f} % of the star cores in exposure "
            f"{number} are labelled, but {100 * quality['cosmic_ray_fraction']:.1f} % "
            "of all pixels: the exposures differ in focus, seeing, flux or position. "
            "Check align and match_flux, or raise derivative_scale."
        )
    else:
        return
    warn(msg)
