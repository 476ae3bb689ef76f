# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""The main job on a simulated frame, for ``deepcr demo``."""

import numpy as np

from .core import cosmicray_deepcr, cosmicray_probability
from .evaluation import plot_cosmicrays
from .simulate import make_cosmicray_ccd
from .weights import get_weights

__all__ = ["run_demo"]


def run_demo(directory, seed=1):
    """
    Simulate a frame, clean it, and write what came out.

    Parameters
    ----------
    directory : `~pathlib.Path`
        Where ``demo_raw.fits``, ``demo_cleaned.fits`` and, with matplotlib,
        ``demo.png`` are written; made if need be.
    seed : int, optional
        Of the simulation.

    Yields
    ------
    line : str
        What to tell the user.
    """
    directory.mkdir(parents=True, exist_ok=True)
    ccd, truth = make_cosmicray_ccd(seed=seed)
    entry = get_weights()
    yield f"A simulated {ccd.meta['INSTRUME']} frame of {ccd.meta['EXPTIME']:g} s."
    cleaned = cosmicray_deepcr(ccd, entry)
    probability = cosmicray_probability(ccd, entry)
    found = cleaned.mask & ~ccd.mask
    untouched = ~(truth.mask | truth.ignore)
    yield (
        f"{entry.name} flagged {np.count_nonzero(found)} pixels: "
        f"{np.mean(found[truth.mask]):.1%} of the {np.count_nonzero(truth.mask)} that "
        f"cosmic rays hit, and {np.mean(found[untouched]):.1e} of the others."
    )
    ccd.write(directory / "demo_raw.fits", overwrite=True)
    cleaned.write(directory / "demo_cleaned.fits", overwrite=True)
    for name in ("demo_raw.fits", "demo_cleaned.fits"):
        yield f"  {directory / name}"
    try:
        figure = plot_cosmicrays(ccd, cleaned, probability)
    except ImportError as err:
        yield f"  No figure. {err}"
    else:
        figure.savefig(directory / "demo.png", dpi=120)
        yield f"  {directory / 'demo.png'}"
