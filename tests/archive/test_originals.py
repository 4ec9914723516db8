"""Deletion of the verified bytes and of no others."""

from __future__ import annotations

import fcntl
from pathlib import Path

import pytest

from edgefuse.archive import originals
from edgefuse.archive.manifest import sha256


def _says_who_writes(path: Path) -> bool:
    with open(path, "rb") as f:
        try:
            fcntl.fcntl(f, fcntl.F_SETLEASE, fcntl.F_RDLCK)
        except BlockingIOError:
            return True
        except OSError:
            return False
    return False


def digests(*paths: Path) -> dict[Path, str]:
    return {p: sha256(p) for p in paths}


def test_all_files_of_a_cube_or_none(tmp_path: Path) -> None:
    samples, header = tmp_path / "a.img", tmp_path / "a.hdr"
    samples.write_bytes(b"samples")
    header.write_text("ENVI")
    known = digests(samples, header)
    header.write_text("ENVI, corrected")
    assert not originals.delete(known)
    assert (samples.read_bytes(), header.read_text()) == (b"samples", "ENVI, corrected")
    assert originals.delete(digests(samples, header))
    assert not list(tmp_path.iterdir())


def test_a_newer_file_that_takes_the_name_meanwhile_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.npy"
    path.write_bytes(b"old")
    known = digests(path)

    def while_it_is_hashed(aside: Path, beat: object) -> str:
        newer = tmp_path / "newer"
        newer.write_bytes(b"new")
        newer.replace(path)
        return sha256(aside)

    monkeypatch.setattr(originals, "sha256", while_it_is_hashed)
    assert originals.delete(known)
    assert {p.name: p.read_bytes() for p in tmp_path.iterdir()} == {"a.npy": b"new"}


def test_a_newer_file_that_took_the_name_before_stays(tmp_path: Path) -> None:
    path = tmp_path / "a.npy"
    path.write_bytes(b"old")
    known = digests(path)
    path.write_bytes(b"new")
    assert not originals.delete(known)
    assert {p.name: p.read_bytes() for p in tmp_path.iterdir()} == {"a.npy": b"new"}


def test_a_changed_file_is_put_back_beside_a_newer_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.npy"
    path.write_bytes(b"one")

    def while_it_is_hashed(aside: Path, beat: object) -> str:
        path.write_bytes(b"two")
        return sha256(aside)

    monkeypatch.setattr(originals, "sha256", while_it_is_hashed)
    assert not originals.delete({path: "another"})
    assert {p.name: p.read_bytes() for p in tmp_path.iterdir()} == {"a.npy": b"two", "a.2.npy": b"one"}


def test_a_file_that_is_still_written_stays(tmp_path: Path) -> None:
    path = tmp_path / "a.npy"
    path.write_bytes(b"old")
    known = digests(path)
    with open(path, "ab"):
        if not _says_who_writes(path):
            pytest.skip("this file system does not say who has a file open")
        with pytest.raises(originals.InUseError, match="open for writing"):
            originals.delete(known)
    assert path.read_bytes() == b"old"
    assert originals.delete(known)


def test_what_a_killed_process_left_aside_comes_back(tmp_path: Path) -> None:
    (tmp_path / ".edgefuse-aside-0123456789ab.a.npy").write_bytes(b"one")
    (tmp_path / ".edgefuse-aside-0123456789ac.b.npy").write_bytes(b"old")
    (tmp_path / "b.npy").write_bytes(b"new")
    (tmp_path / ".edgefuse-aside-x.npy").write_bytes(b"another's")
    originals.restore(tmp_path)
    contents = {p.name: p.read_bytes() for p in tmp_path.iterdir()}
    assert contents == {"a.npy": b"one", "b.npy": b"new", "b.2.npy": b"old", ".edgefuse-aside-x.npy": b"another's"}


def test_a_missing_file_is_an_error_and_the_others_stay(tmp_path: Path) -> None:
    samples, header = tmp_path / "a.img", tmp_path / "a.hdr"
    samples.write_bytes(b"samples")
    header.write_bytes(b"ENVI")
    known = digests(samples, header)
    header.unlink()
    with pytest.raises(FileNotFoundError):
        originals.delete(known)
    assert samples.read_bytes() == b"samples"
