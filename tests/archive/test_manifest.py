from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest

from edgefuse.archive.manifest import NAME, Manifest, described
from edgefuse.errors import OutputError
from edgefuse.util.unfinished_files import part_of
from tests.archive.hostile_manifest import check_folder, check_lines


def record(folder: Path, name: str = "a", **more: Any) -> dict[str, Any]:
    (folder / "src").write_bytes(b"123")
    (folder / f"{name}.efz").write_bytes(b"45")
    made = described(folder / f"{name}.efz")
    target = {"file": f"{name}.efz", "bytes": 2, "sha256": made["sha256"]}
    return {"name": name, "state": "done", "settings": {"max_error": 0}, "source": [described(folder / "src")], "target": target} | more


def test_what_is_done_is_known_again(tmp_path: Path) -> None:
    with Manifest(tmp_path) as m:
        m.append(record(tmp_path))
    with Manifest(tmp_path) as m:
        src = [tmp_path / "src"]
        assert m.done("a", src, {"max_error": 0})
        assert not m.done("a", src, {"max_error": 1})
        assert not m.done("b", src, {"max_error": 0})
        assert not m.done("a", [tmp_path / "missing"], {"max_error": 0})
        assert m.taken("a.efz")
        (tmp_path / "a.efz").write_bytes(b"46")
        stored = m.record("a")
        assert stored is not None
        assert m.intact(stored)
        assert not m.intact(stored, read=True)
        (tmp_path / "a.efz").unlink()
        assert not m.done("a", src, {"max_error": 0})
        (tmp_path / "src").write_bytes(b"1234")
        assert not m.done("a", src, {"max_error": 0})


def test_a_torn_line_is_passed_over_and_the_next_is_whole(tmp_path: Path) -> None:
    with Manifest(tmp_path) as m:
        m.append(record(tmp_path, "a"))
        m.append(record(tmp_path, "b"))
    whole = (tmp_path / NAME).read_bytes()
    for cut in range(1, 90, 7):
        (tmp_path / NAME).write_bytes(whole[:-cut])
        with Manifest(tmp_path) as m:
            assert m.record("a") is not None
            assert (m.record("b") is None) == (cut > 1)
            m.append(record(tmp_path, "c"))
            assert m.record("c") is not None
        with Manifest(tmp_path) as m:
            assert m.record("c") is not None
            assert m.done("c", [tmp_path / "src"], {"max_error": 0})


def test_lines_that_are_no_records_are_passed_over(tmp_path: Path) -> None:
    (tmp_path / NAME).write_bytes(b'\n[]\n{"name": 1}\n\xff\n' + b"[" * 100000 + b'\n{"name": "a", "state": "done", "target": 3}\n')
    with Manifest(tmp_path) as m:
        assert m.record("a") is not None
        assert not m.done("a", [], {})


def test_one_process_at_a_time(tmp_path: Path) -> None:
    with Manifest(tmp_path), pytest.raises(OutputError, match="another edgefuse"):
        Manifest(tmp_path)
    Manifest(tmp_path).close()


def test_what_a_killed_process_left_is_removed_and_nothing_else(tmp_path: Path) -> None:
    mine = part_of(tmp_path / "a.efz").name
    start = mine.split("-")[5]
    dead = mine.replace(f"-{start}-", "-1-")
    for name in (mine, dead, f"sub/{dead}", "sub/.another.part", "keep.part", "a.efz"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    Manifest(tmp_path).close()
    assert {p.name for p in tmp_path.rglob("*")} == {"sub", mine, ".another.part", "keep.part", "a.efz", NAME}


def test_the_last_record_of_a_name_counts_and_what_any_made_stays_taken(tmp_path: Path) -> None:
    with Manifest(tmp_path) as m:
        m.append(record(tmp_path))
        m.append({"name": "a", "state": "bad", "settings": {}, "message": "no"})
        assert not m.done("a", [tmp_path / "src"], {"max_error": 0})
        assert m.taken("a.efz")
    with Manifest(tmp_path) as m:
        assert m.taken("a.efz")
    assert [json.loads(line)["state"] for line in (tmp_path / NAME).read_text().splitlines()] == ["done", "bad"]


def test_a_place_that_can_not_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / NAME).mkdir()
    with pytest.raises(OutputError, match="manifest"):
        Manifest(tmp_path)


@pytest.mark.parametrize("file", ["a\0b", "\ud800", "x" * 300, 5, None])
def test_a_record_of_a_file_that_can_not_be_is_not_done(tmp_path: Path, file: Any) -> None:
    made = record(tmp_path)
    for target in ({**made["target"], "file": file}, {**made["target"], "file": "a.efz"}):
        line = made | {"target": target, "beside": [{**target, "file": file}]}
        (tmp_path / NAME).write_text(json.dumps(line) + "\n")
        with Manifest(tmp_path) as m:
            assert not m.done("a", [tmp_path / "src"], {"max_error": 0})
            assert not m.intact(line)
            assert not m.intact(line, read=True)


def test_made_manifests_say_what_was_written(tmp_path: Path) -> None:
    for seed in range(300):
        check_lines(random.Random(seed), tmp_path)
    for seed in range(5):
        check_folder(random.Random(seed), tmp_path)
