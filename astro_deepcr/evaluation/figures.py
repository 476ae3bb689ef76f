# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Figures of masks and of metrics, ready to be printed."""

import re
from itertools import chain, count
from pathlib import Path

import numpy as np

from ._checks import as_image, as_mask
from .events import binned_completeness

__all__ = [
    "plot_completeness",
    "plot_cosmicrays",
    "plot_precision_recall",
    "plot_roc",
    "save_figures",
]

# Okabe & Ito's colours, which the colour-blind can tell apart; the line styles
# tell curves apart without colours.
_COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
_STYLES = ("-", "--", "-.", ":")

# One pixel of the frame stays one square.
_SHARP = {"interpolation": "nearest"}

# A mask has one point of an ROC; so has a peer run at a dozen thresholds a dozen.
_FEW_POINTS = 30


def plot_cosmicrays(ccd, cleaned, probability=None, *, mask=None, region=None):
    """
    Show a frame before and after, with what was found.

    Parameters
    ----------
    ccd : `~astropy.nddata.CCDData` or 2-D array_like
        The frame.
    cleaned : `~astropy.nddata.CCDData` or 2-D array_like
        The frame with the cosmic rays removed.
    probability : 2-D array_like or None, optional
        Probability of each pixel; without it there are three panels.
    mask : 2-D array_like of bool or None, optional
        The cosmic rays. By default the pixels that ``cleaned`` masks and ``ccd``
        does not; without masks, those whose values differ.
    region : tuple of slice or None, optional
        Part of the frame to show, such as ``np.s_[100:300, 200:400]``.

    Returns
    -------
    `~matplotlib.figure.Figure`
        The panels "before", "probability", "mask" and "cleaned".

    Raises
    ------
    ValueError
        If the arrays are not 2-D, or differ in shape.

    Examples
    --------
    >>> import numpy as np
    >>> from astro_deepcr.evaluation import plot_cosmicrays
    >>> image = np.random.default_rng(0).normal(10, 1, (50, 50))
    >>> cleaned = image.copy()
    >>> image[20, 10:30] += 100
    >>> figure = plot_cosmicrays(image, cleaned)
    >>> [axes.get_title() for axes in figure.axes]
    ['before', 'mask', 'cleaned']
    """
    from astropy.visualization import AsinhStretch, ImageNormalize

    before = as_image(getattr(ccd, "data", ccd), "ccd")
    after = as_image(getattr(cleaned, "data", cleaned), "cleaned", before.shape)
    mask = _found(ccd, cleaned) if mask is None else mask
    mask = as_mask(mask, "mask", before.shape)
    region = np.s_[:, :] if region is None else region
    low, high = _display_limits(after[region])
    norm = ImageNormalize(vmin=low, vmax=high, stretch=AsinhStretch(0.2), clip=True)
    image = {"cmap": "gray_r", "norm": norm}
    panels = [("before", before, image)]
    if probability is not None:
        probability = as_image(probability, "probability", before.shape)
        limits = {"cmap": "magma", "vmin": 0, "vmax": 1}
        panels.append(("probability", probability, limits))
    panels.append(("mask", mask, {"cmap": "gray_r", "vmin": 0, "vmax": 1}))
    panels.append(("cleaned", after, image))
    return _draw_panels(panels, region)


def plot_roc(curves, *, ax=None, fpr_range=(1e-5, 1e-1)):
    """
    Plot ROC curves: true- against false-positive rate.

    Parameters
    ----------
    curves : dict of str to PixelCurve
        Name -> curve. Curves of few points (peers that give masks) get markers, and
        steps, for nothing lies between two masks.
    ax : `~matplotlib.axes.Axes` or None, optional
        Where to plot; by default a new figure.
    fpr_range : tuple of float, optional
        Range of the false-positive rate, which is shown in the logarithm.

    Returns
    -------
    `~matplotlib.figure.Figure`

    Raises
    ------
    ValueError
        If there is no curve.

    Examples
    --------
    >>> from astro_deepcr.evaluation import PixelScores, plot_roc
    >>> scores = PixelScores()
    >>> scores.add([[0.1, 0.9, 0.4]], [[0, 1, 0]])
    >>> figure = plot_roc({"ours": scores.curve()})
    >>> figure.axes[0].get_xlabel()
    'False-positive rate'
    """
    figure, ax = _axes(ax, curves)
    for (name, curve), look in zip(curves.items(), _looks(), strict=False):
        x = np.concatenate([[0], curve.fpr, [1]])
        y = np.concatenate([[0], curve.tpr, [1]])
        # Steps to the right: what `tpr_at` says of the rates in between.
        ax.step(np.maximum(x, fpr_range[0] / 10), y, where="post", label=name, **look)
        if curve.thresholds.size <= _FEW_POINTS:
            ax.plot(curve.fpr, curve.tpr, "o", ms=3.5, color=look["color"])
    ax.set(xscale="log", xlim=fpr_range, ylim=(0, 1.005))
    ax.set(xlabel="False-positive rate", ylabel="True-positive rate")
    ax.legend(loc="lower right", frameon=False, fontsize="small")
    return figure


def plot_precision_recall(curves, *, ax=None, limits=(0, 1)):
    """
    Plot precision against recall.

    Parameters
    ----------
    curves : dict of str to PixelCurve
        Name -> curve.
    ax : `~matplotlib.axes.Axes` or None, optional
        Where to plot; by default a new figure.
    limits : tuple of float, optional
        Range of both axes.

    Returns
    -------
    `~matplotlib.figure.Figure`

    Raises
    ------
    ValueError
        If there is no curve.

    Examples
    --------
    >>> from astro_deepcr.evaluation import PixelScores, plot_precision_recall
    >>> scores = PixelScores()
    >>> scores.add([[0.1, 0.9, 0.4]], [[0, 1, 0]])
    >>> figure = plot_precision_recall({"ours": scores.curve()})
    >>> figure.axes[0].get_ylabel()
    'Precision'
    """
    figure, ax = _axes(ax, curves)
    for (name, curve), look in zip(curves.items(), _looks(), strict=False):
        few = curve.thresholds.size <= _FEW_POINTS
        marker = {"marker": "o", "ms": 3.5} if few else {}
        ax.plot(curve.recall, curve.precision, label=name, **look, **marker)
    ax.set(xlim=limits, ylim=(limits[0], limits[1] + 0.005))
    ax.set(xlabel="Recall", ylabel="Precision")
    ax.legend(loc="lower left", frameon=False, fontsize="small")
    return figure


def plot_completeness(events, column="charge", *, bins=10, unit=None, ax=None):
    """
    Plot the completeness of events against their charge or size.

    Parameters
    ----------
    events : dict of str to `~astropy.table.Table`
        Name -> table of `event_table`.
    column : str, optional
        ``"charge"`` or ``"size"``.
    bins : int or 1-D array_like, optional
        As in `binned_completeness`.
    unit : str or None, optional
        Unit that the label of the axis names.
    ax : `~matplotlib.axes.Axes` or None, optional
        Where to plot; by default a new figure.

    Returns
    -------
    `~matplotlib.figure.Figure`
        With 68 % intervals.

    Raises
    ------
    ValueError
        If there is no table, or no positive number in the column.

    Examples
    --------
    >>> from astropy.table import Table
    >>> from astro_deepcr.evaluation import plot_completeness
    >>> table = Table({"charge": [20.0, 30.0, 500.0], "found": [False, True, True]})
    >>> figure = plot_completeness({"ours": table}, bins=3, unit="electron")
    >>> figure.axes[0].get_xlabel()
    'Charge of the cosmic ray [electron]'
    """
    from matplotlib.ticker import NullFormatter

    figure, ax = _axes(ax, events)
    for (name, table), look in zip(events.items(), _looks(), strict=False):
        binned = binned_completeness(table, column, bins)
        y = binned["completeness"]
        error = np.maximum([y - binned["lower"], binned["upper"] - y], 0)
        x = np.sqrt(binned["low"] * binned["high"])
        ax.errorbar(x, y, error, label=name, marker="o", ms=3.5, capsize=2, **look)
    label = f"{column.capitalize()} of the cosmic ray"
    ax.set(xscale="log", ylim=(0, 1.02), ylabel="Completeness")
    ax.xaxis.set_minor_formatter(NullFormatter())  # they overlap
    ax.set_xlabel(f"{label} [{unit}]" if unit else label)
    ax.legend(loc="lower right", frameon=False, fontsize="small")
    return figure


def save_figures(evaluations, folder):
    """
    Save the figures of a comparison as PNG files.

    Parameters
    ----------
    evaluations : dict of str to list of Evaluation
        From `evaluate_methods`.
    folder : path-like
        Where to; made if needed.

    Returns
    -------
    list of `~pathlib.Path`
        The files: for each scenario ROC, precision and recall, completeness against
        size or charge, and the example of each method.

    Examples
    --------
    >>> from astro_deepcr.evaluation import save_figures
    >>> paths = save_figures(evaluations, "figures")  # doctest: +SKIP
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for scenario, results in evaluations.items():
        for kind, figure in _comparison_figures(results):
            name = re.sub(r"[^\w.-]+", "-", f"{scenario}-{kind}").lower()
            others = [path.stem for path in paths]
            # Names may differ in what no file has.
            paths.append(folder / f"{_new_name(name, others)}.png")
            figure.savefig(paths[-1], dpi=110, bbox_inches="tight")
            _close(figure)
    return paths


def _new_name(name, others):
    """Return a name that is not among others: with a number, if need be."""
    numbers = (f"{name}-{i}" for i in count(2))
    return next(new for new in chain([name], numbers) if new not in others)


def _comparison_figures(results):
    """Yield the kind and the figure for all figures of one scenario."""
    curves = {e.method.name: e.scores.curve() for e in results}
    yield "roc", plot_roc(curves)
    yield "precision-recall", plot_precision_recall(curves)
    events = {e.method.name: e.all_events for e in results}
    if any(len(table) for table in events.values()):
        known = all(np.isfinite(table["charge"]).all() for table in events.values())
        column = "charge" if known else "size"
        yield "completeness", plot_completeness(events, column)
    for evaluation in results:
        frame, score = evaluation.example
        kind = f"example-{evaluation.method.name}"
        yield kind, _plot_example(frame, score, evaluation.method)


def _plot_example(frame, score, method, size=200):
    """Show the centre of a frame, and which pixels are hits, misses, false alarms."""
    from matplotlib.colors import ListedColormap

    image = np.where(frame.bad, np.nan, frame.ccd.data)
    mask, truth = score >= method.threshold, frame.truth
    outcome = np.where(truth, np.where(mask, 1, 2), np.where(mask, 3, 0))
    outcome[frame.ignored] = 0
    center = tuple(
        slice(max(n // 2 - size // 2, 0), n // 2 + size // 2) for n in image.shape
    )
    low, high = _display_limits(image[center])
    colors = ListedColormap(["white", _COLORS[0], _COLORS[4], _COLORS[1]])
    title = f"{method.name}: found blue, missed amber, false red"
    return _draw_panels(
        [
            (frame.name or "frame", image, {"cmap": "gray_r", "clim": (low, high)}),
            (title, outcome, {"cmap": colors, "clim": (0, 3)}),
        ],
        center,
    )


def _display_limits(image):
    """Levels between which an image is shown: from the sky's noise to 99.5 %."""
    from astropy.stats import mad_std

    good = image[np.isfinite(image)]
    if not good.size:
        return 0.0, 1.0
    sky, noise = np.median(good), mad_std(good)
    high = max(np.percentile(good, 99.5), sky + 20 * noise)
    low = sky - 2 * noise
    return float(low), float(high if high > low else low + 1)


def _found(ccd, cleaned):
    """Pixels that are masked, or changed, in ``cleaned`` and not in ``ccd``."""
    old, new = getattr(ccd, "mask", None), getattr(cleaned, "mask", None)
    if new is not None:
        return new if old is None else new & ~old
    before, after = (np.asarray(getattr(x, "data", x)) for x in (ccd, cleaned))
    return (before != after) & ~(np.isnan(before) & np.isnan(after))


def _draw_panels(panels, region):
    """Draw images side by side, in the coordinates of the whole frame."""
    rows, columns = (
        range(n)[part] for n, part in zip(panels[0][1].shape, region, strict=True)
    )
    aspect = np.clip(len(columns) / len(rows), 0.4, 2.5)
    figure = _new_figure((3.0 * aspect**0.5 * len(panels), 0.9 + 2.7 / aspect**0.5))
    extent = (columns[0] - 0.5, columns[-1] + 0.5, rows[0] - 0.5, rows[-1] + 0.5)
    axes = figure.subplots(1, len(panels), sharex=True, sharey=True, squeeze=False)[0]
    for ax, (title, image, look) in zip(axes, panels, strict=True):
        ax.imshow(image[region], origin="lower", extent=extent, **_SHARP | look)
        ax.set_title(title, fontsize="small")
        ax.tick_params(labelsize="small")
    axes[0].set(xlabel="x [pixel]", ylabel="y [pixel]")
    return figure


def _axes(ax, curves):
    """Return figure and axes to plot into."""
    if not curves:
        msg = "no curve to plot: give a dictionary of names and curves"
        raise ValueError(msg)
    if ax is not None:
        return ax.figure, ax
    figure = _new_figure((4.6, 3.6))
    ax = figure.add_subplot()
    ax.grid(alpha=0.3, lw=0.5)
    return figure, ax


def _new_figure(size):
    try:
        from matplotlib import pyplot as plt
    except ImportError as err:
        msg = "Figures need matplotlib: pip install 'astro_deepcr[plot]'."
        raise ImportError(msg) from err
    return plt.figure(figsize=size, layout="constrained")


def _close(figure):
    from matplotlib import pyplot as plt

    plt.close(figure)


def _looks():
    """Yield the colour and style of one line after another."""
    for number in range(len(_COLORS) * len(_STYLES)):
        style = _STYLES[(number // len(_COLORS) + number) % len(_STYLES)]
        yield {"color": _COLORS[number % len(_COLORS)], "ls": style, "lw": 1.4}
