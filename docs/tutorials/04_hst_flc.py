"""
HST _flc files: DQ bits and drizzling
=====================================

Find the cosmic rays of one ACS/WFC exposure and note them in its DQ planes, so that
AstroDrizzle leaves them out. One exposure is enough: nothing has to be compared with
others. What is said here holds for ``_flt`` files and for WFC3/UVIS as well.
"""

# %%
# A file like an _flc
# -------------------
# A real one comes from the archive. For this page we simulate a small one, with the
# same HDUs: two chips, each with SCI, ERR and DQ, and a table behind them. Some pixels
# have DQ bits from the calibration, 16 for hot and 64 for warm pixels; and some have
# the bit 4096, which AstroDrizzle set in the pipeline of the archive.
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from astropy.io import fits
from astropy.table import Table

from astro_deepcr.flags import HST
from astro_deepcr.simulate import make_cosmicray_ccd

rng = np.random.default_rng(3)
hdus = [fits.PrimaryHDU()]
hdus[0].header.update(
    TELESCOP="HST", INSTRUME="ACS", DETECTOR="WFC", FILTER1="F606W", FILTER2="CLEAR2L",
    EXPTIME=600.0, ROOTNAME="jtest01aq", CCDGAIN=2.0,
)  # fmt: skip
truths = []
for version in (1, 2):
    ccd, truth = make_cosmicray_ccd((220, 300), seed=3 + version, scene="stars")
    truths.append(truth)
    dq = np.zeros(ccd.shape, np.int16)
    for bit, number in ((HST.HOT, 40), (HST.WARM, 40), (HST.CR_DRIZZLE, 40)):
        row, column = rng.integers(0, ccd.shape, (number, 2)).T
        dq[row, column] |= bit
    ccd.data[(dq & HST.HOT) != 0] += 400  # electrons
    planes = {"SCI": ccd.data, "ERR": ccd.uncertainty.array, "DQ": dq}
    for name, data in planes.items():
        header = ccd.wcs.to_header()
        header.update(EXPNAME="jtest01aq", CCDCHIP=3 - version)
        if name != "DQ":
            header["BUNIT"] = "ELECTRONS"
        hdus.append(fits.ImageHDU(data, header, name=name, ver=version))
table = Table({"CHIP": [1, 2], "ORDER": [4, 4]})
hdus.append(fits.BinTableHDU(table, name="WCSCORR"))
directory = TemporaryDirectory()
flc = Path(directory.name) / "jtest01aq_flc.fits"
fits.HDUList(hdus).writeto(flc)
print([f"{hdu.name},{hdu.ver}" for hdu in hdus[1:]])

# %%
# Old flags first
# ---------------
# ``deepcr clean`` adds a bit to the DQ planes. It takes none away. Files of the archive
# have the bit 4096 already where AstroDrizzle compared exposures; if you want the
# cosmic rays of the network alone, clear it before. In DrizzlePac,
# ``drizzlepac.resetbits.reset_dq_bits(file, 4096)`` does that; it is three lines of
# astropy, in a copy:
copy = flc.with_name("jtest01aq_clear_flc.fits")
with fits.open(flc) as file:
    for version in (1, 2):
        dq = file["DQ", version].data
        print(f"DQ,{version}: {np.count_nonzero(dq & 4096)} pixels with the bit 4096")
        dq &= ~4096
    file.writeto(copy)

# %%
# Clean
# -----
# In the shell::
#
#     deepcr clean jtest01aq_clear_flc.fits -o jtest01aq_new_flc.fits \
#         --dq-bit hst --bad-bits 2452
#
# ``--dq-bit hst`` is the bit 4096, "cosmic ray found by AstroDrizzle"
# (`astro_deepcr.flags` has the other names). ``--bad-bits 2452`` is the sum of 4, 16,
# 128, 256 and 2048: bad and hot pixels, bad columns and two kinds of saturated pixels
# are known to be bad, the network does not look at them, and they are not flagged as
# cosmic rays. (Our small file has only hot ones.) The input is never changed. The same
# from Python:
from astro_deepcr.scripts import main

new = flc.with_name("jtest01aq_new_flc.fits")
command = ["clean", str(copy), "-o", str(new), "--dq-bit", "hst", "--bad-bits", "2452"]
status = main([*command, "--quiet"])
print("exit code", status)

# %%
# Without ``--quiet``, the command tells how many pixels it flagged in each chip. The
# headers say it, too:
with fits.open(new) as file:
    for version in (1, 2):
        header = file["SCI", version].header
        print(f"SCI,{version}:", {key: header[key] for key in ("CRMODEL", "CRNPIX")})

# %%
# What has changed, and what has not
# ----------------------------------
# Only SCI and DQ have changed: DQ by the new bit, SCI in the flagged pixels, whose
# values were replaced.
with fits.open(copy) as before, fits.open(new) as after:
    for version in (1, 2):
        old, dq = before["DQ", version].data, after["DQ", version].data
        found = (dq & 4096) != 0
        same = before["SCI", version].data == after["SCI", version].data
        print(f"chip {version}:")
        print("  other bits are kept:", ((dq & ~4096) == old).all())
        print("  SCI is the same where not flagged:", same[~found].all())
        print("  hot pixels flagged:", (found & ((old & HST.HOT) != 0)).sum())
        truth = truths[version - 1]
        clean = ~(truth.mask | truth.ignore)
        print(f"  found: {found[truth.mask].mean():.1%} of the hit pixels,", end=" ")
        print(f"wrongly flagged: {found[clean].mean():.3%} of the others")
    for number, (one, two) in enumerate(zip(before, after, strict=True)):
        if one.name not in ("SCI", "DQ"):
            kept = repr(one.header) == repr(two.header) and (
                one.data is None or (one.data == two.data).all()
            )
            print(f"HDU {number}, {one.name},{one.ver}: the same: {kept}")
    keys = [key for key in before["SCI", 1].header if key not in ("", "COMMENT")]
    lost = [
        key
        for key in keys
        if before["SCI", 1].header[key] != after["SCI", 1].header.get(key)
    ]
    print("keywords of SCI (WCS, EXPNAME, ...) that were lost or changed:", lost)

# %%
# ERR is the same, also where SCI was replaced: there it is still the error of the pixel
# with the cosmic ray. ``--update-err`` puts the expected deviation of the new value
# there. If you want the flags alone and SCI as it was, add ``--inpaint none``: for
# drizzling it makes no difference, since flagged pixels are left out.
#
# Chip 1 before, its DQ, and after:
import matplotlib.pyplot as plt
from astropy.visualization import AsinhStretch, ImageNormalize

part = np.s_[20:200, 40:260]
with fits.open(copy) as before, fits.open(new) as after:
    dq = after["DQ", 1].data[part]
    images = [file["SCI", 1].data[part] for file in (before, after)]
norm = ImageNormalize(vmin=40, vmax=2000, stretch=AsinhStretch(0.05))
figure, axes = plt.subplots(1, 3, figsize=(10, 3.4), layout="constrained")
for axis, image, title in zip(
    axes[::2], images, ("SCI,1 before", "SCI,1 after"), strict=True
):
    axis.imshow(image, cmap="gray", norm=norm, origin="lower")
    axis.set_title(title, fontsize=10)
axes[1].imshow(np.ones(dq.shape), cmap="gray", vmin=0, vmax=1, origin="lower")
for bit, name, color, size in (
    (4096, "4096, cosmic ray", "black", 1.5),
    (16, "16, hot", "tab:red", 3),
    (64, "64, warm", "tab:orange", 3),
):
    row, column = np.nonzero(dq & bit)
    axes[1].plot(column, row, "s", ms=size, color=color, label=name)
axes[1].set_title("DQ,1 after", fontsize=10)
figure.legend(fontsize=8, loc="outside lower center", ncols=3, markerscale=1.5)
for axis in axes:
    axis.set(xticks=[], yticks=[])

# %%
# Hot pixels stay in SCI: they were masked for the search, and are left to DQ.
#
# Drizzle
# -------
# AstroDrizzle leaves a pixel out if its DQ has a bit that is not listed in
# ``final_bits``; those listed there count as good. These settings matter, so that our
# flags are used::
#
#     from drizzlepac.astrodrizzle import AstroDrizzle
#
#     AstroDrizzle(
#         'jtest01aq_new_flc.fits',
#         resetbits=0,          # the default, 4096, would delete our flags first
#         driz_separate=False,  # these four steps find cosmic rays by comparison;
#         median=False,         # they need several exposures
#         blot=False,
#         driz_cr=False,
#         final_bits='64',      # which bits are good is your choice, but not 4096
#     )
#
# ``resetbits`` is the one that is forgotten: AstroDrizzle clears the bit 4096 in its
# input when it begins, unless it is told not to. With several exposures you may let
# both work: keep ``resetbits=0``, switch the four steps on, and AstroDrizzle adds what
# it finds to the flags. Then use ``driz_sep_bits`` without 4096 as well, so that its
# median image is made without the flagged pixels. AstroDrizzle writes to its input, so
# give it a copy.
#
# Which pixels will be left out can be computed before. The chosen bits are those of
# `astropy.nddata.bitmask`, whose ``ignore_flags`` is what DrizzlePac calls
# ``final_bits``:
from astropy.nddata.bitmask import bitfield_to_boolean_mask

with fits.open(new) as file:
    for final_bits in (64, 64 + 4096):
        out = bitfield_to_boolean_mask(file["DQ", 1].data, ignore_flags=final_bits)
        print(f"final_bits={final_bits}: {out.mean():.2%} of chip 1 left out")

# %%
# In Python
# ---------
# `~astro_deepcr.cosmicray_deepcr` works on a chip as a `~astropy.nddata.CCDData`. With
# ``flag_bit`` it sets the bit in ``.flags``, and an uncertainty is brought up to date
# in the replaced pixels. Bits of bad pixels become the mask. We write all three planes
# back.
from astropy.nddata import CCDData, StdDevUncertainty

from astro_deepcr import cosmicray_deepcr

with fits.open(copy) as file:
    for version in (1, 2):
        sci, err, dq = (file[name, version] for name in ("SCI", "ERR", "DQ"))
        chip = CCDData(
            sci.data,
            unit="electron",
            uncertainty=StdDevUncertainty(err.data),
            mask=bitfield_to_boolean_mask(dq.data, ~2452),
            meta=sci.header,
        )
        chip.flags = dq.data
        cleaned = cosmicray_deepcr(chip, flag_bit="hst")
        found = cleaned.mask & ~chip.mask
        print(f"chip {version}: {found.sum()} pixels, median error in them", end=" ")
        print(f"{np.median(err.data[found]):.1f}", end=" -> ")
        sci.data, dq.data = cleaned.data, cleaned.flags
        err.data = cleaned.uncertainty.array
        sci.header.update(cleaned.meta)
        print(f"{np.median(err.data[found]):.1f} electrons")
    file.writeto(flc.with_name("jtest01aq_err_flc.fits"))

# %%
# Both ways set the same flags:
with fits.open(new) as one, fits.open(flc.with_name("jtest01aq_err_flc.fits")) as two:
    print(all((one["DQ", v].data == two["DQ", v].data).all() for v in (1, 2)))

# %%
# Mind that slicing and arithmetic of `~astropy.nddata.CCDData` drop ``.flags``; the
# mask they keep (:ref:`masks`). Many files at once, several processes and a report:
# :ref:`batch`.
directory.cleanup()
