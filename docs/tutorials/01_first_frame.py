"""
The first frame in five minutes
===============================

Find the cosmic rays of one frame, look at what was found, and write the result. You
need nothing but an installed astro_deepcr: the weights come with the package.
"""

# %%
# A frame
# -------
# Take a frame that was corrected for bias and flat field, and not resampled::
#
#     ccd = CCDData.read('flat_fielded.fits', unit='adu')
#
# To have something to begin with, we simulate one: a field of stars, exposed for ten
# minutes in a low orbit. Since it is simulated, we know the truth about it.
from astro_deepcr.simulate import make_cosmicray_ccd

ccd, truth = make_cosmicray_ccd((256, 256), seed=4, scene="stars")
print(ccd.unit, ccd.shape, f"{truth.mask.mean():.1%} of the pixels were hit")

# %%
# Clean it
# --------
# One call finds the cosmic rays and replaces the pixels that they hit.
from astro_deepcr import cosmicray_deepcr

cleaned = cosmicray_deepcr(ccd)

# %%
# ``cleaned`` is like ``ccd``, in the same unit. The cosmic rays were added to its mask,
# the hit pixels have new values and new uncertainties, and all the others are the same
# to the last bit.
from astro_deepcr.evaluation import plot_cosmicrays

plot_cosmicrays(ccd, cleaned)

# %%
# What was found
# --------------
# The header says what was done,
for key in ("CRMODEL", "CRTHRESH", "CRFILL", "CRNPIX", "CRFRAC"):
    print(f"{key:8} = {cleaned.meta[key]}")

# %%
# and `~astro_deepcr.cosmicray_events` tells one cosmic ray from the next: where it is,
# how long, and how much charge it left.
from astro_deepcr import cosmicray_events

events = cosmicray_events(ccd, cleaned.mask)
events.sort("charge", reverse=True)
print(len(events), "cosmic rays; the five brightest:")
print(events["x", "y", "pixels", "charge", "length"][:5])

# %%
# Here, where the truth is known, we can tell how good that is: the share of the pixels
# hit that were found, and the share of the others that were flagged. Pixels with less
# than three sigma of charge count as neither.
flagged = cleaned.mask
clean_pixels = ~(truth.mask | truth.ignore)
print(f"found: {flagged[truth.mask].mean():.1%}")
print(f"wrongly flagged: {flagged[clean_pixels].mean():.3%}")

# %%
# Write it
# --------
# Data, mask, and uncertainty go into one file; reading it gives them back.
from pathlib import Path
from tempfile import TemporaryDirectory

from astropy.nddata import CCDData

with TemporaryDirectory() as directory:
    cleaned.write(Path(directory) / "cleaned.fits")
    again = CCDData.read(Path(directory) / "cleaned.fits")
print((again.mask == cleaned.mask).all(), again.meta["CRMODEL"])

# %%
# Next
# ----
# In a reduction, the call stands where ``ccdproc.cosmicray_lacosmic`` stood: see the
# next tutorial. Many files are done by the command ``deepcr clean``: :ref:`batch`.
