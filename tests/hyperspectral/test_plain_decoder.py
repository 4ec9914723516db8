"""The format's reference is complete: a decoder written from it, without code of EdgeFuse, decodes all golden files to the same bits."""

from __future__ import annotations

import ast
import io
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from edgefuse.hyperspectral.codec import spectral_edge
from tests.hyperspectral import plain_decoder
from tests.hyperspectral.cubes import mixed
from tests.hyperspectral.plain_decoder import vectors

GOLDEN = Path(__file__).parent / "codec/golden"
FOLDER = Path(plain_decoder.__file__).parent
QUICK = {"v1-float", "v2-bands", "v2-tiny", "v3-exact", "v3-float", "v3-masks", "v4-error"}  # a tenth of a second each
REFERENCE = Path(__file__).resolve().parents[2] / "docs/reference/efz-coding.md"


def _golden(file: Path) -> Any:
    return pytest.param(file, id=file.stem, marks=() if file.stem in QUICK else pytest.mark.slow)


@pytest.mark.parametrize("file", [_golden(file) for file in sorted(GOLDEN.glob("*.efz"))])
def test_golden_files_are_decoded_to_the_same_bits(file: Path) -> None:
    expected = np.load(file.with_suffix(".npy"))
    made = plain_decoder.decode(file.read_bytes())
    assert (made.dtype, made.shape) == (expected.dtype, expected.shape)
    assert made.tobytes() == expected.tobytes()


def test_it_imports_nothing_of_edgefuse() -> None:
    names = set()
    for module in FOLDER.glob("*.py"):
        for node in ast.walk(ast.parse(module.read_text())):
            if isinstance(node, ast.Import):
                names |= {alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                names.add(str(node.module) if str(node.module).startswith("tests") else str(node.module).split(".")[0])
    own = {name for name in names if name.startswith("tests.hyperspectral.plain_decoder")}
    assert names - own == {"collections", "itertools", "json", "math", "numpy", "pathlib", "struct", "zlib"}


@pytest.mark.slow
@pytest.mark.skipif(not REFERENCE.exists(), reason="the documentation is not beside these tests")
def test_the_reference_prints_the_vectors_as_they_are() -> None:
    printed = re.search(r"```json\n(.*?)\n```", REFERENCE.read_text(), re.DOTALL)
    assert printed
    assert json.loads(printed[1]) == json.loads(json.dumps(vectors.vectors()))


@pytest.mark.skipif(not REFERENCE.exists(), reason="the documentation is not beside these tests")
def test_the_reference_names_every_golden_file() -> None:
    named = set(re.findall(r"`([\w/-]+)`", REFERENCE.read_text().split("## Test vectors")[1]))
    assert {file.stem for file in GOLDEN.glob("*.efz")} <= named


def _random(seed: int) -> tuple[NDArray[Any], dict[str, float], float | None, int]:
    """Return a small cube of any type, a target, the value of missing samples, and the side of a tile."""
    rng = np.random.default_rng(seed)
    shape = int(rng.integers(1, 24)), int(rng.integers(1, 24)), int(rng.integers(1, 7))
    dtype = str(rng.choice(["uint8", "int8", "uint16", "int16", "uint32", "int32", "float32", "float64"]))
    cube: NDArray[Any] = mixed(shape, dtype if dtype.endswith(("t8", "16")) else "int16", seed)
    if dtype.startswith("float"):
        cube = (cube * rng.choice([1e-4, 1.0, 1e10, 1e-40]) * (1 + rng.choice([0, 1e-6]) * rng.standard_normal(shape))).astype(dtype)
        for value in (np.nan, np.inf, -np.inf, -0.0, 3e38):
            cube[tuple(rng.integers(0, shape))] = value
    else:
        cube = (cube.astype(np.int64) * (1 if dtype.endswith(("t8", "16")) else int(rng.choice([1, 1000])))).astype(dtype)
    nodata = None if rng.random() < 0.5 else 0.0
    if nodata is not None:
        cube[np.broadcast_to(rng.random(shape if rng.random() < 0.5 else (*shape[:2], 1)) < 0.2, shape)] = 0
    whole = {"max_error": 2.0} if not dtype.startswith("float") else {"max_error": 1e-3}
    relative = whole if dtype.endswith(("t8", "16")) else {"relative_error": 1e-3}
    targets = {"max_error": 0.0}, {"bpppc": 4.0}, {"psnr": 70.0}, whole, relative
    return cube, targets[seed % 5], nodata, int(rng.choice([8, 256]))


@pytest.mark.slow
@pytest.mark.parametrize("first", range(0, 200, 20))
def test_random_cubes_are_decoded_to_the_same_bits(first: int) -> None:
    for seed in range(first, first + 20):
        cube, target, nodata, side = _random(seed)
        stream = io.BytesIO()
        spectral_edge.encode_to(stream, cube, spectral_edge.Target(**target), nodata=nodata, about={}, side=side)
        data = stream.getvalue()
        assert plain_decoder.decode(data).tobytes() == spectral_edge.decode(data).tobytes(), f"seed {seed}"
