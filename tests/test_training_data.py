# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Training data: what the sources draw, and what they refuse."""

import math
import os
import subprocess
import sys
from subprocess import PIPE

import numpy as np
import pytest
import torch
from astropy import units as u
from astropy.io import fits
from astropy.nddata import CCDData

from astro_deepcr.evaluation import LabelledFrame
from astro_deepcr.exceptions import TrainingError
from astro_deepcr.noise import NORMALIZATIONS
from astro_deepcr.training import (
    CosmicRayLabels,
    LabelledFrames,
    Mixture,
    PastedCosmicRays,
    SimulatedFrames,
)
from astro_deepcr.training._batch import Batch, InputForm, Key, measure_images
from astro_deepcr.training.losses import (
    cross_entropy,
    dice_loss,
    fill_loss,
    mask_loss,
    pull_scale,
)
from astro_deepcr.training.tasks import FillTask

from .conftest import SKY, draw_frame

FORM = InputForm()
KEY = Key(seed=1, step=0)
STAMPS = [np.array([[300.0, 900.0, 40.0]]), np.array([[5000.0], [100.0]])]


def draw(source, n=4, crop=32, key=KEY, form=FORM):
    return source.draw(n, crop, key, form, torch.device("cpu"))


def equal(one, two):
    names = ("image", "target", "weight", "offset", "scale")
    return all(torch.equal(getattr(one, n), getattr(two, n)) for n in names)


@pytest.fixture(scope="module")
def frames():
    """Return five frames and the masks of their tracks."""
    pairs = [draw_frame((64, 80), 12, seed) for seed in range(5)]
    return [list(parts) for parts in zip(*pairs, strict=True)]


@pytest.fixture(scope="module")
def clean():
    """Return three frames without cosmic rays."""
    return np.random.default_rng(5).normal(SKY, 11, (3, 64, 64)).astype(np.float32)


class TestNormalization:
    @pytest.mark.parametrize("name", sorted(NORMALIZATIONS))
    @pytest.mark.parametrize("kind", ["noise", "odd", "half equal", "constant"])
    def test_same_as_for_frames(self, name, kind):
        """Training and inference see the same numbers, also in odd frames."""
        image = np.random.default_rng(0).normal(50, 4, (2, 40, 40)).astype(np.float32)
        image = {
            "noise": image,
            "odd": image[:, :39, :37],
            "half equal": np.where(image < 52, 50, image).astype(np.float32),
            "constant": np.full_like(image, 7),
        }[kind]
        offset, scale = measure_images(torch.from_numpy(image), name, 3.0)
        batch = Batch(torch.from_numpy(image), None, None, offset, scale)
        x = batch.to_input(name)[:, 0].numpy()
        for one, got in zip(image, x, strict=True):
            normalization = NORMALIZATIONS[name](one, np.zeros(one.shape, bool), 3.0)
            assert np.allclose(normalization.forward(one), got, atol=1e-4)

    def test_of_cutouts_is_that_of_the_frame(self, frames):
        batch = draw(LabelledFrames(*frames), 20)
        assert np.allclose(batch.offset, SKY, atol=2)
        assert len(np.unique(batch.offset)) <= 5

    def test_fixed_and_unit(self, frames):
        """A frame in adu becomes electrons for weights that want these."""
        ccds = [CCDData(f, unit="adu", meta={"GAIN": 2.0}) for f in frames[0]]
        source = LabelledFrames(ccds, frames[1])
        form = InputForm("electron", "fixed", 100.0)
        batch = draw(source, form=form)
        assert np.isclose(batch.image.median(), 2 * SKY, rtol=0.05)
        assert set(batch.offset.tolist()) == {0.0}
        assert set(batch.scale.tolist()) == {100.0}


class TestLabelledFrames:
    def test_cutouts(self, frames):
        source = LabelledFrames(*frames)
        batch = draw(source, 30, 48)
        assert batch.image.shape == batch.target.shape == (30, 48, 48)
        bright = batch.image > SKY + 500
        assert torch.equal(batch.target > 0, bright)
        assert (batch.weight == 1).all()

    def test_key_alone_decides(self, frames):
        source = LabelledFrames(*frames)
        first = draw(source)
        draw(source, key=Key(1, 1))
        assert equal(draw(source), first)
        assert not equal(draw(source, key=Key(1, 1)), first)
        assert not equal(draw(source, key=Key(2, 0)), first)
        assert not equal(draw(source, key=Key(1, 0, 1)), first)

    def test_changes_of_the_frame(self, frames):
        plain = draw(LabelledFrames(*frames))
        less = draw(LabelledFrames(*frames, sky_range=(-0.5, -0.5)))
        assert np.allclose(less.image - plain.image, -0.5 * SKY, rtol=0.02)
        assert np.allclose(less.to_input("mean"), plain.to_input("mean"), 0, 0.01)
        known = LabelledFrames(*frames, sky=50.0, sky_range=(-1, -1))
        assert np.allclose(draw(known).image - plain.image, -50, atol=0.01)
        twice = draw(LabelledFrames(*frames, flux_range=(2, 2)))
        assert np.allclose(twice.image, 2 * plain.image)
        assert np.allclose(twice.to_input("mean"), plain.to_input("mean"), 0, 1e-3)
        noisy = draw(LabelledFrames(*frames, noise_range=(3, 3)))
        assert np.isclose((noisy.image - plain.image).std(), 3 * 11, rtol=0.1)
        assert np.allclose(noisy.scale, plain.scale * 10**0.5, rtol=1e-3)

    @pytest.mark.parametrize("gain", [1.0, 4.0])
    def test_more_sky_is_noisier(self, frames, gain):
        """So that the network sees another frame, not the same at another level."""
        images = [CCDData(x, unit="adu", meta={"GAIN": gain}) for x in frames[0]]
        plain = draw(LabelledFrames(images, frames[1]), 20)
        more = LabelledFrames(images, frames[1], sky_range=(3, 3), flux_range=(2, 2))
        added = draw(more, 20)
        photons = added.image - 2 * plain.image
        assert np.isclose(photons.mean(), 6 * SKY, rtol=0.02)
        assert np.isclose(photons.std(), 2 * (3 * SKY / gain) ** 0.5, rtol=0.05)
        noise = np.hypot(plain.scale.numpy(), (3 * SKY / gain) ** 0.5)
        assert np.allclose(added.scale, 2 * noise, rtol=0.02)
        assert np.allclose(added.offset, 2 * (plain.offset + 3 * SKY), rtol=0.02)

    def test_level_of_a_sky_that_was_subtracted(self, frames):
        """It scales what is added; the input is normalised as when it is used."""
        images = [image - SKY for image in frames[0]]
        plain = draw(LabelledFrames(images, frames[1]))
        told = draw(LabelledFrames(images, frames[1], sky=SKY))
        assert equal(plain, told)
        less = {"sky": SKY, "sky_range": (-0.5, -0.5)}
        changed = draw(LabelledFrames(images, frames[1], **less))
        assert torch.allclose(changed.image, plain.image - SKY / 2, atol=1e-3)
        assert torch.allclose(changed.offset, plain.offset - SKY / 2, atol=1e-3)

    @pytest.mark.parametrize("one", ["frame.fits", CCDData([[1.0]], unit="adu")])
    def test_one_frame_is_no_list(self, one):
        with pytest.raises(TypeError, match="give a list of them"):
            LabelledFrames(one)

    def test_gain_of_a_labelled_frame(self, frames):
        ccd = CCDData(frames[0][0], unit="adu")
        frame = LabelledFrame(ccd, frames[1][0], gain=2.0)
        electrons = draw(LabelledFrames([frame]), form=InputForm("electron"))
        adu = draw(LabelledFrames([frame]), form=InputForm("adu"))
        assert torch.allclose(electrons.image, 2 * adu.image)
        assert not ccd.meta

    def test_never_changes_what_is_given(self, frames):
        images = np.stack(frames[0])
        images.flags.writeable = False
        draw(LabelledFrames(images, frames[1], sky_range=(1, 1)))

    def test_soft_labels_and_ignored_pixels(self, frames):
        soft = [mask * 0.5 for mask in frames[1]]
        ignore = [image > 2000 for image in frames[0]]
        batch = draw(LabelledFrames(frames[0], soft, ignore), 20)
        assert set(batch.target.unique().tolist()) == {0.0, 0.5}
        assert (batch.weight == 0).any()
        assert batch.image.max() <= 2000  # filled, so that they do not disturb

    def test_masked_nan_is_no_error(self, frames):
        image = frames[0][0].copy()
        image[3, 3] = np.nan
        mask = ~np.isfinite(image)
        for one, ignore in (
            (CCDData(image, unit="adu", mask=mask), None),
            (image, [mask]),
        ):
            batch = draw(LabelledFrames([one], frames[1][:1], ignore), 1, 64)
            assert torch.isfinite(batch.image).all()

    def test_files_and_labels(self, frames, tmp_path):
        """A file of labels is as good as the labels."""
        ccd = CCDData(frames[0][0], unit="electron")
        ignore = np.zeros(ccd.shape, bool)
        ignore[:5] = True
        labels = CosmicRayLabels(ccd, frames[1][0] & ~ignore, ignore, None, {})
        labels.to_hdulist().writeto(tmp_path / "one.fits")
        one = LabelledFrame(ccd, labels.cosmic_rays, ignore)
        kinds = (labels, tmp_path / "one.fits", one)
        first, *others = (draw(LabelledFrames([x]), 8) for x in kinds)
        assert all(equal(first, other) for other in others)

    def test_all_images_of_a_file(self, frames, tmp_path):
        hdus = fits.HDUList([fits.PrimaryHDU()])
        for version in (1, 2):
            for name, plane in zip(("SCI", "MASK"), frames, strict=True):
                values = np.asarray(plane[version - 1], np.float32)
                values = values.astype(np.uint8) if name == "MASK" else values
                hdus.append(fits.ImageHDU(values, name=name, ver=version))
        hdus.writeto(tmp_path / "two.fits")
        source = LabelledFrames([tmp_path / "two.fits"])
        assert len(source) == 2
        assert np.array_equal(source.frames[1].target, frames[1][1])
        with pytest.raises(ValueError, match=r"Frame 0, .*two.fits, holds 2 images"):
            LabelledFrames([tmp_path / "two.fits"], masks=[frames[1][0]])
        del hdus["MASK", 1], hdus["MASK", 2]
        for hdu in hdus[1:]:
            hdu.header["BUNIT"] = "adu"
        hdus.writeto(tmp_path / "clean.fits")
        assert len(PastedCosmicRays([tmp_path / "clean.fits"], STAMPS)) == 2

    def test_clean_frame_of_a_file(self, clean, tmp_path):
        CCDData(clean[0], unit="adu").write(tmp_path / "clean.fits")
        batch = draw(PastedCosmicRays([tmp_path / "clean.fits"], STAMPS))
        assert (batch.weight > 0).any()

    def test_split(self, frames):
        train, held = LabelledFrames(*frames).split(0.2)
        assert (len(train), len(held)) == (4, 1)
        with pytest.raises(ValueError, match=r"1 frame.s. cannot be split"):
            held.split(0.5)

    @pytest.mark.parametrize(
        ("change", "match"),
        [
            (lambda f, m: ([], []), "no frames to train on"),
            (lambda f, m: (f, m[:3]), "5 frames but 3 masks"),
            (lambda f, m: (f, m, m[:2]), "5 frames but 2 ignore"),
            (lambda f, m: (f, None), "Frame 0 has no mask"),
            (lambda f, m: (f, [x[1:] for x in m]), "mask of frame 0.*63"),
            (lambda f, m: (f, [x[1:] * 0.5 for x in m]), "mask of frame 0.*63"),
            (lambda f, m: (f, [x * 2.0 for x in m]), "outside of 0 to 1"),
            (lambda f, m: (f, [x * np.nan for x in m]), "outside of 0 to 1"),
            (lambda f, m: (f, [x & False for x in m]), "no pixel is a cosmic ray"),
            (lambda f, m: (f, [x | True for x in m]), "all pixels are a cosmic ray"),
            (lambda f, m: (f, m, [x | True for x in m]), "All pixels of frame 0"),
            (lambda f, m: ([f[0], f[1] * np.inf], m[:2]), "no finite|not finite"),
            (lambda f, m: (["missing.fits"], m[:1]), "Frame 0, missing.fits"),
        ],
    )
    def test_bad_data(self, frames, change, match):
        with pytest.raises(ValueError, match=match):
            LabelledFrames(*change(*frames))

    @pytest.mark.parametrize("kind", [np.asarray, LabelledFrame])
    def test_one_instead_of_a_list(self, frames, kind):
        image, mask = frames[0][0], frames[1][0]
        one = image if kind is np.asarray else kind(CCDData(image, unit="adu"), mask)
        with pytest.raises(TypeError, match="is given as frames; give a list"):
            LabelledFrames(one, mask)

    def test_array_of_names(self, frames, tmp_path):
        """As tables give them: several files, not one image."""
        names = np.array([str(tmp_path / f"{i}.fits") for i in range(2)])
        for name, image, mask in zip(names, *frames[:2], strict=False):
            science = fits.ImageHDU(image, name="SCI")
            science.header["BUNIT"] = "electron"
            truth = fits.ImageHDU(mask.astype(np.uint8), name="MASK")
            fits.HDUList([fits.PrimaryHDU(), science, truth]).writeto(name)
        assert len(LabelledFrames(names)) == 2

    def test_nan(self, frames):
        image = frames[0][0].copy()
        image[3, 3:5] = np.nan
        with pytest.raises(ValueError, match=r"Frame 0 holds 2 pixel.s. that are not"):
            LabelledFrames([image], frames[1][:1])

    def test_small_frame(self, frames):
        with pytest.raises(ValueError, match="64 x 80 pixels is smaller than crop=100"):
            draw(LabelledFrames(*frames), crop=100)

    @pytest.mark.parametrize(
        "limits", [{"sky_range": (1, 0)}, {"flux_range": (0, 1)}, {"noise_range": [1]}]
    )
    def test_bad_ranges(self, frames, limits):
        with pytest.raises(ValueError, match="must be two rising numbers"):
            LabelledFrames(*frames, **limits)


class TestPastedCosmicRays:
    def test_labels(self, clean):
        source = PastedCosmicRays(clean, STAMPS, per_megapixel=(3000, 3000))
        batch = draw(source, 20, 64)
        assert 0.002 < (batch.target > 0.5).float().mean() < 0.02
        hit = (batch.target == 1) & (batch.weight > 0)
        assert batch.image[hit].min() > SKY + 2 * 11 - 4 * 11
        assert batch.image[batch.target == 0].max() < SKY + 6 * 11

    def test_units_of_stamps(self, clean):
        ccds = [CCDData(image, unit="adu") for image in clean]
        stamps = [stamp * u.def_unit("kadu", 1000 * u.adu) for stamp in STAMPS]
        source = PastedCosmicRays(ccds, stamps)
        assert np.allclose(source.stamps[0], 1000 * STAMPS[0])
        with pytest.raises(ValueError, match="is in electron, and the image is in adu"):
            PastedCosmicRays(ccds, [stamp * u.electron for stamp in STAMPS])

    def test_validation_has_stamps_of_its_own(self, clean):
        stamps = [np.full((1, 1), 100.0 + i) for i in range(10)]
        train, held = PastedCosmicRays(clean, stamps).split(0.3)
        sizes = [{float(x[0, 0]) for x in one.stamps} for one in (train, held)]
        assert [len(one) for one in sizes] == [7, 3]
        assert not sizes[0] & sizes[1]
        train, held = PastedCosmicRays(clean, stamps[:1]).split(0.3)
        assert train.stamps is held.stamps

    def test_gain_of_the_header(self, clean):
        ccds = [CCDData(clean[0], unit="adu", meta={"GAIN": 10.0})]
        assert PastedCosmicRays(ccds, STAMPS).gain == 10
        assert PastedCosmicRays(ccds, STAMPS, gain=2.0).gain == 2
        assert PastedCosmicRays(clean, STAMPS).gain == 1

    def test_saturated_pixels_show_no_hit(self):
        image = np.full((96, 96), 100.0)
        image[20:50] = 5000.0
        image += np.random.default_rng(0).normal(0, 3, image.shape)
        image = np.minimum(image, 5000)
        options = {"per_megapixel": (9000, 9000), "saturation": 5000.0}
        batch = draw(PastedCosmicRays([image], STAMPS[:1], **options), 20, 64)
        hit = batch.target > 0.9
        assert (hit & (batch.image < 4000) & (batch.weight > 0)).any()
        assert (hit & (batch.image == 5000)).any()
        assert batch.weight[hit & (batch.image == 5000)].sum() == 0

    def test_known_cosmic_rays_are_left_out(self, frames):
        labels = [
            CosmicRayLabels(CCDData(f, unit="electron"), m, m & False, None, {})
            for f, m in zip(*frames, strict=True)
        ]
        batch = draw(PastedCosmicRays(labels, STAMPS, per_megapixel=(0, 0)), 20)
        assert (batch.target == 0).all()
        assert (batch.weight == 0).any()

    def test_from_darks(self, clean):
        """Dark frames give stamps and their number: deepCR's mode 'simulate'."""
        dark, mask = np.full((64, 64), 5.0), np.zeros((64, 64), bool)
        dark[10, 10:14], mask[10, 10:14] = 805, True
        source = PastedCosmicRays.from_darks(
            clean, [dark], [mask], background=5, sky_range=(-0.9, 3), saturation=700
        )
        assert [stamp.tolist() for stamp in source.stamps] == [[[800.0] * 4]]
        assert source.per_megapixel == pytest.approx((1e6 / 4096, 3e6 / 4096))
        assert draw(source, 40).image.max() == 700

    @pytest.mark.parametrize(
        ("make", "match"),
        [
            (lambda c: PastedCosmicRays(c, []), "stamps is empty"),
            (lambda c: PastedCosmicRays(c, [[[np.nan]]]), "must be two-dim"),
            (lambda c: PastedCosmicRays([], STAMPS), "no frames"),
            (lambda c: PastedCosmicRays(c * np.nan, STAMPS), "no finite|not finite"),
            (lambda c: PastedCosmicRays.from_darks(c, [], []), "0 dark frame"),
            (lambda c: PastedCosmicRays(c, STAMPS, charge_factor=2), "charge_factor=2"),
            (lambda c: PastedCosmicRays(c, STAMPS, per_megapixel=(-5, 3)), "per_mega"),
            (lambda c: PastedCosmicRays(c, STAMPS, gain=0), "gain=0 must be a pos"),
            (
                lambda c: PastedCosmicRays(
                    [CCDData(c[0], unit="adu"), CCDData(c[0], unit="electron")], STAMPS
                ),
                "in adu, electron; stamps fit one",
            ),
        ],
    )
    def test_bad_data(self, clean, make, match):
        with pytest.raises(ValueError, match=match):
            make(clean)


class TestSimulatedFrames:
    def test_fresh_and_pooled(self):
        fresh = SimulatedFrames(scenes="stars")
        batch = draw(fresh, 2)
        assert torch.isfinite(batch.image).all()
        assert equal(draw(fresh, 2), batch)
        pooled = SimulatedFrames(scenes="stars", every=2, fresh=2, pool=2, side=40)
        steps = [draw(pooled, 3, key=Key(1, step)) for step in (0, 1, 2, 5)]
        again = SimulatedFrames(scenes="stars", every=2, fresh=2, pool=2, side=40)
        assert equal(draw(again, 3, key=Key(1, 5)), steps[-1])
        assert not equal(steps[0], steps[1])

    def test_processes_make_the_same_frames(self):
        options = {"scenes": "dark", "every": 2, "fresh": 18, "side": 32}
        one = draw(SimulatedFrames(**options), 3)
        assert equal(draw(SimulatedFrames(**options, processes=1), 3), one)

    def test_a_process_is_killed(self):
        source = SimulatedFrames(every=2, fresh=2, side=32, processes=1)
        killed = source._processes.submit(os._exit, 1)
        assert killed.exception(timeout=60)
        with pytest.raises(TrainingError, match="goes on from the last checkpoint"):
            draw(source)
        assert torch.isfinite(draw(source).image).all()

    def test_processes_end_with_a_killed_training(self):
        command = (
            "import time\n"
            "from astro_deepcr.training import SimulatedFrames\n"
            "pool = SimulatedFrames(processes=1)._processes\n"
            "pool.submit(int).result()\n"
            "print('ready', flush=True)\n"
            "time.sleep(99)\n"
        )
        process = subprocess.Popen([sys.executable, "-c", command], stdout=PIPE)
        assert process.stdout.readline() == b"ready\n"
        process.kill()
        # The pipe is closed when nobody is left who could write to it.
        process.communicate(timeout=60)
        assert process.returncode != 0

    def test_weights_of_stars(self):
        """Cores count most, and then what is left of stars that were hit."""
        options = {"scenes": "stars", "nuisances": False}
        batch, few = (
            draw(SimulatedFrames(**options, hit_stars=share), 24, 96)
            for share in (1.0, 0.0)
        )
        counts = [(batch.weight == value).sum().item() for value in (4, 8)]
        assert min(counts) > 30
        assert counts[0] > 1.4 * (few.weight == 4).sum()
        assert (batch.target[batch.weight > 1] == 0).all()
        left = torch.nonzero(batch.weight == 4)
        bright = batch.image - batch.offset[:, None, None]
        bright = bright / batch.scale[:, None, None]
        assert bright[tuple(left.T)].median() > 5
        # pixels that were hit are close by
        _, row, column = left.T
        inside = (row >= 4) & (row < 92) & (column >= 4) & (column < 92)
        for i, y, x in left[inside].tolist():
            near = batch.target[i, y - 4 : y + 5, x - 4 : x + 5]
            assert near.max() == 1

    def test_hidden_pixels(self):
        source = SimulatedFrames(scenes="stars", hide=True, sky=100.0)
        batch = draw(source, 8, 96)
        hidden = batch.image.isnan()
        assert hidden.flatten(1).any(dim=1).sum() >= 6
        assert (batch.weight[~hidden] == 0).all()
        assert (batch.weight[hidden] == 1).float().mean() > 0.5
        # The target is the light, without noise and cosmic rays.
        assert torch.isfinite(batch.target).all()
        assert batch.target.median() == pytest.approx(100, abs=30)
        error = (batch.image - batch.target)[~hidden]
        assert error.abs().median() < 30
        x = FillTask.to_input(batch, FORM.normalization)
        assert torch.equal(x[:, 1] > 0, hidden)
        assert torch.isfinite(x).all()
        again = draw(SimulatedFrames(scenes="stars", hide=True, sky=100.0), 8, 96)
        assert torch.equal(again.image.isnan(), hidden)

    def test_adu(self):
        form = InputForm(unit="adu")
        electrons, adu = (draw(SimulatedFrames(), 2, form=f) for f in (FORM, form))
        assert torch.allclose(electrons.to_input("asinh"), adu.to_input("asinh"), 1e-2)
        assert not torch.allclose(electrons.image, adu.image)
        with pytest.raises(ValueError, match="cannot be in 'Jy'"):
            draw(SimulatedFrames(), 2, form=InputForm(unit="Jy"))

    def test_bad_numbers(self):
        with pytest.raises(ValueError, match="SimulatedFrames holds 'scnes', which"):
            SimulatedFrames(scnes="stars")
        with pytest.raises(ValueError, match="pool=0 and side=256 must be 1 or more"):
            SimulatedFrames(pool=0)
        with pytest.raises(ValueError, match="processes=-1 0 or more"):
            SimulatedFrames(processes=-1)
        for name in ("detectors", "scenes", "sky", "exposure_times"):
            with pytest.raises(ValueError, match=f"{name}=.* must be one for all"):
                SimulatedFrames(**{name: ["STIS", "LSST"]})


class TestMixture:
    def test_shares(self, frames, clean):
        bright = LabelledFrames([f + 10_000 for f in frames[0]], frames[1])
        source = Mixture([PastedCosmicRays(clean, STAMPS), bright], [3, 1])
        offsets = [draw(source, 10, key=Key(1, s)).offset for s in range(10)]
        assert all(len(o) == 10 for o in offsets)
        assert (torch.cat(offsets) > 5000).float().mean() == pytest.approx(
            0.25, abs=0.02
        )

    def test_tasks_do_not_mix(self):
        with pytest.raises(ValueError, match="do not mix"):
            Mixture([SimulatedFrames(), SimulatedFrames(hide=True)])

    @pytest.mark.parametrize("weights", [[], [1, 2, 3], [0, 0], [1, -1], [1, np.nan]])
    def test_bad_weights(self, weights):
        with pytest.raises(ValueError, match=r"2 source.s. and weights"):
            Mixture([SimulatedFrames(), SimulatedFrames()], weights)


class TestLosses:
    def test_ignored_pixels_do_not_count(self):
        logits = torch.randn(2, 1, 8, 8)
        target, weight = torch.zeros(2, 8, 8), torch.ones(2, 8, 8)
        weight[:, 4:] = 0
        before = mask_loss(logits, target, weight, dice=0.5)
        target[:, 4:], logits[:, :, 4:] = 1, 50
        assert mask_loss(logits, target, weight, dice=0.5) == before

    def test_soft_labels(self):
        """The best probability is the label, also between 0 and 1."""
        target, weight = torch.full((1, 1, 1), 0.3), torch.ones(1, 1, 1)
        best = torch.tensor(0.3).logit().view(1, 1, 1, 1)
        losses = [cross_entropy(best + d, target, weight) for d in (-0.1, 0, 0.1)]
        assert losses[1] < min(losses[0], losses[2])

    def test_dice(self):
        target, weight = torch.eye(8)[None], torch.ones(1, 8, 8)
        sure = 40 * (2 * target - 1)[:, None]
        assert dice_loss(sure, target, weight) < 1e-3
        assert dice_loss(-sure, target, weight) > 0.9

    def test_dice_of_weights_that_are_not_one(self):
        logits = torch.full((1, 1, 4, 4), 50.0)
        weight, target = torch.full((1, 4, 4), 2.0), torch.ones(1, 4, 4)
        assert 0 <= dice_loss(logits, target, weight) < 1e-6

    @pytest.mark.parametrize("light", [0.0, 100.0, 1e4])
    def test_values_are_pulled_to_the_light(self, light):
        for off in (-0.1, 0.0, 0.1):
            output = torch.zeros(1, 2, 1, 2)
            output[:, 0] = math.asinh(light) + off
            output.requires_grad_()
            target, weight = torch.full((1, 1, 2), light), torch.tensor([[[1.0, 0.0]]])
            fill_loss(output, target, weight).backward()
            value, ignored = output.grad[0, 0, 0]
            assert np.sign(round(float(value), 3)) == np.sign(off)
            assert ignored == 0

    def test_stated_deviations_are_typical(self):
        """A hundredth of hidden stars does not widen what is said of the others."""
        torch.manual_seed(0)
        light = 0.1 * torch.randn(1, 100, 100)
        light[:, :, 0] += 30  # nothing tells that a star is there
        slopes = []
        for stated in (0.05, 0.25):  # the standard deviation is 3
            log_std = torch.tensor(stated).log().requires_grad_()
            output = torch.stack(
                [torch.zeros_like(light), log_std.expand_as(light)], dim=1
            )
            fill_loss(output, light, torch.ones_like(light)).backward()
            slopes.append(float(log_std.grad))
        assert slopes[0] < 0 < slopes[1]

    def test_stated_deviations_are_standard_deviations(self):
        """Of Gaussian errors; of others, but for what is far off."""
        rng = np.random.default_rng(3)
        error = torch.as_tensor(rng.normal(0, 0.1, size=(1, 200, 200)))
        truth, slopes = torch.zeros_like(error), []
        for stated in (0.097, 0.103):
            log_std = torch.tensor(stated).log().requires_grad_()
            output = torch.stack([error.asinh(), log_std.expand_as(truth)], dim=1)
            fill_loss(output, truth, torch.ones_like(truth)).backward()
            slopes.append(float(log_std.grad))
        assert slopes[0] < 0 < slopes[1]
        pull = error.numpy().ravel() / 0.1
        assert pull_scale(pull) == pytest.approx(1, abs=0.02)
        assert pull_scale(3 * pull) == pytest.approx(3, abs=0.06)
        pull[:400] = 50  # one in a hundred: the standard deviation is 5
        assert pull_scale(pull) == pytest.approx(1.07, abs=0.03)
        assert pull_scale(np.zeros(3)) == 1

    def test_stated_deviations_mean_the_same_at_each_brightness(self):
        """Errors as wide are stated as wide, whatever the light below."""
        generator = torch.Generator().manual_seed(1)
        error = 0.2 * torch.randn(1, 200, 200, generator=generator)
        best = []
        for light in (0.0, 3.0, 100.0, 1e4):
            truth, slopes = torch.full_like(error, light), []
            stated = torch.linspace(0.16, 0.24, 41)
            for one in stated:
                log_std = one.log().requires_grad_()
                output = [(truth + error).asinh(), log_std.expand_as(truth)]
                output = torch.stack(output, dim=1)
                fill_loss(output, truth, torch.ones_like(truth)).backward()
                slopes.append(float(log_std.grad))
            best.append(float(stated[np.argmin(np.abs(slopes))]))
        assert max(best) < 1.05 * min(best)

    def test_all_ignored(self):
        with pytest.raises(ValueError, match="No pixel of this batch counts"):
            cross_entropy(torch.zeros(1, 1, 4, 4), *torch.zeros(2, 1, 4, 4))


def test_units_of_quantities(frames):
    source = LabelledFrames([f * u.electron for f in frames[0]], frames[1])
    assert source.frames[0].unit == u.electron
