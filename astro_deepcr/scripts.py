# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""The command ``deepcr``. Loads what a sub-command needs only when it runs."""

import argparse
import os
import sys
from pathlib import Path

from . import __version__
from .exceptions import BatchError, DeviceError, TrainingError, WeightsError

__all__ = ["main"]

# What is told in one line; anything else is a mistake of ours.
_ERRORS = (BatchError, DeviceError, TrainingError, WeightsError)
_ERRORS += (ImportError, OSError, TypeError, ValueError)


def main(arguments=None):
    """
    Run the command ``deepcr``.

    Parameters
    ----------
    arguments : list of str, optional
        By default those of the command line.

    Returns
    -------
    status : int
        0 if all went well, 1 after an error, which is printed, and 130 after an
        interruption by the keyboard.

    Examples
    --------
    >>> from astro_deepcr.scripts import main
    >>> main(['weights', 'list', '--task', 'inpaint', '--names'])
    inpaint-acs-wfc-f606w-2-32
    inpaint-acs-wfc-f606w-2-32-scaled
    inpaint-acs-wfc-f606w-3-32
    inpaint-universal
    0
    """
    options = _parser().parse_args(arguments)
    for stream in (sys.stdout, sys.stderr):  # names of files may be no text
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    try:
        options.run(options)
        sys.stdout.flush()
    except BrokenPipeError:  # of 'deepcr weights list | head'
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 128 + 13  # as a shell tells of SIGPIPE
    except _ERRORS as err:
        print(f"deepcr: error: {err}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("deepcr: interrupted", file=sys.stderr)
        return 130
    return 0


def _parser():
    parser = argparse.ArgumentParser(
        prog="deepcr",
        description="Find cosmic rays in CCD frames with deep learning, and replace "
        "the hit pixels.",
    )
    parser.add_argument("--version", action="version", version=__version__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    _add_clean(commands)
    _add_weights(commands)
    _add_evaluate(commands)
    _add_train(commands)
    _add_demo(commands)
    return parser


def _add_clean(commands):
    from . import command_clean

    clean = commands.add_parser("clean", help="clean the frames of FITS files")
    command_clean.add_arguments(clean)
    clean.set_defaults(run=command_clean.run)


def _add_weights(commands):
    weights = commands.add_parser("weights", help="list, fetch or move weights")
    actions = weights.add_subparsers(required=True, metavar="ACTION")
    show = actions.add_parser("list", help="show the zoo")
    show.set_defaults(run=_list_weights)
    show.add_argument("--task", choices=("mask", "inpaint"))
    show.add_argument("--names", action="store_true", help="names only")
    fetch = actions.add_parser("fetch", help="download into astropy's cache")
    fetch.set_defaults(run=_fetch_weights)
    fetch.add_argument("names", nargs="*", help="names (all)")
    export = actions.add_parser("export", help="copy weights files to a directory")
    export.set_defaults(run=_export_weights)
    export.add_argument("directory")
    export.add_argument("names", nargs="*", help="names (all)")
    take = actions.add_parser("import", help="take exported files into the cache")
    take.set_defaults(run=_import_weights)
    take.add_argument("directory")


def _add_evaluate(commands):
    from .evaluation import command

    evaluate = commands.add_parser("evaluate", help="score masks against the truth")
    command.add_arguments(evaluate)
    evaluate.set_defaults(run=command.run)


def _add_train(commands):
    from .training import command

    train = commands.add_parser("train", help="train a network on one's own data")
    command.add_arguments(train)
    train.set_defaults(run=command.run)


def _add_demo(commands):
    demo = commands.add_parser("demo", help="clean a simulated frame")
    demo.set_defaults(run=_demo)
    demo.add_argument("--output-dir", default="deepcr_demo", help="(deepcr_demo)")
    demo.add_argument("--seed", type=int, default=1, help="of the simulation (1)")


def _list_weights(options):
    from .weights import get_weights, list_weights

    for name in list_weights(options.task):
        if options.names:
            print(name)
            continue
        entry = get_weights(name, task=None)
        print(f"{name:28} {entry.task:8} {entry.unit or 'any unit':10} {entry.domain}")


def _fetch_weights(options):
    from .weights import fetch_weights, list_weights

    for name in options.names or list_weights():
        print(f"{name}: {fetch_weights(name)}")


def _export_weights(options):
    from .weights import export_weights

    for path in export_weights(options.directory, options.names or None):
        print(path)


def _import_weights(options):
    from .weights import import_weights

    for name in import_weights(options.directory):
        print(name)


def _demo(options):
    from .demo import run_demo

    for line in run_demo(Path(options.output_dir), options.seed):
        print(line)


if __name__ == "__main__":  # python -m astro_deepcr.scripts, for torchrun
    sys.exit(main())
