"""Tests of fragmented MP4 that is truncated or damaged at any place."""

from __future__ import annotations

import contextlib
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgefuse.errors import EdgeFuseError
from edgefuse.recording.fragments import Splitter, fragment, playable_part
from tests.ffmpeg.pictures import needs_ffmpeg, numbers, times_s
from tests.recording.conftest import Stream

pytestmark = needs_ffmpeg


def test_ffmpeg_writes_no_index(stream: Stream) -> None:
    # an index would take 45 bytes per fragment, 8 MB a day of memory, for a table that no file uses
    assert b"mfra" not in stream.data


def test_fragments_are_short_complete_and_consecutive(stream: Stream) -> None:
    fragments = stream.fragments
    assert sum(f.frames for f in fragments) == 60
    assert fragments[0].key
    assert all(a.end == b.start for a, b in pairwise(fragments))
    # at 8.7 Hz half a second is reached at the end of the fifth frame
    assert max(f.seconds for f in fragments) <= 0.5 + 1 / 8.7 + 1e-3
    keys = [f.start / 60000 for f in fragments if f.key]
    assert len(keys) == 7
    assert all(b - a <= 1 + 2 / 8.7 for a, b in pairwise(keys))


@given(st.lists(st.integers(1, 4000), min_size=1, max_size=40))
def test_input_chunks_of_any_size_give_the_same_fragments(stream: Stream, sizes: list[int]) -> None:
    splitter, fragments, at = Splitter(), [], 0
    for size in sizes * (len(stream.data) // sum(sizes) + 1):
        fragments += splitter.feed(stream.data[at : at + size])
        at += size
    assert (splitter.header, fragments) == (stream.header, stream.fragments)


def test_any_run_from_a_key_frame_plays_from_time_zero(stream: Stream, tmp_path: Path) -> None:
    fragments = stream.fragments
    first = next(n for n, f in enumerate(fragments) if n and f.key)
    path = tmp_path / "part.mp4"
    path.write_bytes(stream.header + b"".join(f.shifted(fragments[first].start) for f in fragments[first:-1]))
    before = sum(f.frames for f in fragments[:first])
    expected = list(range(before, 60 - fragments[-1].frames))
    assert numbers(path) == expected
    wanted = [(stream.times_ns[k] - stream.times_ns[before]) / 1e9 for k in expected]
    assert times_s(path) == pytest.approx(wanted, abs=1 / 60000 + 1e-6)


def test_a_truncated_file_plays_to_its_last_complete_fragment(stream: Stream, tmp_path: Path) -> None:
    path = tmp_path / "cut.mp4"
    ends, at, frames = [], len(stream.header), 0
    for f in stream.fragments:
        at, frames = at + len(f.data), frames + f.frames
        ends.append((at, frames))
    for cut in range(0, len(stream.data), 211):
        path.write_bytes(stream.data[:cut])
        good = max([(a, n) for a, n in ends if a <= cut], default=(0, 0))
        part = playable_part(path)
        assert (part.nbytes, part.frames) == good
    path.write_bytes(stream.data[: ends[3][0] + 100])
    path.write_bytes(path.read_bytes()[: playable_part(path).nbytes])
    assert numbers(path) == list(range(ends[3][1]))


@given(st.data())
def test_damaged_files_raise_no_unexpected_error(stream: Stream, tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    spoiled = bytearray(stream.data[: data.draw(st.integers(0, 12000))])
    for at, value in data.draw(st.lists(st.tuples(st.integers(0, 12000), st.integers(0, 255)), max_size=20)):
        if at < len(spoiled):
            spoiled[at] = value
    path = tmp_path_factory.getbasetemp() / "spoiled.mp4"
    path.write_bytes(spoiled)
    assert 0 <= playable_part(path).nbytes <= len(spoiled)
    with contextlib.suppress(EdgeFuseError):
        for f in Splitter().feed(bytes(spoiled)):
            f.shifted(min(f.start, 5))


@given(st.binary(max_size=300))
def test_invalid_boxes_are_refused(nonsense: bytes) -> None:
    with pytest.raises(EdgeFuseError, match="invalid MP4 fragment"):
        fragment(b"\0\0\1\0moof" + nonsense, b"")
    with contextlib.suppress(EdgeFuseError):
        list(Splitter().feed(nonsense))
