# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Frames with truth, from memory and from files."""

from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from astropy.nddata import CCDData
from numpy.testing import assert_array_equal

from astro_deepcr.evaluation import (
    LabelledFrame,
    find_fits,
    labelled_frames,
    read_frame,
    read_frames,
)

STIS = Path(__file__).parents[2] / "shared" / "data" / "real" / "hst_stis_ngc1068"


def write(path, extname="SCI", plane="MASK", bunit="ELECTRONS", **header):
    """Write a 4x5 image whose first row holds the bits 0 to 4."""
    image = np.arange(20, dtype=">i2").reshape(4, 5)
    bits = np.zeros((4, 5), np.int16)
    bits[0] = [0, 1, 2, 3, 4]
    primary = fits.PrimaryHDU()
    primary.header.update(header)
    sci = fits.ImageHDU(image, name=extname)
    sci.header["BUNIT"] = bunit
    hdus = [primary, sci]
    if plane:
        hdus.append(fits.ImageHDU(bits, name=plane))
    fits.HDUList(hdus).writeto(path)
    return path


def test_bits_of_a_mask_extension(tmp_path):
    frame = read_frame(write(tmp_path / "a.fits", RDNOISE=3))
    assert_array_equal(frame.truth[0], [0, 1, 0, 1, 0])
    assert_array_equal(frame.ignore[0], [0, 0, 1, 1, 0])
    assert_array_equal(frame.pixels["hot"][0], [0, 0, 0, 0, 1])
    assert frame.ccd.unit == "electron"
    assert frame.readnoise == 3
    assert frame.name == "a.fits"
    assert frame.electrons[1, 0] == 5


def test_bits_of_a_dq_extension(tmp_path):
    path = write(tmp_path / "a.fits", plane="DQ")
    frame = read_frame(path, dq_bits=1, unit="adu", gain=2.0, bias=3)
    assert_array_equal(frame.truth[0], [0, 1, 0, 1, 0])
    assert_array_equal(frame.ignore[0], [0, 0, 1, 0, 1])
    assert frame.electrons[1, 0] == 4
    assert not read_frame(path, dq_bits=1, ignore_bits=0).ignore.any()
    assert read_frame(path, dq_bits=3).truth.sum() == 3


def test_units_and_gain_come_from_the_header(tmp_path):
    path = write(tmp_path / "a.fits", bunit="DN", CCDGAIN=4.0)
    frame = read_frame(path, readnoise=7)
    assert (str(frame.ccd.unit), frame.to_electrons, frame.readnoise) == ("adu", 4, 7)
    path = write(tmp_path / "b.fits", bunit="ELECTRONS/SEC", EXPTIME=10.0)
    assert read_frame(path).to_electrons == 10


@pytest.mark.parametrize(
    ("bunit", "unit"),
    [
        ("ELECTRONS", "electron"),
        ("electron", "electron"),
        ("e-", "electron"),
        ("e-/s", "electron / s"),
        ("ELECTRONS/S", "electron / s"),
        ("COUNTS", "adu"),
        ("counts/second", "adu / s"),
        ("CPS", "adu / s"),
        ("DN ", "adu"),
        ("", "adu"),
    ],
)
def test_spellings_of_the_unit(tmp_path, bunit, unit):
    assert str(read_frame(write(tmp_path / "a.fits", bunit=bunit)).ccd.unit) == unit


def test_an_unknown_unit_is_not_guessed(tmp_path):
    path = write(tmp_path / "a.fits", bunit="raw (bias)")
    with pytest.raises(ValueError, match=r"unit 'raw \(bias\)' of .* is not known"):
        read_frame(path)
    assert read_frame(path, unit="adu").ccd.unit == "adu"


def test_the_name_of_the_extension_may_be_padded_or_missing(tmp_path):
    assert read_frame(write(tmp_path / "a.fits", extname="SCI  ")).truth.sum() == 2
    assert read_frame(write(tmp_path / "b.fits", extname="")).truth.sum() == 2


def test_the_bias_may_be_measured(tmp_path):
    frame = read_frame(write(tmp_path / "a.fits"), bias=np.median)
    assert np.median(frame.ccd.data) == 0


def test_files_without_truth_or_image(tmp_path):
    path = write(tmp_path / "a.fits", plane="")
    with pytest.raises(ValueError, match=r"no MASK extension .*'PRIMARY', 'SCI'"):
        read_frame(path)
    with pytest.raises(ValueError, match="no DQ extension"):
        read_frame(path, dq_bits=4096)
    fits.PrimaryHDU().writeto(tmp_path / "b.fits")
    with pytest.raises(ValueError, match=r"b.fits holds no image"):
        read_frame(tmp_path / "b.fits")


def test_each_chip_has_its_own_truth(tmp_path):
    hdus = fits.HDUList([fits.PrimaryHDU()])
    for version in (2, 1):
        image = np.full((3, 4), float(version))
        hdus.append(fits.ImageHDU(image, name="SCI", ver=version))
    for version in (1, 2):
        bits = np.full((3, 4), version, np.uint8)
        hdus.append(fits.ImageHDU(bits, name="MASK", ver=version))
    hdus.writeto(tmp_path / "a.fits")
    frames = list(read_frames(tmp_path / "a.fits"))
    assert [frame.name for frame in frames] == ["a.fits[SCI,2]", "a.fits[SCI,1]"]
    assert [frame.ccd.data[0, 0] for frame in frames] == [2, 1]
    assert [frame.truth.all() for frame in frames] == [False, True]
    assert [frame.ignore.all() for frame in frames] == [True, False]
    blank = fits.ImageHDU(np.full((3, 4), 9, np.uint16), name="SCI", ver=1)
    blank.header["BLANK"] = 9 - 32768
    hdus["SCI", 1] = blank
    hdus.writeto(tmp_path / "blank.fits")
    assert [f.bad.all() for f in read_frames(tmp_path / "blank.fits")] == [False, True]
    del hdus["MASK", 1]
    hdus.writeto(tmp_path / "b.fits")
    with pytest.raises(ValueError, match=r"no MASK extension .* for its image SCI,1"):
        list(read_frames(tmp_path / "b.fits"))


def test_find_fits(tmp_path):
    for name in ("b.fits", "a.FITS.fz", "c.txt"):
        (tmp_path / name).touch()
    assert [p.name for p in find_fits(tmp_path)] == ["a.FITS.fz", "b.fits"]
    assert find_fits(tmp_path / "b.fits") == [tmp_path / "b.fits"]


def test_pixels_without_a_value_are_ignored():
    data = np.ones((3, 3))
    data[0, 0] = np.nan
    mask = np.eye(3, dtype=bool)[::-1]
    ccd = CCDData(data, unit="adu", mask=mask)
    ignore = np.zeros((3, 3), bool)
    ignore[2, 2] = True
    frame = LabelledFrame(ccd, np.zeros((3, 3), bool), ignore, gain=2)
    assert_array_equal(frame.ignored, np.isnan(data) | mask | ignore)
    assert_array_equal(frame.electrons, np.full((3, 3), 2))  # filled from around


def test_truth_must_fit():
    with pytest.raises(ValueError, match=r"truth has shape \(2, 2\)"):
        LabelledFrame(CCDData(np.ones((3, 3)), unit="adu"), np.zeros((2, 2), bool))


@pytest.mark.skipif(not STIS.is_dir(), reason="the shared real frames are not here")
def test_real_frames_can_be_read():
    frame = read_frame(find_fits(STIS)[0], unit="adu", bias=np.median)
    assert frame.ccd.unit == "adu"
    assert frame.to_electrons == 1
    assert 0.02 < frame.truth.mean() < 0.1
    assert frame.pixels["hot"].any()


def test_simulated_frames_are_taken_apart():
    torch = pytest.importorskip("torch")
    from astro_deepcr.simulate import simulate_frames

    generator = torch.Generator().manual_seed(1)
    batch = simulate_frames(
        2,
        (64, 64),
        scenes="cluster",
        detectors="ACS/WFC",
        environments="low Earth orbit",
        exposure_times=[500.0, 1000.0],
        sky=50.0,
        generator=generator,
    )
    frames = list(labelled_frames(batch))
    assert len(frames) == 2
    for number, frame in enumerate(frames):
        assert_array_equal(frame.truth, batch.truth[number].numpy())
        assert_array_equal(frame.electrons, batch.image[number].numpy())
        assert not (frame.truth & frame.ignored).any()
        cores = batch.star_cores[batch.star_cores[:, 0] == number, 1:].numpy()
        assert np.all(frame.objects["cores"][tuple(cores.T)] > 0)
        assert frame.gain == 2
    assert frames[1].name == "cluster, 1000 s"
