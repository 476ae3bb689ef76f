# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
Batches: throughput, memory, a kill in the middle, and a frame larger than the memory.

    python benchmarks/batch.py make FOLDER --files 200 --side 512
    python benchmarks/batch.py throughput FOLDER --jobs 0 1 2
    python benchmarks/batch.py memory FOLDER --files 25 50 100 200 --jobs 2
    python benchmarks/batch.py kill FOLDER --jobs 2
    python benchmarks/batch.py large FOLDER --side 20000

``--jobs 0`` is the process itself, without Dask. Memory is the sum over all processes
of what belongs to them alone, without mapped files, looked at ten times a second.
"""

import argparse
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import psutil
from astropy.io import fits

from astro_deepcr import conf

COMMAND = "import sys; from astro_deepcr.scripts import main; sys.exit(main())"
SETTINGS = "from astro_deepcr import conf; conf.weights_dir = {!r}; "


def main():
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[1])
    actions = parser.add_subparsers(required=True)
    for run in (make, throughput, memory, kill, large):
        action = actions.add_parser(run.__name__, help=run.__doc__.splitlines()[0])
        action.set_defaults(run=run)
        action.add_argument("folder", type=Path)
        action.add_argument("--weights-dir", default="", help="folder of the weights")
        action.add_argument("--weights", default=None)
        many = run is memory
        action.add_argument("--files", type=int, nargs="+" if many else None)
        action.add_argument("--side", type=int, default=512)
        action.add_argument("--chips", type=int, default=2)
        action.add_argument("--block", type=int, default=1024, help="side, for large")
        several = run is throughput
        jobs = [0, 1, 2] if several else 2
        action.add_argument(
            "--jobs", type=int, nargs="+" if several else None, default=jobs
        )
    args = parser.parse_args()
    conf.weights_dir = args.weights_dir
    args.run(args)


def make(args):
    """Simulate files like those of HST, with SCI, ERR and DQ for each chip."""
    from astro_deepcr.simulate import make_cosmicray_ccd

    args.folder.mkdir(parents=True, exist_ok=True)
    shape = (args.side, args.side)
    for number in range(args.files or 200):
        hdus = fits.HDUList([fits.PrimaryHDU()])
        for version in range(1, args.chips + 1):
            ccd, _ = make_cosmicray_ccd(shape, seed=args.chips * number + version)
            header = fits.Header(dict(ccd.meta) | {"BUNIT": "ELECTRONS"})
            planes = {
                "SCI": (ccd.data.astype(np.float32), header),
                "ERR": (ccd.uncertainty.array.astype(np.float32), None),
                "DQ": (4 * ccd.mask.astype(np.int16), None),
            }
            for name, (data, head) in planes.items():
                hdus.append(fits.ImageHDU(data, head, name=name, ver=version))
        hdus.writeto(args.folder / f"f{number:04d}_flt.fits", overwrite=True)
    print(f"{number + 1} files of {args.chips} x {args.side} x {args.side} pixels")


def throughput(args):
    """Time a batch with different numbers of processes."""
    number = len(inputs(args))
    pixels = number * args.chips * args.side**2 / 1e6
    for jobs in args.jobs:
        seconds, peak = watch(start(args, args.folder / "out", jobs))
        print(
            f"jobs {jobs}: {number} files in {seconds:.1f} s with start-up, "
            f"{number / seconds:.2f} files/s, {pixels / seconds:.2f} Mpix/s, "
            f"peak {peak:.2f} GiB"
        )


def memory(args):
    """Measure the peak of memory against the number of files."""
    files = inputs(args)
    for number in args.files or [25, 50, 100, 200]:
        listed = args.folder / "some.txt"
        listed.write_text("\n".join(map(str, files[:number])))
        process = start(args, args.folder / "out", args.jobs, f"@{listed}")
        seconds, peak = watch(process)
        print(f"{number} files: peak {peak:.3f} GiB, {seconds:.1f} s")


def kill(args):
    """Kill a batch twice, go on, and compare with one that was not killed."""
    whole, broken = args.folder / "whole", args.folder / "out"
    total = len(inputs(args))
    watch(start(args, whole, args.jobs))
    shutil.rmtree(broken, ignore_errors=True)
    made = {}
    for share in (0.3, 0.6, 2.0):
        process = start(args, broken, args.jobs, clear=False)
        while process.poll() is None and len(list(broken.glob("f*"))) < share * total:
            time.sleep(0.05)
        process.send_signal(signal.SIGKILL)
        process.wait()
        time.sleep(1)  # the workers notice that they are alone
        found = {p.name: p.stat().st_mtime_ns for p in broken.glob("f*")}
        again = [name for name, when in made.items() if found.get(name) != when]
        print(f"{len(found)} of {total} outputs; made twice: {len(again)}")
        made = found
    same = [p.read_bytes() == (broken / p.name).read_bytes() for p in whole.glob("f*")]
    left = list(broken.glob(".part*"))
    print(f"{sum(same)} of {len(same)} outputs the same; left behind: {len(left)}")


def large(args):
    """Clean a frame that is mapped into memory, block by block."""
    import dask.array as da

    from astro_deepcr import cosmicray_deepcr
    from astro_deepcr.simulate import make_cosmicray_ccd

    args.folder.mkdir(parents=True, exist_ok=True)
    path = args.folder / "large.fits"
    shape = (args.side, args.side)
    tile = make_cosmicray_ccd((500, 500), seed=1)[0].data.astype(">f4")
    header = fits.Header([("SIMPLE", True), ("BITPIX", -32), ("NAXIS", 2)])
    header["NAXIS1"], header["NAXIS2"] = shape
    with path.open("wb") as file:
        file.write(header.tostring().encode())
        strip = np.tile(tile, (1, -(-args.side // 500)))[:, : args.side]
        for row in range(args.side):
            file.write(strip[row % 500].tobytes())
        file.write(b"\0" * (-file.tell() % 2880))
    planes = [
        np.lib.format.open_memmap(args.folder / name, "w+", dtype, shape)
        for name, dtype in (("cleaned.npy", np.float32), ("mask.npy", bool))
    ]
    with fits.open(path, memmap=True) as hdus, Watch() as peak:
        begin = time.perf_counter()
        like = np.empty((0, 0), np.float32)
        data = da.from_array(hdus[0].section, chunks=args.block, meta=like)
        result = cosmicray_deepcr(data, args.weights)
        built = time.perf_counter() - begin
        da.store(list(result), planes, scheduler="threads")
        seconds = time.perf_counter() - begin
    print(
        f"{args.side} x {args.side}: {built:.1f} s to build, {seconds:.1f} s in all, "
        f"peak {peak.value:.2f} GiB, {np.count_nonzero(planes[1])} pixels flagged"
    )


def inputs(args):
    """Return the files that were made."""
    return sorted(args.folder.glob("*_flt.fits"))


def start(args, out, jobs, files=None, *, clear=True):
    """Start ``deepcr clean``."""
    if clear:
        shutil.rmtree(out, ignore_errors=True)
    files = str(args.folder) if files is None else files
    command = ["clean", files, "--output-dir", str(out), "--quiet"]
    command += ["--jobs", str(jobs)] if jobs else []
    command += ["--weights", args.weights] if args.weights else []
    code = SETTINGS.format(args.weights_dir) + COMMAND
    return subprocess.Popen([sys.executable, "-c", code, *command])


def watch(process):
    """Return how long a process takes, and its peak of memory with its children."""
    begin = time.perf_counter()
    with Watch(process.pid) as peak:
        process.wait()
    assert process.returncode == 0
    return time.perf_counter() - begin, peak.value


class Watch:
    """Looks at the memory of a process and of all that it starts."""

    def __init__(self, pid=None):
        self.process = psutil.Process(os.getpid() if pid is None else pid)
        self.value = 0.0
        self.over = threading.Event()
        self.thread = threading.Thread(target=self.look)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.over.set()
        self.thread.join()

    def look(self):
        """Look until it is over."""
        while not self.over.wait(0.1):
            try:
                tree = [self.process, *self.process.children(recursive=True)]
            except psutil.NoSuchProcess:
                return
            self.value = max(self.value, sum(map(anonymous, tree)) / 1024**3)


def anonymous(process):
    """Return the memory that belongs to a process alone, in bytes."""
    try:
        memory = process.memory_info()
    except psutil.NoSuchProcess:
        return 0
    return memory.rss - getattr(
        memory, "shared", 0
    )  # on Linux: mapped files are shared


if __name__ == "__main__":
    main()
