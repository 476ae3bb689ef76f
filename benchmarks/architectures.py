"""
Compare networks: cost, speed on this computer, and what they learn in a short while.

    python benchmarks/architectures.py                    # cost and speed, a minute
    python benchmarks/architectures.py --steps 2000       # and train each of them

Only figures of the same run can be compared.
"""

import tempfile
import time
from functools import partial
from pathlib import Path

import _options
import numpy as np
import torch
from astropy.table import Table
from torch.utils.flop_counter import FlopCounterMode

import astro_deepcr
from astro_deepcr.inference import predict
from astro_deepcr.models import build_model, model_reach, reparametrize
from astro_deepcr.training import SimulatedFrames, fit
from astro_deepcr.weights import Weights, save_weights

UNSHUFFLE, TWICE = {"stem": "unshuffle"}, {"stretches": 2}
HALF = {"widths": (32, 64, 96), "depths": 2} | UNSHUFFLE
CANDIDATES = {
    "half 32/64/96": HALF,
    "half 32/64/96 +8": HALF | {"detail": 8},
    "half 32/64/96 +8 x2": HALF | {"detail": 8} | TWICE,
    "half 32/64/96 +16 x2": HALF | {"detail": 16} | TWICE,
    "half 32/64 +8 x2": {"widths": (32, 64), "depths": (2, 3), "detail": 8}
    | UNSHUFFLE
    | TWICE,
    "half 24/48 +8 x2": {"widths": (24, 48), "depths": 2, "detail": 8}
    | UNSHUFFLE
    | TWICE,
    "half 48/96 +8 x2": {"widths": (48, 96), "depths": (2, 3), "detail": 8}
    | UNSHUFFLE
    | TWICE,
    "full 16/32/64 x2": {"widths": (16, 32, 64), "depths": 2, "stem": "full"} | TWICE,
    "full 24/48/96 x2": {"widths": (24, 48, 96), "depths": 2, "stem": "full"} | TWICE,
}


def best_time(function, repeat=3):
    """Return the shortest time of a function in seconds."""
    times = []
    for _ in range(repeat):
        start = time.perf_counter()
        function()
        times.append(time.perf_counter() - start)
    return min(times)


def kiloflop(network, side=256):
    """Count thousands of floating-point operations a pixel (a sum counts as one)."""
    with FlopCounterMode(display=False) as counter, torch.inference_mode():
        network(torch.zeros(1, 1, side, side))
    return counter.get_total_flops() / side**2 / 1e3


def network_speed(network, side):
    """Return Mpix/s of the network alone, one tile at a time."""
    x = torch.randn(1, 1, side, side).contiguous(memory_format=torch.channels_last)
    with torch.inference_mode():
        network(x)
        return side**2 / 1e6 / best_time(lambda: network(x))


def frame_speed(entry, side):
    """Return Mpix/s of a whole frame, with what overlapping tiles cost."""
    image = np.random.default_rng(0).normal(size=(1, side, side)).astype(np.float32)
    return side**2 / 1e6 / best_time(lambda: predict(image, entry, device="cpu"), 2)


def step_time(arguments, batch_size, crop):
    """Return seconds of a forward and a backward pass."""
    network = reparametrize(build_model("plain-unet", arguments))
    network.to(memory_format=torch.channels_last)
    x = torch.randn(batch_size, 1, crop, crop)
    x = x.contiguous(memory_format=torch.channels_last)
    return best_time(lambda: network(x).mean().backward())


def describe(name, arguments, args, folder):
    """Return a row of the table."""
    torch.manual_seed(0)
    network = build_model("plain-unet", arguments)
    halo, stride = model_reach("plain-unet", arguments)
    row = {
        "network": name,
        "k weights": sum(p.numel() for p in network.parameters()) / 1e3,
        "kFLOP/px": kiloflop(network),
        "halo": halo,
    }
    network = network.to(memory_format=torch.channels_last)
    for side in args.tiles:
        row[f"net {side}"] = network_speed(network, side)
    entry = Weights(
        name, "", "mask", "plain-unet", arguments, halo, stride,
        normalization="sky-noise-asinh",
    )  # fmt: skip
    entry = save_weights(folder / f"{len(list(folder.iterdir()))}.safetensors",
                         network.state_dict(), entry)  # fmt: skip
    for side in args.tiles:
        with astro_deepcr.conf.set_temp("tile_size", side):
            row[f"frame {side}"] = frame_speed(entry, args.side)
    row["s/step"] = step_time(arguments, args.batch_size, args.crop)
    return row


def train(name, arguments, args, folder, source):
    """Return what a network has learnt after a number of steps."""
    start = time.perf_counter()
    weights = fit(
        source,
        folder / "trained.safetensors",
        arguments=arguments,
        steps=args.steps,
        batch_size=args.batch_size,
        crop=args.crop,
        validate_every=args.steps,
        validation_size=args.validation,
        device=args.device,
        progress=False,
    )
    row = {"network": name, "minutes": (time.perf_counter() - start) / 60}
    row |= weights.metrics
    args.progress(str(row))
    return row


def main():
    """Run the benchmark."""
    import argparse

    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    _options.add_options(parser, None)
    parser.add_argument("--only", nargs="+", default=list(CANDIDATES))
    parser.add_argument("--side", type=int, default=1024, help="of the frame")
    parser.add_argument("--tiles", type=int, nargs="+", default=[256, 512])
    parser.add_argument("--batch-size", type=int, default=12)
    parser.add_argument("--crop", type=int, default=192)
    parser.add_argument("--steps", type=int, default=0, help="train each so long")
    parser.add_argument(
        "--every", type=int, default=16, help="steps; of SimulatedFrames"
    )
    parser.add_argument("--validation", type=int, default=96)
    parser.add_argument("--device")
    args = _options.start(parser)
    torch.set_num_threads(args.threads)
    with tempfile.TemporaryDirectory() as folder:
        # The same frames for all of them, simulated only once.
        every, processes = args.every, args.threads
        source = SimulatedFrames(every=every, pool=10**6, processes=processes)
        makers = [describe, partial(train, source=source)]
        for make in makers if args.steps else makers[:1]:
            rows = [make(n, CANDIDATES[n], args, Path(folder)) for n in args.only]
            table = Table(rows)
            for column in table.colnames[1:]:
                if table[column].dtype.kind == "f":
                    table[column].format = ".4g"
            _options.print_table(table)


if __name__ == "__main__":
    main()
