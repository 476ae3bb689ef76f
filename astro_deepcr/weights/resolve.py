# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""From an entry to a local file whose checksum was verified."""

import warnings
from pathlib import Path

from astropy.utils.data import (
    CacheMissingWarning,
    clear_download_cache,
    download_file,
    import_file_to_cache,
    is_url_in_cache,
)

from .. import conf
from ..exceptions import WeightsError
from .files import file_sha256

__all__ = ["import_weights_file", "resolve"]


def resolve(weights):
    """
    Find, or download, the file of some weights.

    Parameters
    ----------
    weights : `Weights`
        What to find. In this order: its own path, ``conf.weights_dir``, astropy's
        download cache, its address, ``conf.mirrors``.

    Returns
    -------
    path : `~pathlib.Path`
        A local file with the right checksum.

    Raises
    ------
    ~astro_deepcr.exceptions.WeightsError
        If it is found nowhere, or is not the file it should be.
    """
    if weights.path:
        return _verified(_bundled_copy(weights) or Path(weights.path), weights)
    if conf.weights_dir:
        path = Path(conf.weights_dir).expanduser() / weights.filename
        if path.is_file():
            return _verified(path, weights)
    if _is_cached(weights.url):
        return _verified(_from_cache(weights, [weights.url]), weights, cached=True)
    return _download(weights)


def _bundled_copy(weights):
    """Return the file of this package instead of one that is not on this computer."""
    from .registry import REGISTRY

    if Path(weights.path).is_file():
        return None
    same = (e for e in REGISTRY.values() if e.sha256 == weights.sha256 and e.path)
    return next((Path(entry.path) for entry in same), None)


def import_weights_file(path, weights):
    """
    Put a local copy of a weights file into astropy's download cache.

    Parameters
    ----------
    path : path-like
        The local copy.
    weights : `Weights`
        What it must be a copy of.

    Returns
    -------
    path : `~pathlib.Path`
        The file in the cache.

    Raises
    ------
    ~astro_deepcr.exceptions.WeightsError
        If it is missing or another file, or the cache cannot be written.
    """
    _verified(Path(path), weights)
    try:
        return Path(import_file_to_cache(weights.url, str(path)))
    except OSError as err:
        msg = (
            f"Astropy's download cache cannot be written: {err}. Set "
            "astro_deepcr.conf.weights_dir to the folder instead."
        )
        raise WeightsError(msg) from err


def _verified(path, weights, *, cached=False):
    """Return a path if the file has the right checksum."""
    if not path.is_file():
        msg = f"The weights {weights.name!r} have gone: there is no file {path}."
        raise WeightsError(msg)
    found = file_sha256(path)
    if found == weights.sha256:
        return path
    if cached:
        clear_download_cache(weights.url)
        remedy = "It was removed from astropy's cache; run the same again to fetch it."
        if _is_cached(weights.url):
            remedy = (
                "Astropy's cache cannot be written, so that it stays there: set "
                "astro_deepcr.conf.weights_dir to a folder with a good copy."
            )
    else:
        remedy = "Delete it, or replace it by a good copy."
    msg = (
        f"The weights file {path} is not {weights.name!r}: its SHA-256 is "
        f"{found[:12]}..., expected {weights.sha256[:12]}... {remedy}"
    )
    raise WeightsError(msg)


def _is_cached(url):
    with warnings.catch_warnings():
        # A cache that does not exist yet holds nothing: no reason to worry users.
        warnings.simplefilter("ignore", CacheMissingWarning)
        return is_url_in_cache(url)


def _from_cache(weights, sources):
    path = download_file(weights.url, cache=True, sources=sources, show_progress=False)
    return Path(path)


def _download(weights):
    """Try the file's own address and the mirrors until one gives the right file."""
    mirrors = [f"{mirror.rstrip('/')}/{weights.filename}" for mirror in conf.mirrors]
    failures = []
    for source in [weights.url, *mirrors]:
        try:
            return _verified(_from_cache(weights, [source]), weights, cached=True)
        except (OSError, ValueError, WeightsError) as err:
            failures.append(f"  {source}: {err}")
    msg = (
        f"The weights {weights.name!r} could not be fetched:\n"
        + "\n".join(failures)
        + f"\nOn a computer with a network run 'deepcr weights export DIRECTORY "
        f"{weights.name}', copy the directory here, and run 'deepcr weights import "
        "DIRECTORY' or set astro_deepcr.conf.weights_dir to it."
    )
    raise WeightsError(msg)
