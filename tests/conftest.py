# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Frames that several tests share."""

import numpy as np
import pytest
from astropy.nddata import CCDData, StdDevUncertainty

SKY, READNOISE = 100.0, 5.0


def draw_frame(shape=(96, 80), tracks=12, seed=0):
    """Return a sky with a few straight tracks, and where they are."""
    rng = np.random.default_rng(seed)
    noise = np.hypot(np.sqrt(SKY), READNOISE)
    image = rng.normal(SKY, noise, shape).astype(np.float32)
    truth = np.zeros(shape, bool)
    for _ in range(tracks):
        y, x = rng.integers(0, shape[0] - 2), rng.integers(0, shape[1] - 8)
        truth[y : y + rng.integers(1, 3), x : x + rng.integers(1, 8)] = True
    image[truth] += rng.uniform(800, 3000, truth.sum())
    return image, truth


@pytest.fixture
def frame():
    """Return an image in electrons and the mask of its tracks."""
    return draw_frame()


@pytest.fixture
def ccd(frame):
    """Return a frame with a bad pixel, an uncertainty and a header."""
    image, _ = frame
    mask = np.zeros(image.shape, bool)
    mask[50, 40] = True
    return CCDData(
        image,
        unit="electron",
        mask=mask,
        uncertainty=StdDevUncertainty(np.full(image.shape, 11.0)),
        meta={"EXPTIME": 500.0, "GAIN": 2.0},
    )
