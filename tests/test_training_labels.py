# Licensed under a 3-clause BSD style license - see LICENSE.rst
import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from astropy import units as u
from astropy.io import fits
from astropy.nddata import CCDData
from astropy.wcs import WCS
from scipy.special import erf

from astro_deepcr.exceptions import CosmicRayWarning
from astro_deepcr.flags import HST, MASK_BITS
from astro_deepcr.simulate import simulate_cosmic_rays
from astro_deepcr.training import (
    labels_from_darks,
    labels_from_dq,
    labels_from_exposures,
)

STIS = Path(__file__).parents[2] / "shared" / "data" / "real" / "hst_stis_ngc1068"
SHAPE = (200, 200)
SKY, READNOISE = 60.0, 5.0
NONE = [(0, 0)] * 4
INTEGER = [(0, 0), (3, -2), (-4, 5), (7, 1)]
SUBPIXEL = [(0, 0), (3.3, -2.5), (-4.5, 5.2), (7.7, 1.4)]


@dataclass
class Frame:
    data: np.ndarray
    clean: np.ndarray  # electrons, without noise and cosmic rays
    charge: np.ndarray  # of cosmic rays, electrons
    cores: tuple  # rows and columns of the pixels with star centres


def pixel_profile(centers, size, fwhm):
    """Integrate a Gaussian over pixels, one row per centre."""
    edges = (np.arange(size + 1) - 0.5 - centers[:, None]) / (fwhm / 1.6651)
    return np.diff(erf(edges), axis=1) / 2


def simulate(offsets, fwhm=1.6, n_stars=150, times=None, flux=None, seed=3):
    """Simulate dithered exposures of one star field, with cosmic rays."""
    rng = np.random.default_rng(seed)
    y, x = rng.uniform(-10, np.array(SHAPE)[:, None] + 10, (2, n_stars))
    stars = 10 ** rng.uniform(2.3, 5, n_stars)
    times = np.ones(len(offsets)) if times is None else times
    flux = np.ones(len(offsets)) if flux is None else flux
    frames = []
    for (dy, dx), time, transmission in zip(offsets, times, flux, strict=True):
        rows = pixel_profile(y + dy, SHAPE[0], fwhm) * stars[:, None] * transmission
        clean = (rows.T @ pixel_profile(x + dx, SHAPE[1], fwhm) + SKY) * time
        charge, _, _ = simulate_cosmic_rays(
            SHAPE,
            "ACS/WFC",
            "low Earth orbit",
            1000 * u.s,
            seed=int(rng.integers(2**31)),
        )
        noisy = rng.poisson(clean + charge.value) + rng.normal(0, READNOISE, SHAPE)
        inside = (
            (y + dy > -0.5)
            & (x + dx > -0.5)
            & (y + dy < SHAPE[0] - 0.5)
            & (x + dx < SHAPE[1] - 0.5)
        )
        cores = np.rint([(y + dy)[inside], (x + dx)[inside]]).astype(int)
        frames.append(Frame(noisy, clean, charge.value, tuple(cores)))
    return frames


def wcs_at(offset):
    """Return a WCS whose scene lies at an offset (rows, columns)."""
    wcs = WCS(naxis=2)
    wcs.wcs.ctype = "RA---TAN", "DEC--TAN"
    wcs.wcs.crval = 30, -20
    wcs.wcs.cdelt = -1e-5, 1e-5
    wcs.wcs.crpix = 100 + offset[1], 100 + offset[0]
    return wcs


def measure(frames, labels):
    """Count over all frames, for pixels that are not ignored."""
    total = dict.fromkeys(
        ["hit", "missed", "hidden", "right", "wrong", "cores", "eaten", "lost"], 0
    )
    for frame, label in zip(frames, labels, strict=True):
        sigma = np.sqrt(frame.clean + READNOISE**2)
        strong = frame.charge > 5 * sigma
        empty = frame.charge < np.maximum(2, 0.5 * sigma)
        found, ignore = label.cosmic_rays, label.ignore
        star = (frame.clean > SKY + 5 * sigma)[frame.cores] & empty[frame.cores]
        counts = {
            "hit": strong & found,
            "missed": strong & ~found & ~ignore,
            "hidden": strong & ignore,
            "right": found & (frame.charge > 3 * sigma),
            "wrong": found & empty,
            "cores": star,
            "eaten": star & found[frame.cores],
            "lost": star & ignore[frame.cores],
        }
        for name, pixels in counts.items():
            total[name] += np.count_nonzero(pixels)
    return total


@pytest.mark.parametrize(
    ("offsets", "align", "fwhm", "most_lost"),
    [
        (NONE, None, 1.6, 0.03),
        (NONE[:2], None, 1.6, 0.03),
        (INTEGER, "register", 1.6, 0.05),
        (SUBPIXEL, "register", 1.6, 0.1),
        (SUBPIXEL, SUBPIXEL, 1.2, 0.15),
        (SUBPIXEL, SUBPIXEL, 0.9, 0.25),
        (SUBPIXEL[:3], "wcs", 1.6, 0.1),
        (SUBPIXEL[:2], SUBPIXEL[:2], 1.6, 0.15),
    ],
)
def test_simulated_truth_is_recovered(offsets, align, fwhm, most_lost):
    frames = simulate(offsets, fwhm)
    ccds = [
        CCDData(frame.data, unit="electron", wcs=wcs_at(offset))
        for frame, offset in zip(frames, offsets, strict=True)
    ]
    total = measure(frames, labels_from_exposures(ccds, align=align))
    assert total["hit"] > 700
    assert total["hit"] / (total["hit"] + total["missed"]) >= 0.97
    assert total["right"] / (total["right"] + total["wrong"]) >= 0.97
    assert total["hidden"] / (total["hit"] + total["hidden"]) < 0.12
    assert total["cores"] > 200
    # 0.1 percent over all cases; one core beside a cosmic ray may happen in one
    assert total["eaten"] <= max(1, 1e-3 * total["cores"])
    assert total["lost"] / total["cores"] < most_lost


def test_exposure_times_and_units():
    times = [100.0, 50.0, 200.0]
    frames = simulate(NONE[:3], times=np.array(times) / 100)
    expected = labels_from_exposures(
        [frame.data for frame in frames], exposure_time=times
    )
    total = measure(frames, expected)
    assert total["hit"] > 0.98 * (total["hit"] + total["missed"])
    in_adu = [
        CCDData(frame.data / 2, unit="adu", meta={"EXPTIME": time, "GAIN": 2.0})
        for frame, time in zip(frames, times, strict=True)
    ]
    rates = [
        CCDData(frame.data / time, unit="electron / s", meta={"EXPTIME": time})
        for frame, time in zip(frames, times, strict=True)
    ]
    big_endian = [frame.data.astype(">f4") for frame in frames]
    others = [
        labels_from_exposures(in_adu),
        labels_from_exposures(rates),
        labels_from_exposures(big_endian, exposure_time=times),
        labels_from_exposures(
            big_endian,
            exposure_time=[time * u.s for time in times],
            readnoise=0 * u.electron,
        ),
    ]
    for labels in others:
        for one, other in zip(labels, expected, strict=True):
            # float32 rounding may tip a pixel that sits on the limit
            assert np.count_nonzero(one.cosmic_rays ^ other.cosmic_rays) <= 2
            assert np.count_nonzero(one.ignore ^ other.ignore) <= 4
    assert others[1][0].ccd is rates[0]


def test_pedestal_and_sky_do_not_matter():
    frames = simulate(NONE[:3])
    plain = labels_from_exposures([frame.data for frame in frames])
    lifted = labels_from_exposures(
        [
            frame.data + level
            for frame, level in zip(frames, (1000, 2000, 0), strict=True)
        ]
    )
    for one, other in zip(plain, lifted, strict=True):
        assert np.count_nonzero(one.cosmic_rays ^ other.cosmic_rays) <= 2
        assert other.quality["noise"] == pytest.approx(
            np.sqrt(SKY + READNOISE**2), rel=0.05
        )


def test_clouds_need_match_flux():
    flux = [1, 0.8, 0.4, 1.1]
    frames = simulate(SUBPIXEL, fwhm=3.0, flux=flux)
    data = [frame.data for frame in frames]
    matched = measure(
        frames, labels_from_exposures(data, align=SUBPIXEL, match_flux=True)
    )
    assert matched["eaten"] == 0
    assert matched["lost"] < 0.05 * matched["cores"]
    with pytest.warns(CosmicRayWarning, match=r"of the star cores in exposure \d"):
        plain = measure(frames, labels_from_exposures(data, align=SUBPIXEL))
    assert plain["eaten"] > 5


def test_unusable_pixels_are_ignored_and_input_is_kept():
    rng = np.random.default_rng(1)
    data = rng.normal(100, 5, (3, 40, 50))
    data[0, 5, 5:9] += 400
    data[0, 5, 6] = np.nan
    data[:, 20, 20] = 60000
    mask = np.zeros((40, 50), bool)
    mask[30, 30] = True
    ccds = [CCDData(frame, unit="electron", mask=mask) for frame in data]
    before = data.copy()
    labels = labels_from_exposures(ccds, saturation=50000)
    for label in labels:
        assert label.ignore[20, 20]
        assert label.ignore[30, 30]
        assert not (label.ignore & label.cosmic_rays).any()
        assert label.hot is None
    assert labels[0].ignore[5, 6]
    assert labels[0].cosmic_rays[5, [5, 7, 8]].all()
    assert not labels[0].cosmic_rays[5, 6]
    np.testing.assert_array_equal(data, before)
    assert np.count_nonzero(mask) == 1


def test_partner_hit_is_ignored_in_cr_split():
    data = np.random.default_rng(1).normal(100, 5, (2, 40, 40))
    data[0, 10, 10:13] += 300
    first, second = labels_from_exposures(data)
    assert first.cosmic_rays[10, 10:13].all()
    assert second.ignore[10, 10:13].all()
    assert np.isnan(first.quality["false_fraction"])


def test_what_two_exposures_show_is_ignored():
    data = np.random.default_rng(1).normal(100, 5, (5, 40, 40))
    data[[0, 3], 10, 10] += 300  # a pixel that flickers
    data[1, 20, 20] += 300
    labels = labels_from_exposures(data)
    assert labels[0].ignore[10, 10]
    assert labels[3].ignore[10, 10]
    assert not labels[1].ignore[10, 10]
    assert labels[1].cosmic_rays[20, 20]


def test_pixels_outside_the_others_are_ignored():
    frames = simulate(INTEGER[:2])
    labels = labels_from_exposures([f.data for f in frames], align=INTEGER[:2])
    assert labels[0].ignore[-3:].all()
    assert labels[0].ignore[:, :2].all()
    assert labels[0].ignore[:-3, 2:].mean() < 0.1


def test_exposures_of_different_shapes_by_wcs():
    frames = simulate(INTEGER[:3])
    ccds = [
        CCDData(frame.data, unit="electron", wcs=wcs_at(offset))
        for frame, offset in zip(frames, INTEGER, strict=False)
    ]
    ccds[2] = ccds[2][20:150, 10:190]
    labels = labels_from_exposures(ccds, align="wcs")
    assert [label.cosmic_rays.shape for label in labels] == [c.shape for c in ccds]
    frame = frames[2]
    strong = (frame.charge > 5 * np.sqrt(frame.clean + READNOISE**2))[20:150, 10:190]
    judged = strong & ~labels[2].ignore
    assert judged.sum() > 100
    assert labels[2].cosmic_rays[judged].mean() > 0.97


def test_quality_figures_mean_what_they_say():
    frames = simulate(NONE)
    labels = labels_from_exposures([frame.data for frame in frames], snr=3)
    expected = np.mean([label.quality["false_fraction"] for label in labels])
    total = measure(frames, labels)
    assert total["wrong"] > 30
    actual = total["wrong"] / (total["right"] + total["wrong"])
    # Poisson noise has more outliers above than below
    assert actual / 4 < expected < actual
    quality = labels[0].quality
    assert quality["cosmic_ray_fraction"] == pytest.approx(
        labels[0].cosmic_rays.sum() / (~labels[0].ignore).sum()
    )
    assert quality["ignored_fraction"] == pytest.approx(labels[0].ignore.mean())
    assert quality["misalignment"] < 0.05


def test_misalignment_is_measured():
    frames = simulate(NONE, fwhm=3.0)
    wrong = [(0, 0.4), (0, 0), (0, 0), (0, 0)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", CosmicRayWarning)
        labels = labels_from_exposures([f.data for f in frames], align=wrong)
    assert labels[0].quality["misalignment"] == pytest.approx(0.4, abs=0.06)


def test_false_labels_bring_a_warning():
    # what is bright in one half of the exposures is dark in the other
    rng = np.random.default_rng(2)
    data = rng.standard_t(2.5, (4, 100, 100)) * 10
    with pytest.warns(CosmicRayWarning, match=r"labels of exposure \d are expected"):
        labels_from_exposures(data)


def test_empty_field_has_no_alignment_figure():
    data = np.random.default_rng(1).normal(0, 5, (3, 30, 30))
    quality = labels_from_exposures(data, snr=6)[0].quality
    assert np.isnan(quality["misalignment"])
    assert np.isnan(quality["peak_fraction"])
    assert np.isnan(quality["false_fraction"])


def test_integers_without_noise_are_not_labelled():
    data = np.zeros((3, 30, 30), int)
    data[0, 5, 5] = 1
    data[1, 7, 7] = 20
    labels = labels_from_exposures(data)
    assert not labels[0].cosmic_rays.any()
    assert labels[1].cosmic_rays.sum() == 1


def darks(times=(100.0, 100.0, 300.0, 100.0, 200.0)):
    rng = np.random.default_rng(5)
    hot = np.zeros((100, 100))
    hot[tuple(rng.integers(0, 100, (2, 200)))] = rng.uniform(3, 50, 200)  # per second
    rate = hot + 0.1
    data = np.array([rng.poisson(rate * time) for time in times]) + 0.0
    data += rng.normal(0, 5, data.shape)
    charge = np.zeros(data.shape)
    for plane in charge:
        for y, x in rng.integers(0, 95, (40, 2)):
            plane[y, x : x + 4] += 500
    return data + charge, charge > 0, hot > 0, times


def test_darks_tell_hot_pixels_from_cosmic_rays():
    data, truth, hot, times = darks()
    labels = labels_from_darks(list(data), exposure_time=times)
    for label, hit in zip(labels, truth, strict=True):
        use = ~label.ignore
        assert label.cosmic_rays[hit & use].mean() > 0.97
        assert hit[label.cosmic_rays].mean() > 0.97
        assert label.cosmic_rays[hot & ~hit].mean() < 0.01
        assert label.hot[hot].mean() > 0.99
        assert hot[label.hot].mean() > 0.97
        assert label.ignore.mean() < 0.02
    assert (labels[0].cosmic_rays & labels[0].hot).any()


def test_pedestals_of_darks_do_not_matter():
    """They do not grow with the exposure time, and may differ."""
    data, truth, hot, times = darks()
    bias = np.array([1000.0, 1200.0, 1000.0, 900.0, 1050.0])[:, None, None]
    labels = labels_from_darks(list(data + bias), exposure_time=times)
    for label, hit in zip(labels, truth, strict=True):
        assert label.hot[hot].mean() > 0.99
        assert hot[label.hot].mean() > 0.97
        assert label.cosmic_rays[hit & ~label.ignore].mean() > 0.97


def test_flickering_pixel_of_darks_is_ignored():
    data, _, _, times = darks()
    data[1, 50, 60] += 8 * times[1]
    data[2, 50, 60] += 8 * times[2]
    labels = labels_from_darks(list(data), exposure_time=times)
    assert labels[1].ignore[50, 60]
    assert not labels[1].cosmic_rays[50, 60]


def test_labels_from_flags_of_ccd():
    dq = np.zeros((4, 5), np.int16)
    dq[0, :3] = 4096, 8192 + 256, 256
    dq[1, 1] = 16
    ccd = CCDData(np.ones((4, 5)), unit="adu", flags=dq)
    ccd.data[3, 4] = np.nan
    labels = labels_from_dq(
        ccd,
        bits="CR_DRIZZLE,CR_SPLIT",
        ignore_bits="SATURATED",
        hot_bits=16,
        flag_name_map=HST,
    )
    assert labels.ccd is ccd
    expected = np.zeros((4, 5), np.uint8)
    expected[0, :3] = 1, 2, 2
    expected[1, 1] = 4
    expected[3, 4] = 2
    np.testing.assert_array_equal(labels.mask, expected)
    np.testing.assert_array_equal(
        labels_from_dq(ccd, bits=12288).cosmic_rays, (dq & 12288) > 0
    )
    assert labels_from_dq(ccd, bits=4096).quality["cosmic_ray_fraction"] == 1 / 19


def test_gain_that_was_given_is_kept():
    """Who trains on the labels needs it, in electrons."""
    rng = np.random.default_rng(4)
    ccds = [CCDData(rng.normal(50, 5, (32, 32)), unit="adu") for _ in range(3)]
    ccds[0].data[5, 5:9] = 900
    labels = labels_from_exposures(ccds, gain=2.0)
    assert [one.ccd.meta["EGAIN"] for one in labels] == [2.0] * 3
    assert not ccds[0].meta


def test_fits_file_has_image_and_bits(tmp_path):
    data = darks()[0]
    header = fits.Header({"EXPTIME": 100.0, "INSTRUME": "CAMERA"})
    mask = np.zeros((100, 100), bool)
    mask[0] = True
    ccds = [
        CCDData(plane, unit="electron", mask=mask, meta=header, wcs=wcs_at((0, 0)))
        for plane in data[:2]
    ]
    label = labels_from_darks(ccds)[0]
    label.to_hdulist().writeto(tmp_path / "labels.fits")
    with fits.open(tmp_path / "labels.fits") as hdus:
        assert [hdu.name for hdu in hdus] == ["PRIMARY", "SCI", "MASK"]
        np.testing.assert_array_equal(hdus["SCI"].data, data[0])
        assert hdus["SCI"].header["BUNIT"] == "electron"
        assert hdus["SCI"].header["INSTRUME"] == "CAMERA"
        assert hdus["SCI"].header["CTYPE1"] == "RA---TAN"
        assert hdus["MASK"].data.dtype == np.uint8
        bits = hdus["MASK"].data
        for bit, pixels in (
            (MASK_BITS.COSMIC_RAY, label.cosmic_rays),
            (MASK_BITS.IGNORE, label.ignore),
            (MASK_BITS.HOT, label.hot),
        ):
            assert pixels.any()
            np.testing.assert_array_equal((bits & bit) > 0, pixels)
        assert hdus["MASK"].header["LBLCRFR"] == pytest.approx(
            label.quality["cosmic_ray_fraction"]
        )
        assert hdus["MASK"].header["LBLFALSE"] is None
    assert header == fits.Header({"EXPTIME": 100.0, "INSTRUME": "CAMERA"})


NOISE = np.random.default_rng(0).normal(100, 5, (3, 20, 30))


@pytest.mark.parametrize("function", [labels_from_exposures, labels_from_darks])
@pytest.mark.parametrize(
    ("ccds", "keywords", "error", "match"),
    [
        (NOISE[:1], {}, ValueError, "holds 1 exposure.* at least 2"),
        ([], {}, ValueError, "holds 0 exposure"),
        (CCDData(NOISE[0], unit="adu"), {}, TypeError, "type CCDData; a list"),
        ("*.fits", {}, TypeError, "type str; a list"),
        (["a.fits", "b.fits"], {}, TypeError, "Read a file first"),
        ([NOISE[0], NOISE[1][:10]], {}, ValueError, "different shapes"),
        (NOISE, {"saturation": 10}, ValueError, "exposure 0 are saturated"),
        ([NOISE[0], NOISE[1] * np.nan], {}, ValueError, "masked or not finite"),
        (NOISE, {"exposure_time": [1, 2]}, ValueError, "2 values for 3 exposures"),
        (NOISE, {"exposure_time": [1, 2, -3]}, ValueError, "exposure_time=-3"),
        (NOISE, {"exposure_time": "TEXP"}, ValueError, "no such keyword"),
        (NOISE, {"gain": -1}, ValueError, "gain=-1"),
        (NOISE, {"snr": 0}, ValueError, "snr=0 must be a number, above 0"),
        (NOISE, {"snr": "5"}, ValueError, "snr='5' must be"),
        (NOISE, {"neighbor_snr": 5}, ValueError, "must not exceed snr=4.0"),
        (NOISE, {"readnoise": -1}, ValueError, "readnoise=-1 must be"),
    ],
)
def test_bad_input(function, ccds, keywords, error, match):
    with pytest.raises(error, match=match):
        function(ccds, **keywords)


@pytest.mark.parametrize(
    ("align", "match"),
    [
        ("wcs", "Exposure 0 has no WCS"),
        ("drizzle", "align='drizzle' is not known"),
        ([(0, 0), (1, 1)], r"shape \(3, 2\)"),
        ([(0, 0), (0, np.nan), (1, 1)], r"shape \(3, 2\)"),
        ([(0, 0), (0, 1), (50, 0)], "Exposure 2 does not overlap"),
    ],
)
def test_bad_alignment(align, match):
    with pytest.raises(ValueError, match=match):
        labels_from_exposures(NOISE, align=align)


def test_wcs_that_do_not_overlap():
    ccds = [
        CCDData(plane, unit="electron", wcs=wcs_at(offset))
        for plane, offset in zip(NOISE, [(0, 0), (1, 1), (500, 0)], strict=True)
    ]
    with pytest.raises(ValueError, match="Exposure 2 does not overlap"):
        labels_from_exposures(ccds, align="wcs")
    ccds[1] = CCDData(NOISE[1], unit="electron", wcs=WCS(naxis=2))
    with pytest.raises(ValueError, match="Exposure 1 has no celestial WCS"):
        labels_from_exposures(ccds, align="wcs")


@pytest.mark.parametrize(
    ("unit", "match"),
    [
        ("adu", "takes gain"),
        ("electron / s", "takes exposure_time"),
        ("Jy", "Convert the image first"),
    ],
)
def test_units_that_do_not_lead_to_electrons(unit, match):
    with pytest.raises(ValueError, match=match):
        labels_from_exposures([CCDData(plane, unit=unit) for plane in NOISE])


@pytest.mark.parametrize(
    ("dq", "keywords", "error", "match"),
    [
        (None, {"bits": 8}, ValueError, "There is no data-quality array"),
        (NOISE[0], {"bits": 8}, TypeError, "dq holds float64 values"),
        (np.zeros((3, 3), int), {"bits": 8}, ValueError, r"dq has shape \(3, 3\)"),
        (np.zeros((20, 30), int), {"bits": 0}, ValueError, "bits=0 names no bit"),
    ],
)
def test_bad_dq(dq, keywords, error, match):
    with pytest.raises(error, match=match):
        labels_from_dq(NOISE[0], dq, **keywords)


@pytest.mark.skipif(not STIS.is_dir(), reason="the shared real data are not here")
def test_real_stis_exposures_off_target():
    ccds, masks = [], []
    for path in sorted(STIS.glob("*.fits"))[:6]:
        with fits.open(path) as hdus:
            data = hdus["SCI"].data[:300].astype(np.float32)
            ccds.append(CCDData(data, unit="adu", meta=hdus[0].header))
            masks.append(hdus["MASK"].data[:300])
    for label, mask in zip(labels_from_exposures(ccds), masks, strict=True):
        # of static hot pixels, hundreds per frame are cosmic rays in MASK
        use = ((mask & (MASK_BITS.IGNORE | MASK_BITS.HOT)) == 0) & ~label.ignore
        truth = (mask & MASK_BITS.COSMIC_RAY)[use] > 0
        found = label.cosmic_rays[use]
        f1 = 2 * np.count_nonzero(found & truth) / (found.sum() + truth.sum())
        assert f1 > 0.97
