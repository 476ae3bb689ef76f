# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Which files a batch reads, and which it writes."""

import glob
import re
import sys
from pathlib import Path

from .fits_files import find_fits

__all__ = ["expand_files", "plan_outputs"]

_CASE_DOES_NOT_MATTER = sys.platform in ("win32", "darwin")


def plan_outputs(files, output_dir, suffix):
    """
    Plan which output each input file gets.

    Parameters
    ----------
    files : str, path-like, list, dict or `~ccdproc.ImageFileCollection`
        As in `~astro_deepcr.clean_files`.
    output_dir : path-like or None
        Folder of the outputs; `None` is that of each input.
    suffix : str
        Added to the names of the inputs, before the ending.

    Returns
    -------
    targets : dict of `~pathlib.Path` to `~pathlib.Path`
        Input file -> output file, of which no two are the same.

    Raises
    ------
    FileNotFoundError
        If a pattern fits no file.
    ValueError
        If there is no file, two have the same output, or an output is an input of
        another.
    """
    if hasattr(files, "files_filtered"):
        files = files.files_filtered(include_path=True)
    if isinstance(files, dict):
        targets = {Path(source): Path(target) for source, target in files.items()}
    else:
        sources = {}
        for path in expand_files(files):
            sources.setdefault(_place(path), path)
        targets = {p: _target(p, output_dir, suffix) for p in sources.values()}
        # Outputs of an earlier run lie among the inputs; the suffix tells them.
        made = {_place(t) for t in targets.values()} if suffix else ()
        targets = {s: t for s, t in targets.items() if _place(s) not in made}
    if not targets:
        msg = "There is no file to clean."
        raise ValueError(msg)
    _check_plan(targets)
    return targets


def _check_plan(targets):
    """Raise ValueError if two outputs are the same, or one is another's input."""
    first, inputs = {}, {_place(source) for source in targets}
    for source, target in targets.items():
        place = _place(target)
        if place in first:
            msg = (
                f"{first[place]} and {source} have the same output {target}; clean "
                "them into different folders with output_dir= (--output-dir)."
            )
            raise ValueError(msg)
        if place in inputs and place != _place(source):
            msg = (
                f"The output {target} of {source} is an input, too, and these are "
                "never changed; choose another."
            )
            raise ValueError(msg)
        first[place] = source


def _place(path):
    """Return where a name is, however it is written; a link is a file of its own."""
    name = path.name.casefold() if _CASE_DOES_NOT_MATTER else path.name
    return path.parent.resolve() / name


def expand_files(files):
    """
    Find files.

    Parameters
    ----------
    files : str, path-like or iterable of these
        Files, folders, patterns (``'a*.fits'``) and lists ('@files.txt').

    Yields
    ------
    path : `~pathlib.Path`
        Each file; one that is named is not looked for.

    Raises
    ------
    OSError
        If a pattern fits no file, a folder has none, or a list cannot be read.
    ValueError
        If a list is no text in UTF-8.
    """
    if isinstance(files, str) or hasattr(files, "__fspath__"):
        files = [files]
    for name in map(str, files):
        path = Path(name)
        if name.startswith("@") and not path.exists():
            lines = (line.strip() for line in _read_list(Path(name[1:])))
            yield from expand_files(line for line in lines if line and line[0] != "#")
        elif path.is_dir():
            yield from find_fits(path)
        elif not path.exists() and glob.has_magic(name):
            found = sorted(glob.glob(name))  # noqa: PTH207 - also of whole paths
            if not found:
                msg = f"No file is called {name}."
                raise FileNotFoundError(msg)
            yield from map(Path, found)
        else:
            yield path


def _read_list(path):
    """Return the lines of a text, with or without the mark of Windows' editors."""
    try:
        return path.read_text(encoding="utf-8-sig").splitlines()
    except UnicodeDecodeError as err:
        msg = f"The list {path} is no text in UTF-8: {err}. Save it in that encoding."
        raise ValueError(msg) from err


def _target(source, output_dir, suffix):
    stem = re.sub(r"\.(fits|fit|fts)(\.\w+)?$", "", source.name, flags=re.IGNORECASE)
    folder = source.parent if output_dir is None else Path(output_dir)
    return folder / f"{stem}{suffix}.fits"
