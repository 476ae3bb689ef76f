# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Frames with known truth: simulated ones, and files with a mask or DQ plane."""

from dataclasses import dataclass, field
from functools import cached_property
from numbers import Real
from pathlib import Path

import numpy as np
from astropy import units as u
from astropy.nddata import CCDData

from ..fill import fill_pixels
from ..fits_files import (
    find_fits,
    hdu_name,
    open_fits,
    parse_unit,
    read_data,
    read_image,
)
from ..flags import MASK_BITS
from ..header import merged_header
from ..units import conversion_factor
from ._checks import as_ignore, as_mask

__all__ = [
    "LabelledFrame",
    "find_fits",
    "labelled_frames",
    "read_frame",
    "read_frames",
]


@dataclass(frozen=True, eq=False)
class LabelledFrame:
    """
    A frame whose cosmic rays are known.

    Parameters
    ----------
    ccd : `~astropy.nddata.CCDData`
        The frame, with its unit. Masked pixels do not count.
    truth : 2-D `~numpy.ndarray` of bool
        Pixels that a cosmic ray hit.
    ignore : 2-D `~numpy.ndarray` of bool or None, optional
        Pixels that do not count.
    charge, event_id : 2-D `~numpy.ndarray` or None, optional
        Charge of the cosmic rays in each pixel, and the number of the event.
    objects : dict of str to 2-D `~numpy.ndarray`, optional
        Kinds of objects that must not be flagged, such as ``"star_cores"``: boolean
        images, or images of object numbers.
    pixels : dict of str to 2-D `~numpy.ndarray` of bool, optional
        Kinds of pixels that must not be flagged, such as ``"hot"``.
    clean, sigma : 2-D `~numpy.ndarray` or None, optional
        The light without cosmic rays and noise, and the noise, in the unit of
        ``ccd``: the truth for filled pixels.
    gain : float or None, optional
        Electrons per adu; looked up in the header by default.
    readnoise : float, optional
        Read noise in electrons.
    saturation : float, optional
        Full well in electrons.
    name : str, optional
        Name of the frame, for figures and messages.

    Raises
    ------
    ValueError
        If ``truth`` or ``ignore`` does not fit ``ccd``.

    Examples
    --------
    >>> import numpy as np
    >>> from astropy.nddata import CCDData
    >>> from astro_deepcr.evaluation import LabelledFrame
    >>> ccd = CCDData(np.ones((2, 2)), unit="adu")
    >>> frame = LabelledFrame(ccd, np.eye(2, dtype=bool), gain=2.0)
    >>> frame.electrons
    array([[2., 2.],
           [2., 2.]], dtype=float32)
    """

    ccd: CCDData
    truth: np.ndarray
    ignore: np.ndarray | None = None
    charge: np.ndarray | None = None
    event_id: np.ndarray | None = None
    objects: dict = field(default_factory=dict)
    pixels: dict = field(default_factory=dict)
    clean: np.ndarray | None = None
    sigma: np.ndarray | None = None
    gain: float | None = None
    readnoise: float = 5.0
    saturation: float = np.inf
    name: str = ""

    def __post_init__(self):
        as_mask(self.truth, "truth", self.ccd.shape)
        as_ignore(self.ignore, self.ccd.shape)

    @cached_property
    def bad(self):
        """Pixels without a value: masked, or not finite."""
        bad = ~np.isfinite(self.ccd.data)
        return bad if self.ccd.mask is None else bad | self.ccd.mask

    @property
    def ignored(self):
        """Pixels that do not count, for either reason."""
        return self.bad | as_ignore(self.ignore, self.ccd.shape)

    @property
    def to_electrons(self):
        """Factor from the unit of the frame to electrons."""
        return conversion_factor(
            self.ccd.unit, u.electron, gain=self.gain, meta=self.ccd.meta
        )

    @property
    def electrons(self):
        """The frame in electrons, as float32, filled from around where it is `bad`."""
        values = (self.ccd.data * self.to_electrons).astype("f4")
        if self.bad.any() and not self.bad.all():
            values[self.bad], _ = fill_pixels(values, self.bad)
        return values


def labelled_frames(frames):
    """
    Take a batch of simulated frames apart.

    Parameters
    ----------
    frames : `~astro_deepcr.simulate.Frames`
        From `~astro_deepcr.simulate.simulate_frames`, on any device.

    Yields
    ------
    LabelledFrame
        In electrons. Objects that must not be flagged are the ``"cores"`` of stars and
        galaxies, pixels the ``"saturated"`` and the ``"bad"`` ones (hot, weak, dead).

    Examples
    --------
    >>> import torch
    >>> from astro_deepcr.evaluation import labelled_frames
    >>> from astro_deepcr.simulate import simulate_frames
    >>> generator = torch.Generator().manual_seed(3)
    >>> frames = simulate_frames(2, (64, 64), scenes="stars", generator=generator)
    >>> [frame.truth.shape for frame in labelled_frames(frames)]
    [(64, 64), (64, 64)]
    """
    cores = frames.star_cores.cpu().numpy()
    for number, meta in enumerate(frames.meta):

        def plane(name, number=number):
            return getattr(frames, name)[number].cpu().numpy()

        truth = plane("truth")
        objects = np.zeros(truth.shape, int)
        rows, columns = cores[cores[:, 0] == number, 1:].T
        objects[rows, columns] = np.arange(1, len(rows) + 1)
        yield LabelledFrame(
            CCDData(plane("image"), unit="electron"),
            truth,
            plane("score_ignore"),
            charge=plane("charge"),
            event_id=plane("event_id"),
            objects={"cores": objects},
            pixels={kind: plane(kind) for kind in ("saturated", "bad")},
            clean=plane("clean"),
            sigma=plane("sigma"),
            gain=meta["gain"],
            readnoise=meta["read_noise"],
            saturation=meta["full_well"],
            name=f"{meta['scene']}, {meta['exposure_time']:.0f} s",
        )


def read_frame(path, **kwargs):
    """
    Read a frame and its truth from a FITS file: the first that `read_frames` finds.

    Parameters
    ----------
    path : path-like
        The file.
    **kwargs
        Arguments of `read_frames`.

    Returns
    -------
    LabelledFrame

    Raises
    ------
    OSError, ValueError
        As in `read_frames`.

    Examples
    --------
    >>> from astro_deepcr.evaluation import read_frame
    >>> frame = read_frame("jabc01xyq_flt.fits", dq_bits=4096)  # doctest: +SKIP
    """
    return next(read_frames(path, **kwargs))


def read_frames(
    path,
    *,
    dq_bits=None,
    ignore_bits=None,
    unit=None,
    gain=None,
    readnoise=None,
    bias=0.0,
):
    """
    Read all frames of a FITS file, and their truth.

    The images are all extensions ``SCI``, or the first one that holds an image. The
    truth is, with ``dq_bits``, the data-quality plane ``DQ``; otherwise the
    extension ``MASK``, whose bits are in `astro_deepcr.flags.MASK_BITS`: in a file
    that `~astropy.nddata.CCDData` wrote, its mask must be that of the cosmic rays. Of
    several images, each has the plane of its own version (``EXTVER``).

    Parameters
    ----------
    path : path-like
        The file.
    dq_bits : int or None, optional
        Bits of the DQ plane that say "cosmic ray", such as 4096 or 4096 + 8192.
    ignore_bits : int or None, optional
        Bits of the DQ plane whose pixels do not count. By default all others.
    unit : str or `~astropy.units.Unit` or None, optional
        Unit of the image; by default that of ``BUNIT``, or adu where there is no
        such keyword.
    gain : float or None, optional
        Electrons per adu; by default it is looked up in the header where needed.
    readnoise : float or None, optional
        In electrons; by default that of the header (``RDNOISE``, ``READNSE``), or 5.
    bias : float or callable, optional
        Level that is subtracted: a number in the unit of the image, or a function
        of the image that returns it.

    Yields
    ------
    frame : LabelledFrame
        Called as the file is, or as file and extension if there are several.

    Raises
    ------
    OSError
        If the file is missing, not FITS, truncated or damaged.
    ValueError
        If it holds no image or no truth, or if ``BUNIT`` is no known unit.

    Examples
    --------
    >>> from astro_deepcr.evaluation import read_frames
    >>> for frame in read_frames("jabc01xyq_flt.fits", dq_bits=4096):  # doctest: +SKIP
    ...     print(frame.name, frame.truth.sum())
    """
    with open_fits(path) as hdus:
        images = [hdu for hdu in hdus if hdu.is_image and hdu.shape]
        found = [hdu for hdu in images if hdu_name(hdu) == "SCI"] or images[:1]
        if not found:
            msg = f"{path} holds no image; its extensions are {_names(hdus)}"
            raise ValueError(msg)
        for sci in found:
            header = merged_header(hdus, hdus.index(sci))
            data = np.array(read_image(sci, path), np.float32)
            data -= bias(data) if callable(bias) else bias
            wanted = header.get("BUNIT") if unit is None else unit
            plane = _truth_plane(hdus, sci if len(found) > 1 else None, dq_bits, path)
            truth, ignore, hot = _parse_bits(
                read_data(plane, path), dq_bits, ignore_bits
            )
            name = Path(path).name
            yield LabelledFrame(
                CCDData(data, unit=parse_unit(wanted or u.adu, path), meta=header),
                truth,
                ignore,
                pixels={} if hot is None else {"hot": hot},
                gain=gain,
                readnoise=_number(
                    header, ("RDNOISE", "READNSE", "READNOISE"), readnoise, 5.0
                ),
                name=name if len(found) == 1 else f"{name}[SCI,{sci.ver}]",
            )


def _truth_plane(hdus, sci, dq_bits, path):
    """Return the HDU with the truth: of one image, or (None) the first there is."""
    wanted = "MASK" if dq_bits is None else "DQ"
    for hdu in hdus:
        found = hdu.is_image and hdu.shape and hdu_name(hdu) == wanted
        if found and (sci is None or hdu.ver == sci.ver):
            return hdu
    which = "" if sci is None else f" for its image SCI,{sci.ver}"
    msg = (
        f"{path} holds no {wanted} extension with the true cosmic rays{which}; its "
        f"extensions are {_names(hdus)}. For a data-quality plane give dq_bits, such "
        "as 4096"
    )
    raise ValueError(msg)


def _parse_bits(values, dq_bits, ignore_bits):
    """Return truth, ignore mask and hot pixels (or None)."""
    values = np.asarray(values).astype(np.int64)
    if dq_bits is None:
        bits = (MASK_BITS.COSMIC_RAY, MASK_BITS.IGNORE, MASK_BITS.HOT)
        return tuple(values & bit > 0 for bit in bits)
    truth = values & dq_bits > 0
    others = ~dq_bits if ignore_bits is None else ignore_bits
    return truth, (values & others != 0) & ~truth, None


def _names(hdus):
    return ", ".join(repr(hdu.name or "PRIMARY") for hdu in hdus)


def _number(header, keywords, value, default):
    """Return the value that was given, or that of the first keyword."""
    if value is not None:
        return float(value)
    found = (header[key] for key in keywords if isinstance(header.get(key), Real))
    return float(next(found, default))
