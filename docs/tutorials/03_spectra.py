"""
Spectra: long slit and echelle
==============================

In a spectrum, a cosmic ray on the trace of an object becomes an emission line, and a
sharp emission line looks like a cosmic ray. Clean a long-slit frame, extract the
spectrum before and after, compare with L.A.Cosmic on an echelle frame, and see what
``background=`` and ``protect=`` do.
"""

# %%
# A long-slit frame
# -----------------
# Two objects on the slit, in a frame of 15 minutes from a low orbit. One of the objects
# has emission lines; the vertical lines are those of the sky. The network takes both
# directions of dispersion, and needs no wavelength calibration. The frame must not be
# rectified: clean it before anything is resampled.
import numpy as np
from astropy import units as u

from astro_deepcr import cosmicray_deepcr
from astro_deepcr.simulate import make_cosmicray_ccd

stis = {"detector": "STIS", "exposure_time": 900 * u.s}
ccd, truth = make_cosmicray_ccd((200, 300), seed=14, scene="long slit", **stis)
cleaned = cosmicray_deepcr(ccd)

clean_pixels = ~(truth.mask | truth.ignore)


def score(mask):
    """Return the share of hit pixels that were found, and the number of wrong ones."""
    found, wrong = mask[truth.mask].mean(), (mask & clean_pixels).sum()
    return f"{found:.1%} of the hit pixels found, {wrong} flagged wrongly"


print(score(cleaned.mask))

# %%
# Before and after:
import matplotlib.pyplot as plt
from astropy.visualization import AsinhStretch, ImageNormalize

figure, axes = plt.subplots(2, figsize=(7, 8.6), layout="constrained", sharex=True)
norm = ImageNormalize(vmin=0, vmax=3000, stretch=AsinhStretch(0.03))
for axis, (name, one) in zip(
    axes, {"before": ccd, "after": cleaned}.items(), strict=True
):
    axis.imshow(one.data, cmap="gray", norm=norm, origin="lower")
    axis.set(title=name, ylabel="row (pixel)")
_ = axes[1].set_xlabel("column (pixel), along the dispersion")

# %%
# The extracted spectrum
# ----------------------
# We extract the object with emission lines in the simplest way: the sum of the rows of
# its trace, less the sky in the rows beside it. The same is done with the frame before,
# the cleaned one, and the truth, which has neither cosmic rays nor noise.
trace, sky = np.s_[94:103], np.r_[105:112, 84:92]


def extract(image):
    rows = image[trace]
    return rows.sum(axis=0) - len(rows) * np.median(image[sky], axis=0)


frames = {"before": ccd, "after": cleaned, "truth": truth.clean}
spectra = {name: extract(one.data) for name, one in frames.items()}
noise = np.sqrt((truth.clean.uncertainty.array[trace] ** 2).sum(axis=0))
errors = {name: (spectra[name] - spectra["truth"]) / noise for name in frames}
saturated = (ccd.data[trace] >= 0.99 * ccd.meta["SATURATE"]).any(axis=0)
for name in ("before", "after"):
    wrong = np.abs(errors[name][~saturated])
    print(
        f"{name}: {(wrong > 5).sum()} columns off by 5 sigma, at most {wrong.max():.0f}"
    )

# %%
# Columns with a saturated pixel do not count, since no cosmic ray is to blame for them.
colors = {"before": "tab:red", "after": "black", "truth": "tab:green"}
figure, axes = plt.subplots(2, figsize=(8, 6), layout="constrained", sharex=True)
for name, color in colors.items():
    axes[0].plot(spectra[name] / 1000, color=color, lw=1, label=name)
for name in ("before", "after"):
    error = np.where(saturated, np.nan, errors[name])
    axes[1].plot(error, color=colors[name], lw=0.8, label=name)
axes[0].set(ylabel="flux (1000 electrons)", yscale="log")
axes[1].set(ylabel="error (sigma)", xlabel="column (pixel)")
for axis in axes:
    axis.legend(fontsize=8)

# %%
# A sharp peak in the lower panel that is there before and gone after is a cosmic ray
# that was removed; one that stays was missed. On a bright trace a faint cosmic ray
# drowns in the photon noise, and a pixel of the trace that was hit is filled from its
# neighbours, which is harder there than on the sky. :ref:`inpainting` has numbers.
#
# Emission lines
# --------------
# They must come through. Their fluxes above the continuum, in a window of 13 columns:
from scipy import ndimage

continuum = ndimage.median_filter(spectra["after"], 61, mode="nearest")
smooth = ndimage.gaussian_filter1d(spectra["after"], 1.5)
highest = smooth == ndimage.maximum_filter1d(smooth, 25)
lines = np.nonzero(highest & (smooth > 2 * continuum))[0]
print(f"{'column':>8}{'before':>10}{'after':>10}{'truth':>10}{'noise':>8}")
for line in lines:
    window = slice(max(line - 6, 0), line + 7)
    flux = [(spectra[name] - continuum)[window].sum() for name in frames]
    total = np.sqrt((noise[window] ** 2).sum())
    print(f"{line:8}" + "".join(f"{value:10.0f}" for value in flux) + f"{total:8.0f}")

# %%
# Where "before" and "after" differ from the truth alike, by more than the noise, the
# line is saturated, or a cosmic ray on it was missed.
#
# background=
# -----------
# A model of the sky lines can be subtracted for the search: the network looks at the
# frame without it, and the result has it again. The model is in the unit of the frame
# and as large as it. Here it is a running median along the slit, which follows lines
# that are not too tilted and does not contain the objects.
model = ndimage.median_filter(ccd.data, size=(31, 1), mode="nearest")
subtracted = cosmicray_deepcr(ccd, background=model)
print("without a model:", score(cleaned.mask))
print("running median: ", score(subtracted.mask))
perfect = cosmicray_deepcr(ccd, background=truth.clean.data)
print("perfect model:  ", score(perfect.mask))

# %%
# The perfect model is the truth, sky and objects, as no one has it. Look at both
# numbers before you decide. A line that was subtracted leaves its photon noise behind,
# and the errors of the model, and nothing tells the network any more that this place
# was bright: both may be taken for cosmic rays. Weights that were trained on spectra,
# as the default ones were (:ref:`universal`), know lines already, and do better with
# the lines still there. A model is for weights that were trained on images alone.
#
# Nothing has to be subtracted from the result:
untouched = ~subtracted.mask
print((subtracted.data[untouched] == ccd.data[untouched]).all())

# %%
# Sharp lines in an echelle, and L.A.Cosmic
# -----------------------------------------
# L.A.Cosmic looks for edges that are sharper than those of the point-spread function,
# by a Laplacian filter, and compares with the fine structure that a median filter
# shows. In a spectrum, lines and orders have such edges as well. An echelle frame with
# many lines:
import ccdproc

ccd, truth = make_cosmicray_ccd((200, 300), seed=12, scene="echelle", **stis)
clean_pixels = ~(truth.mask | truth.ignore)
masks = {"cosmicray_deepcr": cosmicray_deepcr(ccd, inpaint=None).mask}
for objlim in (5, 20):
    masks[f"cosmicray_lacosmic, objlim={objlim}"] = ccdproc.cosmicray_lacosmic(
        ccd,
        gain=1.0,  # the frame is in electrons already
        readnoise=ccd.meta["RDNOISE"],
        satlevel=ccd.meta["SATURATE"],
        objlim=objlim,
    ).mask
for name, mask in masks.items():
    print(f"{name:30}", score(mask))

# %%
# A larger ``objlim`` protects structure, and lets cosmic rays on it go. Those who use
# L.A.Cosmic on spectra subtract a model of sky and objects before (``inbkg``), as its
# author proposed; its quality then decides. Where the pixels are that were flagged
# wrongly:
part = np.s_[40:160, 60:240]
norm = ImageNormalize(vmin=0, vmax=6000, stretch=AsinhStretch(0.05))
shown = list(masks.items())[:2]
figure, axes = plt.subplots(2, figsize=(7, 9.4), layout="constrained")
for axis, (name, mask) in zip(axes, shown, strict=True):
    axis.imshow(ccd.data[part], cmap="gray", norm=norm, origin="lower")
    marks = {"found": mask & truth.mask, "wrong": mask & clean_pixels}
    for (kind, pixels), color in zip(marks.items(), ("lime", "red"), strict=True):
        row, column = np.nonzero(pixels[part])
        axis.plot(column, row, "s", ms=2, color=color, label=kind)
    axis.set(title=name, xticks=[], yticks=[])
    axis.legend(fontsize=8, loc="upper right")

# %%
# protect=
# --------
# Where you know that lines are, from other exposures of the same setting, you may
# forbid that they are touched: pixels in ``protect`` are never flagged. In place of
# such a template we take the truth, and protect what is sharp and bright in it.
light = truth.clean.data
sharp = light - ndimage.median_filter(light, size=(1, 15), mode="nearest")
protect = sharp > 10 * truth.clean.uncertainty.array
protected = cosmicray_deepcr(ccd, inpaint=None, protect=protect).mask
print(f"{protect.mean():.1%} of the pixels are protected")
for name, mask in {**masks, "cosmicray_deepcr, protect": protected}.items():
    wrong = (mask & clean_pixels & protect).sum()
    left = (truth.mask & protect & ~mask).sum()
    print(f"{name:30} {wrong:4} wrong on lines, {left:4} hit pixels left on lines")

# %%
# The price is that a cosmic ray on a protected line stays. So protect the few lines
# that your measurement depends on, not the whole trace.
#
# Next
# ----
# Tracing, wavelength calibration and extraction go on as before: unit, header and pixel
# grid are those of the frame. Leave the pixels in ``cleaned.mask`` out of an optimal
# extraction: their uncertainty, which is that of a guess of the light and not of a
# reading, would give them too much weight.
