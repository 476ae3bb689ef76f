# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""The plain U-Nets: how far they look, and what folding leaves of them."""

import pytest
import torch

from astro_deepcr.models import PlainUNet, build_model, fold, model_reach, reparametrize
from astro_deepcr.weights import get_weights

SMALL = [
    {"widths": (4, 6), "depths": 1, "stem": "full"},
    {"widths": (4, 6, 8), "depths": (1, 2, 1), "stem": "full"},
    {"widths": (4, 6), "depths": (1, 2), "stem": "unshuffle"},
    {"widths": (4, 6, 8), "depths": 1, "stem": "unshuffle", "detail": 3},
    {"widths": (5,), "depths": 3, "stem": "unshuffle", "detail": 2},
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
    ],
)
def test_bad_arguments(arguments, match):
    with pytest.raises(ValueError, match=match):
        build_model("plain-unet", arguments)
