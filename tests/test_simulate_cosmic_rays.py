# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Tests of the cosmic-ray simulator: its physics, its truth, its contract."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from astropy import units as u
from scipy import ndimage
from scipy.stats import kstest

from astro_deepcr.simulate import (
    Detector,
    Environment,
    Species,
    _silicon,
    _tracks,
    draw_cosmic_rays,
    get_detector,
    get_environment,
    list_detectors,
    list_environments,
    read_stamps,
    simulate_cosmic_rays,
)
from astro_deepcr.simulate._random import Draws
from astro_deepcr.simulate._raster import Charges, PixelCharges, bloom, rasterise

RATE = 1 / u.cm**2 / u.s
REAL = Path(__file__).parents[2] / "shared" / "data" / "real" / "cr_stamps"


def generator(seed=1):
    return torch.Generator().manual_seed(seed)


def one_species(*args, **kwargs):
    return Environment("test", [Species(*args, **kwargs)])


def vertical(number, thickness, *, energy=350.0, charge_number=1, kind=0, n=1):
    """Particles that go straight through the middle of a frame."""
    ones = torch.ones(number)
    return _tracks.Particles(
        frame=torch.zeros(number, dtype=torch.int64),
        kind=torch.full((number,), kind),
        charge_number=charge_number * ones,
        energy=energy * ones,
        start=torch.tensor([[300.0, 300.0, thickness]]).repeat(number, 1),
        direction=torch.tensor([[0.0, 0.0, -1.0]]).repeat(number, 1),
        length=thickness * ones,
    )


def freed(particles, thickness, seed=1):
    geometry = torch.tensor([[15.0, 15.0, thickness, thickness, 3.0]])
    rng = Draws(generator(seed), len(particles.frame))
    return _tracks.free_charges(rng, particles, geometry)


def charge_per_event(charges, number):
    return torch.zeros(number).index_add_(0, charges.event, charges.charge).numpy()


@pytest.mark.parametrize(
    ("thickness", "expected"), [(15.0, 56), (40.0, 61), (100.0, 66), (250.0, 71)]
)
def test_most_probable_charge_of_minimum_ionising_particles(thickness, expected):
    number = 8000
    charges = freed(vertical(number, thickness), thickness)
    per_um = charge_per_event(charges, number) / thickness
    counts, edges = np.histogram(per_um, np.arange(20, 140.5))
    smooth = np.convolve(counts, np.ones(11) / 11, "same")
    most_probable = edges[smooth.argmax()] + 0.5
    assert most_probable == pytest.approx(expected, rel=0.1)
    # Landau's tail: the mean lies well above the peak
    assert per_um.mean() > 1.15 * most_probable


def test_ionisation_goes_with_the_square_of_the_charge():
    medians = [
        np.median(
            charge_per_event(freed(vertical(500, 20.0, charge_number=z), 20.0), 500)
        )
        for z in (1, 2, 6)
    ]
    for z, median in zip((2, 6), medians[1:], strict=True):
        # Landau's peak grows a little faster, with the logarithm of its width
        expected = z**2 * (1 + 5.2 * math.log(z**2) / 60)
        assert median / medians[0] == pytest.approx(expected, rel=0.12)


def test_slow_protons_ionise_more_and_stop():
    # stopping power of silicon for protons (PSTAR): keV/um
    for energy, power in ((5.0, 14.0), (30.0, 3.4), (100.0, 1.36)):
        particles = vertical(600, 20.0, energy=energy, kind=1)
        mean = charge_per_event(freed(particles, 20.0), 600).mean()
        assert mean == pytest.approx(20 * power / _silicon.PAIR_ENERGY, rel=0.12)
    # one of 2 MeV stops within 300 um, and leaves all its energy
    stopped = charge_per_event(
        freed(vertical(300, 300.0, energy=2.0, kind=1), 300.0), 300
    )
    assert np.median(stopped) == pytest.approx(2000 / _silicon.PAIR_ENERGY, rel=0.15)


def test_hard_collisions_follow_rutherford():
    transfer = _silicon.hard_transfers(
        Draws(generator(), 20_000), torch.tensor(1.0), torch.tensor(2000.0)
    )
    assert (
        kstest(1 / transfer.numpy(), "uniform", (1 / 2000, 1 - 1 / 2000)).pvalue > 1e-3
    )
    *_, number, lowest, highest = _silicon.collisions(1.0, torch.tensor([12.3]))
    above_50 = number * lowest * highest / (highest - lowest) * (1 / 50 - 1 / highest)
    assert float(100 * above_50) == pytest.approx(0.04, rel=0.1)


def test_inverse_gaussian_has_its_moments():
    draws = _silicon.inverse_gaussian(
        Draws(generator(), 50_000), torch.full((50_000,), 3.0), torch.tensor(2.0)
    )
    assert draws.min() > 0
    assert draws.mean().item() == pytest.approx(3, rel=0.02)
    assert draws.var().item() == pytest.approx(2, rel=0.1)


def test_electron_range_and_its_inverse():
    energy = torch.tensor([20.0, 100.0, 200.0, 500.0, 1500.0])
    path = _silicon.electron_range(energy)
    np.testing.assert_allclose(_silicon.electron_energy(path), energy, rtol=1e-3)
    np.testing.assert_allclose(path[1:4], [70, 220, 1000], rtol=0.2)


def test_electrons_wander():
    number = 400
    born = vertical(number, 300.0, energy=0.3, kind=_tracks.ELECTRON)
    born.start[:, 2] = 150.0
    charges = freed(born, 300.0)
    distance = torch.hypot(charges.row - 19.5, charges.column - 19.5) * 15
    reached = torch.zeros(number).scatter_reduce_(0, charges.event, distance, "amax")
    path = _silicon.electron_range(torch.tensor(300.0))
    assert 0.1 < (reached.median() / path).item() < 0.6
    # never more charge than the energy allows, and all of it when it stays inside
    total = charge_per_event(charges, number)
    assert np.quantile(total, 0.99) < 1.35 * 300 / _silicon.PAIR_ENERGY
    assert np.quantile(total, 0.8) > 0.8 * 300 / _silicon.PAIR_ENERGY


@pytest.mark.parametrize(
    ("power", "zenith", "median", "ninety"),
    [(0.0, 0, 1.0, 3.0), (2.0, 0, 0.64, 1.5), (2.0, 60, 1.1, 3.3)],
)
def test_projected_lengths(power, zenith, median, ninety):
    muons = Species("muon", 20 * RATE, angular_power=power)
    environment = Environment("test", [muons], zenith * u.deg)
    *_, events = simulate_cosmic_rays(
        (512, 512), "ACS/WFC", environment, 300 * u.s, seed=4
    )
    inside = (np.abs(events["row"] - 255) < 250) & (
        np.abs(events["column"] - 255) < 250
    )
    length = np.tan(events["polar"][inside]).value
    assert len(length) > 1000
    assert np.median(length) == pytest.approx(median, rel=0.12)
    assert np.quantile(length, 0.9) == pytest.approx(ninety, rel=0.15)


@pytest.mark.parametrize(("power", "zenith"), [(0.0, 0), (2.0, 0), (3.0, 0)])
def test_number_of_events_is_the_rate(power, zenith):
    muons = Species("muon", 2 * RATE, angular_power=power)
    environment = Environment("test", [muons], zenith * u.deg)
    detector = get_detector("ACS/WFC", thickness=8 * u.um)
    drawn = draw_cosmic_rays(
        (256, 256), [detector] * 8, [environment] * 8, 500.0, generator=generator(2)
    )
    inside = [
        (drawn.events[name] > -0.5) & (drawn.events[name] < 255.5)
        for name in ("row", "column")
    ]
    expected = 8 * 2 * 500 * (256 * 15e-4) ** 2
    found = int((inside[0] & inside[1]).sum())
    assert abs(found - expected) < 5 * math.sqrt(expected)


def test_rate_does_not_fall_towards_the_edges():
    """Tracks enter from outside, too."""
    environment = one_species("proton", 5 * RATE)
    drawn = draw_cosmic_rays(
        (96, 96), [get_detector("LSST")] * 40, [environment] * 40, 1000.0,
        generator=generator(3),
    )  # fmt: skip
    hit = (drawn.charge > 100).float().mean(dim=0)
    edge = torch.cat([hit[:8].flatten(), hit[-8:].flatten(), hit[:, :8].flatten()])
    assert edge.mean() == pytest.approx(hit[24:72, 24:72].mean(), rel=0.15)


def test_a_thousand_seconds_of_acs():
    detector = get_detector("ACS/WFC")
    drawn = draw_cosmic_rays(
        (256, 256), [detector] * 12, [Environment.low_earth_orbit()] * 12, 1000.0,
        generator=generator(5),
    )  # fmt: skip
    threshold = 3 * detector.read_noise.value
    assert 0.015 < (drawn.charge > threshold).float().mean() < 0.03
    seen = drawn.events["pixels"] > 0
    assert 4 < drawn.events["pixels"][seen].float().mean() < 8
    row, column = drawn.events["row"], drawn.events["column"]
    inside = (row > 8) & (row < 247) & (column > 8) & (column < 247)
    charge = drawn.events["charge"][seen & inside]
    assert 800 < charge.median() < 1600
    assert (charge < 500).float().mean() < 0.1
    assert (charge < 250).float().mean() < 0.02


def random_charges(number=3000, seed=1):
    rng = np.random.default_rng(seed)
    values = {
        "event": rng.integers(0, 50, number),
        "frame": np.zeros(number, int),
        "row": rng.uniform(40, 60, number),
        "column": rng.uniform(40, 60, number),
        "sigma_row": rng.uniform(0.05, 3, number),
        "sigma_column": rng.uniform(0.05, 3, number),
        "charge": rng.uniform(1, 3000, number),
    }
    integers = ("event", "frame")
    return Charges(
        **{
            name: torch.tensor(
                v, dtype=torch.int64 if name in integers else torch.float32
            )
            for name, v in values.items()
        }
    )


def test_rasterising_conserves_charge():
    charges = random_charges()
    pixels = rasterise(charges, 50, (100, 100))
    wanted = torch.zeros(50, dtype=torch.float64)
    wanted.index_add_(0, charges.event, charges.charge.double())
    got = torch.zeros(50, dtype=torch.float64)
    got.index_add_(0, pixels.event, pixels.charge.double())
    np.testing.assert_allclose(got, wanted, rtol=1e-5)


def test_charge_is_conserved_from_energy_to_pixels():
    number, thickness = 200, 40.0
    charges = freed(vertical(number, thickness), thickness)
    kept = (charges.row - 19.5).abs().maximum((charges.column - 19.5).abs()) < 12
    charges = charges[kept]
    pixels = rasterise(charges, number, (64, 64))
    assert pixels.charge.double().sum() == pytest.approx(
        charges.charge.double().sum().item(), rel=1e-5
    )


def test_rasterising_is_the_integral_over_pixels():
    one = Charges(
        *(torch.tensor([v]) for v in (0, 0, 5.3, 4.6, 0.8, 1.1, 1000.0))
    )  # fmt: skip
    pixels = rasterise(one, 1, (11, 11))
    image = torch.zeros(121).index_add_(0, pixels.pixel, pixels.charge).reshape(11, 11)
    fine = (np.arange(1100) + 0.5) / 100 - 0.5
    y, x = (np.exp(-0.5 * ((fine - c) / s) ** 2) for c, s in ((5.3, 0.8), (4.6, 1.1)))
    y, x = (v.reshape(11, 100).sum(1) / v.sum() for v in (y, x))
    np.testing.assert_allclose(image, 1000 * np.outer(y, x), atol=1.0)


@pytest.mark.parametrize("row", [-1.0, 10.0, 10.45])
def test_charge_is_lost_only_over_the_edge(row):
    one = Charges(
        *(torch.tensor([v]) for v in (0, 0, row, 5.0, 1.0, 0.3, 1000.0))
    )  # fmt: skip
    inside = rasterise(one, 1, (11, 11)).charge.sum().item()
    edges = [math.erf((edge - row) / math.sqrt(2)) / 2 for edge in (-0.5, 10.5)]
    assert inside == pytest.approx(1000 * (edges[1] - edges[0]), abs=2)


def test_far_charges_diffuse_more():
    geometry = torch.tensor([[10.0, 10.0, 100.0, 100.0, 5.0]]).repeat(3, 1)
    place = torch.tensor([[5.0, 5.0, z] for z in (1.0, 25.0, 100.0)])
    charges = _tracks._diffuse(
        torch.arange(3), place, torch.zeros(3, 3), torch.ones(3),
        torch.zeros(3, dtype=torch.int64), geometry,
    )  # fmt: skip
    np.testing.assert_allclose(charges.sigma_row, [0.05, 0.25, 0.5], rtol=1e-3)
    np.testing.assert_allclose(charges.row, 0.0, atol=1e-6)


def test_field_free_layer_has_the_variance_of_the_theory():
    geometry = torch.tensor([[10.0, 10.0, 16.0, 10.0, 3.0]])
    charges = _tracks._diffuse(
        torch.zeros(1, dtype=torch.int64), torch.tensor([[5.0, 5.0, 14.0]]),
        torch.zeros(1, 3), torch.ones(1), torch.zeros(1, dtype=torch.int64), geometry,
    )  # fmt: skip
    weights = charges.charge / charges.charge.sum()
    variance = (weights * charges.sigma_row**2).sum() * 100
    assert variance.item() == pytest.approx(9 + 2 * 4 * 6 - 16, rel=1e-4)
    assert charges.charge.sum().item() == pytest.approx(1 / _silicon.PAIR_ENERGY)


def test_blooming_runs_along_the_column_and_conserves_charge():
    start = PixelCharges(
        torch.tensor([0, 0, 1]),
        torch.tensor([20 * 64 + 30, 20 * 64 + 31, 5]),
        torch.tensor([730.0, 90.0, 50.0]),
    )
    after = bloom(start, torch.tensor([100.0, 100.0]), (64, 64))
    image = torch.zeros(64 * 64).index_add_(0, after.pixel, after.charge)
    image = image.reshape(64, 64)
    assert image.sum() == pytest.approx(870, rel=1e-6)
    assert image[20, 30] == 100
    assert image[20, 31] == 90
    assert image[0, 5] == 50
    assert image.max() <= 101
    rows = torch.nonzero(image[:, 30])[:, 0]
    assert rows.min() == 16
    assert rows.max() == 24


def test_event_ids_name_the_strongest_event():
    drawn = draw_cosmic_rays(
        (128, 128), [get_detector("LSST")] * 2, [Environment.l2()] * 2, 400.0,
        generator=generator(6),
    )  # fmt: skip
    number = len(drawn.events["frame"])
    assert drawn.event_id.max() == number
    assert torch.equal(drawn.event_id > 0, drawn.charge > 0)
    for frame in (0, 1):
        named = drawn.event_id[frame][drawn.event_id[frame] > 0] - 1
        assert torch.all(drawn.events["frame"][named] == frame)
    total = drawn.charge.double().sum()
    assert drawn.events["charge"].double().sum() == pytest.approx(
        total.item(), rel=1e-5
    )
    assert {len(column) for column in drawn.events.values()} == {number}


def test_each_event_is_connected():
    charge, event_id, _ = simulate_cosmic_rays(
        (256, 256), "LSST", get_environment("mountain"), 1500 * u.s, seed=2
    )
    hit = (charge.value > 1) & (
        event_id == np.bincount(event_id[event_id > 0]).argmax()
    )
    assert ndimage.label(hit, np.ones((3, 3)))[1] == 1


def test_same_seed_same_frame():
    request = ((64, 64), "STIS", "L2", 300 * u.s)
    first, again, other = (
        simulate_cosmic_rays(*request, seed=seed) for seed in (9, 9, 10)
    )
    np.testing.assert_array_equal(first[0].value, again[0].value)
    np.testing.assert_array_equal(first[1], again[1])
    assert not np.array_equal(first[0].value, other[0].value)
    given = simulate_cosmic_rays(*request, rng=generator(9))
    np.testing.assert_array_equal(first[0].value, given[0].value)


def test_global_generators_are_left_alone():
    before = torch.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002
    simulate_cosmic_rays((32, 32), "STIS", "L2", 300 * u.s)
    assert torch.equal(before[0], torch.get_rng_state())
    assert np.array_equal(before[1], np.random.get_state()[1])  # noqa: NPY002


@pytest.mark.parametrize("environment", list_environments())
@pytest.mark.parametrize("detector", list_detectors())
def test_every_combination_runs(detector, environment):
    charge, event_id, events = simulate_cosmic_rays(
        (48, 40), detector, environment, 100 * u.s, seed=3
    )
    assert charge.shape == event_id.shape == (48, 40)
    assert np.all(np.isfinite(charge.value))
    assert np.all(charge.value >= 0)
    assert events.colnames == [
        "kind", "energy", "row", "column", "polar", "azimuth", "length", "charge",
        "pixels",
    ]  # fmt: skip


@pytest.mark.parametrize("seconds", [0.0, 1e-9])
def test_frames_without_events(seconds):
    charge, event_id, events = simulate_cosmic_rays(
        (16, 16), "LSST", "sea level", seconds * u.s, seed=1
    )
    assert charge.sum() == 0 * u.electron
    assert event_id.max() == 0
    assert len(events) == 0


def test_frames_of_a_batch_have_their_own_settings():
    quiet, loud = one_species("proton", 0.1 * RATE), one_species("proton", 10 * RATE)
    drawn = draw_cosmic_rays(
        (128, 128), [get_detector("STIS")] * 3, [quiet, loud, loud], [500, 500, 50],
        generator=generator(8), rate_factors=[1, 1, 0],
    )  # fmt: skip
    hit = (drawn.charge > 50).sum(dim=(1, 2))
    assert 0 < hit[0] < hit[1] / 20
    assert hit[2] == 0


def test_binning_adds_charge_into_fewer_pixels():
    environment = one_species("proton", 2 * RATE)
    full, binned = (
        simulate_cosmic_rays(
            shape, get_detector("STIS", binning=b), environment, 500 * u.s, seed=1
        )
        for shape, b in (((128, 128), 1), ((128, 64), (1, 2)))
    )
    assert len(full[2]) == pytest.approx(len(binned[2]), rel=0.15)
    assert np.mean(full[2]["pixels"]) > 1.2 * np.mean(binned[2]["pixels"])


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"shape": (0, 5)}, r"shape=\(0, 5\) must be two positive"),
        ({"shape": 5}, "shape=5 must be two positive"),
        ({"exposure_time": -1 * u.s}, "exposure_time=.*must be one time"),
        ({"exposure_time": 5}, "exposure_time=5 must be one time"),
        ({"exposure_time": np.nan * u.s}, "exposure_time=.*must be one time"),
        ({"detector": "eye"}, "no detector 'eye'"),
        ({"environment": "moon"}, "no environment 'moon'"),
    ],
)
def test_bad_requests(changes, match):
    request = {
        "shape": (8, 8),
        "detector": "LSST",
        "environment": "L2",
        "exposure_time": 1 * u.s,
    }
    with pytest.raises(ValueError, match=match):
        simulate_cosmic_rays(**{**request, **changes})


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"detectors": []}, "0 detectors and 2 environments"),
        ({"exposure_times": [1.0]}, "exposure_times has shape"),
        ({"exposure_times": -1.0}, "exposure_times=-1.0 must be finite"),
        ({"exposure_times": 3 * u.m}, "must be seconds, or times such as 60"),
        ({"rate_factors": [1.0, np.inf]}, "rate_factors=.*must be finite"),
    ],
)
def test_bad_batches(changes, match):
    request = {
        "detectors": [Detector("x")] * 2,
        "environments": [Environment.l2()] * 2,
        "exposure_times": 1.0,
    }
    with pytest.raises(ValueError, match=match):
        draw_cosmic_rays((8, 8), **{**request, **changes}, generator=generator())


def test_events_are_where_and_as_the_table_says():
    detector = get_detector("DECam")
    _, event_id, events = simulate_cosmic_rays(
        (96, 256), detector, one_species("proton", RATE), 900 * u.s, seed=4
    )
    off, turned = [], []
    for number, event in enumerate(events, 1):
        y, x = np.nonzero(event_id == number)
        if y.size < 12 or not (y.min() > 0 and y.max() < 95):
            continue
        reach = event["length"] * np.sin(event["polar"]) / detector.pixel_size
        off.append(np.hypot(y - event["row"], x - event["column"]).min())
        if reach.decompose() > 8:
            along = np.linalg.eigh(np.cov(x, y))[1][:, -1]
            angle = np.arctan2(along[1], along[0]) - event["azimuth"].to_value("rad")
            turned.append(abs(np.sin(angle)))
    assert len(off) > 20 < len(turned)
    assert np.median(off) < 2
    assert np.median(turned) < np.sin(np.radians(10))


@pytest.mark.parametrize("times", [600.0, 10 * u.min, [10 * u.min], [600] * u.s])
def test_exposure_times_have_units(times):
    detectors, environments = [Detector("x")], [Environment.l2()]
    given = (64, 64), detectors, environments
    expected = draw_cosmic_rays(*given, 600.0, generator=generator())
    found = draw_cosmic_rays(*given, times, generator=generator())
    assert found.charge.sum() > 0
    assert torch.equal(found.charge, expected.charge)


def test_sources_of_randomness():
    request = (32, 32), "LSST", "L2", 100 * u.s
    one, other = (simulate_cosmic_rays(*request, seed=s)[0] for s in (3, np.int64(3)))
    assert np.array_equal(one, other)
    with pytest.raises(ValueError, match="seed and rng exclude each other"):
        simulate_cosmic_rays(*request, seed=1, rng=generator())
    with pytest.raises(TypeError, match=r"one of torch is needed, such as torch\.Gen"):
        simulate_cosmic_rays(*request, rng=np.random.default_rng(1))


@pytest.mark.skipif(not REAL.exists(), reason="the shared real stamps are absent")
def test_sizes_and_charges_are_those_of_real_cosmic_rays():
    """A coarse guard; benchmarks/simulated_vs_real_cosmic_rays.py looks closer."""
    real = [s[s > 40] for s in read_stamps(REAL / "hst_stis_cr.npz")[::8]]
    real = np.array([(len(s), s.sum()) for s in real if s.sum() > 300])
    charge, event_id, _ = simulate_cosmic_rays(
        (512, 512), get_detector("STIS", binning=(1, 2)), "low Earth orbit",
        500 * u.s, seed=1,
    )  # fmt: skip
    above = np.where(charge.value > 40, charge.value, 0)
    numbers = np.arange(1, event_id.max() + 1)
    made = np.stack(
        [
            ndimage.sum_labels(values, event_id, numbers)
            for values in (above > 0, above)
        ],
        axis=1,
    )
    made = made[made[:, 1] > 300]
    for quantile in (0.25, 0.5, 0.75):
        a, b = (np.quantile(table, quantile, axis=0) for table in (real, made))
        assert abs(a[0] - b[0]) <= 1
        assert b[1] == pytest.approx(a[1], rel=0.25)
