"""
A night of frames: ``deepcr clean``, a report, a cluster
========================================================

Clean a folder of FITS files, go on after an interruption, see whether something is
wrong with a file, and use several computers.
"""

# %%
# A night
# -------
# Six exposures of a field of stars, the longer ones with more cosmic rays. One file was
# damaged when it was copied: its last part is missing. All is in a temporary folder.
import textwrap
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from astropy import units as u
from astropy.io import fits

from astro_deepcr.simulate import make_cosmicray_ccd

directory = TemporaryDirectory()
folder = Path(directory.name)
night = folder / "night1"
night.mkdir()
hit = {}
for number, seconds in enumerate((60, 120, 300, 600, 900, 1200), 1):
    name = f"sci{number}.fits"
    time = seconds * u.s
    ccd, truth = make_cosmicray_ccd((200, 200), seed=number, exposure_time=time)
    header = fits.Header(ccd.meta | {"BUNIT": "electron"})
    fits.writeto(night / name, ccd.data, header)
    hit[name] = truth.mask.mean()

whole = (night / "sci4.fits").read_bytes()
_ = (night / "sci4.fits").write_bytes(whole[: len(whole) // 2])

# %%
# Clean the folder
# ----------------
# In the shell::
#
#     deepcr clean night1 --output-dir cleaned --mask-hdu CR \
#         --report cleaned/report.html
#
# In Python, the same is `~astro_deepcr.clean_files`. A broken file does not stop the
# others. So it raises nothing, and you look at the table which it returns.
from astro_deepcr import clean_files

settings = {"output_dir": folder / "cleaned", "mask_hdu": "CR"}
settings["report"] = folder / "cleaned" / "report.html"
table = clean_files(night, **settings)


def show(table):
    """Print a table without the folders, which are long."""
    table = table["file", "status", "pixels", "events", "fraction"]
    table["file"] = [Path(name).name for name in table["file"]]
    table["fraction"].format = ".3%"
    print(table)


show(table)

# %%
# The message says what is wrong with a file:
for message in table["message"][table["status"] == "failed"]:
    print(textwrap.fill(message.replace(str(folder), "...")))

# %%
# The outputs
# -----------
# An output is a copy of its file: the image is cleaned, its header says how, and the
# cosmic rays are in an HDU of their own, called as ``mask_hdu`` says.
with fits.open(folder / "cleaned" / "sci3_cleaned.fits") as hdus:
    for hdu in hdus:
        print(hdu.name, hdu.shape, hdu.data.dtype)
    for key in ("CRMODEL", "CRTHRESH", "CRFILL", "CRNPIX"):
        print(f"{key:8} = {hdus[0].header[key]}")

# %%
# The report is one HTML page, with a picture for each frame. It needs no network and no
# other file, so that you can send it by mail.
for path in sorted((folder / "cleaned").iterdir()):
    print(f"{path.name:24} {path.stat().st_size / 1024:5.0f} KiB")

# %%
# Go on after an interruption
# ---------------------------
# You copy the broken file once more, and run the same command again. What is done is
# skipped. It is in the new report all the same.
_ = (night / "sci4.fits").write_bytes(whole)
table = clean_files(night, **settings)
show(table)

# %%
# The same would happen after a power failure, since an output gets its name only when
# it is complete. What is done is noted in a journal beside the outputs. It has one line
# for each: of which version of which file it was made (by size and time of change),
# with which weights and options, and what was found.
import json

journal = folder / "cleaned" / ".deepcr-journal.jsonl"
line = json.loads(journal.read_text().splitlines()[0])
print(line["source"], "->", line["target"])
print({key: line["notes"][0][key] for key in ("weights", "threshold", "pixels")})

# %%
# With other settings, the outputs that are there would be wrong. They are not replaced
# unless you say so, with ``overwrite=True`` or ``--overwrite``. ``dry_run=True``, or
# ``--dry-run``, tells what would be done and does nothing.
other = clean_files(night, grow=1, dry_run=True, **settings)
print(other["status"][0])
print(textwrap.fill(other["message"][0].replace(str(folder), "...")))
other = clean_files(night, grow=1, dry_run=True, overwrite=True, **settings)
print(other["status"][0])

# %%
# The command line
# ----------------
# The command prints the same table. Its exit code is 0 if all went well, and 1 if some
# files failed, so that a shell script can ask for it. Here, where we call the command
# from Python, all is done already:
from contextlib import chdir

from astro_deepcr.scripts import main

with chdir(folder):
    status = main(["clean", "night1", "--output-dir", "cleaned", "--mask-hdu", "CR"])
print("exit code:", status)

# %%
# ``--jobs 2`` starts two processes, which share the files that are left to do. This
# pays with several GPUs, and where reading and writing take long. Without a GPU, one
# process uses all cores while the network works. In a script, ``jobs=`` needs the usual
# guard, since the processes import the script::
#
#     if __name__ == '__main__':
#         clean_files('night1', output_dir='cleaned', jobs=2)

# %%
# Is something wrong?
# -------------------
# At one place, the number of cosmic rays rises with the exposure time, and otherwise
# only by chance. So the fraction of flagged pixels should lie near a line through the
# origin. A frame far from it has another problem: above, think of hot pixels that were
# not masked, a wrong gain, or stars that were flagged; below, of a wrong unit.
import matplotlib.pyplot as plt

names = [Path(name).name for name in table["file"]]
seconds = np.array([fits.getval(night / name, "EXPTIME") for name in names])
percent = 100 * table["fraction"].value
slope = (seconds @ percent) / (seconds @ seconds)

figure, axis = plt.subplots(figsize=(5.5, 3.6), layout="constrained")
axis.plot(seconds, 100 * np.array([hit[name] for name in names]), "x", label="truth")
axis.plot(seconds, percent, "o", mfc="none", label="flagged")
axis.plot([0, 1250], [0, 1250 * slope], color="gray", linewidth=0.8)
axis.set(xlabel="exposure time (s)", ylabel="pixels (%)", xlim=0, ylim=0)
axis.legend()

# %%
# The crosses are what was simulated, of which pixels with less than three sigma of
# charge are left out.
#
# The same fraction is in the headers (CRFRAC). The report has the number of events per
# area and second, too, and compares it with what is expected at the place of the
# telescope.

# %%
# In a ccdproc script
# -------------------
# To go on with the frames in Python, take `~astro_deepcr.clean_collection`. It reads
# and cleans each file of a `ccdproc.ImageFileCollection` only when its turn comes.
from ccdproc import ImageFileCollection

from astro_deepcr import clean_collection

collection = ImageFileCollection(night, glob_include="sci*.fits")
for cleaned, name in clean_collection(collection, select={"exptime": 600.0}):
    print(name, cleaned.unit, cleaned.meta["CRNPIX"])

# %%
# ``clean_files(collection, ...)`` writes files, of those that the collection holds.

# %%
# A cluster
# ---------
# A Dask cluster does the files on many computers, which must see the same folders. One
# that runs already is named by the address of its scheduler::
#
#     deepcr clean /data/night1 --output-dir /data/cleaned \
#         --scheduler tcp://10.0.0.1:8786
#
# Under SLURM, dask-jobqueue starts the workers as jobs, here 20 with one GPU each. The
# script itself only hands out names of files and collects results::
#
#     from dask_jobqueue import SLURMCluster
#     from astro_deepcr import clean_files
#
#     if __name__ == '__main__':
#         cluster = SLURMCluster(
#             cores=2, processes=1, memory='16 GB', walltime='02:00:00',
#             job_extra_directives=['--gres=gpu:1'],
#         )
#         cluster.scale(jobs=20)
#         clean_files(
#             '/data/night1', output_dir='/data/cleaned',
#             scheduler=cluster.scheduler_address,
#         )
#
# When the time of the jobs is over before all is done, submit the script again: the
# journal is the same. Other clusters: :ref:`batch`. Nodes without a network:
# :ref:`sphx_glr_generated_tutorials_08_offline.py`.

# %%
# One frame that is larger than the memory
# ----------------------------------------
# `~astro_deepcr.cosmicray_probability` and `~astro_deepcr.cosmicray_deepcr` take Dask
# arrays. The result is one, too: nothing is computed before you ask for it, and then
# block by block, each with as much of its neighbours as the network looks, so that
# there are no seams. Here a long, narrow frame in two blocks; yours would come from a
# file that is read in parts, see :ref:`batch`.
import dask.array as da

from astro_deepcr import cosmicray_probability

ccd, _ = make_cosmicray_ccd((2048, 128), seed=7)
data = da.from_array(ccd.data, chunks=(1024, 128))
large = cosmicray_probability(data)
print(type(large), large.shape, large.chunksize)

# %%
# ``compute`` gives an array in memory. For a frame that does not fit, store the blocks
# into a file instead (``large.to_zarr``, `dask.array.store`). Both ways, the result is
# the one that the frame would have had as a whole:
difference = np.abs(large.compute() - cosmicray_probability(ccd.data)).max()
print(f"largest difference: {difference:.1e}")

directory.cleanup()
