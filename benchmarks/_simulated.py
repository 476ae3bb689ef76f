# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Simulated frames of one detector for the accuracy benchmarks."""

import numpy as np
import torch
from astropy.nddata import CCDData

from astro_deepcr.evaluation import LabelledFrame
from astro_deepcr.simulate import draw_cosmic_rays, get_detector, get_environment
from astro_deepcr.simulate._random import Draws
from astro_deepcr.simulate.scenes import Setting, draw_scenes


def simulated_frames(
    scene, detector, environment, exposure_times, sky_rate, *, n, side, seed
):
    """Yield frames in electrons; exposure time and sky are drawn log-uniformly."""
    rng = np.random.default_rng(seed)
    detector, environment = get_detector(detector), get_environment(environment)
    for number in range(n):
        time = np.exp(rng.uniform(*np.log(exposure_times)))
        sky = time * np.exp(rng.uniform(*np.log(sky_rate)))
        generator = torch.Generator().manual_seed(int(rng.integers(2**62)))
        yield _frame(
            scene, detector, environment, time, sky, (side, side), generator, number
        )


def _frame(scene, detector, environment, time, sky, shape, generator, number):
    noise = detector.read_noise.value
    setting = Setting(
        Draws(generator, 1),
        shape,
        sky=torch.tensor([sky], dtype=torch.float32),
        sigma=torch.tensor([np.hypot(sky**0.5, noise)], dtype=torch.float32),
        full_well=torch.tensor([detector.full_well.value], dtype=torch.float32),
        space=torch.tensor(["orbit" in environment.name]),
    )
    images, cores = draw_scenes([scene], setting)
    rays = draw_cosmic_rays(shape, [detector], [environment], time, generator=generator)
    clean, charge = images[0].double(), rays.charge[0].double()
    light = torch.poisson(clean, generator=generator)
    reading = torch.randn(shape, generator=generator, dtype=torch.float64) * noise
    sigma = torch.sqrt(clean + noise**2)
    full = clean > 0.9 * detector.full_well.value
    truth = charge >= 3 * sigma
    ignore = (charge >= torch.clamp(0.5 * sigma, min=2)) & ~truth
    stars = torch.zeros(shape, dtype=torch.int64)
    stars[cores[:, 1], cores[:, 2]] = torch.arange(1, len(cores) + 1)
    stars[full] = 0
    image = light + charge + reading
    return LabelledFrame(
        CCDData(image.numpy(), unit="electron"),
        truth.numpy(),
        (ignore | full).numpy(),
        charge=charge.numpy(),
        event_id=rays.event_id[0].numpy(),
        objects={"cores": stars.numpy()},
        clean=clean.numpy(),
        sigma=sigma.numpy(),
        gain=detector.gain.value,
        readnoise=noise,
        saturation=detector.full_well.value,
        name=f"{scene} {number}, {time:.0f} s",
    )
