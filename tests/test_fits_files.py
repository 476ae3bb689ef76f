# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""FITS files in and out, and whatever may be wrong with them."""

import warnings

import numpy as np
import pytest
from astropy import units as u
from astropy.io import fits
from astropy.io.fits import FITSDiff
from astropy.io.fits.verify import VerifyWarning

from astro_deepcr import clean_files
from astro_deepcr.exceptions import CosmicRayWarning
from astro_deepcr.fits_files import find_frames, read_frame
from astro_deepcr.scripts import main

from .conftest import draw_frame


@pytest.fixture
def image():
    return draw_frame()[0]


@pytest.fixture
def mef(tmp_path, image):
    """Return a file with a table and two images, the second called 'SCI  '."""
    primary = fits.PrimaryHDU()
    primary.header["INSTRUME"] = ("ACS", "the camera")
    primary.header["DETECTOR"] = "WFC"
    primary.header["CRPIX1"] = 7.0
    table = fits.BinTableHDU.from_columns(
        [fits.Column("x", "E", array=[1.0, 2.0])], name="CAT"
    )
    error = fits.ImageHDU(np.ones((3, 3)), name="ERR")
    science = fits.ImageHDU(image)
    science.header["EXTNAME"] = "SCI  "
    science.header["BUNIT"] = "ELECTRONS"
    science.header["CTYPE1"] = "RA---TAN"
    path = tmp_path / "frame.fits"
    fits.HDUList([primary, table, error, science]).writeto(path)
    return path


class TestRead:
    def test_finds_the_science_image(self, mef, image):
        ccd, index = read_frame(mef)
        assert index == 3
        assert ccd.unit == u.electron
        assert np.array_equal(ccd.data, image)
        assert (ccd.meta["INSTRUME"], ccd.meta["CTYPE1"]) == ("ACS", "RA---TAN")

    @pytest.mark.parametrize("hdu", [2, "2", "err", "ERR"])
    def test_choice(self, mef, hdu):
        assert read_frame(mef, hdu, unit="adu")[0].shape == (3, 3)

    @pytest.mark.parametrize(
        ("bunit", "unit"),
        [
            ("COUNTS", u.adu),
            ("ELECTRONS/S", u.electron / u.s),
            ("electrons per second", u.electron / u.s),
            ("[adu]", u.adu),
            ("photons", u.photon),
            ("1e-17 erg/(s cm2 Angstrom)", 1e-17 * u.erg / u.s / u.cm**2 / u.AA),
            ("DN", u.adu),
            ("adu", u.adu),
            ("electron / s", u.electron / u.s),
            ("e-/sec", u.electron / u.s),
            ("Jy", u.Jy),
        ],
    )
    def test_units(self, tmp_path, bunit, unit):
        header = fits.Header([("BUNIT", bunit)])
        fits.writeto(tmp_path / "a.fits", np.ones((3, 3)), header)
        assert read_frame(tmp_path / "a.fits")[0].unit == unit

    def test_scaled_integers_and_compression(self, tmp_path):
        data = np.arange(60000, 60100, dtype=np.uint16).reshape(10, 10)
        hdus = fits.HDUList([fits.PrimaryHDU(), fits.CompImageHDU(data, name="CHIP1")])
        hdus.writeto(tmp_path / "a.fits.fz")
        ccd, index = read_frame(tmp_path / "a.fits.fz", unit="adu")
        assert index == 1
        assert np.array_equal(ccd.data, data)


class TestBadFiles:
    @pytest.mark.parametrize("content", [b"", b"hello", b"SIMPLE  =       T" * 99])
    def test_not_fits(self, tmp_path, content):
        path = tmp_path / "a.fits"
        path.write_bytes(content)
        with pytest.raises(OSError, match=r"a\.fits cannot be read as FITS"):
            read_frame(path)

    @pytest.mark.parametrize("keep", [0.2, 0.5, 0.9])
    def test_truncated(self, mef, keep):
        content = mef.read_bytes()
        mef.write_bytes(content[: int(len(content) * keep)])
        with pytest.raises((OSError, ValueError), match=r"frame\.fits"):
            read_frame(mef)

    def test_warnings_of_other_threads_are_no_damage(self, mef, monkeypatch):
        """Another one may write a card that is too long in the meantime."""
        opened = fits.open

        def warn(*args, **kwargs):
            text = "Card is too long, comment will be truncated."
            warnings.warn(text, VerifyWarning, stacklevel=2)
            return opened(*args, **kwargs)

        monkeypatch.setattr(fits, "open", warn)
        with pytest.warns(VerifyWarning, match="too long"):
            read_frame(mef)

    def test_missing(self, tmp_path):
        with pytest.raises(FileNotFoundError, match=r"There is no file .*b\.fits"):
            read_frame(tmp_path / "b.fits")

    def test_no_image(self, tmp_path):
        cube = fits.PrimaryHDU(np.ones((2, 3, 4)))
        cube.writeto(tmp_path / "a.fits")
        with pytest.raises(ValueError, match="no two-dimensional image; its HDUs are"):
            read_frame(tmp_path / "a.fits")

    @pytest.mark.parametrize(
        ("names", "expected"),
        [
            (["IMAGE", "MASK", "VARIANCE"], [1]),
            (["DATA", "STAT", "QUAL"], [1]),
            (["1-1.E.SCI", "1-1.E.RMS", "1-1.E.FLG", "1-1.F.SCI"], [1, 4]),
            (["DATA", "STDDEV", "NOISE", "INVVAR", "WAVELENGTH"], [1]),
            (["VAR_POISSON", "N1", "N2", "PIXELDQ"], [2, 3]),
        ],
    )
    def test_planes_are_no_frames(self, tmp_path, names, expected):
        images = [fits.ImageHDU(np.ones((8, 9)), name=name) for name in names]
        fits.HDUList([fits.PrimaryHDU(), *images]).writeto(tmp_path / "a.fits")
        assert find_frames(tmp_path / "a.fits") == expected

    @pytest.mark.parametrize("first", [np.ones((2, 8, 9)), None])
    def test_a_plane_is_not_taken_for_the_image(self, tmp_path, first):
        """As in a ramp of JWST, where SCI is a cube."""
        images = [] if first is None else [fits.ImageHDU(first, name="SCI")]
        images.append(fits.ImageHDU(np.ones((8, 9), np.int16), name="PIXELDQ"))
        fits.HDUList([fits.PrimaryHDU(), *images]).writeto(tmp_path / "a.fits")
        for find in (find_frames, read_frame):
            with pytest.raises(ValueError, match="no two-dimensional image; its HDUs"):
                find(tmp_path / "a.fits")
        assert find_frames(tmp_path / "a.fits", "PIXELDQ") == [len(images)]

    @pytest.mark.parametrize("hdu", ["DQ", 1, 9])
    def test_no_such_hdu(self, mef, hdu):
        with pytest.raises(ValueError, match=r"no image HDU .*1 CAT.*3 SCI"):
            read_frame(mef, hdu)

    def test_name_and_version_as_astropy_writes_them(self, mef):
        assert find_frames(mef, ("SCI", 1)) == find_frames(mef, "SCI,1") == [3]
        assert find_frames(mef, [("SCI", 1), ("ERR", np.int64(1))]) == [2, 3]
        assert find_frames(mef, ("SCI", np.int64(1))) == [3]
        with pytest.raises(ValueError, match="no image HDU 'SCI,2'"):
            find_frames(mef, [("SCI", 2)])

    def test_empty_list(self, mef):
        with pytest.raises(ValueError, match=r"ext=\[\] names no HDU"):
            find_frames(mef, [])

    def test_blank_of_unsigned_integers(self, tmp_path):
        """astropy does not look at BLANK where BZERO makes integers unsigned."""
        values = np.arange(12, dtype=np.uint16).reshape(3, 4) + 30000
        hdu = fits.PrimaryHDU(values)
        hdu.header["BLANK"] = 30005 - 32768
        hdu.header["BUNIT"] = "adu"
        hdu.writeto(tmp_path / "a.fits")
        data = read_frame(tmp_path / "a.fits")[0].data
        assert np.argwhere(np.isnan(data)).tolist() == [[1, 1]]
        assert np.array_equal(data[0], values[0])

    def test_blank_of_signed_bytes(self, tmp_path):
        path = tmp_path / "a.fits"
        fits.writeto(path, np.arange(12, dtype=np.uint8).reshape(3, 4))
        with fits.open(path, mode="update", do_not_scale_image_data=True) as hdus:
            hdus[0].header.update({"BZERO": -128, "BSCALE": 1, "BLANK": 0})
        data = read_frame(path, unit="adu")[0].data
        assert np.argwhere(np.isnan(data)).tolist() == [[0, 0]]
        assert data[0, 3] == 3 - 128

    def test_no_unit(self, mef):
        with pytest.raises(ValueError, match=r"no BUNIT.*--unit adu"):
            read_frame(mef, 2)
        with pytest.raises(ValueError, match=r"unit 'parrot' of .* is not known"):
            read_frame(mef, 2, "parrot")


class TestClean:
    def test_largest_value_is_not_that_of_a_cosmic_ray(self, tmp_path, image):
        hdu = fits.PrimaryHDU(image)
        hdu.header.update({"BUNIT": "adu", "DATAMAX": float(image.max()), "DATAMIN": 0})
        hdu.writeto(tmp_path / "a.fits")
        assert main(["clean", str(tmp_path / "a.fits")]) == 0
        header = fits.getheader(tmp_path / "a_cleaned.fits")
        assert "CRNPIX" in header
        assert not {"DATAMAX", "DATAMIN"} & set(header)

    def test_whole_way(self, mef, image, capsys):
        before = mef.read_bytes()
        assert main(["clean", str(mef), "--weights", "auto"]) == 0
        assert "flagged by acs-wfc at 0.5, fill: inpaint-" in capsys.readouterr().out
        assert mef.read_bytes() == before
        with fits.open(mef.with_name("frame_cleaned.fits"), checksum=True) as hdus:
            crmask = hdus["CRMASK"].data.astype(bool)
            assert crmask.sum() == hdus[3].header["CRNPIX"] > 0
            assert np.array_equal(hdus[3].data[~crmask], image[~crmask])
            assert hdus[3].header["CRMODEL"] == "acs-wfc"
            assert hdus[3].header["CTYPE1"] == "RA---TAN"
            assert "INSTRUME" not in hdus[3].header
            assert "CHECKSUM" in hdus[3].header
            assert "CRPIX1" not in hdus[3].header
        diff = FITSDiff(
            str(mef),
            str(mef.with_name("frame_cleaned.fits")),
            ignore_hdus=["CRMASK", "SCI"],
        )
        assert diff.diff_hdu_count
        assert not diff.diff_hdus

    def test_two_chips(self, tmp_path, image, capsys):
        hdus = fits.HDUList([fits.PrimaryHDU()])
        for version in (1, 2):
            science = fits.ImageHDU(image, name="SCI", ver=version)
            science.header["BUNIT"] = "ELECTRONS"
            hdus += [science, fits.ImageHDU(np.ones((3, 3)), name="DQ", ver=version)]
        hdus.writeto(tmp_path / "RAW.FITS")
        assert main(["clean", str(tmp_path / "RAW.FITS")]) == 0
        assert capsys.readouterr().out.count("pixels") == 2
        with fits.open(tmp_path / "RAW_cleaned.fits") as hdus:
            for version in (1, 2):
                crmask = hdus["CRMASK", version].data.astype(bool)
                assert crmask.sum() == hdus["SCI", version].header["CRNPIX"] > 0
        target = tmp_path / "two.fits"
        command = ["clean", str(tmp_path / "RAW.FITS"), "-o", str(target)]
        assert main([*command, "--hdu", "sci,2"]) == 0
        with fits.open(target) as hdus:
            assert "CRNPIX" not in hdus["SCI", 1].header
            assert hdus["CRMASK"].ver == 2

    @pytest.mark.parametrize("options", [{"quantize_level": 0}, {}])
    def test_compressed_image_keeps_its_values(self, tmp_path, image, options):
        data = image if options else image.astype(np.int16)
        kind = "GZIP_2" if options else "RICE_1"
        header = fits.Header([("BUNIT", "electron")])
        hdu = fits.CompImageHDU(data, header, compression_type=kind, **options)
        fits.HDUList([fits.PrimaryHDU(), hdu]).writeto(tmp_path / "z.fits.fz")
        assert main(["clean", str(tmp_path / "z.fits.fz")]) == 0
        with fits.open(tmp_path / "z_cleaned.fits") as hdus:
            good = hdus["CRMASK"].data == 0
            assert np.array_equal(hdus[1].data[good], data[good])

    def test_scaled_integers(self, mef, image):
        with fits.open(mef, mode="append") as hdus:
            error = fits.ImageHDU(np.ones((3, 3), np.int16), name="ERR2")
            error.header["BSCALE"] = 0.01
            error.add_checksum()
            hdus.append(error)
        counts = np.round(image).astype(np.uint16)
        science = fits.ImageHDU(counts, fits.Header([("BUNIT", "electron")]), "U16")
        with fits.open(mef, mode="append") as hdus:
            hdus.append(science)
        target = mef.with_name("out.fits")
        assert main(["clean", str(mef), "-o", str(target), "--hdu", "U16"]) == 0
        with fits.open(target, checksum=True) as hdus:
            assert hdus["ERR2"]._orig_bitpix == 16
            good = hdus["CRMASK"].data == 0
            assert np.array_equal(hdus["U16"].data[good], counts[good])

    def test_long_history(self, mef):
        target = mef.with_name("out.fits")
        command = ["clean", str(mef), "-o", str(target), "--inpaint", "network"]
        assert main(command) == 0
        history = "".join(fits.getheader(target, 3)["HISTORY"])
        assert history.startswith("astro_deepcr")
        assert history.endswith("-universal")

    def test_options(self, mef, tmp_path):
        target = tmp_path / "out.fits"
        command = ["clean", str(mef), "-o", str(target), "--hdu", "3"]
        more = ["--threshold", "0.9", "--grow", "1", "--inpaint", "none"]
        assert main(command + more) == 0
        assert fits.getheader(target, 3)["CRFILL"] == "None"
        assert fits.getheader(target, 3)["CRTHRESH"] == 0.9

    def test_gain(self, mef, tmp_path):
        target = tmp_path / "out.fits"
        command = ["clean", str(mef), "-o", str(target), "--unit", "adu"]
        command += ["--weights", "acs-wfc"]
        assert main(command) == 1
        assert main([*command, "--gain", "1"]) == 0
        assert main([*command, "--gain", "GAIN", "--overwrite"]) == 1

    def test_never_the_input_and_never_an_old_file(self, mef, tmp_path, capsys):
        assert main(["clean", str(mef), "-o", str(mef)]) == 1
        assert "is the input itself" in capsys.readouterr().err
        (tmp_path / "old.fits").write_text("precious")
        assert main(["clean", str(mef), "-o", str(tmp_path / "old.fits")]) == 1
        assert "--overwrite" in capsys.readouterr().err
        assert (tmp_path / "old.fits").read_text() == "precious"
        assert main(["clean", str(mef), "-o", str(tmp_path / "no" / "a.fits")]) == 1
        assert "does not exist" in capsys.readouterr().err

    def test_full_disk_leaves_nothing(self, mef, tmp_path, monkeypatch, capsys):
        def full(self, name, *args, **kwargs):
            with open(name, "wb") as file:  # noqa: PTH123
                file.write(b"half")
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(fits.HDUList, "writeto", full)
        assert main(["clean", str(mef), "--weights", "auto"]) == 1
        assert "No space left on device" in capsys.readouterr().err
        assert [path.name for path in tmp_path.iterdir()] == ["frame.fits"]

    def test_truncated(self, mef, capsys):
        mef.write_bytes(mef.read_bytes()[:-9000])
        assert main(["clean", str(mef)]) == 1
        error = capsys.readouterr().err
        assert error.startswith("deepcr: error:")
        assert "cannot be read as FITS" in error


class TestLayouts:
    """Files as observatories write them."""

    @pytest.mark.parametrize("cards", [{}, {"EXTEND": True}, {"CHECKSUM": "old"}])
    def test_checksum_of_the_primary_hdu(self, tmp_path, image, cards):
        header = fits.Header({"BUNIT": "electron"} | cards)
        fits.writeto(tmp_path / "a.fits", image, header)
        assert main(["clean", str(tmp_path / "a.fits")]) == 0
        with fits.open(tmp_path / "a_cleaned.fits") as hdus:
            assert [hdu.verify_checksum() for hdu in hdus] == [1] * len(hdus)
            assert [hdu.verify_datasum() for hdu in hdus] == [1] * len(hdus)

    def test_version_zero(self, tmp_path, image):
        hdus = fits.HDUList([fits.PrimaryHDU()])
        for version in range(3):
            chip = np.roll(image, 5 * version)
            hdus.append(fits.ImageHDU(chip, fits.Header({"BUNIT": "electron"})))
            hdus[-1].header["EXTNAME"] = f"ccd{version:02}"
            hdus[-1].header["EXTVER"] = version
        hdus.writeto(tmp_path / "a.fits")
        assert main(["clean", str(tmp_path / "a.fits")]) == 0
        with fits.open(tmp_path / "a_cleaned.fits") as hdus:
            for version in range(3):
                number = hdus[f"ccd{version:02}"].header["CRNPIX"]
                mask = next(
                    hdu
                    for hdu in hdus
                    if hdu.name == "CRMASK" and hdu.header["EXTVER"] == version
                )
                hit = hdus[f"ccd{version:02}"].data != np.roll(image, 5 * version)
                assert np.array_equal(hit, mask.data > 0)
                assert np.count_nonzero(hit) == number > 0

    @pytest.mark.filterwarnings("ignore::astropy.io.fits.verify.VerifyWarning")
    def test_card_that_cannot_be_read(self, tmp_path, image, capsys):
        hdus = fits.HDUList([fits.PrimaryHDU(), fits.ImageHDU(image, name="SCI")])
        hdus[1].header["BUNIT"] = "electron"
        for hdu in hdus:
            hdu.header["AMBTEMP"] = 12.5
        path = tmp_path / "a.fits"
        hdus.writeto(path)
        card = b"AMBTEMP =                 12.5"
        path.write_bytes(
            path.read_bytes().replace(card, b"AMBTEMP =                  NaN")
        )
        assert main(["clean", str(path), "--dry-run"]) == 0
        assert main(["clean", str(path)]) == 0
        assert capsys.readouterr().err == ""
        with fits.open(tmp_path / "a_cleaned.fits") as hdus:
            assert all("AMBTEMP" in hdu.header for hdu in hdus[:2])
            assert hdus["SCI"].header["CRNPIX"] > 0

    @pytest.mark.parametrize("name", ["BPM", "MSK"])
    def test_bits_of_other_names(self, tmp_path, image, name):
        bits = np.zeros(image.shape, np.int16)
        bits[:4] = 2
        science = fits.ImageHDU(image, fits.Header({"BUNIT": "electron"}), name="SCI")
        hdus = [fits.PrimaryHDU(), science, fits.ImageHDU(bits, name=name)]
        fits.HDUList(hdus).writeto(tmp_path / "a.fits")
        command = ["clean", str(tmp_path / "a.fits"), "--dq-bit", "banzai"]
        assert main([*command, "--bad-bits", "2"]) == 0
        with fits.open(tmp_path / "a_cleaned.fits") as hdus:
            found = (hdus[name].data & 8) > 0
            assert not found[:4].any()
            assert np.count_nonzero(found) == hdus["SCI"].header["CRNPIX"] > 0

    def test_uncertainty_of_an_extension(self, tmp_path, image):
        science = fits.ImageHDU(image, fits.Header({"BUNIT": "electron"}))
        error = fits.ImageHDU(np.full(image.shape, 99.0, np.float32), name="UNCERT")
        fits.HDUList([fits.PrimaryHDU(), science, error]).writeto(tmp_path / "a.fits")
        assert main(["clean", str(tmp_path / "a.fits"), "--update-err"]) == 0
        with fits.open(tmp_path / "a_cleaned.fits") as hdus:
            changed = hdus["UNCERT"].data != 99
            assert np.array_equal(changed, hdus["CRMASK"].data > 0)

    def test_cube(self, tmp_path, image, capsys):
        fits.writeto(tmp_path / "a.fits", image[np.newaxis])
        assert main(["clean", str(tmp_path / "a.fits"), "--unit", "adu"]) == 1
        assert "cubes must be split into their planes first" in capsys.readouterr().err

    def test_colour_camera(self, tmp_path, image):
        header = fits.Header({"BUNIT": "electron", "BAYERPAT": "RGGB"})
        fits.writeto(tmp_path / "a.fits", image, header)
        with pytest.warns(CosmicRayWarning, match="different colours"):
            table = clean_files(tmp_path / "a.fits")
        assert table["status"].tolist() == ["cleaned"]
        assert "different colours (RGGB)" in table["message"][0]
