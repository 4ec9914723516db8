from __future__ import annotations

import numpy as np
import pytest
import torch

from tools import graph
from tools.mobilefuse.network import DILATIONS, KINDS, Convolution, MobileFuse
from tools.mobilefuse.target_network import TargetNet


@pytest.mark.parametrize("kind", KINDS)
def test_about_33_thousand_parameters_once_folded(kind: str) -> None:
    g = graph.trace(graph.folded(MobileFuse(kind)))
    assert g.parameters == 33_665
    assert g.macs_per_pixel == 32_576
    assert {s["op"] for s in g.steps} == ({"conv", "max", "clip"} if "generative" in kind else {"conv", "max", "sigmoid", "blend"})


def test_the_output_is_the_blend_of_equation_1() -> None:
    torch.manual_seed(0)
    visible, infrared = torch.rand(2, 1, 1, 20, 31)
    fused, m = MobileFuse().eval()(visible, infrared)
    assert torch.allclose(fused, visible * m + infrared * (1 - m), atol=1e-6)
    assert 0 <= m.min() <= m.max() <= 1


def test_folding_changes_nothing() -> None:
    torch.manual_seed(0)
    network = MobileFuse()
    pair = torch.rand(2, 4, 1, 32, 32)
    for _ in range(3):
        network(*pair)
    before = network.eval()(*pair)[0]
    assert torch.allclose(graph.folded(network)(*pair)[0], before, atol=1e-5)


@pytest.mark.parametrize("dilation", sorted(set(DILATIONS)))
def test_the_fast_training_form_is_the_same_convolution(dilation: int) -> None:
    torch.manual_seed(0)
    conv = Convolution(8, 8, 3, 1, dilation, dilation, 8)
    x = torch.rand(2, 8, 24, 32)
    assert torch.allclose(conv.train()(x), conv.eval()(x), atol=1e-6)
    odd = torch.rand(2, 8, 23, 31)
    assert torch.allclose(conv.train()(odd), conv.eval()(odd), atol=1e-6)


def test_the_streams_are_two() -> None:
    torch.manual_seed(0)
    a, b = torch.rand(2, 4, 1, 16, 16)
    network = MobileFuse()  # in training mode: without statistics of its own an untrained network draws next to nothing
    assert not np.allclose(network(a, b)[1].detach(), network(b, a)[1].detach())


@pytest.mark.parametrize("size", [(8, 8), (24, 40), (120, 160)])
def test_the_target_network_gives_a_quarter_of_what_it_takes(size: tuple[int, int]) -> None:
    torch.manual_seed(0)
    evidence = TargetNet().eval()(*torch.rand(2, 1, 1, *size))
    assert evidence.shape == (1, 1, size[0] // 4, size[1] // 4)
    assert 0 <= evidence.min() <= evidence.max() <= 1


def test_the_target_network_once_folded() -> None:
    torch.manual_seed(0)
    network, pair = TargetNet(), torch.rand(2, 4, 1, 32, 48)
    for _ in range(3):
        network.logits(*pair)
    before = network.eval().logits(*pair)
    assert torch.allclose(graph.folded(network).logits(*pair), before, atol=1e-5)
    g = graph.trace(network)
    assert g.parameters == 3205
    assert g.macs_per_pixel == 14.3
    assert (g.reduction, g.output_reduction) == (4, 16)
    assert {s["op"] for s in g.steps} == {"centre", "concat", "conv", "widen", "clip"}
