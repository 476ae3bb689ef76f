# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Set-up of the test suite: what the header prints."""

try:
    from pytest_astropy_header.display import PYTEST_HEADER_MODULES, TESTED_VERSIONS
except ImportError:  # the header is a courtesy
    PYTEST_HEADER_MODULES, TESTED_VERSIONS = {}, {}


def pytest_configure(config):
    """Name the packages whose versions matter in the header."""
    from astro_deepcr import __version__

    PYTEST_HEADER_MODULES.clear()
    for name in ("numpy", "scipy", "astropy", "ccdproc", "torch", "skimage"):
        PYTEST_HEADER_MODULES[name] = name
    TESTED_VERSIONS["astro_deepcr"] = __version__
