# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""What a training that was stopped goes on from."""

import hashlib
import io
import os
import pickle
from pathlib import Path

import numpy as np
import torch

from ..exceptions import TrainingError

__all__ = ["identify", "load_checkpoint", "save_checkpoint"]

# What may change without another result, and is not compared.
_NOT_TOLD = {"processes"}


def identify(thing):
    """
    Tell some data from others by a short text.

    Parameters
    ----------
    thing : object
        Numbers, text, arrays, tensors, and what is made of them: lists, dictionaries
        and objects with public attributes.

    Returns
    -------
    digest : str
        The same on each computer, though rounding differs.

    Examples
    --------
    >>> import numpy as np
    >>> from astro_deepcr.training.checkpoint import identify
    >>> identify({'a': np.ones(3)}) == identify({'a': np.ones(3) + 1e-9})
    True
    >>> identify({'a': np.ones(3)}) == identify({'a': np.ones(4)})
    False
    """
    return hashlib.sha256(repr(_tell(thing)).encode()).hexdigest()[:12]


def _tell(thing, depth=20):
    """Return what is told of a thing, of plain Python types."""
    if not depth:  # things may hold each other, or themselves
        return type(thing).__name__
    if thing is None or isinstance(thing, (str, bytes, bool, int, float, Path)):
        return str(thing)
    if isinstance(thing, torch.Tensor):
        thing = thing.detach().cpu().float().numpy()
    if isinstance(thing, (np.ndarray, np.generic)):
        values = np.asarray(thing)
        if values.dtype.kind not in "biuf":
            return str(values)
        size = np.nan_to_num(np.abs(values.astype(float)), posinf=0).ravel()
        # Where values are is told by another sum, in which their places count.
        placed = size @ np.linspace(1, 2, size.size) ** 2
        return f"{values.shape} {size.sum():.5g} {placed:.5g}"
    if isinstance(thing, dict):
        told = {
            str(k): _tell(v, depth - 1) for k, v in thing.items() if k not in _NOT_TOLD
        }
        return sorted(told.items())
    if isinstance(thing, (list, tuple)):
        return [_tell(one, depth - 1) for one in thing]
    if not hasattr(thing, "__dict__") or callable(thing):
        return getattr(thing, "__qualname__", type(thing).__name__)
    public = {k: v for k, v in vars(thing).items() if not k.startswith("_")}
    return [type(thing).__name__, _tell(public, depth - 1)]


def save_checkpoint(path, state):
    """
    Write a checkpoint, or leave the old one as it was.

    Parameters
    ----------
    path : path-like
        Where it goes.
    state : dict
        Numbers, strings, lists, dictionaries and tensors.

    Raises
    ------
    ~astro_deepcr.exceptions.TrainingError
        If it cannot be written.
    """
    path = Path(path)
    temporary = path.with_name(f"{path.name}.{os.getpid()}.part")
    memory = io.BytesIO()
    torch.save(state, memory)
    try:
        with temporary.open("wb") as file:
            file.write(memory.getbuffer())
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as err:
        temporary.unlink(missing_ok=True)
        kept = "The last one is still there. " if path.exists() else ""
        msg = (
            f"The checkpoint {path} ({memory.tell() / 1e6:.1f} MB) cannot be written: "
            f"{err}. {kept}Make room, and run the same again to go on."
        )
        raise TrainingError(msg) from err


def load_checkpoint(path, config):
    """
    Read a checkpoint.

    Parameters
    ----------
    path : path-like
        What `save_checkpoint` wrote.
    config : dict
        What the training is told now; ``state['config']`` must be the same.

    Returns
    -------
    state : dict
        On the CPU.

    Raises
    ------
    ~astro_deepcr.exceptions.TrainingError
        If it cannot be read, or is of another training.
    """
    path = Path(path)
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
        other = state["config"]
    except (OSError, RuntimeError, KeyError, EOFError, pickle.UnpicklingError) as err:
        reason = f"{type(err).__name__}: {str(err).partition(chr(10))[0][:80]}"
        msg = (
            f"The checkpoint {path} cannot be read ({reason}); delete it to start anew."
        )
        raise TrainingError(msg) from err
    changed = sorted(k for k in {*config, *other} if config.get(k) != other.get(k))
    if changed:
        what = ", ".join(f"{k}: {other.get(k)} -> {config.get(k)}" for k in changed)
        msg = (
            f"The checkpoint {path} is of another training ({what}). Delete it to "
            "start anew, pass resume=False, or go on with the same options."
        )
        raise TrainingError(msg)
    return state
