from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

import edgefuse
from edgefuse.bench.peer import Peer, Port, prepare
from edgefuse.errors import ModelError
from edgefuse.zoo import find
from tests.bench.onnx_files import identities

pytest.importorskip("onnxruntime")
FREE = (1, 3, "h", "w")


def peer(folder: Path, **inputs: tuple[str, Sequence[int | str]]) -> Peer:
    path = folder / "peer.onnx"
    path.write_bytes(identities(inputs))
    return Peer(path)


@pytest.mark.parametrize(
    ("kind", "shape"),
    [
        ("float", FREE),
        ("float", ("n", 1, "h", "w")),
        ("float", (1, 1, 64, 48)),
        ("float", (1, "h", "w", 3)),
        ("uint8", (1, 32, 40, 1)),
        ("uint8", (1, "h", "w", 3)),
        ("float16", (1, 3, 64, 64)),
    ],
)
def test_peers_of_any_layout_return_their_picture(
    tmp_path: Path, demo_pairs: list[edgefuse.FramePair], kind: str, shape: Sequence[int | str]
) -> None:
    pair = demo_pairs[0]
    made = peer(tmp_path, visible=(kind, shape), infrared=(kind, shape)).end_to_end(pair)
    visible = pair.visible.data
    assert (made.dtype, made.shape) == (np.uint8, visible.shape)
    # the visible frame, as far as the peer's size and channels allow
    assert np.abs(made.astype(int) - visible).mean() < (2 if "h" in shape else 12)


def test_inputs_are_assigned_by_name_else_by_order(tmp_path: Path) -> None:
    def order(*names: str) -> list[str]:
        return [p.name for p in peer(tmp_path, **dict.fromkeys(names, ("float", FREE))).ports]

    assert order("input_ir", "input_vis") == ["input_vis", "input_ir"]
    assert order("thermal", "x") == ["x", "thermal"]
    assert order("b", "rgb") == ["rgb", "b"]
    assert order("a", "b") == ["a", "b"]
    assert order("third", "second") == ["third", "second"], "'ir' inside a word says nothing"


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ({"x": ("float", FREE)}, r"has 1 input \(x\); a peer has two"),
        (dict.fromkeys("abc", ("float", FREE)), r"has 3 inputs \(a, b, c\); a peer has two"),
        (dict.fromkeys("ab", ("float", (1, 2, "h", "w"))), r"input a is tensor\(float\) of \(1, 2, 'h', 'w'\)"),
        (dict.fromkeys("ab", ("float", (3, "h", "w"))), "a peer's inputs are pictures"),
        (dict.fromkeys("ab", ("int64", FREE)), r"tensor\(int64\)"),
        (dict.fromkeys("ab", ("float", (2, 3, "h", "w"))), "a peer's inputs are pictures"),
        (dict.fromkeys("ab", ("float", (1, 3, 64, "w"))), "both sides must be free, or both fixed"),
    ],
)
def test_other_inputs_are_refused_in_one_line(tmp_path: Path, inputs: dict[str, tuple[str, Sequence[int | str]]], message: str) -> None:
    with pytest.raises(ModelError, match=message) as caught:
        peer(tmp_path, **inputs)
    assert "\n" not in str(caught.value)


def test_files_that_are_not_models(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="No such file"):
        Peer(tmp_path / "none.onnx")
    with pytest.raises(ModelError, match="Is a directory"):
        Peer(tmp_path)
    (tmp_path / "bad.onnx").write_bytes(b"not a model")
    with pytest.raises(ModelError, match="can't load this peer"):
        Peer(tmp_path / "bad.onnx")


def test_a_failing_peer_is_reported(tmp_path: Path, demo_pairs: list[edgefuse.FramePair]) -> None:
    made = peer(tmp_path, visible=("float", FREE), infrared=("float", FREE))
    with pytest.raises(ModelError, match="the peer fails on"):
        made.network({"visible": np.zeros((1, 3), np.float32), "infrared": np.zeros((1, 3), np.float32)})
    with pytest.raises(ModelError, match="expected one picture"):
        made._picture(np.zeros((1, 5, 4, 4), np.float32), demo_pairs[0])


def test_our_own_model_is_a_peer(demo_pairs: list[edgefuse.FramePair]) -> None:
    file = find("mobilefuse").file("onnx", "fp32")
    assert file is not None
    ours = edgefuse.load("mobilefuse", "onnx", "fp32", colour="keep").fuse(demo_pairs[0]).data
    theirs = Peer(file.path).end_to_end(demo_pairs[0])
    assert np.abs(ours.astype(int) - theirs).mean() < 3


def test_normalisation_is_imagenets_for_three_floats() -> None:
    white = np.full((4, 4, 3), 255, np.uint8)
    made = prepare(white, Port("x", "NCHW", 3, None, np.float32))
    assert made[0, :, 0, 0] == pytest.approx((1 - np.array([0.485, 0.456, 0.406])) / [0.229, 0.224, 0.225], rel=1e-5)
    assert prepare(white, Port("x", "NHWC", 1, (2, 2), np.float32)).tolist() == np.ones((1, 2, 2, 1)).tolist()
