# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""What a finished network says, as a target for one that learns."""

import torch

from ..models.orientations import ORIENTATIONS, mean_over_orientations

__all__ = ["soften"]

# Ways to look at each cut-out: all eight come in turn, and each costs time.
_AT_ONCE = 2


@torch.no_grad()
def soften(batch, x, teacher, share, rng):
    """
    Let the probability of a teacher be part of the target.

    The truth is 0 or 1 also where nothing in the image tells which; what a good network
    says there is steadier, most of all the mean over several orientations of the image
    [1]_.

    Parameters
    ----------
    batch : `Batch`
        With targets of mask networks.
    x : `torch.Tensor`
        The network's input for it.
    teacher : `torch.nn.Module`
        Gives logits.
    share : float
        Of the probability in the target.
    rng : `numpy.random.Generator`
        Draws the orientations.

    Returns
    -------
    batch : `Batch`
        A new one.

    References
    ----------
    .. [1] Hinton, G., Vinyals, O. & Dean, J. 2015, "Distilling the Knowledge in a
       Neural Network", arXiv:1503.02531.
    """
    chosen = rng.choice(len(ORIENTATIONS), _AT_ONCE, replace=False)
    ways = [ORIENTATIONS[i] for i in chosen]
    probability = mean_over_orientations(teacher, x, ways)[:, 0].sigmoid()
    share = share * (batch.weight <= 1)
    target = torch.lerp(batch.target.float(), probability, share)
    return batch.replace(target=target)
