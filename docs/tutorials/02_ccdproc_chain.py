"""
In a ccdproc chain: from raw frames to a combined image
=======================================================

Reduce raw frames of a ground-based camera with ccdproc, remove the cosmic rays of each
exposure, and combine the exposures. We compare with ``ccdproc.cosmicray_lacosmic``, and
with the truth, since the frames are simulated. :ref:`ccdproc-chain` has the shortest
chain that works; here are the dark, the flat field and the uncertainties as well, and
the reasons for the order.
"""

# %%
# Raw frames
# ----------
# The camera has a thick CCD, a gain of 1.5 electrons per adu and a read noise of 4
# electrons. We simulate one night: bias frames, darks, flat fields, and four exposures
# of one field. Each exposure has its own cosmic rays, and the telescope did not move in
# between. ``light`` is what the sky sends in one exposure, in electrons.
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from astropy import units as u
from astropy.nddata import CCDData

from astro_deepcr.simulate import make_cosmicray_ccd

shape, gain, readnoise, exptime = (240, 240), 1.5, 4.0, 1200.0
camera = {"detector": "LBNL thick", "environment": "mountain"}
_, scene = make_cosmicray_ccd(shape, seed=11, sky=200 * u.electron, **camera)
light = scene.clean.data

rng = np.random.default_rng(1)
y, x = np.mgrid[:240, :240] / 240 - 0.5
response = (1 - 0.4 * (x**2 + y**2)) * rng.normal(1, 0.01, shape)
response /= response.mean()
dark_rate = np.where(rng.random(shape) < 0.0005, 1.0, 0.005)  # electron / s


def expose(electrons, seconds, hits=0.0):
    """Return the raw frame of an exposure, in adu."""
    signal = rng.poisson(electrons * response + dark_rate * seconds) + hits
    noise = rng.normal(0, readnoise, shape)
    return np.clip((signal + noise) / gain + 1000, 0, 65535).round().astype("uint16")


def write(name, kind, seconds, adu):
    header = {"IMAGETYP": kind, "EXPTIME": seconds, "GAIN": gain, "RDNOISE": readnoise}
    CCDData(adu, unit="adu", meta=header).write(night / f"{name}.fits")


directory = TemporaryDirectory()
night = Path(directory.name)
hits = []
for i in range(4):
    _, truth = make_cosmicray_ccd(
        shape, seed=20 + i, scene="dark", exposure_time=exptime * u.s, **camera
    )
    hits.append(truth.charge.value)
    write(f"light{i}", "light", exptime, expose(light, exptime, hits[i]))
for i in range(9):
    write(f"bias{i}", "bias", 0.0, expose(0.0, 0.0))
    write(f"dark{i}", "dark", exptime, expose(0.0, exptime))
    write(f"flat{i}", "flat", 5.0, expose(30_000.0, 5.0))

# %%
# The darks of a real night hold cosmic rays, too. A clipped combination removes them,
# since they fall on other pixels each time.
#
# Master frames
# -------------
# This is the usual work of ccdproc: a master bias, a master dark and a master flat.
import ccdproc

frames = ccdproc.ImageFileCollection(night)


def master(kind, prepare=lambda ccd: ccd, **options):
    ccds = [prepare(ccd) for ccd in frames.ccds(imagetyp=kind)]
    return ccdproc.combine(
        ccds, sigma_clip=True, sigma_clip_func=np.ma.median, dtype="float32", **options
    )


def subtract(ccd):
    """Subtract the bias and the dark of the right exposure time."""
    ccd = ccdproc.subtract_bias(ccd, bias)
    return ccdproc.subtract_dark(
        ccd, dark, exposure_time="EXPTIME", exposure_unit=u.s, scale=True
    )


bias = master("bias")
dark = master("dark", lambda ccd: ccdproc.subtract_bias(ccd, bias))
dark.header["EXPTIME"] = exptime
flat = master("flat", subtract, scale=lambda data: 1 / np.ma.median(data))

# %%
# Hot pixels belong into the mask before cosmic rays are looked for: one bright pixel is
# what a short cosmic ray looks like, too. Masked pixels are never flagged.
hot = dark.data * gain > 0.2 * exptime
print(hot.sum(), "hot pixels")

# %%
# From raw to flat-fielded
# ------------------------
# ``create_deviation`` makes the uncertainty of each pixel from photon noise and read
# noise. It wants the frame without the bias, which is no signal, and with the dark
# current, whose electrons have photon noise as well. The steps after it propagate the
# uncertainty. All stays in adu: `~astro_deepcr.cosmicray_deepcr` returns the unit that
# it gets.


def reduce(raw):
    """Correct a raw frame up to the flat field."""
    ccd = ccdproc.subtract_bias(raw, bias)
    ccd = ccdproc.create_deviation(
        ccd,
        gain=raw.header["GAIN"] * u.electron / u.adu,
        readnoise=raw.header["RDNOISE"] * u.electron,
        disregard_nan=True,
    )
    ccd = ccdproc.subtract_dark(
        ccd, dark, exposure_time="EXPTIME", exposure_unit=u.s, scale=True
    )
    ccd = ccdproc.flat_correct(ccd, flat)
    ccd.mask = hot.copy()
    return ccd


reduced = [reduce(raw) for raw in frames.ccds(imagetyp="light")]

# %%
# Cosmic rays
# -----------
# This is the place for cosmic rays: after the flat field, before anything that moves or
# mixes pixels.
from astro_deepcr import cosmicray_deepcr

cleaned = [cosmicray_deepcr(ccd) for ccd in reduced]
for ccd in cleaned:
    print(ccd.unit, ccd.header["CRMODEL"], f"{ccd.header['CRFRAC']:.2%} flagged")

# %%
# *After the flat field*, since pixels that are more sensitive than their neighbours,
# dust and the pattern of the bias would look like something in the sky before.
#
# Look at the uncertainty, too. Before, a hit pixel has the photon noise of the charge
# of the cosmic ray, which says nothing about the sky. After, it has the error that the
# network expects of the value that it filled in:
first = cleaned[0].mask & ~hot
for name, ccd in (("before", reduced[0]), ("after", cleaned[0])):
    values = ccd.uncertainty.array[first]
    print(f"{name}: median {np.median(values):.1f}, largest {values.max():.1f} adu")

# %%
# Beside L.A.Cosmic
# -----------------
# The same frame for ``ccdproc.cosmicray_lacosmic`` with its defaults. It needs the gain
# and the read noise. It also multiplies the frame by the gain, unless you pass
# ``gain_apply=False``: the result is in electrons. ``objlim`` protects stars, and is
# the value to tune for each camera and seeing.
lacosmic = ccdproc.cosmicray_lacosmic(
    reduced[0],
    gain=gain * u.electron / u.adu,
    readnoise=readnoise * u.electron,
)
print(reduced[0].unit, "->", lacosmic.unit)

# %%
# A pixel counts as hit if the cosmic rays left three times its noise, and as clean if
# they left less than half of it; what is between counts as neither.
noise = np.sqrt(light * response + dark_rate * exptime + readnoise**2)
hit = (hits[0] > 3 * noise) & ~hot
clean = (hits[0] < 0.5 * noise) & ~hot
on_star = light > np.median(light) + 3 * noise
flagged = {
    "cosmicray_deepcr": cleaned[0].mask & ~hot,
    "cosmicray_lacosmic": lacosmic.mask & ~hot,
}
names = ("found", "missed", "wrong", "wrong on stars")
print(f"{hit.sum()} pixels were hit, {clean.sum()} are clean")
print(" " * 20, *(f"{name:>15}" for name in names))
for name, mask in flagged.items():
    kinds = (mask & hit, ~mask & hit, mask & clean, mask & clean & on_star)
    print(f"{name:20}", *(f"{kind.sum():15}" for kind in kinds))

# %%
# The ``sigclip`` of L.A.Cosmic is 4.5 by default, so that it leaves some of the faint
# pixels by design; a lower value finds more of them, and flags more that is clean.
#
# Both on the same frame, in a part of it:
import matplotlib.pyplot as plt
from astropy.visualization import AsinhStretch, ImageNormalize

part = np.s_[90:230, 20:160]
sky = np.median(reduced[0].data)
norm = ImageNormalize(vmin=sky - 20, vmax=sky + 800, stretch=AsinhStretch(0.05))
figure, axes = plt.subplots(1, 3, figsize=(9.5, 3.5), layout="constrained")
axes[0].imshow(reduced[0].data[part], cmap="gray", norm=norm, origin="lower")
axes[0].set_title("flat-fielded", fontsize=10)
colors = {"found": "tab:green", "missed": "tab:blue", "wrong": "tab:red"}
for axis, (name, mask) in zip(axes[1:], flagged.items(), strict=True):
    axis.imshow(reduced[0].data[part], cmap="gray_r", norm=norm, origin="lower")
    for pixels, color in zip(
        (mask & hit, ~mask & hit, mask & clean), colors.values(), strict=True
    ):
        row, column = np.nonzero(pixels[part])
        axis.plot(column, row, "s", ms=2, color=color)
    axis.set_title(name, fontsize=10)
for axis in axes:
    axis.set(xticks=[], yticks=[])
for name, color in colors.items():
    axes[2].plot([], [], "s", ms=5, color=color, label=name)
_ = axes[2].legend(fontsize=8, loc="lower right")

# %%
# Combine
# -------
# ``ccdproc.combine`` leaves masked pixels out. So a hit pixel gets the average of the
# exposures that were not hit there; the values that stand in the hit pixels do not
# enter. A pixel that is masked in all exposures, as hot ones are, is NaN and masked in
# the result, and numpy warns of it; we expect that.
import warnings


def combine(ccds, method):
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Mean of empty|All-NaN|Degrees of freedom")
        return ccdproc.combine(ccds, method=method)


combined = combine(cleaned, "average")
print("masked in the result:", combined.mask.sum(), "of them hot:", hot.sum())
print("masked in one exposure or more:", np.any([c.mask for c in cleaned], 0).sum())

# %%
# Without a search for cosmic rays there is the median, which loses signal to noise
# everywhere, and the average, which keeps a part of each cosmic ray. Deviations from
# the truth, in units of the noise that an average of four exposures should have:
plain = []
for ccd in reduced:
    ccd = ccd.copy()
    ccd.mask = hot
    plain.append(ccd)
results = {
    "average, not cleaned": combine(plain, "average"),
    "median, not cleaned": combine(plain, "median"),
    "average, cleaned": combined,
}
expected = noise / response / np.sqrt(4)
ever_hit = np.any([charge > 0.5 * noise for charge in hits], axis=0)
deviation = {}
print(f"{'deviation in sigma':24}{'never hit':>12}{'hit':>8}{'largest':>10}")
for name, result in results.items():
    deviation[name] = (result.data * gain - light) / expected
    numbers = [
        deviation[name][where & ~combined.mask] for where in (~ever_hit, ever_hit)
    ]
    rms = [np.sqrt(np.mean(values**2)) for values in numbers]
    print(f"{name:24}{rms[0]:12.2f}{rms[1]:8.2f}{np.abs(numbers[1]).max():10.1f}")

# %%
# In pixels that were hit, the cleaned average is a little noisier than elsewhere, since
# there are fewer exposures in it; the rest is what was missed.
#
# From the raw frame to the result (hot pixels of the combinations are black):
raw = CCDData.read(night / "light0.fits")
panels = {
    "raw": raw.data - 1000.0,
    "flat-fielded, cleaned": cleaned[0].data,
    "average of four, not cleaned": results["average, not cleaned"].data,
    "average of four, cleaned": combined.data,
}
figure, axes = plt.subplots(2, 2, figsize=(7, 7.2), layout="constrained")
for axis, (name, image) in zip(axes.flat, panels.items(), strict=True):
    axis.imshow(image, cmap="gray", norm=norm, origin="lower")
    axis.set_title(name, fontsize=10)
    axis.set(xticks=[], yticks=[], facecolor="black")  # masked in all

# %%
# The uncertainty of the combined frame
# -------------------------------------
# ``ccdproc.combine`` does not use the uncertainties of its inputs. It takes the scatter
# of the values in each pixel, which says little with four of them, and nothing with
# one. The uncertainties that we carried along give a better one, with each masked pixel
# left out:
variance = [np.ma.MaskedArray(ccd.uncertainty.array**2, ccd.mask) for ccd in cleaned]
used = np.sum([~ccd.mask for ccd in cleaned], axis=0)
carried = np.sqrt(np.ma.sum(variance, axis=0)) / np.maximum(used, 1)
good = ~combined.mask
for name, values in (("scatter", combined.uncertainty.array), ("carried", carried)):
    pull = np.asarray((combined.data - light / gain) / np.maximum(values, 1e-3))[good]
    low, high = np.percentile(np.abs(pull), [68.3, 99.7])
    print(f"{name}: 68.3 % of the pulls are below {low:.2f}, 99.7 % below {high:.2f}")

# %%
# They should be 1 and 3.
#
# Before anything is resampled
# ----------------------------
# Dithered exposures have to be aligned, and ``ccdproc.wcs_project`` does that by
# interpolation. It belongs after the search for cosmic rays. Here one exposure is
# shifted by half a pixel first: the hits are blurred as stars are, and each of them
# spoils more pixels. (A pixel counts if it holds three times the noise that it had
# before the shift.)
from scipy import ndimage

moved, half = reduced[1].copy(), (0.5, 0.5)
moved.data = ndimage.shift(moved.data, half, order=3, mode="nearest")
moved_hits = ndimage.shift(hits[1], half, order=3, mode="nearest")
for name, ccd, charge in (
    ("in time", reduced[1], hits[1]),
    ("too late", moved, moved_hits),
):
    mask = cosmicray_deepcr(ccd, inpaint=None).mask & ~hot
    struck = (charge > 3 * noise) & ~hot
    print(f"{name}: {(mask & struck).sum()} of {struck.sum()} pixels found")

# %%
# When a cleaned frame is resampled, its mask must be, too: each hit pixel touches
# several new ones. Pass ``grow=1`` to have a rim around them (:ref:`masks`).
#
# Write it
# --------
# Data, mask and uncertainty of each cleaned exposure go into one file, and so do those
# of the combination.
for i, ccd in enumerate(cleaned):
    ccd.write(night / f"cleaned{i}.fits")
combined.write(night / "combined.fits")
print(sorted(path.name for path in night.glob("c*.fits")))
directory.cleanup()
