# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Run several methods on the same frames, and tabulate how they did."""

from dataclasses import dataclass, field
from time import perf_counter

import numpy as np
from astropy.table import Table, vstack

from .events import event_table, group_table, wrongly_flagged, wrongly_flagged_objects
from .frames import find_fits, read_frames
from .metrics import PixelScores
from .peers import Method, get_method

__all__ = [
    "FALSE_POSITIVE_RATES",
    "Evaluation",
    "compare",
    "evaluate_files",
    "evaluate_methods",
    "summarize",
]

#: At these rates the tables give the true-positive rate.
FALSE_POSITIVE_RATES = (1e-4, 5e-4, 1e-3, 1e-2)


@dataclass(eq=False)
class Evaluation:
    """
    What one method did on the frames of one scenario.

    Parameters
    ----------
    method : Method
        The method.
    scores : PixelScores
        Scores of all pixels.
    events, groups : list of `~astropy.table.Table`
        From `event_table` and `group_table` of each frame, for the mask at the
        method's threshold.
    flagged : dict of str to list of int
        Kind of object or pixel -> how many are wrongly flagged, and how many count.
    example : tuple or None
        The first frame and its scores.
    n_frames, seconds : int, float
        Number of frames, and the time that they took.
    """

    method: object
    scores: PixelScores = field(default_factory=PixelScores)
    events: list = field(default_factory=list)
    groups: list = field(default_factory=list)
    flagged: dict = field(default_factory=dict)
    example: tuple | None = None
    n_frames: int = 0
    seconds: float = 0.0

    def add(self, frame):
        """
        Run the method on a frame and take account of the result.

        Parameters
        ----------
        frame : LabelledFrame
            The frame.
        """
        start = perf_counter()
        score = self.method.score(frame)
        self.seconds += perf_counter() - start
        self.n_frames += 1
        truth, ignore = frame.truth, frame.ignored
        self.scores.add(score, truth, ignore)
        mask = score >= self.method.threshold
        self.events.append(
            event_table(
                mask,
                truth,
                ignore=ignore,
                charge=frame.charge,
                event_id=frame.event_id,
            )
        )
        self.groups.append(group_table(mask, truth, ignore=ignore))
        for kinds, count in (
            (frame.objects, wrongly_flagged_objects),
            (frame.pixels, wrongly_flagged),
        ):
            for kind, where in kinds.items():
                total = self.flagged.setdefault(kind, np.zeros(2, int))
                total += count(mask, where, truth, ignore)
        if self.example is None:
            self.example = frame, score

    @property
    def all_events(self):
        """The events of all frames, as one table."""
        return vstack(self.events, metadata_conflicts="silent")

    @property
    def completeness(self):
        """Share of the events that are found; NaN if there is none."""
        found = self.all_events["found"]
        return float(np.mean(found)) if len(found) else np.nan

    @property
    def purity(self):
        """Share of the flagged groups that are cosmic rays; NaN if there is none."""
        true = np.concatenate([groups["true"] for groups in self.groups])
        return float(np.mean(true)) if len(true) else np.nan


def compare(
    scenarios, methods, *, fprs=FALSE_POSITIVE_RATES, figures=None, progress=None
):
    """
    Compare methods on the frames of several scenarios, each by itself.

    Parameters
    ----------
    scenarios : dict of str to iterable of LabelledFrame
        Name -> frames. Frames are taken one at a time, so that a generator needs
        the memory of one frame.
    methods : sequence of str or Method
        See `get_method`; of different names.
    fprs : sequence of float, optional
        False-positive rates at which the true-positive rate is given.
    figures : path-like or None, optional
        Folder, made if needed, in which the figures of each scenario are saved: ROC,
        precision and recall, completeness, and an example.
    progress : callable or None, optional
        Called with a line of text whenever a frame is done, such as `print`.

    Returns
    -------
    `~astropy.table.Table`
        See `summarize`.

    Raises
    ------
    ValueError
        If there is no scenario, no frame, or no method, or no such method.

    Examples
    --------
    >>> import numpy as np
    >>> from astropy.nddata import CCDData
    >>> from astro_deepcr.evaluation import LabelledFrame, Method, compare
    >>> image = np.random.default_rng(0).normal(50, 3, (32, 32))
    >>> truth = np.zeros(image.shape, bool)
    >>> truth[7, 7:15] = True
    >>> frame = LabelledFrame(CCDData(image + 900 * truth, unit="electron"), truth)
    >>> cut = Method("cut", lambda frame: frame.ccd.data, threshold=500)
    >>> print(compare({"sky": [frame]}, [cut])["scenario", "method", "ap", "purity"])
    scenario method  ap purity
    -------- ------ --- ------
         sky    cut   1      1
    """
    evaluations = evaluate_methods(scenarios, methods, progress=progress)
    if figures is not None:
        from .figures import save_figures

        save_figures(evaluations, figures)
    return summarize(evaluations, fprs)


def evaluate_methods(scenarios, methods, *, progress=None):
    """
    Run methods on the frames of several scenarios, and keep all that was measured.

    Parameters
    ----------
    scenarios, methods, progress
        As in `compare`.

    Returns
    -------
    dict of str to list of Evaluation
        Scenario -> one evaluation for each method.

    Raises
    ------
    ValueError
        As in `compare`.

    Examples
    --------
    >>> from astro_deepcr.evaluation import evaluate_methods
    >>> evaluate_methods({"none": []}, ["astroscrappy"])
    Traceback (most recent call last):
        ...
    ValueError: the scenario 'none' holds no frame
    """
    if isinstance(methods, (str, Method)):
        methods = [methods]
    methods = [get_method(method) for method in methods]
    names = [method.name for method in methods]
    if len(set(names)) < len(names):
        msg = (
            f"Two of the methods {', '.join(names)} have one name; rename one: "
            "dataclasses.replace(method, name='...')."
        )
        raise ValueError(msg)
    if not methods or not scenarios:
        msg = f"{len(scenarios)} scenarios and {len(methods)} methods: nothing to do"
        raise ValueError(msg)
    evaluations = {}
    for scenario, frames in scenarios.items():
        evaluations[scenario] = [Evaluation(method) for method in methods]
        number = 0
        for number, frame in enumerate(frames, 1):
            for evaluation in evaluations[scenario]:
                evaluation.add(frame)
            if progress is not None:
                progress(f"{scenario}: frame {number} {frame.name}")
        if not number:
            msg = f"the scenario {scenario!r} holds no frame"
            raise ValueError(msg)
    return evaluations


def summarize(evaluations, fprs=FALSE_POSITIVE_RATES):
    """
    Tabulate evaluations.

    Parameters
    ----------
    evaluations : dict of str to list of Evaluation
        From `evaluate_methods`.
    fprs : sequence of float, optional
        False-positive rates at which the true-positive rate is given.

    Returns
    -------
    `~astropy.table.Table`
        One row for each scenario and method: ``scenario``, ``method``; ``n_pixels``
        that count and the share ``cr_fraction`` of them that was hit; ``ap``,
        ``best_f1``; ``tpr@F`` for each false-positive rate F, exact, and ``tpr1@F``
        with 1 pixel of tolerance; and for the mask at the method's ``threshold``:
        ``tpr``, ``fpr``, ``completeness`` (events), ``purity`` (groups) and, for
        each kind of object or pixel, the share ``flagged_KIND`` that is wrongly
        flagged. NaN where there is nothing to measure. The number of objects of
        each kind is in ``n_KIND``.

    Examples
    --------
    >>> from astro_deepcr.evaluation import summarize
    >>> len(summarize({}))
    0
    """
    each = [(scenario, e) for scenario, results in evaluations.items() for e in results]
    kinds = dict.fromkeys(kind for _, evaluation in each for kind in evaluation.flagged)
    table = Table([{"scenario": s} | _summary(e, fprs, kinds) for s, e in each])
    for column in table.itercols():
        if column.dtype.kind == "f":
            column.info.format = ".4g"
    return table


def _summary(evaluation, fprs, kinds):
    """Return one row of the table."""
    exact, tolerant = (evaluation.scores.curve(tolerance=t) for t in (0, 1))
    threshold = evaluation.method.threshold
    tpr, fpr, _ = evaluation.scores.rates(threshold)
    n_pixels = exact.n_positive + exact.n_negative
    row = {
        "method": evaluation.method.name,
        "n_pixels": n_pixels,
        "cr_fraction": exact.n_positive / n_pixels,
        "ap": exact.average_precision,
        "best_f1": exact.best_f1,
    }
    row |= {f"tpr@{rate:g}": exact.tpr_at(rate) for rate in fprs}
    row |= {f"tpr1@{rate:g}": tolerant.tpr_at(rate) for rate in fprs}
    row |= {
        "threshold": threshold,
        "tpr": tpr,
        "fpr": fpr,
        "completeness": evaluation.completeness,
        "purity": evaluation.purity,
    }
    for kind in kinds:
        flagged, n = evaluation.flagged.get(kind, (0, 0))
        row |= {f"flagged_{kind}": flagged / n if n else np.nan, f"n_{kind}": n}
    return row


def evaluate_files(paths, methods, *, figures=None, progress=None, **kwargs):
    """
    Compare methods on FITS files that carry their truth.

    Parameters
    ----------
    paths : path-like or sequence of path-like
        Files, or folders of files.
    methods : sequence of str or Method
        See `get_method`.
    figures, progress
        As in `compare`.
    **kwargs
        Arguments of `read_frames`, such as ``dq_bits=4096`` or ``unit="electron"``.

    Returns
    -------
    `~astropy.table.Table`
        See `summarize`; the scenario is the name of the folder, or all of its path if
        two have the same name.

    Raises
    ------
    OSError
        If there is no such file, no FITS file in a folder, or a file is damaged.
    ValueError
        If a file holds no image or no truth, or if there is no such method.

    Examples
    --------
    >>> from astro_deepcr.evaluation import evaluate_files
    >>> table = evaluate_files("night1", ["acs-wfc"], dq_bits=4096)  # doctest: +SKIP
    """
    if isinstance(paths, str) or not np.iterable(paths):
        paths = [paths]
    folders = {}
    for file in dict.fromkeys(file.resolve() for p in paths for file in find_fits(p)):
        folders.setdefault(file.parent, []).append(file)
    names = [folder.name for folder in folders]
    scenarios = {
        folder.name if names.count(folder.name) == 1 else str(folder): (
            frame for file in files for frame in read_frames(file, **kwargs)
        )
        for folder, files in folders.items()
    }
    return compare(scenarios, methods, figures=figures, progress=progress)
