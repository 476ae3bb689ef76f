# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
Time the simulator of frames: by kind of scene, and where the time goes.

    python benchmarks/simulator_speed.py [--device cuda] [--batch 32] [--profile]

Times are of one thread; on a CPU they are of the processor, since on a shared machine
the clock on the wall says more about its other users.
"""

import argparse
import cProfile
import pstats
import statistics
import time

import torch

from astro_deepcr.simulate import SCENES, simulate_frames

# What a profile is summed up by: functions that together make up a frame.
PARTS = {
    "scenes": ("draw_scenes",),
    "  of these: point spread functions": ("draw_psf",),
    "  of these: stars added": ("add_points",),
    "  of these: convolution": ("convolve",),
    "optics and defects": ("_pass_through",),
    "bleeding": ("bleed",),
    "cosmic rays": ("draw_cosmic_rays",),
    "noise and read-out": ("_expose",),
    "labels": ("_spread", "_snap"),
    "cameras": ("draw_cameras",),
}


def main():
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0].strip())
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--profile", action="store_true")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    print(f"{'training mix':16s} {describe(measure(arguments, None))}")
    for kind in SCENES:
        print(f"{kind:16s} {describe(measure(arguments, kind))}")
    if arguments.profile:
        profile(arguments)


def measure(arguments, scenes):
    """Milliseconds per frame of 256 x 256, for each repetition after the first."""
    on_cpu = arguments.device == "cpu"
    clock = time.process_time if on_cpu else time.perf_counter
    generator = torch.Generator(arguments.device).manual_seed(1)
    spent = []
    for _ in range(arguments.repeats + 1):
        start = clock()
        frames = simulate_frames(
            arguments.batch,
            scenes=scenes,
            generator=generator,
            device=arguments.device,
        )
        frames.image.sum().item()  # waits for a GPU
        spent.append(1e3 * (clock() - start) / arguments.batch)
    return spent[1:]


def describe(spent):
    """Median and range."""
    median = statistics.median(spent)
    return (
        f"{median:6.1f} ms per frame ({min(spent):.1f} to {max(spent):.1f}), "
        f"{1e3 / median:6.0f} frames/s"
    )


def profile(arguments):
    """Share of the time that each part takes, in the training mix."""
    watch = cProfile.Profile()
    watch.enable()
    measure(arguments, None)
    watch.disable()
    rows = pstats.Stats(watch).stats
    spent = {}
    for (_, _, name), (*_, cumulative, _) in rows.items():
        spent[name] = spent.get(name, 0.0) + cumulative
    total = spent["simulate_frames"]
    print("\nshare of the time in the training mix")
    for part, names in PARTS.items():
        share = sum(spent.get(name, 0.0) for name in names) / total
        print(f"{part:36s} {100 * share:5.1f} %")


if __name__ == "__main__":
    main()
