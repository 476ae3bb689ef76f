"""
Computers without a network: moving weights
===========================================

The nodes of a cluster, or the computer of a telescope, may have no way to the
internet. Where weights are looked for, how to carry them there, and how to make sure
that they are the ones you mean.
"""

# %%
# What needs no network
# ---------------------
# The default weights are part of the package. If they are all that you use, there is
# nothing to do. Here are those that the package knows, and which of them come with it;
# in the shell, ``deepcr weights list``.
from astropy.table import Table

from astro_deepcr.weights import get_weights, list_weights

rows = []
for name in list_weights():
    entry = get_weights(name, task=None)
    where = "package" if entry.path else "network"
    rows.append((name, entry.task, entry.size // 1024, where))
Table(rows=rows, names=("name", "task", "KiB", "from")).pprint(max_lines=-1)

# %%
# `~astro_deepcr.weights.get_weights` fetches nothing. All that is known about weights
# is in the package, with the SHA-256 checksum of the file; only the file may be
# elsewhere.
entry = get_weights("acs-wfc")
print(entry.unit, entry.threshold, entry.instruments)
print(entry.sha256)

# %%
# Where a file is looked for
# --------------------------
# 1. Weights with a path of their own are read from there and from nowhere else: those
#    of the package, and files that you name by their path.
# 2. All others are looked for in the directory ``conf.weights_dir``, if it is set,
# 3. then in the download cache of astropy,
# 4. then at their address,
# 5. then on the ``conf.mirrors``, one after the other.
#
# Without a network, the last two fail. To see what happens then, we make a computer
# that has an empty cache and may not download, by means of astropy alone. ``here`` is a
# temporary folder for all that follows.
import textwrap
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from astropy.config import set_temp_cache
from astropy.utils.data import conf as astropy_conf

from astro_deepcr import conf
from astro_deepcr.exceptions import WeightsError
from astro_deepcr.weights import fetch_weights

directory = TemporaryDirectory()
here = Path(directory.name)


@contextmanager
def computer(name, network):
    """Use a cache of its own, with or without a network."""
    cache = here / name
    cache.mkdir(exist_ok=True)
    with (
        set_temp_cache(cache),
        astropy_conf.set_temp("allow_internet", network),
        conf.set_temp("weights_dir", ""),
    ):
        yield


whole_words = {"break_long_words": False, "break_on_hyphens": False}


def show(error):
    """Print an error in short lines, and without the name of the folder."""
    for line in str(error).replace(str(here), "/here").splitlines():
        print(textwrap.fill(line, subsequent_indent="    ", **whole_words))


with computer("telescope", network=False):
    try:
        fetch_weights("acs-wfc")
    except WeightsError as error:
        show(error)

# %%
# The error names each place that was tried, and the two ways out. We go both.
#
# Weights to carry
# ----------------
# This tutorial itself must run without a network. So we carry weights of our own, and
# let a folder be the server of our institute. With ``acs-wfc`` and a real network, you
# would start with `~astro_deepcr.weights.export_weights` below.
#
# `~astro_deepcr.weights.save_weights` writes a file that says all about itself. Ours
# are the default ones, under another name and with a lower threshold.
from dataclasses import replace

from astro_deepcr.weights import load_state, register_weights, save_weights

server = here / "server"
server.mkdir()
file = server / "my-camera-1.safetensors"
mine = replace(
    get_weights("universal"),
    name="my-camera-1",
    threshold=0.3,
    instruments=("MYCAM",),
)
saved = save_weights(file, load_state(fetch_weights("universal")), mine)

# %%
# `~astro_deepcr.weights.register_weights` makes them known under their name until
# Python ends. We give them the address of the server instead of a path, so that they
# are looked for like all others. In a pipeline, such lines belong into the module that
# all its scripts import.
register_weights(replace(saved, path="", url=file.as_uri()))
print(get_weights("auto", meta={"INSTRUME": "MYCAM"}).name)

# %%
# From here to there
# ------------------
# On a computer with a network, in the shell ``deepcr weights export usb my-camera-1``,
# or ``deepcr weights export usb`` for all that there are. The files are fetched if need
# be, verified, and copied. (The command knows the weights of the package, and not those
# that were registered in another session.)
from astro_deepcr.weights import export_weights

with computer("office", network=True):
    copies = export_weights(here / "usb", "my-camera-1")
print([path.name for path in copies])

# %%
# On the computer without a network, the first way: put the files into the cache of
# astropy, once for each user. In the shell ``deepcr weights import usb``.
from astro_deepcr.weights import import_weights

with computer("telescope", network=False):
    print("imported:", import_weights(here / "usb"))
    print(fetch_weights("my-camera-1").relative_to(here))

# %%
# The second way, for all users of a cluster: leave the files in a directory that all
# can read, and name it in the configuration file, as ``weights_dir = /shared/weights``.
# In a script, set it for the session (``conf.weights_dir = ...``) or for a block:

with (
    computer("cluster node", network=False),
    conf.set_temp("weights_dir", str(here / "usb")),
):
    print(fetch_weights("my-camera-1").relative_to(here))

# %%
# Nothing was downloaded, and there is nothing in the cache. This directory comes before
# the cache, so that all jobs of a cluster use the same files.
#
# The third way is a web server inside the institute, for computers that can reach this
# one but not the rest of the world. Put the exported files there, and its address into
# ``mirrors``. An address ``file:///...`` works as well; we use it to try this when the
# first server is gone.
file.rename(here / "gone.safetensors")
with (
    computer("control room", network=True),
    conf.set_temp("mirrors", [(here / "usb").as_uri()]),
):
    print(fetch_weights("my-camera-1").relative_to(here))

# %%
# A damaged file
# --------------
# A copy that was cut off, a page "please log in" in place of the file, one wrong bit on
# a disk: the checksum is verified before a file is used, and another file is refused.
# Here one bit of the copy is changed.
damaged = bytearray((here / "usb" / file.name).read_bytes())
damaged[-1000] ^= 1
(here / "usb" / file.name).write_bytes(damaged)

with conf.set_temp("weights_dir", str(here / "usb")):
    try:
        fetch_weights("my-camera-1")
    except WeightsError as error:
        show(error)

# %%
# It does not go on to the next place, which would hide that something is wrong with a
# directory that many people use. In the cache of astropy, a damaged file is removed, so
# that the next call fetches it again.
#
# A file that you name by its path is another case. Nobody has said what its checksum
# should be, so it is taken as it is, if it can be read at all:
by_path = get_weights(here / "usb" / file.name)
print(by_path.name, "- the file that was saved:", by_path.sha256 == saved.sha256)

# %%
# Pin the weights of a pipeline
# -----------------------------
# A name of the zoo never changes its meaning, but *the default* may be another one in
# the next version, and a file at a path may be anything. Therefore, a pipeline should
# name its weights, and write down their checksum. Print it once,
print(get_weights("universal").name, get_weights("universal").sha256[:12])

# %%
# and compare when the pipeline starts. (Write the digits as text into your script;
# we take them from the package since the weights may be newer than this page.)
PINNED = {
    "universal": get_weights("universal").sha256[:12],
    "my-camera-1": saved.sha256[:12],
}


def pinned_weights(weights, name):
    """Return an entry if it is the one that was agreed on."""
    entry = get_weights(weights)
    if (entry.name, entry.sha256[:12]) != (name, PINNED[name]):
        msg = f"{weights} is not {name} {PINNED[name]}"
        raise ValueError(msg)
    return entry


try:
    pinned_weights(here / "usb" / file.name, "my-camera-1")
except ValueError as error:
    show(error)

# %%
# A good copy mends it. One is still in the cache of the telescope, and exporting works
# from there as well:
with computer("telescope", network=False):
    export_weights(here / "usb", "my-camera-1")
print(pinned_weights(here / "usb" / file.name, "my-camera-1").name, "is as pinned")

# %%
# The header of each cleaned frame has the same name and digits, in CRMODEL and CRSHA.
# So you can tell years later which weights were used, and find the frames that were
# cleaned by others.
from astro_deepcr import cosmicray_deepcr
from astro_deepcr.evaluation import plot_cosmicrays
from astro_deepcr.simulate import make_cosmicray_ccd

ccd, _ = make_cosmicray_ccd((256, 256), seed=4)
ccd.meta["INSTRUME"] = "MYCAM"
with (
    computer("cluster node", network=False),
    conf.set_temp("weights_dir", str(here / "usb")),
):
    cleaned = cosmicray_deepcr(ccd, pinned_weights("my-camera-1", "my-camera-1"))
for key in ("CRMODEL", "CRSHA", "CRTHRESH"):
    print(f"{key:8} = {cleaned.meta[key]}")
print("as pinned:", cleaned.meta["CRSHA"] == PINNED[cleaned.meta["CRMODEL"]])

plot_cosmicrays(ccd, cleaned)

# %%
# The frame was cleaned without a network, with the copy in ``weights_dir``.
#
# ``inpaint='network'``, the default way to replace pixels, has weights of its own. They
# come with the package, too. Pass their name, or that of others, as ``inpaint=`` to
# pin them; CRFILL in the header says which were used.
#
# Workers of a Dask cluster load the weights by themselves, each on its own computer,
# and take over the configuration of the process that started them. For them
# ``weights_dir`` is best. See also :ref:`weights`.
#
# At the end, the weights of this page are forgotten again, which a script need not do.
from astro_deepcr.weights.registry import REGISTRY

del REGISTRY["my-camera-1"]
directory.cleanup()
