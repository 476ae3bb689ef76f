# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Training data and training of new weights."""

from .._lazy import attach

# name -> the module that defines it; loaded when first used
_PUBLIC = {
    "CosmicRayLabels": "labels",
    "LabelledFrames": "data",
    "Mixture": "mixture",
    "PastedCosmicRays": "data",
    "SimulatedFrames": "data",
    "TrainingConfig": "config",
    "fit": "fitting",
    "labels_from_darks": "labels",
    "labels_from_dq": "labels",
    "labels_from_exposures": "labels",
}

__all__ = sorted(_PUBLIC)
__getattr__, __dir__ = attach(__name__, _PUBLIC)
