# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Cleaned frames into copies of the FITS files that they came from."""

import gzip
import hashlib
import os
import platform
import time
import uuid
from pathlib import Path

import numpy as np
from astropy.io import fits

from .fits_files import (
    find_frames,
    hdu_name,
    open_fits,
    own_mask,
    parse_unit,
    plane_index,
    read_bad_pixels,
)
from .header import PROVENANCE, merged_header

__all__ = [
    "check_target",
    "find_work",
    "read_crmask",
    "remove_parts",
    "write_part",
]

# In place of the time, so that the same input gives the same file, bit by bit.
_WHEN = "as written by astro_deepcr"
# Nobody writes a file for so many seconds.
_LONG = 24 * 3600


def write_part(source, target, results, *, mask_hdu="CRMASK", dq_bit=None):
    """
    Write cleaned frames into a copy of their file, under a temporary name.

    The copy keeps all other HDUs as they are. An image that was compressed is written
    without compression, since that may change its values. What was written is read
    again, and its checksums are verified.

    Parameters
    ----------
    source, target : path-like
        The file that was read, and the name that the copy is to get.
    results : dict
        Number of an HDU -> cleaned `~astropy.nddata.CCDData` with its header, and the
        cosmic rays as an array of bool. An uncertainty goes into its ERR plane, or
        UNCERT, and the mask into the HDU MASK of a file that
        `~astropy.nddata.CCDData` wrote.
    mask_hdu : str or None, optional
        Name of the HDUs that are appended with the cosmic rays (1, or 0 elsewhere);
        they have the version (EXTVER) of their image. `None` appends none.
    dq_bit : int or None, optional
        Bit that cosmic rays get in the DQ plane of each image.

    Returns
    -------
    part : `~pathlib.Path`
        The complete file, beside the target, to be renamed.

    Raises
    ------
    OSError
        If it cannot be written. Nothing is left of it then.
    ValueError
        If the file has HDUs called ``mask_hdu`` already, or no fitting DQ plane.
    """
    raw = {"do_not_scale_image_data": True, "disable_image_compression": True}
    part = _part_name(target)
    with open_fits(source) as hdus, open_fits(source, **raw) as copy:
        ours = _put_results(hdus, copy, results, mask_hdu, dq_bit, source)
        try:
            _write(copy, part)
            with part.open("r+b") as file:  # Windows wants to be able to write
                os.fsync(file.fileno())  # before a journal says that it is there
            _verify(part, ours, len(copy))
        except OSError as err:
            part.unlink(missing_ok=True)
            reason = err.strerror or f"{err}. Is the disk full?"
            msg = f"{target} cannot be written: {reason}"
            raise OSError(msg) from err
        except BaseException:
            part.unlink(missing_ok=True)
            raise
    return part


def find_work(source, reading, writing):
    """
    Find the HDUs that are to be cleaned, and what that needs; only headers are read.

    Parameters
    ----------
    source : path-like
        The file.
    reading : dict
        Options of `~astro_deepcr.fits_files.read_frames`.
    writing : dict
        Options of `write_part`.

    Returns
    -------
    indices : list of int
        Numbers of the HDUs.

    Raises
    ------
    OSError, ValueError
        If the file cannot be read, or lacks a unit or a plane, or has a mask already.
    """
    indices = find_frames(source, reading["ext"])
    with open_fits(source) as hdus:
        _check_mask_hdu(hdus, writing["mask_hdu"], source)
        for number, index in enumerate(indices):
            if (path := reading["bad_pixels"]) is not None:
                read_bad_pixels(path, number, len(indices), hdus[index].shape)
            unit, header = reading["unit"], merged_header(hdus, index)
            parse_unit(header.get("BUNIT") if unit is None else unit, source)
            needed = {
                "bits": reading["bad_bits"] or writing["dq_bit"],
                "errors": reading["errors"],
            }
            for kind in filter(needed.get, needed):
                plane_index(hdus, index, kind, source)
    return indices


def read_crmask(target, source, index, *, mask_hdu="CRMASK", dq_bit=None):
    """
    Read the cosmic rays of a file that `write_part` wrote.

    Parameters
    ----------
    target, source : path-like
        The file, and that which was cleaned.
    index : int
        Number of the HDU of the image.
    mask_hdu, dq_bit
        What they were when it was written.

    Returns
    -------
    crmask : `~numpy.ndarray` of bool or None, shape (rows, columns)
        `None` if they were not written.
    """
    if mask_hdu is None and dq_bit is None:
        return None
    with open_fits(target) as hdus, open_fits(source) as before:
        if mask_hdu is not None:
            cleaned = [i for i, hdu in enumerate(hdus) if "CRMODEL" in hdu.header]
            masks = [hdu for hdu in hdus if hdu_name(hdu) == mask_hdu.upper()]
            return masks[cleaned.index(index)].data > 0
        plane = plane_index(hdus, index, "bits", target)
        return (hdus[plane].data & ~before[plane].data & dq_bit) > 0


def _part_name(target):
    """Return a name of its own for a file until it is complete."""
    target = Path(target)
    own = f"{_this_computer()}{os.getpid():06x}{uuid.uuid4().hex[:4]}"
    return target.with_name(f".part-{own}-{target.name}")


def remove_parts(targets):
    """Remove what attempts at some targets left behind that were killed."""
    names = {Path(target).name for target in targets}
    for folder in {Path(target).parent for target in targets}:
        for path in folder.glob(".part-????????????-*"):
            if path.name[len(".part-????????????-") :] in names and _is_left(path):
                path.unlink(missing_ok=True)


def _this_computer():
    return hashlib.sha256(platform.node().encode()).hexdigest()[:2]


def _is_left(part):
    """Say whether nobody writes a part any more, on this computer or another."""
    own = part.name[len(".part-") :]
    try:
        if time.time() - part.stat().st_mtime > _LONG:
            return True
        if own[:2] != _this_computer() or os.name == "nt":  # which would be sent Ctrl-C
            return False
        os.kill(int(own[2:8], 16), 0)  # only asks whether the process is there
    except (ProcessLookupError, FileNotFoundError, ValueError):
        return True
    except OSError:  # of another user
        return False
    return False


def _put_results(hdus, copy, results, mask_hdu, dq_bit, source):
    """Put cleaned HDUs into a copy; return the numbers of all that are ours."""
    _check_mask_hdu(hdus, mask_hdu, source)
    ours = list(results)
    distinct = len({hdus[index].ver for index in results}) == len(results)
    for number, (index, (cleaned, crmask)) in enumerate(results.items(), 1):
        copy[index] = _cleaned_hdu(hdus, index, cleaned)
        own = own_mask(hdus, index)
        if own is not None:  # of a CCDData, whose mask holds the cosmic rays, too
            ours.append(own)
            copy[own] = _image_hdu(cleaned.mask.astype(np.uint8), hdus[own])
        if dq_bit is not None:
            ours.append(_own_plane(hdus, index, "bits", ours, source))
            copy[ours[-1]] = _flagged_hdu(hdus[ours[-1]], crmask, dq_bit, source)
        if cleaned.uncertainty is not None:
            ours.append(_own_plane(hdus, index, "errors", ours, source))
            old = hdus[ours[-1]]
            new = np.where(crmask, cleaned.uncertainty.array, old.data)
            dtype = np.result_type(old.data.dtype, np.float32)  # integers cut it off
            copy[ours[-1]] = _image_hdu(new.astype(dtype), old)
        if mask_hdu is not None:
            version = hdus[index].ver if distinct else number
            mask = fits.ImageHDU(crmask.astype(np.uint8), name=mask_hdu)
            mask.header["EXTVER"] = version  # which may be 0
            mask.add_checksum(when=_WHEN)
            ours.append(len(copy))
            copy.append(mask)
        if own is None and _wants_mask(hdus, results, mask_hdu):
            ours.append(len(copy))
            copy.append(fits.ImageHDU(cleaned.mask.astype(np.uint8), name="MASK"))
            copy[-1].add_checksum(when=_WHEN)
    return ours


def _wants_mask(hdus, results, mask_hdu):
    """Say whether `CCDData.read` takes the file, and finds no mask in it."""
    names = {*map(hdu_name, hdus), str(mask_hdu).upper()}
    return mask_hdu is not None and list(results) == [0] and "MASK" not in names


def _check_mask_hdu(hdus, mask_hdu, source):
    if mask_hdu is not None and mask_hdu.upper() in map(hdu_name, hdus):
        msg = (
            f"{source} has an HDU {mask_hdu} already; clean the file as it was before "
            "that, or choose another name with mask_hdu= (--mask-hdu)."
        )
        raise ValueError(msg)


def _own_plane(hdus, index, kind, ours, filename):
    """Return the number of a plane that no other image was given."""
    plane = plane_index(hdus, index, kind, filename)
    if plane in ours:
        msg = (
            f"{filename} has one {hdu_name(hdus[plane])} plane ({plane}) for several "
            "images. Give them an EXTVER each, or choose one image with ext= (--ext)."
        )
        raise ValueError(msg)
    return plane


def _write(hdus, part):
    # What others wrote is not ours to mend.
    if part.suffix.lower() != ".gz":
        hdus.writeto(part, output_verify="ignore")
        return
    # gzip would note the name and the time, which are others each time.
    with (
        part.open("xb") as file,
        gzip.GzipFile("", "wb", fileobj=file, mtime=0) as packed,
    ):
        hdus.writeto(packed, output_verify="ignore")


def _verify(part, ours, number):
    """Read a file again; raise OSError unless all is there as it should be."""
    with open_fits(part) as hdus:
        whole = len(hdus) == number
        sums = [(hdus[i].verify_datasum(), hdus[i].verify_checksum()) for i in ours]
        if not whole or set(sums) != {(1, 1)}:
            msg = "What was written is not what is read back"
            raise OSError(msg)


def _flagged_hdu(hdu, crmask, bit, filename):
    """Return a DQ plane with one bit set where cosmic rays hit."""
    if hdu.data.dtype.kind not in "iu":
        kind = hdu.data.dtype.name
        msg = f"The DQ planes of {filename} hold {kind} numbers, not bits."
        raise ValueError(msg)
    largest = np.iinfo(hdu.data.dtype).max
    if bit > largest:
        msg = (
            f"The DQ planes of {filename} hold {hdu.data.dtype} numbers up to "
            f"{largest}; the bit {bit} does not fit."
        )
        raise ValueError(msg)
    data = hdu.data.copy()
    data[crmask] |= data.dtype.type(bit)
    return _image_hdu(data, hdu)


def _image_hdu(data, old):
    """Return an HDU with new data and the header of an old one."""
    hdu = fits.ImageHDU(data, _plain_header(old))
    hdu.add_checksum(when=_WHEN)
    return hdu


def _plain_header(hdu):
    """Return a header without what astropy writes anew."""
    header = hdu.header.copy()
    for key in ("BSCALE", "BZERO", "BLANK", "CHECKSUM", "DATASUM"):
        header.remove(key, ignore_missing=True)
    return header


def _cleaned_hdu(hdus, index, cleaned):
    """Return the HDU of a cleaned image, with its own old header and provenance."""
    header = _plain_header(hdus[index])
    for key in ("DATAMIN", "DATAMAX"):  # of a cosmic ray that is gone
        header.remove(key, ignore_missing=True)
    for key in PROVENANCE:
        header[key] = (cleaned.meta[key], PROVENANCE[key])
    old_lines = len(merged_header(hdus, index).get("HISTORY", []))
    for line in list(cleaned.meta["HISTORY"])[old_lines:]:
        header.add_history(line)
    kind = fits.ImageHDU if index else fits.PrimaryHDU
    hdu = kind(cleaned.data, header)
    if not index:  # else added after the checksum, if there are other HDUs
        comment = header.comments["EXTEND"] if "EXTEND" in header else ""
        hdu.header.set("EXTEND", True, comment, after="NAXIS2")
    hdu.add_checksum(when=_WHEN)
    return hdu


def check_hdu_name(name):
    """Raise TypeError or ValueError unless a name, if there is one, is for FITS."""
    if name is None:
        return
    if not isinstance(name, str):
        msg = f"mask_hdu={name!r} must be the name of an HDU, or None for none."
        raise TypeError(msg)
    if not (name.strip() and name.isascii() and name.isprintable()):
        msg = f"mask_hdu={name!r} must be a name of printable ASCII characters."
        raise ValueError(msg)


def _same_but_for_case(source, target):
    """Say whether two names are one file, on disks for which a is A."""
    return (
        source.name.casefold() == target.name.casefold()
        and source.exists()
        and target.exists()
        and source.parent.samefile(target.parent)
        and source.samefile(target)
    )


def check_target(source, target, *, overwrite=False):
    """Raise OSError unless a target may be written."""
    source, target = Path(source), Path(target)
    if target.resolve() == source.resolve() or _same_but_for_case(source, target):
        msg = f"{target} is the input itself, which is never changed; choose another."
        raise OSError(msg)
    if target.is_dir():
        msg = f"{target} is a folder; name a file, or pass output_dir= (--output-dir)."
        raise IsADirectoryError(msg)
    if target.suffix.lower() == ".fz":
        msg = f"{target} would not be compressed; end its name in .fits or .fits.gz."
        raise OSError(msg)
    if os.path.lexists(target) and not overwrite:  # a link to what is not there, too
        msg = f"{target} exists already; pass overwrite=True (--overwrite)."
        raise FileExistsError(msg)
    if not target.parent.is_dir():
        msg = f"The directory {target.parent} for the output does not exist."
        raise FileNotFoundError(msg)
    if not os.access(target.parent, os.W_OK):
        msg = f"The directory {target.parent} for the output is read-only."
        raise PermissionError(msg)
