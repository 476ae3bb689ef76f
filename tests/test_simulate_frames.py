# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Tests of simulated frames: the truth is the truth, and the noise is the noise."""

import numpy as np
import pytest
import torch
from astropy import units as u

from astro_deepcr.simulate import (
    Environment,
    _cameras,
    get_detector,
    nuisances,
    simulate_frames,
)
from astro_deepcr.simulate._random import Draws


def generator(seed=1):
    return torch.Generator().manual_seed(seed)


@pytest.fixture(scope="module")
def mix():
    """Frames as the networks are trained on."""
    return simulate_frames(24, (96, 96), generator=generator())


@pytest.fixture(scope="module")
def plain():
    """Frames of one known camera without nuisances."""
    return simulate_frames(
        4,
        (128, 128),
        scenes="deep field",
        detectors="ACS/WFC",
        environments="low Earth orbit",
        exposure_times=1000,
        sky=80,
        nuisances=False,
        generator=generator(2),
    )


def test_shapes_and_types(mix):
    for image in (mix.image, mix.clean, mix.sigma, mix.charge):
        assert image.shape == (24, 96, 96)
        assert image.dtype == torch.float32
        assert torch.isfinite(image).all()
    assert not mix.event_id.is_floating_point()
    assert mix.saturated.dtype == mix.bad.dtype == torch.bool
    assert len(mix.meta) == 24
    assert len({one["scene"] for one in mix.meta}) > 5
    assert (mix.sigma > 0).all()


@pytest.mark.parametrize("frames", ["mix", "plain"])
def test_image_is_clean_plus_charge_plus_noise(frames, request):
    frames = request.getfixturevalue(frames)
    noise = (frames.image - frames.clean - frames.charge) / frames.sigma
    noise = noise[~frames.saturated]
    assert noise.std().item() == pytest.approx(1.0, abs=0.03)
    assert noise.mean().item() == pytest.approx(0.0, abs=0.03)


def test_labels_agree_with_each_other(mix):
    assert (mix.soft_label[mix.truth] == 1).all()
    assert (mix.soft_label[mix.charge == 0] == 0).all()
    assert not (mix.truth & mix.score_ignore).any()
    assert not (mix.truth & mix.ignore).any()
    clear = ~mix.truth & ~mix.score_ignore
    assert (mix.charge[clear].abs() < (0.5 * mix.sigma[clear]).clamp_min(2.0)).all()
    order = (mix.charge / mix.sigma).flatten().argsort()
    assert (mix.soft_label.flatten()[order].diff() >= 0).all()


def test_hits_belong_to_events(mix):
    assert (mix.event_id[mix.truth] > 0).float().mean() > 0.999
    owners = [set(one[one > 0].tolist()) for one in mix.event_id]
    assert sum(map(len, owners)) == len(set().union(*owners))


def test_number_of_hits_spans_the_wanted_range():
    frames = simulate_frames(60, (64, 64), scenes="bias", generator=generator(4))
    share = (frames.charge > 30).float().mean(dim=(1, 2))
    assert share.max() < 0.25
    assert share.max() > 0.03
    assert share.quantile(0.2) < 0.004
    assert 0.003 < share.mean() < 0.04


def test_some_skies_are_black_but_only_in_space():
    n = 4000
    space = torch.arange(n) < n / 2
    sky = _cameras._draw_sky(Draws(generator(), n), None, space)
    black = sky < 0.3
    assert 0.05 < black[space].float().mean() < 0.2
    assert not black[~space].any()
    assert (sky > 0).all()


def test_same_seed_same_frames():
    first, again, other = (
        simulate_frames(3, (64, 64), generator=generator(seed)) for seed in (7, 7, 8)
    )
    for name in ("image", "clean", "sigma", "charge", "event_id", "bad", "star_cores"):
        assert torch.equal(getattr(first, name), getattr(again, name)), name
    assert first.meta == again.meta
    assert not torch.equal(first.image, other.image)


def test_global_random_state_is_left_alone():
    torch.manual_seed(0)
    before = torch.get_rng_state()
    simulate_frames(1, (64, 64), generator=generator())
    assert torch.equal(before, torch.get_rng_state())


def test_known_camera_is_used(plain):
    assert {one["detector"] for one in plain.meta} == {"ACS/WFC"}
    assert {one["exposure_time"] for one in plain.meta} == {1000.0}
    assert not plain.bad.any()
    # gain of two electrons: every value is a multiple of it
    assert torch.equal(plain.image / 2, (plain.image / 2).round())
    assert plain.clean.median().item() == pytest.approx(80, rel=0.1)
    expected = (plain.clean + 4**2 + 2**2 / 12).sqrt()
    assert torch.allclose(plain.sigma, expected, rtol=1e-5)
    assert 0.008 < plain.truth.float().mean() < 0.035


def test_no_time_no_cosmic_rays():
    frames = simulate_frames(
        2, (64, 64), exposure_times=0, scenes="stars", generator=generator()
    )
    assert (frames.charge == 0).all()
    assert not frames.truth.any()


def test_full_well_and_converter_limit_the_image():
    detector = get_detector("WFPC2")  # 4095 adu of 7 electrons
    frames = simulate_frames(
        8,
        (96, 96),
        scenes="bright stars",
        detectors=detector,
        environments=Environment.l2(),
        nuisances=False,
        generator=generator(3),
    )
    assert frames.image.max().item() == 4095 * 7
    assert frames.saturated.any()
    assert frames.saturated[frames.image == 4095 * 7].float().mean() > 0.99
    hit = frames.saturated & (frames.charge > 3 * frames.sigma)
    visible = frames.image - frames.clean > 3 * frames.sigma
    assert (hit & visible).any()
    assert (hit & ~visible).any()
    assert torch.equal(frames.truth[hit], visible[hit])
    assert frames.ignore[hit & ~visible].all()


def test_star_cores_stand_out(plain):
    frame, row, column = plain.star_cores.T
    assert len(frame) > 5
    floor = plain.clean.flatten(1).median(dim=1).values[frame]
    peak = plain.clean[frame, row, column]
    assert (peak > floor + 4 * plain.sigma[frame, row, column].clamp_max(15)).all()


def test_sky_subtraction_leaves_negative_pixels(mix):
    lowest = mix.clean.flatten(1).quantile(0.01, dim=1)
    assert (lowest < 0).any()
    assert (mix.image.flatten(1).amin(dim=1) < 0).any()


def test_neither_sky_nor_noise():
    """Brightness is drawn in units of the noise, which must not be 0 then."""
    frames = simulate_frames(
        4,
        (64, 64),
        detectors=get_detector("STIS", read_noise=0 * u.electron),
        sky=0,
        generator=generator(3),
    )
    for values in (frames.image, frames.clean, frames.sigma, frames.soft_label):
        assert torch.isfinite(values).all()


def test_what_is_known_is_resampled_too(monkeypatch):
    draw = nuisances.Resampling.draw
    monkeypatch.setattr(
        nuisances.Resampling, "draw", lambda rng, shape: draw(rng, shape, 1.0)
    )
    frames = simulate_frames(12, (96, 96), scenes="stars", generator=generator(5))
    frame, row, column = frames.star_cores.T
    inside = (row > 0) & (row < 95) & (column > 0) & (column < 95)
    frame, row, column = frame[inside], row[inside], column[inside]
    step = torch.arange(-1, 2)
    around = frames.clean[
        frame[:, None, None],
        row[:, None, None] + step[:, None],
        column[:, None, None] + step,
    ]
    peak = frames.clean[frame, row, column] == around.flatten(1).amax(dim=1)
    assert peak.float().mean() > 0.6  # 0.2, if only the image was resampled


def test_one_kind_and_one_camera_per_frame():
    frames = simulate_frames(
        3,
        (64, 64),
        scenes=["flat", "dark", "stars"],
        detectors=["LSST", "DECam", "STIS"],
        environments=["L2", "sea level", "L2"],
        exposure_times=[10, 20, 30],
        sky=[0, 1, 2],
        generator=generator(),
    )
    assert [one["scene"] for one in frames.meta] == ["flat", "dark", "stars"]
    assert [one["detector"] for one in frames.meta] == ["LSST", "DECam", "STIS"]
    assert [one["exposure_time"] for one in frames.meta] == [10, 20, 30]


def test_weights_choose_the_scenes():
    frames = simulate_frames(
        30, (32, 32), scenes={"bias": 3, "dark": 1, "flat": 0}, generator=generator()
    )
    kinds = [one["scene"] for one in frames.meta]
    assert set(kinds) == {"bias", "dark"}
    assert kinds.count("bias") > kinds.count("dark")


def test_stars_hit_on_purpose():
    """More of them are hit; the truth tells it all, and the light is the same."""
    few, many = (
        simulate_frames(
            6,
            (128, 128),
            scenes="stars",
            nuisances=False,
            hit_stars=share,
            generator=generator(2),
        )
        for share in (0.0, 1.0)
    )
    hit = [
        frames.truth[tuple(frames.star_cores.T)].float().mean()
        for frames in (few, many)
    ]
    assert hit[1] > 2 * hit[0]
    assert torch.equal(few.clean, many.clean)
    assert (many.event_id[many.truth] > 0).all()
    noise = (many.image - many.clean - many.charge) / many.sigma
    assert noise[~many.saturated].std().item() == pytest.approx(1.0, abs=0.03)


def test_frames_need_not_be_square():
    frames = simulate_frames(8, (40, 72), generator=generator(9))
    assert frames.image.shape == (8, 40, 72)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"n": 0}, "n=0 must be a whole number"),
        ({"n": 1.5}, "n=1.5 must be a whole number"),
        ({"shape": (8, 8)}, r"shape=\(8, 8\) must be two numbers, 32 or more"),
        ({"shape": (64,)}, "must be two numbers"),
        ({"scenes": "nothing"}, "There is no scene 'nothing'; choose from stars"),
        ({"scenes": {"stars": -1}}, "must give weights, 0 or more"),
        ({"scenes": ["stars"]}, "scenes has 1 entries for 2 frames"),
        ({"sky": -3}, "sky=-3 must be finite electrons per pixel"),
        ({"exposure_times": -1}, "must be finite and 0 or more"),
        ({"detectors": "HAL"}, "There is no detector 'HAL'"),
        ({"hit_stars": 1.5}, "hit_stars=1.5 must be a share of the stars"),
        ({"hit_stars": np.nan}, "hit_stars=nan must be a share of the stars"),
        ({"device": "meta"}, "make it with torch.Generator"),
    ],
)
def test_wrong_arguments(change, message):
    arguments = {"n": 2, "shape": (64, 64), "generator": generator()} | change
    with pytest.raises(ValueError, match=message):
        simulate_frames(**arguments)


def test_numbers_and_generators():
    frames = simulate_frames(np.int64(2), (32, 32), generator=generator())
    assert frames.image.shape == (2, 32, 32)
    with pytest.raises(TypeError, match="is of type int; one of torch is needed"):
        simulate_frames(2, (32, 32), generator=42)


@pytest.mark.parametrize("seconds", [np.array([3.0, 4.0]), [3 * u.s, 4], [3, 4] * u.s])
def test_exposure_times_of_all_kinds(seconds):
    given = {"scenes": "flat", "generator": generator()}
    frames = simulate_frames(2, (32, 32), exposure_times=seconds, **given)
    assert [meta["exposure_time"] for meta in frames.meta] == [3, 4]
    with pytest.raises(ValueError, match="is no number, in s or with a unit"):
        simulate_frames(1, (32, 32), exposure_times=3 * u.m, **given)


def test_devices_without_float64():
    with pytest.raises(ValueError, match="which device='mps' cannot do"):
        simulate_frames(1, (32, 32), generator=torch.Generator(), device="mps")
