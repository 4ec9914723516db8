"""`edgefuse info`: describes a file of any kind that EdgeFuse reads."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgefuse.cli import cube_options, pipes
from edgefuse.cli.progress import log_lines
from edgefuse.errors import CubeError, InputError
from edgefuse.util import heartbeat
from edgefuse.util.printable import plain
from edgefuse.util.uri import expand

if TYPE_CHECKING:
    from edgefuse.hyperspectral.part import Choice

_EPILOG = """\
Supports cubes (ENVI, .npy, .npz, .mat, GeoTIFF, HDF5, netCDF, Zarr), .efz files, raw recordings (.efr), calibrations (.toml), images, and
models (a folder with a card.toml).

examples:
  edgefuse info scene.hdr
  edgefuse info scene.efz --json
  edgefuse info archive                                     the cubes in a folder
  edgefuse info counts.npy --axes bands,rows,columns
  edgefuse info PRS_L2D_STD_20200101.he5 --dataset "HDFEOS/SWATHS/PRS_L2D_HCO/Data Fields/PIXEL_L2_ERR_MATRIX"
"""
_LISTED = 6  # longest list that is printed whole


def add(commands: Any) -> None:
    p = commands.add_parser(
        "info", help="describe a file", description="Describe a cube, a compressed cube, a recording, a calibration, an image or a model.",
        epilog=_EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False,
    )  # fmt: skip
    p.add_argument("file", metavar="FILE", help="the file, or a folder of cubes; - reads a file from a pipe")
    cube_options.add_options(p)
    p.add_argument("--header", metavar="FILE.hdr", help="the ENVI header, if not beside the samples")
    p.add_argument("--json", action="store_true", help="print JSON")
    p.set_defaults(command=command)


def command(args: argparse.Namespace) -> int:
    with log_lines(), pipes.source(args.file) as path:
        facts = describe(path, cube_options.choice(args), expand(args.header) if args.header else None)
    facts["file"] = args.file
    heartbeat.finished()
    print(json.dumps(facts, indent=1, allow_nan=False) if args.json else as_text(facts))
    return 0


def describe(path: Path, choice: Choice, header: Path | None = None) -> dict[str, Any]:
    """Describe a file or a folder: its `kind`, and the facts of that kind. Raises InputError for an unknown file.

    choice: for a cube, what of it is described.
    """
    from edgefuse.hyperspectral.formats import band_folder, zarr_nodes
    from edgefuse.util import images  # imports OpenCV, which other commands do without

    try:
        if path.is_dir():
            if (path / "card.toml").exists():
                return _model(path)
            one = choice.given or zarr_nodes.is_store(path) or band_folder.is_one(path)
            return _cube(path, choice, header) if one else _folder(path)
        with open(path, "rb") as f:
            head = f.read(16)
    except OSError as e:
        raise CubeError(f"cannot read {path}: {e.strerror}") from None
    kinds: list[tuple[bool, Callable[[], dict[str, Any]]]] = [
        (_is_efz(head), lambda: _efz(path)),
        (head.startswith(b"\x89EFR"), lambda: _recording(path)),
        (path.suffix.lower() == ".toml", lambda: _calibration(path)),
        (path.suffix.lower() in images.EXTENSIONS - {".tif", ".tiff"}, lambda: _image(path)),
    ]
    for recognised, describe in kinds:
        if recognised and header is None and not choice.given:
            return describe()
    return _cube(path, choice, header)


def _cube(path: Path, choice: Choice, header: Path | None) -> dict[str, Any]:
    with choice.of(choice.opened(path, header), owned=True) as source:
        size = sum(f.stat().st_size for f in source.files)
        facts = {"kind": "cube", "file": str(path), "format": source.form, "files": [str(f) for f in source.files], "bytes": size}
        return facts | source.info.as_json() | ({"not_kept": list(source.unkept)} if source.unkept else {})


def _folder(path: Path) -> dict[str, Any]:
    """List the cubes of a folder. Raises InputError if it holds none."""
    from edgefuse.archive import grouping

    listing = grouping.group(sorted(path.iterdir()))
    if not listing.cubes:
        raise InputError(f"{path} is a folder without cubes and without a model's card.toml; give a file, or the folder of cubes")
    cubes = [
        f"{cube.path.name} ({', '.join(f.name for f in cube.files[1:])})" if cube.files[1:] else cube.path.name
        for cube in listing.cubes.values()
    ]
    others = [f"{other.name} {why}" for other, why in listing.passed_over.items()]
    return {"kind": "folder", "file": str(path), "cubes": cubes} | ({"other_files": others} if others else {})


def _is_efz(head: bytes) -> bool:
    return head.startswith(b"EFZ\x1a")


def _efz(path: Path) -> dict[str, Any]:
    from edgefuse.hyperspectral.compressed_reader import Compressed

    with Compressed(path) as efz:
        size, info = path.stat().st_size, efz.info
        facts = {
            "kind": "compressed cube",
            "file": str(path),
            "format": "efz",
            "bytes": size,
            "settings": efz.settings,
            "tile": list(efz.header.tile),
        }
        facts |= {"bpppc": 8 * size * info.dtype.itemsize / info.nbytes, "ratio": info.nbytes / size}
        return facts | info.as_json()


def _recording(path: Path) -> dict[str, Any]:
    from edgefuse.sources.rawfile import RawReader

    with closing(RawReader(path)) as reader:
        facts = {"kind": "recording", "file": str(path), "format": "efr", "bytes": path.stat().st_size, "pairs": reader.pairs}
        return facts | {"head": reader.head}


def _calibration(path: Path) -> dict[str, Any]:
    from edgefuse.calibration import registration

    c = registration.load(path)
    said = {"made": str(c.made), "method": c.method, "error_px": c.error_px, "distance_m": c.distance_m}
    return {"kind": "calibration", "file": str(path), "visible_size": list(c.visible_size), "infrared_size": list(c.infrared_size), **said}


def _image(path: Path) -> dict[str, Any]:
    from edgefuse.util import images

    try:
        data = images.read(path)
    except ValueError as e:
        raise InputError(f"{path} {e}") from None
    facts = {"kind": "image", "file": str(path), "bytes": path.stat().st_size, "width": data.shape[1], "height": data.shape[0]}
    return facts | {"channels": 1 if data.ndim == 2 else data.shape[2], "dtype": data.dtype.name}


def _model(path: Path) -> dict[str, Any]:
    from edgefuse import zoo

    card = zoo.read_card(path.resolve())
    return {"kind": "model", "file": str(path), "name": card.name, "task": card.task, "title": card.title, **card.cost}


def as_text(facts: dict[str, Any]) -> str:
    """Format `describe`'s facts, one per line."""
    lines = [f"{facts['file']}: {facts['kind']}" + (f", {facts['format']}" if "format" in facts else "")]
    for key, value in facts.items():
        if key in ("file", "kind", "format"):
            continue
        if isinstance(value, dict):
            lines += [f"{key}"] if value else []
            lines += [f"  {k:22s} {_value(k, v)}" for k, v in value.items()]
        else:
            lines.append(f"{key.replace('_', ' '):24s} {_value(key, value)}")
    # keys and names may come from the file
    return "\n".join(map(plain, lines))


def _value(key: str, value: Any) -> str:
    if key == "shape":
        return "{} rows x {} columns x {} bands".format(*value)
    if key == "bytes":
        return f"{value} ({value / 1e6:.2f} MB)"
    unit = " nm" if key in ("wavelengths", "fwhm") else ""
    if isinstance(value, list):
        shown = value if len(value) <= _LISTED or key == "transform" else [*value[: _LISTED // 2], "...", *value[-_LISTED // 2 :]]
        return ", ".join(f"{v:g}" if isinstance(v, float) and key != "transform" else str(v) for v in shown) + unit
    if isinstance(value, float):
        return f"{value:.4f}" if key in ("bpppc", "ratio") else f"{value:g}"
    return " ".join(plain(str(value)).split())[:160]
