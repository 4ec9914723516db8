"""Power cuts at every moment of each command that writes cubes, on two kinds of file system (replay.py).

benchmarks/power_cuts.py does the same with the system's own file systems.
"""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pytest

from edgefuse.hyperspectral.codec import spectral_edge
from tests.durability import archives, replay, shim
from tests.durability.test_faults import COMMANDS

TRIES = 12  # orders in which what was not yet synced may have reached the disk, at each moment


def _written(folder: Path, files: dict[str, bytes]) -> None:
    for name, data in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)


def _recorded(tmp_path: Path, command: str) -> tuple[dict[str, bytes], dict[str, bytes], list[replay.Step]]:
    """Run a command once: (the originals, all files before, what was done), with paths relative to its folder."""
    root, log = (tmp_path / "x").resolve(), tmp_path / "log"
    originals = shim.cubes(root / "in", 3)
    (root / "out").mkdir()
    ended = shim.run(shim.compiled(tmp_path), root, COMMANDS[command], log=log)
    assert ended.code == 0, ended.said
    assert archives.torn(root / "out") == []
    text = log.read_bytes().replace(f"\t{root}/".encode(), b"\t").replace(f"\t{root}\t".encode(), b"\t.\t")
    return originals, {f"in/{name}": data for name, data in originals.items()}, replay.parsed(text)


@pytest.mark.slow
@pytest.mark.parametrize("careless", [False, True], ids=["ordered", "careless"])
@pytest.mark.parametrize("command", ["batch", "watch"])
def test_a_power_cut_at_any_moment_loses_nothing(tmp_path: Path, command: str, careless: bool) -> None:
    originals, before, steps = _recorded(tmp_path, command)
    points = 0
    done = set()
    for end in range(len(steps) + 1):
        for seed in range(TRIES):
            files = replay.crashed(before, steps, end, careless, random.Random(end * 1000 + seed))
            folder = tmp_path / "after" / f"{end}-{seed}"
            _written(folder, files)
            where = f"{command}, after {end} of {len(steps)} steps ({steps[end - 1] if end else 'none'}), order {seed}"
            assert archives.torn(folder / "out") == [], where
            assert archives.lost(folder, originals) == [], where
            done.add(sum(r["state"] == "done" for r in archives.records(folder / "out").values()))
            points += 1
    assert points >= 250, points
    # some cuts came before the first cube was done, and some after the last
    assert {0, len(originals)} <= done


@pytest.mark.slow
def test_after_a_power_cut_the_same_command_goes_on(tmp_path: Path) -> None:
    originals, before, steps = _recorded(tmp_path, "watch")
    for end in range(1, len(steps), max(1, len(steps) // 20)):
        folder = tmp_path / f"after-{end}"
        _written(folder, replay.crashed(before, steps, end, False, random.Random(end)))
        for name in ("in", "out"):
            (folder / name).mkdir(exist_ok=True)
        ended = shim.run(None, folder, COMMANDS["watch"])
        assert ended.code == 0, (end, ended.said)
        assert archives.torn(folder / "out") == []
        assert archives.lost(folder, originals) == []
        assert {name for name, r in archives.records(folder / "out").items() if r["state"] == "done"} | set(originals) == set(originals)


# what compress and decompress write, from what, and where
SINGLE = {
    "compress": ("in/a.npy", ["out/a.efz"], COMMANDS["compress"]),
    "decompress": ("in/a.efz", ["out/a.npy"], COMMANDS["decompress"]),
    "decompress ENVI": ("in/a.efz", ["out/a.img", "out/a.img.hdr"], ["decompress", "in/a.efz", "out/a.img"]),
}


def _overwritten(tmp_path: Path, what: str, old: bool) -> tuple[dict[str, bytes], list[replay.Step], list[dict[str, bytes]]]:
    """Run `what` once: all files before, what was done, and the outputs that may be there: those of an older cube or none, the new ones.

    old: whether files of an older cube are overwritten.
    """
    source, names, arguments = SINGLE[what]
    root, log, library = (tmp_path / "x").resolve(), tmp_path / "log", shim.compiled(tmp_path)
    (root / "in").mkdir(parents=True)
    rng = np.random.default_rng(5)
    versions: list[dict[str, bytes]] = [{}]
    for shape in [(20, 16, 8), (24, 20, 16)] if old else [(24, 20, 16)]:
        cube = rng.integers(0, 900, shape).astype(np.uint16)
        np.save(root / "in/a.npy", cube)
        if source.endswith(".efz"):
            (root / source).write_bytes(spectral_edge.encode(cube, max_error=0))
        before = {name: (root / name).read_bytes() for name in (source, *versions[-1])}
        log.unlink(missing_ok=True)
        ended = shim.run(library, root, arguments, log=log)
        assert ended.code == 0, ended.said
        versions.append({name: (root / name).read_bytes() for name in names})
    text = log.read_bytes().replace(f"\t{root}/".encode(), b"\t").replace(f"\t{root}\t".encode(), b"\t.\t")
    return before, replay.parsed(text), versions[-2:]


def _check_single(tmp_path: Path, what: str, old: bool, careless: bool, tries: int) -> tuple[int, set[bool]]:
    """Cut the power at each moment of `what`; return the number of cuts, and whether the new output was there."""
    before, steps, (former, new) = _overwritten(tmp_path, what, old)
    source, (primary, *_), _ = SINGLE[what]
    points, seen = 0, set()
    for end in range(len(steps) + 1):
        for seed in range(tries):
            files = replay.crashed(before, steps, end, careless, random.Random(end * 1000 + seed))
            where = f"{what}, after {end} of {len(steps)} steps ({steps[end - 1] if end else 'none'}), order {seed}: {sorted(files)}"
            assert files[source] == before[source], where
            # without its samples a header is no cube
            there = {name: files[name] for name in new if name in files} if primary in files else {}
            assert there in (former, new) or (old and not there and _aside(files, former)), where
            assert end < len(steps) or there == new, where
            points += 1
            seen.add(there == new)
    return points, seen


def _aside(files: dict[str, bytes], former: dict[str, bytes]) -> bool:
    """Whether the older cube is there under its other name, whole, while two files are replaced."""
    return len(former) == 2 and sorted(former.values()) == sorted(data for name, data in files.items() if "edgefuse-old" in name)


@pytest.mark.slow
@pytest.mark.parametrize("careless", [False, True], ids=["ordered", "careless"])
@pytest.mark.parametrize("old", [False, True], ids=["new", "overwritten"])
@pytest.mark.parametrize("what", SINGLE)
def test_a_single_file_is_there_whole_or_as_it_was(tmp_path: Path, what: str, old: bool, careless: bool) -> None:
    points, seen = _check_single(tmp_path, what, old, careless, 4 * TRIES)
    assert points >= 300, points
    assert seen == {False, True}


def test_compress_leaves_a_whole_file_or_none(tmp_path: Path) -> None:
    """One kind of the series above."""
    assert _check_single(tmp_path, "compress", False, True, TRIES)[1] == {False, True}


def test_the_model_loses_what_was_not_synced() -> None:
    """A file that is renamed before it is synced may be empty; one that was synced is whole."""
    steps = [
        replay.Step("create", "a.part", inode=7),
        replay.Step("write", "a.part", inode=7, data=b"hello"),
        replay.Step("rename", "a.part", "a"),
    ]
    seen = {tuple(sorted(replay.crashed({}, steps, 3, False, random.Random(k)).items())) for k in range(200)}
    assert (("a", b""),) in seen
    assert (("a", b"hello"),) in seen
    assert () in seen
    synced = [*steps[:2], replay.Step("fsync", "a.part", inode=7), steps[2]]
    seen = {tuple(sorted(replay.crashed({}, synced, 4, False, random.Random(k)).items())) for k in range(200)}
    assert seen == {(("a", b"hello"),), (("a.part", b"hello"),)}
