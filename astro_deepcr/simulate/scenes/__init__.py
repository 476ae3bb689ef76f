# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Scenes: what a detector would record without noise and without cosmic rays."""

import torch

from . import calibration, galaxies, moving, nebulae, spectra, stars
from ._layers import Layers, Setting

__all__ = ["SCENES", "TRAINING_MIX", "Layers", "Setting", "draw_scenes"]

#: kind of scene -> function that draws it for a batch
SCENES = {
    "stars": stars.stars,
    "cluster": stars.cluster,
    "bright stars": stars.bright_stars,
    "deep field": galaxies.deep_field,
    "galaxy": galaxies.galaxy,
    "merger": galaxies.merger,
    "resolved galaxy": galaxies.resolved_galaxy,
    "nebula": nebulae.nebula,
    "asteroids": moving.moving,
    "comet": moving.comet,
    "trailed stars": moving.trailed_stars,
    "long slit": spectra.long_slit,
    "echelle": spectra.echelle,
    "fibres": spectra.fibres,
    "arc lamp": spectra.arc_lamp,
    "slitless": spectra.slitless,
    "dark": calibration.dark,
    "bias": calibration.bias,
    "flat": calibration.flat,
}

#: weights of the scenes in training: crowded and textured fields are the hard ones
TRAINING_MIX = {
    "stars": 0.13,
    "cluster": 0.17,
    "bright stars": 0.05,
    "deep field": 0.11,
    "galaxy": 0.08,
    "merger": 0.03,
    "resolved galaxy": 0.12,
    "nebula": 0.03,
    "asteroids": 0.02,
    "comet": 0.01,
    "trailed stars": 0.01,
    "long slit": 0.09,
    "echelle": 0.06,
    "fibres": 0.03,
    "arc lamp": 0.02,
    "slitless": 0.02,
    "dark": 0.01,
    "bias": 0.005,
    "flat": 0.005,
}


def draw_scenes(kinds, setting):
    """
    Draw the scene of each frame.

    Parameters
    ----------
    kinds : list of str
        One key of `SCENES` per frame.
    setting : Setting
        For all the frames.

    Returns
    -------
    images : (B, H, W) `torch.Tensor`
        Expected electrons in each pixel.
    cores : (N, 3) `torch.Tensor`
        Frame, row and column of stars and centres of galaxies.
    """
    device = setting.rng.device
    images = setting.blank()
    cores = []
    for kind in sorted(set(kinds)):
        frames = [frame for frame, one in enumerate(kinds) if one == kind]
        frames = torch.tensor(frames, device=device)
        part = setting.take(frames)
        images[frames], found = SCENES[kind](part).render(part)
        found[:, 0] = frames[found[:, 0]]
        cores.append(found)
    return images, torch.cat(cores)
