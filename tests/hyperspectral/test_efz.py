"""The container: damage loses only the tiles that it affects, and no file makes the reader hang or exhaust the memory."""

from __future__ import annotations

import io
import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgefuse.errors import InputError
from edgefuse.hyperspectral import efz
from edgefuse.hyperspectral.codec import spectral_edge
from edgefuse.hyperspectral.crc32c import crc32c
from edgefuse.util import compiled
from tests.hyperspectral.cubes import mixed

CUBE = mixed((48, 40, 4))


def written(**target: float) -> bytes:
    stream = io.BytesIO()
    spectral_edge.encode_to(
        stream, CUBE, spectral_edge.Target(**(target or {"max_error": 0})), side=16, about={"wavelengths": [400.5, 500, 600, 700]}
    )
    return stream.getvalue()


DATA = written()
HEADER = efz.Reader(io.BytesIO(DATA)).header
OFFSETS = efz.offsets(io.BytesIO(DATA))


def test_check_sums(monkeypatch: pytest.MonkeyPatch) -> None:
    assert crc32c(b"123456789") == 0xE3069283  # RFC 3720
    assert crc32c(b"6789", crc32c(b"12345")) == 0xE3069283
    monkeypatch.setattr(compiled, "library", lambda: None)
    assert crc32c(b"123456789") == 0xE3069283


def test_round_trip_and_index() -> None:
    assert HEADER.about == {"wavelengths": [400.5, 500, 600, 700]}
    assert HEADER.grid == (3, 3) or HEADER.count > 1
    assert OFFSETS is not None
    assert len(OFFSETS) == HEADER.count
    assert all(DATA[at : at + 4] == b"TILE" for at in OFFSETS)
    assert np.array_equal(spectral_edge.decode(DATA), CUBE)


class Pipe(io.RawIOBase):
    """A stream that returns a few bytes at a time and cannot seek."""

    def __init__(self, data: bytes) -> None:
        self._rest = io.BytesIO(data)

    def read(self, size: int = -1) -> bytes:
        return self._rest.read(min(size, 7))


def test_pipes() -> None:
    decoder = spectral_edge.Decoder(Pipe(DATA))  # type: ignore[arg-type]
    assert sum(1 for _ in decoder.tiles()) == HEADER.count
    assert decoder.lost == []


@pytest.mark.parametrize("tile", range(HEADER.count))
def test_a_flipped_bit_costs_one_tile(tile: int) -> None:
    assert OFFSETS
    end = [*OFFSETS, DATA.rindex(b"INDX")][tile + 1]
    for at in range(OFFSETS[tile], end, 13):
        data = bytearray(DATA)
        data[at] ^= 4
        decoder = spectral_edge.Decoder(io.BytesIO(bytes(data)))
        for place, samples in decoder.tiles():
            assert np.array_equal(samples, CUBE[place])
        assert decoder.lost == [tile]
        with pytest.raises(InputError, match=f"1 of {HEADER.count} tiles of the .efz file are lost: {tile}"):
            spectral_edge.decode(bytes(data))


def test_a_cut_costs_the_tiles_behind_it() -> None:
    assert OFFSETS
    for tile in range(HEADER.count):
        decoder = spectral_edge.Decoder(io.BytesIO(DATA[: OFFSETS[tile] + 5]))
        assert sum(1 for _ in decoder.tiles()) == tile
        assert decoder.lost == list(range(tile, HEADER.count))
    made = spectral_edge.decode(DATA[: OFFSETS[2]], damaged=True)
    assert np.array_equal(made[HEADER.place(0)], CUBE[HEADER.place(0)])
    assert not made[HEADER.place(2)].any()


def test_bytes_that_came_in_between_cost_nothing() -> None:
    assert OFFSETS
    data = DATA[: OFFSETS[3]] + b"TILETILExxTILE" + bytes(1000) + DATA[OFFSETS[3] :]
    assert np.array_equal(spectral_edge.decode(data), CUBE)
    # nor does a duplicate tile
    assert np.array_equal(spectral_edge.decode(DATA[: OFFSETS[3]] + DATA[OFFSETS[1] :]), CUBE)


@settings(max_examples=150, deadline=None)
@given(st.lists(st.tuples(st.integers(0, len(DATA) - 1), st.integers(1, 255)), max_size=6), st.integers(0, len(DATA)))
def test_damage_is_an_error_or_lost_tiles(flips: list[tuple[int, int]], end: int) -> None:
    data = bytearray(DATA)
    for at, bits in flips:
        data[at] ^= bits
    try:
        decoder = spectral_edge.Decoder(io.BytesIO(bytes(data[:end])))
    except InputError:
        return
    for place, samples in decoder.tiles():
        assert np.array_equal(samples, CUBE[place])


@settings(max_examples=150, deadline=None)
@given(
    st.sampled_from([{"max_error": 1}, {"bpppc": 2.0}]),
    st.lists(st.tuples(st.integers(0, 4000), st.integers(0, 255)), min_size=1, max_size=6),
)
def test_payloads_that_were_made_to_harm(target: dict[str, float], changes: list[tuple[int, int]]) -> None:
    """Their checksums are correct, so the decoder itself must reject them."""
    data = WRITTEN[next(iter(target))]
    reader = efz.Reader(io.BytesIO(data))
    stream = io.BytesIO()
    writer = efz.Writer(stream, reader.header)
    for number, payload in reader.tiles():
        harmed = bytearray(payload)
        for at, byte in changes:
            harmed[at % len(harmed)] = byte
        writer.tile(number, bytes(harmed))
    writer.close()
    with np.errstate(all="raise"):
        made = spectral_edge.decode(stream.getvalue(), damaged=True)
    assert made.shape == CUBE.shape


WRITTEN = {"max_error": written(max_error=1), "bpppc": written(bpppc=2.0)}


def headed(text: bytes) -> bytes:
    start = struct.pack("<4sBI", efz.MAGIC, efz.VERSION, len(text)) + text
    return start + struct.pack("<I", crc32c(start))


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "this is not an .efz file"),
        (b"GIF89a", "this is not an .efz file"),
        (DATA[:6], "ends in its header"),
        (DATA[:40], "ends in its header"),
        (DATA[:4] + b"\x09" + DATA[5:], "version 9 is unknown"),
        (DATA[:20] + b"!" + DATA[21:], "header is damaged"),
        (DATA[:5] + b"\xff\xff\xff\xff" + DATA[9:], "ends in its header"),
        (headed(b"{"), "can't be read"),
        (headed(b"[" * 100_000), "can't be read"),
        (headed(b"{}"), "can't be read"),
        (headed(b'{"shape":[1e9,2,3],"dtype":"int16","tile":[1,2],"model":"spectral-edge"}'), "the .efz header is invalid"),
        (headed(b'{"shape":[1,2,3],"dtype":"object","tile":[1,2],"model":"spectral-edge"}'), "the .efz header is invalid"),
        (headed(b'{"shape":[1,2,3],"dtype":[],"tile":[1,2],"model":"spectral-edge"}'), "the .efz header is invalid"),
        (headed(b'{"shape":[1,2,3],"dtype":"int16","tile":[1,0],"model":"spectral-edge"}'), "the .efz header is invalid"),
        (
            headed(b'{"shape":[90000,90000,300],"dtype":"int16","tile":[9000,9000],"model":"spectral-edge"}'),
            "exceeds the limits of this program",
        ),
        (headed(b'{"shape":[90000,90000,300],"dtype":"int16","tile":[300,300],"model":"spectral-edge"}'), "GB of memory"),
        (headed(b'{"shape":[1,2,3],"dtype":"int16","tile":[1,2],"model":"other"}'), "made by 'other'"),
        (headed(b'{"shape":[1,2,3],"dtype":"int16","tile":[1,2],"model":"spectral-edge","settings":{"bound":-1}}'), "bound"),
        (headed(b'{"shape":[1,2,3],"dtype":"int16","tile":[1,2],"model":"spectral-edge","settings":{"nodata":"x"}}'), "nodata"),
        (headed(b'{"shape":[1,2,3],"dtype":"int16","tile":[1,2],"model":"spectral-edge"}'), "1 of 1 tiles"),
    ],
)
def test_what_is_no_container_is_said(data: bytes, message: str) -> None:
    with pytest.raises(InputError, match=message):
        spectral_edge.decode(data)


def test_a_file_of_beginnings_ends_soon() -> None:
    """Every 16 bytes look like the beginning of a tile of the largest allowed size."""
    tile = b"TILE" + struct.pack("<III", 0, 200_000_000, 0)
    header = headed(b'{"shape":[4096,4096,2],"dtype":"int16","tile":[4096,4096],"model":"spectral-edge"}')
    decoder = spectral_edge.Decoder(io.BytesIO(header + tile * 20_000))
    assert list(decoder.tiles()) == []
    assert decoder.lost == [0]


@pytest.mark.parametrize("at", [-3, -10, -30])
def test_a_damaged_index_is_none(at: int) -> None:
    data = bytearray(DATA)
    data[at] ^= 1
    assert efz.offsets(io.BytesIO(bytes(data))) is None
    assert np.array_equal(spectral_edge.decode(bytes(data)), CUBE)
    assert efz.offsets(io.BytesIO(b"EFZE")) is None
