# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Simulated frames of one detector for the accuracy benchmarks."""

import numpy as np
import torch

from astro_deepcr.evaluation import labelled_frames
from astro_deepcr.simulate import simulate_frames


def simulated_frames(
    scene, detector, environment, exposure_times, sky_rate, *, n, side, seed
):
    """Yield calibrated frames; exposure time and sky are drawn log-uniformly."""
    rng = np.random.default_rng(seed)
    for _ in range(n):
        time = np.exp(rng.uniform(*np.log(exposure_times)))
        sky = time * np.exp(rng.uniform(*np.log(sky_rate)))
        frames = simulate_frames(
            1,
            (side, side),
            generator=torch.Generator().manual_seed(int(rng.integers(2**62))),
            scenes=scene,
            detectors=detector,
            environments=environment,
            exposure_times=float(time),
            sky=float(sky),
            nuisances=False,
        )
        yield from labelled_frames(frames)
