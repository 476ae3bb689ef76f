"""
Thresholds, probabilities, and protecting stars
===============================================

What a probability means, which threshold to take, how to get the whole of a track, and
how to keep the cores of stars where they look like cosmic rays.
"""

# %%
# A hard frame
# ------------
# In most frames the default threshold does well, and you need not read on. It is
# hardest where stars are crowded and undersampled: the core of a star is then one or
# two pixels wide, with edges as sharp as those of a cosmic ray. We simulate such a
# frame, a globular cluster, so that we know the truth about it.
import matplotlib.pyplot as plt
import numpy as np
from astropy import units as u
from astropy.visualization import simple_norm

from astro_deepcr.simulate import make_cosmicray_ccd

exposure = {"exposure_time": 1000 * u.s}
ccd, truth = make_cosmicray_ccd((256, 256), seed=103, scene="cluster", **exposure)
print(len(truth.star_cores), f"stars; {truth.mask.mean():.1%} of the pixels were hit")

# %%
# Probabilities
# -------------
# The network gives each pixel a probability to be hit. Everything after that is a
# decision of yours.
from astro_deepcr import cosmicray_probability

probability = cosmicray_probability(ccd)

# %%
# A probability of 0.7 should mean: of many such pixels, 70 % are hit. This is true for
# frames like those that the network was trained on, all kinds taken together. It need
# not be true for one kind. `~astro_deepcr.evaluation.reliability_curve` compares: here
# our frame, and for comparison a few of other kinds.
from astro_deepcr.evaluation import PixelScores, reliability_curve

scores = PixelScores()
scores.add(probability, truth.mask, truth.ignore)

others = PixelScores()
for seed, scene in enumerate(("stars", "deep field", "galaxy", "nebula", "long slit")):
    other, known = make_cosmicray_ccd((256, 256), seed=seed, scene=scene, **exposure)
    others.add(cosmicray_probability(other), known.mask, known.ignore)

edges = [0, 0.02, 0.1, 0.3, 0.5, 0.7, 0.9, 0.98, 1]
table = reliability_curve(scores, edges)
for name in ("probability", "observed"):
    table[name].format = ".3f"
print(table)

# %%
# Nearly all pixels have a probability close to 0 or to 1. Those between are the edges
# of tracks, their faint ends, and cores of stars.
figure, axes = plt.subplots(2, 2, figsize=(8, 7.6), layout="constrained")
norm = simple_norm(ccd.data, "asinh", percent=99, asinh_a=0.1)
axes[0, 0].imshow(ccd.data, norm=norm, cmap="gray_r", origin="lower")
axes[0, 1].imshow(truth.mask, cmap="gray_r", origin="lower", interpolation="nearest")
shown = axes[1, 0].imshow(probability, vmin=0, vmax=1, cmap="magma", origin="lower")
figure.colorbar(shown, ax=axes[1, 0], shrink=0.8)
titles = ("frame", "pixels that were hit", "probability")
for axis, title in zip(axes.flat, titles, strict=False):
    axis.set(title=title, xlabel="x (pixel)", ylabel="y (pixel)")
axis = axes[1, 1]
axis.plot([0, 1], [0, 1], color="gray", linewidth=0.8)
for one, label in ((scores, "this cluster"), (others, "other scenes")):
    curve = reliability_curve(one, edges)
    axis.plot(curve["probability"], curve["observed"], "o-", label=label)
axis.set(xlabel="stated probability", ylabel="share that was hit", aspect="equal")
axis.set_title("reliability")
axis.legend()

# %%
# Below the gray line, the network is more certain than it should be. If all your
# frames are of one hard kind, choose the threshold by simulated or labelled frames of
# that kind, as below, or train on them: :ref:`training`.

# %%
# The threshold
# -------------
# Pixels with a larger probability than the threshold are flagged. A low one finds
# more, and flags more that is not a cosmic ray. Here is what each costs: the share of
# hit pixels found, the share of good pixels wrongly flagged, and how many cores of
# stars are flagged that no cosmic ray touches.
from astropy.table import Table

from astro_deepcr.evaluation import wrongly_flagged_objects

cores = np.zeros(ccd.shape, bool)
cores[tuple(truth.star_cores.T)] = True


def judge(mask):
    """Share found, share wrongly flagged, and number of flagged cores."""
    good = ~(truth.mask | truth.ignore)
    flagged, _ = wrongly_flagged_objects(mask, cores, truth.mask, truth.ignore)
    return float(mask[truth.mask].mean()), float(mask[good].mean()), flagged


thresholds = (0.05, 0.1, 0.2, 0.5, 0.8, 0.9, 0.99)
rows = [(limit, *judge(probability > limit)) for limit in thresholds]
table = Table(rows=rows, names=("threshold", "found", "wrong", "cores"))
table["found"].format, table["wrong"].format = ".1%", ".2%"
print(table)

# %%
# The same for all thresholds. Mind that the right-hand panel is logarithmic.
from astro_deepcr.weights import get_weights

weights = get_weights()
limits = np.linspace(0.01, 0.99, 99)
found, wrong, flagged = np.transpose([judge(probability > limit) for limit in limits])

figure, axes = plt.subplots(1, 2, figsize=(9, 3.4), layout="constrained")
axes[0].plot(limits, found, label="hit pixels found")
axes[0].plot(limits, flagged / len(truth.star_cores), label="cores of stars flagged")
axes[0].set(xlabel="threshold", ylabel="share", ylim=(0, 1.02))
axes[1].semilogy(limits, wrong, color="tab:red", label="good pixels wrongly flagged")
axes[1].set(xlabel="threshold", ylabel="share")
for axis in axes:
    axis.axvline(weights.threshold, color="gray", ls=":", label="default")
    axis.legend()

# %%
# Or a rate
# ---------
# A threshold says little about what it costs. ``fpr=`` asks for the cost instead: the
# share of good pixels that may be flagged. The weights know the threshold for it,
# measured on simulated frames that were kept out of the training.
names = ("fpr", "threshold", "found")
points = Table(rows=weights.operating_points, names=names)
points["fpr"].format = ".0e"
points["threshold"].format, points["found"].format = ".4f", ".1%"
print(points)

# %%
# Between these points it is interpolated. The threshold that was taken is in the
# header.
from astro_deepcr import cosmicray_deepcr

strict = cosmicray_deepcr(ccd, fpr=1e-4, inpaint=None)
found, wrong, flagged = judge(strict.mask)
print(f"CRTHRESH = {strict.meta['CRTHRESH']:.4f}")
print(f"found {found:.1%}, wrongly flagged {wrong:.1e} where 1e-4 was asked for")

# %%
# The rate is that of all kinds of frames taken together. A hard field has more false
# positives than you ask for, and an empty one has fewer: ``fpr=`` does not look at your
# frame. It makes different weights comparable, since a threshold of 0.5 of one network
# may be as strict as 0.8 of another.

# %%
# Faint ends of tracks
# --------------------
# A high threshold keeps stars, but cuts tracks short. ``neighbor_threshold`` adds
# pixels above a second, lower threshold if they are connected with a flagged pixel. So
# the ends of a track come back, while a core of a star that stands alone does not.
high = {"threshold": 0.9, "inpaint": None}
masks = {
    "threshold 0.5": cosmicray_deepcr(ccd, threshold=0.5, inpaint=None).mask,
    "0.9": cosmicray_deepcr(ccd, **high).mask,
    "0.9, neighbours 0.2": cosmicray_deepcr(ccd, neighbor_threshold=0.2, **high).mask,
    "0.9, grow=1": cosmicray_deepcr(ccd, grow=1, **high).mask,
}


def show(masks):
    """Make a table of what was found, and what it costs."""
    charge = truth.charge.value
    rows = []
    for name, mask in masks.items():
        left = charge[~mask].sum() / charge.sum()
        rows.append((name, *judge(mask), left))
    table = Table(rows=rows, names=("mask", "found", "wrong", "cores", "charge left"))
    table["found"].format, table["wrong"].format = ".1%", ".2%"
    table["charge left"].format = ".2%"
    print(table)


show(masks)

# %%
# ``grow=1`` adds the four neighbours of each flagged pixel, whatever their probability.
# It costs many good pixels, and leaves less of the charge in the frame. Before you
# resample, that is worth it: resampling spreads what is left beside a track over more
# pixels.
#
# The longest track of the frame, and in red what each mask covers:
from scipy import ndimage

labels, _ = ndimage.label(truth.mask, np.ones((3, 3)))
longest = np.argmax(np.bincount(labels.ravel())[1:])
rows, columns = ndimage.find_objects(labels)[longest]
box = np.s_[
    max(rows.start - 6, 0) : rows.stop + 6, max(columns.start - 6, 0) : columns.stop + 6
]

figure, axes = plt.subplots(1, 4, figsize=(9, 3), layout="constrained")
cut = ccd.data[box]
norm = simple_norm(cut, "asinh", percent=98, asinh_a=0.1)
for axis, (name, mask) in zip(axes, masks.items(), strict=True):
    axis.imshow(cut, norm=norm, cmap="gray_r", origin="lower")
    cover = np.ma.masked_equal(mask[box], 0)
    axis.imshow(cover, cmap="Reds", vmin=0, vmax=1.4, alpha=0.55, origin="lower")
    axis.set(title=name, xticks=[], yticks=[])

# %%
# Protecting stars
# ----------------
# ``protect=`` takes a mask of pixels that are never flagged. Where stars are comes from
# somewhere else: a catalogue, or a combination of several exposures, in which there are
# no cosmic rays. We take the latter, and make it from the truth, with half the noise of
# our frame.
from astropy.stats import sigma_clipped_stats
from photutils.detection import DAOStarFinder

rng = np.random.default_rng(5)
noise = truth.clean.uncertainty.array
combined = truth.clean.data + rng.normal(0, noise / 2)


def find_cores(image):
    """Mask stars, each with the eight pixels around its centre."""
    _, sky, noise = sigma_clipped_stats(image)
    stars = DAOStarFinder(threshold=8 * noise, fwhm=1.5)(image - sky)
    x = np.rint(stars["x_centroid"]).astype(int)
    y = np.rint(stars["y_centroid"]).astype(int)
    protect = np.zeros(image.shape, bool)
    protect[y, x] = True
    print(len(stars), "stars,", truth.mask[y, x].sum(), "of them on a cosmic ray")
    return ndimage.binary_dilation(protect, np.ones((3, 3)))


protect = find_cores(combined)
masks = {
    "default": cosmicray_deepcr(ccd, inpaint=None).mask,
    "protect=": cosmicray_deepcr(ccd, protect=protect, inpaint=None).mask,
}
show(masks)

# %%
# Cores that were flagged before are safe now, as far as they were found in the
# combination. The price is what hits a star, which stays in the frame:
lost = masks["default"] & ~masks["protect="] & truth.mask
print(f"{lost.sum()} hit pixels are kept, since they lie on protected stars,")
print(f"with {truth.charge[lost].sum() / truth.charge.sum():.1%} of all the charge")

# %%
# So do not protect more pixels than you must: the core of a star, not its wings, and
# nothing if the stars are well sampled. A star that was hit shows itself when its
# brightness is compared with that in the other exposures.

# %%
# Where not to take the stars from
# --------------------------------
# Two ways look easier and do not work. In the frame itself, a star finder takes cosmic
# rays for stars, most of all if it looks for narrow ones; they would be protected, too.
# And the cleaned frame lacks just those stars that were wrongly flagged.
for name, image in (("frame", ccd.data), ("cleaned", cosmicray_deepcr(ccd).data)):
    mistaken = find_cores(image)
    masks[f"stars of the {name}"] = masks["default"] & ~mistaken
show(masks)

# %%
# The part of the frame where most pixels were wrongly flagged, without and with the
# stars of the combination protected:
wrong = ndimage.uniform_filter((masks["default"] & ~truth.mask).astype(float), 70)
row, column = np.unravel_index(np.argmax(wrong[35:-35, 35:-35]), (186, 186))
box = np.s_[row : row + 70, column : column + 70]
norm = simple_norm(ccd.data[box], "asinh", percent=99, asinh_a=0.1)
parts = (("cosmic ray", "tab:blue", truth.mask), ("other", "tab:red", ~truth.mask))

figure, axes = plt.subplots(1, 2, figsize=(9, 5.7), layout="constrained")
for axis, name in zip(axes, ("default", "protect="), strict=True):
    axis.imshow(ccd.data[box], norm=norm, cmap="gray_r", origin="lower")
    for label, color, part in parts:
        y, x = np.nonzero((masks[name] & part)[box])
        axis.scatter(x, y, s=16, marker="s", color=color, linewidths=0, label=label)
    axis.set(title=name, xlabel="x (pixel)")
axes[0].set_ylabel("y (pixel)")
handles, labels = axes[0].get_legend_handles_labels()
figure.legend(handles, labels, title="flagged", loc="outside lower center", ncols=2)

# %%
# What to do
# ----------
# * Stars more than two pixels wide: keep the default.
# * Faint parts of tracks are left: ``neighbor_threshold=0.2``, or a lower threshold.
# * Cores of stars are flagged: ``protect=``, with stars from a catalogue or a
#   combination. Without either: a higher ``threshold``, and ``neighbor_threshold``.
# * Before resampling: ``grow=1``.
#
# More about the order in which these are applied: :ref:`masks`.
