# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""One frame as a user of astropy would meet it: a CCDData, and the truth about it."""

from dataclasses import dataclass

import numpy as np
import torch
from astropy import units as u
from astropy.nddata import CCDData, StdDevUncertainty
from astropy.wcs import WCS

from .detectors import get_detector
from .frames import simulate_frames

__all__ = ["CosmicRayTruth", "make_cosmicray_ccd"]


@dataclass(frozen=True)
class CosmicRayTruth:
    """
    What really is in a simulated frame.

    Parameters
    ----------
    mask : `~numpy.ndarray` of bool
        Pixels where cosmic rays left at least three times the noise.
    ignore : `~numpy.ndarray` of bool
        Pixels that no method can be judged by: hit by less charge than that, but by
        half a sigma (or two electrons) or more, or hit where light has saturated the
        pixel already.
    charge : `~astropy.units.Quantity`
        Charge of cosmic rays, in electron.
    event_id : `~numpy.ndarray` of int
        Number of the event that gives a pixel most charge, 0 for none.
    clean : `~astropy.nddata.CCDData`
        The frame without cosmic rays and without noise; its uncertainty is the noise
        of the frame.
    star_cores : `~numpy.ndarray` of int
        Row and column of peaks of stars and galaxies, shape (N, 2).
    """

    mask: np.ndarray
    ignore: np.ndarray
    charge: u.Quantity
    event_id: np.ndarray
    clean: CCDData
    star_cores: np.ndarray


def make_cosmicray_ccd(
    shape=(512, 512),
    seed=0,
    *,
    scene="stars",
    detector="ACS/WFC",
    environment="low Earth orbit",
    exposure_time=600 * u.s,
    sky=60 * u.electron,
    unit="electron",
    nuisances=False,
):
    """
    Make a frame with cosmic rays, and the truth about it.

    Parameters
    ----------
    shape : tuple of int, optional
        Rows and columns.
    seed : int, optional
        The same seed gives the same frame.
    scene : str, optional
        A kind of scene, one of `~astro_deepcr.simulate.SCENES`.
    detector : str or Detector, optional
        One of `list_detectors`, or your own.
    environment : str or Environment, optional
        One of `list_environments`, or your own.
    exposure_time : float or `~astropy.units.Quantity`, optional
        Time over which cosmic rays are collected, in seconds.
    sky : float or `~astropy.units.Quantity`, optional
        Background in electron per pixel.
    unit : str or `~astropy.units.Unit`, optional
        ``electron`` or ``adu``.
    nuisances : bool, optional
        Whether to add hot pixels, bad columns and the like; those that a bad-pixel
        mask would hold are in the mask of the frame.

    Returns
    -------
    ccd : `~astropy.nddata.CCDData`
        The frame, with the mask of bad pixels (never of cosmic rays), uncertainty,
        header and WCS.
    truth : CosmicRayTruth
        Where the cosmic rays are and what is below them.

    Raises
    ------
    ValueError
        If a name, number or unit is impossible.

    Examples
    --------
    >>> from astro_deepcr.simulate import make_cosmicray_ccd
    >>> ccd, truth = make_cosmicray_ccd((128, 128), seed=1)
    >>> ccd.unit, ccd.header['EXPTIME']
    (Unit("electron"), 600.0)
    >>> bool(truth.mask.any() and not ccd.mask.any())
    True
    """
    detector = get_detector(detector)
    seconds = _value("exposure_time", exposure_time, u.s)
    background = _value("sky", sky, u.electron)
    scale = _scale(unit, detector)
    whole = isinstance(seed, (int, np.integer)) and not isinstance(seed, bool)
    if not (whole and -(2**63) <= seed < 2**64):
        msg = f"seed={seed!r} must be a whole number of 64 bits."
        raise ValueError(msg)
    frames = simulate_frames(
        1,
        shape,
        generator=torch.Generator().manual_seed(int(seed)),
        scenes=scene,
        detectors=detector,
        environments=environment,
        exposure_times=seconds,
        sky=background,
        nuisances=nuisances,
    )
    meta = _header(frames.meta[0], detector, scale)
    image = frames.image[0].numpy()
    sigma, charge = frames.sigma[0].numpy(), frames.charge[0].numpy()
    noise = np.sqrt(sigma**2 + np.maximum(charge, 0))
    bad = frames.bad[0].numpy()
    ccd = _ccd(image, noise, bad, unit, scale, meta, shape)
    clean = _ccd(frames.clean[0].numpy(), sigma, bad, unit, scale, meta, shape)
    truth = CosmicRayTruth(
        mask=frames.truth[0].numpy(),
        ignore=frames.score_ignore[0].numpy(),
        charge=charge * u.electron,
        event_id=frames.event_id[0].numpy(),
        clean=clean,
        star_cores=frames.star_cores[:, 1:].numpy(),
    )
    return ccd, truth


def _value(name, given, unit):
    try:
        value = u.Quantity(given, unit).value
    except (TypeError, u.UnitConversionError):
        msg = f"{name}={given!r} must be one number, in {unit} or with a unit."
        raise ValueError(msg) from None
    if np.ndim(value) or not (0 <= value < np.inf):
        msg = f"{name}={given!r} must be one finite number, 0 or more."
        raise ValueError(msg)
    return float(value)


def _scale(unit, detector):
    """Electrons per unit."""
    unit = u.Unit(unit)
    if unit not in (u.electron, u.adu):
        msg = f"unit={str(unit)!r} must be 'electron' or 'adu'."
        raise ValueError(msg)
    return 1.0 if unit == u.electron else detector.gain.value


def _header(meta, detector, scale):
    limit = (detector.saturation * detector.gain).to_value(u.electron)
    instrument, _, channel = detector.name.partition("/")
    return {
        "INSTRUME": instrument,
        "DETECTOR": channel or "CCD",
        "OBJECT": meta["scene"],
        "EXPTIME": meta["exposure_time"],
        "GAIN": round(meta["gain"], 4),
        "RDNOISE": round(meta["read_noise"], 4),
        "SATURATE": round(min(meta["full_well"], limit * meta["exposures"]) / scale, 1),
    }


def _ccd(data, noise, bad, unit, scale, meta, shape):
    """Wrap arrays in electrons into a CCDData."""
    ccd = CCDData(
        data / np.float32(scale),
        unit=unit,
        uncertainty=StdDevUncertainty(noise / np.float32(scale)),
        mask=bad.copy(),
        wcs=_wcs(shape),
    )
    ccd.meta.update(meta)
    return ccd


def _wcs(shape):
    """Tangential projection with 0.05 arcsec per pixel, north up."""
    wcs = WCS(naxis=2)
    wcs.wcs.ctype = ["RA---TAN", "DEC--TAN"]
    wcs.wcs.crpix = [(shape[1] + 1) / 2, (shape[0] + 1) / 2]
    wcs.wcs.crval = [150.0, 2.2]
    wcs.wcs.cdelt = [-0.05 / 3600, 0.05 / 3600]
    wcs.wcs.cunit = ["deg", "deg"]
    return wcs
