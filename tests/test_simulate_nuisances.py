# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Tests of the nuisances: what must be conserved is conserved."""

import pytest
import torch

from astro_deepcr.simulate import nuisances
from astro_deepcr.simulate._random import Draws


def draws(n=64, seed=1):
    return Draws(torch.Generator().manual_seed(seed), n)


def test_bleeding_conserves_charge_and_respects_the_full_well():
    light = torch.zeros(2, 101, 9)
    light[0, 50, 4] = 2_050.0
    light[1, 50, 4] = 90.0
    got = nuisances.bleed(light, torch.tensor([100.0, 100.0]))
    assert torch.equal(got[1], light[1])
    assert got[0].max() <= 100.001
    assert got[0].sum().item() == pytest.approx(2_050.0, rel=1e-5)
    trail = got[0, :, 4]
    assert (trail[41:60] == 100).all()
    assert torch.allclose(trail, trail.flip(0), atol=1e-3)
    assert got[0, :, :4].sum() == 0


def test_bleeding_skips_pixels_that_are_full_already():
    light = torch.zeros(1, 60, 1)
    light[0, 30] = 300.0
    light[0, 31:35] = 100.0
    got = nuisances.bleed(light, torch.tensor([100.0]))
    assert got[0, 35, 0] == pytest.approx(100.0)
    assert got.sum().item() == pytest.approx(700.0)


def test_bleeding_over_the_edge_loses_charge():
    light = torch.zeros(1, 10, 1)
    light[0, 5] = 1e6
    got = nuisances.bleed(light, torch.tensor([100.0]))
    assert (got == 100).all()


def test_trails_conserve_charge_and_point_one_way():
    light = torch.zeros(64, 80, 5)
    light[:, 20, 2] = 1000.0
    charge = 2 * light
    trailed, other = nuisances.transfer_trails(draws(), [light, charge])
    assert torch.allclose(trailed.sum(dim=(1, 2)), torch.tensor(1000.0))
    assert torch.allclose(other, 2 * trailed, atol=1e-3)
    assert (trailed[:, :20] == 0).all()
    some = (trailed[:, 21, 2] > 0).sum()
    assert 1 <= some <= 30
    assert light[:, 20, 2].min() == 1000  # what went in is not changed


def test_resampling_keeps_constants_and_lowers_the_noise():
    resampling = nuisances.Resampling.draw(draws(), (40, 50), probability=0.5)
    ones = torch.ones(64, 40, 50)
    assert torch.allclose(resampling.apply(ones), ones, atol=1e-5)
    variance = resampling.apply_variance(ones)
    touched = torch.zeros(64, dtype=torch.bool)
    touched[resampling.frames] = True
    assert 10 < touched.sum() < 54
    assert (variance[~touched] == 1).all()
    assert variance[touched].mean() < 0.95


def test_variance_of_resampled_noise_is_predicted():
    resampling = nuisances.Resampling.draw(draws(300), (24, 24), probability=1.0)
    noise = torch.randn(300, 24, 24, generator=torch.Generator().manual_seed(2))
    got = resampling.apply(noise)
    predicted = resampling.apply_variance(torch.ones_like(noise))
    assert (got**2 / predicted).mean().item() == pytest.approx(1.0, abs=0.02)


def test_defects_are_flagged_where_they_matter():
    light = torch.full((64, 64, 64), 100.0)
    got, bad = nuisances.detector_defects(draws(), light, torch.full((64,), 10.0))
    strange = (got > 250) | (got < 60)
    assert bad[strange].all()
    assert 1e-4 < bad.float().mean() < 0.1
    assert (bad.any(dim=2).any(dim=1)).float().mean() < 1  # some detectors are perfect
    assert (got >= 0).all()


def test_optics_change_most_frames_a_little():
    light = torch.full((64, 64, 64), 100.0)
    got = nuisances.optics(draws(), light, torch.full((64,), 10.0))
    assert (got >= 0).all()
    ratio = got.flatten(1).median(dim=1).values / 100
    assert (ratio > 0.4).all()
    assert ratio.median().item() == pytest.approx(1.0, abs=0.02)
    assert (got.amax(dim=(1, 2)) > 150).any()  # a streak in some


def test_pattern_of_the_readout_is_small():
    pattern = nuisances.readout_pattern(draws(), (64, 64), torch.full((64,), 5.0))
    assert pattern.std() < 10
    assert (pattern == 0).all(dim=2).all(dim=1).any()


def test_sharp_tracks_are_one_pixel_wide_and_have_their_own_events():
    charge = torch.zeros(400, 64, 80)
    charge[:, 10, 10] = 7.0
    event_id = (charge > 0).long()
    got, events = nuisances.sharp_tracks(
        draws(400), charge, event_id, torch.full((400,), 5.0)
    )
    assert charge.sum().item() == pytest.approx(7 * 400)  # the caller's own
    assert (got >= charge).all()
    assert torch.equal(events > 0, got > 0)
    some = (got > charge).flatten(1).any(dim=1)
    assert 0.04 < some.float().mean() < 0.3
    added = got[some] - charge[some]
    assert 0.0005 < (added > 0).float().mean() < 0.03
    event = events[events > 1][0]
    frame, row, column = torch.nonzero(events == event).T
    assert len(set(frame.tolist())) == 1
    # each step goes to a neighbour, and no pixel is shared by two steps
    extent = max(row.max() - row.min(), column.max() - column.min()) + 1
    assert len(row) <= extent


def test_skirts_are_cut_in_some_frames():
    sigma = torch.full((400,), 5.0)
    charge = torch.linspace(0, 60, 64 * 64).view(64, 64).repeat(400, 1, 1)
    event_id = (charge > 0).long()
    got, events = nuisances.cut_skirts(draws(400), charge, event_id, sigma)
    assert torch.equal(events > 0, got > 0)
    assert torch.equal(got[got > 0], charge[got > 0])
    faintest = torch.where(got > 0, got, torch.inf).amin(dim=(1, 2)) / sigma
    cut = faintest > 0.1
    assert 0.15 < cut.float().mean() < 0.35
    assert faintest[cut].min() >= 0.5
    assert 3 < faintest.max() < 5.1


def test_stars_are_struck_by_copies_of_their_own_frame():
    charge = torch.zeros(3, 100, 100)
    event_id = torch.zeros(3, 100, 100, dtype=torch.int64)
    charge[0, 5, 5:9] = torch.tensor([60.0, 30.0, 20.0, 10.0])  # seen
    event_id[0, 5, 5:9] = 1
    charge[1, 80, 80], event_id[1, 80, 80] = 9.0, 2  # too faint
    stars = torch.tensor([[0, 50, 50], [0, 99, 0], [1, 50, 50], [2, 50, 50]])
    sigma = torch.full((3,), 2.0)
    before = charge.clone()
    got, events = nuisances.strike_stars(draws(3), charge, event_id, stars, sigma, 1.0)
    assert torch.equal(charge, before)  # the caller's own
    assert torch.equal(got[1:], charge[1:])  # neither faint ones, nor another frame's
    added = got - charge
    assert torch.equal(added > 0, (events > 0) & (event_id == 0))
    # the first star has the whole event, with the brightest pixel on it or close by
    place = torch.nonzero(added[0, 40:61, 40:61] == 60)
    assert len(place) == 1
    row, column = (place[0] + 40).tolist()
    assert max(abs(row - 50), abs(column - 50)) <= 2
    assert added[0, row, column : column + 4].tolist() == [60, 30, 20, 10]
    assert len(events[0, row, column : column + 4].unique()) == 1
    # and the star in the corner as much of it as fits, with a number of its own
    assert added[0, 94:, :8].sum() <= 120
    assert set(events[0].unique().tolist()) >= {0, 1, events[0, row, column].item()}
    assert events[0].unique().numel() - 1 == 2 + bool(added[0, 94:, :8].sum())


@pytest.mark.parametrize(("share", "many", "expected"), [(0.3, 20, 6), (0.3, 400, 50)])
def test_share_of_the_stars_that_are_struck(share, many, expected):
    """A third of few stars, and one in 2000 pixels of many."""
    n, side = 40, 316
    charge = torch.zeros(n, side, side)
    charge[:, 3, 3] = 100.0
    event_id = torch.zeros(n, side, side, dtype=torch.int64)
    event_id[:, 3, 3] = torch.arange(1, n + 1)
    place = torch.randint(20, 300, (n * many, 2), generator=draws().generator)
    frame = torch.arange(n).repeat_interleave(many)
    stars = torch.cat([frame[:, None], place], dim=1)
    _, events = nuisances.strike_stars(
        draws(n), charge, event_id, stars, torch.ones(n), share
    )
    struck = len(events.unique()) - 1 - n
    assert struck / n == pytest.approx(expected, rel=0.15)


@pytest.mark.parametrize("empty", ["stars", "events"])
def test_nothing_to_strike_or_to_strike_with(empty):
    charge = torch.zeros(2, 40, 40)
    event_id = torch.zeros(2, 40, 40, dtype=torch.int64)
    stars = torch.tensor([[0, 20, 20]])
    if empty == "stars":
        charge[0, 3, 3], event_id[0, 3, 3], stars = 100.0, 1, stars[:0]
    got, events = nuisances.strike_stars(
        draws(2), charge, event_id, stars, torch.ones(2), 1.0
    )
    assert torch.equal(got, charge)
    assert torch.equal(events, event_id)
