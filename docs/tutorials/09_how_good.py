"""
How good is it? Beside L.A.Cosmic and deepCR
============================================

Compare methods on your kind of frames, pixel by pixel and event by event, before you
trust one of them. This is how the tables of :ref:`evaluation` and :ref:`universal` were
made, on fewer and smaller frames.
"""

# %%
# Frames whose truth is known
# ---------------------------
# Two kinds of scenes, exposed for 500 seconds by a camera in a low orbit. Frames of
# your own go just as well: give their labels to
# `~astro_deepcr.evaluation.LabelledFrame`.
import torch

from astro_deepcr.evaluation import labelled_frames
from astro_deepcr.simulate import get_detector, get_environment, simulate_frames

scenarios = {}
for seed, scene in enumerate(("stars", "long slit")):
    frames = simulate_frames(
        2,
        (192, 192),
        scenes=scene,
        detectors=get_detector("ACS/WFC"),
        environments=get_environment("low Earth orbit"),
        exposure_times=500.0,
        generator=torch.Generator().manual_seed(50 + seed),
    )
    scenarios[scene] = list(labelled_frames(frames))

# %%
# Methods
# -------
# The name of weights, or of a peer that is installed. ``astroscrappy-space`` is
# L.A.Cosmic with the settings that do best in undersampled images; its detection limit
# is varied, as the threshold of a network is.
#
# .. note::
#    The weights ``universal`` were trained on this simulator, with other seeds. That
#    helps them here. :ref:`universal` has the same table for scenes and cosmic rays
#    that no network has seen, beside deepCR. Weights of deepCR are added by their
#    names, like ``acs-wfc``; they are downloaded when they are first used.
from astro_deepcr.evaluation import evaluate_methods, summarize

methods = ["universal", "astroscrappy-space"]
results = evaluate_methods(scenarios, methods)

# %%
# The table
# ---------
# Pixels first: average precision, and the share of the hit pixels that is found where
# one in a thousand of the others is flagged; exactly (``tpr``), and without the pixels
# that touch a cosmic ray (``tpr1``). Then, at the threshold of each method, events: how
# many were found at all, and how many of the groups of flagged pixels lie on one. Last,
# the share of the cores of stars and galaxies that is flagged.
table = summarize(results)
columns = ("scenario", "method", "ap", "tpr@0.001", "tpr1@0.001")
print(table[columns])
print()
print(table["method", "completeness", "purity", "flagged_cores", "n_cores"])

# %%
# Curves
# ------
# One threshold is one point of a curve. L.A.Cosmic gives a mask and no probability: its
# curve has a point for each detection limit.
import matplotlib.pyplot as plt

from astro_deepcr.evaluation import plot_roc

figure, axes = plt.subplots(1, 2, figsize=(10, 4.5), layout="constrained")
for axis, (scene, evaluations) in zip(axes, results.items(), strict=True):
    curves = {one.method.name: one.scores.curve() for one in evaluations}
    plot_roc(curves, ax=axis)
    axis.set_title(scene)
plt.show()

# %%
# What is missed? Mostly events of little charge.
from astro_deepcr.evaluation import plot_completeness

figure, axes = plt.subplots(1, 2, figsize=(10, 4.5), layout="constrained")
for axis, (scene, evaluations) in zip(axes, results.items(), strict=True):
    events = {one.method.name: one.all_events for one in evaluations}
    plot_completeness(events, bins=8, unit="electron", ax=axis)
    axis.set_title(scene)
plt.show()

# %%
# What to compare on
# ------------------
# Frames like yours. A method that leads on one kind of frame may be last on another,
# and a single number for all of them tells neither. ``deepcr evaluate FOLDER`` does the
# same for FITS files with labels, and writes the table and the figures.
