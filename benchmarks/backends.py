# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
Time the network alone in torch and in OpenVINO, on a CPU, in one run.

    python benchmarks/backends.py [--side 560] [--threads 2] [--weights NAME ...]

OpenVINO (``pip install openvino``) is not a backend of this package: it would become
one where it is at least 1.3 times as fast.
"""

import argparse
import statistics
import time

import torch

from astro_deepcr import conf
from astro_deepcr.devices import keep_freed_memory
from astro_deepcr.inference import _load_network
from astro_deepcr.weights import get_weights


def seconds(function, rounds):
    """Return the median time of a function, warm."""
    function(), function()
    times = []
    for _ in range(rounds):
        start = time.perf_counter()
        function()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def torch_seconds(weights, side, rounds, dtype):
    """Return the time of one tile in torch."""
    network = _load_network(weights, torch.device("cpu"), dtype)
    tile = torch.randn(1, 1, side, side).to(next(network.parameters()).dtype)
    tile = tile.contiguous(memory_format=torch.channels_last)
    with torch.inference_mode():
        return seconds(lambda: network(tile), rounds)


def openvino_seconds(weights, side, rounds, threads, hint):
    """Return the time of one tile in OpenVINO."""
    import openvino

    network = _load_network(weights, torch.device("cpu"), torch.float32)
    tile = torch.randn(1, 1, side, side)
    model = openvino.convert_model(network, example_input=tile, input=[*tile.shape])
    settings = {
        "INFERENCE_PRECISION_HINT": hint,
        "INFERENCE_NUM_THREADS": threads,
        "PERFORMANCE_HINT": "LATENCY",
    }
    request = openvino.Core().compile_model(model, "CPU", settings)
    request = request.create_infer_request()
    return seconds(lambda: request.infer({0: tile.numpy()}), rounds)


def main():
    """Print megapixels per second, and the ratio."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[1])
    parser.add_argument("--side", type=int, default=560, help="of the tile")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--weights", nargs="+", default=["universal", "acs-wfc"])
    parser.add_argument("--weights-dir", default="", help="folder of the weights")
    args = parser.parse_args()
    conf.weights_dir = args.weights_dir
    torch.set_num_threads(args.threads)
    keep_freed_memory()
    for name in args.weights:
        weights = get_weights(name)
        for dtype, hint in ((torch.float32, "f32"), (torch.bfloat16, "bf16")):
            ours = torch_seconds(weights, args.side, args.rounds, dtype)
            theirs = openvino_seconds(
                weights, args.side, args.rounds, args.threads, hint
            )
            speeds = (args.side**2 / 1e6 / one for one in (ours, theirs))
            speeds = " ".join(f"{speed:8.2f}" for speed in speeds)
            print(f"{name:12} {hint:5} {speeds} Mpix/s, ratio {ours / theirs:.2f}")


if __name__ == "__main__":
    main()
