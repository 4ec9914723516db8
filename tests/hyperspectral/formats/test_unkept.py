"""What a reader saw and did not keep is named; pages of a TIFF are bands, masked pixels missing samples."""

from __future__ import annotations

import json
import logging
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from edgefuse.errors import CubeError
from edgefuse.hyperspectral.compress import compress_file, decompress_file
from edgefuse.hyperspectral.cube import CubeInfo
from edgefuse.hyperspectral.formats import FORMATS, create_cube, open_cube
from edgefuse.hyperspectral.labels import labels_of
from edgefuse.hyperspectral.quality import Quality
from edgefuse.sharpening.check import with_mask
from tests.hyperspectral.cubes import described, samples, scene

SHAPE = (6, 5, 4)


def unkept(path: Path) -> str:
    with open_cube(path) as source:
        return "; ".join(source.unkept)


def pages(path: Path, images: list[NDArray[Any]], description: str = "", extra: tuple[int, ...] = ()) -> Path:
    """A TIFF with an image a page, uncompressed, little-endian. extra: numbers of further tags."""
    out, previous = bytearray(b"II*\0\0\0\0\0"), 4
    for image in images:
        start = len(out)
        out += image.tobytes() + b"\0" * (image.nbytes % 2)
        text = len(out)
        out += description.encode() + b"\0\0"[: 2 - len(description) % 2]
        struct.pack_into("<I", out, previous, len(out))
        size = image.dtype.itemsize
        tags = [(256, 4, image.shape[1]), (257, 4, image.shape[0]), (258, 3, 8 * size), (259, 3, 1), (262, 3, 1), (273, 4, start)]
        tags += [(277, 3, 1), (278, 4, image.shape[0]), (279, 4, image.nbytes), *((n, 3, 1) for n in extra)]
        entries = [struct.pack("<HHII", tag, kind, 1, value) for tag, kind, value in tags]
        if description:
            entries.append(struct.pack("<HHII", 270, 2, len(description) + 1, text))
        entries.sort(key=lambda e: struct.unpack_from("<H", e)[0])
        out += struct.pack("<H", len(entries)) + b"".join(entries)
        previous = len(out)
        out += b"\0\0\0\0"
    path.write_bytes(out)
    return path


def tiff(path: Path, bands: NDArray[Any], after: Callable[[Any], None] | None = None, **how: Any) -> Path:
    rasterio = pytest.importorskip("rasterio")
    count, height, width = bands.shape
    how = {"transform": rasterio.Affine(30, 0, 500000, 0, -30, 5000000), **how}
    with rasterio.open(path, "w", driver="GTiff", height=height, width=width, count=count, dtype=bands.dtype.name, **how) as f:
        if after:
            after(f)
        f.write(bands)
    return path


@pytest.mark.parametrize("form", FORMATS)
def test_what_edgefuse_writes_is_kept(form: str, tmp_path: Path) -> None:
    for package in {"tiff": ("rasterio",), "cog": ("rasterio",), "mat": ("h5py",), "hdf5": ("h5py",), "netcdf": ("h5py",)}.get(form, ()):
        pytest.importorskip(package)
    path = tmp_path / f"a{(*FORMATS[form], '.img')[0]}"
    with create_cube(path, described(SHAPE), form) as sink:
        sink[:] = samples(SHAPE)
    assert unkept(path) == ""


def test_pages_are_bands(tmp_path: Path) -> None:
    pytest.importorskip("rasterio")
    bands = samples((198, 7, 5))
    path = pages(tmp_path / "a.tif", list(bands))
    with open_cube(path) as source:
        assert source.shape == (7, 5, 198)
        assert source.unkept == ()
        assert np.array_equal(source[:], bands.transpose(1, 2, 0))
        assert np.array_equal(source[2:4, 1:3, 60:190], bands.transpose(1, 2, 0)[2:4, 1:3, 60:190])
    report = compress_file(path, tmp_path / "a.efz", Quality())
    assert report["shape"] == [7, 5, 198]


def test_pages_that_are_no_bands_are_named(tmp_path: Path) -> None:
    pytest.importorskip("rasterio")
    path = pages(tmp_path / "a.tif", [samples((6, 5)), samples((3, 2)), samples((6, 5), np.uint8)])  # type: ignore[arg-type]
    assert unkept(path) == "2 further pages of another size or type"


def test_images_without_pages_are_named(tmp_path: Path) -> None:
    pytest.importorskip("rasterio")
    text = "ImageJ=1.54\nimages=12\nslices=12\n"
    assert "11 of 12 images" in unkept(pages(tmp_path / "a.tif", [samples((6, 5, 1))[:, :, 0]], text))
    text = json.dumps({"shape": [12, 6, 5]})
    assert "[12, 6, 5]" in unkept(pages(tmp_path / "b.tif", [samples((6, 5, 1))[:, :, 0]], text))
    assert unkept(pages(tmp_path / "c.tif", list(samples((12, 6, 5))), text)) == ""


def test_directories_in_a_circle_are_refused(tmp_path: Path) -> None:
    pytest.importorskip("rasterio")
    path = pages(tmp_path / "a.tif", [samples((6, 5, 1))[:, :, 0]])
    data = bytearray(path.read_bytes())
    data[-4:] = data[4:8]
    path.write_bytes(data)
    with pytest.raises(CubeError, match="circle"):
        open_cube(path)


def test_tags_that_nothing_reads_are_named(tmp_path: Path) -> None:
    pytest.importorskip("rasterio")
    path = pages(tmp_path / "a.tif", [samples((6, 5, 1))[:, :, 0]], extra=(272, 34665, 50000))
    assert unkept(path) == "TIFF tags: EXIF, Model, tag 50000"


def test_a_mask_declares_samples_missing(tmp_path: Path) -> None:
    rasterio = pytest.importorskip("rasterio")
    bands = samples((3, 6, 5)) | 1
    there = np.ones((6, 5), bool)
    there[:2] = False
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True):
        path = tiff(tmp_path / "a.tif", bands, lambda f: f.write_mask(there))
    with open_cube(path) as source:
        assert source.info.nodata == 0
        assert source.unkept == ("the values under its mask",)
        assert np.array_equal(source[:], np.where(there[:, :, None], bands.transpose(1, 2, 0), 0))
        assert not source[:2, 1:3, 1].any()


def test_a_mask_takes_a_value_that_no_valid_sample_has(tmp_path: Path) -> None:
    rasterio = pytest.importorskip("rasterio")
    there = np.ones((1, 256), bool)
    there[0, 17] = False
    every = np.arange(256, dtype=np.uint8).reshape(1, 1, 256)
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True):
        path = tiff(tmp_path / "a.tif", every, lambda f: f.write_mask(there))
        all_used = tiff(tmp_path / "b.tif", np.concatenate([every, every[:, :, ::-1]], 1), lambda f: f.write_mask(np.eye(2, 256) == 0))
    with open_cube(path) as source:
        assert source.info.nodata == 17
    assert "its mask, as every value of its type is in use" in unkept(all_used)


@pytest.mark.parametrize("declared", [True, False])
def test_alpha_is_no_band_if_it_is_declared(declared: bool, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Otherwise it may be a mask of water: all bands are kept, and only an image to sharpen with is masked by it."""
    rasterio = pytest.importorskip("rasterio")
    bands = np.concatenate([samples((3, 6, 5)) | 1, np.full((1, 6, 5), 65535, np.uint16)])
    bands[3, :2] = 0
    kinds = rasterio.enums.ColorInterp
    meaning = (kinds.gray, kinds.undefined, kinds.undefined, kinds.alpha if declared else kinds.undefined)
    with open_cube(tiff(tmp_path / "a.tif", bands, lambda f: setattr(f, "colorinterp", meaning))) as opened, with_mask(opened) as source:
        assert source.shape == (6, 5, 3)
        assert source.info.nodata == 0
        assert not source[:2].any()
        assert np.array_equal(source[2:], bands[:3, 2:].transpose(1, 2, 0))
        assert "band 4" in "; ".join(source.unkept)
        if not declared:
            assert np.array_equal(opened[:], bands.transpose(1, 2, 0))
            assert opened.unkept == ()
            assert "band 4" in caplog.text


def test_what_a_geotiff_says_besides_is_named(tmp_path: Path) -> None:
    rasterio = pytest.importorskip("rasterio")
    point = rasterio.control.GroundControlPoint(0, 0, 500000, 5000000)

    def after(f: Any) -> None:
        f.units = ("W", "W", "W")
        f.update_tags(1, detector="left")
        f.update_tags(ns="SENSOR", altitude="600")

    named = unkept(tiff(tmp_path / "a.tif", samples((3, 6, 5)), after))
    assert named == "units of its bands; metadata of the namespaces SENSOR; metadata of single bands: detector"
    path = tiff(tmp_path / "b.tif", samples((3, 6, 5)), gcps=[point] * 4, transform=None, crs="EPSG:4326")
    assert unkept(path) == ""
    with open_cube(path) as source:
        assert source.info.metadata["gcps"] == "EPSG:4326" + "; 0.0 0.0 500000.0 5000000.0 0.0" * 4

    def colours(f: Any) -> None:
        f.write_colormap(1, {0: (0, 0, 0, 255), 1: (255, 0, 0, 255)})

    path = tiff(tmp_path / "c.tif", samples((1, 6, 5), np.uint8), colours)
    assert "a colour table" in unkept(path)
    with open_cube(path) as source:
        assert labels_of(source) == "it has a colour table"


def test_an_envi_header_beside_a_geotiff_is_read(tmp_path: Path) -> None:
    path = tiff(tmp_path / "X-SPECTRAL_IMAGE.tif", samples((4, 6, 5)), nodata=7)
    header = path.with_suffix(".hdr")
    header.write_text(
        "ENVI\nsamples = 5\nlines = 6\nbands = 4\nfile type = TIFF\ndata type = 12\ninterleave = bsq\n"
        "wavelength units = nanometers\nwavelength = {400, 500, 600, 700}\ndata gain values = {.1, .1, .1, .1}\nsun = high\n"
    )
    # another product's XML under EnMAP's name
    (tmp_path / "X-METADATA.xml").write_text("<hsi_doc><specific/></hsi_doc>")
    with open_cube(path) as source:
        assert source.info.wavelengths == (400, 500, 600, 700)
        assert source.info.gain == (0.1,) * 4
        assert source.info.nodata == 7
        assert source.info.metadata["sun"] == "high"
        assert source.form == "GeoTIFF"
        assert source.files == (path, header)
        assert source.unkept == ("X-METADATA.xml, which is neither EnMAP's nor DESIS's",)
    header.write_text(header.read_text().replace("bands = 4", "bands = 3").replace("{400, 500, 600, 700}", "{400, 500, 600}"))
    assert "X-SPECTRAL_IMAGE.hdr, which describes a cube of another shape" in unkept(path)


def test_other_arrays_are_named(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", cube=samples(SHAPE), latitude=samples((6, 5, 1)), notes=np.array("x"))
    assert unkept(tmp_path / "a.npz") == "other arrays: latitude.npy, notes.npy"
    np.save(tmp_path / "a.npy", samples(SHAPE))
    (tmp_path / "a.npy.json").write_text('{"sun": 3}')
    assert unkept(tmp_path / "a.npy") == "fields of a.npy.json: sun"
    io = pytest.importorskip("scipy.io")
    io.savemat(tmp_path / "a.mat", {"cube": samples(SHAPE), "gt": samples((6, 5, 1), np.uint8)})
    assert unkept(tmp_path / "a.mat") == "other variables: gt"


def test_other_datasets_and_attributes_are_named(tmp_path: Path) -> None:
    h5py = pytest.importorskip("h5py")
    with h5py.File(tmp_path / "a.h5", "w") as f:
        f["cube"], f["geo/latitude"] = samples(SHAPE), np.zeros((6, 5))
        f["cube"].attrs["units"], f.attrs["sensor"] = "W", "x"
        f["geo"].attrs["datum"] = "WGS 84"
    assert unkept(tmp_path / "a.h5") == "other datasets: geo/latitude; attributes: of cube: units, of geo: datum, of the file: sensor"


def test_of_an_envi_file_all_but_fields_and_samples_is_named(tmp_path: Path) -> None:
    text = "ENVI\nsamples = 5\nlines = 6\nbands = 4\nheader offset = 16\ndata type = 12\ninterleave = bip\n; by hand\nsun = 1\nsun = 2\n"
    (tmp_path / "a.hdr").write_text(text)
    (tmp_path / "a.img").write_bytes(bytes(16) + samples(SHAPE).tobytes())
    assert (
        unkept(tmp_path / "a.img") == "comments in its header; fields that its header has more than once: sun; 16 bytes before its samples"
    )


def test_a_classification_stays_one(tmp_path: Path) -> None:
    info = CubeInfo((6, 5, 1), np.dtype("u1"), metadata={"classes": "3", "file type": "ENVI Classification", "interleave": "bsq"})
    with create_cube(tmp_path / "a.img", info) as sink:
        sink[:] = samples((6, 5, 1), np.uint8) % 3
    with open_cube(tmp_path / "a.img") as source:
        assert labels_of(source) == "its file type is ENVI Classification"
    compress_file(tmp_path / "a.img", tmp_path / "a.efz", Quality())
    decompress_file(tmp_path / "a.efz", tmp_path / "b.img")
    assert "file type = ENVI Classification\n" in (tmp_path / "b.img.hdr").read_text()


@pytest.mark.parametrize(
    ("name", "dtype", "bands", "says"),
    [
        ("a.npy", np.uint8, 1, "8-bit samples in 1 band"),
        ("a.npy", np.uint8, 3, "8-bit samples in 3 bands"),
        ("a.npy", np.uint8, 60, ""),
        ("a.npy", np.uint16, 1, ""),
        ("X-QL_SWIR.npy", np.int16, 1, "quality layer"),
    ],
)
def test_class_maps_are_recognised(name: str, dtype: Any, bands: int, says: str, tmp_path: Path) -> None:
    np.save(tmp_path / name, samples((6, 5, bands), dtype))
    with open_cube(tmp_path / name) as source:
        class_labels = labels_of(source)
        assert says in class_labels
        assert bool(class_labels) == bool(says)


def test_a_compression_warns_and_reports(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    np.savez(tmp_path / "a.npz", cube=scene(), truth=np.zeros((3, 3)))
    with caplog.at_level(logging.WARNING):
        report = compress_file(tmp_path / "a.npz", tmp_path / "a.efz", Quality())
    assert report["not_kept"] == ["other arrays: truth.npy"]
    assert "which is not kept: other arrays: truth.npy" in caplog.text
