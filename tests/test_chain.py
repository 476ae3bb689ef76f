# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""A whole reduction with ccdproc, and real frames of STIS."""

from pathlib import Path

import ccdproc
import numpy as np
import pytest
from astropy import units as u
from astropy.io import fits
from astropy.nddata import CCDData

from astro_deepcr import cosmicray_deepcr

STIS = Path(__file__).parents[2] / "shared" / "data" / "real" / "hst_stis_ngc1068"


def raw_frame(seed, bias=200.0, gain=2.0, sky=300.0, exposure_time=300.0):
    """Return a raw frame in adu, and the mask of its cosmic rays."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:120, :100]
    stars = sum(
        4000 * np.exp(-((x - x0) ** 2 + (y - y0) ** 2) / 8)
        for x0, y0 in ((20, 30), (70, 90), (50, 60))
    )
    hits = np.zeros(x.shape, bool)
    for _ in range(15):
        row, column = rng.integers(0, 118), rng.integers(0, 90)
        hits[row : row + rng.integers(1, 3), column : column + rng.integers(2, 9)] = 1
    electrons = rng.poisson(sky + stars) + rng.normal(0, 5, x.shape)
    electrons[hits] += rng.uniform(1000, 4000, hits.sum())
    adu = np.clip(np.round(electrons / gain + bias), 0, 65535).astype(np.uint16)
    meta = fits.Header(
        [("IMAGETYP", "LIGHT"), ("EXPTIME", exposure_time), ("GAIN", gain)]
    )
    return CCDData(adu, unit="adu", meta=meta), hits


def test_ccdproc_chain(tmp_path):
    """From an ImageFileCollection of raw frames to the combined image."""
    truths = []
    for seed in range(3):
        ccd, hits = raw_frame(seed)
        ccd.write(tmp_path / f"light{seed}.fits")
        truths.append(hits)
    rng = np.random.default_rng(9)
    bias = CCDData(rng.normal(200, 0.5, (120, 100)), unit="adu")

    files = ccdproc.ImageFileCollection(tmp_path, keywords=["imagetyp"])
    cleaned = []
    for ccd in files.ccds(imagetyp="LIGHT", ccd_kwargs={"unit": "adu"}):
        ccd = ccdproc.create_deviation(
            ccd, gain=2 * u.electron / u.adu, readnoise=5 * u.electron
        )
        ccd = ccdproc.subtract_bias(ccd, bias)
        ccd = ccdproc.gain_correct(ccd, ccd.header["GAIN"] * u.electron / u.adu)
        cleaned.append(cosmicray_deepcr(ccd))
    for ccd, hits in zip(cleaned, truths, strict=True):
        assert ccd.unit == u.electron
        assert np.mean(ccd.mask[hits]) > 0.9
        assert np.mean(ccd.mask[~hits]) < 0.01
        assert ccd.header["CRMODEL"] == "universal"
        trimmed = ccdproc.trim_image(ccd[10:110, :])
        assert np.array_equal(trimmed.mask, ccd.mask[10:110])
        ccd.write(tmp_path / "cleaned.fits", overwrite=True)
        assert CCDData.read(tmp_path / "cleaned.fits").mask.sum() == ccd.mask.sum()

    combined = ccdproc.combine(cleaned, method="average")
    expected = 300 + np.zeros((120, 100))
    blank = np.ones(expected.shape, bool)
    blank[10:110, 5:85] = False
    assert abs(np.median(combined.data[blank]) - 300) < 5
    hit_once = np.sum(truths, axis=0) == 1
    assert np.median(np.abs(combined.data - 300)[hit_once & blank]) < 30


@pytest.mark.skipif(
    not STIS.is_dir(), reason="the real STIS frames are not part of the project"
)
def test_stis(record_property):
    """All real frames run; recall and precision without the static hot pixels."""
    for path in sorted(STIS.glob("*.fits")):
        with fits.open(path) as hdus:
            science = hdus["SCI"].data.astype(np.float32)
            bits = hdus["MASK"].data
        ignore = (bits & 6) > 0
        ccd = CCDData(science - np.median(science), unit="electron", mask=ignore)
        cleaned = cosmicray_deepcr(ccd, "acs-wfc")
        found, hit = cleaned.mask & ~ignore, ((bits & 1) > 0) & ~ignore
        recall = np.count_nonzero(found & hit) / np.count_nonzero(hit)
        precision = np.count_nonzero(found & hit) / np.count_nonzero(found)
        record_property(path.stem, (round(recall, 4), round(precision, 4)))
        print(f"{path.stem} recall {recall:.3f} precision {precision:.3f}")
        assert recall > 0.85
        assert precision > 0.7
