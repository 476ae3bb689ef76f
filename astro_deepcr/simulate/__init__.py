# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Frames with exact cosmic-ray truth, on any device."""

from .._lazy import attach

# name -> the module that defines it; loaded when first used
_PUBLIC = {
    "CosmicRayTruth": "ccd",
    "make_cosmicray_ccd": "ccd",
    "Frames": "frames",
    "simulate_frames": "frames",
    "SCENES": "scenes",
    "TRAINING_MIX": "scenes",
    "read_stamps": "paste",
    "paste_cosmic_rays": "paste",
    "cut_cosmic_rays": "paste",
    "CosmicRays": "cosmic_rays",
    "draw_cosmic_rays": "cosmic_rays",
    "simulate_cosmic_rays": "cosmic_rays",
    "Detector": "detectors",
    "Environment": "environments",
    "Species": "environments",
    "get_detector": "detectors",
    "get_environment": "environments",
    "list_detectors": "detectors",
    "list_environments": "environments",
}

__all__ = sorted(_PUBLIC)
__getattr__, __dir__ = attach(__name__, _PUBLIC)
