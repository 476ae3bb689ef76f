# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""The zoo: where files come from, and what happens to bad ones."""

import json
import os
import subprocess
import sys
from dataclasses import FrozenInstanceError, replace
from importlib import import_module
from pathlib import Path, PureWindowsPath

import numpy as np
import pytest
import torch
from astropy.config import paths
from astropy.utils.data import is_url_in_cache

from astro_deepcr import conf, cosmicray_probability
from astro_deepcr.exceptions import WeightsError
from astro_deepcr.models import build_model, model_reach
from astro_deepcr.weights import (
    export_weights,
    fetch_weights,
    get_weights,
    import_weights,
    list_weights,
    load_state,
    register_weights,
    resolve,
    save_weights,
)
from astro_deepcr.weights.registry import REGISTRY
from astro_deepcr.weights.resolve import import_weights_file

# The package has a function of this name, too.
resolve_module = import_module("astro_deepcr.weights.resolve")

OFFICIAL = {
    "acs-wfc",
    "acs-wfc-f435w",
    "acs-wfc-f606w",
    "acs-wfc-f606w-2-4",
    "acs-wfc-f814w",
    "decam",
    "deepcr-example",
    "inpaint-acs-wfc-f606w-2-32",
    "inpaint-acs-wfc-f606w-2-32-scaled",
    "inpaint-acs-wfc-f606w-3-32",
    "wfc3-uvis",
}


@pytest.fixture
def good_file():
    """Return a good copy of the file of acs-wfc, from the tests' own cache."""
    return fetch_weights("acs-wfc")


@pytest.fixture
def empty_cache(tmp_path, good_file):
    """Use an astropy cache with nothing in it."""
    (tmp_path / "cache").mkdir()
    with paths.set_temp_cache(tmp_path / "cache"):
        yield


@pytest.fixture
def own_entry(tmp_path, good_file):
    """Return a file:// entry whose file is at hand, so that it can be downloaded."""
    source = tmp_path / "server" / "ACS-WFC.pth"
    source.parent.mkdir()
    source.write_bytes(good_file.read_bytes())
    return replace(get_weights("acs-wfc"), url=source.as_uri())


class TestZoo:
    def test_official_models(self):
        assert set(list_weights()) >= OFFICIAL
        for name in OFFICIAL:
            entry = REGISTRY[name]
            assert fetch_weights(name).stat().st_size == entry.size
            assert entry.license == "BSD-3-Clause"
            assert entry.url.startswith("https://")

    @pytest.mark.parametrize("name", sorted(OFFICIAL))
    def test_reach_is_that_of_the_network(self, name):
        entry = REGISTRY[name]
        reach = model_reach(entry.architecture, entry.arguments)
        assert (entry.halo, entry.stride) == reach

    def test_entries_are_frozen(self):
        with pytest.raises(FrozenInstanceError):
            get_weights().threshold = 0.1

    @pytest.mark.parametrize(
        ("meta", "name"),
        [
            ({"INSTRUME": "ACS", "DETECTOR": "WFC"}, "acs-wfc"),
            ({"INSTRUME": "wfc3 ", "DETECTOR": "uvis"}, "wfc3-uvis"),
            ({"INSTRUME": "DECam", "DETECTOR": "S3-119"}, "decam"),
            ({"INSTRUME": "EFOSC"}, "universal"),
            ({}, "universal"),
            (None, "universal"),
        ],
    )
    @pytest.mark.filterwarnings(
        "ignore::astro_deepcr.exceptions.WeightsMismatchWarning"
    )
    def test_auto(self, meta, name):
        assert get_weights("auto", meta=meta).name == name

    def test_register(self, good_file):
        mine = replace(get_weights("acs-wfc"), name="mine-2", threshold=0.25)
        try:
            register_weights(mine)
            assert get_weights("mine-2").threshold == 0.25
            with pytest.raises(ValueError, match="'mine-2' already"):
                register_weights(replace(mine, threshold=0.3))
        finally:
            REGISTRY.pop("mine-2")

    def test_own_weights_go_before_those_of_the_zoo(self):
        mine = replace(get_weights("wfc3-uvis"), name="mine-uvis")
        meta = {"INSTRUME": "WFC3", "DETECTOR": "UVIS"}
        try:
            register_weights(mine)
            assert get_weights("auto", meta=meta).name == "mine-uvis"
        finally:
            REGISTRY.pop("mine-uvis")
        assert get_weights("auto", meta=meta).name == "wfc3-uvis"

    def test_export_of_two_files_of_one_name(self, tmp_path):
        entry = get_weights("universal")
        other = replace(entry, name="other", sha256="0" * 64)
        with pytest.raises(WeightsError, match=r"files called universal.safetensors"):
            export_weights(tmp_path / "usb", [entry, other])
        assert not any((tmp_path / "usb").iterdir())

    def test_export_of_weights_that_share_a_file(self, tmp_path):
        entry = get_weights("universal")
        paths = export_weights(tmp_path, [entry, replace(entry, name="other")])
        assert [path.name for path in paths] == ["universal.safetensors"]
        # as two of the zoo do, which is exported as a whole
        sums = {}
        for name in list_weights():
            one = get_weights(name, task=None)
            assert sums.setdefault(one.filename, one.sha256) == one.sha256

    def test_operating_points(self):
        points = ((1e-4, 0.9, 0.8), (1e-2, 0.1, 0.99))
        entry = replace(get_weights("acs-wfc"), operating_points=points)
        assert entry.threshold_for(1e-4) == pytest.approx(0.9)
        assert entry.threshold_for(1e-3) == pytest.approx(0.5)
        with pytest.raises(ValueError, match=r"fpr=0\.5 is outside .*0\.0001 to 0\.01"):
            entry.threshold_for(0.5)


class TestResolution:
    def test_download_goes_through_the_cache(self, empty_cache, own_entry):
        path = fetch_weights(own_entry)
        assert is_url_in_cache(own_entry.url)
        assert fetch_weights(own_entry) == path

    def test_mirror(self, empty_cache, own_entry, tmp_path):
        gone = replace(own_entry, url=(tmp_path / "gone" / "ACS-WFC.pth").as_uri())
        with conf.set_temp("mirrors", [(tmp_path / "server").as_uri()]):
            assert fetch_weights(gone).is_file()
        assert is_url_in_cache(gone.url)

    def test_one_mirror_in_the_file(self, tmp_path):
        (tmp_path / "astro_deepcr.cfg").write_text("mirrors = https://a.example/w\n")
        code = "import astro_deepcr; print(astro_deepcr.conf.mirrors)"
        folder = tmp_path / "astropy"
        folder.mkdir()
        (tmp_path / "astro_deepcr.cfg").rename(folder / "astro_deepcr.cfg")
        run = subprocess.run(
            [sys.executable, "-c", code],
            capture_output=True,
            text=True,
            check=True,
            env=os.environ | {"XDG_CONFIG_HOME": str(tmp_path)},
        )
        assert run.stdout == "['https://a.example/w']\n"

    def test_bundled_weights_of_another_computer(self, tmp_path):
        """A worker of a cluster may have the package elsewhere."""
        entry = get_weights("universal")
        there = replace(entry, path=tmp_path / "elsewhere" / "universal.safetensors")
        assert fetch_weights(there) == Path(entry.path)
        other = replace(there, sha256="0" * 64)
        with pytest.raises(WeightsError, match="there is no file"):
            fetch_weights(other)

    def test_nowhere(self, empty_cache, own_entry, tmp_path):
        gone = replace(own_entry, url=(tmp_path / "gone" / "ACS-WFC.pth").as_uri())
        with pytest.raises(WeightsError, match=r"(?s)could not be fetched.*import"):
            fetch_weights(gone)

    def test_bad_download_leaves_nothing(self, empty_cache, own_entry, tmp_path):
        (tmp_path / "server" / "ACS-WFC.pth").write_bytes(b"<html>moved</html>")
        with pytest.raises(WeightsError, match=r"(?s)SHA-256.*removed from astropy"):
            fetch_weights(own_entry)
        assert not is_url_in_cache(own_entry.url)

    def test_bad_download_then_good_mirror(self, empty_cache, own_entry, tmp_path):
        bad = tmp_path / "bad" / "ACS-WFC.pth"
        bad.parent.mkdir()
        bad.write_bytes(b"nothing")
        entry = replace(own_entry, url=bad.as_uri())
        with conf.set_temp("mirrors", [(tmp_path / "server").as_uri()]):
            assert fetch_weights(entry).stat().st_size == entry.size

    def test_file_that_rots_in_the_cache(self, empty_cache, own_entry):
        path = fetch_weights(own_entry)
        path.write_bytes(b"rotten")
        with pytest.raises(WeightsError, match="run the same again to fetch it"):
            fetch_weights(own_entry)
        assert fetch_weights(own_entry).stat().st_size == own_entry.size

    def test_weights_dir_comes_first(self, empty_cache, good_file, tmp_path):
        folder = tmp_path / "weights"
        folder.mkdir()
        copy = folder / "ACS-WFC.pth"
        copy.write_bytes(good_file.read_bytes())
        with conf.set_temp("weights_dir", str(folder)):
            assert fetch_weights("acs-wfc") == copy
            copy.write_bytes(b"other")
            with pytest.raises(WeightsError, match="replace it by a good copy"):
                fetch_weights("acs-wfc")
        assert copy.read_bytes() == b"other"

    def test_local_file_that_goes(self, good_file, tmp_path):
        copy = tmp_path / "mine.pth"
        copy.write_bytes(good_file.read_bytes())
        entry = get_weights(copy)
        copy.unlink()
        with pytest.raises(WeightsError, match="have gone"):
            resolve(entry)


class TestMoving:
    def test_export_and_import(self, good_file, tmp_path):
        names = ["acs-wfc", "wfc3-uvis"]
        copies = export_weights(tmp_path / "usb", names)
        assert len(copies) == 2
        (tmp_path / "cache").mkdir()
        with paths.set_temp_cache(tmp_path / "cache"):
            assert import_weights(tmp_path / "usb") == names
            assert fetch_weights("acs-wfc").stat().st_size == 416836

    def test_bundled_weights_need_no_import(self, empty_cache, tmp_path):
        entry = get_weights("universal")
        assert export_weights(tmp_path, entry)[0].name == entry.filename
        assert import_weights(tmp_path) == []

    def test_names_of_files_on_windows(self, monkeypatch):
        monkeypatch.setattr("astro_deepcr.weights.entry.Path", PureWindowsPath)
        entry = replace(get_weights("universal"), path=r"C:\site\data\u.safetensors")
        assert entry.filename == "u.safetensors"

    def test_relative_name_in_another_folder(self, tmp_path, monkeypatch):
        bundled = get_weights("universal")
        state = load_state(fetch_weights(bundled))
        save_weights(tmp_path / "mine.safetensors", state, bundled)
        monkeypatch.chdir(tmp_path)
        entry = get_weights("mine.safetensors")
        monkeypatch.chdir(tmp_path.parent)
        assert fetch_weights(entry) == tmp_path / "mine.safetensors"

    def test_safetensors_from_the_cache(self, tmp_path, frame):
        """A file in the cache has a name that does not tell what it is."""
        path, cache = tmp_path / "new.safetensors", tmp_path / "cache"
        bundled = get_weights("universal")
        entry = save_weights(path, load_state(fetch_weights(bundled)), bundled)
        entry = replace(entry, name="new", path="", url="https://example.org/new")
        cache.mkdir()
        with paths.set_temp_cache(cache):
            import_weights_file(path, entry)
            probability = cosmicray_probability(frame[0], entry)
        assert np.array_equal(probability, cosmicray_probability(frame[0], bundled))

    def test_cache_that_cannot_be_written(self, good_file, tmp_path, monkeypatch):
        def refuse(*_args):
            raise PermissionError(13, "Permission denied", "/home/.cache")

        export_weights(tmp_path / "usb", ["acs-wfc"])
        monkeypatch.setattr(resolve_module, "import_file_to_cache", refuse)
        with pytest.raises(
            WeightsError, match=r"cache cannot be written.*conf\.weights_dir"
        ):
            import_weights(tmp_path / "usb")

    def test_damaged_file_stays_in_a_cache_that_cannot_be_written(
        self, tmp_path, monkeypatch
    ):
        monkeypatch.setattr(resolve_module, "clear_download_cache", lambda _: None)
        monkeypatch.setattr(resolve_module, "_is_cached", lambda _: True)
        (tmp_path / "damaged").write_bytes(b"x")
        with pytest.raises(WeightsError, match="stays there: set astro_deepcr"):
            resolve_module._verified(
                tmp_path / "damaged", get_weights("acs-wfc"), cached=True
            )

    def test_import_of_bad_files(self, empty_cache, tmp_path):
        with pytest.raises(WeightsError, match="holds no weights file of the zoo"):
            import_weights(tmp_path)
        (tmp_path / "ACS-WFC.pth").write_bytes(b"junk")
        with pytest.raises(WeightsError, match="SHA-256"):
            import_weights(tmp_path)
        assert not list((tmp_path / "cache").rglob("contents"))


class TestFiles:
    def test_pth_by_path(self, good_file, tmp_path, frame):
        copy = tmp_path / "my model.pth"
        copy.write_bytes(good_file.read_bytes())
        image, _ = frame
        assert np.array_equal(
            cosmicray_probability(image, copy), cosmicray_probability(image, "acs-wfc")
        )

    def test_own_format_carries_everything(self, tmp_path, frame):
        arguments = {"in_channels": 1, "hidden": 4, "levels": 2}
        network = build_model("deepcr-unet", arguments)
        made = save_weights(
            tmp_path / "mine.safetensors",
            network.state_dict(),
            replace(
                get_weights("acs-wfc"),
                name="mine",
                arguments=arguments,
                unit=None,
                normalization="sky-noise-asinh",
                threshold=0.3,
                operating_points=((1e-3, 0.4, 0.9),),
            ),
        )
        read = get_weights(tmp_path / "mine.safetensors")
        assert read == made
        assert (read.name, read.threshold, read.arguments) == ("mine", 0.3, arguments)
        assert read.operating_points == ((1e-3, 0.4, 0.9),)
        image, _ = frame
        probability = cosmicray_probability(image, tmp_path / "mine.safetensors")
        for same in (image * 1000, image + 1e4):
            assert np.allclose(
                cosmicray_probability(same, made), probability, atol=1e-3
            )

    @pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
    def test_damaged(self, tmp_path, suffix):
        path = tmp_path / f"damaged{suffix}"
        path.write_bytes(b"not a weights file at all")
        with pytest.raises(WeightsError, match="cannot be read as"):
            get_weights(path)
        path.write_bytes(b"")
        with pytest.raises(WeightsError, match="cannot be read as"):
            get_weights(path)

    def test_truncated(self, good_file, tmp_path):
        path = tmp_path / "short.pth"
        path.write_bytes(good_file.read_bytes()[:200_000])
        with pytest.raises(WeightsError, match="cannot be read as a file of tensors"):
            get_weights(path)

    def test_pickled_code_is_not_run(self, tmp_path):
        class Evil:
            def __reduce__(self):
                return (open, (str(tmp_path / "was-here"), "w"))

        path = tmp_path / "evil.pth"
        torch.save({"weight": Evil()}, path)
        with pytest.raises(WeightsError, match="cannot be read as a file of tensors"):
            get_weights(path)
        assert not (tmp_path / "was-here").exists()

    def test_other_networks(self, tmp_path):
        path = tmp_path / "other.pth"
        torch.save({"layer.weight": torch.zeros(3)}, path)
        with pytest.raises(WeightsError, match="does not hold a U-Net of deepCR"):
            get_weights(path)

    def test_safetensors_without_specification(self, tmp_path):
        from safetensors.torch import save_file

        path = tmp_path / "bare.safetensors"
        save_file({"x": torch.zeros(3)}, path)
        with pytest.raises(WeightsError, match="without the specification"):
            get_weights(path)
        save_file({"x": torch.zeros(3)}, path, {"astro_deepcr": json.dumps({})})
        with pytest.raises(WeightsError, match="is not complete"):
            get_weights(path)

    def test_name_of_the_file(self, tmp_path):
        with pytest.raises(ValueError, match=r"must be called \*\.safetensors"):
            save_weights(tmp_path / "mine.bin", {}, get_weights())


def test_tasks_and_rates():
    for call in (list_weights, lambda task: get_weights("universal", task=task)):
        with pytest.raises(ValueError, match="task='Mask' is not known; choose 'mask'"):
            call("Mask")
    weights = get_weights("acs-wfc")
    rate = weights.operating_points[0][0]
    expected = weights.threshold_for(rate)
    assert weights.threshold_for(np.float32(rate)) == pytest.approx(expected, abs=1e-6)
