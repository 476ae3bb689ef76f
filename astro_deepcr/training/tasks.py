# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""What a network learns: to find cosmic rays, or to say what lies under them."""

import numpy as np
import torch

from .calibration import fit_temperature, measure, operating_points
from .losses import fill_loss, mask_loss, pull_scale

__all__ = ["TASKS", "FillTask", "MaskTask", "check_channels"]

# Errors beyond so many stated deviations count as this many.
_CLIP = 10.0


class MaskTask:
    """Find cosmic rays: the output is a logit, the target what is hit."""

    architecture, channels = "plain-unet", (1, 1)

    @staticmethod
    def to_input(batch, normalization):
        """Return the network's input."""
        return batch.to_input(normalization)

    @staticmethod
    def loss(output, batch, dice):
        """Return what training makes small."""
        return mask_loss(output, batch.target, batch.weight, dice)

    @staticmethod
    def measure(output, batch):
        """Return figures of merit; the smaller the 'loss', the better."""
        return measure(output, batch.target, batch.weight)[0]

    @staticmethod
    def check(batch):
        """Raise ValueError if validation data can tell nothing."""
        used = batch.weight > 0
        hit = float(batch.target[used].sum())
        if not 0 < hit < float(used.sum()):
            what = "no pixel is" if hit == 0 else "all pixels are"
            msg = (
                f"In the validation data {what} a cosmic ray, so that nothing can be "
                "told from them. Give others (validation=), or more (validation_size=, "
                "validation_fraction=)."
            )
            raise ValueError(msg)

    @classmethod
    def correct(cls, output, batch):
        """Return the output of the network once it is calibrated."""
        slope, shift = cls._calibration(output, batch)
        return output * slope + shift

    @staticmethod
    def _calibration(output, batch):
        # Pixels that count more than once would, in a probability, be more than one.
        return fit_temperature(output, batch.target, (batch.weight > 0).float())

    @classmethod
    def calibrate(cls, state, output, batch):
        """Return the state of a network whose probabilities are calibrated."""
        slope, shift = cls._calibration(output, batch)
        return state | {
            "head.weight": state["head.weight"] * slope,
            "head.bias": state["head.bias"] * slope + shift,
        }

    @staticmethod
    def describe(output, batch):
        """Return what the weights file says of the finished network."""
        metrics, scores = measure(output, batch.target, batch.weight)
        return {"operating_points": operating_points(scores), "metrics": metrics}


class FillTask:
    """
    Say what lies under masked pixels: the output of a `FillUNet`.

    In a batch the image is NaN where it is masked, the target is the light, and the
    weight tells which masked pixels count.
    """

    architecture, channels = "fill-unet", (2, 2)

    @staticmethod
    def to_input(batch, normalization):
        """Return the network's input."""
        bad = batch.image.isnan()
        x = batch.replace(image=batch.image.nan_to_num(0.0)).to_input(normalization)
        bad = bad[:, None]
        return torch.cat([x.masked_fill(bad, 0.0), bad.to(x.dtype)], dim=1)

    @staticmethod
    def loss(output, batch, dice):  # noqa: ARG004 (of masks)
        """Return what training makes small."""
        return fill_loss(output, _normal_light(batch), batch.weight)

    @staticmethod
    def measure(output, batch):
        """Return figures of merit; the smaller the 'loss', the better."""
        truth, used = _normal_light(batch), batch.weight > 0
        error, std = (output[:, 0].sinh() - truth)[used], output[:, 1].exp()[used]
        pull = (error / std).abs()
        figures = {
            "loss": fill_loss(output, truth, batch.weight),
            "median_bias": error.median(),
            "median_deviation": error.abs().median(),
            "pull_68": np.quantile(pull.numpy(), 0.683),
            "pull_scale": pull_scale(pull),
            "pull_std": pull.clamp_max(_CLIP).square().mean().sqrt(),
        }
        return {name: float(value) for name, value in figures.items()}

    @staticmethod
    def check(batch):
        """Raise ValueError if validation data can tell nothing."""
        if not (batch.weight > 0).any():
            msg = "In the validation data no pixel is hidden; give more."
            raise ValueError(msg)

    @classmethod
    def correct(cls, output, batch):
        """Return the output of the network once it is calibrated."""
        shift = torch.tensor([0.0, np.log(cls.measure(output, batch)["pull_scale"])])
        return output + shift[:, None, None]

    @classmethod
    def calibrate(cls, state, output, batch):
        """Return the state of a network with deviations as large as errors."""
        bias = state["body.head.bias"].clone()
        bias[-len(bias) // 2 :] += np.log(cls.measure(output, batch)["pull_scale"])
        return state | {"body.head.bias": bias}

    @classmethod
    def describe(cls, output, batch):
        """Return what the weights file says of the finished network."""
        return {"metrics": cls.measure(output, batch)}


def _normal_light(batch):
    """Return the target as a signal over the noise."""
    offset, scale = (v[:, None, None] for v in (batch.offset, batch.scale))
    return (batch.target - offset) / scale


#: What `Weights` call ``task`` -> how it is learnt.
TASKS = {"mask": MaskTask, "inpaint": FillTask}


@torch.no_grad()
def check_channels(network, entry):
    """
    Return a network if it takes and gives what its task needs.

    Parameters
    ----------
    network : `torch.nn.Module`
        On the CPU.
    entry : `~astro_deepcr.weights.Weights`
        With its task.

    Returns
    -------
    network : `torch.nn.Module`
        The same.

    Raises
    ------
    ValueError
        If it does not.
    """
    taken, given = TASKS[entry.task].channels
    try:
        # What normalises batches must not learn from this one.
        output = network.eval()(torch.zeros(1, taken, *[4 * entry.stride] * 2))
        fits = output.shape[1] == given
    except (IndexError, RuntimeError, ValueError):
        fits = False
    if fits:
        return network.train()
    msg = (
        f"A network {entry.architecture!r} with {dict(entry.arguments)} does not fit "
        f"task={entry.task!r}, which needs {taken} channel(s) in and {given} out."
    )
    raise ValueError(msg)
