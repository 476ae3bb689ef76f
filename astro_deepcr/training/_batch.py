# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""What a step of the training sees, and where its randomness comes from."""

import math
from dataclasses import dataclass, fields, replace

import numpy as np
import torch

from ..noise import MAD_TO_STD

__all__ = ["Batch", "InputForm", "Key", "measure_images"]


@dataclass(frozen=True)
class InputForm:
    """
    What weights want as input, with the names and meanings of `Weights`.

    Parameters
    ----------
    unit : str or None, optional
        Unit of the values.
    normalization : str, optional
        A key of `astro_deepcr.noise.NORMALIZATIONS`.
    scale : float, optional
        What values are divided by in some of them.
    """

    unit: str | None = None
    normalization: str = "sky-noise-asinh"
    scale: float = 1.0


@dataclass(frozen=True)
class Key:
    """
    Where all randomness of a step comes from.

    What is drawn depends on the numbers here alone, never on what was drawn
    before: a training that was killed goes on exactly as it would have.

    Parameters
    ----------
    seed : int
        Of the whole training.
    step : int
        Of the training.
    stream : int, optional
        Different for each process and each use.
    """

    seed: int
    step: int
    stream: int = 0

    def integer(self, purpose=0):
        """Return a number with 63 random bits."""
        numbers = (self.seed, self.step, self.stream, purpose)
        sequence = np.random.SeedSequence([n % 2**64 for n in numbers])
        return int(sequence.generate_state(1, np.uint64)[0] >> np.uint64(1))

    def numpy(self, purpose=0):
        """Return a generator of NumPy."""
        return np.random.default_rng(self.integer(purpose))

    def torch(self, device, purpose=0):
        """Return a generator of torch on a device."""
        return torch.Generator(device).manual_seed(self.integer(purpose))


@dataclass(frozen=True)
class Batch:
    """
    Cut-outs of frames with labels.

    Parameters
    ----------
    image : (N, rows, columns) `torch.Tensor` of float32
        In the unit of the weights.
    target : (N, rows, columns) `torch.Tensor` of float32
        1 where a cosmic ray is, 0 where none is, or a number between.
    weight : (N, rows, columns) `torch.Tensor` of float32
        How much each pixel counts; 0 for ignored pixels.
    offset, scale : (N,) `torch.Tensor` of float32
        With which the whole frame, of which this is a part, is normalised.
    """

    image: torch.Tensor
    target: torch.Tensor
    weight: torch.Tensor
    offset: torch.Tensor
    scale: torch.Tensor

    def __len__(self):
        return len(self.image)

    def map(self, function):
        """Return a batch of what a function makes of each tensor."""
        return Batch(*(function(getattr(self, f.name)) for f in fields(self)))

    def replace(self, **tensors):
        """Return a batch with other tensors in some places."""
        return replace(self, **tensors)

    @classmethod
    def cat(cls, batches):
        """Put batches together."""
        parts = zip(*([getattr(b, f.name) for f in fields(cls)] for b in batches))  # noqa: B905
        return cls(*(torch.cat(part) for part in parts))

    def to_input(self, normalization):
        """
        Normalise as `astro_deepcr.noise.Normalization` does.

        Parameters
        ----------
        normalization : str
            A key of `astro_deepcr.noise.NORMALIZATIONS`.

        Returns
        -------
        x : (N, 1, rows, columns) `torch.Tensor`
            The network's input.
        """
        offset, scale = (v[:, None, None] for v in (self.offset, self.scale))
        x = ((self.image - offset) / scale)[:, None]
        return x.asinh() if normalization.endswith("asinh") else x


def measure_images(images, normalization, fixed_scale=1.0):
    """
    Measure the normalisation of frames on their own device.

    The same numbers as `astro_deepcr.noise.measure_normalization` gives, for many
    frames at once.

    Parameters
    ----------
    images : (N, rows, columns) `torch.Tensor`
        Whole frames without masked pixels.
    normalization : str
        A key of `astro_deepcr.noise.NORMALIZATIONS`.
    fixed_scale : float, optional
        What the weights call ``scale``.

    Returns
    -------
    offset, scale : (N,) `torch.Tensor`
        What each frame is normalised with.
    """
    flat = images.flatten(1)
    if normalization == "fixed":
        one = torch.ones_like(flat[:, 0])
        return 0 * one, fixed_scale * one
    if normalization == "mean-std":
        mean, std = flat.mean(dim=1), flat.std(dim=1, correction=0)
        return mean, torch.where(std > 0, std, fixed_scale)
    return _sky_and_noise(images, flat)


def _sky_and_noise(images, flat):
    differences = (images[:, :, 1:] - images[:, :, :-1]).abs().flatten(1)
    noise = MAD_TO_STD / math.sqrt(2) * _median(differences)
    if (noise == 0).any():  # as in astro_deepcr.noise
        steps = torch.where(differences > 0, differences, torch.nan)
        largest = 2 * steps.nanmedian(dim=1, keepdim=True).values.nan_to_num()
        clipped = differences.minimum(largest)
        noise = torch.where(
            noise > 0, noise, clipped.square().mean(dim=1).div(2).sqrt()
        )
    return _median(flat), torch.where(noise > 0, noise, 1.0)


def _median(values):
    ordered, n = values.sort(dim=1).values, values.shape[1]
    return (ordered[:, (n - 1) // 2] + ordered[:, n // 2]) / 2
