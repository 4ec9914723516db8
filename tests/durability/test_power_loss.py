"""Power cuts at every moment of a batch and of a watched folder, on two kinds of file system (replay.py)."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

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
