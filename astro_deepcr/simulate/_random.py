# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Random tensors for a batch: one explicit generator, one device."""

import math

import torch

__all__ = []


def check_device(device):
    """Raise ValueError for devices that the simulator cannot use."""
    if torch.device(device).type == "mps":
        msg = "The simulator computes in float64, which device='mps' cannot do; use "
        msg += "device='cpu'."
        raise ValueError(msg)


def check_generator(generator, device):
    """Raise TypeError or ValueError unless it is one of torch, on the device."""
    if not isinstance(generator, torch.Generator):
        msg = (
            f"The generator is of type {type(generator).__name__}; one of torch is "
            "needed, such as torch.Generator().manual_seed(1)."
        )
        raise TypeError(msg)
    if generator.device.type != torch.device(device).type:
        msg = (
            f"The generator is on {generator.device} but device={device!r}; make it "
            f"with torch.Generator({str(device)!r}), or pass device="
            f"{str(generator.device)!r}."
        )
        raise ValueError(msg)


class Draws:
    """
    Draw parameters for ``n`` things at once (frames, stars, lines).

    Every method returns a tensor of shape ``(n, *shape)``; limits may be numbers or
    tensors that broadcast with it.

    Parameters
    ----------
    generator : `torch.Generator`
        Where all randomness comes from; it lives on the device of the tensors.
    n : int
        Length of the first axis of what is drawn.
    """

    def __init__(self, generator, n):
        self.generator = generator
        self.device = generator.device
        self.n = n

    def many(self, n):
        """Draw for ``n`` things from the same generator."""
        return Draws(self.generator, n)

    def uniform(self, low=0.0, high=1.0, *shape):
        """Draw between two limits."""
        unit = torch.rand(self.n, *shape, generator=self.generator, device=self.device)
        return low + (high - low) * unit

    def log_uniform(self, low, high, *shape):
        """Draw between two positive limits, evenly in the logarithm."""
        if torch.is_tensor(low) or torch.is_tensor(high):
            low = torch.as_tensor(low, dtype=torch.float32, device=self.device)
            high = torch.as_tensor(high, dtype=torch.float32, device=self.device)
            return torch.exp(self.uniform(low.log(), high.log(), *shape))
        return torch.exp(self.uniform(math.log(low), math.log(high), *shape))

    def normal(self, scale=1.0, *shape):
        """Draw from a normal distribution around zero."""
        unit = torch.randn(self.n, *shape, generator=self.generator, device=self.device)
        return scale * unit

    def chance(self, probability, *shape):
        """Draw True with a probability."""
        return self.uniform(0.0, 1.0, *shape) < probability

    def integers(self, low, high, *shape):
        """Draw whole numbers, ``high`` excluded."""
        return torch.randint(
            low, high, (self.n, *shape), generator=self.generator, device=self.device
        )

    def poisson(self, mean):
        """Draw counts with given means."""
        return torch.poisson(mean, generator=self.generator)

    def power_law(self, slope, low, high):
        """Draw from dN/dF ~ F**-slope between two positive limits."""
        power = 1.0 - slope
        ratio = (high / low) ** power
        return low * (1.0 + self.uniform() * (ratio - 1.0)) ** (1.0 / power)

    def scatter(self, counts):
        """
        Make ``counts[i]`` members for each thing ``i``.

        Returns
        -------
        owner : `torch.Tensor`
            Index of the thing that each member belongs to.
        members : `Draws`
            Draws for all the members.
        """
        owner = torch.repeat_interleave(
            torch.arange(self.n, device=self.device), counts.long()
        )
        return owner, self.many(len(owner))


def per_frame(values):
    """Give a per-frame tensor two axes of length one, to multiply images."""
    return values[..., None, None]
