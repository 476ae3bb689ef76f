"""
What ten dithered exposures of an unknown camera are worth.

A simulated camera with thick silicon, of which no weights know, takes ten exposures of
one field. Their labels (`labels_from_exposures`) tune some weights. Both are scored on
frames of other fields of the same camera, where the truth is known.

    python benchmarks/fine_tuning.py --start acs-wfc --steps 150
"""

import argparse
import tempfile
import time
from pathlib import Path

import _options
import numpy as np
import torch
from astropy import units as u
from astropy.nddata import CCDData
from astropy.table import Table

from astro_deepcr import cosmicray_probability
from astro_deepcr.evaluation import PixelScores
from astro_deepcr.simulate import Detector, Environment, draw_cosmic_rays
from astro_deepcr.simulate._random import Draws
from astro_deepcr.simulate.scenes import Setting, draw_scenes
from astro_deepcr.training import (
    LabelledFrames,
    Mixture,
    SimulatedFrames,
    fit,
    labels_from_exposures,
)

CAMERA = Detector(
    "UNKNOWN",
    pixel_size=15 * u.um,
    thickness=250 * u.um,
    diffusion=7 * u.um,
    gain=1.6 * u.electron / u.adu,
    read_noise=8 * u.electron,
)
SITE = Environment.ground(2400 * u.m, worms=3)
SECONDS, SKY, MARGIN = 1200.0, 150.0, 16


def draw_field(scene, side, seed):
    """Return what the sky looks like, with a margin for dithers."""
    sky = torch.tensor([SKY])
    setting = Setting(
        Draws(torch.Generator().manual_seed(seed), 1),
        (side + 2 * MARGIN,) * 2,
        sky=sky,
        sigma=(sky + float(CAMERA.read_noise.value) ** 2).sqrt(),
        full_well=torch.tensor([float(CAMERA.full_well.value)]),
        space=torch.tensor([False]),
    )
    return draw_scenes([scene], setting)[0][0].double()


def expose(field, side, seed):
    """Return an exposure in adu, its true cosmic rays, and pixels without truth."""
    generator = torch.Generator().manual_seed(seed)
    y, x = torch.randint(2 * MARGIN, (2,), generator=generator).tolist()
    light = field[y : y + side, x : x + side]
    shape = (side, side)
    rays = draw_cosmic_rays(shape, [CAMERA], [SITE], SECONDS, generator=generator)
    charge = rays.charge[0].double()
    sigma = torch.sqrt(light + CAMERA.read_noise.value**2)
    noise = torch.randn(shape, generator=generator) * CAMERA.read_noise.value
    electrons = torch.poisson(light, generator=generator) + charge + noise
    meta = {"GAIN": CAMERA.gain.value, "EXPTIME": SECONDS}
    ccd = CCDData((electrons / CAMERA.gain.value).numpy(), unit="adu", meta=meta)
    truth = charge >= 3 * sigma
    ignore = (charge >= (0.5 * sigma).clamp_min(2)) & ~truth
    return ccd, truth.numpy(), ignore.numpy(), (-y, -x)


def score(weights, frames):
    """Return what weights find in frames with known truth."""
    scores = PixelScores()
    for ccd, truth, ignore, _ in frames:
        scores.add(cosmicray_probability(ccd, weights, device="cpu"), truth, ignore)
    curve = scores.curve()
    return {
        "average precision": curve.average_precision,
        "TPR at FPR 1e-3": curve.tpr_at(1e-3),
        "TPR at FPR 1e-4": curve.tpr_at(1e-4),
    }


def _precision(weights, frames):
    return score(weights, frames)["average precision"]


def main():
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    _options.add_options(parser, None)
    parser.add_argument("--start", default="acs-wfc", help="weights to be tuned")
    parser.add_argument("--steps", type=int, default=150)
    parser.add_argument("--learning-rate", type=float, default=3e-5)
    parser.add_argument("--side", type=int, default=384, help="of each exposure")
    parser.add_argument("--scene", default="stars")
    parser.add_argument(
        "--simulated", type=float, default=0.0, help="share of simulated frames"
    )
    args = _options.start(parser)
    side = args.side
    field = draw_field(args.scene, side, seed=1)
    taken = [expose(field, side, 100 + i) for i in range(10)]
    offsets = np.array([offset for *_, offset in taken])
    labels = labels_from_exposures(
        [one[0] for one in taken], align=offsets - offsets[0]
    )
    source = labels
    if args.simulated:
        parts = [LabelledFrames(labels), SimulatedFrames(every=8, side=128)]
        source = Mixture(parts, [1 - args.simulated, args.simulated])
    tests = [
        expose(draw_field(args.scene, side, 50 + i), side, 200 + i) for i in range(6)
    ]
    start = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        tuned = fit(
            source,
            Path(folder) / "tuned.safetensors",
            start=args.start,
            steps=args.steps,
            learning_rate=args.learning_rate,
            batch_size=8,
            crop=64,
            validate_every=25,
            device="cpu",
        )
        rows = [
            {"weights": name}
            | score(weights, tests)
            | {"AP, worst field": min(_precision(weights, [one]) for one in tests)}
            | {"AP, own field": _precision(weights, taken[:2])}
            for name, weights in ((args.start, args.start), ("tuned", tuned))
        ]
    _options.print_table(Table(rows), ".4f")
    print(f"{args.steps} steps in {time.perf_counter() - start:.0f} s")


if __name__ == "__main__":
    main()
