"""The watch of a folder, with a pool that answers what the test says."""

from __future__ import annotations

import errno
import hashlib
import json
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgefuse.archive import job
from edgefuse.archive.compression import CompressionJob
from edgefuse.archive.incoming import IncomingCubes
from edgefuse.archive.manifest import NAME, Manifest
from edgefuse.archive.watch import Watch
from edgefuse.errors import OutputError
from edgefuse.hyperspectral import compress
from edgefuse.hyperspectral.quality import Quality
from edgefuse.util.files import output_error
from tests.archive.test_incoming import cube
from tests.hyperspectral.cubes import mixed

LOSSLESS = Quality(max_error=0)


class Here:
    """A pool that runs jobs in this process."""

    def submit(self, task: Any, *args: Any) -> Future[dict[str, Any]]:
        future: Future[dict[str, Any]] = Future()
        future.set_result(task(*args))
        return future


class Opens:
    """An examiner that finds no fault."""

    busy = False

    def __call__(self, path: Path) -> str:
        return ""

    def since_taken_up(self, path: Path) -> None:
        return None


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "in").mkdir()
    (tmp_path / "out").mkdir()
    return tmp_path


def watched(folder: Path, said: list[str], delete: bool = True, quality: Quality = LOSSLESS) -> tuple[Watch, OutputError | None]:
    """Run a watch until all is done. Returns it, and the error that ended it."""
    examiner: Any = Opens()
    pool: Any = Here()
    with Manifest(folder / "out") as manifest:
        incoming = IncomingCubes(folder / "in", 0, 0, examine=examiner)
        watch = Watch(incoming, manifest, quality, delete, said.append, pool, examiner)
        try:
            watch.run(False, lambda: None)
        except OutputError as e:
            return watch, e
        return watch, None


def records(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "out" / NAME).read_text().splitlines()]


def test_a_place_that_can_not_be_written_is_no_fault_of_the_cube(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: object, **__: object) -> dict[str, Any]:
        raise output_error(folder / "out/a.npy.efz", OSError(errno.EROFS, "read-only"))

    cube(folder / "in/a.npy")
    monkeypatch.setattr(compress, "compress_cube", fails)
    target = folder / "out/a.npy.efz"
    record = job.run(CompressionJob("compress", "a.npy", folder / "in/a.npy", target, target.parent, Quality(max_error=0)))
    assert (record["state"], record["place"]) == ("bad", True)
    said: list[str] = []
    watch, error = watched(folder, said)
    assert "the file system is read-only" in str(error)
    assert (watch.counts.full, watch.counts.bad) == (1, 0)
    assert "a.npy waits, and is tried again" in said[0]
    assert (folder / "in/a.npy").exists()
    assert records(folder) == []


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO])
def test_a_manifest_that_is_full_after_a_deletion_was_refused_ends_nothing(
    folder: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    """The original has more than is kept, which is to be noted; the disk is full just then."""
    np.savez(folder / "in/a.npz", cube=np.zeros((4, 3, 5), np.uint16), more=np.zeros(3))
    said: list[str] = []
    watched(folder, said, delete=False)

    def full(self: Manifest, record: dict[str, Any]) -> None:
        raise output_error(self.path, OSError(number, "full"))

    monkeypatch.setattr(Manifest, "append", full)
    watch, error = watched(folder, said)
    assert error is None
    assert (watch.counts.kept, watch.counts.deleted) == (1, 0)
    assert any("does not have what became of a.npz" in line for line in said)
    assert (folder / "in/a.npz").exists()


def test_a_copy_that_the_manifest_does_not_list_is_never_overwritten(folder: Path) -> None:
    cube(folder / "in/a.npy")
    (folder / "out/a.npy.efz").write_bytes(b"the only copy of an older cube")
    watch, _ = watched(folder, [])
    assert watch.counts.deleted == 1
    assert (folder / "out/a.npy.efz").read_bytes() == b"the only copy of an older cube"
    (record,) = records(folder)
    assert record["target"]["file"] == "a.npy.2.efz"


def test_the_same_copy_that_a_kill_left_is_taken_over(folder: Path) -> None:
    cube(folder / "in/a.npy")
    watched(folder, [], delete=False)
    made = (folder / "out/a.npy.efz").read_bytes()
    (folder / "out" / NAME).unlink()
    watched(folder, [])
    assert sorted(p.name for p in (folder / "out").iterdir()) == ["a.npy.efz", NAME]
    (record,) = records(folder)
    assert (record["target"]["file"], record["target"]["sha256"]) == ("a.npy.efz", hashlib.sha256(made).hexdigest())


def test_an_original_stays_whose_samples_do_not_fit_the_peak(folder: Path) -> None:
    """Radiance of 1e-9 at 45 dB of a peak of 1 is nothing but one spectrum."""
    radiance = (mixed((40, 40, 10), "float32") * 1e-9).astype(np.float32)
    np.save(folder / "in/a.npy", radiance)
    for quality, deleted in ((Quality(psnr=45), 0), (Quality(psnr=45, peak=float(radiance.max())), 1)):
        watch, _ = watched(folder, [], quality=quality)
        assert watch.counts.deleted == deleted
    assert "give --peak" in records(folder)[0]["original"]["message"]
