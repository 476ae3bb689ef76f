# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Tests of cutting and pasting real cosmic rays."""

from pathlib import Path

import numpy as np
import pytest
from astropy import units as u

from astro_deepcr.simulate import cut_cosmic_rays, paste_cosmic_rays, read_stamps

REAL = Path(__file__).parents[2] / "shared" / "data" / "real" / "cr_stamps"
STAMP = np.array([[5.0, 900.0, 3.0], [0.0, 60.0, 0.0]])


@pytest.fixture
def rng():
    return np.random.default_rng(7)


def test_cut_and_paste_conserve_charge(rng):
    frame = rng.normal(100, 1, (40, 40))
    mask = np.zeros((40, 40), bool)
    mask[5:8, 6] = mask[8, 7] = mask[20, 20] = True
    frame[mask] += 500
    stamps = cut_cosmic_rays(frame, mask, background=100)
    assert [stamp.shape for stamp in stamps] == [(4, 2), (1, 1)]
    assert sum(s.sum() for s in stamps) == pytest.approx((frame - 100)[mask].sum())


def test_cut_separates_neighbours_inside_one_bounding_box():
    mask = np.zeros((5, 5), bool)
    mask[0, :] = mask[:, 0] = True
    mask[2:4, 2:4] = True
    around, within = cut_cosmic_rays(np.ones((5, 5)), mask)
    assert around.sum() == 9
    assert within.sum() == 4


def test_paste_adds_what_it_says(rng):
    image = rng.normal(10, 1, (64, 48))
    before = image.copy()
    pasted, mask = paste_cosmic_rays(image, [STAMP], 20, rng=rng)
    np.testing.assert_array_equal(image, before)
    assert pasted[~mask] == pytest.approx(image[~mask])
    assert np.all(pasted[mask] > image[mask])
    total = (pasted - image).sum()
    assert 0.6 * 20 * STAMP.sum() < total <= 20 * STAMP.sum() + 1e-6


def test_all_orientations_and_the_edges_are_reached(rng):
    seen, edges = set(), 0
    for _ in range(300):
        pasted, mask = paste_cosmic_rays(np.zeros((9, 9)), [STAMP], 1, rng=rng)
        edges += pasted.sum() < STAMP.sum() - 1
        if mask.sum() == 4:
            rows, columns = np.nonzero(mask)
            box = pasted[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1]
            seen.add((box.shape, box.tobytes()))
    assert len(seen) == 8
    assert edges > 10


def test_stamps_larger_than_the_image_fit(rng):
    for _ in range(20):
        pasted, _ = paste_cosmic_rays(np.zeros((3, 2)), [np.ones((9, 7))], 1, rng=rng)
        assert pasted.shape == (3, 2)


def test_charge_factor_and_least_charge(rng):
    _, mask = paste_cosmic_rays(
        np.zeros((99, 99)), [[[10.0]]], 200, rng=rng, charge_factor=(0.5, 2)
    )
    _, strong = paste_cosmic_rays(
        np.zeros((99, 99)), [[[10.0]]], 200, rng=rng, least_charge=10
    )
    pasted, _ = paste_cosmic_rays(
        np.zeros((99, 99)), [[[10.0]]], 50, rng=rng, charge_factor=(0.5, 2)
    )
    assert mask.sum() > 190
    assert strong.sum() < 10  # only where two met
    assert len(np.unique(np.round(pasted[pasted > 0], 6))) > 40


def test_batches_units_and_seeds():
    images = np.zeros((3, 16, 16)) * u.electron
    first, second = (
        paste_cosmic_rays(images, [STAMP], 4, rng=np.random.default_rng(3))[0]
        for _ in range(2)
    )
    assert first.unit == u.electron
    np.testing.assert_array_equal(first.value, second.value)
    assert not np.array_equal(first[0].value, first[1].value)


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"image": np.zeros(4)}, r"image has shape \(4,\)"),
        ({"image": np.zeros((0, 4))}, r"image has shape \(0, 4\)"),
        ({"stamps": []}, "stamps is empty"),
        ({"stamps": [np.zeros(3)]}, r"stamp of shape \(3,\)"),
        ({"stamps": [[[-1.0]]]}, "not negative; take the background off"),
        ({"stamps": [[[np.nan]]]}, "finite"),
        ({"number": -1}, "number=-1"),
        ({"number": 1.5}, "number=1.5"),
        ({"charge_factor": (2, 1)}, r"charge_factor=\(2, 1\)"),
        ({"charge_factor": (0, 1)}, r"charge_factor=\(0, 1\)"),
    ],
)
def test_bad_requests(changes, match, rng):
    request = {"image": np.zeros((4, 4)), "stamps": [STAMP], "number": 1}
    with pytest.raises(ValueError, match=match):
        paste_cosmic_rays(**{**request, **changes}, rng=rng)


def test_bad_cuts():
    with pytest.raises(ValueError, match="must be two-dimensional and alike"):
        cut_cosmic_rays(np.zeros((3, 3)), np.zeros((3, 4)))
    with pytest.raises(ValueError, match="not finite under the mask"):
        cut_cosmic_rays(np.full((3, 3), np.nan), np.ones((3, 3), bool))
    with pytest.raises(TypeError, match="mask holds float64"):
        cut_cosmic_rays(np.zeros((3, 3)), np.full((3, 3), 1e-3))


def test_stamps_have_the_unit_of_their_frame():
    mask = np.zeros((5, 5), bool)
    mask[2, 1:4] = True
    stamps = cut_cosmic_rays(90 * mask * u.electron, mask)
    assert stamps[0].unit == u.electron
    sky, rng = np.zeros((9, 9)), np.random.default_rng(1)
    for image, has in ((sky * u.adu, "is in adu"), (sky, "has none")):
        with pytest.raises(ValueError, match=f"in electron, and the image {has}"):
            paste_cosmic_rays(image, stamps, 1, rng=rng)
    pasted, _ = paste_cosmic_rays(sky * u.electron, stamps, 1, rng=rng)
    assert pasted.unit == u.electron
    with pytest.raises(TypeError, match="rng=42 must be a numpy"):
        paste_cosmic_rays(sky, [STAMP], 1, rng=42)


def test_read_stamps_round_trip(tmp_path):
    stamps = [STAMP, np.array([[7.0]])]
    flat = np.concatenate([stamp.ravel() for stamp in stamps])
    np.savez(tmp_path / "s.npz", shapes=[s.shape for s in stamps], flat=flat)
    for path in (tmp_path / "s.npz", str(tmp_path / "s.npz")):
        for stamp, back in zip(stamps, read_stamps(path), strict=True):
            np.testing.assert_array_equal(stamp, back)


@pytest.mark.parametrize(
    ("arrays", "match"),
    [
        ({"flat": [1.0]}, "no array shapes"),
        ({"shapes": [(2, 2)], "flat": [1.0]}, "asks for 4 pixels"),
        ({"shapes": [(1, 1, 1)], "flat": [1.0]}, "asks for 1 pixels"),
    ],
)
def test_files_of_another_layout(tmp_path, arrays, match):
    np.savez(tmp_path / "s.npz", **arrays)
    with pytest.raises(ValueError, match=match):
        read_stamps(tmp_path / "s.npz")


@pytest.mark.skipif(not REAL.exists(), reason="the shared real stamps are absent")
def test_real_stamps_can_be_pasted(rng):
    stamps = read_stamps(REAL / "lsst_itl_2017_cr.npz")
    assert len(stamps) == 1764
    _, mask = paste_cosmic_rays(np.zeros((512, 512)), stamps, 50, rng=rng)
    assert 100 < mask.sum() < 10_000
