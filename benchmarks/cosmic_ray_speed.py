# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
Time the cosmic-ray simulator: milliseconds per frame of 256 x 256.

    python benchmarks/cosmic_ray_speed.py [--device cuda] [--batch 32]
"""

import argparse
import time

import torch

from astro_deepcr.simulate import draw_cosmic_rays, get_detector, get_environment

CASES = (
    ("ACS/WFC", "low Earth orbit", 1000.0),
    ("STIS", "low Earth orbit", 1000.0),
    ("LBNL thick", "low Earth orbit", 100.0),
    ("LSST", "mountain", 300.0),
    ("DECam", "mountain", 300.0),
)


def main():
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0].strip())
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--repeats", type=int, default=5)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    # on a shared machine the CPU time says more than the clock on the wall
    clock = time.process_time if arguments.device == "cpu" else time.perf_counter
    generator = torch.Generator(arguments.device).manual_seed(1)
    for detector, environment, seconds in CASES:
        spent = []
        for _ in range(arguments.repeats + 1):
            start = clock()
            drawn = draw_cosmic_rays(
                (256, 256),
                [get_detector(detector)] * arguments.batch,
                [get_environment(environment)] * arguments.batch,
                seconds,
                generator=generator,
                device=arguments.device,
            )
            hit = (drawn.charge > 12).float().mean().item()
            spent.append(1e3 * (clock() - start) / arguments.batch)
        best = min(spent[1:])
        print(f"{detector:12s} {environment:16s} {seconds:6.0f} s: ", end="")
        print(f"{100 * hit:5.2f} % of pixels hit, {best:6.2f} ms per frame")


if __name__ == "__main__":
    main()
