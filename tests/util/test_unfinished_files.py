"""Names of unfinished files, and which of them are removed."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from edgefuse.util import unfinished_files
from tests.support.processes import ended, killed, until

WRITE = """
import sys, time
from pathlib import Path
from edgefuse.util.unfinished_files import part_of
part_of(Path(sys.argv[1])).write_bytes(b"half")
print("written", flush=True)
time.sleep(600)
"""


def names(folder: Path) -> set[str]:
    return {p.name for p in folder.iterdir()}


def test_a_name_is_new_each_time_and_hidden(tmp_path: Path) -> None:
    made = {unfinished_files.part_of(tmp_path / "a.efz") for _ in range(100)}
    assert len(made) == 100
    assert all(p.parent == tmp_path and p.name.startswith(".edgefuse-") and p.name.endswith(".a.efz.part") for p in made)
    assert unfinished_files.part_of(tmp_path / "a.mp4", ".mp4").suffix == ".mp4"


def test_long_and_strange_names_fit(tmp_path: Path) -> None:
    for name in ("n" * 255, "\u00e4" * 120, "a\nb", "\udcff.npy"):
        part = unfinished_files.part_of(tmp_path / name)
        part.write_bytes(b"")
        assert unfinished_files.is_part(part.name)
        assert len(os.fsencode(part.name)) < 200


def test_only_what_a_dead_process_left_is_removed(tmp_path: Path) -> None:
    process = subprocess.Popen([sys.executable, "-c", WRITE, tmp_path / "a.efz"], stdout=subprocess.PIPE, text=True)
    until(lambda: names(tmp_path), process, "the unfinished file")
    (theirs,) = names(tmp_path)
    mine = unfinished_files.part_of(tmp_path / "b.efz")
    mine.write_bytes(b"half")
    others = {".mybackup.part", ".1.2.a.efz.part", "keep.part", ".edgefuse-1-2-3.part", ".edgefuse-00000000.npy"}
    for name in others:
        (tmp_path / name).write_bytes(b"precious")
    unfinished_files.remove_abandoned(tmp_path)
    assert names(tmp_path) == {theirs, mine.name, *others}
    killed(process)
    unfinished_files.remove_abandoned(tmp_path)
    assert names(tmp_path) == {mine.name, *others}


def test_a_number_that_was_given_to_another_process_is_no_proof_of_life(tmp_path: Path) -> None:
    mine = unfinished_files.part_of(tmp_path / "a.efz").name
    start = mine.split("-")[5]
    earlier = tmp_path / mine.replace(f"-{start}-", f"-{int(start) + 1}-")
    earlier.write_bytes(b"")
    unfinished_files.remove_abandoned(tmp_path)
    assert not earlier.exists()


def test_what_another_computer_writes_is_left_for_two_days(tmp_path: Path) -> None:
    host = unfinished_files.part_of(tmp_path / "a").name.split("-")[1]
    strange = tmp_path / unfinished_files.part_of(tmp_path / "a.efz").name.replace(host, "0123abcd")
    strange.write_bytes(b"")
    unfinished_files.remove_abandoned(tmp_path)
    assert strange.exists()
    old = strange.stat().st_mtime - 3 * 86400
    os.utime(strange, (old, old))
    unfinished_files.remove_abandoned(tmp_path)
    assert not strange.exists()


def test_below_only_where_asked(tmp_path: Path) -> None:
    mine = unfinished_files.part_of(tmp_path / "a.efz").name
    start = mine.split("-")[5]
    left = tmp_path / "sub" / mine.replace(f"-{start}-", "-1-")
    left.parent.mkdir()
    left.write_bytes(b"")
    unfinished_files.remove_abandoned(tmp_path)
    assert left.exists()
    unfinished_files.remove_abandoned(tmp_path, deep=True)
    assert not left.exists()


def test_the_next_command_removes_what_a_killed_one_left(tmp_path: Path) -> None:
    process = subprocess.Popen([sys.executable, "-c", WRITE, tmp_path / "a.npy"], stdout=subprocess.PIPE, text=True)
    until(lambda: names(tmp_path), process, "the unfinished file")
    killed(process)
    code = (
        "import sys; from pathlib import Path; from edgefuse.util.files import appearing\nwith appearing(Path(sys.argv[1])) as p: p.touch()"
    )
    ended(subprocess.Popen([sys.executable, "-c", code, tmp_path / "b"], text=True, stdout=subprocess.PIPE), "the command")
    assert names(tmp_path) == {"b"}
