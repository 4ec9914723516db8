"""JPEG 2000, GDAL's virtual datasets, and folders with one file a band; a virtual dataset must not lead to other files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import edgefuse
from edgefuse.cli.main import main
from edgefuse.errors import CubeError
from tests.hyperspectral.cubes import scene

rasterio = pytest.importorskip("rasterio")

SHAPE = (40, 32, 3)
PLACE = rasterio.Affine(20, 0, 500000, 0, -20, 5000000)


def write(path: Path, samples: np.ndarray, driver: str = "GTiff", transform: object = PLACE, **options: object) -> None:
    bands = samples if samples.ndim == 3 else samples[..., None]
    path.parent.mkdir(parents=True, exist_ok=True)
    with rasterio.open(
        path, "w", driver=driver, height=bands.shape[0], width=bands.shape[1], count=bands.shape[2], dtype=bands.dtype, crs="EPSG:32633",
        transform=transform, **options,
    ) as file:  # fmt: skip
        file.write(bands.transpose(2, 0, 1))


def virtual(path: Path, *names: str, relative: str = "1", more: str = "", kind: str = "") -> None:
    """Write a .vrt as gdalbuildvrt -separate does."""
    size = f'xSize="{SHAPE[1]}" ySize="{SHAPE[0]}"'
    bands = "".join(
        f'<VRTRasterBand dataType="UInt16" band="{n}"{kind}><NoDataValue>7</NoDataValue><ComplexSource><SourceFilename relativeToVRT='
        f'"{relative}">{name}</SourceFilename><SourceBand>1</SourceBand><SrcRect xOff="0" yOff="0" {size}/><DstRect xOff="0" yOff="0" '
        f"{size}/></ComplexSource></VRTRasterBand>"
        for n, name in enumerate(names, 1)
    )
    path.write_text(
        f'<VRTDataset rasterXSize="{SHAPE[1]}" rasterYSize="{SHAPE[0]}"><SRS>EPSG:32633</SRS><GeoTransform>500000, 20, 0, 5000000, 0, -20'
        f"</GeoTransform>{more}{bands}</VRTDataset>"
    )


@pytest.fixture
def bands(tmp_path: Path) -> Path:
    for n in range(SHAPE[2]):
        write(tmp_path / f"in/b{n}.tif", scene(SHAPE)[..., n])
    return tmp_path / "in"


def test_jpeg_2000(tmp_path: Path) -> None:
    write(tmp_path / "a.jp2", scene(SHAPE), "JP2OpenJPEG", QUALITY=100, REVERSIBLE="YES", YCBCR420="NO")
    with edgefuse.open_cube(tmp_path / "a.jp2") as cube:
        assert cube.form == "JPEG 2000"
        assert np.array_equal(cube[:], scene(SHAPE))
        assert cube.info.georeference is not None
        assert (cube.info.georeference.crs, cube.info.georeference.transform[0]) == ("EPSG:32633", 20)


def test_a_virtual_dataset(bands: Path) -> None:
    virtual(bands / "all.vrt", "b0.tif", "b1.tif", "b2.tif")
    with edgefuse.open_cube(bands / "all.vrt") as cube:
        assert cube.form == "GDAL VRT"
        assert np.array_equal(cube[:], scene(SHAPE))
        assert np.array_equal(cube[5:9, 3:8, 1:], scene(SHAPE)[5:9, 3:8, 1:])
        assert cube.info.nodata == 7
        assert [f.name for f in cube.files] == ["all.vrt", "b0.tif", "b1.tif", "b2.tif"]


@pytest.mark.parametrize(
    ("name", "relative"),
    [
        ("../secret.tif", "1"), ("b0.tif", "0"), ("/etc/hostname", "0"), ("/etc/hostname", "1"), ("/vsicurl/http://localhost/a.tif", "0"),
        ("GTIFF_DIR:1:b0.tif", "1"), ("http://localhost/a.tif", "1"), ("link.tif", "1"), ("text.tif", "1"), ("nested.tif", "1"),
        ("", "1"), ("none.tif", "1"),
    ],
)  # fmt: skip
def test_a_virtual_dataset_leads_nowhere_else(bands: Path, name: str, relative: str) -> None:
    write(bands.parent / "secret.tif", scene(SHAPE)[..., 0])
    (bands / "link.tif").symlink_to(bands.parent / "secret.tif")
    (bands / "text.tif").write_text("secret")
    virtual(bands / "nested.tif", "../secret.tif")
    virtual(bands / "a.vrt", "b1.tif", name, relative=relative)
    with pytest.raises(CubeError, match=r"its samples lie in|neither TIFF nor JPEG 2000|cannot read"):
        edgefuse.open_cube(bands / "a.vrt")


@pytest.mark.parametrize(
    ("more", "kind", "words"),
    [
        ("", ' subClass="VRTRawRasterBand"', "VRTRawRasterBand"),
        ("", ' subClass="VRTDerivedRasterBand"', "VRTDerivedRasterBand"),
        ("<PixelFunctionCode>import os</PixelFunctionCode>", "", "PixelFunctionCode"),
        ('<Metadata domain="OVERVIEWS"><MDI key="OVERVIEW_FILE">/etc/hostname</MDI></Metadata>', "", "OVERVIEWS"),
        ("<GDALWarpOptions/>", "", "GDALWarpOptions"),
        ("<", "", "can't be read as XML"),
    ],
)
def test_only_plain_bands_are_read(bands: Path, more: str, kind: str, words: str) -> None:
    virtual(bands / "a.vrt", "b0.tif", more=more, kind=kind)
    with pytest.raises(CubeError, match=words):
        edgefuse.open_cube(bands / "a.vrt")


def test_hyperion_is_a_folder_of_bands(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "EO1H0010012005001110KF_1T"
    for n in range(SHAPE[2]):
        write(folder / f"EO1H0010012005001110KF_B{n + 8:03d}_L1T.TIF", scene(SHAPE)[..., n].astype("int16"))
    (folder / "EO1H0010012005001110KF_MTL_L1T.TXT").write_text("GROUP = L1_METADATA_FILE")
    with edgefuse.open_cube(folder) as cube:
        assert np.array_equal(cube[:], scene(SHAPE))
        assert cube.info.band_names == ("B08", "B09", "B10")
        assert cube.info.georeference is not None
    (tmp_path / "nm.txt").write_text("427 437 447")
    assert main(["compress", str(folder), str(tmp_path / "a.efz"), "--wavelengths", str(tmp_path / "nm.txt"), "--window", "4:20,:"]) == 0
    back = edgefuse.read_efz(tmp_path / "a.efz")
    assert np.array_equal(back.data, scene(SHAPE)[4:20])
    assert back.info.wavelengths == (427, 437, 447)
    capsys.readouterr()
    assert main(["info", str(folder)]) == 0
    assert "folder of bands" in capsys.readouterr().out
    write(folder / "EO1H0010012005001110KF_B011_L1T.TIF", scene(SHAPE)[:9, :, 0].astype("int16"))
    with pytest.raises(CubeError, match=r"B011_L1T\.TIF has another size"):
        edgefuse.open_cube(folder)


def test_sentinel_2_at_one_resolution(tmp_path: Path) -> None:
    safe = tmp_path / "S2A_MSIL2A_20200101.SAFE"
    for side, names in ((20, ("B02", "B8A", "B11")), (60, ("B01", "B09"))):
        for n, name in enumerate(names):
            samples = scene(SHAPE)[..., n] if side == 20 else scene((16, 12, 2))[..., n]
            place = rasterio.Affine(side, 0, 500000, 0, -side, 5000000)
            folder = safe / f"GRANULE/L2A_T32/IMG_DATA/R{side}m"
            write(folder / f"T32_20200101_{name}_{side}m.jp2", samples, "JP2OpenJPEG", place, QUALITY=100, REVERSIBLE="YES")
            write(folder / f"T32_20200101_TCI_{side}m.jp2", samples.astype("u1"), "JP2OpenJPEG", place)
    with pytest.raises(CubeError, match=r"pixels of 20m \(3 bands\), 60m \(2 bands\).*--dataset 20m"):
        edgefuse.open_cube(safe)
    with edgefuse.open_cube(safe, "20m") as cube:
        assert cube.info.band_names == ("B02", "B8A", "B11")
        assert np.array_equal(cube[:], scene(SHAPE))
    with edgefuse.open_cube(safe / "GRANULE/L2A_T32/IMG_DATA/R60m") as cube:
        assert cube.shape == (16, 12, 2)
