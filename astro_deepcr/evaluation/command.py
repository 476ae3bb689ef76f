# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""The sub-command ``deepcr evaluate``."""

import sys
import uuid
from contextlib import contextmanager
from pathlib import Path

__all__ = ["add_arguments", "run"]


def add_arguments(parser):
    """
    Add the arguments of ``deepcr evaluate`` to a parser.

    Parameters
    ----------
    parser : `argparse.ArgumentParser`
        It is changed.
    """
    add = parser.add_argument
    add("paths", nargs="+", help="FITS files with truth, or folders of them")
    add(
        "--methods",
        nargs="+",
        metavar="METHOD",
        help="weights, or peers such as astroscrappy-space (default: the default "
        "weights and astroscrappy-space)",
    )
    add(
        "--dq-bits",
        type=int,
        help="bits of the DQ extension that say 'cosmic ray', such as 4096 (default: "
        "the truth is the extension MASK: bit 1 cosmic ray, 2 ignore, 4 hot pixel)",
    )
    add(
        "--ignore-bits",
        type=int,
        help="bits of the DQ extension whose pixels do not count (default: all others)",
    )
    add("--unit", help="unit of the images, such as adu or electron (default: BUNIT)")
    add("--gain", type=float, help="electrons per adu (default: the header's)")
    add("--readnoise", type=float, help="in electrons (default: the header's, or 5)")
    add("--bias", type=float, default=0.0, help="level to subtract (default: 0)")
    add("--figures", metavar="FOLDER", help="save ROC and other figures there")
    add("--output", metavar="FILE", help="save the table (.ecsv, .csv, .fits, ...)")
    add("--overwrite", action="store_true", help="replace an old table")


def run(args):
    """
    Evaluate methods on files, and print the table.

    Parameters
    ----------
    args : `argparse.Namespace`
        What a parser with `add_arguments` returned.

    Returns
    -------
    `~astropy.table.Table`
        The table that was printed.

    Raises
    ------
    OSError, ValueError
        If the table cannot be saved; that is found out before the work.
    """
    from ..weights.registry import DEFAULT_WEIGHTS
    from .comparison import evaluate_files

    options = ("dq_bits", "ignore_bits", "unit", "gain", "readnoise", "bias")
    with _writer(args.output, args.overwrite) as write:
        table = evaluate_files(
            args.paths,
            args.methods or [DEFAULT_WEIGHTS, "astroscrappy-space"],
            figures=args.figures,
            progress=lambda line: sys.stderr.write(f"{line}\n"),
            **{name: getattr(args, name) for name in options},
        )
        sys.stdout.write("\n".join(table.pformat(max_lines=-1, max_width=-1)) + "\n")
        write(table)
    return table


@contextmanager
def _writer(output, overwrite):
    """Give a function that saves a table, after a trial with an empty one."""
    if output is None:
        yield lambda _: None
        return
    from astropy.io.registry import IORegistryError
    from astropy.table import Table

    output = Path(output)
    if output.exists() and not overwrite:
        msg = f"{output} exists already; choose another name, or pass --overwrite."
        raise FileExistsError(msg)
    part = output.with_name(f".part-{uuid.uuid4().hex[:8]}-{output.name}")

    def write(table):
        table.write(part, overwrite=True)
        part.replace(output)

    try:
        Table({"scenario": ["none"]}).write(part)
        yield write
    except IORegistryError as err:
        msg = f"The ending of {output} is that of no kind of table; take .ecsv or .csv."
        raise ValueError(msg) from err
    finally:
        part.unlink(missing_ok=True)
