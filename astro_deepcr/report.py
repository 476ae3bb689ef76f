# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""A report of a batch: one HTML page that needs nothing else. Imports jinja2."""

import base64
import datetime
import io
import os
from importlib.resources import files
from pathlib import Path
from urllib.parse import quote

import numpy as np
from jinja2 import Environment
from matplotlib.figure import Figure

from . import __version__
from .events import cosmicray_events

__all__ = ["draw_frame", "write_report"]

# Side of the part of a frame that is shown pixel by pixel, and of the whole in small.
_CUTOUT = 160
_SMALL = 320
_MOST_NOTES = 5


def draw_frame(ccd, cleaned, crmask):
    """
    Draw a frame before and after, its hits, and how much charge they left.

    Parameters
    ----------
    ccd, cleaned : `~astropy.nddata.CCDData`
        The frame before and after.
    crmask : `~numpy.ndarray` of bool, shape (rows, columns)
        The cosmic rays.

    Returns
    -------
    picture : str
        A JPEG image as text (base64), some 20 kB.
    """
    figure = Figure(figsize=(9.6, 2.4), dpi=100, layout="constrained")
    panels = figure.subplots(1, 4)
    part = _busiest_part(crmask)
    # Masked pixels may hold anything.
    good = True if ccd.mask is None else ~ccd.mask | crmask
    before, after = (np.where(good, image.data, np.nan) for image in (ccd, cleaned))
    low, high = _display_limits(after)
    for panel, title, image in (
        (panels[0], "before", before[part]),
        (panels[1], "after", after[part]),
    ):
        panel.imshow(image, cmap="gray", vmin=low, vmax=high, origin="lower")
        panel.set_title(f"{title}, {image.shape[1]} x {image.shape[0]} px", fontsize=8)
    small = _shrink(crmask)
    panels[2].imshow(small, cmap="gray_r", origin="lower", vmin=0, vmax=1)
    panels[2].set_title("hits, whole frame", fontsize=8)
    for panel in panels[:3]:
        panel.set_xticks([])
        panel.set_yticks([])
    _draw_charges(panels[3], before, after, crmask)
    panels[3].set_title(f"charge of events ({ccd.unit})", fontsize=8)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="jpeg", pil_kwargs={"quality": 80})
    return base64.b64encode(buffer.getvalue()).decode()


def write_report(path, results):
    """
    Write the report of a batch.

    Parameters
    ----------
    path : path-like
        The page to be written, under a temporary name until it is complete; an
        old one is replaced.
    results : list of `~astro_deepcr.jobs.FileResult`
        What became of the files.

    Raises
    ------
    OSError
        If it cannot be written.
    """
    path = Path(path)
    template = files(__package__).joinpath("templates/report.html").read_text("utf-8")
    page = Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True)
    text = page.from_string(template).render(
        rows=[_row(result, path.parent) for result in results],
        counts=_counts(results),
        version=__version__,
        time=datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d %H:%M UTC"),
    )
    part = path.with_name(f".part-{path.name}")
    # Names of files may hold what is no text.
    part.write_text(text, encoding="utf-8", errors="backslashreplace")
    part.replace(path)


def _row(result, folder):
    """Return what the template shows of a file."""
    frames = [frame for frame in result.frames if "pixels" in frame]
    rates = [frame["rate"] for frame in frames if frame["rate"] is not None]
    return {
        "name": result.source.name,
        "source": _link(result.source, folder),
        "output": _link(result.target, folder) if frames else "",
        "status": result.status,
        "frames": len(frames),
        "pixels": sum(frame["pixels"] for frame in frames),
        "events": sum(frame["events"] for frame in frames),
        "fraction": max((frame["fraction"] for frame in frames), default=None),
        "rate": np.mean(rates) if rates else None,
        "expected": frames[0]["expected"] if frames else None,
        "weights": ", ".join(dict.fromkeys(frame["weights"] for frame in frames)),
        "seconds": result.seconds,
        "notes": _notes(result),
        "picture": result.picture,
    }


def _notes(result):
    """Return what is to be told of a file; of many chips not all."""
    if result.message:
        return [result.message]
    more = len(result.warnings) - _MOST_NOTES
    rest = [f"and {more} more"] if more > 0 else []
    return result.warnings[:_MOST_NOTES] + rest


def _link(path, folder):
    """Return an address relative to the report, so that both can move together."""
    try:
        return quote(os.fsencode(Path(os.path.relpath(path, folder)).as_posix()))
    except ValueError:  # on another drive of Windows
        return path.absolute().as_uri()


def _counts(results):
    found = [result.status for result in results]
    counts = {status: found.count(status) for status in dict.fromkeys(found)}
    warned = sum(bool(result.warnings) for result in results)
    return counts | ({"with warnings": warned} if warned else {})


def _busiest_part(crmask):
    """Return the square cut-out, in a coarse grid, with most hits."""
    rows, columns = (max(min(_CUTOUT, n), 1) for n in crmask.shape)
    starts_y = range(0, crmask.shape[0] - rows + 1, max(rows // 2, 1))
    starts_x = range(0, crmask.shape[1] - columns + 1, max(columns // 2, 1))
    parts = [
        (slice(y, y + rows), slice(x, x + columns)) for y in starts_y for x in starts_x
    ]
    return max(parts, key=lambda part: np.count_nonzero(crmask[part]))


def _shrink(mask):
    """Return a small image of a mask in which no hit is lost."""
    step = -(-max(mask.shape) // _SMALL)
    rows, columns = (-(-n // step) * step for n in mask.shape)
    padded = np.zeros((rows, columns), bool)
    padded[: mask.shape[0], : mask.shape[1]] = mask
    return padded.reshape(rows // step, step, columns // step, step).any(axis=(1, 3))


def _display_limits(image):
    values = image[np.isfinite(image)]
    low, middle, high = np.percentile(
        values[:: max(values.size // 100_000, 1)], [1, 50, 99]
    )
    return low, max(high, middle + 2 * (middle - low), low + 1e-30)


def _draw_charges(panel, before, after, crmask):
    """Draw the histogram of the charges of the events."""
    changed = bool((before != after)[crmask].any())
    background = after if changed else None
    charge = cosmicray_events(before, crmask, background=background)["charge"].value
    charge = charge[charge > 0]
    if charge.size:
        low, high = charge.min(), charge.max()
        bins = np.geomspace(low, high if high > low else 2 * low, 25)
        panel.hist(charge, bins=bins, color="0.4")
        panel.set_xscale("log")
    panel.tick_params(labelsize=7)
    panel.yaxis.get_major_locator().set_params(integer=True)
