# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""What a training that was stopped goes on from."""

import io
import os
import pickle
from pathlib import Path

import torch

from ..exceptions import TrainingError

__all__ = ["load_checkpoint", "save_checkpoint"]


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
