# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
Time the networks on a GPU, beside what the device could do.

    python benchmarks/speed_gpu.py [--device cuda] [--side 3162] [--weights NAME ...]

For each network: the time of the network alone, on tiles that are on the device; from
a frame in the memory of the host to its probability; and to the cleaned frame. The
roofline has the floating-point operations, the bytes that the convolutions read and
write if each does so once, and the speeds of a product of matrices and of a copy that
were measured in the same run; the share is that of the larger of the two times. Needs
no network and nothing but what this package needs. It runs on a CPU, too.
"""

import argparse
import statistics
import time

import numpy as np
import torch
from _options import print_table
from astropy.table import Table
from torch.utils.flop_counter import FlopCounterMode

import astro_deepcr
from astro_deepcr import conf, inference
from astro_deepcr.devices import resolve_device
from astro_deepcr.simulate import make_cosmicray_ccd
from astro_deepcr.tiling import common_inside, cut_tile, plan_tiles
from astro_deepcr.weights import get_weights


def wait(device):
    """Wait until a device has done what it was told."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def timed(work, device, repeats):
    """Return the median of the seconds that some work takes, warm."""
    spent = []
    for _ in range(repeats + 2):
        wait(device)
        begin = time.perf_counter()
        work()
        wait(device)
        spent.append(time.perf_counter() - begin)
    return statistics.median(spent[2:])


def matmul_speed(device, dtype, repeats):
    """Return the operations of a product of matrices in a second."""
    side = 8192 if device.type == "cuda" else 1024
    a = torch.randn(side, side, device=device).to(dtype)
    return 2 * side**3 / timed(lambda: a @ a, device, repeats)


def copy_speed(device, repeats):
    """Return the bytes that a copy within the device reads and writes in a second."""
    number = 2**29 if device.type == "cuda" else 2**26
    a = torch.zeros(number, dtype=torch.uint8, device=device)
    b = torch.empty_like(a)
    return 2 * number / timed(lambda: b.copy_(a), device, repeats)


def demand(network, x, inside):
    """Return the operations of a network, and the bytes its convolutions move."""
    moved = [0]

    def count(layer, given, result):
        tensors = (given[0], result, layer.weight)
        moved[0] += sum(tensor.nbytes for tensor in tensors)

    layers = [m for m in network.modules() if isinstance(m, torch.nn.Conv2d)]
    hooks = [layer.register_forward_hook(count) for layer in layers]
    with FlopCounterMode(display=False) as counter:
        network(x, inside)
    for hook in hooks:
        hook.remove()
    return counter.get_total_flops(), moved[0]


def device_batches(image, entry, device, dtype):
    """Return the tiles of a frame, in batches on the device, and what is wanted."""
    size = conf.tile_size or inference._TILE_SIZE[device.type]
    number = conf.batch_size or inference._BATCH_SIZE[device.type]
    tiles = plan_tiles(image.shape, size, entry.halo, entry.stride)
    batches = []
    for i in range(0, len(tiles), number):
        some = tiles[i : i + number]
        x = np.stack([cut_tile(image[np.newaxis], tile) for tile in some])
        x = torch.from_numpy(x).to(device, dtype, memory_format=torch.channels_last)
        batches.append((x, common_inside(some)))
    return batches


def measure(name, image, device, args, copied):
    """Return one row of the table."""
    entry = get_weights(name)
    dtype = inference._choose_precision(entry, device)
    if dtype is torch.int8:  # of a processor, whose operations nothing here counts
        dtype, conf.precision = torch.float32, "float32"
    network = inference._load_network(entry, device, dtype)
    batches = device_batches(image, entry, device, next(network.parameters()).dtype)

    def run_network():
        for batch in batches:
            network(*batch)

    with torch.inference_mode():
        alone = timed(run_network, device, args.repeats)
        both = [demand(network, *batch) for batch in batches]
    flop, moved = (sum(values) for values in zip(*both, strict=True))
    peak = matmul_speed(device, dtype, args.repeats)
    limit = max(flop / peak, moved / copied)

    def find():
        astro_deepcr.cosmicray_probability(image, entry, device=args.device)

    def clean():
        astro_deepcr.cosmicray_deepcr(image, entry, device=args.device, max_fraction=1)

    return {
        "weights": name,
        "precision": str(dtype).partition(".")[2],
        "network [ms]": 1e3 * alone,
        "probability [ms]": 1e3 * timed(find, device, args.repeats),
        "cleaned [ms]": 1e3 * timed(clean, device, args.repeats),
        "GFLOP": flop / 1e9,
        "GB": moved / 1e9,
        "TFLOP/s of products": peak / 1e12,
        "roofline [ms]": 1e3 * limit,
        "share": limit / alone,
    }


def main():
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0].strip())
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--side", type=int, default=3162, help="10 megapixels")
    parser.add_argument("--repeats", type=int, default=10)
    parser.add_argument("--weights", nargs="+", default=["universal"])
    parser.add_argument("--weights-dir")
    parser.add_argument("--tile-size", type=int, default=0)
    parser.add_argument("--batch-size", type=int, default=0)
    args = parser.parse_args()
    if args.weights_dir:
        conf.weights_dir = args.weights_dir
    conf.tile_size, conf.batch_size = args.tile_size, args.batch_size
    device = resolve_device(args.device)
    if device.type == "cuda":
        print(torch.cuda.get_device_name(device))
    tile = make_cosmicray_ccd((512, 512), seed=1)[0].data.astype(np.float32)
    number = -(-args.side // 512)
    image = np.tile(tile, (number, number))[: args.side, : args.side]
    image = np.ascontiguousarray(image)
    copied = copy_speed(device, args.repeats)
    print(f"copy {copied / 1e9:.0f} GB/s")
    rows = [measure(name, image, device, args, copied) for name in args.weights]
    print_table(Table(rows), ".3g")


if __name__ == "__main__":
    main()
