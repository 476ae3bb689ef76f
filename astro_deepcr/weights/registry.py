# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""The weights that this version knows: the one list of them."""

from pathlib import Path

from .entry import Weights
from .files import read_spec

__all__ = ["DEFAULT_INPAINT_WEIGHTS", "DEFAULT_WEIGHTS", "REGISTRY"]

#: What ``weights=None`` means.
DEFAULT_WEIGHTS = "universal"
#: What ``inpaint='network'`` means.
DEFAULT_INPAINT_WEIGHTS = "inpaint-universal"

_DEEPCR = (
    "https://raw.githubusercontent.com/profjsb/deepCR/"
    "29434859086c35373a49aec02c80985749dfd195/learned_models/"
)


# (false-positive rate, threshold, true-positive rate) on simulated frames of the
# instrument, 9.4 Mpix each: benchmarks/thresholds.py --frames 12, 2026-11-28. A third
# of the pixels are of a crowded field, which decides at the lowest rates.
_OPERATING_POINTS = {
    "acs-wfc": (
        (0.0001, 0.9944451, 0.5181),
        (0.0005, 0.7956581, 0.9285),
        (0.001, 0.5397111, 0.9631),
        (0.005, 0.1112412, 0.9863),
        (0.01, 0.0510827, 0.9902),
    ),
    "acs-wfc-f435w": (
        (0.0001, 0.9916842, 0.4997),
        (0.0005, 0.9241418, 0.8389),
        (0.001, 0.8322367, 0.9054),
        (0.005, 0.4045074, 0.9753),
        (0.01, 0.2094697, 0.9852),
    ),
    "acs-wfc-f606w": (
        (0.0001, 0.9982454, 0.4695),
        (0.0005, 0.8643104, 0.9221),
        (0.001, 0.6513549, 0.9556),
        (0.005, 0.0913821, 0.9861),
        (0.01, 0.0169149, 0.9928),
    ),
    "acs-wfc-f814w": (
        (0.0001, 0.9991704, 0.3656),
        (0.0005, 0.9863631, 0.7588),
        (0.001, 0.9304582, 0.8801),
        (0.005, 0.1789559, 0.9804),
        (0.01, 0.0675467, 0.9875),
    ),
    "acs-wfc-f606w-2-4": (
        (0.0005, 0.9059898, 0.8359),
        (0.001, 0.6504673, 0.9149),
        (0.005, 0.0926878, 0.9785),
        (0.01, 0.0325897, 0.9871),
    ),
    "wfc3-uvis": (
        (0.0001, 0.8933094, 0.018),
        (0.0005, 0.7130322, 0.1099),
        (0.001, 0.5525397, 0.2768),
        (0.005, 0.1721718, 0.9701),
        (0.01, 0.0875638, 0.9927),
    ),
    "decam": (
        (0.001, 0.9999998, 0.167),
        (0.005, 0.9995272, 0.7607),
        (0.01, 0.9693242, 0.9332),
    ),
}


# The paper of the networks of several filters.
_KWON = "; Kwon, Zhang & Bloom 2021, RNAAS 5, 98"


def _official(name, file, size, sha256, *, levels=2, hidden=32, paper="", **more):
    """Make the entry of one of the official models of deepCR."""
    task, _, _ = file.partition("/")
    in_channels = {"mask": 1, "inpaint": 2}[task]
    return Weights(
        name=name,
        sha256=sha256,
        size=size,
        task=task,
        architecture="deepcr-unet",
        arguments={"in_channels": in_channels, "hidden": hidden, "levels": levels},
        # What the convolutions on the way down, below and up again reach together.
        halo={2: 10, 3: 24}[levels],
        stride=2 ** (levels - 1),
        url=_DEEPCR + file,
        license="BSD-3-Clause",
        operating_points=_OPERATING_POINTS.get(name, ()),
        reference="Zhang & Bloom 2020, ApJ 889, 24; 2019, JOSS 4, 1651" + paper,
        **more,
    )


def _acs(name, file, size, sha256, filters, **more):
    return _official(
        name,
        file,
        size,
        sha256,
        unit="electron",
        instruments=("ACS/WFC",),
        domain=f"HST ACS/WFC imaging (_flc files), {filters}",
        trained_on=f"HST ACS/WFC {filters}, labels from aligned repeat exposures",
        **more,
    )


def _bundled(name, sha256):
    """Make the entry of a file that comes with the package and describes itself."""
    path = Path(__file__).parent / "data" / f"{name}.safetensors"
    facts = {"path": path, "sha256": sha256, "size": path.stat().st_size}
    return Weights.from_spec(read_spec(path), **facts)


_ENTRIES = (
    _acs(
        "acs-wfc",
        "mask/ACS-WFC.pth",
        416836,
        "0075cef7a8b72f3ecf449cac3793d3446720a97fc0ba812fb29863a9be1e7ace",
        "F435W, F606W and F814W",
        paper=_KWON,
    ),
    _acs(
        "acs-wfc-f435w",
        "mask/ACS-WFC-F435W.pth",
        416836,
        "27d351ce310491f70964bd8a30a5579322e064edd63f5726a68d7f4129551d85",
        "F435W",
        paper=_KWON,
    ),
    _acs(
        "acs-wfc-f606w",
        "mask/ACS-WFC-F606W.pth",
        416836,
        "704dfcf91c3b4d7984b113236017c8b1ef6edbeca2fc54a7739a082c2f1e19f3",
        "F606W",
        paper=_KWON,
    ),
    _acs(
        "acs-wfc-f814w",
        "mask/ACS-WFC-F814W.pth",
        416836,
        "fc6bf85042dd9d54cf7f81636ff6921a1ae3d118fb5f4fd7c7ca1b164499d14b",
        "F814W",
        paper=_KWON,
    ),
    _acs(
        "acs-wfc-f606w-2-4",
        "mask/ACS-WFC-F606W-2-4.pth",
        15979,
        "91fd387be08dfb2692fc3433566455812c42fae53fa6ec4ad19c384b68bce775",
        "F606W",
        hidden=4,
        # Not in deepCR's own table. Fed with electrons / 100, its average precision
        # on simulated frames is 0.97-0.99, with electrons 0.05-0.07.
        scale=100.0,
    ),
    _official(
        "wfc3-uvis",
        "mask/WFC3-UVIS.pth",
        412323,
        "92ad8d3231a0427c6fa6d9b39501549edc15fd1eb1162e028e2cf1711b2f59cd",
        normalization="mean-std",
        threshold=0.15,
        instruments=("WFC3/UVIS",),
        domain="HST WFC3/UVIS imaging",
        trained_on="HST WFC3/UVIS images of galaxies of the Local Group, with cosmic "
        "rays of dark frames",
        paper="; Chen et al. 2024, ApJ 962, 7",
    ),
    _official(
        "decam",
        "mask/decam.pth",
        416836,
        "686de2afab28d13b2bff3c418ecf017d0b290ca5e8c811ef71f673ce12230815",
        unit="adu",
        instruments=("DECam",),
        domain="DECam imaging",
        trained_on="DECam images with cosmic rays of dark frames",
    ),
    _official(
        "deepcr-example",
        "mask/example_model.pth",
        416836,
        "ef11b157aeefa09090d7b829be22eaf974650f70810c487473fafa5a9fddf851",
        scale=100.0,
        domain="the example of deepCR's tutorial; not for science",
        trained_on="the example data of deepCR's tutorial",
    ),
    _acs(
        "inpaint-acs-wfc-f606w-2-32",
        "inpaint/ACS-WFC-F606W-2-32.pth",
        417988,
        "2a754380bfe158a1cfeee12f908f96a2bd5b59cbb7b830a4d06dad930d906111",
        "F606W",
    ),
    _acs(
        "inpaint-acs-wfc-f606w-3-32",
        "inpaint/ACS-WFC-F606W-3-32.pth",
        1890231,
        "5b4faf2e239185c2d5d4235688ce61a2b9e4e5f47bbcf96c8a687b5a0c1e6c42",
        "F606W",
        levels=3,
    ),
    # The file of 2-32 again. deepCR divides by the scale of the mask network, which is
    # 1 for ACS-WFC; but fed with electrons / 100, as the networks of its tutorial are,
    # the error halves (benchmarks/accuracy_inpainting.py).
    _acs(
        "inpaint-acs-wfc-f606w-2-32-scaled",
        "inpaint/ACS-WFC-F606W-2-32.pth",
        417988,
        "2a754380bfe158a1cfeee12f908f96a2bd5b59cbb7b830a4d06dad930d906111",
        "F606W",
        scale=100.0,
    ),
    _bundled(
        "inpaint-universal",
        "34651a473305ba8015389f27b32a0064f09230a34ab65e605ef874af9d668511",
    ),
    _bundled(
        "universal",
        "a2a87a6c62c6c2707a0d7d6b6e3ff3a3aeeb2f2d46fba6679c5006ac53422201",
    ),
    _bundled(
        "universal-fast",
        "8a5fea015642719630f6c37512fb03d4e525b011c5ce19c325c0c3326ece7e91",
    ),
)

#: Name -> entry. `register_weights` adds to it.
REGISTRY = {entry.name: entry for entry in _ENTRIES}
#: What was there before.
BUILT_IN = dict(REGISTRY)
