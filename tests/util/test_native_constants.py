"""Constants that C and Python share have the same values in both; read from the C sources."""

from __future__ import annotations

import re
from pathlib import Path
from types import ModuleType

import pytest

import edgefuse
from edgefuse.hyperspectral.codec import (
    entropy_coder_python,
    entropy_coder_v1_python,
    entropy_tables,
    range_coder_python,
    subbands,
    wavelet,
)
from edgefuse.sharpening import covariance
from edgefuse.util import compiled

PACKAGE = Path(edgefuse.__file__).parent
CODEC = "hyperspectral/codec"


def numbers(source: str) -> dict[str, int]:
    """Return the numeric enumerators and macros of a C source, by name."""
    text = (PACKAGE / source).read_text()
    pairs = [pair for body in re.findall(r"^enum \{(.*?)\};", text, re.DOTALL | re.MULTILINE) for pair in body.split(",")]
    made: dict[str, int] = {}
    for name, value in (pair.split("=") for pair in pairs):
        # expressions such as LEVELS * LEVELS have no counterpart in Python
        if number := re.fullmatch(r"(\d+)(?: << (\d+))?", value.strip()):
            made[name.strip()] = int(number[1]) << int(number[2] or 0)
    return made | {name: int(value) for name, value in re.findall(r"^#define (\w+) (\d+)\b", text, re.MULTILINE)}


@pytest.mark.parametrize(
    ("source", "module", "names"),
    [
        ("entropy_coder.h", entropy_tables, "ONE"),
        ("entropy_coder.h", subbands, "PAD"),
        ("entropy_coder.h", entropy_coder_python, "LEVELS SYMBOLS ONE"),
        ("range_coder.h", range_coder_python, "WHOLE SLOW"),
        ("entropy_coder.c", entropy_coder_python, "TABLES BITS PLAIN MORE EMPTY SURE BEGUN"),
        ("entropy_coder_v1.c", entropy_coder_v1_python, "INPUTS SLOTS FLAGS BITS LONGEST LEARN WARM FIRST_WEIGHT"),
    ],
)
def test_the_entropy_coder_s(source: str, module: ModuleType, names: str) -> None:
    there = numbers(f"{CODEC}/{source}")
    assert {name: there[name] for name in names.split()} == {name: getattr(module, name) for name in names.split()}


def test_the_paces_of_the_entropy_coder() -> None:
    text = re.search(r"PACES\[\] = \{(.*?)\};", (PACKAGE / CODEC / "entropy_coder.c").read_text(), re.DOTALL)
    assert text
    assert [int(n) for n in text[1].split(",")] == entropy_coder_python.PACES


def test_the_deepest_wavelet_has_room_for_its_bands() -> None:
    assert len(subbands.bands(512, 512, wavelet.MOST_LEVELS)[0]) <= numbers(f"{CODEC}/entropy_coder.h")["MOST_BANDS"]


def test_the_covariances() -> None:
    there = numbers("sharpening/covariance.c")
    assert (there["COLUMNS"], there["MOST"]) == (covariance._LANES, covariance._MOST)


def test_the_version_of_the_library() -> None:
    assert re.search(r"edgefuse_abi\(void\) \{ return (\d+); \}", (PACKAGE / "util/compiled.c").read_text())[1] == str(compiled.ABI)  # type: ignore[index]
