"""Cube files that ask for more than they hold, that point to other files, or whose text breaks out of where it is written."""

from __future__ import annotations

import json
import shutil
import struct
from pathlib import Path

import numpy as np
import pytest

from edgefuse.errors import CubeError
from edgefuse.hyperspectral.cube import CubeInfo, Georeference
from edgefuse.hyperspectral.formats import create_cube, open_cube
from tests.conftest import Run
from tests.support.memory import measure

h5py = pytest.importorskip("h5py")
pytest.importorskip("rasterio")
io = pytest.importorskip("scipy.io")

from tests.hyperspectral.formats import bombs  # noqa: E402

MOST_BYTES = 96 << 20


@pytest.mark.slow
@pytest.mark.parametrize("name", bombs.BOMBS)
def test_a_file_takes_no_more_memory_than_its_cube(name: str, tmp_path: Path) -> None:
    file, make = bombs.BOMBS[name]
    make(tmp_path / file)
    took = measure("tests.hyperspectral.formats.bombs", "read", tmp_path / file)
    assert took.extra <= MOST_BYTES, took
    assert took.answer.startswith(("CubeError", "refused")) or name == "NPZ text", took


def test_samples_in_another_hdf5_file_are_refused(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_bytes(b"0123456789")
    with h5py.File(tmp_path / "external.h5", "w") as f:
        f.create_dataset("cube", (1, 1, 10), "u1", external=[(str(secret), 0, 10)])
    with h5py.File(tmp_path / "other.h5", "w") as f:
        f["cube"] = np.zeros((2, 3, 4), np.uint8)
    layout = h5py.VirtualLayout((2, 3, 4), "u1")
    layout[:] = h5py.VirtualSource(str(tmp_path / "other.h5"), "cube", (2, 3, 4))
    with h5py.File(tmp_path / "virtual.h5", "w") as f:
        f.create_virtual_dataset("cube", layout)
    with h5py.File(tmp_path / "link.h5", "w") as f:
        f["cube"] = h5py.ExternalLink(str(tmp_path / "other.h5"), "cube")
    with h5py.File(tmp_path / "prisma.h5", "w") as f:
        fields = f.create_group("HDFEOS/SWATHS/PRS_L2D_HCO/Data Fields")
        for name in ("VNIR_Cube", "SWIR_Cube"):
            fields[name] = h5py.ExternalLink(str(tmp_path / "other.h5"), "cube")
    for name, message in (
        ("external", "lie in other files"),
        ("virtual", "lie in other files"),
        ("link", "no dataset 'cube'"),
        ("prisma", "missing"),
    ):
        with pytest.raises(CubeError, match=message):
            open_cube(tmp_path / f"{name}.h5")


def test_chunks_with_every_filter_are_read(tmp_path: Path) -> None:
    cube = np.random.default_rng(0).integers(0, 999, (20, 30, 40)).astype(np.uint16)
    options = [
        {"compression": "gzip"},
        {"compression": "gzip", "shuffle": True, "fletcher32": True},
        {"compression": "lzf"},
        {"fletcher32": True},
    ]
    for option in options:
        with h5py.File(tmp_path / "a.h5", "w") as f:
            f.create_dataset("cube", data=cube, chunks=(8, 8, 8), **option)
        with open_cube(tmp_path / "a.h5") as source:
            assert np.array_equal(source[3:17, 5:, ::3], cube[3:17, 5:, ::3]), option


@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize("dtype", ["u1", "i1", "u2", "i2", "u4", "i4", "u8", "i8", "f4", "f8", "c16"])
def test_matlab_arrays_of_every_type_are_read_as_scipy_reads_them(dtype: str, compressed: bool, tmp_path: Path) -> None:
    rng, path = np.random.default_rng(1), tmp_path / "a.mat"
    for shape in ((3, 4, 5), (1, 1, 2), (70, 50, 40)):
        cube = (rng.random(shape) * 100).astype(dtype)
        if dtype == "c16":
            cube = cube + 1j * rng.random(shape)
        others = {"row": np.arange(3.0), "struct": {"a": 1, "b": "t"}, "cell": np.array([1, "a"], object)}
        io.savemat(path, {**others, "cube": cube, "text": "hello"}, do_compression=compressed)
        with open_cube(path) as source:
            expected = io.loadmat(path)["cube"]
            assert source.dtype == expected.dtype
            assert np.array_equal(source[:], expected)


def test_matlab_files_cut_short_or_changed_are_refused(tmp_path: Path) -> None:
    path, rng = tmp_path / "a.mat", np.random.default_rng(2)
    refused = 0
    for compressed in (False, True):
        io.savemat(path, {"cube": rng.integers(0, 9, (5, 4, 3)), "info": "{}"}, do_compression=compressed)
        data = path.read_bytes()
        for k in range(400):
            changed = bytearray(data[: rng.integers(1, len(data)) if k % 2 else len(data)])
            for at in rng.integers(0, min(len(changed), 300), 3):
                changed[at] = rng.choice([0, 1, 4, 127, 128, 255])
            path.write_bytes(changed)
            try:
                with open_cube(path) as source:
                    source[:]
            except CubeError:
                refused += 1
    assert refused > 200


HOSTILE = "red\x1b[31m\x9b5m\u202e\r\nsamples = 2\u2028lines = 8\x85bands = 9\ud800}"


@pytest.mark.parametrize("suffix", [".img", ".npy", ".npz", ".mat", ".tif", ".h5"])
def test_text_of_a_file_stays_in_its_field(suffix: str, tmp_path: Path) -> None:
    metadata = {"description": HOSTILE, "key\n" + HOSTILE: "x", "sensor type": "a\rb"}
    georeference = Georeference((1.0, 0.0, 0.0, 0.0, -1.0, 0.0), "" if suffix == ".tif" else HOSTILE)
    info = CubeInfo((4, 4, 3), np.dtype("u2"), band_names=(HOSTILE, "b", "c"), georeference=georeference, metadata=metadata)
    cube = np.arange(48, dtype=np.uint16).reshape(4, 4, 3)
    with create_cube(tmp_path / f"a{suffix}", info) as sink:
        sink[:] = cube
    with open_cube(tmp_path / f"a{suffix}") as source:
        assert np.array_equal(source[:], cube)
        assert source.info.band_names is not None
        for text in (*source.info.band_names, *source.info.metadata, *source.info.metadata.values()):
            assert text.replace("\n", "").isprintable(), text
    if suffix == ".img":
        lines = (tmp_path / "a.img.hdr").read_text().splitlines()
        assert [line for line in lines if line.startswith(("samples", "lines", "bands"))] == ["samples = 4", "lines = 4", "bands = 3"]


def test_a_coordinate_system_can_not_end_its_field(tmp_path: Path) -> None:
    crs = "X}\nsamples = 2\nlines = 8\nheader offset = 0\ndescription = {owned"
    info = CubeInfo((4, 4, 3), np.dtype("u2"), georeference=Georeference((1.0, 0.0, 0.0, 0.0, -1.0, 0.0), crs))
    with create_cube(tmp_path / "a.img", info) as sink:
        sink[:] = np.zeros((4, 4, 3), np.uint16)
    assert "owned" not in (tmp_path / "a.img.hdr").read_text()


def test_info_prints_no_control_characters(run: Run, tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.zeros((2, 2, 1), np.uint8))
    metadata = {"descr\x1b[2J": "a\x1b]0;owned\x07b\nfake line: ok"}
    (tmp_path / "a.npy.json").write_text(json.dumps({"metadata": metadata, "band_names": ["\x1b[31mred\x9b0m"]}))
    done = run("info", "a.npy")
    assert done.returncode == 0, done.stderr
    assert done.stdout.replace("\n", "").isprintable()
    assert not any(line.startswith("fake") for line in done.stdout.splitlines())


def test_numbers_that_are_not_finite_are_refused(tmp_path: Path) -> None:
    with create_cube(tmp_path / "a.tif", CubeInfo((2, 3, 2), np.dtype("u2"), gain=(3.5, 3.5), offset=(1.0, 1.0))) as sink:
        sink[:] = np.ones((2, 3, 2), np.uint16)
    data = (tmp_path / "a.tif").read_bytes()
    assert b"3.5" in data
    (tmp_path / "b.tif").write_bytes(data.replace(b"3.5", b"inf"))
    with pytest.raises(CubeError, match="finite"):
        open_cube(tmp_path / "b.tif")
    with pytest.raises(CubeError, match="gain"):
        CubeInfo((2, 3, 2), np.dtype("u2"), gain=(float("inf"), 1.0))


def test_a_matlab_text_is_read_in_both_byte_orders(tmp_path: Path) -> None:
    name, text = b"info", '{"metadata": {"a": "b"}}'
    for order, mark in (("<", b"IM"), (">", b"MI")):

        def element(kind: int, data: bytes, order: str = order) -> bytes:
            return struct.pack(order + "II", kind, len(data)) + data + bytes(-len(data) % 8)

        def array(code: int, shape: tuple[int, ...], called: bytes, samples: bytes, order: str = order) -> bytes:
            parts = element(6, struct.pack(order + "II", code, 0)), element(5, struct.pack(f"{order}{len(shape)}i", *shape))
            return element(14, b"".join((*parts, element(1, called), samples)))

        cube = array(11, (1, 2, 3), b"cube", element(4, np.arange(6).astype(order + "u2").tobytes()))
        info = array(4, (1, len(text)), name, element(4, np.frombuffer(text.encode(), "u1").astype(order + "u2").tobytes()))
        path = tmp_path / "a.mat"
        path.write_bytes(b"MATLAB 5.0 MAT-file".ljust(124) + struct.pack(order + "H", 0x0100) + mark + cube + info)
        with open_cube(path) as source:
            assert source[:].ravel(order="F").tolist() == [0, 1, 2, 3, 4, 5]
            assert source.info.metadata == {"a": "b"}


def test_a_message_that_is_no_utf_8_says_nothing(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """GDAL quotes the text of a damaged file."""
    path = Path(__file__).resolve().parents[4] / "shared/cases/attack/nonfinite_gain.tif"
    if not path.is_file():
        pytest.skip("../shared/cases is not here")
    shutil.copy(path, tmp_path / "a.tif")
    with pytest.raises(CubeError, match=r"not finite|quotes bytes that are no text"):
        open_cube(tmp_path / "a.tif")
    assert capfd.readouterr().err == ""
