# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Sources of training data, put together and taken apart."""

import numpy as np

from ._batch import Batch
from .data import LabelledFrames

__all__ = ["Mixture", "split_data"]

# One over the golden ratio: its multiples fill the unit interval evenly.
_GOLDEN = 0.6180339887498949


class Mixture:
    """
    Several sources, each with its share of every batch.

    Parameters
    ----------
    sources : list
        Of `SimulatedFrames`, `LabelledFrames` or `PastedCosmicRays`.
    weights : list of float, optional
        Their shares; equal by default.

    Raises
    ------
    ValueError
        If there are no sources, or the weights do not fit them.

    Examples
    --------
    >>> from astro_deepcr.training import Mixture, SimulatedFrames
    >>> both = [SimulatedFrames(scenes='stars'), SimulatedFrames(scenes='echelle')]
    >>> source = Mixture(both, [3, 1])
    """

    def __init__(self, sources, weights=None):
        self.sources = list(sources)
        weights = [1.0] * len(self.sources) if weights is None else list(weights)
        right = len(weights) == len(self.sources) > 0
        if not right or min(weights) < 0 or not 0 < sum(weights) < np.inf:
            msg = (
                f"{len(self.sources)} source(s) and weights {weights} do not fit: give "
                "as many of both, one or more, the weights 0 or more and not all 0."
            )
            raise ValueError(msg)
        self.weights = weights
        tasks = {getattr(source, "task", "mask") for source in self.sources}
        if len(tasks) > 1:
            msg = "Sources with hidden pixels (hide=True) and others do not mix."
            raise ValueError(msg)
        self.task = tasks.pop()

    def split(self, fraction):
        """Return mixtures for training and for validation."""
        parts = zip(*(s.split(fraction) for s in self.sources), strict=True)
        return tuple(Mixture(part, self.weights) for part in parts)

    def draw(self, n, crop, key, form, device):
        """Draw a batch of ``n`` cut-outs."""
        edges = np.cumsum(self.weights) / np.sum(self.weights)
        place = (np.arange(n) + key.step * n + 0.5) * _GOLDEN % 1
        counts = np.bincount(np.searchsorted(edges, place), minlength=len(edges))
        return Batch.cat(
            source.draw(
                int(count),
                crop,
                type(key)(key.seed, key.step, (key.stream + 1) * 100 + i),
                form,
                device,
            )
            for i, (source, count) in enumerate(zip(self.sources, counts, strict=True))
            if count
        )


def split_data(data, validation, fraction, task):
    """
    Return sources of training and validation data.

    Parameters
    ----------
    data, validation
        As for `~astro_deepcr.training.fit`.
    fraction : float
        Part of the data that is held out if there is no ``validation``.
    task : str
        What they must be for.

    Returns
    -------
    source, held : source
        For training and for validation.

    Raises
    ------
    ValueError
        If they are for another task, or too few.
    """
    source = _as_source(data)
    if validation is None:
        source, held = source.split(fraction)
    else:
        held = _as_source(validation)
    for one in (source, held):
        _check_task(one, task)
    return source, held


def _check_task(source, task):
    found = getattr(source, "task", task)
    if found != task:
        needed = "SimulatedFrames(hide=True)" if task == "inpaint" else "labelled data"
        msg = f"task={task!r} needs {needed}; these data are for task={found!r}."
        raise ValueError(msg)


def _as_source(data):
    if hasattr(data, "draw"):
        return data
    if isinstance(data, (list, tuple)) and data and hasattr(data[0], "draw"):
        return Mixture(data)
    return LabelledFrames(data)
