# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""How good is a cosmic-ray mask, or a filled pixel: metrics, peers, figures."""

from .._lazy import attach

# name -> the module that defines it; loaded when first used
_PUBLIC = {
    "Evaluation": "comparison",
    "LabelledFrame": "frames",
    "Method": "peers",
    "PixelCurve": "metrics",
    "PixelScores": "metrics",
    "astroscrappy_method": "peers",
    "binned_completeness": "events",
    "compare": "comparison",
    "compare_inpainting": "inpainting",
    "cosmic_conn_method": "peers",
    "deepcr_package_method": "peers",
    "evaluate_files": "comparison",
    "evaluate_methods": "comparison",
    "event_table": "events",
    "find_fits": "frames",
    "get_method": "peers",
    "group_table": "events",
    "inpainting_metrics": "inpainting",
    "lacosmic_method": "peers",
    "labelled_frames": "frames",
    "list_methods": "peers",
    "median_method": "peers",
    "network_method": "peers",
    "plot_completeness": "figures",
    "plot_cosmicrays": "figures",
    "plot_precision_recall": "figures",
    "plot_roc": "figures",
    "read_frame": "frames",
    "read_frames": "frames",
    "reliability_curve": "metrics",
    "save_figures": "figures",
    "summarize": "comparison",
    "wrongly_flagged": "events",
    "wrongly_flagged_objects": "events",
}

__all__ = sorted(_PUBLIC)
__getattr__, __dir__ = attach(__name__, _PUBLIC)
