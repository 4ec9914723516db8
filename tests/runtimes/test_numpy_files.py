"""The NumPy runtime with malicious model files."""

from __future__ import annotations

import io
import itertools
import pickle
import struct
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgefuse.errors import ModelError
from edgefuse.runtimes import convolution
from edgefuse.runtimes.numpy import NumpyRuntime
from edgefuse.util import compiled
from tests.runtimes.tiny import Array, Steps, arrays_for, card_for, conv_step, graph_of, npz, runtime_for


class Bomb:
    """Creates a file when unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.path,)


CLIP: Steps = [{"op": "clip", "in": ["x"], "out": "y"}]


def bare(array: Array) -> bytes:
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


def member(name: str, content: bytes, method: int = zipfile.ZIP_STORED) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", method) as archive:
        archive.writestr(name, content)
    return file.getvalue()


def header(shape: str) -> bytes:
    text = f"{{'descr': '|u1', 'fortran_order': False, 'shape': {shape}}}".ljust(117) + "\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text.encode()


def tampered(archive: bytes, local: int, central: int, value: int) -> bytes:
    """Return `archive`, which has one member, with a byte changed in both of the member's headers."""
    data = bytearray(archive)
    data[local] = data[data.index(b"PK\1\2") + central] = value
    return bytes(data)


def broken_stream(archive: bytes) -> bytes:
    name, extra = struct.unpack_from("<HH", archive, 26)
    begin = 30 + name + extra
    return archive[:begin] + b"\xff" * 4 + archive[begin + 4 :]


HOSTILE = {
    "garbage": b"garbage" * 100,
    "a lone array": bare(np.zeros(3)),
    "a truncated archive": npz(graph=graph_of(CLIP))[:-30],
    "a damaged array": npz(graph=graph_of(CLIP)).replace(b"clip", b"CLIP"),
    "no graph": npz(w=np.zeros(3)),
    "an unknown step": npz(graph=graph_of([{"op": "system", "in": ["x"], "out": "y"}])),
    "a private step": npz(graph=graph_of([{"op": "__class__", "in": ["x"], "out": "y"}])),
    "a step without a name": npz(graph=graph_of([{"in": ["x"], "out": "y"}])),
    "a step whose name is a list": npz(graph=graph_of([{"op": ["clip"]}])),
    "a graph that is a number": npz(graph=graph_of(5)),
    "a graph that is a text": npz(graph=graph_of("clip")),
    "a graph that is a table": npz(graph=graph_of({"op": "clip"})),
    "a graph that is no JSON": npz(graph=np.frombuffer(b"[{", np.uint8)),
    "a graph that is no text": npz(graph=np.full(9, 255, np.uint8)),
    "weights that are texts": npz(graph=graph_of(CLIP), w=np.array(["a", "b"])),
    "an array that is longer than its file": member("graph.npy", header("(10,)") + b"[]"),
}
# zipfile, zlib, json and numpy report these files by many different exceptions
MALFORMED = {
    "nothing": b"",
    "an empty array file": member("graph.npy", b""),
    "an archive whose method is unknown": tampered(member("graph.npy", b"x"), 8, 10, 99),
    "an encrypted array": tampered(member("graph.npy", b"x" * 20), 6, 8, 1),
    "a broken deflate stream": broken_stream(npz(np.savez_compressed, graph=np.zeros(300, np.uint8))),
    "an array of an exabyte": member("graph.npy", header("(1152921504606846976,)")),
    "JSON nested too deep": npz(graph=np.frombuffer(b"[" * 200_000, np.uint8)),
}


@pytest.mark.parametrize("data", HOSTILE.values(), ids=HOSTILE.keys())
def test_what_is_no_model_is_refused(tmp_path: Path, data: bytes) -> None:
    card = card_for(tmp_path, data)
    with pytest.raises(ModelError, match=r"/m\.npz: not a model for the numpy runtime \("):
        NumpyRuntime(card, card.files[0], 1)


@pytest.mark.parametrize("data", MALFORMED.values(), ids=MALFORMED.keys())
def test_what_is_no_model_is_refused_whatever_it_makes_zipfile_raise(tmp_path: Path, data: bytes) -> None:
    card = card_for(tmp_path, data)
    with pytest.raises(ModelError, match=r"/m\.npz: not a model for the numpy runtime \("):
        NumpyRuntime(card, card.files[0], 1)


@pytest.mark.parametrize("name", ["graph", "w"])
def test_a_pickle_is_not_opened(tmp_path: Path, name: str) -> None:
    trap = tmp_path / "sprung"
    bomb = np.empty(1, object)
    bomb[0] = Bomb(trap)
    data = npz(**{"graph": graph_of(CLIP), "w": np.zeros(1, np.float32), name: bomb})
    card = card_for(tmp_path / "m", data)
    with pytest.raises(ModelError, match=r"not a model for the numpy runtime \(ValueError: Object arrays cannot be loaded"):
        NumpyRuntime(card, card.files[0], 1)
    assert not trap.exists()
    pickle.loads(pickle.dumps(Bomb(trap)))
    assert trap.exists()


def test_a_bare_pickle_is_not_opened(tmp_path: Path) -> None:
    trap = tmp_path / "sprung"
    card = card_for(tmp_path / "m", pickle.dumps(Bomb(trap)))
    with pytest.raises(ModelError, match="not a model for the numpy runtime"):
        NumpyRuntime(card, card.files[0], 1)
    assert not trap.exists()


WEIGHTS = {"w": np.zeros((1, 1, 3, 3), np.float32), "b": np.zeros(1, np.float32)}
UNSOUND: dict[str, tuple[Steps, dict[str, Array]]] = {
    "a weight that is not there": ([conv_step(weight="nope")], WEIGHTS),
    "a convolution that names no weight": ([{"op": "conv", "in": ["x"], "out": "y"}], WEIGHTS),
    "a weight of two dimensions": ([conv_step()], WEIGHTS | {"w": np.zeros((3, 3), np.float32)}),
    "a bias of another length": ([conv_step()], WEIGHTS | {"b": np.zeros(2, np.float32)}),
    "a tensor that nobody made": ([{"op": "clip", "in": ["z"], "out": "y"}], {}),
    "a step without inputs": ([{"op": "clip", "out": "y"}], {}),
    "too many inputs for a step": ([{"op": "clip", "in": ["x", "x"], "out": "y"}], {}),
    "an output that nobody makes": ([{"op": "clip", "in": ["x"], "out": "z"}], {}),
    **{
        f"a {key} of {value}": ([conv_step(**{key: value})], WEIGHTS)
        for key in ("dilation", "stride", "groups")
        for value in (-1, 0, True, 1.0, 2**16, 2**31 - 1, 2**31, 2**32 - 5, 2**32 + 1, 2**63, 2**64 + 1, 10**30, None, [1])
        if (key, value) != ("groups", 1.0)
    },
    "groups of several channels": ([conv_step(groups=2)], {"w": np.zeros((2, 2, 3, 3), np.float32), "b": np.zeros(2, np.float32)}),
    "a kernel that reaches too far": ([conv_step(dilation=200)], WEIGHTS | {"w": np.zeros((1, 1, 5, 5), np.float32)}),
    "a weight without inputs": ([conv_step()], WEIGHTS | {"w": np.zeros((1, 0, 3, 3), np.float32)}),
    "too many steps": ([{"op": "clip", "in": ["x"], "out": "y"}] * 5000, {}),
    "an attention that is none": ([{"op": "attend", "in": ["x", "x"], "out": "y", "attention": "all", "contrast": 1.0}], {}),
    "a dilation that is no number": ([conv_step(dilation="2")], WEIGHTS),
    "a stride that is no number": ([conv_step(stride="2")], WEIGHTS),
    "a stride of nothing": ([conv_step(stride=0)], WEIGHTS),
    "one input for a concat": ([{"op": "concat", "in": ["x"], "out": "y"}], {}),
}


@pytest.mark.slow
def test_arrays_that_unpack_to_more_than_a_model_are_a_model_error(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"m\.npz"):
        runtime_for(tmp_path, [conv_step()], WEIGHTS | {"z": np.zeros(1 << 27, np.float32)})


@pytest.mark.parametrize(("steps", "arrays"), UNSOUND.values(), ids=UNSOUND.keys())
def test_a_graph_that_can_t_run_is_a_model_error(tmp_path: Path, steps: Steps, arrays: dict[str, Array]) -> None:
    with pytest.raises(ModelError, match=r"m\.npz"):
        runtime_for(tmp_path, steps, arrays).run({"x": np.zeros((1, 1, 4, 4), np.float32)})


@pytest.mark.parametrize("groups", [1, 2])
def test_a_weight_for_more_channels_than_there_are_is_a_model_error(tmp_path: Path, groups: int) -> None:
    arrays = arrays_for(np.random.default_rng(0), 2, 2, 3, depthwise=groups == 2)
    with pytest.raises(ModelError, match=r"m\.npz"):
        runtime_for(tmp_path, [conv_step(groups=groups)], arrays).run({"x": np.ones((1, 1, 4, 4), np.float32)})


def test_a_file_that_was_tampered_with_is_not_even_opened(tmp_path: Path) -> None:
    card = card_for(tmp_path, npz(graph=graph_of(CLIP)))
    (tmp_path / "m.npz").write_bytes(b"other")
    with pytest.raises(ModelError, match="sha256 is"):
        NumpyRuntime(card, card.files[0], 1)


@pytest.mark.parametrize("op", [pytest.param("enlarge", marks=pytest.mark.slow), "concat"])
def test_steps_that_grow_without_end_are_refused_when_run(tmp_path: Path, op: str) -> None:
    names = ["x", *(f"t{k}" for k in range(30)), "y"]
    steps = [{"op": op, "in": [a] * (2 if op == "concat" else 1), "out": b} for a, b in itertools.pairwise(names)]
    runtime = runtime_for(tmp_path, steps)
    with pytest.raises(ModelError, match="values, more than"):
        runtime.run({"x": np.zeros((1, 1, 64, 64), np.float32)})


def test_shapes_that_do_not_fit_are_told_when_run(tmp_path: Path) -> None:
    runtime = runtime_for(tmp_path, [{"op": "shuffle", "in": ["x"], "out": "y"}])
    with pytest.raises(ModelError, match="step 'y' can't be run"):
        runtime.run({"x": np.zeros((1, 1, 4, 4), np.float32)})


@pytest.mark.skipif(compiled.library() is None, reason="needs the compiled core")
def test_compiled_code_refuses_sizes_whose_products_overflow() -> None:
    weight, bias = np.zeros((1, 1, 3, 3), np.float32), np.zeros(1, np.float32)
    for dilation, stride in ((2**31 - 1, 1), (2**30, 1), (1, 2**31 - 1)):
        with pytest.raises(ValueError, match="too large"):
            convolution.CompiledConvolution(weight, bias, dilation, stride)(np.zeros((1, 8, 8), np.float32))
