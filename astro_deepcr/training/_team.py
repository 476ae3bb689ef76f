# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""One process, or several that torchrun started, training the same network."""

import os
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import distributed
from torch.nn.parallel import DistributedDataParallel

from ..devices import resolve_device

__all__ = ["Team", "gather_team"]


@dataclass(frozen=True)
class Team:
    """
    This process and how many there are.

    Parameters
    ----------
    rank, size : int
        Number of this process, and of all.
    device : `torch.device`
        Where this process computes.
    """

    rank: int
    size: int
    device: torch.device

    @property
    def leads(self):
        """Whether this process is the one that validates and writes."""
        return self.rank == 0

    def share(self, network):
        """Return a network whose gradients are averaged over all processes."""
        return network if self.size == 1 else DistributedDataParallel(network)

    def agree(self, verdict):
        """Return what the leading process says, in all of them."""
        if self.size == 1:
            return verdict
        told = torch.tensor(float(verdict), device=self.device)
        distributed.broadcast(told, src=0)
        return bool(told)


@contextmanager
def gather_team(device=None):
    """
    Find out whether torchrun started this process, and join the others.

    Parameters
    ----------
    device : str, optional
        As for `~astro_deepcr.devices.resolve_device`; with several processes, the
        kind of device, of which each takes its own.

    Yields
    ------
    team : Team
    """
    device = resolve_device(device)
    launched = distributed.is_available() and distributed.is_torchelastic_launched()
    if not launched or int(os.environ["WORLD_SIZE"]) == 1:
        yield Team(0, 1, device)
        return
    if device.type == "cuda":
        device = torch.device("cuda", int(os.environ["LOCAL_RANK"]))
        torch.cuda.set_device(device)
    distributed.init_process_group("nccl" if device.type == "cuda" else "gloo")
    try:
        size = distributed.get_world_size()
        yield Team(distributed.get_rank(), size, device)
        distributed.barrier()
    finally:
        distributed.destroy_process_group()
