"""Atomic writing of files, and the error messages where it fails."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import edgefuse
from edgefuse.errors import OutputError
from edgefuse.util import files

ROOT = Path(edgefuse.__file__).parents[1]
LONG = "n" * 300


def in_a_process(code: str, *arguments: object, wrapper: tuple[str, ...] = ()) -> str:
    """Return what `code` prints in a separate interpreter."""
    command = [*wrapper, sys.executable, "-c", textwrap.dedent(code), *map(str, arguments)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, cwd="/", env=environment, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture
def shared() -> Iterator[Path]:
    """A folder that any user can reach, unlike pytest's own."""
    folder = Path(tempfile.mkdtemp(dir="/tmp"))
    folder.chmod(0o755)
    yield folder
    folder.chmod(0o755)
    shutil.rmtree(folder)


AS_NOBODY = """
import os, sys
from pathlib import Path
from edgefuse.util import files
from edgefuse.errors import OutputError
if os.getuid() == 0:
    os.setgroups([])
    os.setgid(65534)
    os.setuid(65534)
folder = Path(sys.argv[1])
try:
    {act}
except OutputError as e:
    print(e)
"""


def test_write_atomic_writes_and_counts(tmp_path: Path) -> None:
    path = tmp_path / "a.bin"
    assert files.write_atomic(path, b"old") == 3
    assert files.write_atomic(path, memoryview(b"newer")) == 5
    assert path.read_bytes() == b"newer"
    assert [p.name for p in tmp_path.iterdir()] == ["a.bin"]


def test_the_old_file_stays_until_the_new_one_is_complete(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.bin"
    path.write_bytes(b"old")
    seen = []
    replace = os.replace

    def spy(part: str, target: Path) -> None:
        seen.append((Path(part).read_bytes(), Path(part).parent, path.read_bytes()))
        replace(part, target)

    monkeypatch.setattr(os, "replace", spy)
    files.write_atomic(path, b"new")
    assert seen == [(b"new", tmp_path, b"old")]
    assert path.read_bytes() == b"new"


def test_a_failed_rename_keeps_the_old_file(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    with pytest.raises(OutputError, match=r"^cannot write .*/a: a folder is there, not a file; choose another name$"):
        files.write_atomic(tmp_path / "a", b"x")
    assert [p.name for p in tmp_path.iterdir()] == ["a"]


def test_a_size_limit_is_an_output_error_and_leaves_nothing(tmp_path: Path) -> None:
    code = """
    import resource, sys
    from pathlib import Path
    from edgefuse.util import files
    from edgefuse.errors import OutputError
    folder = Path(sys.argv[1])
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
    files.write_atomic(folder / "kept", bytes(1000))
    for name in ("new", "kept"):
        try:
            files.write_atomic(folder / name, b"x" * 5000)
        except OutputError as e:
            print(e)
    """
    lines = in_a_process(code, tmp_path).splitlines()
    assert len(lines) == 2
    assert all("the file would exceed the size limit of this process; raise it (ulimit -f)" in line for line in lines)
    assert {p.name: p.read_bytes() for p in tmp_path.iterdir()} == {"kept": bytes(1000)}


def test_a_full_disk_is_an_output_error_and_leaves_nothing(tmp_path: Path) -> None:
    private = ("unshare", "--mount", "sh", "-c", 'mount -t tmpfs -o size=64k none "$0" && exec "$@"', str(tmp_path))
    if (
        os.getuid() != 0
        or not shutil.which("unshare")
        or subprocess.run([*private, "true"], capture_output=True, timeout=120).returncode != 0
    ):
        pytest.skip("a small file system can only be mounted by root, where namespaces are allowed")
    code = """
    import sys
    from pathlib import Path
    from edgefuse.util import files
    from edgefuse.errors import OutputError
    folder = Path(sys.argv[1])
    files.write_atomic(folder / "kept", bytes(1000))
    files.check_space(folder, 1000)
    for act in (lambda: files.write_atomic(folder / "kept", bytes(100_000)), lambda: files.check_space(folder, 65_536)):
        try:
            act()
        except OutputError as e:
            print(e)
    print([(p.name, p.stat().st_size) for p in folder.iterdir()])
    """
    first, second, listing = in_a_process(code, tmp_path, wrapper=private).splitlines()
    assert first == f"cannot write {tmp_path}/kept: the disk is full; free some space or choose another place"
    assert second == f"cannot write {tmp_path}: the disk is full; free some space or choose another place"
    assert listing == "[('kept', 1000)]"


@pytest.mark.parametrize(
    "act", ["files.check_folder(folder)", "files.check_folder(folder / 'new' / 'er')", "files.check_file(folder / 'a.mp4')"]
)
def test_a_folder_without_permission_is_refused_before_the_run(shared: Path, act: str) -> None:
    shared.chmod(0o555)
    said = in_a_process(AS_NOBODY.format(act=act), shared)
    assert said.startswith(f"cannot write {shared}")
    assert said.endswith(": no permission to write here; choose another place or change its permissions\n")
    assert list(shared.iterdir()) == []


def test_writing_without_permission_is_an_output_error(shared: Path) -> None:
    shared.chmod(0o555)
    said = in_a_process(AS_NOBODY.format(act="files.write_atomic(folder / 'a', b'x')"), shared)
    assert said == f"cannot write {shared}/a: no permission to write here; choose another place or change its permissions\n"


@pytest.mark.parametrize(
    "act", ["files.check_folder(folder / 'in')", "files.check_file(folder / 'a.mp4')", "files.write_atomic(folder / 'a', b'x')"]
)
def test_an_inaccessible_folder_is_an_output_error(shared: Path, act: str) -> None:
    shared.chmod(0o000)
    assert "no permission to write here" in in_a_process(AS_NOBODY.format(act=act), shared)


def test_check_folder_creates_missing_folders_and_leaves_no_files(tmp_path: Path) -> None:
    files.check_folder(tmp_path / "a" / "b")
    files.check_folder(tmp_path / "a" / "b")
    assert [p.relative_to(tmp_path).as_posix() for p in tmp_path.rglob("*")] == ["a", "a/b"]


def test_check_file_keeps_an_existing_file(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"old")
    files.check_file(tmp_path / "a")
    files.check_file(tmp_path / "new" / "b")
    assert (tmp_path / "a").read_bytes() == b"old"
    assert list((tmp_path / "new").iterdir()) == []


CHECKS: dict[str, Callable[[Path], object]] = {
    "check_folder": files.check_folder,
    "check_file": files.check_file,
    "write_atomic": lambda p: files.write_atomic(p, b"x"),
}


@pytest.mark.parametrize(
    ("check", "place", "words"),
    [
        ("check_folder", "file", "a file is there, not a folder; choose another place"),
        ("check_folder", "file/x", "a part of the path is a file, not a folder; choose another place"),
        ("check_folder", LONG, "the name is too long; choose a shorter one"),
        ("check_file", "folder", "a folder is there, not a file; choose another name"),
        ("check_file", "file/x", "a file is there, not a folder; choose another place"),
        ("write_atomic", "missing/x", "No such file or directory; choose another place"),
        ("check_file", LONG, "the name is too long; choose a shorter one"),
        ("write_atomic", LONG, "the name is too long; choose a shorter one"),
        ("write_atomic", "file/x", "a part of the path is a file, not a folder; choose another place"),
    ],
)
def test_unwritable_paths_are_explained(tmp_path: Path, check: str, place: str, words: str) -> None:
    (tmp_path / "file").write_text("x")
    (tmp_path / "folder").mkdir()
    with pytest.raises(OutputError) as caught:
        CHECKS[check](tmp_path / place)
    assert str(caught.value).startswith(f"cannot write {tmp_path}")
    assert str(caught.value).endswith(f": {words}")


def test_the_longest_possible_name_is_written(tmp_path: Path) -> None:
    path = tmp_path / ("n" * 255)
    assert files.write_atomic(path, b"x") == 1
    assert path.read_bytes() == b"x"


def test_check_space_compares_with_the_free_space(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files.shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(2000, 1000, 1000))
    files.check_space(tmp_path, 1000)
    with pytest.raises(OutputError, match="the disk is full"):
        files.check_space(tmp_path, 1001)


def test_check_space_of_a_removed_folder_is_an_output_error(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="No such file or directory"):
        files.check_space(tmp_path / "gone", 1)


def _appearing(path: Path) -> None:
    with files.appearing(path) as part:
        part.write_bytes(b"new")


@pytest.mark.parametrize(
    "write", [files.check_file, files.check_target, lambda path: files.write_atomic(path, b"new"), _appearing],
    ids=["check_file", "check_target", "write_atomic", "appearing"],
)  # fmt: skip
@pytest.mark.parametrize("link", [False, True])
def test_no_file_takes_the_place_of_a_device_or_a_pipe(tmp_path: Path, write: Callable[[Path], object], link: bool) -> None:
    """As root, a report to /dev/null would leave a file there for the whole machine."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    target = pipe
    if link:
        target = tmp_path / "link"
        target.symlink_to(pipe)
    with pytest.raises(OutputError, match="a device or a pipe is there, not a file; choose another name"):
        write(target)
    assert pipe.is_fifo()
    assert {p.name for p in tmp_path.iterdir()} == {pipe.name, target.name}
