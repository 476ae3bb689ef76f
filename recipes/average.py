# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
Write the mean of the tensors of weights files, two parts of one training.

    python recipes/average.py OUTPUT.safetensors FIRST.safetensors SECOND.safetensors

What it says of itself is that of the first. Its probabilities are not calibrated: train
it on.
"""

import sys

import torch

from astro_deepcr.weights import get_weights, load_state, save_weights


def main(output, *paths):
    """Read, average, write."""
    states = [load_state(path) for path in paths]
    mean = {
        key: torch.stack([state[key].double() for state in states]).mean(0).float()
        for key in states[0]
    }
    save_weights(output, mean, get_weights(paths[0], task=None))


if __name__ == "__main__":
    main(*sys.argv[1:])
