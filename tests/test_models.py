# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""The plain U-Nets: how far they look, and what folding leaves of them."""

import copy

import pytest
import torch

from astro_deepcr.devices import cpu_has_int8
from astro_deepcr.models import (
    DeepCRUNet,
    FillUNet,
    PlainUNet,
    build_model,
    enlarge,
    fold,
    model_reach,
    reparametrize,
)
from astro_deepcr.models.int8 import can_quantize, quantize
from astro_deepcr.weights import get_weights

SMALL = [
    {"widths": (4, 6), "depths": 1, "stem": "full"},
    {"widths": (4, 6, 8), "depths": (1, 2, 1), "stem": "full"},
    {"widths": (4, 6), "depths": (1, 2), "stem": "unshuffle"},
    {"widths": (4, 6, 8), "depths": 1, "stem": "unshuffle", "detail": 3},
    {"widths": (5,), "depths": 3, "stem": "unshuffle", "detail": 2},
    {"widths": (4, 6), "depths": 1, "stem": "full", "stretches": 2},
]


def random_network(arguments, seed=0):
    """Return a network none of whose parameters is zero."""
    torch.manual_seed(seed)  # of the test process alone: networks start from it
    network = PlainUNet(**arguments)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.1 * torch.randn(parameter.shape))
    return network


@pytest.mark.parametrize("arguments", SMALL)
def test_halo_is_what_the_network_reaches(arguments):
    halo, stride = PlainUNet.reach(**arguments)
    network = random_network(arguments).double()
    # Rectifiers hide part of the reach: without them everything arrives.
    for layer in network.modules():
        if isinstance(layer, torch.nn.Conv2d):
            layer.weight.data.abs_()
            layer.bias.data.zero_()
    x = torch.rand(1, 1, 128, 128, dtype=torch.double)
    middle, reach = 64, 0
    for offset in range(stride):
        y = x.clone()
        y[..., middle + offset, middle + offset] += 1000
        with torch.inference_mode():
            changed = (network(x) != network(y))[0, 0].nonzero()
        reach = max(reach, int((changed - middle - offset).abs().max()))
    assert halo - stride < reach <= halo


@pytest.mark.parametrize("arguments", SMALL)
@pytest.mark.parametrize(
    "inside",
    [
        (slice(0, 48), slice(0, 64)),
        (slice(8, 40), slice(16, 48)),
        (slice(0, 7), slice(61, 64)),
        (slice(23, 24), slice(33, 50)),
    ],
)
def test_inside_is_what_the_whole_network_gives(arguments, inside):
    networks = [
        random_network(arguments),
        DeepCRUNet(hidden=3, levels=len(arguments["widths"])),
    ]
    for network in networks:
        x = torch.randn(2, 1, 48, 64, dtype=torch.double)
        with torch.inference_mode():
            whole, part = network.double()(x), network(x, inside)
        assert torch.allclose(part, whole[(..., *inside)], rtol=0, atol=1e-9)


@pytest.mark.parametrize("levels", [1, 2, 3])
def test_reach_of_the_deepcr_unet(levels):
    arguments = {"in_channels": 1, "hidden": 2, "levels": levels}
    assert model_reach("deepcr-unet", arguments)[1] == 2 ** (levels - 1)
    entry = get_weights("acs-wfc")
    reach = model_reach(entry.architecture, entry.arguments)
    assert reach == (entry.halo, entry.stride)


@pytest.mark.parametrize("arguments", SMALL)
def test_folded_is_the_same(arguments):
    network = reparametrize(random_network(arguments))
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.05 * torch.randn(parameter.shape))
    plain = PlainUNet(**arguments)
    plain.load_state_dict(fold(network))
    x = torch.randn(2, 1, 48, 32)
    with torch.inference_mode():
        expected = network(x)
        assert (plain(x) - expected).abs().max() <= 1e-5 * expected.abs().max()


def test_reparametrizing_changes_nothing():
    network = random_network(SMALL[1])
    x = torch.randn(1, 1, 32, 32)
    before = network(x)
    after = reparametrize(network)(x)
    assert torch.allclose(before, after, atol=1e-5)
    assert not torch.equal(before, torch.zeros_like(before))


@pytest.mark.parametrize("widths", [(4, 6), (5, 9), (4, 6, 8), (6, 7, 9, 5)])
def test_enlarged_is_the_same(widths):
    """Until it is trained; and then new channels and new levels are used."""
    same = {"depths": 2, "stem": "full", "stretches": 2}
    small = random_network(same | {"widths": (4, 6)})
    large = enlarge(small.state_dict(), PlainUNet(widths=widths, **same))
    x = torch.randn(1, 1, 32, 32)
    y = large(x)
    assert torch.allclose(small(x), y, atol=1e-5)
    for _ in range(3):  # a way down gets there only once its way up does
        large.zero_grad()
        large(x).square().sum().backward()
        with torch.no_grad():
            for parameter in large.parameters():
                parameter.sub_(1e-3 * parameter.grad.sign())
    assert all(parameter.grad.any() for parameter in large.parameters())


@pytest.mark.parametrize(
    "arguments", [{"widths": (4,)}, {"widths": (3, 6)}, {"widths": (4, 6), "depths": 1}]
)
def test_enlarging_needs_more_of_the_same(arguments):
    small = PlainUNet(widths=(4, 6), depths=2)
    with pytest.raises(ValueError, match="must be the same but for"):
        enlarge(small.state_dict(), PlainUNet(**arguments))


def test_starts_from_few_cosmic_rays():
    """Training starts from about the right number, not from half of all pixels."""
    torch.manual_seed(1)
    for arguments in SMALL:
        with torch.inference_mode():
            probability = PlainUNet(**arguments)(torch.randn(1, 1, 64, 64)).sigmoid()
        assert 1e-4 < probability.mean() < 0.1


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        ({"widths": ()}, "one for each level"),
        ({"widths": (8, 16), "depths": (1,)}, r"widths=\(8, 16\) and depths=\(1,\)"),
        ({"stem": "half"}, "stem='half' is not known; choose one of full, unshuffle"),
        ({"stem": "full", "detail": 4}, "goes with the stem 'unshuffle' only"),
        ({"stretches": 3}, "stretches=3 must be 1 or 2"),
    ],
)
def test_bad_arguments(arguments, match):
    with pytest.raises(ValueError, match=match):
        build_model("plain-unet", arguments)


def test_bright_pixels_keep_their_digits_in_bfloat16():
    """The first layers see what bfloat16 rounds away: 1 % of a bright pixel."""
    torch.manual_seed(0)
    network = PlainUNet(widths=(4, 6), depths=1, stem="full", stretches=2)
    network.to_precision(torch.bfloat16)
    x = torch.full((1, 1, 32, 32), 9.0)
    y = x.clone()
    y[..., 16, 16] += 0.01
    assert torch.equal(x.bfloat16(), y.bfloat16())
    first = network.down[0][0]
    with torch.inference_mode():
        assert network(y).dtype == torch.bfloat16
        images = [torch.cat([z, 2 * torch.sinh(z / 2)], dim=1) for z in (x, y)]
        assert not torch.equal(*(first(z).bfloat16() for z in images))


class TestFillUNet:
    ARGUMENTS = {"widths": (4, 6), "depths": 1, "detail": 3}

    def random(self):
        torch.manual_seed(3)
        network = FillUNet(**self.ARGUMENTS)
        with torch.no_grad():
            for parameter in network.parameters():
                parameter.add_(0.1 * torch.randn(parameter.shape))
        return network.eval()

    def test_starts_from_the_mean_of_good_neighbours(self):
        x = torch.zeros(1, 2, 64, 64)
        x[:, 0] = 3.0
        x[:, 1, 20:28, 30:50] = 1
        x[:, 0][x[:, 1] > 0] = 1e3  # never looked at
        with torch.inference_mode():
            light, log_std = FillUNet(**self.ARGUMENTS)(x)[0]
        assert torch.allclose(light, torch.tensor(3.0), atol=1e-4)
        assert torch.isfinite(log_std).all()

    def test_inside_is_what_the_whole_network_gives(self):
        network, inside = self.random(), (slice(9, 30), slice(40, 64))
        x = torch.rand(1, 2, 48, 64)
        x[:, 1] = (x[:, 1] > 0.8).float()
        with torch.inference_mode():
            whole, part = network(x), network(x, inside)
        assert torch.allclose(part, whole[(..., *inside)], rtol=0, atol=1e-5)

    def test_what_is_masked_does_not_matter(self):
        network = self.random()
        x = torch.rand(1, 2, 48, 48)
        x[:, 1] = (x[:, 1] > 0.8).float()
        y = x.clone()
        y[:, 0] += 5 * x[:, 1]
        with torch.inference_mode():
            assert torch.equal(network(x), network(y))
            everything = network(torch.ones(1, 2, 48, 48))
        assert torch.isfinite(everything).all()

    def test_halo(self):
        network = self.random()
        halo, stride = FillUNet.reach(**self.ARGUMENTS)
        x = torch.rand(1, 2, 160, 160)
        x[:, 1] = 1.0  # far means count most where nothing is near
        x[:, 1, ::5, ::5] = 0.0
        middle = 80
        for offset in range(0, stride, 3):
            y = x.clone()
            y[:, 1, middle + offset - 2 : middle + offset + 2, middle + offset] = 0
            with torch.inference_mode():
                changed = (network(x) != network(y)).any(dim=1)[0].nonzero()
            assert len(changed)
            assert int((changed - middle - offset).abs().max()) <= halo + 2

    def test_enlarged_is_the_same(self):
        small = self.random()
        large = FillUNet(**self.ARGUMENTS | {"widths": (5, 6, 8)})
        enlarge(small.state_dict(), large)
        x = torch.rand(1, 2, 48, 48)
        x[:, 1] = (x[:, 1] > 0.8).float()
        with torch.inference_mode():
            assert torch.allclose(small(x), large(x), atol=1e-5)

    def test_bad_arguments(self):
        with pytest.raises(ValueError, match="in_channels=1 must be 2"):
            FillUNet(in_channels=1)


class TestInt8:
    @pytest.fixture(autouse=True)
    def able(self):
        if not cpu_has_int8():
            pytest.skip("needs a processor with AVX2")

    def networks(self, kind, **arguments):
        """Return a random network, in float32 and in int8, and an input."""
        torch.manual_seed(5)
        network = kind(**arguments).eval().requires_grad_(False)
        network.to(memory_format=torch.channels_last)
        for parameter in network.parameters():
            parameter.add_(0.05 * torch.randn(parameter.shape))
        x = 3 * torch.randn(2, 1, 96, 64)
        if kind is FillUNet:
            x = torch.cat([x, (x > 5).float()], dim=1)
        return network, quantize(copy.deepcopy(network), x), x

    @pytest.mark.parametrize(
        ("kind", "arguments"),
        [
            (PlainUNet, {"widths": (8, 16, 24), "stem": "full", "stretches": 2}),
            (PlainUNet, {"widths": (8, 12), "stem": "unshuffle", "depths": 1}),
            (PlainUNet, {"widths": (8, 16), "stem": "unshuffle", "detail": 4}),
            (FillUNet, {"widths": (8, 16), "detail": 8}),
        ],
    )
    def test_nearly_the_same(self, kind, arguments):
        network, short, x = self.networks(kind, **arguments)
        with torch.inference_mode():
            exact, quick = network(x), short(x)
            part = short(x, (slice(32, 64), slice(16, 48)))
        error = (quick - exact).abs() / exact.std()
        for place in (error, error[..., 0], error[..., -1, :]):  # also at the edges
            assert 0 < place.mean() < 0.15
        assert torch.allclose(part, quick[..., 32:64, 16:48], atol=1e-5)

    def test_larger_values_than_in_the_example(self):
        network, short, x = self.networks(PlainUNet, widths=(8, 16), stem="full")
        x[..., 40, 40] = 1e4
        with torch.inference_mode():
            exact, quick = network(x), short(x)
        assert torch.isfinite(quick).all()
        near = torch.zeros_like(x, dtype=bool)
        near[..., 25:56, 25:56] = True
        error = (quick - exact)[~near].abs().mean() / exact[~near].std()
        assert error < 0.1

    def test_which_networks(self):
        assert can_quantize(PlainUNet)
        assert can_quantize(FillUNet)
        assert not can_quantize(DeepCRUNet)
