# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Many files: all kinds of them, interruptions, clusters, and what may be broken."""

import errno
import json
import multiprocessing
import os
import subprocess
import sys
import time
import warnings
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from astropy import units as u
from astropy.io import fits
from astropy.io.fits import FITSDiff
from astropy.nddata import (
    CCDData,
    InverseVariance,
    StdDevUncertainty,
    VarianceUncertainty,
)
from ccdproc import ImageFileCollection

from astro_deepcr import clean_collection, clean_files, conf, cosmicray_deepcr
from astro_deepcr.batch_files import plan_outputs
from astro_deepcr.exceptions import CosmicRayWarning, DeviceError
from astro_deepcr.fits_files import find_frames
from astro_deepcr.fits_output import (
    _this_computer,
    check_target,
    read_crmask,
    write_part,
)
from astro_deepcr.journal import Journal
from astro_deepcr.scripts import main
from astro_deepcr.weights import fetch_weights, get_weights, load_state, save_weights
from astro_deepcr.weights.registry import REGISTRY

from .conftest import draw_frame

JOURNAL = ".deepcr-journal.jsonl"


def write_triples(path, seed=0, chips=2, shape=(48, 40)):
    """Write a file like those of HST: SCI, ERR and DQ for each chip, and a table."""
    hdus = fits.HDUList([fits.PrimaryHDU()])
    hdus[0].header["INSTRUME"] = "ACS"
    hdus[0].header["DETECTOR"] = "WFC"
    hdus[0].header["EXPTIME"] = 500.0
    for version in range(1, chips + 1):
        image, _ = draw_frame(shape, 6, seed=10 * seed + version)
        science = fits.ImageHDU(image, name="SCI", ver=version)
        science.header["BUNIT"] = "ELECTRONS"
        science.header["CTYPE1"], science.header["CRVAL1"] = "RA---TAN", 150.1
        error = fits.ImageHDU(np.sqrt(np.abs(image)), name="ERR", ver=version)
        quality = np.zeros(shape, np.int16)
        quality[3] = 4
        hdus += [science, error, fits.ImageHDU(quality, name="DQ", ver=version)]
    table = fits.BinTableHDU.from_columns([fits.Column("x", "E", array=[1.0, 2.0])])
    hdus.append(table)
    for hdu in hdus:
        hdu.add_checksum()
    hdus.writeto(path)
    return path


@pytest.fixture
def night(tmp_path):
    """Return a folder with five files."""
    folder = tmp_path / "night"
    folder.mkdir()
    for seed in range(5):
        write_triples(folder / f"f{seed}_flt.fits", seed)
    return folder


def contents(folder):
    """Return name -> bytes of all files but the journal."""
    return {p.name: p.read_bytes() for p in folder.iterdir() if p.name != JOURNAL}


class TestOutputs:
    def test_triples(self, tmp_path):
        path = write_triples(tmp_path / "a_flc.fits")
        before = path.read_bytes()
        table = clean_files(path, dq_bit="hst", mask_hdu="MASK", bad_bits=4)
        assert table["status"].tolist() == ["cleaned"]
        assert table["frames"][0] == 2
        assert path.read_bytes() == before
        target = tmp_path / "a_flc_cleaned.fits"
        diff = FITSDiff(str(path), str(target), ignore_hdus=["SCI", "DQ", "MASK"])
        assert not diff.diff_hdus
        with fits.open(path) as old, fits.open(target, checksum=True) as new:
            new.verify("exception")
            for version in (1, 2):
                mask = new["MASK", version].data.astype(bool)
                assert 0 < mask.sum() == new["SCI", version].header["CRNPIX"]
                assert not mask[3].any()  # bad pixels
                quality = old["DQ", version].data | np.where(mask, 4096, 0)
                assert np.array_equal(new["DQ", version].data, quality)
                assert new["DQ", version].data.dtype == old["DQ", version].data.dtype
                science = new["SCI", version]
                assert science.header["CRVAL1"] == 150.1
                assert np.array_equal(
                    science.data[~mask], old["SCI", version].data[~mask]
                )

    def test_dq_bit_alone_adds_no_hdu(self, tmp_path):
        path = write_triples(tmp_path / "a.fits")
        assert main(["clean", str(path), "--dq-bit", "8192"]) == 0
        with fits.open(path) as old, fits.open(tmp_path / "a_cleaned.fits") as new:
            assert len(new) == len(old)
            assert (new["DQ", 1].data & 8192).any()

    def test_errors_of_replaced_pixels(self, tmp_path):
        path = write_triples(tmp_path / "a.fits")
        table = clean_files(path, update_err=True)
        with (
            fits.open(path) as old,
            fits.open(table["output"][0], checksum=True) as new,
        ):
            for version in (1, 2):
                before, after = old["ERR", version], new["ERR", version]
                hit = new["CRMASK", version].data > 0
                assert np.array_equal(before.data[~hit], after.data[~hit])
                assert after.data[hit].mean() < 0.5 * before.data[hit].mean()
                assert after.data.dtype == before.data.dtype
        fits.writeto(tmp_path / "b.fits", draw_frame()[0])
        table = clean_files(tmp_path / "b.fits", unit="electron", update_err=True)
        assert "has no ERR plane" in table["message"][0]

    @pytest.mark.parametrize(
        "kind", [StdDevUncertainty, VarianceUncertainty, InverseVariance]
    )
    def test_uncertainty_of_ccddata(self, tmp_path, kind):
        """The same as in memory, in the type that the file has."""
        image, _ = draw_frame((64, 64))
        deviation = StdDevUncertainty(np.sqrt(np.maximum(image, 0) + 25))
        ccd = CCDData(image, unit="electron", uncertainty=deviation.represent_as(kind))
        ccd.write(tmp_path / "a.fits")
        table = clean_files(tmp_path / "a.fits", update_err=True)
        cleaned = CCDData.read(table["output"][0])
        expected = cosmicray_deepcr(CCDData.read(tmp_path / "a.fits"))
        assert isinstance(cleaned.uncertainty, kind)
        np.testing.assert_allclose(
            cleaned.uncertainty.array, expected.uncertainty.array, rtol=1e-5
        )
        assert (cleaned.uncertainty.array != ccd.uncertainty.array).any()

    def test_unknown_uncertainty(self, tmp_path):
        hdus = fits.HDUList([fits.PrimaryHDU(draw_frame()[0])])
        hdus.append(fits.ImageHDU(hdus[0].data, name="UNCERT"))
        hdus[1].header["UTYPE"] = "UnknownUncertainty"
        hdus.writeto(tmp_path / "a.fits")
        table = clean_files(tmp_path / "a.fits", unit="electron", update_err=True)
        assert "type 'UnknownUncertainty' (UTYPE)" in table["message"][0]

    def test_other_layouts(self, tmp_path):
        """A camera of many chips; integers with BZERO; gzip; fpack."""
        image, _ = draw_frame((40, 40), 5)
        counts = np.round(image).astype(np.uint16)
        chips = fits.HDUList([fits.PrimaryHDU()])
        for name in ("N1", "N2", "S1"):
            chips.append(fits.CompImageHDU(counts.astype(np.int16), name=name))
        chips.append(fits.ImageHDU(np.zeros((40, 40), np.int16), name="MASK"))
        chips.writeto(tmp_path / "decam.fits.fz")
        fits.writeto(tmp_path / "plain.fits", counts)
        fits.writeto(tmp_path / "packed.fit.gz", image)
        assert find_frames(tmp_path / "decam.fits.fz") == [1, 2, 3]
        assert find_frames(tmp_path / "decam.fits.fz", ["N*", 3]) == [1, 2, 3]
        assert find_frames(tmp_path / "decam.fits.fz", "n*") == [1, 2]
        table = clean_files(tmp_path, unit="electron", output_dir=tmp_path / "out")
        assert table["frames"].tolist() == [3, 1, 1]
        names = {path.name for path in (tmp_path / "out").glob("*.fits")}
        assert names == {f"{n}_cleaned.fits" for n in ("decam", "packed", "plain")}
        with fits.open(tmp_path / "out" / "plain_cleaned.fits") as hdus:
            good = hdus["CRMASK"].data == 0
            assert np.array_equal(hdus[0].data[good], counts[good])
            assert hdus[0].data.dtype.kind == "f"
            hdus.verify("exception")

    @pytest.mark.parametrize("masked", [True, False])
    def test_mask_of_ccddata(self, tmp_path, masked):
        """Also where the file has none so far."""
        image, truth = draw_frame((48, 40), 6, seed=1)
        hit = np.argwhere(truth)[0]
        mask = np.zeros(image.shape, bool) if masked else None
        if masked:
            mask[hit[0], hit[1]] = True
        ccd = CCDData(image, unit="electron", mask=mask)
        ccd.write(tmp_path / "a.fits")
        clean_files(tmp_path / "a.fits")
        target = tmp_path / "a_cleaned.fits"
        cleaned = CCDData.read(target)
        expected = cosmicray_deepcr(ccd)
        assert np.array_equal(cleaned.mask, expected.mask)
        assert np.array_equal(cleaned.data, expected.data.astype("f4"))
        assert fits.getdata(target, "CRMASK")[tuple(hit)] == (not masked)
        again = clean_files(target, mask_hdu="AGAIN")
        assert CCDData.read(again["output"][0]).mask[truth].all()

    @pytest.mark.parametrize(
        ("dtype", "first"), [(np.int32, fits.PrimaryHDU), (np.uint8, fits.ImageHDU)]
    )
    def test_other_masks_are_left_alone(self, tmp_path, dtype, first):
        image, _ = draw_frame((48, 40), 6, seed=1)
        before = [] if first is fits.PrimaryHDU else [fits.PrimaryHDU()]
        hdus = fits.HDUList([*before, first(image)])
        hdus[-1].header["BUNIT"] = "electron"
        bits = np.full(image.shape, 32, dtype)
        hdus.append(fits.ImageHDU(bits, name="MASK"))
        hdus.writeto(tmp_path / "a.fits")
        table = clean_files(tmp_path / "a.fits")
        assert table["pixels"][0] > 0
        assert np.array_equal(fits.getdata(table["output"][0], "MASK"), bits)

    def test_masks_of_bad_pixels(self, tmp_path):
        """One for all chips, or one for each."""
        path = write_triples(tmp_path / "a.fits")
        table = clean_files(path)
        with fits.open(table["output"][0]) as hdus:
            hits = [hdus["CRMASK", version].data > 0 for version in (1, 2)]
        bad = [np.argwhere(hit)[0] for hit in hits]
        masks = [np.zeros(hits[0].shape, np.uint8) for _ in hits]
        for mask, place in zip(masks, bad, strict=True):
            mask[tuple(place)] = 1
        one, two, other = (tmp_path / f"{n}.fits" for n in ("one", "two", "other"))
        fits.writeto(one, masks[0])
        images = [fits.ImageHDU(mask, name="BPM") for mask in masks]
        fits.HDUList([fits.PrimaryHDU(), *images]).writeto(two)
        fits.writeto(other, masks[0][1:])
        for file, expected in ((one, [1, 0]), (two, [1, 1])):
            table = clean_files(path, bad_pixels=file, overwrite=True)
            assert table["status"][0] == "cleaned"
            with fits.open(table["output"][0]) as hdus:
                for version in (1, 2):
                    found = hdus["CRMASK", version].data[tuple(bad[version - 1])]
                    assert found == (not expected[version - 1])
            assert main(["clean", str(path), "--bad-pixels", str(file)]) == 0
        assert clean_files(path, bad_pixels=two)["status"][0] == "skipped"
        os.utime(two, (1, 1))
        table = clean_files(path, bad_pixels=two, overwrite=True)
        assert table["status"][0] == "cleaned"
        for dry_run in (True, False):
            how = {"bad_pixels": other, "dry_run": dry_run, "overwrite": True}
            message = clean_files(path, **how)["message"][0]
            assert "other.fits is 47x40, and the frame 48x40" in message
        with pytest.raises(FileNotFoundError, match=r"no.fits, the bad_pixels="):
            clean_files(path, bad_pixels=tmp_path / "no.fits")
        single = tmp_path / "single.fits"
        CCDData(np.ones((48, 40)), unit="adu").write(single)
        message = clean_files(single, bad_pixels=two)["message"][0]
        assert "two.fits are 2 image(s), and there are 1 frame(s)" in message

    def test_dq_that_does_not_fit(self, tmp_path):
        path = write_triples(tmp_path / "a.fits")
        table = clean_files(path, dq_bit=2**20)
        assert "the bit 1048576 does not fit" in table["message"][0]
        fits.writeto(tmp_path / "b.fits", np.ones((30, 30)))
        table = clean_files(tmp_path / "b.fits", unit="electron", dq_bit=16)
        assert "b.fits has no DQ plane for the image 0" in table["message"][0]

    def test_dq_without_bits(self, tmp_path):
        path = write_triples(tmp_path / "a.fits", chips=1)
        with fits.open(path) as hdus:
            hdus[3].data = hdus[3].data.astype(np.float32)
            hdus.writeto(tmp_path / "b.fits")
        table = clean_files(tmp_path / "b.fits", dq_bit=16)
        assert "b.fits hold float32 numbers, not bits" in table["message"][0]

    @pytest.mark.parametrize("options", [{"dq_bit": 16}, {"update_err": True}])
    def test_whose_plane(self, tmp_path, options):
        """Planes that two images share, or of which an image has two."""
        path = write_triples(tmp_path / "a.fits")
        with fits.open(path) as hdus:
            for hdu in hdus[4:7]:
                hdu.header["EXTVER"] = 1
            hdus.writeto(tmp_path / "twice.fits")
            del hdus[5:7]
            hdus.writeto(tmp_path / "shared.fits")
        table = clean_files(tmp_path / "twice.fits", **options)
        assert "has more than one" in table["message"][0]
        table = clean_files(tmp_path / "shared.fits", **options)
        assert "for several images" in table["message"][0]
        assert clean_files(tmp_path / "shared.fits", ext=1, **options)["frames"] == 1

    def test_cleaned_before(self, tmp_path):
        path = write_triples(tmp_path / "a.fits", chips=1)
        clean_files({path: tmp_path / "b.fits"})
        table = clean_files({tmp_path / "b.fits": tmp_path / "c.fits"})
        assert "has an HDU CRMASK already" in table["message"][0]
        assert not (tmp_path / "c.fits").exists()

    def test_always_logs(self, tmp_path):
        path = write_triples(tmp_path / "a.fits", chips=1)
        with conf.set_temp("auto_logging", False):
            clean_files(path)
            assert conf.auto_logging is False
        assert "CRMODEL" in fits.getheader(tmp_path / "a_cleaned.fits", 1)


class TestFiles:
    def test_lists_patterns_and_own_outputs(self, night, tmp_path):
        listed = tmp_path / "list.txt"
        listed.write_text(
            f"# some\n{night / 'f0_flt.fits'}\n\n{night}/f[12]_flt.fits\n"
        )
        clean_files(f"@{listed}")
        listed.write_text(listed.read_text(), "utf-8-sig")  # of an editor of Windows
        table = clean_files(f"@{listed}")
        assert [Path(name).name[:2] for name in table["file"]] == ["f0", "f1", "f2"]
        # the outputs that are there now are no inputs
        table = clean_files([night, night / "f1_flt.fits"])
        assert len(table) == 5
        assert table["status"].tolist() == ["skipped"] * 3 + ["cleaned"] * 2

    def test_same_output(self, tmp_path):
        for name in ("a.fits", "a.fits.gz"):
            fits.writeto(tmp_path / name, np.ones((9, 9)))
        with pytest.raises(ValueError, match=r"have the same output .*a_cleaned"):
            clean_files(tmp_path)

    def test_output_that_is_an_input(self, night):
        first, second, third = sorted(night.iterdir())[:3]
        before = contents(night)
        with pytest.raises(ValueError, match="is an input, too"):
            clean_files({first: second, second: third}, overwrite=True)
        assert contents(night) == before

    def test_output_in_place_of_another_input(self, tmp_path):
        ours, theirs = tmp_path / "ours", tmp_path / "theirs"
        for folder in (ours, theirs):
            folder.mkdir()
            write_triples(folder / "a.fits")
        before = (theirs / "a.fits").read_bytes()
        files, options = [ours, theirs], {"suffix": "", "overwrite": True}
        with pytest.raises(ValueError, match=r"same output|is an input, too"):
            clean_files(files, output_dir=theirs, **options)
        assert (theirs / "a.fits").read_bytes() == before

    def test_disks_for_which_a_is_A(self, tmp_path, monkeypatch):
        monkeypatch.setattr("astro_deepcr.batch_files._CASE_DOES_NOT_MATTER", True)
        with pytest.raises(ValueError, match="have the same output"):
            plan_outputs(["n1/A.fits", "n2/a.fits"], "out", "")
        fits.writeto(tmp_path / "Frame.fits", np.ones((9, 9)))
        # What such a disk says of the other spelling.
        (tmp_path / "frame.fits").hardlink_to(tmp_path / "Frame.fits")
        with pytest.raises(OSError, match="is the input itself"):
            check_target(tmp_path / "Frame.fits", tmp_path / "frame.fits")

    def test_synced_as_windows_wants_it(self, night, monkeypatch):
        fcntl, sync = pytest.importorskip("fcntl"), os.fsync

        def fsync(descriptor):
            if fcntl.fcntl(descriptor, fcntl.F_GETFL) & os.O_ACCMODE == os.O_RDONLY:
                raise OSError(errno.EBADF, "Bad file descriptor")
            sync(descriptor)

        monkeypatch.setattr(os, "fsync", fsync)
        assert clean_files(night / "f0_flt.fits")["status"][0] == "cleaned"

    def test_files_of_one_name_in_two_folders(self, tmp_path):
        """Nights of a camera that counts from one each evening."""
        image, truth = draw_frame((48, 40), 6, seed=1)
        for night in ("n1", "n2"):
            (tmp_path / night).mkdir()
            CCDData(image, unit="electron").write(tmp_path / night / "a.fits")
        cleaned = []
        for night in ("n1", "n2"):
            path = tmp_path / night / "a.fits"
            out = tmp_path / night / "out"
            table = clean_files(path, noise=np.random.default_rng(3), output_dir=out)
            cleaned.append(fits.getdata(table["output"][0]))
        assert (cleaned[0] != cleaned[1])[truth].mean() > 0.5

    @pytest.mark.parametrize(
        ("name", "output"),
        [
            ("night.fits.v1.fits", "night.fits.v1_cleaned.fits"),
            ("m31.ft.r.fit", "m31.ft.r_cleaned.fits"),
            ("a.FITS.gz", "a_cleaned.fits"),
            ("a.fts", "a_cleaned.fits"),
            ("frame", "frame_cleaned.fits"),
        ],
    )
    def test_names_of_outputs(self, tmp_path, name, output):
        targets = plan_outputs([tmp_path / name], None, "_cleaned")
        assert [path.name for path in targets.values()] == [output]

    def test_link_to_what_is_not_there(self, tmp_path):
        """An archive that is not mounted now."""
        image, _ = draw_frame((48, 40), 6, seed=1)
        CCDData(image, unit="electron").write(tmp_path / "a.fits")
        link = tmp_path / "a_cleaned.fits"
        link.symlink_to(tmp_path / "archive" / "a.fits")
        table = clean_files(tmp_path / "a.fits")
        assert "exists already" in table["message"][0]
        assert link.is_symlink()

    def test_device_is_looked_for_once(self, night):
        with pytest.raises(DeviceError, match="'cuda:77'"):
            clean_files(night, device="cuda:77")

    def test_noise_differs_from_file_to_file(self, tmp_path):
        for name in "ab":  # the same frame twice
            write_triples(tmp_path / f"{name}.fits", chips=1)

        def clean(seed, folder):
            noise = np.random.default_rng(seed)
            table = clean_files(tmp_path, noise=noise, output_dir=tmp_path / folder)
            images = [fits.getdata(name, "SCI") for name in table["output"]]
            return images, fits.getdata(table["output"][0], "CRMASK") > 0

        (one, other), mask = clean(1, "first")
        assert not np.array_equal(one[mask], other[mask])
        assert np.array_equal(one[~mask], other[~mask])
        again, _ = clean(1, "second")
        assert np.array_equal([one, other], again)
        write_triples(tmp_path / "0.fits", 3, chips=1)  # comes first; changes no other
        again, _ = clean(1, "second")
        assert np.array_equal([one, other], again[1:])

    def test_one_file_called_in_two_ways(self, night, monkeypatch):
        monkeypatch.chdir(night)
        table = clean_files(["f0_flt.fits", night / "f0_flt.fits"], dry_run=True)
        assert table["file"].tolist() == ["f0_flt.fits"]

    def test_nothing(self, tmp_path):
        with pytest.raises(FileNotFoundError, match="no FITS file"):
            clean_files(tmp_path)
        with pytest.raises(FileNotFoundError, match=r"No file is called .*x\*"):
            clean_files(f"{tmp_path}/x*.fits")
        with pytest.raises(ValueError, match="no file to clean"):
            clean_files([])

    def test_collection(self, night):
        collection = ImageFileCollection(night, ext=1)
        assert len(clean_files(collection, dry_run=True)) == 5
        options = {"ccd_kwargs": {"unit": "electron"}, "grow": 1}
        found = list(clean_collection(collection, select={"extver": 1}, **options))
        assert [name for _, name in found] == [f"f{k}_flt.fits" for k in range(5)]
        with fits.open(night / "f0_flt.fits") as hdus:
            _, crmask = cosmicray_deepcr(hdus["SCI", 1].data.astype("f4"), grow=1)
        assert np.array_equal(found[0][0].mask, crmask)

    def test_wrong_arguments(self, night):
        with pytest.raises(TypeError, match=r"Options treshold are not known.*fpr"):
            clean_files(night, treshold=0.3)
        with pytest.raises(ValueError, match="threshold=2 must be between 0 and 1"):
            clean_files(night, threshold=2)
        for weights in (None, "auto"):
            with pytest.raises(ValueError, match="grow=-1 must be between 0 and 100"):
                clean_files(night, weights, grow=-1)
        with pytest.raises(TypeError, match="noise=42 must be True, False"):
            clean_files(night, noise=42)
        with pytest.raises(ValueError, match="inpaint='pastry' is not known"):
            clean_files(night, inpaint="pastry")
        with pytest.raises(ValueError, match="bad_bits=-1 must be a sum of bits"):
            clean_files(night, bad_bits=-1)
        with pytest.raises(TypeError, match="bad_bits='4' must be a whole number"):
            clean_files(night, bad_bits="4")
        with pytest.raises(ValueError, match="mask_hdu='' must be a name"):
            clean_files(night, mask_hdu="")
        for size in (0, -5, np.nan):
            with pytest.raises(ValueError, match=r"pixel_size=.* must be between"):
                clean_files(night, pixel_size=size)
        with pytest.raises(TypeError, match="mask_hdu=5 must be the name"):
            clean_files(night, mask_hdu=5)
        with pytest.raises(ValueError, match="no environment 'Mars'"):
            clean_files(night, environment="Mars")
        with pytest.raises(ValueError, match="jobs=0 must be a whole number"):
            clean_files(night, jobs=0)
        with pytest.raises(ValueError, match="exclude each other"):
            clean_files(night, jobs=2, scheduler="tcp://127.0.0.1:1")
        assert {path.suffix for path in night.iterdir()} == {".fits"}


class TestBroken:
    def test_each_is_told_and_none_stops_the_others(self, night, capsys):
        whole = (night / "f1_flt.fits").read_bytes()
        (night / "f1_flt.fits").write_bytes(whole[: len(whole) // 2])
        (night / "f2_flt.fits").write_bytes(b"")
        (night / "f3_flt.fits").write_text("no FITS at all")
        fits.writeto(night / "cube.fits", np.ones((2, 3, 4)))
        fits.writeto(night / "line.fits", np.ones(7))
        fits.writeto(night / "nounit.fits", np.ones((9, 9)))
        (night / "packed.fits.gz").write_bytes(b"\x1f\x8b\x08" + b"x" * 40)
        before = contents(night)
        assert main(["clean", str(night), str(night / "gone.fits")]) == 1
        output = capsys.readouterr()
        assert "8 of 10 files failed" in output.err
        assert "2 cleaned, 8 failed" in output.out
        for words in (
            "f1_flt.fits cannot be read as FITS",
            "f2_flt.fits cannot be read as FITS: Empty or corrupt",
            "f3_flt.fits cannot be read as FITS",
            "cube.fits has no two-dimensional image",
            "line.fits has no two-dimensional image",
            "nounit.fits does not say its unit",
            "packed.fits.gz cannot be read as FITS",
            "There is no file ",
        ):
            assert words in output.err
        after = contents(night)
        new = {"f0_flt_cleaned.fits", "f4_flt_cleaned.fits"}
        assert after.keys() - before.keys() == new
        assert all(after[name] == content for name, content in before.items())

    def test_full_disk(self, night):
        """The system refuses to write on, in the middle of a file."""
        resource = pytest.importorskip("resource")
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, hard))
        try:
            table = clean_files(night)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        assert set(table["status"]) == {"failed"}
        assert "Is the disk full?" in table["message"][0]
        assert len(list(night.iterdir())) == 5

    def test_journal_cannot_be_written(self, night, monkeypatch):
        """Known before the work; if it is not, nothing half-done is left."""
        clean_files(night / "f0_flt.fits", inpaint="idw")
        journal, access = night / JOURNAL, os.access
        kept = contents(night), journal.read_bytes()
        monkeypatch.setattr(
            os, "access", lambda path, mode: path != journal and access(path, mode)
        )
        table = clean_files(night / "f1_flt.fits", inpaint="idw")
        assert table["status"][0] == "failed"
        assert "is read-only" in table["message"][0]
        monkeypatch.setattr(os, "access", access)

        def add(*_):
            raise OSError(errno.ENOSPC, "No space left on device")

        monkeypatch.setattr(Journal, "add", add)
        table = clean_files(night / "f1_flt.fits", inpaint="idw")
        assert "No space left" in table["message"][0]
        assert contents(night) == kept[0]

    def test_journal_cannot_be_read(self, night, monkeypatch):
        clean_files(night / "f0_flt.fits", inpaint="idw")

        def refuse(_):
            raise PermissionError(errno.EACCES, "Permission denied", JOURNAL)

        monkeypatch.setattr(Path, "read_bytes", refuse)
        table = clean_files(night / "f1_flt.fits", inpaint="idw")
        assert table["status"][0] == "failed"
        assert JOURNAL in table["message"][0]

    def test_changes_while_it_is_cleaned(self, night, monkeypatch):
        """The output would be that of no version of the file."""
        before = contents(night)

        def write(source, *args, **kwargs):
            part = write_part(source, *args, **kwargs)
            os.utime(source, (0, 0))
            return part

        monkeypatch.setattr("astro_deepcr.jobs.write_part", write)
        table = clean_files(night / "f0_flt.fits", inpaint="idw")
        assert table["status"][0] == "failed"
        assert "changed while it was cleaned" in table["message"][0]
        assert contents(night) == before
        monkeypatch.undo()
        assert clean_files(night / "f0_flt.fits")["status"][0] == "cleaned"

    @pytest.mark.skipif(not Path("/proc/self").exists(), reason="for Linux")
    def test_read_only(self, night):
        """A folder that even root cannot write into."""
        table = clean_files(night, output_dir="/proc")
        assert set(table["status"]) == {"failed"}
        assert "/proc/f0_flt_cleaned.fits cannot be written" in table["message"][0]

    def test_no_folder(self, night):
        with pytest.raises(FileExistsError):
            clean_files(night, output_dir=night / "f0_flt.fits")

    def test_written_is_not_what_is_read(self, night, monkeypatch):
        monkeypatch.setattr(fits.ImageHDU, "verify_datasum", lambda self: 0)
        table = clean_files(night / "f0_flt.fits")
        assert "not what is read back" in table["message"][0]
        assert len(list(night.iterdir())) == 5


class TestResume:
    def test_skips_what_is_done(self, night):
        out = night / "out"
        first = clean_files(night, output_dir=out)
        before = {p: p.stat().st_mtime_ns for p in out.iterdir()}
        second = clean_files(night, output_dir=out)
        assert set(second["status"]) == {"skipped"}
        assert np.array_equal(second["pixels"], first["pixels"])
        assert {p: p.stat().st_mtime_ns for p in out.iterdir()} == before

    def test_moved(self, night, tmp_path):
        clean_files(night)
        moved = night.rename(tmp_path / "elsewhere")
        assert set(clean_files(moved)["status"]) == {"skipped"}

    def test_other_settings_or_input(self, night):
        path = night / "f0_flt.fits"
        target = night / "f0_flt_cleaned.fits"
        clean_files(path)
        table = clean_files(path, threshold=0.9)
        assert "exists already" in table["message"][0]
        assert clean_files(path, threshold=0.9, overwrite=True)["status"] == "cleaned"
        assert clean_files(path, threshold=0.9, overwrite=True)["status"] == "skipped"
        assert fits.getheader(target, 1)["CRTHRESH"] == 0.9
        path.unlink()
        write_triples(path, seed=7)
        assert clean_files(path, threshold=0.9)["status"] == "failed"
        target.unlink()
        assert clean_files(path, threshold=0.9)["status"] == "cleaned"
        target.write_text("something else")
        assert clean_files(path, threshold=0.9)["status"] == "failed"
        assert target.read_text() == "something else"

    def test_weights_that_fill_trained_again(self, night, tmp_path):
        path, mine = night / "f0_flt.fits", tmp_path / "mine.safetensors"
        entry = get_weights("inpaint-universal", task="inpaint")
        state = load_state(fetch_weights(entry))
        save_weights(mine, state, entry)
        clean_files(path, inpaint=mine)
        assert clean_files(path, inpaint=mine)["status"] == "skipped"
        save_weights(mine, {key: 0.9 * value for key, value in state.items()}, entry)
        assert clean_files(path, inpaint=mine, overwrite=True)["status"] == "cleaned"

    def test_what_settings_are(self, night, tmp_path):
        """All that the values depend on, and nothing else."""
        path, out = night / "f0_flt.fits", tmp_path / "out"

        def status(weights=None, **options):
            table = clean_files(path, weights, output_dir=out, inpaint="idw", **options)
            return table["status"][0]

        entry = get_weights("universal")
        assert status() == "cleaned"
        same = {"threshold": entry.threshold, "max_fraction": 0.5, "grow": 0}
        assert status("universal", **same) == "skipped"
        for other in (
            replace(entry, name="mine"),
            replace(entry, threshold=0.01),
            replace(entry, normalization="mean-std"),
        ):
            assert status(other) == "failed"
        noise = {"noise": np.random.default_rng(1), "overwrite": True}
        assert status(**noise) == "cleaned"
        assert status(**noise | {"noise": np.random.default_rng(2)}) == "cleaned"
        assert status(**noise | {"noise": np.random.default_rng(2)}) == "skipped"

    def test_compressed_outputs_are_the_same(self, night, tmp_path):
        path, written = night / "f0_flt.fits", []
        for _ in range(2):
            target = tmp_path / "a.fits.gz"
            clean_files({path: target}, inpaint="idw", overwrite=True)
            written.append(target.read_bytes())
            assert fits.getheader(target, 1)["CRNPIX"] > 0
            target.unlink()
            os.utime(path)  # done again
        assert written[0] == written[1]

    def test_line_cut_off(self, night):
        """Killed while the journal was written, before the output got its name."""
        clean_files(night)
        journal = night / JOURNAL
        journal.write_bytes(journal.read_bytes()[:-30])
        (night / "f4_flt_cleaned.fits").unlink()
        dead = subprocess.Popen([sys.executable, "-c", ""])
        dead.wait()
        here = _this_computer()
        there = "00" if here != "00" else "01"
        name = "f4_flt_cleaned.fits"
        kept = [
            f".part-{here}{dead.pid:06x}abcd-others.fits",  # not ours
            f".part-{here}{os.getppid():06x}abcd-{name}",  # being written
            f".part-{there}{dead.pid:06x}abcd-{name}",  # on another computer
        ]
        for part in (f".part-{here}{dead.pid:06x}abcd-{name}", *kept):
            (night / part).write_text("half")
        old = night / f".part-{there}{dead.pid:06x}ffff-{name}"
        old.write_text("half")
        os.utime(old, (0, 0))
        table = clean_files(night)
        assert table["status"].tolist() == ["skipped"] * 4 + ["cleaned"]
        assert sorted(p.name for p in night.glob(".part*")) == sorted(kept)
        assert set(clean_files(night)["status"]) == {"skipped"}
        lines = journal.read_text().splitlines()
        assert json.loads(lines[-1])["target"] == "f4_flt_cleaned.fits"

    def test_kill_and_restart(self, night, tmp_path, weights_cache):
        """Kill -9 while a file is written; the restart gives what one run gives."""
        out = tmp_path / "out"
        code = (
            "import sys, time; from astro_deepcr import conf, jobs; "
            "from astro_deepcr.scripts import main; "
            f"conf.weights_dir = {mask_folder(weights_cache)!r}; "
            f"conf.precision = {conf.precision!r}; "
            "write = jobs.write_part; "
            "jobs.write_part = lambda *a, **k: [write(*a, **k), time.sleep(0.3)][0]; "
            f"main(['clean', {str(night)!r}, '--output-dir', {str(out)!r}])"
        )
        process = subprocess.Popen([sys.executable, "-c", code])
        done, parts = [], []
        while process.poll() is None and not (len(done) > 1 and parts):
            done, parts = list(out.glob("f*")), list(out.glob(".part*"))
            time.sleep(0.02)
        process.kill()
        process.wait()
        done = {path: path.stat().st_mtime_ns for path in out.glob("f*")}
        assert 2 <= len(done) < 5
        assert list(out.glob(".part*"))
        table = clean_files(night, output_dir=out)
        assert (table["status"] == "skipped").sum() == len(done)
        assert all(path.stat().st_mtime_ns == when for path, when in done.items())
        assert not list(out.glob(".part*"))
        clean_files(night, output_dir=tmp_path / "straight")
        assert contents(out) == contents(tmp_path / "straight")


class TestCameras:
    """What files of cameras with many chips are like."""

    def mosaic(self, path, dead=()):
        """Write three images that no EXTVER tells apart."""
        hdus = fits.HDUList([fits.PrimaryHDU()])
        for i in range(3):
            image, _ = draw_frame((48, 40), 6, seed=i)
            image[...] = np.nan if i in dead else image
            hdus.append(fits.ImageHDU(image))
            hdus[-1].header["BUNIT"] = "electron"
        hdus.writeto(path)
        return path

    def test_images_that_no_number_tells_apart(self, tmp_path):
        path = self.mosaic(tmp_path / "a.fits")
        for status in ("cleaned", "skipped"):
            table = clean_files(path, report=tmp_path / "r.html", inpaint="median")
            assert list(table["status"]) == [status]
        with fits.open(table["output"][0]) as hdus:
            for i in range(3):
                changed = hdus[i + 1].data != fits.getdata(path, i + 1)
                assert np.array_equal(hdus["CRMASK", i + 1].data > 0, changed)

    def test_masks_are_found_again(self, tmp_path):
        """Also if no number tells the images apart, or bits were set before."""
        path = self.mosaic(tmp_path / "a.fits", dead=[0])
        done = clean_files(path, inpaint="median")["output"][0]
        for index in (2, 3):
            changed = fits.getdata(done, index) != fits.getdata(path, index)
            assert np.array_equal(read_crmask(done, path, index), changed)
        path = write_triples(tmp_path / "b.fits", chips=1)
        with fits.open(path, mode="update") as hdus:
            hdus["DQ"].data[5] |= 4096
        writing = {"mask_hdu": None, "dq_bit": 4096}
        done = clean_files(path, inpaint="median", **writing)["output"][0]
        changed = fits.getdata(done, "SCI") != fits.getdata(path, "SCI")
        changed[5] = False
        assert np.array_equal(read_crmask(done, path, 1, **writing), changed)

    def test_dead_chip(self, tmp_path, capsys):
        path = self.mosaic(tmp_path / "a.fits", dead=[1])
        table = clean_files(path, inpaint="median")
        assert list(table["status"]) == ["cleaned"]
        assert "without good pixels was left as it is" in table["message"][0]
        assert table["frames"][0] == 3
        assert main(["clean", str(path), "--overwrite", "--inpaint", "mean"]) == 0
        assert capsys.readouterr().err.count("without good pixels was left") == 1
        with fits.open(table["output"][0]) as hdus:
            assert len(hdus) == 6
        assert np.isnan(fits.getdata(table["output"][0], 2)).all()
        path = self.mosaic(tmp_path / "b.fits", dead=[0, 1, 2])
        table = clean_files(path, inpaint="median")
        assert "All pixels of all images are masked" in table["message"][0]

    def test_errors_that_are_integers(self, tmp_path):
        path = write_triples(tmp_path / "a.fits")
        with fits.open(path, mode="update") as hdus:
            for version in (1, 2):
                data = np.full(hdus["ERR", version].shape, 300, np.int16)
                hdus["ERR", version].data = data
        table = clean_files(path, update_err=True)
        with fits.open(table["output"][0]) as hdus:
            error, hit = hdus["ERR", 1].data, hdus["CRMASK", 1].data > 0
            assert (error[~hit] == 300).all()
            assert ((error[hit] > 0) & (error[hit] != error[hit].round())).all()

    def test_quantities_and_numbers_in_quotes(self, tmp_path):
        image, _ = draw_frame((48, 40), 6)
        for name, gain in (("a.fits", "1.5"), ("b.fits", 9.0)):
            header = fits.Header({"BUNIT": "adu", "EGAIN": 0.0, "GAIN": gain})
            fits.writeto(tmp_path / name, image.astype("f4"), header)
        how = {"weights": "acs-wfc", "inpaint": "median", "mask_hdu": None}
        one = clean_files(tmp_path / "a.fits", **how)
        given = how | {"gain": 1.5 * u.electron / u.adu, "readnoise": 5 * u.electron}
        other = clean_files(tmp_path / "b.fits", **given)
        assert one["status"][0] == other["status"][0] == "cleaned"
        same = (fits.getdata(table["output"][0]) for table in (one, other))
        assert np.array_equal(*same)
        assert clean_files(tmp_path / "b.fits", **given)["status"][0] == "skipped"

    @pytest.mark.filterwarnings("ignore::astropy.io.fits.verify.VerifyWarning")
    @pytest.mark.parametrize("card", ["TELESCOP= NGC 224", "EXPTIME = 12,5"])
    def test_card_that_cannot_be_read(self, tmp_path, card):
        path = tmp_path / "a.fits"
        header = fits.Header({"BUNIT": "electron", "NOTHING": 1})
        fits.writeto(path, draw_frame((48, 40), 6)[0], header)
        content = path.read_bytes()
        start = content.index(b"NOTHING ")
        path.write_bytes(
            content[:start] + card.ljust(80).encode() + content[start + 80 :]
        )
        assert clean_files(path, inpaint="median")["status"][0] == "cleaned"

    @pytest.mark.parametrize("output", ["new/", ".", "a.fits.fz"])
    def test_output_that_is_no_file(self, tmp_path, capsys, monkeypatch, output):
        monkeypatch.chdir(tmp_path)
        write_triples(Path("in.fits"))
        before = contents(tmp_path)
        assert main(["clean", "in.fits", "-o", output]) == 1
        assert capsys.readouterr().err.count("\n") == 1
        assert contents(tmp_path) == before


def _slowly(item):
    time.sleep(0.8)
    return item


class TestCluster:
    def test_relative_names(self, night, monkeypatch):
        """A worker in another folder would find other files, or none."""
        cluster = pytest.importorskip("astro_deepcr.cluster")
        sent = []

        def run(function, items, settings, **kwargs):
            sent.extend(items)
            return ((job, function(job)) for job in items)

        monkeypatch.setattr(cluster, "run_on_cluster", run)
        monkeypatch.chdir(night)
        table = clean_files("f0_flt.fits", "auto", output_dir="out", jobs=1)
        assert sent[0].source == night / "f0_flt.fits"
        assert sent[0].target == night / "out" / "f0_flt_cleaned.fits"
        assert list(table["status"]) == ["cleaned"]
        assert list(table["file"]) == ["f0_flt.fits"]

    def test_registered_weights(self, night, monkeypatch):
        """Other processes know only of those that come with the package."""
        cluster = pytest.importorskip("astro_deepcr.cluster")
        zoo = dict(REGISTRY)
        monkeypatch.setattr("astro_deepcr.weights.REGISTRY", zoo)
        mine = replace(get_weights(), name="mine", instruments=("ACS/WFC",))

        def run(function, items, settings, **kwargs):
            del zoo["mine"]
            return [(job, function(job)) for job in items]

        monkeypatch.setattr(cluster, "run_on_cluster", run)
        zoo["mine"] = mine
        table = clean_files(night / "f0_flt.fits", "auto", jobs=1)
        assert fits.getheader(table["output"][0], 1)["CRMODEL"] == "mine"
        zoo["mine"] = replace(mine, threshold=0.9)
        again = clean_files(night / "f0_flt.fits", "auto", overwrite=True)
        assert again["status"][0] == "cleaned"  # of other weights than before

    def test_relative_weights(self, night, monkeypatch):
        """What a worker in another folder is given are the files of this one."""
        cluster = pytest.importorskip("astro_deepcr.cluster")
        for name, task in {"find": "mask", "fill": "inpaint"}.items():
            entry = get_weights(None, task=task)
            state = load_state(fetch_weights(entry))
            save_weights(night / f"{name}.safetensors", state, entry)
        seen = {}

        def run(function, items, settings, **kwargs):
            seen.update(settings)
            monkeypatch.chdir(night.parent)
            return [(job, function(job)) for job in items]

        monkeypatch.setattr(cluster, "run_on_cluster", run)
        monkeypatch.chdir(night)
        own = {"weights": "find.safetensors", "inpaint": "fill.safetensors"}
        with conf.set_temp("weights_dir", "mine"):
            table = clean_files("f0_flt.fits", jobs=1, **own)
        assert list(table["status"]) == ["cleaned"]
        assert seen["weights_dir"] == str(night / "mine")

    def test_running_cluster(self, night, tmp_path):
        distributed = pytest.importorskip("distributed")
        settings = {name: getattr(conf, name) for name in conf}
        with distributed.LocalCluster(
            n_workers=2,
            threads_per_worker=2,
            processes=False,
            host="127.0.0.1",
            protocol="tcp://",
            dashboard_address="127.0.0.1:0",
        ) as cluster:
            address = cluster.scheduler_address
            table = clean_files(
                night, output_dir=tmp_path / "a", inpaint="median", scheduler=address
            )
        assert set(table["status"]) == {"cleaned"}
        assert {name: getattr(conf, name) for name in conf} == settings
        clean_files(night, output_dir=tmp_path / "b", inpaint="median")
        assert contents(tmp_path / "a") == contents(tmp_path / "b")

    def test_no_scheduler(self, night, monkeypatch):
        pytest.importorskip("distributed")
        from astro_deepcr import cluster

        monkeypatch.setattr(cluster, "_TIMEOUT", "0.3s")
        with pytest.raises(OSError, match=r"No Dask scheduler answers at tcp://.*:9"):
            clean_files(night, scheduler="tcp://127.0.0.1:9")

    def test_a_worker_dies(self, night, tmp_path, weights_cache):
        """Two processes, one is killed; all is done, once, with the same result."""
        pytest.importorskip("distributed")
        killed = []

        def kill_one(number, result):
            if not killed:
                children = multiprocessing.active_children()
                children[0].kill()
                killed.append(children[0].pid)

        with conf.set_temp("weights_dir", mask_folder(weights_cache)):
            table = clean_files(
                night,
                output_dir=tmp_path / "a",
                inpaint="median",  # rounding of networks depends on threads
                jobs=2,
                progress=kill_one,
            )
        assert killed
        assert set(table["status"]) == {"cleaned"}, list(table["message"])
        clean_files(night, output_dir=tmp_path / "b", inpaint="median")
        assert contents(tmp_path / "a") == contents(tmp_path / "b")
        assert not list((tmp_path / "a").glob(".part*"))

    def test_scheduler_is_lost(self):
        pytest.importorskip("distributed")
        from distributed.client import FutureCancelledError

        from astro_deepcr.cluster import _outcome

        def result():
            raise FutureCancelledError("key", "scheduler-connection-lost")

        error = _outcome(SimpleNamespace(result=result))
        assert "connection to the Dask scheduler was lost" in str(error)

    def test_a_worker_dies_with_results(self):
        """They are computed again, which takes longer than to ask for them."""
        pytest.importorskip("distributed")
        from astro_deepcr.cluster import run_on_cluster

        settings, found = {"device": "cpu", "num_threads": 0}, {}
        for item, result in run_on_cluster(_slowly, range(4), settings, jobs=2):
            if not found:
                time.sleep(1.5)  # until all are done
                multiprocessing.active_children()[0].kill()
                time.sleep(0.3)
            found[item] = result
        assert found == {i: i for i in range(4)}

    def test_one_gpu_for_each_worker(self, monkeypatch):
        pytest.importorskip("distributed")
        import torch

        from astro_deepcr.cluster import _own_device

        assert _own_device("cpu", 3) == "cpu"
        monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
        monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
        found = [_own_device("auto", number) for number in range(3)]
        assert found == ["cuda:0", "cuda:1", "cuda:0"]
        assert _own_device("cuda:1", 0) == "cuda:1"

    def test_needs_dask(self, night, monkeypatch):
        monkeypatch.setattr("astro_deepcr.batch.find_spec", lambda name: None)
        with pytest.raises(ValueError, match=r"pip install 'astro_deepcr\[dask\]'"):
            clean_files(night, jobs=2)


class TestCommand:
    def test_dry_run(self, night, capsys):
        before = contents(night)
        command = ["clean", str(night), "--dry-run", "--output-dir"]
        assert main([*command, str(night / "new")]) == 0
        assert "5 to do" in capsys.readouterr().out
        assert contents(night) == before
        assert main(["clean", str(night / "f0_flt.fits"), "--dry-run"]) == 0
        assert capsys.readouterr().out.count("_cleaned.fits[") == 2
        assert contents(night) == before

    def test_dry_run_tells_what_would_fail(self, tmp_path):
        fits.writeto(tmp_path / "a.fits", draw_frame((48, 40), 6)[0])
        for options, match in (
            ({}, "does not say its unit"),
            ({"unit": "adu", "dq_bit": "hst"}, "no DQ plane"),
            ({"unit": "adu", "update_err": True}, "no ERR plane"),
        ):
            table = clean_files(tmp_path, dry_run=True, **options)
            assert list(table["status"]) == ["failed"]
            assert match in table["message"][0]
        assert list(clean_files(tmp_path, unit="adu")["status"]) == ["cleaned"]
        done = str(tmp_path / "a_cleaned.fits")
        table = clean_files([done], dry_run=True)
        assert "has an HDU CRMASK already" in table["message"][0]

    def test_list_that_is_no_text(self, tmp_path, capsys):
        (tmp_path / "list.txt").write_text("a.fits", "utf-16")
        assert main(["clean", f"@{tmp_path / 'list.txt'}"]) == 1
        assert "list.txt is no text in UTF-8" in capsys.readouterr().err

    def test_quiet_and_summary(self, night, capsys):
        assert main(["clean", str(night), "--quiet"]) == 0
        assert capsys.readouterr() == ("", "")
        assert main(["clean", str(night)]) == 0
        output = capsys.readouterr()
        assert "5 skipped" in output.out
        assert output.out.count("f3_flt.fits") == 1
        lines = output.err.splitlines()  # in a log, which shows no bar
        assert len(lines) == 5
        assert lines[3] == f"4/5 {night / 'f3_flt.fits'}: skipped"

    def test_notes_of_each_file(self, night, capsys):
        """Once, in full, and not as warnings of some line of ours."""
        with warnings.catch_warnings():
            warnings.simplefilter("error", CosmicRayWarning)
            assert main(["clean", str(night), "--max-fraction", "1e-6"]) == 0
            output = capsys.readouterr().err
            assert output.count("of the usable pixels are flagged") == 10  # chips
            assert main(["clean", str(night), "--max-fraction", "1e-6"]) == 0
        assert "flagged" not in capsys.readouterr().err  # done before

    def test_output_is_for_one_file(self, night, capsys):
        files = sorted(map(str, night.glob("*.fits")))
        assert main(["clean", *files, "-o", "x.fits"]) == 1
        assert "--output is for one file" in capsys.readouterr().err
        assert main(["clean", str(night), "-o", "x.fits"]) == 1
        assert "--output is for one file, and here are 5" in capsys.readouterr().err
        assert main(["clean", files[0], "--suffix", "_x", "-o", "x.fits"]) == 1
        assert "leave --output-dir and --suffix out" in capsys.readouterr().err
        target = night.parent / "x.fits"
        pattern = str(night / "f0*.fits")
        assert main(["clean", pattern, "-o", str(target), "--inpaint", "idw"]) == 0
        assert target.exists()

    def test_interrupted(self, night, monkeypatch, capsys):
        def stop(*args, **kwargs):
            raise KeyboardInterrupt

        monkeypatch.setattr("astro_deepcr.jobs.write_part", stop)
        assert main(["clean", str(night)]) == 130
        assert "interrupted" in capsys.readouterr().err
        assert len(list(night.iterdir())) == 5


def mask_folder(weights_cache):
    """Return the folder of the official weights, for processes without our cache."""
    if weights_cache is None:
        pytest.skip("deepCR, which carries the weights, is not installed")
    return str(Path(weights_cache.origin).parent / "mask")
