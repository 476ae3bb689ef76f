# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Provenance that survives in a FITS header."""

import copy
import textwrap

import numpy as np
from astropy.io import fits

from . import conf

__all__ = ["ALWAYS", "PROVENANCE", "colour_pattern", "log_to_meta", "merged_header"]

#: For ``add_keyword``: as True, whatever the configuration says.
ALWAYS = object()

# Where cameras with a colour filter on each pixel say so.
_COLOURS = ("BAYERPAT", "COLORTYP")
# Characters of a card of HISTORY.
_CARD = 72
#: Keywords of the standard provenance, and their comments.
PROVENANCE = {
    "CRMODEL": "weights of the cosmic-ray network",
    "CRSHA": "SHA-256 of the weights (start)",
    "CRTHRESH": "probability from which on pixels are flagged",
    "CRORIENT": "orientations that the network looked in",
    "CRFRAC": "fraction of the usable pixels flagged",
    "CRFILL": "how hit pixels were replaced",
    "CRNPIX": "number of pixels flagged or replaced",
}


def log_to_meta(meta, values, history, add_keyword=True):
    """
    Copy meta data and add provenance to the copy.

    Parameters
    ----------
    meta : dict-like or None
        A `~astropy.io.fits.Header` or a dictionary.
    values : dict
        Keyword of `PROVENANCE` -> value.
    history : str
        One line that tells what was done.
    add_keyword : bool, str, `ccdproc.Keyword`, dict-like or None, optional
        As everywhere in ccdproc: True adds the ``values`` and the ``history``,
        unless ``conf.auto_logging`` is off; False or `None` adds nothing; a string
        is the one keyword that gets the line of history; a keyword or dictionary
        is added instead of the standard cards.

    Returns
    -------
    meta : dict-like or None
        The changed copy.

    Raises
    ------
    TypeError
        If ``add_keyword`` is of another type.

    Examples
    --------
    >>> from astro_deepcr.header import log_to_meta
    >>> log_to_meta({}, {'CRNPIX': 7}, 'flagged 7 pixels')
    {'CRNPIX': 7, 'HISTORY': 'flagged 7 pixels'}
    """
    values = {key: _printable(value) for key, value in values.items()}
    history = _printable(history)
    meta = copy.deepcopy(meta)
    if isinstance(add_keyword, bool | np.bool_):
        add_keyword = ALWAYS if add_keyword and conf.auto_logging else None
    if meta is None or add_keyword is None:
        return meta
    if add_keyword is ALWAYS:
        _add_values(meta, values)
        _add_history(meta, history)
    elif isinstance(add_keyword, str):
        meta[add_keyword] = history
    elif hasattr(add_keyword, "name") and hasattr(add_keyword, "value"):
        meta[add_keyword.name] = add_keyword.value
    elif hasattr(add_keyword, "items"):
        for key, value in add_keyword.items():
            meta[key] = value
    else:
        msg = (
            f"add_keyword={add_keyword!r} must be a bool, None, a string, a "
            "ccdproc.Keyword or a dictionary."
        )
        raise TypeError(msg)
    return meta


def colour_pattern(meta):
    """Return what is to be said if neighbouring pixels see different colours."""
    if meta is None:
        return None
    pattern = str(meta.get(_COLOURS[0], meta.get(_COLOURS[1]))).strip()
    if len(pattern) != 4 or set(pattern.upper()) != set("RGB"):
        return None
    return (
        f"The header says that pixels see different colours ({pattern}). Many cosmic "
        "rays are then missed: divide the pixels of each colour, [0::2, 0::2], "
        "[0::2, 1::2] and so on, by their median first, and multiply after."
    )


def merged_header(hdus, index):
    """Return the primary header with that of the image on top."""
    header = _readable(hdus[0].header)
    if index:
        header.extend(_readable(hdus[index].header), strip=True, update=True)
    return header


def _readable(header):
    """Return a copy of a header without the cards that nobody can read."""
    header = header.copy()
    for number in range(len(header) - 1, -1, -1):
        try:
            header[number]
        except fits.VerifyError:
            del header[number]
    return header


def _printable(value):
    """Return text with what FITS does not allow, as in names of files, as '?'."""
    if not isinstance(value, str):
        return value
    return "".join(c if " " <= c <= "~" else "?" for c in value)


def _add_values(meta, values):
    is_header = hasattr(meta, "cards")
    for key, value in values.items():
        meta[key] = (value, PROVENANCE[key]) if is_header else value


def _add_history(meta, line):
    if hasattr(meta, "add_history"):
        # FITS would cut words in two.
        for part in textwrap.wrap(line, _CARD, break_on_hyphens=False):
            meta.add_history(part)
    else:
        # One string, since a dictionary with a list cannot be written to FITS.
        old = meta.get("HISTORY", "")
        # A list, or what astropy makes of several cards, or a text.
        many = hasattr(old, "__iter__") and not isinstance(old, str)
        old = "; ".join(map(str, old if many else [old]))
        meta["HISTORY"] = f"{old}; {line}" if old else line
