"""The raw recording is lossless, damage to a file is reported, and no file harms the reader."""

from __future__ import annotations

import json
import struct
import tempfile
import tracemalloc
import zlib
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgefuse.errors import FrameError, OutputError, SourceError
from edgefuse.frames import Frame, FramePair, Modality, Radiometry
from edgefuse.sources import rawfile
from edgefuse.sources.rawfile import MAGIC, RawReader, RawWriter

MISSING = st.sampled_from([None, "visible", "infrared"])


def same(a: FramePair, b: FramePair) -> bool:
    def alike(x: Frame, y: Frame) -> bool:
        facts = [(f.modality, f.time_ns, f.name, f.radiometry, f.data.dtype, f.data.shape, f.data.tobytes()) for f in (x, y)]
        return facts[0] == facts[1]

    return alike(a.visible, b.visible) and alike(a.infrared, b.infrared) and (a.index, a.missing) == (b.index, b.missing)


def record(path: Path, pairs: list[FramePair], pack: bool = True) -> bytes:
    writer = RawWriter(path, {"fps": 9.0})
    for pair in pairs:
        writer.write(pair, pack)
    writer.close()
    assert writer.bytes_written == path.stat().st_size
    return path.read_bytes()


def replay(path: Path) -> tuple[list[FramePair], list[FrameError]]:
    reader, pairs, errors = RawReader(path), [], []
    for _ in range(1000):
        try:
            pair = reader.read()
        except FrameError as e:
            errors.append(e)
            continue
        if pair is None:
            break
        pairs.append(pair)
    assert reader.read() is None
    reader.close()
    return pairs, errors


def some_pairs(count: int = 4) -> list[FramePair]:
    rng = np.random.default_rng(0)
    law = Radiometry("lepton", 0.01, -273.15)
    return [
        FramePair(
            Frame(rng.integers(0, 256, (6, 8, 3)).astype(np.uint8), "visible", k * 10**8, f"v{k}"),
            Frame(rng.integers(29000, 29500, (3, 4)).astype(np.uint16), "infrared", k * 10**8 + 5, f"i{k}", law),
            k,
        )
        for k in range(count)
    ]


@st.composite
def frames(draw: st.DrawFn, modality: Modality) -> Frame:
    shape = (draw(st.integers(1, 12)), draw(st.integers(1, 12)), *draw(st.sampled_from([(), (3,)])))
    dtype = draw(st.sampled_from([np.uint8, np.uint16]))
    top = np.iinfo(dtype).max
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    low = draw(st.integers(0, top))
    data = rng.integers(low, min(top, low + draw(st.sampled_from([0, 3, 300, 65535]))) + 1, shape).astype(dtype)
    law = draw(
        st.none()
        | st.builds(
            Radiometry,
            st.text(max_size=9),
            st.none() | st.floats(-1e6, 1e6),
            st.floats(-1e6, 1e6),
            st.sampled_from(["normal", "calibrating", "frozen"]),
        )
    )
    name = draw(st.text(st.characters(blacklist_characters="\0"), max_size=20))
    return Frame(data, modality, draw(st.integers(-(2**60), 2**60)), name, law)


@settings(max_examples=50)
@given(st.lists(st.tuples(frames("visible"), frames("infrared"), st.integers(0, 2**40), MISSING), max_size=4), st.booleans())
def test_what_goes_in_comes_out(parts: list[Any], pack: bool) -> None:
    pairs = [FramePair(*p) for p in parts]
    with tempfile.TemporaryDirectory() as folder:
        record(Path(folder) / "a.efr", pairs, pack)
        back, errors = replay(Path(folder) / "a.efr")
        with closing(RawReader(Path(folder) / "a.efr")) as reader:
            assert reader.pairs == len(pairs)
    assert not errors
    assert len(back) == len(pairs)
    assert all(map(same, pairs, back))


def test_arrays_that_are_views(tmp_path: Path) -> None:
    whole = np.arange(400, dtype=np.uint16).reshape(20, 20)
    pair = FramePair(Frame(whole[::-1, ::2], "visible", 0, "v"), Frame(whole.T[3:9], "infrared", 0, "i"), 0)
    record(tmp_path / "a.efr", [pair])
    assert same(replay(tmp_path / "a.efr")[0][0], pair)


def test_a_held_frame_is_stored_once_and_comes_back_as_one(tmp_path: Path) -> None:
    first, second = some_pairs(2)
    held = FramePair(second.visible, first.infrared, 1)
    once = len(record(tmp_path / "once.efr", [first, held]))
    twice = len(record(tmp_path / "twice.efr", [first, second]))
    assert once < twice - first.infrared.data.nbytes // 2
    back, _ = replay(tmp_path / "once.efr")
    assert back[0].infrared is back[1].infrared
    assert same(back[1], held)


def test_real_frames_shrink(tmp_path: Path, demo_pairs: list[FramePair]) -> None:
    ramp = np.add.outer(np.arange(120), np.arange(160)) * 3 + 29000 + np.random.default_rng(1).normal(0, 4, (120, 160))
    pair = FramePair(demo_pairs[0].visible, Frame(ramp.astype(np.uint16), "infrared", 0, "i"), 0)
    packed, plain = (len(record(tmp_path / "a.efr", [pair], pack)) for pack in (True, False))
    assert packed < 0.75 * plain


def test_a_file_cut_anywhere_plays_up_to_the_last_whole_pair_and_says_so(tmp_path: Path) -> None:
    pairs = some_pairs(3)
    data = record(tmp_path / "a.efr", pairs)
    ends = [at + 4 + 4 + struct.unpack_from("<I", data, at - 4)[0] for at in range(len(data)) if data[at : at + 4] == b"PAIR"]
    cut = tmp_path / "cut.efr"
    head = data.index(b"FRAM") - 4
    for length in sorted({*range(0, len(data), 13), *(end + off for end in ends[:-1] for off in (-1, 0, 1, 7, 8, 9)), len(data) - 1}):
        cut.write_bytes(data[:length])
        if length < head:
            with pytest.raises(SourceError, match=r"cut.efr: expected a file made by --record-raw, but it"):
                RawReader(cut)
            continue
        back, errors = replay(cut)
        assert len(back) == sum(end <= length for end in ends)
        assert all(map(same, pairs, back))
        assert [e.cause for e in errors] == ["ended"]
        assert f"it plays up to pair {len(back)}" in str(errors[0])


def test_a_flipped_bit_costs_a_pair_and_is_named(tmp_path: Path) -> None:
    pairs = some_pairs(4)
    data = bytearray(record(tmp_path / "a.efr", pairs))
    at = data.index(b"i1")  # the infrared frame of the second pair
    data[at] ^= 1
    (tmp_path / "a.efr").write_bytes(data)
    back, errors = replay(tmp_path / "a.efr")
    assert [p.index for p in back] == [0, 2, 3]
    assert [(e.cause, e.name) for e in errors] == [("unreadable", "a_000001")]


@settings(max_examples=100)
@given(st.data())
def test_bytes_changed_anywhere_never_break_the_reader(data: st.DataObject) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a.efr"
        pairs = some_pairs(3)
        raw = bytearray(record(path, pairs))
        for _ in range(data.draw(st.integers(1, 4))):
            at = data.draw(st.integers(0, len(raw) - 1))
            raw[at : at + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=5))
        path.write_bytes(raw)
        try:
            back, _ = replay(path)
        except SourceError:
            return
        # frames that can be read are unchanged
        assert all(any(same(b, p) for p in pairs) for b in back)


def chunk(kind: bytes, payload: bytes) -> bytes:
    return struct.pack("<I", len(payload)) + kind + payload + struct.pack("<I", zlib.crc32(kind + payload))


def hostile(**header: Any) -> bytes:
    """Return a frame with a correct checksum and a wrong header."""
    body = header.pop("body", bytes(24))
    good = {"modality": "visible", "time_ns": 0, "name": "n", "width": 4, "height": 3, "channels": 1, "bits": 16}
    text = json.dumps(good | {"packing": "none", "radiometry": None} | header).encode()
    return struct.pack("<I", len(text)) + text + body


BOMB = zlib.compress(bytes(1 << 27), 9)[2:-4]
LIES: dict[str, bytes] = {
    "short": b"ab",
    "header past its end": struct.pack("<I", 2**32 - 1) + b"{}",
    "no JSON": struct.pack("<I", 3) + b"{x}" + bytes(24),
    "deep JSON": struct.pack("<I", 60000) + b"[" * 60000,
    "a list": struct.pack("<I", 2) + b"[]",
    "huge": hostile(width=16384, height=16384, channels=3),
    "more than there is": hostile(width=5),
    "less than there is": hostile(width=3),
    "negative": hostile(width=-4, height=-3),
    "no pixels": hostile(width=0),
    "float": hostile(width=4.0),
    "bool": hostile(width=True),
    "text": hostile(width="4"),
    "12 bits": hostile(bits=12),
    "two channels": hostile(channels=2),
    "modality": hostile(modality="sonar"),
    "modality list": hostile(modality=["visible"]),
    "packing": hostile(packing="rar"),
    "packing dict": hostile(packing={}),
    "NUL": hostile(name="a\0b"),
    "name": hostile(name=5),
    "time": hostile(time_ns=2**63),
    "law": hostile(radiometry={"sensor": "x", "scale": float("nan"), "offset": 0, "state": "normal"}),
    "law type": hostile(radiometry={"sensor": "x", "scale": "1", "offset": 0, "state": "normal"}),
    "law state": hostile(radiometry={"sensor": "x", "scale": 1, "offset": 0, "state": []}),
    "law huge": hostile(radiometry={"sensor": "x", "scale": 10**400, "offset": 0, "state": "normal"}),
    "law keys": hostile(radiometry={"sensor": "x"}),
    "no deflate": hostile(packing="gradient"),
    "bomb": hostile(packing="gradient", body=BOMB),
}


@pytest.mark.parametrize("lie", LIES)
def test_a_lying_frame_is_not_believed_and_the_rest_plays(tmp_path: Path, lie: str) -> None:
    (good,) = some_pairs(1)
    data = record(tmp_path / "a.efr", [good])
    at = data.index(b"FRAM") - 4
    bad = chunk(b"FRAM", LIES[lie]) + chunk(b"PAIR", b'{"index":9}')
    (tmp_path / "a.efr").write_bytes(data[:at] + bad + data[at:])
    tracemalloc.start()
    back, errors = replay(tmp_path / "a.efr")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert [e.cause for e in errors] == ["unreadable"]
    assert len(back) == 1
    assert same(back[0], good)
    assert peak < 3_000_000


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "is another kind of file"),
        (b"RIFF" * 10, "is another kind of file"),
        (MAGIC, "has no complete HEAD chunk"),
        (MAGIC + b"\xff\xff\xff\xffHEAD", "breaks off"),
        (MAGIC + b"\xff\xff\xff\x0fHEAD" + bytes(100), "is damaged"),
        (MAGIC + chunk(b"HEAD", b"{}"), "has version None, this EdgeFuse reads 1"),
        (MAGIC + chunk(b"HEAD", b'{"version":2}'), "has version 2, this EdgeFuse reads 1"),
        (MAGIC + chunk(b"HEAD", b"[" * 99999), "has a header that is not JSON"),
        (MAGIC + chunk(b"PAIR", b"{}"), "has no complete HEAD chunk"),
        (MAGIC + chunk(b"HEAD", b'{"version":1}')[:-1] + b"!", "has no complete HEAD chunk"),
        (MAGIC + chunk(b"HEAD", b'{"version":1}') + chunk(b"TAIL", b'{"pairs":-1}'), "has a wrong pairs"),
    ],
)
def test_what_is_no_recording_is_said_in_a_line(tmp_path: Path, data: bytes, words: str) -> None:
    (tmp_path / "a.efr").write_bytes(data)
    with pytest.raises(SourceError, match=words):
        RawReader(tmp_path / "a.efr")


def test_a_kind_of_chunk_we_do_not_know_is_passed_over(tmp_path: Path) -> None:
    pairs = some_pairs(2)
    data = record(tmp_path / "a.efr", pairs)
    at = data.index(b"FRAM") - 4
    (tmp_path / "a.efr").write_bytes(data[:at] + chunk(b"NOTE", b"later") + data[at:])
    assert len(replay(tmp_path / "a.efr")[0]) == 2


def test_a_full_disk_leaves_whole_chunks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pairs = some_pairs(3)
    writer = RawWriter(tmp_path / "a.efr", {})
    writer.write(pairs[0])
    inner = writer._file

    class Full:
        def write(self, data: memoryview) -> int:
            if len(data) > 30:
                return inner.write(data[:30])
            raise OSError(28, "No space left on device")

        def __getattr__(self, name: str) -> Any:
            return getattr(inner, name)

    monkeypatch.setattr(writer, "_file", Full())
    with pytest.raises(OutputError, match="the disk is full"):
        writer.write(pairs[1])
    writer.close()
    back, errors = replay(tmp_path / "a.efr")
    assert len(back) == 1
    assert [e.cause for e in errors] == ["ended"]


def test_limits_fit_together() -> None:
    # the reader accepts the chunk of the largest frame
    assert rawfile._CHUNK >= rawfile.LARGEST + rawfile._HEADER + 4
