# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
The zoo of weights: which there are, and where their files come from.

A file is looked for in ``conf.weights_dir``, then in astropy's download cache,
then at its address and on ``conf.mirrors``. Its SHA-256 checksum is verified each
time before it is used.
"""

import shutil
from pathlib import Path

from ..exceptions import WeightsError, WeightsMismatchWarning, warn
from .entry import Weights
from .files import describe_file, load_state, save_weights
from .registry import (
    BUILT_IN,
    DEFAULT_INPAINT_WEIGHTS,
    DEFAULT_WEIGHTS,
    REGISTRY,
)
from .resolve import import_weights_file, resolve

__all__ = [
    "Weights",
    "export_weights",
    "fetch_weights",
    "get_weights",
    "import_weights",
    "list_weights",
    "load_state",
    "register_weights",
    "save_weights",
]

_DEFAULTS = {"mask": DEFAULT_WEIGHTS, "inpaint": DEFAULT_INPAINT_WEIGHTS}


def list_weights(task=None):
    """
    List the names of the known weights.

    Parameters
    ----------
    task : str, optional
        Only those that find cosmic rays ('mask') or fill pixels ('inpaint').

    Returns
    -------
    names : list of str
        In alphabetical order.

    Examples
    --------
    >>> from astro_deepcr.weights import list_weights
    >>> 'acs-wfc' in list_weights('mask')
    True
    """
    _check_task(task)
    return sorted(w.name for w in REGISTRY.values() if task in (None, w.task))


def get_weights(weights=None, *, task="mask", meta=None):
    """
    Find the entry of some weights.

    Nothing is downloaded: the file is fetched when the weights are used, or by
    `fetch_weights`.

    Parameters
    ----------
    weights : str, path-like, `Weights` or None, optional
        A name of the zoo; the path of a local ``.safetensors`` or ``.pth`` file;
        'auto' for those trained for the instrument named in ``meta``, or else the
        default; `None` for the default.
    task : str or None, optional
        What they are needed for: 'mask' or 'inpaint'; `None` for any.
    meta : dict-like, optional
        Header of the frame. A warning is given if the weights were trained for
        another instrument.

    Returns
    -------
    weights : `Weights`
        The entry.

    Raises
    ------
    TypeError
        If ``weights`` is of another type.
    ValueError
        If the name is not known, or the weights are for another task.
    ~astro_deepcr.exceptions.WeightsError
        If a local file is missing or cannot be read.

    Examples
    --------
    >>> from astro_deepcr.weights import get_weights
    >>> weights = get_weights('acs-wfc')
    >>> weights.unit, weights.threshold
    ('electron', 0.5)
    >>> get_weights('auto', meta={'INSTRUME': 'WFC3', 'DETECTOR': 'UVIS'}).name
    'wfc3-uvis'
    """
    _check_task(task)
    if weights is None:
        entry = REGISTRY[_DEFAULTS[task or "mask"]]
    elif isinstance(weights, Weights):
        entry = weights
    elif isinstance(weights, str) and weights == "auto":
        entry = _choose(task, meta)
    else:
        entry = _look_up(weights, task)
    if task not in (None, entry.task):
        other = ", ".join(list_weights(task))
        msg = (
            f"The weights {entry.name!r} are for the task {entry.task!r}, not "
            f"{task!r}; choose one of {other}."
        )
        raise ValueError(msg)
    if reason := mismatch(entry, meta):
        warn(reason, WeightsMismatchWarning)
    return entry


def fetch_weights(weights=None):
    """
    Make sure that the file of some weights is on this computer.

    Parameters
    ----------
    weights : str, path-like, `Weights` or None, optional
        As in `get_weights`, for any task.

    Returns
    -------
    path : `~pathlib.Path`
        The local file; its checksum was verified.

    Raises
    ------
    ~astro_deepcr.exceptions.WeightsError
        If it cannot be found or fetched, or is not the file it should be.
    ValueError
        If there are no weights of that name.

    Examples
    --------
    >>> from astro_deepcr.weights import fetch_weights
    >>> fetch_weights('acs-wfc').stat().st_size
    416836
    """
    return resolve(get_weights(weights, task=None))


def export_weights(directory, weights=None):
    """
    Copy weights files, to carry them to a computer without a network.

    Parameters
    ----------
    directory : path-like
        Is made if need be.
    weights : str, `Weights`, or list of them, optional
        By default all of the zoo.

    Returns
    -------
    paths : list of `~pathlib.Path`
        The copies; others of the same names are replaced. There, pass the directory to
        `import_weights`, or set ``astro_deepcr.conf.weights_dir`` to it.

    Raises
    ------
    ~astro_deepcr.exceptions.WeightsError
        If files are not found, or two weights are in files of the same name.
    ValueError
        If there are no weights of some name.

    Examples
    --------
    >>> import tempfile
    >>> from astro_deepcr.weights import export_weights
    >>> with tempfile.TemporaryDirectory() as directory:
    ...     [path.name for path in export_weights(directory, ['acs-wfc'])]
    ['ACS-WFC.pth']
    """
    directory = Path(directory)
    directory.mkdir(parents=True, exist_ok=True)
    if isinstance(weights, (str, Weights)):
        weights = [weights]
    entries = {}
    for name in list_weights() if weights is None else weights:
        entry = get_weights(name, task=None)
        same = entries.setdefault(directory / entry.filename, entry)
        if same.sha256 != entry.sha256:  # some share a file
            msg = (
                f"Two of the weights are in files called {entry.filename}; export them "
                "into different directories."
            )
            raise WeightsError(msg)
    for target, entry in entries.items():
        temporary = target.with_name(target.name + ".part")
        shutil.copyfile(resolve(entry), temporary)
        temporary.replace(target)
    return list(entries)


def import_weights(directory):
    """
    Put the weights files of a directory into astropy's download cache.

    Parameters
    ----------
    directory : path-like
        Made by `export_weights` on another computer.

    Returns
    -------
    names : list of str
        Names of the weights that were found and imported. Those that come with the
        package need not be.

    Raises
    ------
    ~astro_deepcr.exceptions.WeightsError
        If no known weights file is there, or one has a wrong checksum.

    Examples
    --------
    >>> import tempfile
    >>> from astro_deepcr.weights import export_weights, import_weights
    >>> with tempfile.TemporaryDirectory() as directory:
    ...     _ = export_weights(directory, ['acs-wfc'])
    ...     import_weights(directory)
    ['acs-wfc']
    """
    names, bundled = [], []
    for entry in REGISTRY.values():
        path = Path(directory) / entry.filename
        if not path.is_file():
            continue
        if entry.url:
            import_weights_file(path, entry)
            names.append(entry.name)
        else:
            bundled.append(entry.name)
    if not names and not bundled:
        msg = (
            f"{directory} holds no weights file of the zoo. Make it with 'deepcr "
            "weights export DIRECTORY' on a computer with a network."
        )
        raise WeightsError(msg)
    return names


def register_weights(weights, *, overwrite=False):
    """
    Add weights to the zoo of this Python session, under their own name.

    Parameters
    ----------
    weights : `Weights` or path-like
        An entry, or a local weights file.
    overwrite : bool, optional
        Whether weights of the same name may be replaced.

    Returns
    -------
    weights : `Weights`
        The entry that was added.

    Raises
    ------
    ValueError
        If the name is taken.

    Examples
    --------
    >>> from dataclasses import replace
    >>> from astro_deepcr.weights import get_weights, register_weights
    >>> mine = replace(get_weights('acs-wfc'), name='mine', threshold=0.7)
    >>> register_weights(mine, overwrite=True).name
    'mine'
    """
    entry = weights if isinstance(weights, Weights) else describe_file(weights)
    if entry.name in REGISTRY and REGISTRY[entry.name] != entry and not overwrite:
        msg = (
            f"There are weights called {entry.name!r} already; choose another name, "
            "or pass overwrite=True."
        )
        raise ValueError(msg)
    REGISTRY[entry.name] = entry
    return entry


def _check_task(task):
    if task is not None and task not in _DEFAULTS:
        msg = f"task={task!r} is not known; choose 'mask', 'inpaint' or None."
        raise ValueError(msg)


def _look_up(weights, task=None):
    """Return the entry of a name or a file."""
    if not (isinstance(weights, str) or hasattr(weights, "__fspath__")):
        msg = (
            f"weights={weights!r} must be a name, the path of a weights file, or a "
            "Weights entry."
        )
        raise TypeError(msg)
    if isinstance(weights, str) and weights in REGISTRY:
        return REGISTRY[weights]
    path = Path(weights)
    if path.suffix in (".pth", ".safetensors") or (weights != "" and path.exists()):
        return describe_file(path)
    msg = (
        f"There are no weights called {weights!r}; choose one of "
        f"{', '.join(list_weights(task))}, or pass the path of a .safetensors or .pth "
        "file."
    )
    raise ValueError(msg)


def _instrument(meta):
    """Return INSTRUME and DETECTOR of a header, in capitals."""
    found = [None if meta is None else meta.get(k) for k in ("INSTRUME", "DETECTOR")]
    return [str(value).strip().upper() if value else "" for value in found]


def made_for(entry, meta):
    """Say whether weights were trained for the instrument of a header."""
    instrument, detector = _instrument(meta)
    for wanted in entry.instruments:
        name, _, chip = wanted.upper().partition("/")
        if instrument == name and chip in ("", detector):
            return True
    return False


def added_weights(task):
    """Return the entries that were added in this process; others know nothing of it."""
    added = (e for e in REGISTRY.values() if BUILT_IN.get(e.name) is not e)
    return [entry for entry in added if entry.task == task]


def _choose(task, meta):
    """Return the first weights made for an instrument, else the default."""
    # What a user registered for an instrument goes before what there was.
    for entry in sorted(REGISTRY.values(), key=lambda e: e.name in BUILT_IN):
        if task in (None, entry.task) and made_for(entry, meta):
            return entry
    return REGISTRY[_DEFAULTS[task or "mask"]]


def mismatch(entry, meta):
    """Return a reason not to trust some weights for the frame of a header, or None."""
    instrument, detector = _instrument(meta)
    if not instrument or not entry.instruments or made_for(entry, meta):
        return None
    return (
        f"The weights {entry.name!r} were trained for "
        f"{', '.join(entry.instruments)}, and this frame is of "
        f"{'/'.join(filter(None, (instrument, detector)))}: look at the result, "
        "or choose other weights."
    )
