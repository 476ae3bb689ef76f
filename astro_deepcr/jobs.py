# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""One file of a batch: what is to be done, doing it, and what became of it."""

import hashlib
import json
import time
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

import numpy as np
from astropy import units as u

from .arguments import choose_threshold, parse_inpaint
from .core import cosmicray_deepcr
from .fits_files import read_frame, read_frames
from .fits_output import read_crmask, write_part
from .header import ALWAYS
from .journal import fingerprint
from .quality import frame_quality, unusable_frame
from .weights import Weights, get_weights, made_for

__all__ = ["FileResult", "Job", "describe_error", "look_again", "run_job"]


@dataclass(frozen=True)
class Job:
    """One file to be cleaned, and how: all that a worker has to know."""

    source: Path
    target: Path
    weights: object
    options: dict  # of cosmicray_deepcr
    reading: dict  # of read_frames
    writing: dict  # of write_part
    judging: dict  # of frame_quality
    device: str | None = None
    draw: bool = False
    zoo: tuple = ()  # of weights that this session added, for 'auto'

    @cached_property  # of the generator as it was before the work
    def settings(self):
        """What the values of the output depend on, as a short text."""
        options = {k: v for k, v in self.options.items() if k != "max_fraction"}
        options["inpaint"] = parse_inpaint(options.get("inpaint", "network"), None)
        if isinstance(self.weights, Weights):
            chosen = (options.pop(name, None) for name in ("threshold", "fpr"))
            options["threshold"] = choose_threshold(self.weights, *chosen)
        things = [self.weights, options, self.reading, self.writing, *self.zoo]
        bad_pixels = self.reading["bad_pixels"]
        if bad_pixels is not None:
            things.append(fingerprint(bad_pixels))
        text = json.dumps(things, sort_keys=True, default=_to_json)
        return hashlib.sha256(text.encode()).hexdigest()[:16]


def _to_json(thing):
    """Return what tells a thing from others."""
    if isinstance(thing, Weights):  # a file may be trained again
        return [thing.sha256, thing.to_spec()]
    if isinstance(thing, np.random.Generator):
        return thing.bit_generator.state
    if isinstance(thing, u.Quantity):
        return [thing.value.tolist(), str(thing.unit)]
    return thing.tolist() if isinstance(thing, np.ndarray) else str(thing)


@dataclass(frozen=True)
class FileResult:
    """What became of a file."""

    source: Path
    target: Path
    status: str  # cleaned, skipped, failed; or to do, in a dry run
    frames: list = field(default_factory=list)  # of frame_quality, and "hdu"
    message: str = ""
    seconds: float = 0.0
    part: Path | None = None
    version: list | None = None  # of the source, as it was read
    picture: str = ""

    @property
    def warnings(self):
        """The different warnings of all frames."""
        found = (w for frame in self.frames for w in frame.get("warnings", ()))
        return list(dict.fromkeys(found))


def run_job(job):
    """
    Do the work of one file, whatever comes of it. Runs in a worker.

    Parameters
    ----------
    job : Job
        What to do.

    Returns
    -------
    result : FileResult
        With the temporary name of the output, or the error.
    """
    start = time.perf_counter()
    result = FileResult(job.source, job.target, "failed")
    try:
        result = replace(result, status="cleaned", **_clean(job))
    except Exception as err:  # noqa: BLE001 - one broken file stops no other
        result = replace(result, message=describe_error(err, job.source))
    return replace(result, seconds=time.perf_counter() - start)


def _clean(job):
    """Clean and write the frames of a file; return what is to be told of them."""
    results, frames, shown = {}, [], None
    version = fingerprint(job.source) if job.source.exists() else None
    for index, ccd in read_frames(job.source, **job.reading):
        entry = _entry_of(job, ccd)
        if (dead := unusable_frame(ccd, entry)) is not None:
            frames.append({"hdu": index, **dead})
            continue
        cleaned = cosmicray_deepcr(
            ccd, entry, device=job.device, add_keyword=ALWAYS, **job.options
        )
        fill = job.options.get("inpaint")
        crmask = cleaned.mask if ccd.mask is None else cleaned.mask & ~ccd.mask
        quality = frame_quality(ccd, cleaned, crmask, entry, fill, **job.judging)
        frames.append({"hdu": index, **quality})
        results[index] = cleaned, crmask
        if job.draw and (shown is None or crmask.sum() > shown[2].sum()):
            shown = ccd, cleaned, crmask
    if not results:
        msg = "All pixels of all images are masked or not finite; nothing was cleaned."
        raise ValueError(msg)
    picture = "" if shown is None else _draw(*shown)
    part = write_part(job.source, job.target, results, **job.writing)
    if fingerprint(job.source) != version:
        part.unlink()
        msg = "The file changed while it was cleaned; run the same again."
        raise OSError(msg)
    return {"frames": frames, "part": part, "version": version, "picture": picture}


def _draw(ccd, cleaned, crmask):
    from .report import draw_frame

    return draw_frame(ccd, cleaned, crmask)


def look_again(job, frames):
    """
    Judge a file that was cleaned before, and draw its picture, from the files.

    Parameters
    ----------
    job : Job
        The file.
    frames : list of dict
        What was noted of its frames.

    Returns
    -------
    looked : dict
        The ``frames``, judged as is asked for now, and the ``picture`` of the frame
        with most cosmic rays; empty if no report is wanted.
    """
    asked = any(value is not None for value in job.judging.values())
    if not (job.draw or asked):
        return {"frames": frames, "picture": ""}  # which saves the reading
    noted = {frame["hdu"]: frame for frame in frames}
    most, picture = max(frames, key=lambda frame: frame["pixels"])["hdu"], ""
    for index, ccd in read_frames(job.source, **job.reading):
        if noted[index]["expected"] is None:  # a dead chip
            continue
        cleaned, _ = read_frame(job.target, index, job.reading["unit"])
        crmask = read_crmask(job.target, job.source, index, **job.writing)
        if crmask is None:
            crmask = np.isfinite(ccd.data) & (ccd.data != cleaned.data)
        entry, fill = _entry_of(job, ccd), job.options.get("inpaint")
        quality = frame_quality(ccd, cleaned, crmask, entry, fill, **job.judging)
        noted[index] = {"hdu": index, **quality}
        if job.draw and index == most:
            picture = _draw(ccd, cleaned, crmask)
    return {"frames": list(noted.values()), "picture": picture}


def _entry_of(job, ccd):
    """Return the weights for a frame."""
    if not isinstance(job.weights, str):
        return job.weights
    own = (entry for entry in job.zoo if made_for(entry, ccd.meta))
    return next(own, None) or get_weights(job.weights, meta=ccd.meta)


def describe_error(err, source):
    """
    Put an error into words that name the file.

    Parameters
    ----------
    err : Exception
        What was raised.
    source : path-like
        The file.

    Returns
    -------
    text : str
        To be shown to users.
    """
    text = str(err).strip() or type(err).__name__
    if not isinstance(err, (OSError, TypeError, ValueError, RuntimeError)):
        text = f"{type(err).__name__}: {text}"
    return text if str(source) in text else f"{source}: {text}"
