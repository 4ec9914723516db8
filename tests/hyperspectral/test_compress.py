"""A compressed file is decoded and checked before it appears: a faulty codec is detected, and no file is written."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgefuse.archive.compression import CompressionJob
from edgefuse.archive.job import run as run_job
from edgefuse.errors import CubeError, EdgeFuseError, InputError
from edgefuse.hyperspectral import compress
from edgefuse.hyperspectral.compressed_reader import Compressed
from edgefuse.hyperspectral.cube import CubeInfo
from edgefuse.hyperspectral.formats import create_cube, open_cube
from edgefuse.hyperspectral.quality import Quality
from tests.hyperspectral.cubes import described, samples, scene

SHAPE = (30, 20, 6)


@pytest.fixture
def cube(tmp_path: Path) -> Path:
    with create_cube(tmp_path / "a.npy", described(SHAPE)) as sink:
        sink[:] = scene(SHAPE)
    return tmp_path / "a.npy"


def spoil(monkeypatch: pytest.MonkeyPatch, change: Callable[[Any], Any]) -> None:
    """Pass decoded samples through `change`; a tile for which it returns None is lost."""
    honest = Compressed.each

    def each(self: Any, work: Any, *how: int, **named: int) -> Any:
        def spoilt(window: Any, found: Any) -> Any:
            changed = change(found.copy())
            return None if changed is None else work(window, changed)

        return (result for result in honest(self, spoilt, *how, **named) if result is not None)

    monkeypatch.setattr(Compressed, "each", each)


def off(by: int) -> Callable[[Any], Any]:
    def change(found: Any) -> Any:
        found[1, 2, 3] += by
        return found

    return change


@pytest.mark.parametrize(
    ("quality", "change", "says"),
    [
        (Quality(), off(1), "the decoded cube differs from the original"),
        (Quality(max_error=3), off(20), "allowed are 3;"),
        (Quality(bpppc=4), lambda found: None, "decoded completely"),
    ],
)
def test_a_codec_that_fails_is_found_out(
    cube: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, quality: Quality, change: Callable[[Any], Any], says: str
) -> None:
    (tmp_path / "a.efz").write_bytes(b"before")
    spoil(monkeypatch, change)
    with pytest.raises(EdgeFuseError, match=says):
        compress.compress_file(cube, tmp_path / "a.efz", quality)
    assert (tmp_path / "a.efz").read_bytes() == b"before"
    assert {p.name for p in tmp_path.iterdir()} == {"a.npy", "a.npy.json", "a.efz"}


@pytest.mark.parametrize("dtype", ["u1", "i1", "i2", "u2"])
def test_lossless_is_lossless_for_every_type(tmp_path: Path, dtype: str) -> None:
    x = samples(SHAPE, dtype)
    with create_cube(tmp_path / "a.npy", CubeInfo(SHAPE, x.dtype)) as sink:
        sink[:] = x
    report = compress.compress_file(tmp_path / "a.npy", tmp_path / "a.efz", Quality())
    assert report["quality"]["psnr_db"] == "inf"
    assert report["quality"]["peak"] == {"u1": 255, "i1": 127}.get(dtype, 10000)
    compress.decompress_file(tmp_path / "a.efz", tmp_path / "b.npz")
    with open_cube(tmp_path / "b.npz") as source:
        assert np.array_equal(source[:], x)


def test_no_data_survives(tmp_path: Path) -> None:
    x = scene(SHAPE)
    x[:5, :5] = 65535
    with create_cube(tmp_path / "a.npy", described(SHAPE).like(nodata=65535)) as sink:
        sink[:] = x
    report = compress.compress_file(tmp_path / "a.npy", tmp_path / "a.efz", Quality(max_error=2))
    assert report["quality"]["samples"] == (30 * 20 - 25) * 6
    compress.decompress_file(tmp_path / "a.efz", tmp_path / "b.npy")
    with open_cube(tmp_path / "b.npy") as source:
        assert source.info.nodata == 65535
        assert np.abs(source[:].astype(int) - x).max() <= 2


def test_the_verification_is_the_same_for_any_number_of_threads(tmp_path: Path) -> None:
    x = scene((2000, 6, 3))  # eight tiles
    x[300:320] = 65535
    x[1500:1502, 2] = 9
    with create_cube(tmp_path / "a.npy", CubeInfo(x.shape, x.dtype, nodata=65535)) as sink:
        sink[:] = x
    quality = Quality(bpppc=3)
    one, several = (compress.compress_file(tmp_path / "a.npy", tmp_path / f"{n}.efz", quality, threads=n) for n in (1, 3))
    assert (tmp_path / "1.efz").read_bytes() == (tmp_path / "3.efz").read_bytes()
    assert one["quality"] == several["quality"]
    assert one.get("likely_fills") == several.get("likely_fills")


def test_a_tile_that_differs_ends_the_verification_of_the_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with create_cube(tmp_path / "a.npy", described((5000, 6, 3))) as sink:
        sink[:] = scene((5000, 6, 3))
    seen = []

    def change(found: Any) -> Any:
        seen.append(len(seen))
        found[0, 0, 0] += seen[-1] >= 2
        return found

    spoil(monkeypatch, change)
    with pytest.raises(EdgeFuseError, match="the decoded cube differs"):
        compress.compress_file(tmp_path / "a.npy", tmp_path / "a.efz", Quality(), threads=3)
    assert len(seen) < 12  # of twenty tiles
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("edgefuse-tile")]
    assert not (tmp_path / "a.efz").exists()


def test_progress_is_told_up_to_the_end(cube: Path, tmp_path: Path) -> None:
    told: list[tuple[int, int]] = []
    compress.compress_file(cube, tmp_path / "a.efz", Quality(), beat=lambda done, total: told.append((done, total)))
    whole = 30 * 20 * 6 * 2
    # once to encode and once to verify
    assert told[-1] == (2 * whole, 2 * whole)
    assert {total for _, total in told} == {2 * whole}
    compress.decompress_file(tmp_path / "a.efz", tmp_path / "b.npy", beat=lambda done, total: told.append((done, total)))
    assert told[-1] == (whole, whole)


def test_a_source_that_changes_while_it_is_read_is_not_done(cube: Path, tmp_path: Path) -> None:
    job = CompressionJob("compress", "a.npy", cube, tmp_path / "out/a.npy.efz", tmp_path / "out", Quality())
    record = run_job(job, lambda done, total: cube.with_name("a.npy.json").write_text("{}\n") and None)
    assert record["state"] == "changed"
    assert not job.target.exists()
    cube.with_name("a.npy.json").unlink()
    record = run_job(job)
    assert record["state"] == "done"
    assert record["target"]["file"] == "a.npy.efz"


def test_what_can_not_be_asked_for() -> None:
    for wrong in ({"bpppc": 1.0, "max_error": 0.0}, {"bpppc": -1.0}, {"psnr": 0.0}, {"max_error": float("nan")}):
        with pytest.raises(InputError):
            Quality(**wrong)  # type: ignore[arg-type]
    assert Quality().as_json() == {"model": "spectral-edge", "max_error": 0}


def test_a_cube_of_complex_numbers_is_told(tmp_path: Path) -> None:
    with create_cube(tmp_path / "a.npy", CubeInfo(SHAPE, np.dtype("c8"))) as sink:
        sink[:] = samples(SHAPE, "c8")
    with pytest.raises(CubeError, match="complex"):
        compress.compress_file(tmp_path / "a.npy", tmp_path / "a.efz", Quality())
    assert not (tmp_path / "a.efz").exists()


def test_floats_at_a_rate_and_lossless(tmp_path: Path) -> None:
    x = (scene((40, 40, 12)) / np.float32(10000)).astype(np.float32)
    x[3, 4] = np.nan
    with create_cube(tmp_path / "a.npy", CubeInfo(x.shape, x.dtype, nodata=float("nan"))) as sink:
        sink[:] = x
    report = compress.compress_file(tmp_path / "a.npy", tmp_path / "a.efz", Quality(psnr=50))
    assert report["quality"]["psnr_db"] >= 50
    assert report["quality"]["peak"] == 1
    compress.decompress_file(tmp_path / "a.efz", tmp_path / "b.npy")
    with open_cube(tmp_path / "b.npy") as source:
        assert np.array_equal(np.isnan(source[:]), np.isnan(x))
        assert np.isnan(source.info.nodata or 0)
    report = compress.compress_file(tmp_path / "a.npy", tmp_path / "c.efz", Quality(max_error=0.001))
    assert 0 < report["quality"]["max_error"] <= 0.001
    report = compress.compress_file(tmp_path / "a.npy", tmp_path / "c.efz", Quality())
    assert report["quality"]["psnr_db"] == "inf"


def test_no_data_that_no_sample_can_be_is_kept_as_a_word(tmp_path: Path) -> None:
    for nodata in (-9999, 0.5, 1e300):
        with create_cube(tmp_path / "a.npy", described(SHAPE).like(nodata=nodata)) as sink:
            sink[:] = scene(SHAPE)
        compress.compress_file(tmp_path / "a.npy", tmp_path / "a.efz", Quality())
        compress.decompress_file(tmp_path / "a.efz", tmp_path / "b.npy")
        with open_cube(tmp_path / "b.npy") as source:
            assert source.info.nodata == nodata


def test_a_rate_that_is_too_low_is_an_error_or_warned_of(cube: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(CubeError, match=r"too small for this rate.*--bpppc [0-9.]+ reaches it") as caught:
        compress.compress_file(cube, tmp_path / "a.efz", Quality(bpppc=0.001))
    assert not (tmp_path / "a.efz").exists()
    enough = float(str(caught.value).split("--bpppc ")[1].split()[0])
    assert compress.compress_file(cube, tmp_path / "b.efz", Quality(bpppc=enough))["bpppc"] <= enough
    report = compress.compress_file(cube, tmp_path / "a.efz", Quality(bpppc=0.001, allow_miss=True))
    assert "too small for this rate" in report["missed"]
    assert report["bpppc"] > 0.001
    assert "too small for this rate" in caplog.text
