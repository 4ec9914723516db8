"""Decoding takes at most 64 MB and 16 bytes per declared sample, in time linear in them, whatever the file says (SECURITY.md)."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest

from edgefuse.hyperspectral.codec import sscnet
from tests.hyperspectral.bombs import BOMBS, container, declared, head
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
@pytest.mark.parametrize("bands", [1, 160])
@pytest.mark.parametrize("weights", ["sscnet-decoder", "sscnet-decoder-1"])
def test_a_network_takes_no_more_either(weights: str, bands: int, tmp_path: Path) -> None:
    """Its memory does not depend on the bands, so a cube of one band has the least."""
    named = head((128, 128, bands), (128, 128), model="sscnet", peak=10000, weights=sscnet.Network(weights).weights)
    path = tmp_path / "a.efz"
    path.write_bytes(container(named, struct.pack("<BI", 1, 0)))
    # in a fresh environment the first run also compiles the runtime's Python files
    measure("tests.hyperspectral.bombs", "decode", path)
    took = measure("tests.hyperspectral.bombs", "decode", path)
    assert took.answer == "1 tiles, 0 lost"
    assert took.extra <= FIXED_BYTES + SAMPLE_BYTES * 128 * 128 * bands, took
