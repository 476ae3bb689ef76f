# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Frames from FITS files."""

import contextlib
import re
import threading
import warnings
import zlib
from fnmatch import fnmatchcase
from numbers import Integral
from pathlib import Path

import numpy as np
from astropy import units as u
from astropy.io import fits
from astropy.nddata import (
    CCDData,
    InverseVariance,
    StdDevUncertainty,
    VarianceUncertainty,
)
from astropy.utils.exceptions import AstropyUserWarning

from .header import merged_header

__all__ = ["find_fits", "find_frames", "read_frame", "read_frames"]

_ENDINGS = tuple(
    f"{kind}{packing}"
    for kind in (".fits", ".fit", ".fts")
    for packing in ("", ".fz", ".gz")
)
# Planes that tell of an image and are none themselves: first or last words of names.
_COMPANIONS = {
    *("AREA", "BACKGROUND", "BADPIX", "BKG", "BPM", "COVERAGE", "CRMASK", "CTX", "DQ"),
    *("DQM", "ERR", "ERROR", "ERRS", "EXPMAP", "EXPOSURE", "FLAG", "FLAGS", "FLAT"),
    *("FLG", "GROUPDQ", "INVVAR", "IVAR", "IVM", "LAMBDA", "MASK", "MODEL", "NOISE"),
    *("NVAR", "PIXELDQ", "QUAL", "QUALITY", "READNOISE", "RMS", "SAMP", "SIGMA"),
    *("SKY", "STAT", "STD", "STDDEV", "TIME", "UNCERT", "VAR", "VARIANCE", "WAVE"),
    *("WAVELENGTH", "WEIGHT", "WGT", "WHT", "WTM"),
}
# What planes of bits, and of uncertainties, are called; the first is the usual name.
_PLANES = {"bits": ("DQ", "BPM", "MSK"), "errors": ("ERR", "UNCERT")}
# Options that ask for them.
_NEEDED_FOR = {
    "bits": "dq_bit= (--dq-bit) and bad_bits= (--bad-bits)",
    "errors": "update_err= (--update-err)",
}
# What CCDData writes into the header of its UNCERT as UTYPE.
_UNCERTAINTIES = {
    kind.__name__: kind
    for kind in (StdDevUncertainty, VarianceUncertainty, InverseVariance)
}
# What astropy raises for damaged files.
_DAMAGE = (OSError, ValueError, TypeError, EOFError, zlib.error)
# The filter of warnings belongs to the process: one file is opened at a time.
_OPENING = threading.Lock()

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
    "photons": "photon",
    "sec": "s",
    "second": "s",
    "seconds": "s",
}


def find_fits(folder):
    """
    List the FITS files of a folder, sorted.

    Parameters
    ----------
    folder : path-like
        Folder, or one file, whatever its name.

    Returns
    -------
    list of `~pathlib.Path`
        Those with an ending of FITS files, compressed ones included.

    Raises
    ------
    FileNotFoundError
        If there is no such folder, or no FITS file in it.

    Examples
    --------
    >>> from astro_deepcr.fits_files import find_fits
    >>> find_fits("no-such-folder")
    Traceback (most recent call last):
        ...
    FileNotFoundError: no FITS file (*.fits, *.fits.fz, *.fits.gz) in no-such-folder
    """
    folder = Path(folder)
    if folder.is_file():
        return [folder]
    paths = [p for p in folder.glob("[!.]*") if p.name.lower().endswith(_ENDINGS)]
    if not paths:
        msg = f"no FITS file (*.fits, *.fits.fz, *.fits.gz) in {folder}"
        raise FileNotFoundError(msg)
    return sorted(paths)


def read_frame(filename, hdu=None, unit=None, *, bad_bits=0):
    """
    Read one frame of a FITS file.

    Parameters
    ----------
    filename : path-like
        The file.
    hdu : int or str, optional
        Number, name, or name and version ('SCI,2') of the HDU. By default the first
        that `find_frames` gives.
    unit : str or `~astropy.units.Unit`, optional
        Unit of the values; by default that of the keyword BUNIT.
    bad_bits : int, optional
        Bits of the image's DQ plane that say that a pixel is bad: their sum, such
        as 4 + 16. These pixels are masked.

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
    with open_fits(filename) as hdus:
        index = _choose_hdu(hdus, hdu, filename)
        return _frame(hdus, index, unit, bad_bits, filename), index


def read_frames(
    filename, ext=None, unit=None, *, bad_bits=0, bad_pixels=None, errors=False
):
    """
    Read the frames of a FITS file that are to be cleaned, one after the other.

    Parameters
    ----------
    filename : path-like
        The file.
    ext : int, str, tuple of name and version, or list of these, optional
        As in `find_frames`.
    unit, bad_bits
        As in `read_frame`.
    bad_pixels : path-like, optional
        A FITS file of masks, not 0 where pixels are bad: one image for all frames,
        or one for each, in order.
    errors : bool, optional
        Whether the ERR plane of each, or the UNCERT that CCDData wrote, becomes its
        uncertainty.

    Yields
    ------
    index : int
        Number of the HDU.
    ccd : `~astropy.nddata.CCDData`
        As from `read_frame`.

    Raises
    ------
    OSError, ValueError
        As in `read_frame`.
    """
    with open_fits(filename) as hdus:
        indices = _frames_of(hdus, ext, filename)
        for number, index in enumerate(indices):
            frame = _frame(hdus, index, unit, bad_bits, filename)
            if bad_pixels is not None:
                bad = read_bad_pixels(bad_pixels, number, len(indices), frame.shape)
                frame.mask = bad if frame.mask is None else frame.mask | bad
            if errors:
                frame.uncertainty = _uncertainty(hdus, index, filename)
            yield index, frame
            del hdus[index].data


def read_bad_pixels(path, number, frames, shape):
    """
    Read where pixels of a frame are bad from a file for many.

    Parameters
    ----------
    path : path-like
        The FITS file.
    number, frames : int
        Number of the frame among those of its file, from 0, and how many there are.
    shape : tuple of int
        Of the frame.

    Returns
    -------
    bad : `~numpy.ndarray` of bool

    Raises
    ------
    OSError, ValueError
        If it cannot be read, or holds no mask that fits.
    """
    with open_fits(path) as hdus:
        planes = [hdu for hdu in hdus if _is_image(hdu)]
        if len(planes) not in (1, frames):
            msg = (
                f"The masks of bad pixels {path} are {len(planes)} image(s), and there "
                f"are {frames} frame(s): one for all is needed, or one for each."
            )
            raise ValueError(msg)
        plane = planes[number if len(planes) > 1 else 0]
        if plane.shape != shape:
            sizes = ("x".join(map(str, size)) for size in (plane.shape, shape))
            msg = "The mask of bad pixels {} is {}, and the frame {}; trim both alike."
            raise ValueError(msg.format(path, *sizes))
        return read_data(plane, path) != 0


def _frame(hdus, index, unit, bad_bits, filename):
    """Return the frame of one HDU."""
    header = merged_header(hdus, index)
    data, mask = read_image(hdus[index], filename), None
    own = own_mask(hdus, index)
    if own is not None:
        mask = read_data(hdus[own], filename) != 0
    if bad_bits:
        check_bits(bad_bits)
        plane = hdus[plane_index(hdus, index, "bits", filename)]
        plane = read_data(plane, filename)
        bad = (plane.astype(np.int64) & bad_bits) != 0
        mask = bad if mask is None else mask | bad
    unit = parse_unit(header.get("BUNIT") if unit is None else unit, filename)
    return CCDData(data, unit=unit, mask=mask, meta=header)


def _uncertainty(hdus, index, filename):
    """Return the uncertainty of the image of one HDU."""
    plane = hdus[plane_index(hdus, index, "errors", filename)]
    kind = plane.header.get("UTYPE", StdDevUncertainty.__name__)
    if kind not in _UNCERTAINTIES:
        msg = (
            f"{filename} has uncertainties of the type {kind!r} (UTYPE); those that "
            f"can be updated are {', '.join(_UNCERTAINTIES)}."
        )
        raise ValueError(msg)
    return _UNCERTAINTIES[kind](read_data(plane, filename))


def find_frames(filename, ext=None):
    """
    Find the HDUs of a FITS file that are to be cleaned.

    Parameters
    ----------
    filename : path-like
        The file.
    ext : int, str, tuple of name and version, or list of these, optional
        Numbers, names, or names and versions ('SCI,2') of HDUs; a name may be a
        pattern such as ``'N*'``, and stands for all images of that name. By default all
        called SCI (or ``*.SCI``); or else the primary HDU; or else all two-dimensional
        images but those called ERR, DQ, MASK, VARIANCE and the like.

    Returns
    -------
    indices : list of int
        Numbers of the HDUs.

    Raises
    ------
    OSError, ValueError
        As in `read_frame`.
    """
    with open_fits(filename) as hdus:
        return _frames_of(hdus, ext, filename)


def _frames_of(hdus, ext, filename):
    if ext is None:
        return _default_frames(hdus, filename)
    several = isinstance(ext, (list, tuple)) and not _is_version(ext)
    wanted = ext if several else [ext]
    if not wanted:
        msg = f"ext={ext!r} names no HDU; leave it out to clean what there is."
        raise ValueError(msg)
    return sorted({i for one in wanted for i in _find_hdus(hdus, one, filename)})


def _is_version(ext):
    """Tell name and version, as astropy writes them, from a list of two HDUs."""
    if not isinstance(ext, tuple) or len(ext) != 2 or not isinstance(ext[0], str):
        return False
    return isinstance(ext[1], Integral) and not isinstance(ext[1], bool)


def _default_frames(hdus, filename):
    words = [re.split(r"[ ._-]", hdu_name(hdu)) for hdu in hdus]
    images = [i for i, hdu in enumerate(hdus) if _is_image(hdu)]
    science = [i for i, hdu in enumerate(hdus) if words[i][-1] == "SCI" and hdu.shape]
    if science:  # which may be cubes: their planes are not taken for them
        images = [i for i in images if i in science]
    elif images[:1] == [0]:
        images = [0]
    else:
        images = [i for i in images if not _COMPANIONS & {words[i][0], words[i][-1]}]
    if not images:
        msg = (
            f"{filename} has no two-dimensional image; its HDUs are: "
            f"{_describe(hdus)}. (Planes such as ERR and DQ count only if ext= or "
            "--ext names them; cubes must be split into their planes first.)"
        )
        raise ValueError(msg)
    return images


@contextlib.contextmanager
def open_fits(filename, **options):
    """Open a FITS file; whatever is wrong with it is one OSError."""
    if not Path(filename).is_file():
        msg = f"There is no file {filename}."
        raise FileNotFoundError(msg)
    # astropy leaves a damaged file open, unless it is ours to close.
    with Path(filename).open("rb") as file:
        try:
            with _OPENING, warnings.catch_warnings():
                warnings.filterwarnings("error", message="File may have been truncated")
                hdus = fits.open(file, memmap=False, **options)
                len(hdus)  # reads all headers
        except (*_DAMAGE, KeyError, AstropyUserWarning) as err:
            msg = f"{filename} cannot be read as FITS: {str(err).strip()}"
            raise OSError(msg) from err
        yield hdus


def read_data(hdu, filename):
    """Return the data of an HDU; whatever is wrong with them is one OSError."""
    try:
        return hdu.data
    except _DAMAGE as err:
        msg = (
            f"{filename} cannot be read as FITS: {err} Is it truncated? Copy it again."
        )
        raise OSError(msg) from err


def read_image(hdu, filename):
    """Return the data of an image, NaN where they are BLANK."""
    blank, zero = hdu.header.get("BLANK"), hdu.header.get("BZERO", 0)
    data = read_data(hdu, filename)
    if blank is None or data is None or data.dtype.kind not in "iu":
        return data
    # astropy leaves integers of types that FITS lacks (BZERO = 32768, ...) as they are.
    missing = data == blank + zero
    return np.where(missing, np.nan, data.astype(np.result_type(data, np.float32)))


def plane_index(hdus, index, kind, filename):
    """Return the number of the plane of 'bits' or 'errors' of an image."""
    image, names = hdus[index], set(map(hdu_name, hdus))
    name = next((one for one in _PLANES[kind] if one in names), _PLANES[kind][0])
    found = [
        i
        for i, hdu in enumerate(hdus)
        if hdu_name(hdu) == name and hdu.ver == image.ver
        if _is_image(hdu) and hdu.shape == image.shape
    ]
    if len(found) == 1:
        return found[0]
    number = "more than one" if found else "no"
    msg = (
        f"{filename} has {number} {name} plane for the image {index} (EXTVER "
        f"{image.ver}, {'x'.join(map(str, image.shape))}); its HDUs are: "
        f"{_describe(hdus)}. Choose images that have one with ext= (--ext), or leave "
        f"out {_NEEDED_FOR[kind]}."
    )
    raise ValueError(msg)


def own_mask(hdus, index):
    """Return the number of the mask that CCDData wrote beside an image, or None."""
    # Other masks called MASK hold bits, some of which mark stars.
    found = (
        i
        for i, hdu in enumerate(hdus)
        if hdu_name(hdu) == "MASK" and _is_image(hdu)
        if hdu.shape == hdus[index].shape and hdu.header["BITPIX"] == 8
    )
    return next(found, None) if index == 0 else None


def check_bits(bad_bits):
    """Raise TypeError or ValueError unless a number is a sum of bits."""
    if not isinstance(bad_bits, (int, np.integer)):
        msg = f"bad_bits={bad_bits!r} must be a whole number, the sum of bits."
        raise TypeError(msg)
    if not 0 <= bad_bits < 2**63:
        msg = f"bad_bits={bad_bits} must be a sum of bits, from 0 to 2**63 - 1."
        raise ValueError(msg)


def hdu_name(hdu):
    """Return the name of an HDU in capitals and without spaces around it."""
    return str(hdu.name).strip().upper()


def _is_image(hdu):
    return hdu.is_image and hdu.header.get("NAXIS") == 2


def _describe(hdus):
    return ", ".join(
        f"{i} {hdu_name(h) or '(no name)'} "
        f"{'x'.join(map(str, h.shape)) if h.is_image else ''}"
        for i, h in enumerate(hdus)
    )


def _choose_hdu(hdus, hdu, filename):
    """Return the number of one HDU with an image."""
    if hdu is None:
        return _default_frames(hdus, filename)[0]
    return _find_hdus(hdus, hdu, filename)[0]


def _find_hdus(hdus, wanted, filename):
    """Return the numbers of all images of a number, a name, or a name and version."""
    if _is_version(wanted):
        wanted = "{},{}".format(*wanted)
    if str(wanted).isdigit():
        found = [int(wanted)] if int(wanted) < len(hdus) else []
    else:
        name, _, version = (part.strip() for part in str(wanted).upper().partition(","))
        found = [
            i
            for i, h in enumerate(hdus)
            if fnmatchcase(hdu_name(h), name) and version in ("", str(h.ver))
        ]
    found = [i for i in found if _is_image(hdus[i])]
    if not found:
        msg = (
            f"{filename} has no image HDU {wanted!r}; its HDUs are: {_describe(hdus)}."
        )
        raise ValueError(msg)
    return found


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
    text = str(unit).strip().strip("[]")
    parts = re.split(r"\s*/\s*|\s+per\s+", text.lower())
    known = "/".join(_UNIT_NAMES.get(part, part) for part in parts)
    # Capitals tell angstrom from year, if they are not those of 'ELECTRONS/S'.
    ours = any(part in _UNIT_NAMES for part in parts)
    for spelling in (known, text) if ours else (text, known):
        with contextlib.suppress(ValueError):
            return u.Unit(spelling)
    msg = f"The unit {unit!r} of {filename} is not known; pass unit='adu' (--unit)."
    raise ValueError(msg)
