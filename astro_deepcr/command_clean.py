# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""The sub-command ``deepcr clean``."""

import argparse
import os
import sys
import warnings
from importlib.util import find_spec

from .exceptions import TooManyCosmicRaysWarning, WeightsMismatchWarning

__all__ = ["add_arguments", "run"]

# Warnings that are notes of a file, too.
_TOLD = (
    {"category": TooManyCosmicRaysWarning},
    {"category": WeightsMismatchWarning},
    {"message": "The header says that pixels see different colours"},
)


def add_arguments(parser):
    """
    Add the arguments of ``deepcr clean`` to a parser.

    Parameters
    ----------
    parser : `argparse.ArgumentParser`
        It is changed.
    """
    parser.epilog = (
        "Run the same command again after an interruption: what is done is skipped. "
        "Exit code: 0 if all files are clean, 1 if some could not be cleaned or a "
        "value is wrong, 2 for arguments that do not exist."
    )
    # What is not given keeps the default of clean_files or cosmicray_deepcr.
    parser.argument_default = argparse.SUPPRESS
    _add_files(parser)
    _add_choices(parser)
    _add_running(parser)


def _add_files(parser):
    add = parser.add_argument_group("files").add_argument
    add(
        "files",
        nargs="+",
        metavar="FILE",
        help="FITS files, folders, patterns, or @LIST with one in each line; they are "
        "not changed",
    )
    add(
        "-o",
        "--output",
        default=None,
        help="file to write, for one FILE (FILE_cleaned.fits)",
    )
    add("--output-dir", metavar="DIR", help="folder to write to (that of each file)")
    add("--suffix", help="added to the names (_cleaned)")
    add("--overwrite", action="store_true", help="replace other files")
    add(
        "--ext",
        "--hdu",
        action="append",
        help="number, NAME, pattern or NAME,VERSION of the HDUs; can be repeated (all "
        "called SCI, or the primary one, or all images)",
    )
    add("--unit", help="unit of the values (that of BUNIT)")
    add("--bad-bits", type=int, help="sum of the DQ bits of bad pixels (0)")
    add("--bad-pixels", metavar="FILE", help="mask of bad pixels: 0 where good")
    add("--mask-hdu", metavar="NAME", help="HDU for the cosmic rays (CRMASK)")
    add(
        "--dq-bit",
        type=_number_or_text,
        metavar="BIT",
        help="set this bit (4096, hst, jwst, ...) of the DQ planes, instead of writing "
        "a mask HDU; with --mask-hdu do both",
    )
    add(
        "--update-err",
        action="store_true",
        help="put the expected deviation of replaced pixels into the ERR planes, or "
        "UNCERT of files that CCDData wrote",
    )


def _add_choices(parser):
    add = parser.add_argument_group("cosmic rays").add_argument
    add("--weights", help="name, file, or 'auto': by the header (universal)")
    add("--threshold", type=float, help="of the probability (that of the weights)")
    add("--fpr", type=float, help="false-positive rate instead")
    add("--neighbor-threshold", type=float, help="for pixels beside flagged ones")
    add(
        "--orientations",
        type=int,
        metavar="N",
        help="1, 2, 4 or 8 that the network looks in: more accurate, and slower (1)",
    )
    add("--grow", type=float, help="radius in pixels (0)")
    add(
        "--inpaint",
        help="median, mean, idw, biharmonic, or weights that fill; 'none' for a mask "
        "alone (network)",
    )
    add("--gain", type=_number_or_text, help="electrons per adu, or a header keyword")
    add(
        "--exposure-time",
        type=_number_or_text,
        metavar="TIME",
        help="seconds, or a header keyword",
    )
    add(
        "--readnoise",
        type=_number_or_text,
        help="electrons, or a header keyword",
    )
    add("--noise", action="store_true", help="draw noise for replaced pixels")
    add("--max-fraction", type=float, help="warn if more is flagged (0.2)")


def _add_running(parser):
    add = parser.add_argument_group("running").add_argument
    add("--jobs", type=int, metavar="N", help="processes (this one only)")
    add("--scheduler", metavar="ADDRESS", help="of a running Dask cluster, instead")
    add("--device", help="'cpu', 'cuda', 'cuda:1', 'mps' (auto)")
    add("--report", metavar="FILE.html", help="write a report with pictures")
    add("--pixel-size", type=float, metavar="UM", help="for rates in the report")
    add("--environment", help="'sea level', 'L2', ...: for the expected rate")
    add("--dry-run", action="store_true", help="only tell what would be done")
    add("--quiet", action="store_true", default=False, help="print errors only")


def run(options):
    """
    Clean files, and print what became of them.

    Parameters
    ----------
    options : `argparse.Namespace`
        What a parser with `add_arguments` returned.

    Raises
    ------
    ~astro_deepcr.exceptions.BatchError
        If some could not be cleaned; it lists them.
    """
    from .batch import clean_files
    from .batch_files import expand_files
    from .exceptions import BatchError

    given = vars(options).copy()
    files, output, quiet = (given.pop(name) for name in ("files", "output", "quiet"))
    given.pop("run", None)
    if output is not None:
        files = list(expand_files(files))
        if len(files) != 1:
            msg = (
                f"--output is for one file, and here are {len(files)}; use "
                "--output-dir and --suffix instead."
            )
            raise ValueError(msg)
        if given.keys() & {"output_dir", "suffix"}:
            msg = "--output names the whole file; leave --output-dir and --suffix out."
            raise ValueError(msg)
        if output.endswith(("/", os.sep)):
            msg = f"--output={output} is a folder; use --output-dir."
            raise ValueError(msg)
        files = {files[0]: output}
    if given.get("inpaint") == "none":
        given["inpaint"] = None
    if "dq_bit" in given:
        given.setdefault("mask_hdu", None)
    with _Progress(quiet) as progress, warnings.catch_warnings():
        for told in _TOLD:  # after each file, also of those that a worker cleaned
            warnings.filterwarnings("ignore", **told)
        table = clean_files(files, progress=progress, **given)
    if len(table) > 1 and not quiet:
        _print_summary(table)
    failed = table[table["status"] == "failed"]
    if len(failed):
        raise BatchError(_list_failures(failed, len(table)))


def _number_or_text(text):
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            pass
    return text


class _Progress:
    """A bar for many files, and lines for one."""

    def __init__(self, quiet):
        self.quiet = quiet
        self.bar = None
        self.done = 0

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.bar is not None:
            self.bar.close()

    def __call__(self, number, result):
        if self.quiet:
            return
        self.done += 1
        if number == 1:
            _print_frames(result)
        elif sys.stderr.isatty() and find_spec("tqdm") is not None:
            if self.bar is None:
                self.bar = _new_bar(number)
            self.bar.update()
        else:  # a log
            self._tell(f"{self.done}/{number} {result.source}: {result.status}")
        if result.status == "cleaned":
            for warning in result.warnings:
                self._tell(f"{result.source}: {warning}")

    def _tell(self, line):
        write = print if self.bar is None else self.bar.write
        write(line, file=sys.stderr)


def _new_bar(number):
    from tqdm import tqdm

    return tqdm(total=number, unit="file")


def _print_frames(result):
    for frame in result.frames:
        where = f"{result.target}[{frame['hdu']}]: "
        if result.status == "to do":
            print(f"{where}to do")
            continue
        done = " (done before)" if result.status == "skipped" else ""
        print(
            f"{where}{frame['pixels']} pixels ({100 * frame['fraction']:.2f} %) "
            f"flagged by {frame['weights']} at {frame['threshold']:g}, "
            f"fill: {frame['fill']}{done}"
        )


def _print_summary(table):
    table = table.copy()
    table["percent"] = [f"{100 * fraction:.3f}" for fraction in table["fraction"]]
    table["message"] = [_shorten(message) for message in table["message"]]
    names = ["file", "status", "frames", "pixels", "percent", "events", "seconds"]
    lines = table[[*names, "message"]].pformat(max_lines=-1, max_width=-1)
    counts = (f"{sum(table['status'] == s)} {s}" for s in sorted(set(table["status"])))
    sys.stdout.write("\n".join([*lines, ", ".join(counts)]) + "\n")


def _shorten(text, length=60):
    return text if len(text) <= length else text[: length - 3] + "..."


def _list_failures(failed, number):
    if number == 1:
        return str(failed["message"][0])
    lines = [f"{len(failed)} of {number} files failed:", *failed["message"]]
    return "\n  ".join(lines)
