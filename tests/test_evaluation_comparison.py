# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Methods side by side: adapters, tables, figures, the command."""

import argparse
import sys
from dataclasses import replace
from functools import partial
from importlib.util import find_spec

import numpy as np
import pytest
from astropy.io import fits
from astropy.nddata import CCDData
from astropy.table import Table
from numpy.testing import assert_allclose, assert_array_equal

from astro_deepcr.evaluation import (
    LabelledFrame,
    Method,
    astroscrappy_method,
    compare,
    compare_inpainting,
    cosmic_conn_method,
    deepcr_package_method,
    evaluate_files,
    evaluate_methods,
    get_method,
    lacosmic_method,
    list_methods,
    network_method,
    peers,
    plot_completeness,
    plot_cosmicrays,
    plot_precision_recall,
    plot_roc,
    save_figures,
    summarize,
)
from astro_deepcr.evaluation.command import add_arguments, run
from astro_deepcr.scripts import main


def make_frame(seed=0, unit="electron", gain=None, shape=(96, 100), hits=25):
    """Sky of 100 electrons, read noise 5, a few stars, short straight tracks."""
    rng = np.random.default_rng(seed)
    y, x = np.indices(shape)
    clean = np.full(shape, 100.0)
    stars = np.zeros(shape, int)
    for number in range(1, 7):
        x0, y0 = rng.uniform(5, 90, 2)
        clean += 3000 * np.exp(-((x - x0) ** 2 + (y - y0) ** 2) / (2 * 1.5**2))
        stars[round(y0), round(x0)] = number
    charge = np.zeros(shape)
    for _ in range(hits):
        row, column = rng.integers(2, 90, 2)
        charge[row, column : column + rng.integers(1, 7)] += rng.uniform(500, 3000)
    image = rng.poisson(clean + charge) + rng.normal(0, 5, shape)
    scale = 1 if gain is None else gain
    hot = np.zeros(shape, bool)
    hot[50, ::20] = True
    image[hot] += 800
    return LabelledFrame(
        CCDData(image / scale, unit=unit),
        charge > 0,
        charge=charge,
        objects={"star_cores": stars},
        pixels={"hot": hot},
        clean=clean / scale,
        sigma=np.sqrt(clean + 25) / scale,
        gain=gain,
        readnoise=5.0,
        name=f"simulated {seed}",
    )


@pytest.fixture(scope="module")
def frames():
    return [make_frame(0), make_frame(1)]


@pytest.fixture(scope="module")
def evaluations(frames):
    methods = ["acs-wfc", peers.astroscrappy_method(sigclips=(3, 4.5, 20))]
    return evaluate_methods({"sky": frames[:1], "both": iter(frames)}, methods)


def test_table_has_a_row_for_each_scenario_and_method(evaluations):
    table = summarize(evaluations)
    assert table["scenario"].tolist() == ["sky", "sky", "both", "both"]
    assert table["method"].tolist() == ["acs-wfc", "astroscrappy"] * 2
    assert table["n_pixels"].tolist() == [9600, 9600, 19200, 19200]
    assert_array_equal(table["n_hot"], [5, 5, 10, 10])
    ours = table[2]
    assert ours["ap"] > 0.98
    assert ours["ap"] > table[3]["ap"]
    assert ours["tpr1@0.001"] >= ours["tpr@0.001"] > 0.9
    assert ours["completeness"] > 0.95
    assert 0.5 < ours["purity"] < 1  # the hot pixels
    assert ours["flagged_hot"] > 0.5
    assert ours["flagged_star_cores"] == 0


def test_scenarios_are_never_pooled(frames, evaluations):
    again = compare({"alone": frames[:1]}, ["acs-wfc"])
    assert again["ap"][0] == summarize(evaluations)["ap"][0]


def test_kinds_that_a_scenario_lacks_are_nan():
    bare = LabelledFrame(make_frame().ccd, make_frame().truth)
    zero = Method("zero", lambda frame: np.zeros(frame.ccd.shape))
    table = compare({"bare": [bare], "full": [make_frame()]}, [zero])
    assert np.isnan(table["flagged_hot"][0])
    assert table["flagged_hot"][1] == 0
    assert table["n_hot"].tolist() == [0, 5]
    assert np.isnan(table["purity"]).all()
    assert_array_equal(table["completeness"], 0)


def test_a_frame_without_cosmic_rays():
    frame = make_frame(hits=0)
    table = compare({"clean": [frame]}, ["acs-wfc"])
    assert np.isnan(table["ap"][0])
    assert np.isnan(table["completeness"][0])
    assert table["fpr"][0] < 0.01


@pytest.mark.parametrize(
    ("scenarios", "methods", "match"),
    [
        ({}, ["acs-wfc"], "0 scenarios and 1 methods: nothing to do"),
        ({"a": []}, [], "1 scenarios and 0 methods"),
        ({"a": iter(())}, ["acs-wfc"], "scenario 'a' holds no frame"),
        ({"a": []}, ["no-such"], r"no method 'no-such'; .* choose one of astroscrappy"),
    ],
)
def test_nothing_to_compare(scenarios, methods, match):
    with pytest.raises(ValueError, match=match):
        compare(scenarios, methods)


def test_one_method_and_names(frames, tmp_path):
    zero = Method("zero", lambda frame: np.zeros(frame.ccd.shape))
    assert compare({"a": frames[:1]}, zero)["method"].tolist() == ["zero"]
    assert compare({"a": frames[:1]}, "acs-wfc")["method"].tolist() == ["acs-wfc"]
    with pytest.raises(ValueError, match="Two of the methods zero, zero have one name"):
        compare({"a": frames}, [zero, zero])
    names = {"Night 1": frames[:1], "night-1": frames[:1]}
    compare(names, [zero], figures=tmp_path)
    made = sorted(path.name for path in tmp_path.iterdir())
    assert {"night-1-roc.png", "night-1-roc-2.png"} <= set(made)


def test_options_of_adapters(frames):
    """Those that a frame tells of, too."""
    frame = frames[0]
    in_adu = replace(frame, ccd=CCDData(frame.ccd.data, unit="adu"), gain=1.0)
    quiet, loud = (
        network_method("acs-wfc", gain=gain).score(in_adu) for gain in (1.0, 1e-3)
    )
    assert not np.array_equal(quiet, loud)
    few, many = (
        astroscrappy_method(readnoise=noise, sigfrac=0.5).score(frame)
        for noise in (500.0, 5.0)
    )
    assert np.count_nonzero(few) < np.count_nonzero(many)
    with pytest.raises(TypeError, match="pass sigclips"):
        astroscrappy_method(sigclip=4)


def test_filling_knows_the_header(frames):
    ccd = CCDData(frames[0].ccd.data, unit="adu", meta={"GAIN": 2.0})
    sigma = np.full(ccd.shape, 5.0)
    clean = np.full(ccd.shape, 50.0)
    frame = LabelledFrame(ccd, frames[0].truth, clean=clean, sigma=sigma)
    methods = (name for name in ("median", "network"))
    table = compare_inpainting({"a": [replace(frame, readnoise=5.0)]}, methods)
    assert table["method"].tolist() == ["median", "network"]
    assert len(compare_inpainting({"a": [frames[0]]}, "network")) == 1


def test_a_wrong_score_is_an_error(frames):
    bad = Method("bad", lambda frame: np.full((3, 3), 0.5))
    with pytest.raises(ValueError, match=r"score has shape \(3, 3\)"):
        compare({"sky": frames}, [bad])


@pytest.mark.parametrize(
    ("make", "least"),
    [
        (lacosmic_method, 0.7),
        (peers.median_method, 0.3),
        (partial(peers.astroscrappy_method, sepmed=False, objlim=5), 0.7),
    ],
)
def test_peers_find_the_tracks(make, least, frames):
    if make is lacosmic_method:
        pytest.importorskip("lacosmic", minversion="1.4")
    table = compare({"sky": frames[:1]}, [make(sigclips=(3, 4.5, 20))])
    assert table["ap"][0] > least
    assert table["completeness"][0] > 0.9


def test_every_peer_but_cosmic_conn_is_here():
    if find_spec("cosmic_conn"):
        pytest.skip("cosmic-conn is installed")
    assert set(peers._PEERS) - set(list_methods()) == {"cosmic-conn"}
    for name in set(peers._PEERS) & set(list_methods()):
        assert get_method(name).name
    with pytest.raises(ImportError, match="needs the package cosmic_conn"):
        get_method("cosmic-conn")
    assert "Cosmic-CoNN" in cosmic_conn_method().name


def test_score_of_a_mask_is_the_highest_level_that_flags_it(frames):
    method = peers.astroscrappy_method(sigclips=(4.5, 50, 10))
    score = method.score(frames[0])
    assert set(np.unique(score)) <= {0, 4.5, 10, 50}
    from astroscrappy import detect_cosmics

    mask, _ = detect_cosmics(
        frames[0].electrons,
        inmask=frames[0].bad,
        sigclip=10,
        readnoise=5.0,
        satlevel=np.inf,
    )
    assert np.all(score[mask] >= 10)
    assert score.max() == 50


def test_peers_see_electrons():
    pytest.importorskip("lacosmic", minversion="1.4")
    adu = make_frame(unit="adu", gain=2.5)
    electrons = make_frame()
    for method in (lacosmic_method(sigclips=(4.5,)), network_method("acs-wfc")):
        assert_allclose(
            method.score(adu), method.score(electrons), atol=1e-3, err_msg=method.name
        )


def test_our_network_is_that_of_the_package_away_from_edges(frames):
    pytest.importorskip("deepCR")
    inside = np.s_[24:-24, 24:-24]
    ours = network_method("acs-wfc").score(frames[0])[inside]
    theirs = deepcr_package_method("ACS-WFC").score(frames[0])[inside]
    assert_allclose(ours, theirs, atol=1e-3)


def test_filled_pixels(frames):
    table = compare_inpainting({"sky": frames}, ["median", "biharmonic"])
    assert table["n"].tolist() == [sum(f.truth.sum() for f in frames)] * 2
    assert np.all(table["clipped_rms"] < 4)
    assert np.all(table["pull_std"] > 0)
    with pytest.raises(ValueError, match="needs `clean` and `sigma`"):
        compare_inpainting({"a": [LabelledFrame(frames[0].ccd, frames[0].truth)]})
    with pytest.raises(ValueError, match="'a' holds no frame"):
        compare_inpainting({"a": []})


@pytest.fixture
def folder(tmp_path):
    """Two files with DQ planes."""
    for seed in range(2):
        frame = make_frame(seed, shape=(96, 96))
        dq = np.where(frame.truth, 4096, 0).astype(np.int16)
        dq[frame.pixels["hot"]] |= 16
        sci = fits.ImageHDU(frame.ccd.data.astype("f4"), name="SCI")
        sci.header["BUNIT"] = "electron"
        hdus = [fits.PrimaryHDU(), sci, fits.ImageHDU(dq, name="DQ")]
        fits.HDUList(hdus).writeto(tmp_path / f"{seed}.fits")
    return tmp_path


def test_files(folder):
    lines = []
    table = evaluate_files(
        folder, ["acs-wfc"], dq_bits=4096, readnoise=5, progress=lines.append
    )
    assert table["scenario"].tolist() == [folder.name]
    assert table["purity"][0] > 0.9  # hot pixels are ignored
    assert len(lines) == 2
    one = evaluate_files([folder / "0.fits"], ["acs-wfc"], dq_bits=4096)
    assert one["n_pixels"][0] < table["n_pixels"][0]
    with pytest.raises(FileNotFoundError, match="no FITS file"):
        evaluate_files(folder / "no", ["acs-wfc"])


def test_each_folder_has_its_own_files(tmp_path):
    sides = {"one": (96, 96), "two/night": (90, 100), "three/night": (100, 88)}
    for seed, (name, shape) in enumerate(sides.items()):
        frame = make_frame(seed, shape=shape)
        (tmp_path / name).mkdir(parents=True)
        mask = fits.ImageHDU(frame.truth.astype(np.uint8), name="MASK")
        sci = fits.ImageHDU(frame.ccd.data.astype("f4"), name="SCI")
        path = tmp_path / name / f"{seed}.fits"
        fits.HDUList([fits.PrimaryHDU(), sci, mask]).writeto(path)
    folders = [tmp_path / name for name in sides]
    table = evaluate_files(folders, ["acs-wfc"], unit="electron")
    assert table["n_pixels"].tolist() == [a * b for a, b in sides.values()]
    names = ["one", str(tmp_path / "two/night"), str(tmp_path / "three/night")]
    assert table["scenario"].tolist() == names
    twice = evaluate_files([folders[0]] * 2, ["acs-wfc"], unit="electron")
    assert twice["n_pixels"].tolist() == [96 * 96]


def test_tables_that_cannot_be_saved(folder, capsys):
    """Told before the work, and nothing is lost."""
    path = folder / "0.fits"
    before = path.read_bytes()
    how = ["evaluate", str(path), "--dq-bits", "4096", "--methods", "acs-wfc"]
    assert main([*how, "--output", str(path)]) == 1
    assert "0.fits exists already" in capsys.readouterr().err
    assert path.read_bytes() == before
    assert main([*how, "--output", str(folder / "table.xyz")]) == 1
    error = capsys.readouterr().err
    assert "table.xyz is that of no kind" in error
    assert "frame 1" not in error
    assert main([*how, "--output", str(folder / "no" / "table.csv")]) == 1
    (folder / "table.csv").write_text("old")
    assert main([*how, "--output", str(folder / "table.csv"), "--overwrite"]) == 0
    assert len(Table.read(folder / "table.csv")) == 1
    assert not list(folder.glob(".part*"))


def test_command_errors_name_the_file_or_the_package(folder, capsys, monkeypatch):
    (folder / "junk.fits").write_text("no FITS")
    path = folder / "short.fits"
    path.write_bytes((folder / "0.fits").read_bytes()[:-9000])
    for name in ("junk.fits", "short.fits"):
        assert main(["evaluate", str(folder / name), "--methods", "acs-wfc"]) == 1
        assert f"{name} cannot be read" in capsys.readouterr().err
    monkeypatch.setitem(sys.modules, "cosmic_conn", None)
    how = ["--dq-bits", "4096", "--methods", "cosmic-conn"]
    assert main(["evaluate", str(folder / "0.fits"), *how]) == 1
    assert "deepcr: error:" in capsys.readouterr().err


def test_command(folder, capsys):
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    output = folder / "table.ecsv"
    arguments = [str(folder), "--dq-bits", "4096", "--methods", "acs-wfc"]
    figures = folder / "figures"
    arguments += ["--figures", str(figures), "--output", str(output)]
    table = run(parser.parse_args(arguments))
    captured = capsys.readouterr()
    assert "tpr@0.001" in captured.out
    assert "1.fits" in captured.err
    assert Table.read(output)["ap"][0] == table["ap"][0]
    assert len(list(figures.glob("*.png"))) == 4


def test_figures_are_saved_for_each_scenario(evaluations, tmp_path):
    from matplotlib import pyplot as plt

    before = plt.get_fignums()
    paths = save_figures(evaluations, tmp_path / "new")
    assert len(paths) == 2 * (3 + 2)
    assert all(p.stat().st_size > 5000 for p in paths)
    assert plt.get_fignums() == before


def test_roc_figure_shows_the_curve(evaluations):
    curves = {e.method.name: e.scores.curve() for e in evaluations["both"]}
    ax = plot_roc(curves).axes[0]
    assert [t.get_text() for t in ax.get_legend().get_texts()] == list(curves)
    y = ax.lines[0].get_ydata()
    assert_array_equal(y[1:-1], curves["acs-wfc"].tpr)
    assert ax.get_xscale() == "log"
    assert len(ax.lines) == 3  # markers where there are few points
    ax = plot_precision_recall(curves).axes[0]
    assert_array_equal(ax.lines[0].get_ydata(), curves["acs-wfc"].precision)


def test_figures_can_share_axes(evaluations):
    from matplotlib import pyplot as plt

    figure, ax = plt.subplots()
    tables = {e.method.name: e.all_events for e in evaluations["both"]}
    assert plot_completeness(tables, "size", bins=4, ax=ax) is figure
    assert ax.get_xlabel() == "Size of the cosmic ray"
    plt.close(figure)


def test_nothing_to_plot():
    for plot in (plot_roc, plot_precision_recall, plot_completeness):
        with pytest.raises(ValueError, match="no curve to plot"):
            plot({})


def test_panels(frames):
    frame = frames[0]
    cleaned = frame.ccd.copy()
    cleaned.data = np.where(frame.truth, frame.clean, frame.ccd.data)
    cleaned.mask = frame.truth
    figure = plot_cosmicrays(
        frame.ccd, cleaned, frame.truth * 0.9, region=np.s_[10:40, 20:60]
    )
    titles = [ax.get_title() for ax in figure.axes]
    assert titles == ["before", "probability", "mask", "cleaned"]
    shown = figure.axes[2].images[0].get_array()
    assert_array_equal(shown, frame.truth[10:40, 20:60])
    assert figure.axes[0].get_xlim() == (19.5, 59.5)
    by_value = plot_cosmicrays(frame.ccd.data, cleaned.data)
    changed = by_value.axes[1].images[0].get_array()
    assert_array_equal(changed, frame.truth)


def test_panels_with_wrong_shapes(frames):
    with pytest.raises(ValueError, match=r"cleaned has shape \(3, 3\)"):
        plot_cosmicrays(frames[0].ccd, np.zeros((3, 3)))
    with pytest.raises(ValueError, match=r"probability has shape \(3, 3\)"):
        plot_cosmicrays(frames[0].ccd, frames[0].ccd, np.zeros((3, 3)))


@pytest.fixture(autouse=True)
def close_figures():
    yield
    from matplotlib import pyplot as plt

    plt.close("all")
