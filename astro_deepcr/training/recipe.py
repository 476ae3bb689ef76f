# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Trainings that are written down in a file."""

import glob
import tomllib
from dataclasses import fields
from pathlib import Path

import numpy as np

from ..fits_files import read_frame
from ..units import conversion_factor
from .config import TrainingConfig, check_keys
from .data import LabelledFrames, PastedCosmicRays, SimulatedFrames
from .mixture import Mixture

__all__ = ["make_source", "read_recipe"]

_TABLES = ("task", "start", "weights", "network", "training", "data", "validation")
_NETWORK = ("architecture", "arguments")


def read_recipe(path):
    """
    Read a training from a TOML file, with the data that it names.

    Parameters
    ----------
    path : path-like
        The file; see :doc:`/training` for what it holds. The names of data files
        are relative to it.

    Returns
    -------
    recipe : dict
        Arguments for `~astro_deepcr.training.fit`, all but ``output``.

    Raises
    ------
    OSError
        If there is no such file.
    ValueError
        If it is no TOML, holds something unknown or names no data.
    """
    path = Path(path)
    table = _load(path)
    check_keys(path.name, table, _TABLES)
    _check_kinds(path.name, table)
    options = table.get("training", {})
    known = [field.name for field in fields(TrainingConfig)]
    check_keys(f"[training] of {path.name}", options, known)
    check_keys(f"[network] of {path.name}", table.get("network", {}), _NETWORK)
    if not table.get("data"):
        msg = f"{path.name} names no data; it needs a table [[data]], or several."
        raise ValueError(msg)
    recipe = {"data": _mix(table["data"], path.parent), "about": table.get("weights")}
    if table.get("validation"):
        recipe["validation"] = _mix(table["validation"], path.parent)
    if "task" in table:
        recipe["task"] = table["task"]
    if table.get("start"):
        recipe["start"] = _find_start(table["start"], path.parent)
    return recipe | table.get("network", {}) | options


def make_source(table, folder="."):
    """
    Make a source of training data from a table of a recipe.

    Parameters
    ----------
    table : dict
        ``source`` is 'simulator', 'frames', 'pasted' or 'darks'; the other entries
        are arguments of the class. ``files``, ``stamps`` and ``darks`` are names of
        files, with wildcards.
    folder : path-like, optional
        Names are relative to it.

    Returns
    -------
    source : `SimulatedFrames`, `LabelledFrames` or `PastedCosmicRays`

    Raises
    ------
    ValueError
        If the source is not known, does not take an argument, or there are no such
        files.

    Examples
    --------
    >>> from astro_deepcr.training.recipe import make_source
    >>> make_source({'source': 'simulator', 'scenes': 'echelle'}).options
    {'scenes': 'echelle'}
    """
    table = dict(table)
    kind = table.pop("source", None)
    if kind not in _KINDS:
        msg = f"source={kind!r} of the data is not one of {', '.join(_KINDS)}."
        raise ValueError(msg)
    try:
        return _KINDS[kind](Path(folder), **table)
    except TypeError as err:
        msg = f"The data source {kind!r} does not take {table}: {err}."
        raise ValueError(msg) from err


def _load(path):
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as err:
        msg = f"{path} is not TOML: {err}."
        raise ValueError(msg) from err


def _check_kinds(name, table):
    """Raise ValueError if an entry is of another kind than it must be."""
    for key, value in table.items():
        if key in ("data", "validation"):
            good = isinstance(value, list) and all(isinstance(v, dict) for v in value)
            wanted = f"tables, each headed [[{key}]], with two brackets"
        elif key in ("weights", "network", "training"):
            good, wanted = isinstance(value, dict), f"one table, headed [{key}]"
        else:
            good, wanted = isinstance(value, str), f"text, as in {key} = '...'"
        if not good:
            msg = f"{key} in {name} must be {wanted}."
            raise ValueError(msg)


def _mix(tables, folder):
    shares = [table.get("share", 1.0) for table in tables]
    if not all(isinstance(share, (int, float)) for share in shares):
        msg = f"Each share of the data must be a number; they are {shares}."
        raise ValueError(msg)
    plain = [{k: v for k, v in table.items() if k != "share"} for table in tables]
    return Mixture([make_source(table, folder) for table in plain], shares)


def _find_start(start, folder):
    """Return a name of the zoo, or the path of a file beside the recipe."""
    return folder / start if (folder / start).is_file() else start


def _find(names, folder):
    names = [names] if isinstance(names, str) else names
    found = []
    for name in names:
        if (folder / name).exists():  # brackets and stars may be part of a name
            found.append(folder / name)
            continue
        matches = sorted(glob.glob(name, root_dir=folder))  # noqa: PTH207 - absolute ones, too
        found += [folder / match for match in matches]
    if not found:
        msg = f"There are no files {', '.join(names)} in {folder}."
        raise ValueError(msg)
    return found


def _simulator(folder, **options):  # noqa: ARG001 (all kinds are given it)
    return SimulatedFrames(**options)


def _frames(folder, *, files, **options):
    return LabelledFrames(_find(files, folder), **options)


def _pasted(folder, *, files, stamps, **options):
    from ..simulate.paste import read_stamps

    cut = [stamp for path in _find(stamps, folder) for stamp in read_stamps(path)]
    return PastedCosmicRays(_find(files, folder), cut, **options)


def _darks(folder, *, files, darks, **options):
    from ..evaluation import read_frames

    read = [frame for path in _find(darks, folder) for frame in read_frames(path)]
    paths = _find(files, folder)
    unit = read_frame(paths[0])[0].unit
    images = []
    for frame in read:
        level = np.median(frame.ccd.data[~frame.ignored])
        given = {"gain": frame.gain, "meta": frame.ccd.meta}
        factor = conversion_factor(frame.ccd.unit, unit, **given)
        images.append((frame.ccd.data - level) * factor)
    masks = [frame.truth for frame in read]
    return PastedCosmicRays.from_darks(paths, images, masks, **options)


_KINDS = {
    "simulator": _simulator,
    "frames": _frames,
    "pasted": _pasted,
    "darks": _darks,
}
