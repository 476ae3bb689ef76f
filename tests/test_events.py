# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""The table of cosmic rays."""

import numpy as np
import pytest
from astropy import units as u
from astropy.nddata import CCDData, NDData
from astropy.utils.masked import Masked
from scipy import ndimage
from skimage.measure import regionprops_table

from astro_deepcr import cosmicray_deepcr, cosmicray_events
from astro_deepcr.masks import TOUCHING


def test_against_scikit_image(frame):
    """The same centres, sizes and angles as those of an independent measure."""
    image, truth = frame
    events = cosmicray_events(image, truth, background=0.0)
    labels, _ = ndimage.label(truth, TOUCHING)
    names = ("area", "centroid_weighted", "orientation", "intensity_max")
    other = regionprops_table(labels, image, properties=names)
    assert np.array_equal(events["pixels"], other["area"])
    assert np.allclose(events["y"].value, other["centroid_weighted-0"])
    assert np.allclose(events["x"].value, other["centroid_weighted-1"])
    assert np.allclose(events["peak"].value, other["intensity_max"])
    # theirs is measured from the columns; a round event has no angle
    angle = events["orientation"].to_value("rad")
    long = events["length"] > 3 * u.pix
    assert long.sum() > 3
    turn = np.sin(angle - np.pi / 2 + other["orientation"])
    assert np.allclose(turn[long], 0, atol=1e-6)


def test_length_and_charge_of_a_diagonal():
    image = np.full((20, 20), 10.0)
    image[range(3, 9), range(9, 3, -1)] += 7
    image[15, 2:9] += 3
    ccd = CCDData(image, unit="adu")
    events = cosmicray_events(ccd, image > 10)
    assert events["charge"].unit == u.adu
    assert np.allclose(events["charge"].value, [42, 21])
    assert np.allclose(events["length"].value, [5 * np.sqrt(2) + 1, 7])
    assert np.allclose(events["orientation"].value, [-45, 0])
    assert np.allclose(events["peak"].value, [7, 3])


def test_noise_and_no_value():
    """Events without charge, and pixels without a value, do no harm."""
    image = np.full((9, 9), 5.0)
    mask = np.zeros((9, 9), bool)
    mask[2, 2:5] = mask[7, 7] = True
    image[7, 7] = np.nan
    events = cosmicray_events(image, mask)
    assert len(events) == 1
    assert (events["x"][0], events["charge"][0]) == (3 * u.pix, 0)
    assert len(cosmicray_events(image, np.zeros((9, 9), bool))) == 0


def test_background_without_a_value_where_the_frame_has_none():
    image = np.full((9, 9), 5.0)
    image[2, 2:5] = 8
    image[7, 7] = np.nan
    background = np.where(np.isnan(image), np.nan, 4.0)
    events = cosmicray_events(image, image > 5, background=background)
    assert events["charge"].value.tolist() == [12]
    background[0, 0] = np.nan
    with pytest.raises(ValueError, match="background has values that are not finite"):
        cosmicray_events(image, image > 5, background=background)


def test_mask_of_another_shape():
    with pytest.raises(ValueError, match="mask has shape"):
        cosmicray_events(np.ones((4, 4)), np.ones((3, 3), bool))


def test_magnitudes_have_no_sum():
    image = CCDData(np.ones((4, 4)), unit=u.mag)
    with pytest.raises(ValueError, match="no linear unit"):
        cosmicray_events(image, np.eye(4, dtype=bool))


def test_input_is_not_changed(ccd, frame):
    before = ccd.data.copy()
    cosmicray_events(ccd, frame[1])
    assert np.array_equal(ccd.data, before)


@pytest.mark.parametrize("kind", [np.asarray, np.ma.asarray, NDData, Masked, CCDData])
def test_a_cleaned_frame_is_a_background(frame, kind):
    """Also where it is masked: there most of all."""
    image, _ = frame
    given = {"unit": "adu"} if kind is CCDData else {}
    cleaned = cosmicray_deepcr(kind(image, **given))
    cleaned, mask = cleaned if isinstance(cleaned, tuple) else (cleaned, cleaned.mask)
    events = cosmicray_events(kind(image, **given), mask, background=cleaned)
    expected = cosmicray_events(
        image,
        mask,
        background=np.asarray(
            cleaned.unmasked if kind is Masked else getattr(cleaned, "data", cleaned)
        ),
    )
    assert len(events) > 3
    assert np.allclose(events["charge"].value, expected["charge"].value)
