# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
Time this package beside its peers, on one frame and in one run.

    python benchmarks/speed.py [--side 2896] [--threads 2] [--weights-dir DIR] ...

Every method runs in a process of its own, warm; the rounds of all methods alternate, so
that a busy machine harms all of them alike. Printed are medians, the ratio to the first
method, megapixels per second, the peak of the memory above that of the idle process,
and for networks the share of the speed that a product of matrices has in the same
precision. Peers that are not installed are left out,
and bfloat16 where the processor has no instructions for it.
"""

import argparse
import contextlib
import ctypes
import importlib.metadata
import importlib.util
import multiprocessing
import os
import statistics
import threading
import time
import warnings

import numpy as np
import psutil
from _options import PACKAGES

METHODS = {
    "astroscrappy, mask + clean": ("astroscrappy", "astroscrappy"),
    "ccdproc.cosmicray_lacosmic": ("ccdproc", "ccdproc"),
    "lacosmic": ("lacosmic", "lacosmic"),
    "deepCR ACS-WFC, mask": ("deepCR", "deepcr"),
    **{
        f"{weights} {precision}, {'mask + fill' if fill else 'mask'}": (
            None,
            "ours",
            weights,
            precision,
            fill,
        )
        for fill in (None, "network")
        for weights in ("acs-wfc", "universal-fast", "universal")
        for precision in ("float32", "bfloat16", "int8")
        if not (weights == "acs-wfc" and (fill or precision == "int8"))
    },
    "universal auto, mask + fill": (None, "ours", "universal", "auto", "network"),
}


def make_frame(side):
    """Return a frame of stars with cosmic rays, in electrons: tiles of one that is."""
    from astro_deepcr.simulate import make_cosmicray_ccd

    tile = make_cosmicray_ccd((512, 512), seed=1)[0].data.astype(np.float32)
    number = -(-side // 512)
    return np.ascontiguousarray(np.tile(tile, (number, number))[:side, :side])


def prepare(kind, options, args):
    """Return a function of an image that does the work of a method."""
    if kind == "astroscrappy":
        from astroscrappy import detect_cosmics

        return lambda image: detect_cosmics(image, sepmed=False, objlim=5)
    if kind == "ccdproc":
        from ccdproc import cosmicray_lacosmic

        return lambda image: cosmicray_lacosmic(image, gain_apply=False)
    if kind == "lacosmic":
        from lacosmic import remove_cosmics

        return lambda image: remove_cosmics(
            image,
            contrast=5,
            cr_threshold=5,
            neighbor_threshold=0.3,
            effective_gain=1,
            readnoise=5,
        )
    if kind == "deepcr":
        from deepCR import deepCR

        model = deepCR(mask="ACS-WFC", device="CPU")
        return lambda image: model.clean(image, inpaint=False)
    return prepare_ours(*options, args)


def prepare_ours(weights, precision, inpaint, args):
    """Return a function of an image that runs this package."""
    import astro_deepcr

    conf = astro_deepcr.conf
    conf.precision, conf.num_threads, conf.device = precision, args.threads, args.device
    conf.tile_size, conf.batch_size = args.tile_size, args.batch_size
    if args.weights_dir:
        conf.weights_dir = args.weights_dir
    return lambda image: astro_deepcr.cosmicray_deepcr(
        image, weights, inpaint=inpaint, max_fraction=1
    )


def give_memory_back():
    """Let the C library return freed memory to the system, where it can."""
    with contextlib.suppress(AttributeError, OSError, TypeError):
        ctypes.CDLL(None).malloc_trim(0)


def serve(connection, name, args):
    """Run in a process of its own: do the work once for each request."""
    warnings.simplefilter("ignore")
    import torch

    torch.set_num_threads(args.threads)
    work = prepare(METHODS[name][1], METHODS[name][2:], args)
    image = make_frame(args.side)
    work(image[:512, :512].copy())
    process = psutil.Process()
    give_memory_back()  # what the C library keeps counts for each method alike
    idle = process.memory_info().rss
    while connection.recv():
        peak, over = [0], threading.Event()

        def look(peak=peak, over=over):
            while not over.wait(0.005):
                peak[0] = max(peak[0], process.memory_info().rss - idle)

        watch = threading.Thread(target=look)
        watch.start()
        begin = time.perf_counter()
        work(image)
        seconds = time.perf_counter() - begin
        over.set()
        watch.join()
        connection.send((seconds, peak[0] / 2**20))
    connection.close()


def measure(names, args):
    """Return name -> list of (seconds, MiB), after one round that does not count."""
    # Also for those whose OpenMP is not that of torch.
    os.environ["OMP_NUM_THREADS"] = str(args.threads)
    context = multiprocessing.get_context("spawn")
    found = {name: [] for name in names}
    for turn in range(args.rounds):
        for name in names:
            here, there = context.Pipe()
            process = context.Process(target=serve, args=(there, name, args))
            process.start()
            there.close()
            try:
                for repeat in range(args.repeats + 1):
                    here.send(True)
                    result = here.recv()
                    if repeat:
                        found[name].append(result)
                here.send(False)
            except (EOFError, OSError):
                print(f"{name}: failed in round {turn + 1}")
            process.join()
    return found


def matmul_speed(precision, threads):
    """Return the GFLOP/s of a product of matrices: what networks could reach."""
    import torch

    torch.set_num_threads(threads)
    side = 2048
    if precision == "int8":
        a = torch.randint(-9, 9, (side, side), dtype=torch.int8)
        multiply = torch._int_mm
    else:
        a = torch.randn(side, side, dtype=getattr(torch, precision))
        multiply = torch.matmul
    spent = []
    for _ in range(8):
        begin = time.perf_counter()
        multiply(a, a)
        spent.append(time.perf_counter() - begin)
    return 2 * side**3 / min(spent) / 1e9


def kiloflop(weights):
    """Return the thousand floating-point operations of a network for a pixel."""
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    from astro_deepcr.models import build_model
    from astro_deepcr.weights import get_weights

    entry = get_weights(weights)
    network = build_model(entry.architecture, entry.arguments)
    with FlopCounterMode(display=False) as counter, torch.inference_mode():
        network(torch.zeros(1, 1, 64, 64))
    return counter.get_total_flops() / 64**2 / 1e3


def can_run(name, args):
    """Say whether a method is installed, and whether the processor can do it well."""
    from astro_deepcr.devices import cpu_has_bfloat16, cpu_has_int8

    package, _, *options = METHODS[name]
    if "int8" in options:
        return args.device == "cpu" and cpu_has_int8()
    if "bfloat16" in options and args.device == "cpu":
        return cpu_has_bfloat16()
    return package is None or importlib.util.find_spec(package) is not None


def main():
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0].strip())
    parser.add_argument("--side", type=int, default=2896)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=2)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--tile-size", type=int, default=0)
    parser.add_argument("--batch-size", type=int, default=0)
    parser.add_argument("--weights-dir")
    parser.add_argument("--methods", nargs="+", default=list(METHODS))
    args = parser.parse_args()
    names = [name for name in args.methods if can_run(name, args)]
    print(", ".join(f"{p} {importlib.metadata.version(p)}" for p in PACKAGES))
    found = measure(names, args)
    precisions = {p for name in names for p in METHODS[name][3:4]} - {"auto"}
    peaks = {p: matmul_speed(p, args.threads) for p in sorted(precisions)}
    print({key: f"{value:.0f} GFLOP/s in products" for key, value in peaks.items()})
    first = None
    for name in names:
        if not found[name]:
            continue
        seconds = statistics.median(s for s, _ in found[name])
        memory = max(m for _, m in found[name])
        first = first or seconds
        speed = args.side**2 / seconds / 1e6
        line = (
            f"{name:32s} {seconds:7.2f} s {speed:6.2f} Mpix/s x{first / seconds:5.1f}"
        )
        line += f" {memory:6.0f} MiB"
        if METHODS[name][1] == "ours" and METHODS[name][4] is None:
            gflops = kiloflop(METHODS[name][2]) * speed
            line += f" {gflops:6.0f} GFLOP/s"
            share = gflops / peaks[METHODS[name][3]]
            if share < 1:  # torch has no fast product of integers for AVX2
                line += f" {share:4.0%}"
        print(line, flush=True)


if __name__ == "__main__":
    main()
