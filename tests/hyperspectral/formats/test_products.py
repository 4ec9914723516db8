"""Cubes as written by others: EnMAP's GeoTIFF with XML, PRISMA's HDF5, and MATLAB and NumPy files of other programs."""

from __future__ import annotations

import logging
import sys
import warnings
import zipfile
from pathlib import Path

import numpy as np
import pytest

from edgefuse.errors import CubeError, MissingDependencyError
from edgefuse.hyperspectral.cube import CubeInfo
from edgefuse.hyperspectral.formats import FORMATS, create_cube, open_cube
from tests.hyperspectral.cubes import described, samples

SHARED = Path(__file__).resolve().parents[4] / "shared/data/hsi"
BANDS = 4


def enmap(folder: Path, bands: int = BANDS, extra: str = "") -> Path:
    """Write an image and its XML as DLR's processor does."""
    rasterio = pytest.importorskip("rasterio")
    path = folder / "ENMAP01-____L2A-DT0000001053_20220611T072319Z_002_V010400_20231221T134421Z-SPECTRAL_IMAGE.TIF"
    how = {"driver": "GTiff", "height": 6, "width": 5, "count": BANDS, "dtype": "int16", "nodata": -32768, "compress": "deflate"}
    with rasterio.open(path, "w", crs="EPSG:32633", transform=rasterio.Affine(30, 0, 380000, 0, -30, 5820000), **how) as f:
        f.write(samples((BANDS, 6, 5), np.int16))
    characters = "".join(
        f'<bandID number="{n + 1}"><wavelengthCenterOfBand>{418.416 + 6 * n}</wavelengthCenterOfBand><FWHMOfBand>{6.99}</FWHMOfBand>'
        f"<GainOfBand>0.0001</GainOfBand><OffsetOfBand>0</OffsetOfBand></bandID>"
        for n in reversed(range(bands))
    )
    Path(str(path).replace("SPECTRAL_IMAGE.TIF", "METADATA.XML")).write_text(
        f"<?xml version='1.0'?>{extra}<level_X><specific><backgroundValue>-32768</backgroundValue>"
        f"<bandCharacterisation>{characters}</bandCharacterisation></specific></level_X>"
    )
    return path


def test_enmap(tmp_path: Path) -> None:
    with open_cube(enmap(tmp_path)) as source:
        assert np.array_equal(source[:], samples((BANDS, 6, 5), np.int16).transpose(1, 2, 0))
        info = source.info
        assert source.form == "EnMAP GeoTIFF"
        assert [p.suffix for p in source.files] == [".TIF", ".XML"]
    assert info.wavelengths == pytest.approx((418.416, 424.416, 430.416, 436.416))
    assert info.fwhm == (6.99,) * BANDS
    assert info.gain == (1e-4,) * BANDS
    assert info.nodata == -32768
    assert info.georeference is not None
    assert info.georeference.crs == "EPSG:32633"
    assert info.georeference.transform == (30, 0, 380000, 0, -30, 5820000)


def test_desis_by_its_own_xml(tmp_path: Path) -> None:
    rasterio = pytest.importorskip("rasterio")
    path = tmp_path / "DESIS-HSI-L2A-DT0334789784_001-20190624T215012-V0213-SPECTRAL_IMAGE.tif"
    how = {"height": 6, "width": 5, "count": BANDS, "dtype": "int16", "nodata": -32768, "crs": "EPSG:32633"}
    with rasterio.open(path, "w", driver="GTiff", transform=rasterio.Affine(30, 0, 380000, 0, -30, 5820000), **how) as f:
        f.write(samples((BANDS, 6, 5), np.int16))
    characters = "".join(
        f"<band><bandNumber>{n + 1}</bandNumber><wavelengthWidthOfBand>3.6</wavelengthWidthOfBand><response>0.1,0.9,0.1</response>"
        f"<wavelengths>401,402,403</wavelengths><wavelengthCenterOfBand>{401.9 + 2.55 * n}</wavelengthCenterOfBand>"
        f"<gainOfBand>0.0001</gainOfBand><offsetOfBand>0.5</offsetOfBand></band>"
        for n in reversed(range(BANDS))
    )
    # bands are listed in another place, too, which has no wavelengths
    xml = f"<hsi_doc><specific><interiorOrientation><band/><band/></interiorOrientation><bandCharacterisation>{characters}"
    path.with_name(path.name.replace("SPECTRAL_IMAGE.tif", "METADATA.xml")).write_text(f"{xml}</bandCharacterisation></specific></hsi_doc>")
    with open_cube(path) as source:
        info = source.info
        assert (source.form, source.unkept) == ("DESIS GeoTIFF", ())
        assert np.array_equal(source[:], samples((BANDS, 6, 5), np.int16).transpose(1, 2, 0))
    assert info.wavelengths == pytest.approx((401.9, 404.45, 407.0, 409.55))
    assert (info.fwhm, info.gain, info.offset) == ((3.6,) * BANDS, (1e-4,) * BANDS, (0.5,) * BANDS)
    assert (info.nodata, info.band_names) == (-32768, ("band 1", "band 2", "band 3", "band 4"))


def test_enmap_of_another_number_of_bands_is_warned_of(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING), open_cube(enmap(tmp_path, BANDS + 1)) as source:
        assert source.info.wavelengths is None
    assert "5 bands of 4" in caplog.text


def test_xml_that_bites_is_refused(tmp_path: Path) -> None:
    bomb = '<!DOCTYPE a [<!ENTITY b "c">]>'
    with pytest.raises(CubeError, match=r"METADATA\.XML"):
        open_cube(enmap(tmp_path, extra=bomb))


def prisma(path: Path, kind: str = "HCO", short: int = 0) -> None:
    """Write six VNIR and five SWIR bands in order of falling wavelength; the first of each is marked as unused."""
    h5py = pytest.importorskip("h5py")
    with h5py.File(path, "w") as f:
        place = f"HDFEOS/SWATHS/PRS_L2D_{kind}/Data Fields"
        for part, centres in (("Vnir", [0, 900, 800, 700, 600, 500]), ("Swir", [0, 2400, 2000, 1500, 1000])):
            shape = (4, len(centres), 3)
            f[f"{place}/{part.upper()}_Cube"] = np.arange(np.prod(shape)).reshape(shape).astype("u2") + (1000 if part == "Swir" else 0)
            f.attrs[f"List_Cw_{part}"] = np.array(centres[short:], "f4")
            f.attrs[f"List_Fwhm_{part}"] = np.array([10] * (len(centres) - short), "f4")
            f.attrs[f"L2Scale{part}Min"], f.attrs[f"L2Scale{part}Max"] = np.float32(0.25), np.float32(1.25)
        f.attrs["Epsg_Code"] = np.uint32(32633)
        f.attrs["Product_ID"] = b"PRS_L2D_STD"
        for corner, x, y in (("UL", 500000, 5000000), ("LR", 500060, 4999910)):
            f.attrs[f"Product_{corner}corner_easting"], f.attrs[f"Product_{corner}corner_northing"] = np.float32(x), np.float32(y)


def test_prisma(tmp_path: Path) -> None:
    prisma(tmp_path / "PRS_L2D_STD_1.he5")
    with open_cube(tmp_path / "PRS_L2D_STD_1.he5") as source:
        info, cube = source.info, source[:]
        assert source.form == "PRISMA L2D"
        assert np.array_equal(source[1:3, 2, 3:7], cube[1:3, 2, 3:7])
        assert np.array_equal(source[:, :, 6:], cube[:, :, 6:])
    assert info.shape == (4, 3, 9)
    assert info.wavelengths == (500, 600, 700, 800, 900, 1000, 1500, 2000, 2400)
    assert cube[0, 1].tolist() == [16, 13, 10, 7, 4, 1013, 1010, 1007, 1004]
    assert info.gain is not None
    assert info.gain[0] * 65535 + 0.25 == pytest.approx(1.25)
    assert info.georeference is not None
    assert info.georeference.transform == (30, 0, 499985, 0, -30, 5000015)
    assert info.georeference.crs == "EPSG:32633"
    assert info.metadata["Product_ID"] == "PRS_L2D_STD"


def test_prisma_that_can_not_be_is_told(tmp_path: Path) -> None:
    prisma(tmp_path / "a.he5", short=1)
    with pytest.raises(CubeError, match="5 wavelengths for 6 bands"):
        open_cube(tmp_path / "a.he5")
    prisma(tmp_path / "b.he5", kind="HRC")
    with pytest.raises(CubeError, match="L2D"):
        open_cube(tmp_path / "b.he5")
    with open_cube(tmp_path / "b.he5", "HDFEOS/SWATHS/PRS_L2D_HRC/Data Fields/VNIR_Cube") as source:
        assert source.shape == (4, 6, 3)


@pytest.mark.parametrize("compressed", [False, True])
def test_matlab_5_of_other_hands(tmp_path: Path, compressed: bool) -> None:
    io = pytest.importorskip("scipy.io")
    cube, path = samples((5, 4, 3), np.int16), tmp_path / "a.mat"
    io.savemat(path, {"indian_pines": cube, "map": np.zeros((5, 4))}, do_compression=compressed)
    with open_cube(path) as source:
        assert np.array_equal(source[:], cube)
        assert source.form == "MATLAB 5"
    io.savemat(path, {"a": cube, "b": cube + 1})
    with pytest.raises(CubeError, match="--dataset"):
        open_cube(path)
    with open_cube(path, "b") as source:
        assert np.array_equal(source[1:, 2], cube[1:, 2] + 1)


def test_matlab_73_says_what_matlab_looks_for(tmp_path: Path) -> None:
    h5py = pytest.importorskip("h5py")
    with create_cube(tmp_path / "a.mat", described((5, 4, 3))) as sink:
        sink[:] = samples((5, 4, 3))
    head = (tmp_path / "a.mat").read_bytes()[:128]
    assert head.startswith(b"MATLAB 7.3 MAT-file")
    assert head[124:] == b"\x00\x02IM"
    with h5py.File(tmp_path / "a.mat") as f:
        assert f["cube"].attrs["MATLAB_class"] == b"uint16"
        # MATLAB reverses the order of the axes
        assert f["cube"].shape == (3, 4, 5)
    with pytest.raises(CubeError, match="float16"):
        create_cube(tmp_path / "b.mat", CubeInfo((1, 2, 3), np.dtype("f2")))


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_npz_of_other_hands(tmp_path: Path, save: object) -> None:
    cube = samples((5, 4, 3), ">f4")
    np.savez(tmp_path / "a.npz", cube=cube, gt=np.zeros((5, 4)))
    save(tmp_path / "b.npz", other=np.asfortranarray(cube), gt=np.zeros((5, 4)))  # type: ignore[operator]
    for name in "ab":
        with open_cube(tmp_path / f"{name}.npz") as source:
            assert np.array_equal(source[:], cube)
    save(tmp_path / "c.npz", a=cube, b=cube)  # type: ignore[operator]
    with pytest.raises(CubeError, match="--dataset"):
        open_cube(tmp_path / "c.npz")
    with open_cube(tmp_path / "c.npz", "b") as source:
        assert source[0, 0, 0] == cube[0, 0, 0]


def test_npz_that_promises_more_than_it_holds_takes_no_room(tmp_path: Path) -> None:
    head = b"\x93NUMPY\x01\x00v\x00{'descr': '<u2', 'fortran_order': False, 'shape': (100000, 100000, 200), }".ljust(127) + b"\n"
    for how in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        with zipfile.ZipFile(tmp_path / "a.npz", "w", how) as archive:
            archive.writestr("cube.npy", head + bytes(1000))
        with pytest.raises(CubeError, match="incomplete"):
            open_cube(tmp_path / "a.npz")


def test_npy_of_either_order_and_of_no_numbers(tmp_path: Path) -> None:
    cube = samples((5, 4, 3), ">i4")
    np.save(tmp_path / "a.npy", np.asfortranarray(cube))
    with open_cube(tmp_path / "a.npy") as source:
        assert np.array_equal(source[1:, ::2, 1:], cube[1:, ::2, 1:])
    for bad in (
        np.array(["a"]),
        np.zeros(5),
        np.array([None]),
        np.zeros((1, 2, 3), "M8[s]"),
        np.zeros((0, 2, 3)),
        np.zeros((1, 2, 3), "u1,u2"),
    ):
        np.save(tmp_path / "b.npy", bad, allow_pickle=True)
        with pytest.raises(CubeError, match=r"b\.npy"):
            open_cube(tmp_path / "b.npy")


@pytest.mark.parametrize(
    ("shape", "accepted"), [("(5L, 4L, 3L)", True), ("(5, 4, 3or 1)", False), ("(5, 4, 0x3in x)", False), ("'\\d'", False)]
)
def test_no_warning_of_how_a_npy_header_was_written(tmp_path: Path, shape: str, accepted: bool) -> None:
    """NumPy parses it as Python, and warns of Python 2."""
    cube = samples((5, 4, 3), "<i4")
    head = f"\x93NUMPY\x01\0v\0{{'descr': '<i4', 'fortran_order': False, 'shape': {shape}, }}".ljust(127) + "\n"
    (tmp_path / "a.npy").write_bytes(head.encode("latin-1") + cube.tobytes())
    with warnings.catch_warnings(record=True) as shown:
        warnings.simplefilter("always")
        if accepted:
            with open_cube(tmp_path / "a.npy") as source:
                assert np.array_equal(source[:], cube)
        else:
            with pytest.raises(CubeError, match=r"a\.npy is not a NumPy file with a cube"):
                open_cube(tmp_path / "a.npy")
    assert not shown


def test_a_lie_beside_a_cube_is_told(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", samples((5, 4, 3)))
    for lie in ('{"wavelengths": [1, 2]}', "[]", "{", '{"nodata": []}', '{"georeference": {"transform": [1]}}', "[" * 100000):
        (tmp_path / "a.npy.json").write_text(lie)
        with pytest.raises(CubeError, match=r"a\.npy\.json"):
            open_cube(tmp_path / "a.npy")


@pytest.mark.parametrize(("form", "package", "extra"), [("mat", "h5py", "hdf5"), ("tiff", "rasterio", "geotiff"), ("hdf5", "h5py", "hdf5")])
def test_a_missing_package_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, form: str, package: str, extra: str) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(MissingDependencyError, match=rf"edgefuse\[{extra}\]"):
        create_cube(tmp_path / f"a{FORMATS[form][0]}", described((2, 2, 2)))
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(not SHARED.is_dir(), reason="../shared/data/hsi is not here")
def test_shared_scenes_open() -> None:
    for path in sorted(SHARED.glob("*.npz"))[:4]:
        with open_cube(path) as source:
            assert np.array_equal(source[3:5, :7, 2:9], np.load(path)["cube"][3:5, :7, 2:9])
