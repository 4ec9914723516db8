"""Each write, fsync, rename, open, unlink, fork and large allocation fails once: nothing is lost, and the next run mends it."""

from __future__ import annotations

import errno
import random
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from edgefuse.hyperspectral.codec import spectral_edge
from tests.durability import archives, shim

ALLOCATIONS = 20
COMMANDS = {
    "compress": ["compress", "in/a.npy", "out/a.efz"],
    "batch": ["batch", "compress", "in", "out", "--jobs", "1"],
    "watch": ["run", "--source", "cubes:in", "--save", "out", "--delete-originals"],
    "decompress": ["decompress", "in/a.efz", "out/a.npy"],
}


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return shim.compiled(tmp_path_factory.mktemp("shim"))


def _begin(folder: Path, command: str) -> dict[str, bytes]:
    """A folder for a command, and the originals in it."""
    shutil.rmtree(folder, ignore_errors=True)
    originals = shim.cubes(folder / "in", 1 if command in ("compress", "decompress") else 2)
    (folder / "out").mkdir()
    if command == "decompress":
        (folder / "in/a.efz").write_bytes(spectral_edge.encode(np.load(folder / "in/a.npy"), max_error=0))
        (folder / "in/a.npy").unlink()
    return originals


def _each(library: Path, folder: Path, command: str, kind: str, error: int) -> Iterator[tuple[int, shim.Ended, dict[str, bytes]]]:
    """Fail the first call, the second, ..., as many as there are."""
    for nth in range(1, 10_000):
        originals = _begin(folder, command)
        ended = shim.run(library, folder, COMMANDS[command], kind, nth, error)
        if not ended.failed:
            assert ended.code == 0, ended.said
            return
        yield nth, ended, originals


def _check(folder: Path, command: str, originals: dict[str, bytes], where: str) -> None:
    assert archives.lost(folder, originals) == [], where
    assert archives.torn(folder / "out") == [], where
    again = shim.run(None, folder, COMMANDS[command])
    assert again.code == 0, (where, again.said)
    assert archives.lost(folder, originals) == [], where
    assert archives.torn(folder / "out") == [], where
    if command in ("batch", "watch"):
        states = {name: record["state"] for name, record in archives.records(folder / "out").items()}
        assert states == dict.fromkeys(originals, "done"), where
        # beyond the manifest, which names it, nothing is left of an attempt that failed
        assert archives.leftovers(folder) == [], where
    elif command == "compress":
        assert np.array_equal(spectral_edge.decode((folder / "out/a.efz").read_bytes()), np.load(folder / "in/a.npy")), where
    else:
        assert (folder / "out/a.npy").read_bytes() == originals["a.npy"], where


def _cases() -> Iterator[tuple[str, str, int]]:
    for command in COMMANDS:
        for kind, errors in shim.ERRORS.items():
            for error in errors:
                yield command, kind, error


@pytest.mark.slow
@pytest.mark.parametrize(("command", "kind", "error"), list(_cases()))
def test_a_call_that_fails_costs_no_cube(library: Path, tmp_path: Path, command: str, kind: str, error: int) -> None:
    for nth, ended, originals in _each(library, tmp_path / "x", command, kind, error):
        where = f"{command}: {kind} {nth} fails with {error}; exit code {ended.code}: {ended.said[-400:]}"
        assert ended.code >= 0 or kind == "memory", where
        _check(tmp_path / "x", command, originals, where)


@pytest.mark.slow
@pytest.mark.parametrize("command", COMMANDS)
def test_an_allocation_of_any_size_that_fails_costs_no_cube(library: Path, tmp_path: Path, command: str) -> None:
    """A command makes tens of thousands; some at equal distances are tried. Large ones fail each in turn, above."""
    folder, rng = tmp_path / "x", random.Random(command)
    _begin(folder, command)
    counted = shim.run(library, folder, COMMANDS[command], "allocation")
    assert (counted.code, counted.failed) == (0, False), counted.said
    step = counted.calls / ALLOCATIONS
    for k in range(ALLOCATIONS):
        nth = 1 + int(step * (k + rng.random()))
        originals = _begin(folder, command)
        ended = shim.run(library, folder, COMMANDS[command], "allocation", nth, errno.ENOMEM)
        _check(folder, command, originals, f"{command}: allocation {nth} of {counted.calls}; exit code {ended.code}: {ended.said[-400:]}")


def test_the_shim_fails_what_it_is_asked_to(library: Path, tmp_path: Path) -> None:
    """Without this, silence of the others would say nothing."""
    _begin(tmp_path / "x", "compress")
    for kind in ("write", "fsync", "rename", "open"):
        ended = shim.run(library, tmp_path / "x", COMMANDS["compress"], kind, 1, shim.ERRORS[kind][0])
        assert ended.failed, kind
        assert ended.code in (1, 2), (kind, ended.said)
        assert ended.said.startswith("edgefuse: "), ended.said
