# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Tests of the scenes: every kind is sane, and looks as its kind should."""

import math

import numpy as np
import pytest
import torch

from astro_deepcr.simulate import SCENES, TRAINING_MIX
from astro_deepcr.simulate._fields import add_stamps, power_law_field, sersic
from astro_deepcr.simulate._random import Draws
from astro_deepcr.simulate.scenes import Setting, _spectrum, draw_scenes, spectra


def setting(n=2, shape=(64, 96), seed=1, sky=100.0, space=None):
    rng = Draws(torch.Generator().manual_seed(seed), n)
    space = rng.chance(0.5) if space is None else torch.full((n,), space)
    sky = torch.full((n,), sky)
    return Setting(rng, shape, sky, (sky + 25).sqrt(), torch.full((n,), 8e4), space)


@pytest.mark.parametrize("kind", SCENES)
def test_each_scene_is_finite_light(kind):
    images, cores = draw_scenes([kind] * 2, setting())
    assert images.shape == (2, 64, 96)
    assert images.dtype == torch.float32
    assert torch.isfinite(images).all()
    assert (images >= 0).all()
    assert cores.shape[1:] == (3,)
    if len(cores):
        assert (cores >= 0).all()
        assert (cores < torch.tensor([2, 64, 96])).all()


@pytest.mark.parametrize("kind", SCENES)
def test_scenes_may_be_empty(kind):
    for seed in range(12):
        images, _ = draw_scenes([kind], setting(n=1, shape=(32, 32), seed=seed))
        assert torch.isfinite(images).all()


@pytest.mark.parametrize("kind", SCENES)
def test_same_seed_same_scene(kind):
    first, _ = draw_scenes([kind], setting(n=1, seed=5))
    again, _ = draw_scenes([kind], setting(n=1, seed=5))
    other, _ = draw_scenes([kind], setting(n=1, seed=6))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_training_mix_is_made_of_known_scenes():
    assert set(TRAINING_MIX) <= set(SCENES)
    assert sum(TRAINING_MIX.values()) == pytest.approx(1.0)


def test_mixed_batch_puts_each_scene_in_its_frame():
    kinds = ["flat", "bias", "flat", "bias"]
    images, _ = draw_scenes(kinds, setting(n=4))
    level = images.mean(dim=(1, 2))
    assert (level[[0, 2]] > 500).all()
    assert (level[[1, 3]] < 50).all()


def test_cores_are_peaks_of_their_own_frame():
    images, cores = draw_scenes(["bias", "cluster"], setting(n=2, shape=(128, 128)))
    assert (cores[:, 0] == 1).all()
    assert len(cores) > 5
    frame, row, column = cores.T
    background = images[1].median()
    assert (images[frame, row, column] > background).float().mean() > 0.9


def test_stars_range_from_empty_to_crowded():
    _, cores = draw_scenes(["stars"] * 24, setting(n=24, shape=(128, 128)))
    counts = torch.bincount(cores[:, 0], minlength=24)
    assert counts.min() < 5
    assert counts.max() > 80


def test_saturated_stars_exceed_the_full_well():
    images, _ = draw_scenes(["bright stars"] * 8, setting(n=8, shape=(128, 128)))
    assert (images.amax(dim=(1, 2)) > 8e4).float().mean() > 0.5


def test_sky_is_what_was_asked_for():
    images, _ = draw_scenes(["deep field"] * 8, setting(n=8, sky=400.0))
    medians = images.flatten(1).median(dim=1).values
    assert medians.median().item() == pytest.approx(400, rel=0.1)


def test_echelle_is_sharper_across_than_along():
    place = setting(n=6, shape=(128, 128), seed=3)
    images, _ = draw_scenes(["echelle"] * 6, place)
    across = images.diff(dim=1).abs().mean(dim=(1, 2))
    along = images.diff(dim=2).abs().mean(dim=(1, 2))
    # Square frames are turned at random: the larger is the one across the orders.
    ratio = torch.maximum(across, along) / torch.minimum(across, along)
    assert ratio.median() > 2


def test_long_slit_has_lines_along_the_slit():
    images, _ = draw_scenes(["arc lamp"] * 8, setting(n=8, shape=(64, 128)))
    along_slit = images.diff(dim=1).abs().mean(dim=(1, 2))
    dispersion = images.diff(dim=2).abs().mean(dim=(1, 2))
    assert (dispersion > 2 * along_slit).float().mean() > 0.7


def test_lines_keep_their_flux_and_get_their_width():
    grid = torch.zeros(1, (64 + 2 * _spectrum.MARGIN) * _spectrum.SAMPLES)
    middle = grid.shape[1] // 2
    grid[0, middle] = 50.0
    lines = _spectrum.smear(grid, torch.tensor([3.0]))
    pixels = lines[0, middle % _spectrum.SAMPLES :: _spectrum.SAMPLES]
    assert pixels.sum().item() == pytest.approx(50.0, rel=1e-3)
    expected = math.erf(0.5 / (3.0 / 2.3548) / 2**0.5) * 50
    assert pixels.max().item() == pytest.approx(expected, rel=1e-3)


def test_trace_profile_is_normalised():
    rows = torch.arange(-200.0, 201.0)
    for fwhm, wings in ((1.2, 0.0), (5.0, 0.1)):
        profile = _spectrum.line_profile(rows - 0.3, torch.tensor(fwhm), wings)
        assert profile.sum().item() == pytest.approx(1.0, abs=0.01)


def test_spectra_are_read_at_fractions_of_a_pixel():
    length = (16 + 2 * _spectrum.MARGIN) * _spectrum.SAMPLES
    ramp = torch.arange(length, dtype=torch.float32)[None] / _spectrum.SAMPLES
    place = torch.tensor([0.0, 3.25, 7.5])
    got = _spectrum.read_off(ramp, torch.zeros(3, dtype=torch.long), place)
    assert torch.allclose(got, place + _spectrum.MARGIN, atol=1e-3)


def test_orders_do_not_overlap():
    place = setting(n=3, shape=(128, 64))
    spacing = torch.tensor([6.0, 12.0, 30.0])
    order, across, _ = spectra._orders(place, spacing, 0 * spacing, curve=10.0)
    assert (across.abs() <= spacing[:, None, None] / 2 + 1e-3).all()
    assert (order.diff(dim=1) != 0).sum(dim=1).float().mean(dim=1)[0] > 15


@pytest.mark.parametrize("slope", [1.0, 2.0, 3.0])
def test_noise_has_the_spectrum_asked_for(slope):
    rng = Draws(torch.Generator().manual_seed(1), 8)
    field = power_law_field(rng, (128, 128), torch.full((8,), slope))
    assert field.std().item() == pytest.approx(1.0, abs=0.02)
    power = torch.fft.rfft2(field).abs().square().mean(0)
    k = torch.arange(4, 40)
    fit = np.polyfit(np.log(k.numpy()), np.log(power[0, 4:40].numpy()), 1)
    assert fit[0] == pytest.approx(-slope, abs=0.35)


def test_half_of_the_light_is_inside_the_effective_radius():
    radius = torch.linspace(0.005, 400, 80_000)
    for index in (1.0, 2.0, 4.0):
        light = (sersic(radius, 5.0, torch.tensor(index)) * radius).cumsum(0)
        half = (light / light[-1])[torch.searchsorted(radius, 5.0)].item()
        assert half == pytest.approx(0.5, abs=0.02)


def test_stamps_outside_of_the_frame_are_lost():
    images = torch.zeros(2, 8, 8)
    index = [torch.tensor(values) for values in ([1, 0], [0, 30], [0, 3])]
    add_stamps(images, *index, torch.ones(2, 3, 3))
    assert images[0].sum() == 0
    assert images[1].sum() == 4
