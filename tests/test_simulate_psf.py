# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Tests of the point spread functions: light is neither lost nor misplaced."""

import math

import pytest
import torch

from astro_deepcr.simulate import psf as psf_module
from astro_deepcr.simulate._random import Draws
from astro_deepcr.simulate.psf import OVERSAMPLING, draw_psf


def draws(n, seed=1):
    return Draws(torch.Generator().manual_seed(seed), n)


@pytest.fixture(scope="module")
def psf():
    """Four of diffraction, four of seeing."""
    return draw_psf(draws(8), space=torch.arange(8) < 4)


def one_star(psf, frame, row, column, flux=1e6):
    images = torch.zeros(8, 96, 96)
    points = [torch.tensor([value]) for value in (frame, row, column, flux)]
    psf.add_points(images, points, torch.ones(8))
    return images[frame]


@pytest.mark.parametrize("frame", range(8))
@pytest.mark.parametrize("place", [(48.0, 48.0), (47.6, 48.3), (48.49, 47.51)])
def test_light_of_a_star_is_conserved(psf, frame, place):
    image = one_star(psf, frame, *place)
    assert image.sum().item() == pytest.approx(1e6, rel=0.01)


@pytest.mark.parametrize("frame", range(4, 8))
def test_star_is_where_it_should_be(psf, frame):
    image = one_star(psf, frame, 47.7, 48.2).double()
    axis = torch.arange(96)
    row = (image.sum(1) * axis).sum() / image.sum()
    column = (image.sum(0) * axis).sum() / image.sum()
    # Stars lie on a grid finer than a pixel.
    assert abs(row.item() - 47.7) < 0.5 / OVERSAMPLING + 0.02
    assert abs(column.item() - 48.2) < 0.5 / OVERSAMPLING + 0.02


def test_star_at_the_edge_is_cut_off_rather_than_wrapped(psf):
    image = one_star(psf, 5, 0.0, 40.0)
    assert 0.4e6 < image.sum() < 0.75e6
    assert image[80:].sum() == 0


def test_faint_stars_lose_nothing_that_shows():
    psf = draw_psf(draws(1), space=torch.tensor([False]))
    for flux in (20.0, 300.0, 3000.0):
        points = [torch.tensor([value]) for value in (0, 48.0, 48.0, flux)]
        cut, whole = torch.zeros(2, 1, 96, 96)
        psf.add_points(cut, points, torch.ones(1))
        psf.add_points(whole, points, torch.full((1,), 1e-9))
        assert (cut - whole).abs().max() < 0.11


def test_pixels_integrate_over_their_area():
    dy, dx = psf_module._offsets("cpu")
    width = 0.5
    point = torch.exp(-0.5 * (dy**2 + dx**2) / width**2)[None, None]
    point = point / point.sum()
    got = psf_module._integrate(point, torch.zeros(1))[0, 0]
    got = got / got.sum() * OVERSAMPLING**2
    centre = got[got.shape[0] // 2, got.shape[1] // 2].item()
    assert centre == pytest.approx(math.erf(0.5 / width / 2**0.5) ** 2, rel=0.03)


def test_convolution_agrees_with_stars(psf):
    images = torch.zeros(8, 96, 96)
    images[:, 48, 48] = 1e6
    blurred = psf.convolve(images)
    for frame in range(8):
        points = [torch.tensor([value]) for value in (frame, 48.0, 8.0, 1e6)]
        star = torch.zeros(8, 96, 96)
        psf.add_points(star, points, torch.full((8,), 1e-9))
        # The star is on the first side of the field, whose PSF the convolution takes.
        side = int((8 / 96 * 4 + frame % 4) % 2 > 1)
        if side == 0:
            difference = (
                blurred[frame, 20:77, 48 - 8 : 48 + 9] - star[frame][20:77, :17]
            )
            assert difference.abs().max() < 0.03 * star.max()


def test_convolution_keeps_a_constant(psf):
    blurred = psf.convolve(torch.full((8, 64, 80), 7.0))
    assert blurred.shape == (8, 64, 80)
    assert torch.allclose(blurred, torch.tensor(7.0), atol=1e-4)


def test_range_from_undersampled_to_seeing():
    psf = draw_psf(draws(64, seed=3))
    assert psf.peak.max() > 0.4  # a star may have half its light in one pixel
    assert psf.peak.min() < 0.02  # or be spread over a hundred
    assert (psf.templates >= 0).all()


def test_diffraction_has_rings_and_spikes():
    psf = draw_psf(draws(16, seed=2), space=torch.ones(16, dtype=torch.bool))
    template = psf.templates[:, 0, :, psf.templates.shape[-1] // 2]
    falling = template[:, 128:].diff(dim=1)
    rings = (falling > 0).sum(1)  # not monotonic
    assert (rings > 5).float().mean() > 0.6
