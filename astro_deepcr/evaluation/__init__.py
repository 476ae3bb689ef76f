# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""How good is a cosmic-ray mask, or a filled pixel: metrics, peers, figures."""

from .._lazy import attach

# name -> the module that defines it; loaded when first used
_PUBLIC = {
    "PixelCurve": "metrics",
    "PixelScores": "metrics",
    "binned_completeness": "events",
    "event_table": "events",
    "group_table": "events",
    "inpainting_metrics": "inpainting",
    "reliability_curve": "metrics",
    "wrongly_flagged": "events",
    "wrongly_flagged_objects": "events",
}

__all__ = sorted(_PUBLIC)
__getattr__, __dir__ = attach(__name__, _PUBLIC)
