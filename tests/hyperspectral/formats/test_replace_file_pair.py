"""A cube of two files that is replaced is the old one or the new one, wherever the process is killed or a call fails."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from edgefuse.errors import OutputError
from edgefuse.hyperspectral.cube import CubeInfo
from edgefuse.hyperspectral.formats import create_cube, open_cube

CALLS = "rename", "replace", "unlink", "fsync"
KILLED, NO_SUCH_CALL = 9, 4
# of the same layout: each header fits the samples of the other
OLD = np.arange(60, dtype=np.uint16).reshape(3, 4, 5)
NEW = OLD + 700
OLD_WAVES, NEW_WAVES = (400.0, 500.0, 600.0, 700.0, 800.0), (1400.0, 1500.0, 1600.0, 1700.0, 1800.0)


def write(path: Path, samples: NDArray[Any], wavelengths: tuple[float, ...] | None) -> None:
    info = CubeInfo(samples.shape, samples.dtype)
    with create_cube(path, info.like(wavelengths=wavelengths) if wavelengths else info) as sink:
        sink[:] = samples


def read(path: Path) -> tuple[bytes, tuple[float, ...] | None] | None:
    """Return samples and wavelengths of a cube; None if there is no file of that name."""
    if not path.exists():
        return None
    with open_cube(path) as source:
        return source[:].tobytes(), source.info.wavelengths


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def begin(folder: Path, name: str, old_header: str, waves: tuple[float, ...] | None) -> Path:
    """Make the old cube, with its ENVI header named `old_header`."""
    folder.mkdir()
    path = folder / name
    write(path, OLD, waves)
    if old_header:
        (folder / f"{name}.hdr").rename(folder / old_header)
    return path


def in_child(work: Callable[[], None], nth: int, error: bool, monkeypatch: pytest.MonkeyPatch) -> int:
    """Do `work` in a child process that is killed before its call number `nth`, from 1, or in which that call fails; its exit code,
    NO_SUCH_CALL if there are fewer calls."""
    pid = os.fork()
    if pid:
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    count = 0
    try:

        def counted(real: Callable[..., Any]) -> Callable[..., Any]:
            def call(*arguments: Any, **keywords: Any) -> Any:
                nonlocal count
                count += 1
                if count == nth:
                    if not error:
                        os._exit(KILLED)
                    raise OSError(5, "Input/output error")
                return real(*arguments, **keywords)

            return call

        for name in CALLS:
            monkeypatch.setattr(os, name, counted(getattr(os, name)))
        work()
    except OutputError:
        os._exit(1)
    except BaseException:
        os._exit(3)
    os._exit(0 if count >= nth else NO_SUCH_CALL)


CASES = [
    ("scene.img", "", OLD_WAVES, NEW_WAVES),
    ("scene.img", "scene.hdr", OLD_WAVES, NEW_WAVES),
    ("scene", "", OLD_WAVES, None),
    ("scene.npy", "", OLD_WAVES, NEW_WAVES),
    ("scene.npy", "", None, NEW_WAVES),
    ("scene.npy", "", OLD_WAVES, None),
    ("scene.npy", "", OLD_WAVES, OLD_WAVES),
]


@pytest.mark.parametrize("error", [False, True], ids=["killed", "fails"])
@pytest.mark.parametrize(("name", "old_header", "old_waves", "new_waves"), CASES)
def test_the_old_cube_or_the_new_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, old_header: str, old_waves: Any, new_waves: Any, error: bool
) -> None:
    old, new = (OLD.tobytes(), old_waves), (NEW.tobytes(), new_waves)
    seen = set()
    for nth in range(1, 100):
        path = begin(tmp_path / str(nth), name, old_header, old_waves)
        code = in_child(lambda path=path: write(path, NEW, new_waves), nth, error, monkeypatch)  # type: ignore[misc]
        where = f"call {nth}: exit code {code}, {names(path.parent)}"
        assert code in (0, 1, KILLED, NO_SUCH_CALL), where
        content = read(path)
        aside = read(path.with_name(f"{path.stem}.edgefuse-old{path.suffix}"))
        # an error puts the old cube back; a kill can't
        assert content in (old, new) or (content is None and aside == old and not error), where
        seen.add(content)
        # the next write mends it
        write(path, NEW, new_waves)
        assert read(path) == new, where
        # unfinished files of a process that has ended are removed when a later process first writes to the folder
        left = {other for other in names(path.parent) if not other.startswith(".")}
        assert left <= {name, f"{name}.hdr", f"{name}.json"}, (where, left)
        if code == NO_SUCH_CALL:
            break
    else:
        pytest.fail("more than 99 calls")
    assert {old, new} <= seen


def test_a_kill_leaves_the_old_cube_to_be_put_back_when_the_next_write_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The state between: the samples' name is free."""
    for nth in range(1, 100):
        path = begin(tmp_path / str(nth), "scene.img", "", OLD_WAVES)
        assert in_child(lambda path=path: write(path, NEW, NEW_WAVES), nth, False, monkeypatch) == KILLED  # type: ignore[misc]
        if read(path) is None:
            break
    info = CubeInfo(NEW.shape, NEW.dtype)
    with pytest.raises(ZeroDivisionError), create_cube(path, info):
        raise ZeroDivisionError
    assert read(path) == (OLD.tobytes(), OLD_WAVES)
    assert [other for other in names(path.parent) if not other.startswith(".")] == ["scene.img", "scene.img.hdr"]


def test_a_header_that_other_samples_share_stays(tmp_path: Path) -> None:
    path = begin(tmp_path / "a", "scene.img", "scene.hdr", OLD_WAVES)
    (path.parent / "scene.raw").write_bytes(path.read_bytes())
    write(path, NEW, NEW_WAVES)
    assert read(path) == (NEW.tobytes(), NEW_WAVES)
    assert read(path.parent / "scene.raw") == (OLD.tobytes(), OLD_WAVES)


def test_a_header_of_the_stem_goes_with_the_samples_that_it_described(tmp_path: Path) -> None:
    """GDAL reads NAME.hdr before NAME.img.hdr."""
    path = begin(tmp_path / "a", "scene.img", "scene.hdr", OLD_WAVES)
    write(path, NEW, NEW_WAVES)
    assert names(path.parent) == ["scene.img", "scene.img.hdr"]
