"""
Train for your own camera
=========================

A camera that none of the weights know, and ten exposures of one field: that is enough
to show how; for real work take several fields. No cosmic ray has to be marked by hand.
Training needs the extra ``train`` (:ref:`installation`).
"""

# %%
# An unknown camera
# -----------------
# Its silicon is thick, so that cosmic rays are long and end in blobs; its pixels are so
# large that stars fill hardly more than one of them, without the wings that optics
# usually give. To know the truth, we simulate it.
import numpy as np
import torch
from astropy import units as u
from astropy.nddata import CCDData

from astro_deepcr.simulate import Detector, Environment, draw_cosmic_rays

camera = Detector(
    "MYCAM",
    pixel_size=15 * u.um,
    thickness=250 * u.um,
    diffusion=7 * u.um,
    gain=1.6 * u.electron / u.adu,
    read_noise=8 * u.electron,
)
site = Environment.ground(2400 * u.m, worms=3)
side, margin, sky = 256, 8, 150.0
rng = np.random.default_rng(3)


def draw_field():
    """Return the light of 250 stars, in electrons."""
    n = side + 2 * margin
    y, x = np.mgrid[:n, :n]
    light = np.full((n, n), sky)
    for row, column in rng.uniform(0, n, (250, 2)):
        top, left = max(int(row) - 8, 0), max(int(column) - 8, 0)
        near = np.s_[top : top + 17, left : left + 17]
        r2 = (y[near] - row) ** 2 + (x[near] - column) ** 2
        light[near] += 130 / rng.uniform(0.002, 1) * np.exp(-r2 / (2 * 0.6**2))
    return light


def expose(light, offset=(0, 0)):
    """Return a frame in adu, its true cosmic rays, and pixels that hold few of them."""
    row, column = np.add(offset, margin)
    light = light[row : row + side, column : column + side]
    generator = torch.Generator().manual_seed(int(rng.integers(2**31)))
    rays = draw_cosmic_rays((side, side), [camera], [site], 1200, generator=generator)
    charge = rays.charge[0].numpy()
    read_noise = rng.normal(0, 8, light.shape)
    electrons = rng.poisson(light) + charge + read_noise
    frame = CCDData((electrons / 1.6).astype("f4"), unit="adu", meta={"GAIN": 1.6})
    sigma = np.sqrt(light + 8**2)
    hit = charge >= 3 * sigma
    return frame, hit, (charge >= 0.5 * sigma) & ~hit


# %%
# Ten exposures of one field, moved by a few pixels from one to the next. These are all
# that the training will see.
field = draw_field()
offsets = rng.integers(-margin, margin + 1, (10, 2))
exposures = [expose(field, offset)[0] for offset in offsets]

# %%
# Labels from the exposures
# -------------------------
# A star is in all exposures, a cosmic ray in one.
# `~astro_deepcr.training.labels_from_exposures` compares them and says for each pixel
# whether it was hit, or that it cannot tell. The exposures are aligned by the shifts
# that are given here; ``align='wcs'`` takes them from the headers, ``align='register'``
# measures them.
from astro_deepcr.training import labels_from_exposures

labels = labels_from_exposures(exposures, align=offsets[0] - offsets)

# %%
# Look at labels before you train with them. A network learns their mistakes.
import matplotlib.pyplot as plt
from astropy.visualization import simple_norm

norm = simple_norm(exposures[0].data, "asinh", percent=99)
figure, axes = plt.subplots(1, 2, figsize=(9, 4.6), layout="constrained")
axes[0].imshow(exposures[0].data, origin="lower", cmap="gray", norm=norm)
axes[0].set_title("one of the exposures")
shown = labels[0].mask + 0.4 * labels[0].ignore
axes[1].imshow(shown, origin="lower", cmap="gray", vmin=0, vmax=1)
axes[1].set_title("labels: hit (white), unknown (gray)")
plt.show()

# %%
# Fine-tune
# ---------
# Training starts from the bundled weights, and goes sixty steps. A real one takes
# hundreds or thousands. The last exposures, and simulated frames, are held out to
# validate with, and thresholds are calibrated with them. This ``learning_rate`` is ten
# times the default for weights that are tuned, which is careful; what is kept has no
# larger loss on what is held out than the start.
#
# Half of what it sees are simulated frames of all kinds of scenes. The exposures show
# one field; without the others, weights may forget what they knew of other stars.
from pathlib import Path
from tempfile import TemporaryDirectory

from astro_deepcr.training import LabelledFrames, Mixture, SimulatedFrames, fit

source = Mixture([LabelledFrames(labels), SimulatedFrames(every=8, side=128)])
directory = TemporaryDirectory()
mine = fit(
    source,
    Path(directory.name) / "mycam.safetensors",
    start="universal",
    about={"domain": "images of MYCAM"},
    steps=60,
    batch_size=8,
    crop=64,
    learning_rate=3e-4,
    validate_every=20,
    device="cpu",
)
print(mine.name, "|", mine.domain)

# %%
# What was gained
# ---------------
# Three frames of other fields tell; here, their truth is known.
from astro_deepcr import cosmicray_probability
from astro_deepcr.evaluation import PixelScores

tests = [expose(draw_field()) for _ in range(3)]
for weights in ("universal", mine):
    scores = PixelScores()
    for frame, hit, ignore in tests:
        scores.add(cosmicray_probability(frame, weights), hit, ignore)
    curve = scores.curve()
    print(
        f"{getattr(weights, 'name', weights):10} "
        f"average precision {curve.average_precision:.3f}, "
        f"found at a false-positive rate of 0.1 %: {curve.tpr_at(1e-3):.1%}"
    )

# %%
# The file is all that is needed from now on: it knows its architecture, normalisation,
# unit and threshold.
from astro_deepcr import cosmicray_deepcr

frame, hit, _ = tests[0]
cleaned = cosmicray_deepcr(frame, mine)
figure, axes = plt.subplots(1, 2, figsize=(9, 4.6), layout="constrained")
for axis, image, title in zip(
    axes, (frame, cleaned), ("a new frame", "cleaned with mycam"), strict=True
):
    axis.imshow(image.data, origin="lower", cmap="gray", norm=norm)
    axis.set_title(title)
plt.show()
directory.cleanup()

# %%
# The same from the shell
# -----------------------
# Write the labels to files, ``labels[0].to_hdulist().writeto('labels/0.fits')`` and so
# on, and describe the training in a file ``mycam.toml``:
#
# .. code-block:: toml
#
#     start = "universal"
#
#     [weights]
#     name = "mycam"
#     domain = "images of MYCAM"
#
#     [training]
#     steps = 2000
#     learning_rate = 3e-4
#
#     [[data]]
#     source = "frames"
#     files = "labels/*.fits"
#     share = 0.5
#
#     [[data]]
#     source = "simulator"
#     share = 0.5
#     every = 8
#     side = 128
#     processes = 1
#
# ``deepcr train mycam.toml --output mycam.safetensors`` trains, and goes on where it
# was stopped; ``deepcr clean night/ --weights mycam.safetensors`` uses the result.
#
# More on data, options, and several GPUs: :ref:`training`. How labels are made and
# judged: :ref:`labels`.
