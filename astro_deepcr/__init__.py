# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
Find cosmic rays in single CCD frames with deep learning, and replace them.

The public functions are loaded when they are first used, so that importing this
package costs next to nothing and never loads torch.
"""

import os as _os
import sys as _sys

from astropy import config as _config

from ._lazy import attach as _attach

try:
    from ._version import version as __version__
except ImportError:  # a source tree that was never built
    __version__ = "0+unknown"

# Not empty in a fork of a process that had torch, and may have used it (see `devices`).
_FORKED = []


def _note_fork():
    if "torch" in _sys.modules:
        _FORKED.append(_os.getpid())


if hasattr(_os, "register_at_fork"):
    _os.register_at_fork(after_in_child=_note_fork)

# name -> the module that defines it
_PUBLIC = {
    "clean_collection": "batch",
    "clean_files": "batch",
    "cosmicray_deepcr": "core",
    "cosmicray_events": "events",
    "cosmicray_probability": "core",
    "inpaint_cosmicrays": "core",
}

__all__ = ["Conf", "__version__", "conf", *_PUBLIC]


class Conf(_config.ConfigNamespace):
    """
    Configuration parameters of `astro_deepcr`.

    They say where and how the networks run, not what they find: whatever changes
    more than a few pixels near the threshold is an argument of a function.
    """

    rootname = "astro_deepcr"

    device = _config.ConfigItem(
        "auto",
        "Device that the networks run on: 'auto' (the first GPU that torch can "
        "use, else the CPU), 'cpu', 'cuda', 'cuda:1', 'mps'.",
    )
    precision = _config.ConfigItem(
        ["auto", "float32", "bfloat16", "float16", "int8"],
        "Type of the numbers in the networks. 'auto' is what the device does well; "
        "'float32' gives the same result everywhere; 'int8' needs a CPU with AVX2.",
    )
    num_threads = _config.ConfigItem(
        0,
        "Number of CPU threads during a call; 0 leaves torch's own setting. "
        "Torch's setting is put back after each call.",
    )
    tile_size = _config.ConfigItem(
        0,
        "Side in pixels of the square tiles that a frame is cut into, halo "
        "included; 0 chooses by device. Results do not depend on it.",
    )
    batch_size = _config.ConfigItem(
        0, "Number of tiles given to the network at once; 0 chooses by device."
    )
    weights_dir = _config.ConfigItem(
        "",
        "Directory that is searched for weights files before astropy's download "
        "cache, for computers without a network.",
    )
    mirrors = _config.ConfigItem(
        [],
        "Addresses of directories (https://, file://) tried when a weights "
        "file's own address does not answer.",
        cfgtype="force_list",  # one address is a list, too
    )
    auto_logging = _config.ConfigItem(
        True,
        "Whether cosmicray_deepcr and inpaint_cosmicrays write provenance "
        "keywords into the header; add_keyword=False switches one call off.",
    )


conf = Conf()

__getattr__, __dir__ = _attach(__name__, _PUBLIC, __all__)
