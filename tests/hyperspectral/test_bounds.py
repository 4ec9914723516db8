"""Decoding takes at most 64 MB and 16 bytes per declared sample, in time linear in them, whatever the file says (SECURITY.md)."""

from __future__ import annotations

import io
from pathlib import Path

import pytest

from edgefuse.hyperspectral.codec import sscnet
from edgefuse.hyperspectral.codec.base import Target
from tests.hyperspectral.bombs import BOMBS, declared
from tests.hyperspectral.cubes import mixed
from tests.support.memory import measure

FIXED_BYTES, SAMPLE_BYTES = 64 << 20, 16
# of processor time, for files of at most 2^24 samples: a hundred times what any takes, and far below what a loop over squares takes
MOST_SECONDS = 60.0


@pytest.mark.slow
@pytest.mark.parametrize("name", BOMBS)
def test_decoding_takes_no_more_than_the_samples_are_worth(name: str, tmp_path: Path) -> None:
    data, path = BOMBS[name](), tmp_path / "a.efz"
    path.write_bytes(data)
    took = measure("tests.hyperspectral.bombs", "decode", path)
    assert took.extra <= FIXED_BYTES + SAMPLE_BYTES * declared(data), took
    assert took.seconds < MOST_SECONDS, took


@pytest.mark.slow
def test_the_published_network_takes_its_own_memory_and_no_more(tmp_path: Path) -> None:
    """It does not depend on the bands of the file."""
    stream = io.BytesIO()
    sscnet.encode_to(stream, mixed((128, 128, 1), "uint16"), Target())
    path = tmp_path / "a.efz"
    path.write_bytes(stream.getvalue())
    took = measure("tests.hyperspectral.bombs", "decode", path)
    assert took.answer == "1 tiles, 0 lost"
    assert took.extra <= 128 << 20, took
