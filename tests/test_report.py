# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""The report of a batch, and the numbers and warnings in it."""

import base64
import io
import os
import re
import sys
from dataclasses import replace
from html import escape
from html.parser import HTMLParser

import numpy as np
import pytest
from astropy.io import fits
from astropy.nddata import CCDData

from astro_deepcr import clean_files, cosmicray_deepcr
from astro_deepcr.quality import frame_quality
from astro_deepcr.scripts import main
from astro_deepcr.simulate import make_cosmicray_ccd
from astro_deepcr.weights import get_weights

from .conftest import draw_frame

BROKEN = "broken.fits" if os.name == "nt" else "<broken>.fits"

pytest.importorskip("jinja2")
pytest.importorskip("matplotlib")


class Page(HTMLParser):
    """Collects tags, and complains about those that are not closed."""

    VOID = {"meta", "img", "br", "link", "input"}

    def __init__(self, text):
        super().__init__()
        self.stack, self.found = [], []
        self.feed(text)
        assert not self.stack

    def handle_starttag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.stack.append(tag)

    def handle_endtag(self, tag):
        assert self.stack.pop() == tag


@pytest.fixture
def folder(tmp_path):
    """Return a folder with two frames of different exposures, and a broken file."""
    for seed, name in enumerate(("b & c.fits", "a.fits"), 1):
        ccd, _ = make_cosmicray_ccd((96, 80), seed=seed)
        header = fits.Header()
        header.update(ccd.meta)
        header["BUNIT"] = "electron"
        fits.writeto(tmp_path / name, ccd.data, header)
    (tmp_path / BROKEN).write_text("no FITS")
    return tmp_path


class TestPage:
    @pytest.mark.skipif(sys.platform != "linux", reason="names are text elsewhere")
    def test_name_that_is_no_text(self, tmp_path, monkeypatch):
        """Names of files are bytes; those of old archives are not all UTF-8."""
        image, _ = draw_frame((48, 40), 6, seed=1)
        path = os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9.fits")
        fits.writeto(path, image)
        page = tmp_path / "r.html"
        table = clean_files(path, unit="electron", report=page)
        assert table["status"][0] == "cleaned"
        assert "caf%E9.fits" in page.read_text("utf-8")
        with io.TextIOWrapper(io.BytesIO(), encoding="utf-8") as screen:
            monkeypatch.setattr("sys.stdout", screen)
            assert main(["clean", path, "--unit", "electron", "--overwrite"]) == 0
            screen.seek(0)
            assert r"caf\udce9_cleaned.fits" in screen.read()

    def test_content(self, folder):
        page = folder / "out" / "report.html"
        table = clean_files(folder, "auto", output_dir=folder / "out", report=page)
        text = page.read_text(encoding="utf-8")
        found = Page(text).found
        pictures = [a["src"] for tag, a in found if tag == "img"]
        assert len(pictures) == 2
        for picture in pictures:
            kind, _, data = picture.partition(",")
            assert kind == "data:image/jpeg;base64"
            assert base64.b64decode(data)[:2] == b"\xff\xd8"
        links = [a["href"] for tag, a in found if tag == "a"]
        assert "../b%20%26%20c.fits" in links
        assert "b%20%26%20c_cleaned.fits" in links
        assert f"{escape(BROKEN)} cannot be read as FITS" in text
        for row in table[table["status"] == "cleaned"]:
            assert f'<td data-value="{row["pixels"]}">{row["pixels"]}</td>' in text

    def test_nothing_from_elsewhere(self, folder):
        clean_files(folder, "auto", report=folder / "r.html")
        text = (folder / "r.html").read_text(encoding="utf-8")
        text = re.sub(r"data:image/jpeg;base64,[A-Za-z0-9+/=]+", "", text)
        assert not re.search(r"https?:|src=\"[^\"]|@import|url\(", text)

    def test_pictures_of_what_was_done_before(self, folder):
        clean_files(folder, "auto")
        clean_files(folder, "auto", report=folder / "r.html")
        text = (folder / "r.html").read_text(encoding="utf-8")
        assert text.count("<img ") == 2
        assert text.count('data-value="skipped"') == 2

    def test_hits_of_what_was_done_before(self, folder, monkeypatch):
        """They are known though no pixel was replaced."""
        path, drawn = folder / "a.fits", []
        monkeypatch.setattr(
            "astro_deepcr.report.draw_frame",
            lambda *frames: drawn.append(frames[2].sum()) or "",
        )
        for written in ({}, {"mask_hdu": None}):
            how = {"inpaint": None, "report": folder / "r.html", "overwrite": True}
            table = clean_files(path, **how, **written)
            assert table["status"].tolist() == ["cleaned"]
            table = clean_files(path, **how, **written)
            assert table["status"].tolist() == ["skipped"]
        assert drawn == [table["pixels"][0]] * 3 + [0]

    def test_what_was_done_before_is_judged_anew(self, folder):
        """With what is told of the camera now; without a report, too."""
        first = clean_files(folder / "a.fits")
        again = clean_files(folder / "a.fits", pixel_size=200.0, environment="L2")
        assert (first["status"][0], again["status"][0]) == ("cleaned", "skipped")
        assert again["events"][0] == first["events"][0]
        assert "events, where" not in first["message"][0]
        assert "events, where" in again["message"][0]
        few = clean_files(folder / "a.fits", max_fraction=1e-6)
        assert "of the usable pixels are flagged" in few["message"][0]

    def test_pixels_without_a_value(self, folder):
        with fits.open(folder / "a.fits", mode="update") as hdus:
            hdus[0].data[:5, :5] = np.nan
        table = clean_files(folder / "a.fits", report=folder / "r.html")
        assert table["status"].tolist() == ["cleaned"]

    def test_masked_pixels_hold_anything(self, folder):
        """IRAF marks them with 1.6e38; pictures are drawn in a second run, too."""
        shape = fits.getdata(folder / "a.fits").shape
        bad = np.zeros(shape, np.uint8)
        bad[:5] = 1
        fits.writeto(folder / "bad.fits", bad)
        with fits.open(folder / "a.fits", mode="update") as hdus:
            hdus[0].data = np.where(bad, 1.6e38, hdus[0].data).astype(np.float32)
        how = {"bad_pixels": folder / "bad.fits", "report": folder / "r.html"}
        for inpaint, status in (("network", "cleaned"), ("network", "skipped")):
            table = clean_files(folder / "a.fits", inpaint=inpaint, **how)
            assert table["status"].tolist() == [status], table["message"][0]
        table = clean_files(folder / "a.fits", inpaint=None, overwrite=True, **how)
        assert table["status"].tolist() == ["cleaned"]

    @pytest.mark.parametrize("name", ["a.fits", "a_cleaned.fits"])
    def test_does_not_replace_a_frame(self, folder, name):
        before = (folder / "a.fits").read_bytes()
        with pytest.raises(ValueError, match="would replace a frame"):
            clean_files(folder / "a.fits", report=folder / name)
        assert (folder / "a.fits").read_bytes() == before

    def test_cannot_be_written(self, folder):
        before = sorted(folder.iterdir())
        with pytest.raises(FileNotFoundError, match=r"no folder .*no_such for the"):
            clean_files(folder, "auto", report=folder / "no_such" / "r.html")
        assert sorted(folder.iterdir()) == before

    def test_needs_jinja2(self, folder, monkeypatch):
        monkeypatch.setattr("astro_deepcr.batch.find_spec", lambda name: None)
        with pytest.raises(ValueError, match=r"pip install 'astro_deepcr\[report\]'"):
            clean_files(folder, "auto", report=folder / "r.html")


class TestQuality:
    @pytest.fixture
    def cleaned(self):
        ccd, _ = make_cosmicray_ccd((256, 256), seed=1, environment="low Earth orbit")
        return ccd, cosmicray_deepcr(ccd, "acs-wfc")

    def judge(self, cleaned, weights="acs-wfc", **changes):
        ccd, result = cleaned
        result = result.copy()
        result.meta.update(changes.pop("meta", {}))
        crmask = result.mask & ~ccd.mask
        return frame_quality(ccd, result, crmask, get_weights(weights), **changes)

    def test_rate_is_that_of_the_simulation(self, cleaned):
        quality = self.judge(cleaned)
        assert quality["expected"] == pytest.approx(1.1)
        assert quality["rate"] == pytest.approx(1.1, rel=0.25)
        assert quality["warnings"] == []
        assert quality["pixels"] == cleaned[1].meta["CRNPIX"]

    def test_pixel_size_and_site(self, cleaned):
        standard = self.judge(cleaned)["rate"]
        assert self.judge(cleaned, pixel_size=30)["rate"] == pytest.approx(standard / 4)
        larger = self.judge(cleaned, meta={"XPIXSZ": 7.5})["rate"]
        assert larger == pytest.approx(4 * standard)
        binned = {"BINAXIS1": 2, "BINAXIS2": 2}, {"CCDSUM": "2 2"}
        for meta in (*binned, {"XBINNING": 4, "YBINNING": 1}):
            rate = self.judge(cleaned, meta=meta)["rate"]
            assert rate == pytest.approx(standard / 4)
        both = {"XPIXSZ": 7.5, "XBINNING": 2, "YBINNING": 2}  # of a binned pixel
        assert self.judge(cleaned, meta=both)["rate"] == pytest.approx(larger)
        unknown = {"INSTRUME": "mine", "DETECTOR": "new"}
        assert self.judge(cleaned, meta=unknown)["rate"] is None
        assert self.judge(cleaned, meta={"EXPTIME": 0.0})["rate"] is None
        assert self.judge(cleaned, environment="L2")["expected"] == pytest.approx(4)
        ground = self.judge(cleaned, meta=unknown, pixel_size=15)
        assert ground["expected"] < 0.1
        assert "are expected" in ground["warnings"][-1]

    def test_warnings(self, cleaned):
        ccd, result = cleaned
        quality = self.judge(cleaned, max_fraction=0.001)
        assert "% of the usable pixels are flagged" in quality["warnings"][0]
        quality = self.judge(cleaned, weights="wfc3-uvis")
        assert "were trained for WFC3" in quality["warnings"][0]
        level = np.percentile(ccd.data, 90)
        bright = replace_data(ccd, np.where(ccd.data > level, 9e9, ccd.data))
        quality = self.judge((bright, result))
        assert "% of the pixels are saturated" in quality["warnings"][-1]


def replace_data(ccd, data):
    """Return a frame with other data."""
    return CCDData(data, unit=ccd.unit, mask=ccd.mask, meta=ccd.meta)


def test_wrong_filling_weights_are_told(folder):
    fill = replace(get_weights(None, task="inpaint"), name="old", instruments=("X/Y",))
    header = {"INSTRUME": "STIS"}
    fits.setval(folder / "a.fits", "INSTRUME", value=header["INSTRUME"])
    with pytest.warns(UserWarning, match="'old' were trained for X/Y"):
        table = clean_files(folder / "a.fits", inpaint=fill)
    assert "'old' were trained for X/Y" in table["message"][0]


def test_page_on_another_drive(folder, monkeypatch):
    """Windows has no relative names between them."""

    def refuse(*_):
        raise ValueError("path is on mount 'D:', start on mount 'C:'")

    monkeypatch.setattr(os.path, "relpath", refuse)
    clean_files(folder / "a.fits", report=folder / "r.html")
    found = Page((folder / "r.html").read_text(encoding="utf-8")).found
    links = [a["href"] for tag, a in found if tag == "a"]
    assert (folder / "a.fits").as_uri() in links


def test_wrong_weights_are_told_once_for_each_file(folder):
    """As a note, since the warning of a worker reaches nobody."""
    weights = replace(get_weights("wfc3-uvis"), name="others")
    with pytest.warns(UserWarning, match="'others' were trained for"):
        table = clean_files(folder, weights)
    assert ["'others' were trained for" in m for m in table["message"]] == [
        False,
        True,
        True,
    ]
