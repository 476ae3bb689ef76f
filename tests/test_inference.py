# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""The official networks: same as in the deepCR package, however they are run."""

import dataclasses
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from astropy.nddata import CCDData

from astro_deepcr import (
    conf,
    cosmicray_deepcr,
    cosmicray_probability,
    devices,
    inference,
    inpaint_cosmicrays,
)
from astro_deepcr.apply import replace_hit
from astro_deepcr.devices import cpu_threads, resolve_device, resolve_precision
from astro_deepcr.exceptions import DeviceError, OutOfMemoryWarning, WeightsError
from astro_deepcr.images import parse_image
from astro_deepcr.inference import predict
from astro_deepcr.noise import Normalization, measure_normalization
from astro_deepcr.weights import get_weights, list_weights

from .conftest import draw_frame


@pytest.fixture(autouse=True)
def float32():
    """Compare in the type that gives the same result everywhere."""
    with conf.set_temp("precision", "float32"):
        yield


@pytest.fixture(scope="module")
def image():
    """Return a frame with tracks, of a size that deepCR does not pad."""
    return draw_frame((160, 144), 60, seed=3)[0]


@pytest.fixture(scope="module")
def deepcr():
    """Return the class of the deepCR package."""
    pytest.importorskip("deepCR", reason="deepCR is not installed")
    from deepCR import deepCR

    return deepCR


class TestParity:
    @pytest.mark.parametrize(
        ("theirs", "ours"),
        [("ACS-WFC", "acs-wfc"), ("WFC3-UVIS", "wfc3-uvis"), ("decam", "decam")],
    )
    @pytest.mark.filterwarnings("ignore")
    def test_masks(self, deepcr, image, theirs, ours):
        expected = deepcr(mask=theirs).clean(image, binary=False, segment=False)
        difference = cosmicray_probability(image, ours) - expected
        assert np.abs(difference).max() <= 1e-5

    @pytest.mark.filterwarnings("ignore")
    def test_inpaint_2_32(self, deepcr, image):
        hit = draw_frame((160, 144), 60, seed=3)[1]
        net = deepcr(mask="ACS-WFC", inpaint="ACS-WFC-F606W-2-32")
        expected = net.inpaint(image, hit)
        filled = inpaint_cosmicrays(image, hit, "inpaint-acs-wfc-f606w-2-32")
        assert np.allclose(filled, expected, rtol=1e-5)

    def test_inpaint_3_32(self, deepcr, image):
        """Against the layers themselves, since the package cannot load this one."""
        from deepCR.unet_batchnorm import UNet3BatchNorm, WrappedModel

        from astro_deepcr.weights import fetch_weights

        net = WrappedModel(UNet3BatchNorm(2, 1, 32))
        path = fetch_weights("inpaint-acs-wfc-f606w-3-32")
        net.load_state_dict(torch.load(path, "cpu", weights_only=True))
        hit = draw_frame((160, 144), 60, seed=3)[1]
        channels = torch.from_numpy(np.stack([image * ~hit, hit]).astype(np.float32))
        with torch.inference_mode():
            expected = net.eval()(channels[None])[0, 0].numpy()
        filled = inpaint_cosmicrays(image, hit, "inpaint-acs-wfc-f606w-3-32")
        assert np.allclose(filled[hit], expected[hit], rtol=1e-5)


class TestGolden:
    """What the bundled networks said of one frame: new code must say the same."""

    ROWS = [0, 0, 1, 27, 28, 33, 58, 80, 84, 110, 133, 147]
    COLUMNS = [9, 138, 115, 22, 22, 8, 115, 4, 114, 7, 112, 81]
    PROBABILITIES = {
        "universal": [
            0.0296, 0.0221, 0.0680, 0.9550, 0.1061, 0.0238,
            0.0347, 0.4860, 0.0220, 0.9656, 0.0580, 0.0780,
        ],
        "universal-fast": [
            0.0336, 0.0226, 0.0420, 0.9077, 0.1095, 0.0714,
            0.0579, 0.2473, 0.0573, 0.9011, 0.0909, 0.0795,
        ],
    }  # fmt: skip
    HIT = ([1, 15, 30, 47, 71, 81, 115, 124, 149],
           [134, 109, 23, 68, 9, 109, 112, 47, 77])  # fmt: skip
    FILLED = [100.17, 100.17, 99.25, 99.71, 100.28, 100.44, 100.55, 99.17, 100.72]
    DEVIATION = [1.249, 0.863, 0.652, 0.934, 0.892, 0.688, 1.103, 0.734, 0.936]

    @pytest.fixture
    def drawn(self):
        return draw_frame((160, 144), 60, seed=3)

    @pytest.mark.parametrize("name", PROBABILITIES)
    def test_probability(self, drawn, name):
        found = cosmicray_probability(drawn[0], name)[self.ROWS, self.COLUMNS]
        assert np.allclose(found, self.PROBABILITIES[name], rtol=0, atol=1e-3)

    def test_fill(self, drawn):
        image, hit = drawn
        entry, pixels = get_weights(None, task="inpaint"), parse_image(image)
        filled, std = replace_hit(
            pixels, hit, entry, lambda _: 1.0, floor=np.zeros_like
        )
        deviation = np.zeros(hit.shape)
        deviation[hit] = std
        assert np.allclose(filled[self.HIT], self.FILLED, rtol=0, atol=0.01)
        assert np.allclose(deviation[self.HIT], self.DEVIATION, rtol=2e-3)


class TestTiles:
    @pytest.mark.parametrize("name", list_weights())
    def test_tiled_is_whole(self, name):
        task = "inpaint" if name.startswith("inpaint") else "mask"
        weights = get_weights(name, task=task)
        frame = draw_frame((123, 131), 30, seed=1)[0]
        bright, good = frame > 500, np.zeros(frame.shape, bool)
        frame = measure_normalization(frame, good, weights).forward(frame)
        channels = {"mask": 1, "inpaint": 2}[task]
        frames = np.stack([frame, bright][:channels]).astype(np.float32)
        with conf.set_temp("tile_size", 1024):
            whole = predict(frames, weights)
        for tile_size in (100,):
            with conf.set_temp("tile_size", tile_size):
                tiled = predict(frames, weights)
            scale = 1 if task == "mask" else np.abs(whole).max()
            # This small one adds large numbers of both signs.
            tolerance = 5e-5 if name == "acs-wfc-f606w-2-4" else 1e-5
            assert np.abs(tiled - whole).max() <= tolerance * scale

    @pytest.mark.parametrize("tile_size", [64, 128, 256, 512])
    def test_tile_sizes(self, image, tile_size):
        big = np.tile(image, (2, 2))[:301, :277]
        with conf.set_temp("tile_size", 1024):
            whole = cosmicray_probability(big)
        with conf.set_temp("tile_size", tile_size), conf.set_temp("batch_size", 3):
            tiled = cosmicray_probability(big)
        assert np.abs(tiled - whole).max() <= 1e-5

    @pytest.mark.parametrize("shape", [(1, 1), (1, 50), (2, 3), (17, 31)])
    def test_small_frames(self, shape):
        probability = cosmicray_probability(np.full(shape, 100.0))
        assert probability.shape == shape
        assert np.all((probability >= 0) & (probability < 0.5))

    def test_halo_is_what_the_network_reaches(self):
        """A change of one pixel reaches exactly as far as the entry says, or less."""
        for name in ("acs-wfc", "inpaint-acs-wfc-f606w-3-32"):
            task = "inpaint" if name.startswith("inpaint") else "mask"
            weights = get_weights(name, task=task)
            network = inference._load_network(
                weights, torch.device("cpu"), torch.float32
            )
            reach = 0
            for offset in range(weights.stride):
                x = torch.full((1, weights.arguments["in_channels"], 96, 96), 50.0)
                y = x.clone()
                y[..., 48 + offset, 48 + offset] += 1000
                with torch.inference_mode():
                    changed = (network(x) != network(y))[0, 0].nonzero()
                reach = max(reach, int((changed - 48 - offset).abs().max()))
            assert weights.halo - weights.stride < reach <= weights.halo

    def test_only_where_asked(self, image):
        where = np.random.default_rng(0).random(image.shape) < 0.01
        where[3, 3] = where[-1, -1] = True
        weights = get_weights("acs-wfc")
        with conf.set_temp("tile_size", 64):
            part = predict(image[None], weights, where=where)
            whole = predict(image[None], weights)
        assert part.shape == (np.count_nonzero(where),)
        assert np.allclose(part, whole[where], rtol=0, atol=1e-6)
        fill = get_weights(None, task="inpaint")
        values = np.where(where, 0, image / 100 - 1).astype(np.float32)
        whole = predict([values, where], fill)
        part = predict([values, where], fill, where=where)
        assert part.shape == (2, np.count_nonzero(where))
        assert np.allclose(part, whole[:, where], rtol=0, atol=1e-5)

    def test_few_pixels_cost_little(self):
        weights = get_weights("inpaint-universal", task=None)
        where = np.zeros((1500, 1500), bool)
        where[::500, ::500] = True

        def cost(where):
            cpu = torch.device("cpu")
            tiles = inference._plan(where.shape, weights, where, 512, cpu)
            assert where.sum() == sum(where[tile.area].sum() for tile in tiles)
            return sum(tile.cost for tile in tiles) / (2 * where.size)

        assert cost(where) < 0.05
        assert cost(~where) < 1.4  # halos of large tiles
        assert cost(where & False) == 0


class TestMemory:
    def test_smaller_tiles(self, image, monkeypatch):
        whole = cosmicray_probability(image)
        original = inference._run_tiles

        def run(network, image, weights, where, tile_size, *more):
            if tile_size > 64:
                msg = "DefaultCPUAllocator: not enough memory: you tried to allocate"
                raise RuntimeError(msg)
            return original(network, image, weights, where, tile_size, *more)

        monkeypatch.setattr(inference, "_run_tiles", run)
        with pytest.warns(OutOfMemoryWarning) as record:
            probability = cosmicray_probability(image)
        assert "tiles of 64 pixels" in str(record[-1].message)
        assert np.abs(probability - whole).max() <= 1e-5

    def test_other_errors_are_not_hidden(self, image, monkeypatch):
        def run(*args):
            msg = "something else"
            raise RuntimeError(msg)

        monkeypatch.setattr(inference, "_run_tiles", run)
        with pytest.raises(RuntimeError, match="something else"):
            cosmicray_probability(image)

    def test_what_apple_gpus_say(self):
        error = RuntimeError("MPS backend out of memory (MPS allocated: 1 GB)")
        assert inference._is_out_of_memory(error)

    def test_gives_up(self, image, monkeypatch):
        def run(*args):
            raise MemoryError

        monkeypatch.setattr(inference, "_run_tiles", run)
        with pytest.warns(OutOfMemoryWarning), pytest.raises(MemoryError):
            cosmicray_probability(image)


class TestDevices:
    def test_configuration(self):
        with conf.set_temp("device", "cpu"):
            assert resolve_device() == torch.device("cpu")
        with conf.set_temp("precision", "bfloat16"):
            assert resolve_precision(torch.device("cpu")) is torch.bfloat16
        with conf.set_temp("precision", "auto"):
            assert resolve_precision(torch.device("cpu")) is torch.float32

    def test_bfloat16_is_close(self, image):
        full = cosmicray_probability(image) > 0.5
        with conf.set_temp("precision", "bfloat16"):
            short = cosmicray_probability(image) > 0.5
        assert np.mean(full != short) < 0.005

    def test_short_type_that_overflows(self, image):
        with conf.set_temp("precision", "float16"):
            probability = cosmicray_probability(image * 1e4, "acs-wfc")
        assert np.allclose(probability, cosmicray_probability(image * 1e4, "acs-wfc"))

    def run(self, code):
        """Return what code, or a script, prints in a process of its own."""
        what = [code] if isinstance(code, Path) else ["-c", code]
        return subprocess.run(
            [sys.executable, "-W", "ignore", *what],
            capture_output=True,
            text=True,
            timeout=300,
            check=True,
        ).stdout

    @pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
    @pytest.mark.parametrize("imported", ["before", "after"])
    def test_forked_from_a_process_that_used_torch_alone(self, imported):
        """The package loads most of itself when it is first used: in the fork."""
        code = f"""
import multiprocessing, numpy, torch
if {imported == "before"}:
    import astro_deepcr
torch.set_num_threads(2)
torch.nn.functional.conv2d(torch.ones(1, 8, 300, 300), torch.ones(8, 8, 3, 3))
image = numpy.random.default_rng(0).normal(100, 10, (300, 300))
def work(_):
    from astro_deepcr import cosmicray_probability
    return float(cosmicray_probability(image).max())
with multiprocessing.get_context("fork").Pool(1) as pool:
    print(0 < pool.map_async(work, [0]).get(200)[0] < 1)
"""
        assert self.run(code) == "True\n"

    def test_what_the_caller_set_for_torch(self, image):
        """Another device, or other types, by default."""
        with conf.set_temp("precision", "float32"):
            expected = cosmicray_probability(image, "universal")
            with torch.autocast("cpu", dtype=torch.bfloat16):
                same = cosmicray_probability(image, "universal")
        assert np.array_equal(same, expected)
        inference._load_network.cache_clear()
        with torch.device("meta"):
            same = cosmicray_probability(image, "universal", device="cpu")
        assert np.allclose(same, expected, atol=0.1)

    @pytest.mark.parametrize("setting", ["autocast", "bfloat16", "float16", "raise"])
    def test_first_call_with_other_settings(self, image, setting):
        """What is made in the first call, and kept, does not depend on them."""

        def forget():
            for kept in ("_load_network", "_does", "_limits_of_int8"):
                getattr(inference, kept).cache_clear()

        default, auto = torch.get_default_dtype(), conf.set_temp("precision", "auto")
        autocast = torch.autocast("cpu", torch.bfloat16, enabled=setting == "autocast")
        errors = np.errstate(all="raise" if setting == "raise" else None)
        forget()
        with auto:
            expected = cosmicray_probability(image, "universal", device="cpu")
            forget()
            try:
                if setting.endswith("16"):
                    torch.set_default_dtype(getattr(torch, setting))
                with autocast, errors:
                    cosmicray_probability(image, "universal", device="cpu")
            finally:
                torch.set_default_dtype(default)
            same = cosmicray_probability(image, "universal", device="cpu")
        forget()
        assert np.array_equal(same, expected)

    @pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
    def test_forkserver_that_knows_the_package(self, tmp_path):
        """It imported the package, but has used no torch: all threads are there."""
        script = tmp_path / "script.py"
        script.write_text("""
import multiprocessing
def threads(_):
    import torch
    from astro_deepcr.devices import cpu_threads
    with cpu_threads(2):
        return torch.get_num_threads()
if __name__ == "__main__":
    multiprocessing.set_forkserver_preload(["astro_deepcr"])
    with multiprocessing.get_context("forkserver").Pool(1) as pool:
        print(pool.map_async(threads, [0]).get(200))
""")
        assert self.run(script) == "[2]\n"

    @pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
    def test_forked_processes(self):
        """They do not wait for threads that stayed in the other process."""
        code = """
import multiprocessing, numpy, torch
from astro_deepcr import conf, cosmicray_probability
torch.set_num_threads(2)
conf.num_threads = 2
image = numpy.random.default_rng(0).normal(100, 10, (300, 300))
def work(_):
    return cosmicray_probability(image).sum()
here = work(0)
with multiprocessing.get_context("fork").Pool(2) as pool:
    print(numpy.allclose(pool.map_async(work, [0, 1]).get(200), here, rtol=1e-3))
"""
        assert self.run(code) == "True\n"

    def test_threads_are_put_back(self, image):
        before = torch.get_num_threads()
        with conf.set_temp("num_threads", before + 1):
            cosmicray_probability(image)
            assert torch.get_num_threads() == before
        with pytest.raises(ValueError, match="num_threads=-1"), cpu_threads(-1):
            pass

    def test_memory_is_kept_but_for_what_the_environment_says(self, monkeypatch):
        told = []
        library = SimpleNamespace(mallopt=lambda *option: told.append(option))
        monkeypatch.setattr(devices.ctypes, "CDLL", lambda _: library)
        monkeypatch.setenv("MALLOC_MMAP_THRESHOLD_", "65536")
        monkeypatch.delenv("MALLOC_TRIM_THRESHOLD_", raising=False)
        devices.keep_freed_memory.__wrapped__()
        assert told == [(-1, 2**30)]
        monkeypatch.setattr(devices.ctypes, "CDLL", lambda _: SimpleNamespace())
        devices.keep_freed_memory.__wrapped__()  # another C library

    @pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
    def test_cuda_agrees(self, image):
        assert np.allclose(
            cosmicray_probability(image, device="cuda"),
            cosmicray_probability(image, device="cpu"),
            atol=1e-3,
        )


def test_loaded_once(image, monkeypatch):
    inference._load_network.cache_clear()
    cosmicray_probability(image)
    cosmicray_probability(image)
    assert inference._load_network.cache_info().hits == 1


def test_weights_that_cannot_be_found(image):
    """The error is that of the search, with its remedy."""
    from dataclasses import replace

    gone = replace(get_weights("acs-wfc"), url="file:///nowhere/ACS-WFC.pth")
    with pytest.raises(WeightsError, match=r"(?s)^The weights.*fetched.*import"):
        cosmicray_probability(image, gone)
    odd = replace(get_weights("acs-wfc"), normalization="by-hand")
    with pytest.raises(WeightsError, match="normalization 'by-hand'"):
        cosmicray_probability(image, odd)


def test_tensors_of_another_architecture(image):
    from dataclasses import replace

    wrong = replace(
        get_weights("acs-wfc"), name="wrong", arguments={"hidden": 8, "levels": 2}
    )
    with pytest.raises(WeightsError, match=r"'wrong' do not fit .*deepcr-unet"):
        cosmicray_probability(image, wrong)
    unknown = replace(wrong, architecture="perceptron")
    for precision in ("float32", "auto"):
        with (
            conf.set_temp("precision", precision),
            pytest.raises(WeightsError, match="'perceptron' is not known"),
        ):
            cosmicray_probability(image, unknown)


class TestBfloat16:
    """Processors that are good at it use it, with weights for which it is as good."""

    @pytest.fixture(autouse=True)
    def able(self, monkeypatch):
        monkeypatch.setattr(inference, "cpu_has_bfloat16", lambda: True)
        monkeypatch.setattr(inference, "cpu_has_int8", lambda: False)
        inference._does.cache_clear()
        with conf.set_temp("precision", "auto"):
            yield
        inference._does.cache_clear()

    def precision(self, name, task="mask"):
        weights = get_weights(name, task=task)
        return inference._choose_precision(weights, torch.device("cpu"))

    def test_bundled_weights(self):
        assert self.precision("universal") == torch.bfloat16
        assert self.precision("inpaint-universal", "inpaint") == torch.bfloat16

    def test_nearly_the_same_mask(self, image):
        short = cosmicray_probability(image, "universal")
        with conf.set_temp("precision", "float32"):
            exact = cosmicray_probability(image, "universal")
        assert not np.array_equal(short, exact)
        assert np.mean((short > 0.5) != (exact > 0.5)) <= 1e-3

    def test_statistics_of_a_frame_do_not_matter(self):
        weights = get_weights("universal")
        settled = dataclasses.replace(
            weights, normalization=Normalization(1e6, 1e-3, asinh=True)
        )
        assert inference._of_no_frame(settled) == inference._of_no_frame(weights)

    def test_a_processor_that_does_it_badly(self, monkeypatch):
        original = inference._run_tiles

        def run(network, *args):
            output = original(network, *args)
            if next(network.head.parameters()).dtype == torch.bfloat16:
                output[:50] = 1
            return output

        monkeypatch.setattr(inference, "_run_tiles", run)
        assert self.precision("universal") == torch.float32

    def test_others_do_without(self, monkeypatch):
        monkeypatch.setattr(inference, "cpu_has_bfloat16", lambda: False)
        assert self.precision("universal") == torch.float32

    def test_what_is_asked_for(self):
        with conf.set_temp("precision", "float32"):
            assert self.precision("universal") == torch.float32


class TestInt8:
    """As `TestBfloat16`, for integers of 8 bits."""

    @pytest.fixture(autouse=True)
    def able(self, monkeypatch):
        if not devices.cpu_has_int8():
            pytest.skip("needs a processor with AVX2")
        monkeypatch.setattr(inference, "cpu_has_bfloat16", lambda: False)
        inference._does.cache_clear()
        yield
        inference._does.cache_clear()

    def precision(self, wanted, name, task="mask"):
        with conf.set_temp("precision", wanted):
            return inference._choose_precision(
                get_weights(name, task=task), torch.device("cpu")
            )

    def test_which_weights(self):
        for name in ("universal", "universal-fast"):
            assert self.precision("auto", name) == torch.int8
        fill = ("inpaint-universal", "inpaint")
        assert self.precision("auto", *fill) == torch.float32  # would fill otherwise
        assert self.precision("int8", *fill) == torch.int8
        for wanted in ("auto", "int8"):  # an architecture that has no such form
            assert self.precision(wanted, "acs-wfc") == torch.float32

    def test_nearly_the_same_mask(self, image):
        masks = []
        for wanted in ("int8", "float32"):
            with conf.set_temp("precision", wanted):
                masks.append(cosmicray_probability(image, "universal") > 0.5)
        assert np.mean(masks[0] != masks[1]) <= 1e-3

    def test_nearly_the_same_values(self, image):
        filled = []
        for wanted in ("int8", "float32"):
            with conf.set_temp("precision", wanted):
                filled.append(inpaint_cosmicrays(image, image > 500))
        difference = np.abs(filled[0] - filled[1])[image > 500]
        assert difference.mean() < 0.2 * 10  # of the noise

    def test_not_beyond_what_integers_hold(self, image, monkeypatch):
        """Very bright frames are done in floating point, like those that overflow."""
        used, original = [], inference._predict_in_memory

        def run(*args):
            used.append(args[-1])
            return original(*args)

        monkeypatch.setattr(inference, "_predict_in_memory", run)
        with conf.set_temp("precision", "int8"):
            for factor in (1, 1e4, -100):
                bright = np.where(image > 500, factor * image, image)
                cosmicray_probability(bright, "universal")
        assert used[0] == torch.int8
        assert used[1].is_floating_point
        assert used[2].is_floating_point

    def test_tiles_do_not_matter(self, image):
        whole, cut = np.tile(image, (4, 4)), []
        for size in (0, 256):
            with conf.set_temp("precision", "int8"), conf.set_temp("tile_size", size):
                cut.append(cosmicray_probability(whole, "universal"))
        assert np.allclose(*cut, rtol=0, atol=1e-6)

    def test_a_processor_that_does_it_badly(self, monkeypatch):
        original = inference._run_tiles

        def run(network, *args):
            output = original(network, *args)
            if not isinstance(network.head, torch.nn.Conv2d):
                output[:50] = 1
            return output

        monkeypatch.setattr(inference, "_run_tiles", run)
        assert self.precision("auto", "universal") == torch.float32


def test_int8_where_there_is_nothing_for_it(monkeypatch):
    with conf.set_temp("precision", "int8"):
        with pytest.raises(DeviceError, match="'int8' was asked for, which cuda"):
            resolve_precision(torch.device("cuda"))
        monkeypatch.setattr(devices, "cpu_has_int8", lambda: False)
        with pytest.raises(DeviceError, match=r"which cpu cannot do well: .* AVX2"):
            resolve_precision(torch.device("cpu"))


@pytest.mark.parametrize(
    ("capability", "dtype"), [((7, 5), torch.float16), ((9, 0), torch.bfloat16)]
)
def test_older_gpus_only_emulate_bfloat16(monkeypatch, capability, dtype):
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _: capability)
    with conf.set_temp("precision", "auto"):
        assert resolve_precision(torch.device("cuda:1")) is dtype


def test_float32_of_gpus_is_not_rounded():
    cudnn = torch.backends.cudnn

    def rounded():
        convolution = getattr(cudnn, "conv", None)  # of new versions of torch
        kind = getattr(convolution, "fp32_precision", None)
        return cudnn.allow_tf32 if kind is None else kind != "ieee"

    before = rounded()
    with devices.exact_convolutions(torch.device("cuda")):
        assert not rounded()
    assert rounded() == before
    assert cudnn.allow_tf32 == before  # which torch refuses to tell if names are mixed
    with devices.exact_convolutions(torch.device("cpu")):
        assert rounded() == before


class TestOrientations:
    @pytest.mark.parametrize("number", [2, 4, 8])
    def test_mean_of_logits(self, image, number):
        turned = [
            lambda x: x,
            lambda x: x[::-1, ::-1],
            lambda x: x[::-1],
            lambda x: x[:, ::-1],
            lambda x: x.T,
            lambda x: x[::-1, ::-1].T,
            lambda x: x[::-1].T,
            lambda x: x.T[::-1],
        ]
        back = [*turned[:5], turned[5], lambda x: x.T[::-1], lambda x: x[::-1].T]
        weights, logits = get_weights("universal"), []
        nothing = np.zeros(image.shape, bool)
        x = measure_normalization(image, nothing, weights).forward(image)
        for there, again in list(zip(turned, back, strict=True))[:number]:
            assert np.array_equal(again(there(x)), x)
            p = again(predict([there(x)], weights)).astype(float)
            logits.append(np.log(p / (1 - p)))
        expected = 1 / (1 + np.exp(-np.mean(logits, axis=0)))
        found = predict([x], weights, orientations=number)
        assert np.allclose(found, expected, atol=1e-3)
        assert not np.allclose(found, predict([x], weights), atol=1e-3)

    def test_tiles_do_not_matter(self, image):
        whole, cut = np.tile(image, (3, 4)), []
        for size in (0, 256):
            with conf.set_temp("tile_size", size):
                cut.append(cosmicray_probability(whole, orientations=8))
        assert np.allclose(*cut, atol=1e-4)

    def test_in_the_header(self):
        data, _ = draw_frame((64, 64), 5, seed=2)
        ccd = CCDData(data, unit="electron")
        assert cosmicray_deepcr(ccd, orientations=2).meta["CRORIENT"] == 2
        assert cosmicray_deepcr(ccd).meta["CRORIENT"] == 1

    @pytest.mark.parametrize("wrong", [0, 3, True, "2", None, 16])
    def test_wrong_numbers(self, image, wrong):
        for function in (cosmicray_probability, cosmicray_deepcr):
            with pytest.raises(ValueError, match="must be 1, 2, 4 or 8"):
                function(image, orientations=wrong)
