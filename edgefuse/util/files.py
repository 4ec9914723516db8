"""Atomic writing of files, and error messages for files that cannot be written."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path

from edgefuse.errors import InputError, OutputError
from edgefuse.util.unfinished_files import part_name, part_of, remove_abandoned_once

_MESSAGES = {
    errno.ENOSPC: "the disk is full; free some space or choose another place",
    errno.EDQUOT: "the disk quota is used up; free some space or choose another place",
    errno.EACCES: "no permission to write here; choose another place or change its permissions",
    errno.EPERM: "no permission to write here; choose another place or change its permissions",
    errno.EROFS: "the file system is read-only; choose another place",
    errno.EFBIG: "the file would exceed the size limit of this process; raise it (ulimit -f) or choose another place",
    errno.ENOTDIR: "a part of the path is a file, not a folder; choose another place",
    errno.EEXIST: "a file is there, not a folder; choose another place",
    errno.EISDIR: "a folder is there, not a file; choose another name",
    errno.ENODEV: "a device or a pipe is there, not a file; choose another name",
    errno.ENAMETOOLONG: "the name is too long; choose a shorter one",
}


# the fault of the place, not of the file that is written there
_OF_THE_PLACE = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO, errno.EACCES, errno.EPERM, errno.ESTALE, errno.EMFILE, errno.ENFILE)


def output_error(path: Path | str, error: OSError) -> OutputError:
    """Convert `error` to a one-line OutputError: path, cause, remedy."""
    message = _MESSAGES.get(error.errno or 0, f"{error.strerror or error}; choose another place")
    converted = OutputError(f"cannot write {path}: {message}")
    converted.full = error.errno in (errno.ENOSPC, errno.EDQUOT)
    converted.place = error.errno in _OF_THE_PLACE
    return converted


def utf8(path: Path, error: type[InputError]) -> str:
    """Return `path` as text for a library that accepts only UTF-8 names. Raises `error` for others."""
    text = str(path)
    try:
        text.encode()
    except UnicodeEncodeError:
        raise error(f"{text!r} is not a UTF-8 name; rename it") from None
    return text


def check_folder(folder: Path) -> None:
    """Create `folder` if missing and check that files can be created in it. Raises OutputError."""
    try:
        make_folder(folder)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as e:
        raise output_error(folder, e) from None


def check_place(folder: Path) -> None:
    """Check that files can be created in `folder`, or that it can be made, without making it. Raises OutputError."""
    there = folder.absolute()
    while not os.path.lexists(there) and there != there.parent:
        there = there.parent
    try:
        if there == folder.absolute() and not there.is_dir():
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST))
        with tempfile.TemporaryFile(dir=there):
            pass
    except OSError as e:
        raise output_error(folder, e) from None


def check_target(path: Path) -> None:
    """Check that `path` can be written, its folder made if missing, without making anything. Raises OutputError."""
    _refuse_other_kinds(path)
    if os.path.lexists(path) and not os.access(path, os.W_OK):
        raise output_error(path, PermissionError(errno.EACCES, "denied"))
    check_place(path.parent)


def check_file(path: Path) -> None:
    """Check that `path` can be written later, without changing it; makes its folder. Raises OutputError."""
    _refuse_other_kinds(path)
    check_folder(path.parent)


def _refuse_other_kinds(path: Path) -> None:
    """Raise OutputError where a folder, a device or a pipe is at `path`."""
    try:
        _check_kind(path)
    except (FileNotFoundError, NotADirectoryError):
        return
    except OSError as e:
        raise output_error(path, e) from None


def _check_kind(path: Path | str) -> None:
    """Raise OSError where `path` is no file: a rename would put a file in the place of /dev/null, for the whole machine."""
    mode = os.stat(path).st_mode  # noqa: PTH116
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, "is a folder")
    if not stat.S_ISREG(mode):
        raise OSError(errno.ENODEV, "is a device or a pipe")


def is_file(path: Path) -> bool:
    """Return whether a file, or a link to one, is at `path`; False where its name is too long, or nobody may look."""
    try:
        return stat.S_ISREG(os.stat(path).st_mode)  # noqa: PTH116
    except (OSError, ValueError):
        return False


def unused(path: Path, sign: str = "-", number: int = 1) -> Path:
    """Return `path`, or the first free of NAME-1, NAME-2, ... where it exists; with another sign and first number NAME.2, NAME.3, ..."""
    free = path
    while os.path.lexists(free):
        free, number = path.with_name(f"{path.stem}{sign}{number}{path.suffix}"), number + 1
    return free


def sync_folder(folder: Path) -> None:
    """Flush a folder's names to disk: a file that was created or renamed in it is there after a power cut. Raises OSError."""
    number = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(number)
    except OSError as e:
        # some file systems, such as FUSE's, can't flush a folder
        if e.errno not in (errno.EINVAL, errno.ENOTSUP, errno.ENOSYS):
            raise
    finally:
        os.close(number)


def make_folder(folder: Path) -> None:
    """Create `folder` and its parents where they are missing, and flush their names to disk. Raises OSError."""
    missing = [folder]
    while not missing[-1].exists() and missing[-1] != missing[-1].parent:
        missing.append(missing[-1].parent)
    folder.mkdir(parents=True, exist_ok=True)
    for made in missing[:-1]:
        sync_folder(made.parent)


def appear(part: Path, path: Path) -> None:
    """Flush the complete file `part` to disk and rename it to `path`, for good. Raises OSError."""
    # otherwise a power cut may leave an empty file, or none
    with open(part, "rb+") as f:
        os.fsync(f.fileno())
    with contextlib.suppress(FileNotFoundError):
        _check_kind(path)
    part.replace(path)
    sync_folder(path.parent)


@contextlib.contextmanager
def appearing(path: Path) -> Iterator[Path]:
    """Yield a temporary path to write to; after the block it is flushed and renamed to `path`. If the block fails, `path` is
    unchanged. Raises OutputError for an OSError."""
    remove_abandoned_once(path.parent)
    part = part_of(path)
    try:
        yield part
        appear(part, path)
    except OSError as e:
        raise output_error(path, e) from None
    finally:
        with contextlib.suppress(OSError):
            part.unlink()


def check_space(path: Path, needed: int) -> None:
    """Raise OutputError where fewer than `needed` bytes are free at `path`."""
    try:
        free = shutil.disk_usage(path).free
    except OSError as e:
        raise output_error(path, e) from None
    if free < needed:
        raise output_error(path, OSError(errno.ENOSPC, "full"))


def write_atomic(path: Path | str, data: bytes | memoryview) -> int:
    """Write `data` to a temporary file and rename it to `path`, so that readers see the old or the new file. Returns the bytes written."""
    # strings instead of Path, whose parts would be interned: the table of interned strings would grow with every file of a run
    part = os.path.join(os.path.dirname(path), part_name(os.path.basename(path)))  # noqa: PTH118, PTH119, PTH120
    try:
        with open(part, "wb") as f:
            f.write(data)
        with contextlib.suppress(FileNotFoundError):
            _check_kind(path)
        os.replace(part, path)  # noqa: PTH105
    except OSError as e:
        with contextlib.suppress(OSError):
            os.unlink(part)  # noqa: PTH108
        raise output_error(path, e) from None
    return len(data)
