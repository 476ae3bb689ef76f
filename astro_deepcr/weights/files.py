# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
Weights files: safetensors with a specification, and deepCR's own ``.pth``.

torch is imported only where tensors are made.
"""

import hashlib
import json
import os
import pickle
import tempfile
from pathlib import Path

import numpy as np

from ..exceptions import WeightsError
from .entry import Weights

__all__ = ["describe_file", "file_sha256", "load_state", "read_spec", "save_weights"]

# Key of the specification in the metadata of a safetensors file.
_SPEC_KEY = "astro_deepcr"


def file_sha256(path):
    """Return the SHA-256 checksum of a file in hexadecimal digits."""
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def describe_file(path):
    """
    Make an entry for a local weights file.

    Parameters
    ----------
    path : path-like
        A ``.safetensors`` file of this package, or a ``.pth`` file of deepCR.
        Nothing in a ``.pth`` file says what unit or threshold it wants: values
        are then taken as they are, and the threshold is 0.5.

    Returns
    -------
    weights : `Weights`
        The entry.

    Raises
    ------
    ~astro_deepcr.exceptions.WeightsError
        If the file is missing or not a weights file.
    """
    path = Path(path)
    if not path.is_file():
        msg = f"There is no weights file {path}."
        raise WeightsError(msg)
    facts = {
        "path": str(path.absolute()),  # another process may be in another folder
        "sha256": file_sha256(path),
        "size": path.stat().st_size,
    }
    if _is_safetensors(path):
        return Weights.from_spec(read_spec(path), **facts)
    arguments, _ = _read_official(path)
    from ..models import model_reach

    halo, stride = model_reach("deepcr-unet", arguments)
    return Weights(
        name=path.stem,
        task="mask" if arguments["in_channels"] == 1 else "inpaint",
        architecture="deepcr-unet",
        arguments=arguments,
        halo=halo,
        stride=stride,
        **facts,
    )


def load_state(path):
    """
    Read the tensors of a weights file.

    Parameters
    ----------
    path : path-like
        A ``.safetensors`` or ``.pth`` file. Nothing in it is executed.

    Returns
    -------
    state : dict of str to `torch.Tensor`
        Ready for the network's ``load_state_dict``.

    Raises
    ------
    ~astro_deepcr.exceptions.WeightsError
        If the file is not a weights file.

    Examples
    --------
    >>> from astro_deepcr.weights import fetch_weights, load_state
    >>> load_state(fetch_weights('acs-wfc'))['head.weight'].shape
    torch.Size([1, 32, 1, 1])
    """
    path = Path(path)
    if not _is_safetensors(path):
        return _read_official(path)[1]
    from safetensors.torch import load_file

    read_spec(path)
    return load_file(path)


def _of_numpy(value):
    """Return a number, or an array, of NumPy as JSON can tell it."""
    if isinstance(value, (np.generic, np.ndarray)):
        return value.tolist()
    msg = f"A weights file cannot hold {value!r}; give numbers, text, or lists of them."
    raise TypeError(msg)


def save_weights(path, state, weights):
    """
    Write a weights file.

    Parameters
    ----------
    path : path-like
        Must end in ``.safetensors``.
    state : dict of str to `torch.Tensor`
        Tensors of the network.
    weights : `Weights`
        What the file says of itself; facts about the file are left out.

    Returns
    -------
    weights : `Weights`
        The entry of the new file.

    Raises
    ------
    ValueError
        If the name ends in something else.
    ~astro_deepcr.exceptions.WeightsError
        If it cannot be written; nothing is left of it then.

    Examples
    --------
    A file of deepCR's own kind becomes one that carries its unit and threshold:

    >>> import tempfile
    >>> from astro_deepcr.weights import (
    ...     fetch_weights, get_weights, load_state, save_weights)
    >>> state = load_state(fetch_weights('acs-wfc'))
    >>> with tempfile.TemporaryDirectory() as directory:
    ...     path = f'{directory}/acs.safetensors'
    ...     save_weights(path, state, get_weights('acs-wfc')).unit
    'electron'
    """
    from safetensors.torch import save

    path = Path(path)
    if path.suffix != ".safetensors":
        msg = f"A weights file must be called *.safetensors, not {path.name}."
        raise ValueError(msg)
    if not path.parent.is_dir():
        msg = f"There is no directory {path.parent} to write {path.name} to."
        raise WeightsError(msg)
    metadata = {_SPEC_KEY: json.dumps(weights.to_spec(), default=_of_numpy)}
    state = {key: value.contiguous() for key, value in state.items()}
    content = save(state, metadata)
    try:
        with tempfile.TemporaryDirectory(dir=path.parent) as directory:
            temporary = Path(directory) / path.name
            with temporary.open("wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(path)
    except OSError as err:
        size = len(content) / 1e6
        msg = (
            f"The weights file {path} ({size:.1f} MB) cannot be written: {err}. Make "
            "room, and run the same again."
        )
        raise WeightsError(msg) from err
    return describe_file(path)


def _is_safetensors(path):
    """Tell by the content if the name does not say: that of a cached file does not."""
    if path.suffix or not path.is_file():
        return path.suffix == ".safetensors"
    with path.open("rb") as file:
        return file.read(9)[8:] == b"{"  # after the length of the header, JSON


def read_spec(path):
    """Return what a ``.safetensors`` file says of itself, as a dictionary."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="numpy") as file:
            metadata = file.metadata() or {}
        return json.loads(metadata[_SPEC_KEY])
    except (OSError, SafetensorError, ValueError) as err:
        msg = f"{path} cannot be read as safetensors: {err}. Fetch or copy it again."
        raise WeightsError(msg) from err
    except KeyError:
        msg = (
            f"{path} is a safetensors file without the specification that "
            "astro_deepcr writes; it does not say how to use it."
        )
        raise WeightsError(msg) from None


def _read_official(path):
    """Return arguments and state of a .pth file, without executing anything in it."""
    import torch

    from ..models.deepcr_unet import convert_official

    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, RuntimeError, EOFError, pickle.UnpicklingError, ValueError) as err:
        msg = (
            f"{path} cannot be read as a file of tensors ({type(err).__name__}: "
            f"{str(err).partition(chr(10))[0]}). Fetch or copy it again."
        )
        raise WeightsError(msg) from err
    try:
        return convert_official(state)
    except (AttributeError, KeyError, ValueError) as err:
        msg = f"{path} does not hold a U-Net of deepCR: {err!r} is missing or wrong."
        raise WeightsError(msg) from err
