"""A cube and an image of one scene as files."""

from __future__ import annotations

from pathlib import Path

from edgefuse.hyperspectral.cube import CubeInfo, Georeference
from edgefuse.hyperspectral.formats import create_cube
from edgefuse.sharpening.psf import Psf
from edgefuse.util.arrays import Float32Array
from tests.sharpening.scenes import image, low, scene

SHARP = Georeference((10.0, 0.0, 500000.0, 0.0, -10.0, 5000000.0), "EPSG:32633")
BLUNT = Georeference((40.0, 0.0, 500000.0, 0.0, -40.0, 5000000.0), "EPSG:32633")
WAVES = tuple(400.0 + 20 * k for k in range(30))
FEW = 470.0, 620.0, 780.0, 920.0


def write(path: Path, samples: Float32Array, **known: object) -> None:
    with create_cube(path, CubeInfo(samples.shape, samples.dtype, **known)) as sink:  # type: ignore[arg-type]
        sink[:] = samples


def written(folder: Path) -> Float32Array:
    """Write low.img (20 x 18 x 30), image.img (80 x 72 x 4) and truth.npy; returns the truth."""
    cube = scene(80, 72)
    write(folder / "low.img", low(cube, Psf(4)), wavelengths=WAVES, georeference=BLUNT, metadata={"sensor type": "EdgeFuse"})
    write(folder / "image.img", image(cube), wavelengths=FEW, georeference=SHARP)
    write(folder / "truth.npy", cube)
    return cube
