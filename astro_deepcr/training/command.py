# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""The sub-command ``deepcr train``."""

import sys
from pathlib import Path

__all__ = ["add_arguments", "run"]


def add_arguments(parser):
    """
    Add the arguments of ``deepcr train`` to a parser.

    Parameters
    ----------
    parser : `argparse.ArgumentParser`
        It is changed.
    """
    add = parser.add_argument
    add("recipe", metavar="CONFIG.toml", help="what to train, and on which data")
    add("-o", "--output", help="weights file (default: CONFIG.safetensors, here)")
    add("--steps", type=int, help="instead of those of the file")
    add("--seed", type=int, help="instead of that of the file")
    add("--device", help="'cpu', 'cuda', 'cuda:1', 'mps' (auto)")
    add("--log-dir", help="directory of a TensorBoard log")
    add(
        "--restart",
        action="store_true",
        help="do not go on from a checkpoint, and replace a finished file",
    )
    add("--quiet", action="store_true", help="no progress bar")


def run(args):
    """
    Train a network.

    Parameters
    ----------
    args : `argparse.Namespace`
        What a parser with `add_arguments` returned.

    Returns
    -------
    weights : `~astro_deepcr.weights.Weights`
        The entry of the file that was written.

    Raises
    ------
    FileExistsError
        If the training was finished before, unless it is to be started again.
    """
    from .fitting import fit
    from .recipe import read_recipe

    recipe = read_recipe(args.recipe)
    changed = {name: getattr(args, name) for name in ("steps", "seed")}
    recipe |= {name: value for name, value in changed.items() if value is not None}
    output = Path(args.output or f"{Path(args.recipe).stem}.safetensors")
    unfinished = output.with_suffix(".checkpoint").exists()
    if output.exists() and not unfinished and not args.restart:
        msg = (
            f"{output} exists already: its training is finished. Pass --restart to "
            "train it again, or another --output."
        )
        raise FileExistsError(msg)
    weights = fit(
        output=output,
        device=args.device,
        log_dir=args.log_dir,
        resume=not args.restart,
        progress=not args.quiet,
        **recipe,
    )
    for name, value in weights.metrics.items():
        sys.stdout.write(f"{name:20} {value:.5g}\n")
    sys.stdout.write(f"{weights.path}\n")
    return weights
