"""The linear transform to compare SSCNet with: `python -m tools.sscnet.linear_transform --latents 504 1024`.

Principal components of the training scenes' spectra x an 8 x 8 cosine transform. The strongest products are kept, each with 8 bits over its
range on the training scenes, and coded exactly as SSCNet's latent. Prints rate and PSNR of the held-out scenes, a row for each number of
latents and step, and separately of the EnMAP tiles among them.
"""

from __future__ import annotations

import argparse
import json
import sys

import numpy as np
from cv2 import dct
from numpy.typing import NDArray

from tools.data.cubes import Scene
from tools.sscnet.export import trimmed
from tools.sscnet.rate_distortion import curve
from tools.sscnet.train import PUBLIC
from tools.sscnet.train_from_linear import parts

Floats = NDArray[np.float32]
CELL = 8
SPECTRA = 6000  # per scene
ENDS = 1e-4  # share of a latent's values outside its range, at either end


class Linear:
    """The transform fitted to scenes; `encode` and `decode` convert (C, H, W)."""

    def __init__(self, scenes: list[Scene], latents: int) -> None:
        spectra = [s.cube.reshape(len(s.cube), -1).T for s in scenes]
        values = np.concatenate([x[:: max(1, len(x) // SPECTRA)] for x in spectra]).astype(np.float64)
        self._mean = values.mean(axis=0).astype(np.float32)
        _, vectors = np.linalg.eigh(np.cov((values - self._mean).T))
        self._basis = np.ascontiguousarray(vectors[:, ::-1], np.float32)
        self._cosines = np.stack([dct(row[:, None])[:, 0] for row in np.eye(CELL, dtype=np.float32)], axis=1)
        cells = [self._cells(trimmed(s.cube)) for s in scenes]
        energy = np.sum([np.mean(np.square(c), axis=0) for c in cells], axis=0)
        self._chosen = np.argsort(-energy)[:latents]
        low, high = np.quantile(np.concatenate([c[:, self._chosen] for c in cells]), (ENDS, 1 - ENDS), axis=0)
        self._low, self._width = low.astype(np.float32), np.maximum(high - low, 1e-6).astype(np.float32)

    def encode(self, cube: Floats) -> Floats:
        """Return the latent in [0, 1]."""
        rows, columns = cube.shape[1] // CELL, cube.shape[2] // CELL
        shares = np.clip((self._cells(cube)[:, self._chosen] - self._low) / self._width, 0, 1)
        return np.ascontiguousarray(shares.T.reshape(-1, rows, columns))

    def decode(self, latent: Floats) -> Floats:
        count, rows, columns = latent.shape
        cells = np.zeros((rows * columns, len(self._mean) * CELL * CELL), np.float32)
        cells[:, self._chosen] = latent.reshape(count, -1).T * self._width + self._low
        values = cells.reshape(rows, columns, len(self._mean), CELL, CELL)
        values = np.einsum("ui,rcbuv,vj->bricj", self._cosines, values, self._cosines, optimize=True)
        made = np.tensordot(self._basis, values.reshape(len(self._mean), -1), 1) + self._mean[:, None]
        return np.clip(made, 0, 1).reshape(-1, rows * CELL, columns * CELL).astype(np.float32)

    def _cells(self, cube: Floats) -> Floats:
        """Return the coefficients by cell, (cells, bands x 64)."""
        bands, height, width = cube.shape
        values = (self._basis.T @ (cube.reshape(bands, -1) - self._mean[:, None])).reshape(bands, height // CELL, CELL, width // CELL, CELL)
        made = np.einsum("ui,bricj,vj->rcbuv", self._cosines, values, self._cosines, optimize=True)
        return made.reshape(-1, bands * CELL * CELL)


def parser() -> argparse.ArgumentParser:
    p = argparse.ArgumentParser(
        prog="python -m tools.sscnet.linear_transform", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    p.add_argument("--latents", type=int, nargs="+", default=[504, 1024], help="(default: %(default)s)")
    p.add_argument("--data", nargs="+", default=PUBLIC, metavar="KIND:DIR", help="as in tools.sscnet.train_from_linear")
    return p


def main() -> None:
    args = parser().parse_args()
    try:
        learned, _, scenes = parts(args.data)
        held_out = [s for s in scenes if s.part == "test"]
        for count in args.latents:
            made = Linear(learned, count)
            for point in curve(made.encode, made.decode, held_out):
                enmap = [v for k, v in point.items() if k.startswith("enmap")]
                print(json.dumps({"latents": count} | point | {"enmap_db": round(float(np.mean(enmap)), 2) if enmap else None}), flush=True)
    except (ValueError, OSError) as e:
        sys.exit(f"tools.sscnet.linear_transform: {e}")


if __name__ == "__main__":
    main()
