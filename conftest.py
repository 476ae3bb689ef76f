# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Set-up of the test suite: the weights, without a network, and the header."""

from importlib.util import find_spec
from pathlib import Path

import pytest

try:
    from pytest_astropy_header.display import PYTEST_HEADER_MODULES, TESTED_VERSIONS
except ImportError:  # the header is a courtesy
    PYTEST_HEADER_MODULES, TESTED_VERSIONS = {}, {}


def pytest_configure():
    """Name the packages whose versions matter in the header."""
    from astro_deepcr import __version__, conf

    # Tests compare to the last digits, whatever the computer is good at, and whatever
    # its user has set.
    conf.reset()
    conf.precision, conf.device = "float32", "cpu"

    PYTEST_HEADER_MODULES.clear()
    for name in ("numpy", "scipy", "astropy", "ccdproc", "torch", "skimage"):
        PYTEST_HEADER_MODULES[name] = name
    TESTED_VERSIONS["astro_deepcr"] = __version__


@pytest.fixture(scope="session", autouse=True)
def weights_cache(tmp_path_factory):
    """
    Put the official weights into an astropy cache of the tests' own.

    The distribution ``deepCR`` carries the identical files, so that the real way
    through the cache and the real weights are tested without a network.
    """
    from astropy.config import paths

    from astro_deepcr.weights import import_weights

    carrier = find_spec("learned_models")
    with paths.set_temp_cache(tmp_path_factory.mktemp("cache")):
        if carrier is not None:
            folder = Path(carrier.origin).parent
            for task in ("mask", "inpaint"):
                import_weights(folder / task)
        yield carrier


@pytest.fixture(autouse=True)
def unchanged_zoo():
    """Take weights that a test or an example registers out of the zoo again."""
    from astro_deepcr.weights.registry import REGISTRY

    before = dict(REGISTRY)
    yield
    REGISTRY.clear()
    REGISTRY.update(before)
