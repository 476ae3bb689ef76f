# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Frames from FITS files, and cleaned frames back into them."""

import contextlib
import tempfile
import warnings
from pathlib import Path

import numpy as np
from astropy import units as u
from astropy.io import fits
from astropy.nddata import CCDData
from astropy.utils.exceptions import AstropyUserWarning

from .header import PROVENANCE

__all__ = ["find_frames", "read_frame", "write_cleaned"]

# What observatories write in BUNIT and astropy does not understand as it stands.
_UNIT_NAMES = {
    "counts": "adu",
    "count": "adu",
    "dn": "adu",
    "du": "adu",
    "cps": "adu/s",
    "adus": "adu",
    "electrons": "electron",
    "e-": "electron",
    "e": "electron",
    "sec": "s",
    "second": "s",
    "seconds": "s",
}


def read_frame(filename, hdu=None, unit=None):
    """
    Read one frame of a FITS file.

    Parameters
    ----------
    filename : path-like
        The file.
    hdu : int or str, optional
        Number, name, or name and version ('SCI,2') of the HDU. By default the first
        called SCI, or else the first with a two-dimensional image.
    unit : str or `~astropy.units.Unit`, optional
        Unit of the values; by default that of the keyword BUNIT.

    Returns
    -------
    ccd : `~astropy.nddata.CCDData`
        With the headers of the primary and the chosen HDU as its meta data.
    index : int
        Number of the HDU that was read.

    Raises
    ------
    OSError
        If the file is missing, not FITS, truncated or damaged.
    ValueError
        If it has no such HDU or no image, or the unit is not known.

    Examples
    --------
    >>> import tempfile
    >>> import numpy as np
    >>> from astropy.io import fits
    >>> from astro_deepcr.fits_files import read_frame
    >>> with tempfile.TemporaryDirectory() as directory:
    ...     filename = f'{directory}/frame.fits'
    ...     fits.writeto(filename, np.ones((4, 5)))
    ...     ccd, index = read_frame(filename, unit='adu')
    >>> ccd.shape, str(ccd.unit), index
    ((4, 5), 'adu', 0)
    """
    with _open(filename) as hdus:
        index = _choose_hdu(hdus, hdu, filename)
        header = merged_header(hdus, index)
        data = _read_data(hdus[index], filename)
    unit = parse_unit(header.get("BUNIT") if unit is None else unit, filename)
    return CCDData(data, unit=unit, meta=header), index


def find_frames(filename, hdu=None):
    """
    Find the HDUs of a FITS file that are to be cleaned.

    Parameters
    ----------
    filename : path-like
        The file.
    hdu : int or str, optional
        Number, name, or name and version ('SCI,2') of one HDU. By default all
        called SCI, or else the first with a two-dimensional image.

    Returns
    -------
    indices : list of int
        Numbers of the HDUs.

    Raises
    ------
    OSError, ValueError
        As in `read_frame`.
    """
    with _open(filename) as hdus:
        first = _choose_hdu(hdus, hdu, filename)
        if hdu is not None or hdu_name(hdus[first]) != "SCI":
            return [first]
        return [i for i, h in enumerate(hdus) if _is_image(h) and hdu_name(h) == "SCI"]


def write_cleaned(source, target, results, *, overwrite=False):
    """
    Write cleaned frames into a copy of the file that they came from.

    The copy keeps all other HDUs as they are. The masks are appended as HDUs called
    CRMASK, with the version (EXTVER) of their image. An image that was compressed
    is written without compression, since that may change its values. Nothing is left
    under the final name unless all was written.

    Parameters
    ----------
    source, target : path-like
        The file that was read, and the one to write.
    results : dict
        Number of an HDU -> cleaned `~astropy.nddata.CCDData` with its header, and the
        cosmic rays as an array of bool.
    overwrite : bool, optional
        Whether an existing file may be replaced.

    Raises
    ------
    OSError
        If the target exists, is the source, or cannot be written.
    """
    target = Path(target)
    check_target(source, target, overwrite=overwrite)
    raw = {"do_not_scale_image_data": True, "disable_image_compression": True}
    with (
        _open(source) as hdus,
        _open(source, **raw) as copy,
        tempfile.TemporaryDirectory(dir=target.parent, prefix=".deepcr-") as directory,
    ):
        for index, (cleaned, crmask) in results.items():
            copy[index] = _cleaned_hdu(hdus, index, cleaned)
            version = hdus[index].ver
            mask = fits.ImageHDU(crmask.astype(np.uint8), name="CRMASK", ver=version)
            mask.add_checksum()
            copy.append(mask)
        temporary = Path(directory) / target.name
        copy.writeto(temporary)
        temporary.replace(target)


def _cleaned_hdu(hdus, index, cleaned):
    """Return the HDU of a cleaned image, with its own old header and provenance."""
    header = hdus[index].header.copy()
    for key in ("BSCALE", "BZERO", "BLANK", "CHECKSUM", "DATASUM"):
        header.remove(key, ignore_missing=True)
    for key in PROVENANCE:
        header[key] = (cleaned.meta[key], PROVENANCE[key])
    old_lines = len(merged_header(hdus, index).get("HISTORY", []))
    for line in list(cleaned.meta["HISTORY"])[old_lines:]:
        header.add_history(line)
    kind = fits.ImageHDU if index else fits.PrimaryHDU
    hdu = kind(cleaned.data, header)
    hdu.add_checksum()
    return hdu


def check_target(source, target, *, overwrite=False):
    """Raise OSError unless a target may be written."""
    source, target = Path(source), Path(target)
    if target.resolve() == source.resolve():
        msg = f"{target} is the input itself, which is never changed; choose another."
        raise OSError(msg)
    if target.exists() and not overwrite:
        msg = f"{target} exists already; pass overwrite=True (--overwrite)."
        raise FileExistsError(msg)
    if not target.parent.is_dir():
        msg = f"The directory {target.parent} for the output does not exist."
        raise FileNotFoundError(msg)


@contextlib.contextmanager
def _open(filename, **options):
    """Open a FITS file; whatever is wrong with it is one OSError."""
    if not Path(filename).is_file():
        msg = f"There is no file {filename}."
        raise FileNotFoundError(msg)
    # astropy leaves a damaged file open, unless it is ours to close.
    with Path(filename).open("rb") as file, warnings.catch_warnings():
        warnings.filterwarnings("error", message=".*truncated.*")
        try:
            hdus = fits.open(file, memmap=False, **options)
            len(hdus)  # reads all headers
        except (OSError, ValueError, TypeError, KeyError, AstropyUserWarning) as err:
            msg = f"{filename} cannot be read as FITS: {str(err).strip()}"
            raise OSError(msg) from err
        yield hdus


def _read_data(hdu, filename):
    try:
        return hdu.data
    except (TypeError, ValueError, OSError) as err:
        msg = f"{filename} cannot be read as FITS: {err} Is it truncated?"
        raise OSError(msg) from err


def merged_header(hdus, index):
    """Return the primary header with that of the image on top."""
    header = hdus[0].header.copy()
    if index:
        header.extend(hdus[index].header, strip=True, update=True)
    return header


def hdu_name(hdu):
    """Return the name of an HDU in capitals and without spaces around it."""
    return str(hdu.name).strip().upper()


def _is_image(hdu):
    return hdu.is_image and hdu.header.get("NAXIS") == 2


def _choose_hdu(hdus, hdu, filename):
    names = [hdu_name(h) for h in hdus]
    found = ", ".join(
        f"{i} {name or '(no name)'} {'x'.join(map(str, h.shape)) if h.is_image else ''}"
        for i, (name, h) in enumerate(zip(names, hdus, strict=True))
    )
    wanted = hdu
    if hdu is None:
        images = [i for i, h in enumerate(hdus) if _is_image(h)]
        if not images:
            msg = f"{filename} has no two-dimensional image; its HDUs are: {found}."
            raise ValueError(msg)
        return next((i for i in images if names[i] == "SCI"), images[0])
    if isinstance(hdu, str) and not hdu.isdigit():
        name, _, version = hdu.upper().partition(",")
        matches = (
            i
            for i, h in enumerate(hdus)
            if names[i] == name.strip() and version.strip() in ("", str(h.ver))
        )
        hdu = next(matches, -1)
    hdu = int(hdu)
    if not (0 <= hdu < len(hdus) and _is_image(hdus[hdu])):
        msg = f"{filename} has no image HDU {wanted!r}; its HDUs are: {found}."
        raise ValueError(msg)
    return hdu


def parse_unit(unit, filename):
    """Return a unit in the spelling of observatories as one of astropy."""
    if unit is None or str(unit).strip() == "":
        msg = (
            f"{filename} does not say its unit (no BUNIT); pass one, such as "
            "unit='adu' (--unit adu)."
        )
        raise ValueError(msg)
    if isinstance(unit, u.UnitBase):
        return unit
    parts = [part.strip() for part in str(unit).strip().lower().split("/")]
    known = "/".join(_UNIT_NAMES.get(part, part) for part in parts)
    for text in (known, str(unit)):
        with contextlib.suppress(ValueError):
            return u.Unit(text)
    msg = f"The unit {unit!r} of {filename} is not known; pass unit='adu' (--unit)."
    raise ValueError(msg)
