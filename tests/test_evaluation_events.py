# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Metrics of whole events and objects."""

import numpy as np
import pytest
from astropy.table import Table
from numpy.testing import assert_allclose, assert_array_equal

from astro_deepcr.evaluation import (
    binned_completeness,
    event_table,
    group_table,
    wrongly_flagged,
    wrongly_flagged_objects,
)


@pytest.fixture
def truth():
    """A track of 5 pixels, a diagonal of 3, a single pixel at the edge."""
    truth = np.zeros((20, 24), bool)
    truth[4, 3:8] = True
    truth[[10, 11, 12], [10, 11, 12]] = True
    truth[19, 23] = True
    return truth


def empty(truth):
    return np.zeros_like(truth)


def test_events_are_groups_that_touch_by_corners(truth):
    events = event_table(truth, truth, charge=np.where(truth, 10.0, 0))
    assert_array_equal(events["size"], [5, 3, 1])
    assert_array_equal(events["charge"], [50, 30, 10])
    assert_allclose(events["x"], [5, 11, 23])
    assert_allclose(events["y"], [4, 11, 19])
    assert events["found"].all()
    assert_array_equal(events["flagged"], 1)


@pytest.mark.parametrize(("offset", "found"), [(0, True), (1, True), (2, False)])
def test_an_event_is_found_within_one_pixel(truth, offset, found):
    mask = empty(truth)
    mask[4 + offset, 5] = True
    events = event_table(mask, truth)
    assert_array_equal(events["found"], [found, False, False])
    assert np.isnan(events["charge"]).all()
    assert not event_table(mask, truth, tolerance=0)["found"][0] or offset == 0
    with pytest.raises(ValueError, match="tolerance=-1 must be 0 pixels or more"):
        event_table(mask, truth, tolerance=-1)


def test_known_event_numbers_separate_events_that_cross(truth):
    event_id = np.where(truth, 7, 0)
    event_id[4, 6:8] = 9
    events = event_table(truth, truth, event_id=event_id)
    assert_array_equal(events["label"], [7, 9])
    assert_array_equal(events["size"], [7, 2])


def test_an_ignored_event_is_left_out(truth):
    ignore = empty(truth)
    ignore[4] = True
    ignore[12, 12] = True
    events = event_table(empty(truth), truth, ignore=ignore)
    assert_array_equal(events["size"], [2, 1])


def test_no_events_gives_an_empty_table(truth):
    events = event_table(truth, empty(truth), charge=truth * 1.0)
    assert len(events) == 0
    assert events["found"].dtype == bool
    assert len(group_table(empty(truth), truth)) == 0


def test_groups_are_true_if_half_of_them_lies_on_a_cosmic_ray(truth):
    mask = empty(truth)
    mask[5, 3:5] = True  # beside the track
    mask[16, 2:5] = True  # nothing there
    mask[10:13, 15:23] = True
    groups = group_table(mask, truth)
    assert_array_equal(groups["true"], [True, False, False])
    assert_array_equal(groups["size"], [2, 24, 3])


def test_flagging_everything_is_complete_and_not_pure(truth):
    everything = np.ones_like(truth)
    assert event_table(everything, truth)["found"].all()
    assert not group_table(everything, truth)["true"].any()


def test_a_group_on_ignored_pixels_is_left_out(truth):
    mask = empty(truth)
    mask[16, 2:5] = True
    assert len(group_table(mask, truth, ignore=mask)) == 0


def test_binned_completeness():
    events = Table(
        {
            "charge": [1.0, 2.0, 3.0, 50.0, 60.0, np.nan, 0],
            "found": [False, True, True, True, True, False, False],
        }
    )
    table = binned_completeness(events, bins=[1, 10, 20, 100])
    assert_array_equal(table["n"], [3, 2])
    assert_allclose(table["completeness"], [2 / 3, 1])
    assert np.all(table["lower"] < table["completeness"])
    assert np.all(table["upper"] <= 1)
    automatic = binned_completeness(events, bins=4)
    assert automatic["n"].sum() == 5
    same = Table({"size": [3, 3], "found": [True, False]})
    assert binned_completeness(same, "size")["completeness"].tolist() == [0.5]


def test_binned_completeness_without_charge(truth):
    events = event_table(truth, truth)
    with pytest.raises(ValueError, match="'charge' holds no positive number in 3"):
        binned_completeness(events)


def test_wrongly_flagged_pixels_leave_out_hits_and_their_neighbours(truth):
    hot = empty(truth)
    hot[5, 4] = hot[15, 2] = hot[15, 4] = hot[15, 6] = True
    ignore = empty(truth)
    ignore[15, 6] = True
    mask = empty(truth)
    mask[5, 4] = mask[15, 2] = True
    assert wrongly_flagged(mask, hot, truth, ignore) == (1, 2)


def test_wrongly_flagged_objects(truth):
    stars = np.zeros(truth.shape, int)
    stars[15:17, 2:4] = 1
    stars[15:17, 4:6] = 2  # touches the first, and is another object
    stars[5, 4] = 3  # hit by the track
    mask = empty(truth)
    mask[16, 5] = mask[5, 4] = True
    assert wrongly_flagged_objects(mask, stars, truth) == (1, 2)
    assert wrongly_flagged_objects(mask, stars > 0, truth) == (1, 1)
    assert wrongly_flagged_objects(mask, stars, truth, stars == 2) == (0, 1)
    assert wrongly_flagged_objects(mask, empty(truth), truth) == (0, 0)


@pytest.mark.parametrize(
    "function", [event_table, group_table], ids=lambda f: f.__name__
)
def test_bad_arrays(function, truth):
    with pytest.raises(ValueError, match=r"mask has shape \(2, 2\)"):
        function(np.zeros((2, 2), bool), truth)
    with pytest.raises(ValueError, match="mask must be boolean"):
        function(truth * 0.5, truth)
    with pytest.raises(ValueError, match="truth must be a non-empty 2-D"):
        function(truth, np.zeros((0, 3), bool))
