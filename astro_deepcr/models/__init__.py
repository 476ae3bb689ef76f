# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
The networks. Imports torch.

Each takes a tensor of shape (batch, channels, rows, columns) and gives one of
shape (batch, 1, rows, columns): for a mask network the logit of the probability,
for an inpainting network the normalised value, which some follow with a second
channel: the logarithm of its expected deviation over the scale of the normalisation.
"""

import torch

from ..exceptions import WeightsError
from .deepcr_unet import DeepCRUNet
from .fill_unet import FillUNet
from .plain_unet import PlainUNet, enlarge, fold, reparametrize

__all__ = [
    "ARCHITECTURES",
    "DeepCRUNet",
    "FillUNet",
    "PlainUNet",
    "build_model",
    "enlarge",
    "fold",
    "model_reach",
    "reparametrize",
]

#: Name (as weights files give it) -> class.
ARCHITECTURES = {
    "deepcr-unet": DeepCRUNet,
    "fill-unet": FillUNet,
    "plain-unet": PlainUNet,
}


def build_model(architecture, arguments):
    """
    Build a network.

    Parameters
    ----------
    architecture : str
        A name of `ARCHITECTURES`.
    arguments : dict
        Keyword arguments of the class.

    Returns
    -------
    network : `torch.nn.Module`
        With random weights.

    Raises
    ------
    ~astro_deepcr.exceptions.WeightsError
        If the architecture is not known or does not take the arguments.
    ValueError
        If the values of the arguments do not go together.

    Examples
    --------
    >>> from astro_deepcr.models import build_model
    >>> network = build_model('deepcr-unet', {'hidden': 4})
    >>> sum(p.numel() for p in network.parameters())
    1645
    """
    try:
        return ARCHITECTURES[architecture](**arguments)
    except KeyError:
        msg = (
            f"The architecture {architecture!r} is not known to this version, which "
            f"has {', '.join(sorted(ARCHITECTURES))}. A newer version may."
        )
        raise WeightsError(msg) from None
    except TypeError as err:
        msg = f"The architecture {architecture!r} does not take {arguments}: {err}."
        raise WeightsError(msg) from None


def model_reach(architecture, arguments):
    """
    Say how far a network looks, and how many pixels it pools.

    Parameters
    ----------
    architecture, arguments
        As for `build_model`.

    Returns
    -------
    halo, stride : int
        What a weights file has to say.

    Raises
    ------
    ~astro_deepcr.exceptions.WeightsError
        If the architecture is not known or does not take the arguments.

    Examples
    --------
    >>> from astro_deepcr.models import model_reach
    >>> model_reach('deepcr-unet', {'hidden': 4})
    (10, 2)
    """
    with torch.device("meta"):  # only to see whether it takes the arguments
        build_model(architecture, arguments)
    return ARCHITECTURES[architecture].reach(**arguments)
