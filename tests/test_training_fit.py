# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Training: it learns, it can be stopped in any way, and says what went wrong."""

import errno
import os
import re
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from astropy import units as u
from astropy.io import fits
from astropy.nddata import CCDData, StdDevUncertainty

from astro_deepcr import conf, cosmicray_deepcr, inpaint_cosmicrays
from astro_deepcr.exceptions import TrainingError, WeightsError
from astro_deepcr.models import FillUNet, PlainUNet
from astro_deepcr.scripts import main
from astro_deepcr.training import (
    LabelledFrames,
    Mixture,
    SimulatedFrames,
    TrainingConfig,
    fit,
    fitting,
    tasks,
)
from astro_deepcr.training._batch import Batch
from astro_deepcr.training.calibration import fit_temperature, measure
from astro_deepcr.training.checkpoint import identify, save_checkpoint
from astro_deepcr.training.recipe import make_source, read_recipe
from astro_deepcr.training.teacher import soften
from astro_deepcr.weights import get_weights
from astro_deepcr.weights.files import load_state

from .conftest import draw_frame

TINY = {"arguments": {"widths": (4, 8), "depths": 1, "stem": "full"}, "device": "cpu"}
SHORT = TINY | {"steps": 6, "batch_size": 4, "crop": 32, "validation_size": 4}


def train(path, pause=0.0):
    """Train a little, perhaps slowly; also in a process that is killed."""
    torch.set_num_threads(1)

    class Slow(LabelledFrames):
        def draw(self, *args):
            time.sleep(pause)
            return super().draw(*args)

    options = SHORT | {"steps": 40, "save_every": 10, "validate_every": 20}
    return fit(Slow(*draw_frames(12)), path, **options)


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    """Sums in one order: the same numbers however busy the computer is."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    with conf.set_temp("precision", "float32"):
        yield
    torch.set_num_threads(before)


def draw_frames(n, shape=(48, 48), first=0):
    return [
        list(parts)
        for parts in zip(
            *(draw_frame(shape, 4, first + i) for i in range(n)), strict=True
        )
    ]


@pytest.fixture(scope="module")
def frames():
    """Return labelled frames."""
    return LabelledFrames(*draw_frames(12))


def same(one, two):
    one, two = (load_state(weights.path) for weights in (one, two))
    return all(torch.equal(one[name], two[name]) for name in one)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Return weights trained on 200 small frames; takes 3 s on an idle computer."""
    source = LabelledFrames(*draw_frames(200))
    path = tmp_path_factory.mktemp("trained") / "tracks.safetensors"
    about = {"domain": "tracks", "license": "BSD-3-Clause", "threshold": 0.4}
    return fit(
        source, path, about=about, steps=80, batch_size=16, crop=32, learning_rate=5e-3,
        validation_size=80, **TINY,
    )  # fmt: skip


class TestLearns:
    def test_beats_a_constant(self, trained):
        """By far: a tenth of the cross-entropy of the best constant probability."""
        weights = trained
        rate = np.mean(draw_frames(20, first=180)[1])
        constant = -(rate * np.log(rate) + (1 - rate) * np.log(1 - rate))
        assert weights.metrics["loss"] < 0.1 * constant
        assert weights.metrics["average_precision"] > 0.97  # a constant has the rate
        assert weights.metrics["calibration_error"] < 0.02

    def test_file_can_be_used_as_it_is(self, trained):
        weights = trained
        image, truth = draw_frame((96, 80), 10, seed=1234)
        _, found = cosmicray_deepcr(image * 0.1 + 7, weights.path, device="cpu")
        assert (found & truth).sum() > 0.95 * truth.sum()
        assert (found & ~truth).sum() < 0.02 * truth.sum()
        assert (weights.domain, weights.threshold) == ("tracks", 0.4)
        assert weights.halo == 6

    def test_operating_points(self, trained):
        weights = trained
        fpr, threshold, tpr = np.transpose(weights.operating_points)
        assert len(fpr) >= 1
        assert np.all(np.diff(fpr) > 0)
        assert np.all(np.diff(threshold) < 0)
        assert np.all((tpr > 0.9) & (tpr <= 1))
        assert 0 < weights.threshold_for(fpr[0]) < 1

    def test_fine_tuning(self, trained, tmp_path):
        """Starts from what is known: better than from nothing after few steps."""
        weights = trained
        source = LabelledFrames(*draw_frames(12, first=300))
        options = {"steps": 3, "crop": 32, "batch_size": 4, "validation_size": 40}
        options |= {"validation_fraction": 0.5}
        tuned = fit(
            source, tmp_path / "tuned.safetensors", start=weights.path, **options
        )
        assert tuned.metrics["average_precision"] > 0.95
        assert tuned.arguments == weights.arguments
        assert (tuned.name, tuned.halo) == ("tuned", weights.halo)
        fresh = fit(source, tmp_path / "fresh.safetensors", **TINY, **options)
        assert fresh.metrics["loss"] > 2 * tuned.metrics["loss"]

    def test_teacher(self, trained, tmp_path, monkeypatch):
        """What the start says is part of the target, to the end."""
        asked = []

        def ask(batch, x, teacher, share, rng):
            first = next(iter(teacher.state_dict().values())).clone()
            asked.append((share, float(first.sum())))
            return soften(batch, x, teacher, share, rng)

        monkeypatch.setattr(fitting, "soften", ask)
        source = LabelledFrames(*draw_frames(12, first=300))
        options = {"steps": 3, "crop": 32, "batch_size": 4, "validation_size": 40}
        options |= {"validation_fraction": 0.5, "start": trained.path, "device": "cpu"}
        path = tmp_path / "taught.safetensors"
        taught = fit(source, path, teacher=0.7, learning_rate=1e-2, **options)
        assert len(set(asked)) == 1
        assert len(asked) == 3
        assert taught.metrics["average_precision"] > 0.95

    def test_target_of_a_teacher(self):
        def teacher(x, inside=None):
            assert inside is None
            return torch.full_like(x[:, :1], 2.0)

        target = torch.eye(8)[None]
        weight = torch.ones(1, 8, 8)
        weight[0, 2, 3] = 8  # the core of a star
        batch = Batch(target, target, weight, torch.zeros(1), torch.ones(1))
        rng = np.random.default_rng(0)
        soft = soften(batch, torch.zeros(1, 1, 8, 8), teacher, 0.25, rng)
        expected = 0.75 * target + 0.25 / (1 + np.exp(-2.0))
        expected[0, 2, 3] = 0
        assert torch.allclose(soft.target, expected)
        assert torch.equal(batch.target, target)

    def test_teacher_looks_in_all_orientations(self):
        """Two at a time; their mean is that of all."""
        sums = set()

        def teacher(x, inside=None):
            sums.add(tuple(x[0, 0].flatten().tolist()))
            return x.clone()

        image = torch.arange(4.0).reshape(1, 2, 2)
        batch = Batch(image, image, image, torch.zeros(1), torch.ones(1))
        for seed in range(12):
            rng = np.random.default_rng(seed)
            soften(batch, image[:, None], teacher, 0.5, rng)
        assert len(sums) == 8

    def test_teacher_needs_weights_that_find_hits(self, frames, tmp_path):
        path = tmp_path / "a.safetensors"
        with pytest.raises(ValueError, match=r"teacher=0.5 needs a start"):
            fit(frames, path, teacher=0.5, **SHORT)

    def test_validation_is_of_calibrated_output(self):
        """Else a start, which was calibrated, would win against better ones."""
        generator = torch.Generator().manual_seed(0)
        logits = torch.randn(2, 1, 64, 64, generator=generator)
        target = torch.bernoulli(logits[:, 0].sigmoid(), generator=generator)
        one, none = torch.ones_like(target), torch.zeros(2)
        batch = Batch(target, target, one, none, none + 1)
        right = tasks.MaskTask.correct(4 * logits + 1, batch)
        assert np.allclose(fit_temperature(right, target, one), (1, 0), atol=1e-3)
        told = torch.cat([logits, logits * 0 + 2], dim=1)
        right = tasks.FillTask.correct(told, batch)
        assert tasks.FillTask.measure(right, batch)["pull_scale"] == pytest.approx(1)
        assert torch.equal(right[:, 0], told[:, 0])

    @pytest.mark.parametrize("task", ["mask", "inpaint"])
    def test_what_is_written_is_calibrated(self, task):
        """As the output was that the validation measured."""
        kind, network = {
            "mask": (tasks.MaskTask, PlainUNet(widths=(4, 8))),
            "inpaint": (tasks.FillTask, FillUNet(widths=(4, 8), detail=4)),
        }[task]
        generator = torch.Generator().manual_seed(0)
        x = torch.randn(2, kind.channels[0], 32, 32, generator=generator)
        if task == "inpaint":
            x[:, 1] = (x[:, 1] > 1).float()
        with torch.no_grad():
            wanted = (3 * network(x)[:, 0] + 5).sigmoid()
        target = torch.bernoulli(wanted, generator=generator)
        one, none = torch.ones_like(target), torch.zeros(2)
        batch = Batch(target, target, one, none, none + 1)
        with torch.no_grad():
            output = network(x)
            expected = kind.correct(output, batch).float()
            network.load_state_dict(kind.calibrate(network.state_dict(), output, batch))
            written = network(x)
        assert not torch.allclose(output, expected, atol=1e-3)
        assert torch.allclose(written, expected, atol=1e-4)

    def test_fine_tuning_never_loses_the_start(self, trained, tmp_path):
        source = LabelledFrames(*draw_frames(12, first=300))
        options = {"steps": 5, "crop": 32, "batch_size": 4, "learning_rate": 1.0}
        tuned = fit(
            source, tmp_path / "wild.safetensors", start=trained.path, device="cpu",
            average=0.0, **options,
        )  # fmt: skip
        assert tuned.metrics["average_precision"] > 0.9

    def test_fine_tuning_of_an_official_network(self, frames, tmp_path, weights_cache):
        entry = get_weights("acs-wfc-f606w-2-4")
        options = {"steps": 1, "crop": 32, "batch_size": 2, "validation_size": 2}
        path = tmp_path / "mine.safetensors"
        tuned = fit(frames, path, start=entry, device="cpu", **options)
        kept = ("unit", "normalization", "scale", "halo", "stride", "architecture")
        assert all(getattr(tuned, name) == getattr(entry, name) for name in kept)

    def test_what_is_not_taken_over_from_the_start(self, frames, tmp_path):
        entry = get_weights("acs-wfc-f606w-2-4")
        entry = replace(entry, threshold=0.15, trained_on="")
        options = SHORT | {
            "steps": 1,
            "start": entry,
            "output": tmp_path / "a.safetensors",
        }
        del options["arguments"]
        tuned = fit(frames, **options)
        assert (tuned.instruments, tuned.threshold, tuned.domain) == ((), 0.5, "")
        assert tuned.trained_on == "acs-wfc-f606w-2-4; then tuned"
        about = {"instruments": "MYCAM", "threshold": np.float32(0.25)}
        tuned = fit(frames, **options, about=about)
        assert (tuned.instruments, tuned.threshold) == (("MYCAM",), 0.25)


class TestStopsAndGoesOn:
    def test_seed_decides(self, frames, tmp_path):
        runs = [
            fit(frames, tmp_path / f"{i}.safetensors", **SHORT, seed=seed)
            for i, seed in enumerate((1, 1, 2))
        ]
        assert same(runs[0], runs[1])
        assert not same(runs[0], runs[2])

    def test_no_side_effects(self, frames, tmp_path):
        state = torch.get_rng_state()
        fit(frames, tmp_path / "one.safetensors", **SHORT)
        assert torch.equal(torch.get_rng_state(), state)
        assert [path.name for path in tmp_path.iterdir()] == ["one.safetensors"]

    def test_resume_is_exact(self, frames, tmp_path, monkeypatch):
        options = SHORT | {"save_every": 2, "validate_every": 3}
        whole = fit(frames, tmp_path / "whole.safetensors", **options)
        learn = fitting.Training.learn

        def stop(self, batch):
            if self.step == 5:
                raise KeyboardInterrupt
            return learn(self, batch)

        path = tmp_path / "parts.safetensors"
        with monkeypatch.context() as patch:
            patch.setattr(fitting.Training, "learn", stop)
            with pytest.raises(KeyboardInterrupt):
                fit(frames, path, **options)
        steps = []
        with monkeypatch.context() as patch:
            patch.setattr(
                fitting.Training,
                "learn",
                lambda self, batch: steps.append(self.step) or learn(self, batch),
            )
            parts = fit(frames, path, **options)
        assert steps == [4, 5]
        assert same(whole, parts)

    def test_kill_9(self, tmp_path):
        """A process that is killed in mid-training loses nothing that counts."""
        paths = [tmp_path / f"{name}.safetensors" for name in ("whole", "parts")]
        command = f"from {__name__} import train; train({str(paths[1])!r}, 0.05)"
        process = subprocess.Popen(
            [sys.executable, "-c", command], cwd=Path(__file__).parents[1]
        )
        whole = train(paths[0])
        checkpoint = paths[1].with_suffix(".checkpoint")
        while not checkpoint.exists() and process.poll() is None:
            time.sleep(0.01)
        process.kill()
        assert process.wait() != 0
        assert not paths[1].exists()
        assert 0 < torch.load(checkpoint, weights_only=True)["step"] < 40
        assert same(whole, train(paths[1]))

    def test_early_stop_keeps_the_best(self, frames, tmp_path, monkeypatch):
        losses = iter([0.5, 0.3, 0.4, 0.6, 0.7, 0.8])

        def measured(*args):
            metrics, scores = measure(*args)
            return metrics | {"loss": next(losses, 1.0)}, scores

        monkeypatch.setattr(tasks, "measure", measured)
        path = tmp_path / "one.safetensors"
        weights = fit(frames, path, **SHORT, validate_every=1, patience=2)
        assert weights.metrics["steps"] == 4

    def test_stopped_after_an_early_stop(self, frames, tmp_path, monkeypatch):
        """All that is left is to write: going on would give another result."""
        losses = iter([0.5, 0.3, 0.4, 0.6, 0.1])

        def measured(*args):
            metrics, scores = measure(*args)
            return metrics | {"loss": next(losses, 0.05)}, scores

        def full(*_args):
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(tasks, "measure", measured)
        path = tmp_path / "one.safetensors"
        with monkeypatch.context() as patch:
            patch.setattr(fitting, "_finish", full)
            with pytest.raises(OSError, match="No space left"):
                fit(frames, path, **SHORT, validate_every=1, patience=2)
        weights = fit(frames, path, **SHORT, validate_every=1, patience=2)
        assert weights.metrics["steps"] == 4

    def test_nan_loss(self, frames, tmp_path, monkeypatch):
        """Stops, and keeps the checkpoint from before."""
        original = tasks.mask_loss
        calls = []

        def loss(*args):
            calls.append(1)
            return original(*args) * (np.nan if len(calls) > 3 else 1)

        monkeypatch.setattr(tasks, "mask_loss", loss)
        path = tmp_path / "one.safetensors"
        with pytest.raises(
            TrainingError, match=r"after 4 step.*checkpoint is kept|kept"
        ):
            fit(frames, path, **SHORT, save_every=2)
        assert not path.exists()
        state = torch.load(path.with_suffix(".checkpoint"), weights_only=True)
        assert state["step"] == 2
        assert all(torch.isfinite(v).all() for v in state["network"].values())
        monkeypatch.setattr(tasks, "mask_loss", original)
        assert fit(frames, path, **SHORT, learning_rate=1e-4).metrics["steps"] == 6

    def test_full_disk(self, tmp_path, monkeypatch):
        path = tmp_path / "one.checkpoint"
        save_checkpoint(path, {"config": {}, "step": 1})

        def fail(descriptor):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        monkeypatch.setattr(os, "fsync", fail)
        with pytest.raises(TrainingError, match=r"No space left.*last one is still"):
            save_checkpoint(path, {"config": {}, "step": 2})
        assert torch.load(path, weights_only=True)["step"] == 1
        assert list(tmp_path.iterdir()) == [path]

    def test_checkpoint_of_another_training(self, frames, tmp_path):
        path = tmp_path / "one.safetensors"
        save_checkpoint(path.with_suffix(".checkpoint"), {"config": {"steps": 9}})
        with pytest.raises(TrainingError, match=r"another training .*steps: 9 -> 6"):
            fit(frames, path, **SHORT)
        assert fit(frames, path, **SHORT, resume=False).metrics["steps"] == 6

    @pytest.mark.parametrize(
        ("change", "match"),
        [
            ({"about": {"normalization": "mean-std"}}, "normalization: sky-noise"),
            ({"about": {"unit": "electron"}}, "unit: None -> electron"),
            ({"start": "other"}, "start: "),
            ({"data": "other"}, "data: "),
        ],
    )
    def test_checkpoint_of_other_data(
        self, frames, tmp_path, monkeypatch, change, match
    ):
        learn = fitting.Training.learn

        def stop(self, batch):
            if self.step == 3:
                raise KeyboardInterrupt
            return learn(self, batch)

        options = {"data": frames, "output": tmp_path / "one.safetensors"} | SHORT
        options |= {"save_every": 2, "learning_rate": 1e-3}
        if "start" in change:
            change = {"start": tmp_path / "start.safetensors"}
            fit(frames, change["start"], **SHORT | {"steps": 1}, seed=5)
        if "data" in change:
            change = {"data": LabelledFrames(*draw_frames(12, first=1))}
        with monkeypatch.context() as patch:
            patch.setattr(fitting.Training, "learn", stop)
            with pytest.raises(KeyboardInterrupt):
                fit(**options)
        with pytest.raises(TrainingError, match=f"another training .*{match}"):
            fit(**options | change)
        if "data" in change:  # also where it is a part of several
            assert identify(Mixture([change["data"]])) != identify(
                Mixture([LabelledFrames(*draw_frames(12))])
            )

    @pytest.mark.skipif(not Path("/proc/self").exists(), reason="for Linux")
    def test_full_disk_at_the_end(self, frames, tmp_path, monkeypatch):
        """What was learnt is kept until the result is on the disk."""
        path, fsync = tmp_path / "one.safetensors", os.fsync

        def full(descriptor):
            if Path(f"/proc/self/fd/{descriptor}").readlink().name == path.name:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            fsync(descriptor)

        with monkeypatch.context() as patch:
            patch.setattr(os, "fsync", full)
            with pytest.raises(WeightsError, match=r"one.*cannot be written: .*space"):
                fit(frames, path, **SHORT)
        assert [one.name for one in tmp_path.iterdir()] == ["one.checkpoint"]

        def learn(self, batch):
            raise AssertionError

        monkeypatch.setattr(fitting.Training, "learn", learn)
        assert fit(frames, path, **SHORT).metrics["steps"] == 6
        assert list(tmp_path.iterdir()) == [path]

    def test_restart_forgets_the_old_checkpoint(self, frames, tmp_path, monkeypatch):
        def stop(self, batch):
            raise KeyboardInterrupt

        path = tmp_path / "one.safetensors"
        save_checkpoint(path.with_suffix(".checkpoint"), {"config": {}, "step": 5})
        monkeypatch.setattr(fitting.Training, "learn", stop)
        with pytest.raises(KeyboardInterrupt):
            fit(frames, path, **SHORT, resume=False)
        assert not list(tmp_path.iterdir())

    @pytest.mark.parametrize(
        ("task", "architecture", "arguments"),
        [
            ("mask", "fill-unet", {}),
            ("mask", "plain-unet", {"out_channels": 2}),
            ("inpaint", "plain-unet", {}),
            ("inpaint", "deepcr-unet", {"in_channels": 2}),
        ],
    )
    def test_architecture_of_another_task(
        self, tmp_path, task, architecture, arguments
    ):
        source = SimulatedFrames(hide=task == "inpaint")
        options = {"task": task, "architecture": architecture, "arguments": arguments}
        with pytest.raises(
            ValueError, match=f"does not fit task='{task}', which needs"
        ):
            fit(source, tmp_path / "a.safetensors", **options, device="cpu")

    def test_what_is_told_of_data(self):
        """Whatever it is, and though it holds itself."""
        source = SimpleNamespace(frames=[np.ones((2, 2)), None], draw=print)
        source.own, source._cache = source, np.ones(3)
        first = identify(source)
        source._cache = None
        assert identify(source) == first
        source.frames[0][1, 1] = np.nan
        assert identify(source) != first
        assert identify({"processes": 2}) == identify({"processes": 0})
        assert identify(u.Quantity([1, 2], "s")) == identify(np.array([1.0, 2]))
        assert identify(np.eye(3)) != identify(np.eye(3)[::-1])
        assert identify(np.array(["a"])) != identify(np.array(["b"]))

    def test_damaged_checkpoint(self, frames, tmp_path):
        path = tmp_path / "one.safetensors"
        path.with_suffix(".checkpoint").write_bytes(b"damaged")
        with pytest.raises(TrainingError, match=r"cannot be read .*delete it"):
            fit(frames, path, **SHORT)

    def test_numbers_of_numpy(self, frames, tmp_path):
        """They come out of files, and the training goes on from them."""
        arguments = {"widths": np.array([4, 8]), "depths": np.int64(1)}
        numbers = {"steps": np.int64(2), "seed": np.uint32(3), "clip": np.float32(1)}
        options = SHORT | numbers | {"arguments": arguments, "device": "cpu"}
        weights = fit(frames, tmp_path / "a.safetensors", **options)
        assert weights.arguments == {"widths": [4, 8], "depths": 1}
        config = TrainingConfig(steps=np.int64(2), learning_rate=np.float32(1e-3))
        assert {type(config.steps), type(config.learning_rate)} == {int, float}


class TestBadInput:
    @pytest.mark.parametrize(
        ("options", "error", "match"),
        [
            ({"steps": 0}, ValueError, "steps=0 must be between 1"),
            ({"steps": 1.5}, TypeError, "steps=1.5 must be a whole number"),
            ({"learning_rate": "high"}, TypeError, "learning_rate='high' must be"),
            ({"learning_rate": np.nan}, ValueError, "learning_rate=nan must be"),
            ({"precision": "int8"}, ValueError, "precision='int8' must be one of"),
            ({"epochs": 3}, ValueError, "'epochs', which is not known; known are"),
            ({"patience": 0}, ValueError, "patience=0 must be between 1"),
            ({"reparametrize": "no"}, TypeError, "reparametrize='no' must be True"),
            (
                {"about": {"normalization": "sky-noise"}},
                ValueError,
                "normalization='sky-noise' of the weights must be one of fixed",
            ),
            ({"about": {"threshold": 5}}, ValueError, "threshold=5 of .* 0 and 1"),
            ({"about": {"scale": "x"}}, ValueError, "scale='x' of .* positive"),
            ({"about": {"unit": "lightyearz"}}, ValueError, "must be a unit such"),
            (
                {"task": "inpaint", "arguments": None},
                ValueError,
                r"needs SimulatedFrames\(hide=True\)",
            ),
            (
                {"data": SimulatedFrames(hide=True)},
                ValueError,
                "needs labelled data; these data are for task='inpaint'",
            ),
            ({"about": {"licence": "MIT"}}, ValueError, "'licence', which is not"),
            ({"architecture": "resnet"}, RuntimeError, "'resnet' is not known"),
            ({"arguments": {"width": 4}}, RuntimeError, "does not take"),
            ({"crop": 50}, ValueError, "smaller than crop=50"),
            ({"crop": 33}, ValueError, "crop=33 must be a multiple of 2"),
        ],
    )
    def test_options(self, frames, tmp_path, options, error, match):
        with pytest.raises(error, match=match):
            fit(
                **{"data": frames, "output": tmp_path / "a.safetensors"}
                | SHORT
                | options
            )

    @pytest.mark.parametrize("value", [0.0, 1.0])
    def test_validation_that_tells_nothing(self, frames, tmp_path, value):
        validation = LabelledFrames(*draw_frames(4))
        for frame in validation.frames:
            frame.target[:] = value
        what = "no pixel is" if value == 0 else "all pixels are"
        with pytest.raises(ValueError, match=f"validation data {what} a cosmic ray"):
            fit(frames, tmp_path / "a.safetensors", validation=validation, **SHORT)

    def test_output(self, frames, tmp_path):
        with pytest.raises(ValueError, match=r"must end in .safetensors"):
            fit(frames, tmp_path / "one.pth", **SHORT)
        with pytest.raises(FileNotFoundError, match="no directory"):
            fit(frames, tmp_path / "none" / "one.safetensors", **SHORT)

    def test_config(self):
        assert TrainingConfig().to_dict()["patience"] is None
        with pytest.raises(TypeError, match="patience='x' must be a whole number"):
            TrainingConfig(patience="x")


class TestCalibration:
    @pytest.mark.parametrize(("slope", "shift"), [(1, 0), (0.3, -1), (3, 2)])
    def test_finds_the_line(self, slope, shift):
        generator = torch.Generator().manual_seed(1)
        logits = 2 * torch.randn(1, 1, 300, 300, generator=generator) - 2
        truth = (slope * logits + shift).sigmoid()[:, 0]
        target = torch.bernoulli(truth, generator=generator)
        found = fit_temperature(logits, target, torch.ones_like(target))
        assert found == pytest.approx((slope, shift), abs=0.1)

    def test_nothing_to_learn_from(self):
        zeros = torch.zeros(1, 8, 8)
        assert fit_temperature(zeros[None], zeros, zeros + 1) == (1.0, 0.0)
        logits = torch.randn(1, 1, 8, 8, generator=torch.Generator().manual_seed(1))
        assert fit_temperature(logits, zeros, zeros + 1) == (1.0, 0.0)


class TestCommand:
    def write(self, tmp_path, text):
        path = tmp_path / "tiny.toml"
        path.write_text(_RECIPE.replace("# more", text))
        return str(path)

    def test_train(self, tmp_path, capsys):
        recipe, output = self.write(tmp_path, ""), str(tmp_path / "x.safetensors")
        assert main(["train", recipe, "-o", output, "--steps", "2", "--quiet"]) == 0
        assert capsys.readouterr().out.endswith("x.safetensors\n")
        assert get_weights(output).name == "tiny"
        assert get_weights(output).metrics["steps"] == 2

    def test_folder_with_brackets(self, tmp_path):
        """They are a pattern in what is asked for, not in where it is."""
        folder = tmp_path / "run [2024]"
        folder.mkdir()
        for name in ("a", "b", "c[1]"):
            image = np.random.default_rng(0).normal(100, 10, (40, 40))
            image[20, 10:20] += 900
            mask = (image > 500).astype(np.uint8)
            hdus = [fits.PrimaryHDU(), fits.ImageHDU(image, name="SCI")]
            hdus[1].header["BUNIT"] = "electron"
            hdus.append(fits.ImageHDU(mask, name="MASK"))
            fits.HDUList(hdus).writeto(folder / f"{name}.fits")
        for files, number in (("[ab].fits", 2), ("c[1].fits", 1), ("*.fits", 3)):
            source = make_source({"source": "frames", "files": files}, folder)
            assert len(source) == number
        absolute = {"source": "frames", "files": f"{tmp_path}/run*/a.fits"}
        assert len(make_source(absolute, folder)) == 1

    @pytest.mark.parametrize(
        ("text", "match"),
        [
            ("[trainning]", "'trainning', which is not known"),
            ("[[data]]\nsource = 'sky'", "source='sky' of the data is not one of"),
            ("[[data]]\nsource = 'frames'\nfiles = 'a*.fits'", "no files a..fits"),
            ("[[data]]\nsource = 'simulator'\nspeed = 2", "speed"),
            ("[[data]", "is not TOML"),
        ],
    )
    def test_mistakes(self, tmp_path, capsys, text, match):
        assert main(["train", self.write(tmp_path, text), "--quiet"]) == 1
        assert re.search(match, capsys.readouterr().err)

    @pytest.mark.parametrize(
        ("text", "match"),
        [
            ("[data]\nsource = 'simulator'", r"must be tables, each headed \[\[data"),
            ("data = 'x'", r"must be tables, each headed \[\[data"),
            ("training = 3", r"must be one table, headed \[training\]"),
            ("[[training]]", r"must be one table, headed \[training\]"),
            ("start = 3", "start in tiny.toml must be text"),
            ("[[data]]\nsource = 'simulator'\nshare = '2'", "share .* a number"),
        ],
    )
    def test_mistakes_of_kind(self, tmp_path, text, match):
        (tmp_path / "tiny.toml").write_text(text)
        with pytest.raises(ValueError, match=match):
            read_recipe(tmp_path / "tiny.toml")

    def test_absolute_paths_and_units_of_darks(self, tmp_path):
        dark, bits = np.full((40, 40), 3.0), np.zeros((40, 40), np.uint8)
        dark[5, 5:9], bits[5, 5:9] = 503, 1
        science = fits.ImageHDU(dark, name="SCI")
        science.header.update({"BUNIT": "adu", "GAIN": 4.0})
        mask = fits.ImageHDU(bits, name="MASK")
        fits.HDUList([fits.PrimaryHDU(), science, mask]).writeto(tmp_path / "d1.fits")
        header = fits.Header({"BUNIT": "electron"})
        fits.writeto(tmp_path / "c1.fits", np.full((40, 40), 9.0), header)
        table = {"source": "darks", "files": str(tmp_path / "c*.fits")}
        source = make_source(table | {"darks": str(tmp_path / "d*.fits")})
        assert source.stamps[0].tolist() == [[2000.0] * 4]

    def test_finished_trainings_are_kept(self, tmp_path, capsys):
        recipe, output = self.write(tmp_path, ""), tmp_path / "x.safetensors"
        how = ["train", recipe, "-o", str(output), "--steps", "1", "--quiet"]
        output.write_text("finished")
        assert main(how) == 1
        assert "its training is finished" in capsys.readouterr().err
        assert output.read_text() == "finished"
        assert main([*how, "--restart"]) == 0


def test_simulated_frames_can_be_learnt_from(tmp_path):
    source = SimulatedFrames(scenes="stars", every=3, fresh=4, pool=2, side=48)
    weights = fit(source, tmp_path / "one.safetensors", **SHORT)
    assert np.isfinite(weights.metrics["loss"])


_RECIPE = """
[weights]
name = "tiny"
[network]
arguments = {widths = [4, 8], depths = 1}
[training]
steps = 4
batch_size = 2
crop = 32
validation_size = 2
[[data]]
source = "simulator"
scenes = "stars"
# more
"""


class TestInpainting:
    @pytest.fixture(scope="class")
    @staticmethod
    def weights(tmp_path_factory):
        """Train a small network on a fixed set of frames."""
        source = SimulatedFrames(
            every=10**6, fresh=16, side=64, hide=True, scenes="stars", sky=200.0
        )
        options = SHORT | {"arguments": {"widths": (8, 12), "depths": 1, "detail": 4}}
        options |= {"steps": 120, "batch_size": 8, "crop": 64, "validation_size": 16}
        path = tmp_path_factory.mktemp("inpaint") / "filler.safetensors"
        return fit(source, path, task="inpaint", validate_every=40, **options)

    def test_describes_itself(self, weights):
        assert (weights.task, weights.architecture) == ("inpaint", "fill-unet")
        assert 0.5 < weights.metrics["pull_std"] < 4  # of few steps
        assert abs(weights.metrics["median_bias"]) < 0.2
        assert weights.operating_points == ()

    @pytest.mark.parametrize("factor", [1.0, 0.01])
    def test_fills_and_says_how_well(self, weights, factor):
        """A blank sky: better than a reading, in any unit, with honest deviations."""
        rng = np.random.default_rng(2)
        image = rng.normal(300, 15, (160, 160)) * factor
        hit = rng.random(image.shape) < 0.02
        ccd = CCDData(
            np.where(hit, 1e6, image),
            unit="adu",
            uncertainty=StdDevUncertainty(np.full(image.shape, 15 * factor)),
        )
        filled = inpaint_cosmicrays(ccd, hit, weights)
        error = filled.data[hit] - 300 * factor
        std = filled.uncertainty.array[hit]
        assert 0.1 < np.sqrt(np.mean((error / std) ** 2)) < 1.6
        assert np.std(error) < 13 * factor
        assert np.array_equal(filled.data[~hit], ccd.data[~hit])
        assert (filled.uncertainty.array[~hit] == 15 * factor).all()

    def test_goes_on_from_itself(self, weights, tmp_path):
        source = SimulatedFrames(every=10**6, fresh=4, side=64, hide=True)
        options = {k: v for k, v in SHORT.items() if k != "arguments"} | {"steps": 2}
        again = fit(source, tmp_path / "on.safetensors", start=weights, **options)
        assert again.task == "inpaint"

    def test_goes_on_larger(self, tmp_path):
        source = SimulatedFrames(every=10**6, fresh=4, side=64)
        start = fit(source, tmp_path / "a.safetensors", **SHORT)
        large = SHORT | {"steps": 1, "arguments": {"widths": (6, 12, 8)}}
        weights = fit(source, tmp_path / "b.safetensors", start=start, **large)
        assert list(weights.arguments["widths"]) == [6, 12, 8]
        assert weights.stride == 2 * start.stride
        assert weights.halo > start.halo
        assert weights.arguments["depths"] == start.arguments["depths"]
        narrow = SHORT | {"arguments": {"widths": (2, 4)}}
        with pytest.raises(ValueError, match="none less, none narrower"):
            fit(source, tmp_path / "c.safetensors", start=start, **narrow)

    def test_unknown_task(self, frames, tmp_path):
        with pytest.raises(ValueError, match="task='fill' is not known; choose one of"):
            fit(frames, tmp_path / "a.safetensors", task="fill", **SHORT)
