"""Finds, reads and checks model cards. A card (card.toml) lies beside the model files that it describes.

Cards are searched in the package's models folder and in those of the `edgefuse.models` entry points (each an attribute that is the
path of a folder of model folders). A name with a slash is the path of a model folder. docs/reference/models.md describes every key.
"""

from __future__ import annotations

import hashlib
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from numbers import Real
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgefuse import registry
from edgefuse.errors import ModelError

MOST_BYTES = 1 << 28  # of a model file
DEFAULT_MODEL = "mobilefuse-edge"
_PACKAGE = Path(__file__).resolve().parent
# in a wheel the models are inside the package, in a checkout beside it
BUILT_IN = next((p for p in (_PACKAGE / "models", _PACKAGE.parent / "models") if p.is_dir()), _PACKAGE / "models")


@dataclass(frozen=True, slots=True)
class Tensor:
    """An input or output of a model: name, symbolic shape in the card's order, layout, dtype, value range and colour order."""

    name: str
    shape: tuple[int | str, ...]
    layout: str
    dtype: str
    range: tuple[float, float]
    colour: str


@dataclass(frozen=True, slots=True)
class ModelFile:
    """One file of a model. layout: of its inputs and outputs, NCHW or NHWC. path: absolute."""

    path: Path
    runtime: str
    precision: str
    layout: str
    quantisation: str
    sha256: str

    def tensor(self, planes: NDArray[np.float32]) -> NDArray[np.float32]:
        """Convert a plane (H, W), or several (C, H, W), to this file's layout: (1, C, H, W) for NCHW, (1, H, W, C) for NHWC; a view."""
        stacked = planes[None, None] if planes.ndim == 2 else planes[None]
        return stacked if self.layout == "NCHW" else np.moveaxis(stacked, 1, -1)

    def planes(self, tensor: NDArray[np.float32]) -> NDArray[np.float32]:
        """Convert the result of `tensor` back to (C, H, W); a view."""
        return tensor[0] if self.layout == "NCHW" else np.moveaxis(tensor[0], -1, 0)

    def verified(self) -> bytes:
        """Return the file's bytes. Raises ModelError if it is missing or too large, or its sha256 is not the card's."""
        try:
            size = self.path.stat().st_size
            if size > MOST_BYTES:
                raise ModelError(f"{self.path}: {size / 1e6:.0f} MB, more than {MOST_BYTES / 1e6:.0f} MB")
            data = self.path.read_bytes()
        except OSError as e:
            raise ModelError(f"{self.path}: {e.strerror}; reinstall edgefuse, or restore the file that card.toml names") from None
        digest = hashlib.sha256(data).hexdigest()
        if digest != self.sha256:
            digests = f"sha256 is {digest[:12]}..., card.toml says {self.sha256[:12]}..."
            raise ModelError(f"{self.path}: {digests}; the file is damaged or was replaced: restore it")
        return data


@dataclass(frozen=True, slots=True)
class Card:
    """A model card. `quality`, `training` and `cost` are tables of measured figures, with units in their keys."""

    name: str
    title: str
    task: str
    source: str
    licence: str
    default_precision: str
    folder: Path
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    files: tuple[ModelFile, ...]
    golden: ModelFile | None  # None only where there are no files
    tolerance: Mapping[str, float]
    cost: Mapping[str, Any]
    training: Mapping[str, Any]
    quality: Mapping[str, Any]

    def file(self, runtime: str, precision: str) -> ModelFile | None:
        """Return the file for a runtime and precision, or None."""
        return next((f for f in self.files if (f.runtime, f.precision) == (runtime, precision)), None)

    @property
    def reduction(self) -> int:
        """Downsampling factor of the inputs relative to the frame: 4 for the shape "height/4" and "width/4", 1 by default."""
        return max(int(size.partition("/")[2] or 1) for t in self.inputs for size in t.shape if isinstance(size, str))

    @property
    def multiple(self) -> int:
        """The frame's sides are padded to a multiple of this: 8 for the shape "height%8" and "width%8", 1 by default."""
        return max(int(size.partition("%")[2] or 1) for t in self.inputs for size in t.shape if isinstance(size, str))

    @property
    def precisions(self) -> list[str]:
        return sorted({f.precision for f in self.files})


def read_card(folder: Path) -> Card:
    """Read the card in `folder`. Raises ModelError, which names file and key, if it is missing or invalid."""
    path = folder / "card.toml"
    try:
        raw = tomllib.loads(path.read_text("utf-8"))
    except OSError as e:
        raise ModelError(f"{path}: {e.strerror}; a model folder holds a card.toml") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as e:
        raise ModelError(f"{path}: not valid TOML ({e})") from None
    try:
        files = tuple(_file(folder, f) for f in _take(raw, "files", list))
        # closed-form models have no golden pair
        golden = _take(raw, "golden", dict) if files or "golden" in raw else None
        texts = {key: _take(raw, key, str) for key in ("name", "title", "task", "source", "licence", "default_precision")}
        return Card(
            **texts,
            folder=folder,
            inputs=tuple(_tensor(t, "inputs") for t in _take(raw, "inputs", list)),
            outputs=tuple(_tensor(t, "outputs") for t in _take(raw, "outputs", list)),
            files=files,
            golden=None if golden is None else _golden(folder, golden),
            tolerance={} if golden is None else _tolerance(golden),
            **{key: _take(raw, key, dict) for key in ("cost", "training", "quality")},
        )
    except KeyError as e:
        raise ModelError(f"{path}: the key {e.args[0]!r} is missing; docs/reference/models.md lists what a card holds") from None
    except ValueError as e:
        raise ModelError(f"{path}: {e}; docs/reference/models.md lists what a card holds") from None


def _take(raw: Any, key: str, kind: Any, where: str = "") -> Any:
    """Return raw[key] if it is a `kind`. Raises KeyError, or ValueError that names the key."""
    if not isinstance(raw, dict):
        raise ValueError(f"{where.rstrip('.')} must hold tables, not {raw!r}")
    if key not in raw:
        raise KeyError(key)
    if not isinstance(raw[key], kind):
        raise ValueError(f"{where}{key} must be a {_KINDS[kind]}, not {raw[key]!r}")
    return raw[key]


_KINDS: dict[Any, str] = {str: "text", dict: "table", list: "list", Real: "number"}


def _inside(folder: Path, name: str) -> Path:
    if Path(name).name != name or name in ("", "..") or "\0" in name:
        raise ValueError(f"file name {name!r} leaves the model's folder")
    return folder / name


def _file(folder: Path, raw: Any) -> ModelFile:
    texts = [_take(raw, key, str, "files.") for key in ("name", "runtime", "precision", "layout", "quantisation", "sha256")]
    return ModelFile(_inside(folder, texts[0]), *texts[1:])


def _golden(folder: Path, raw: Any) -> ModelFile:
    name, sha256 = (_take(raw, key, str, "golden.") for key in ("file", "sha256"))
    return ModelFile(_inside(folder, name), "golden", "", "", "", sha256)


def _tolerance(raw: Any) -> dict[str, float]:
    table = _take(raw, "tolerance", dict, "golden.")
    return {k: float(_take(table, k, Real, "golden.tolerance.")) for k in table}


def _tensor(raw: Any, where: str) -> Tensor:
    name, layout, dtype, colour = (_take(raw, key, str, f"{where}.") for key in ("name", "layout", "dtype", "colour"))
    limits = _take(raw, "range", list, f"{where}.")
    if len(limits) != 2 or not all(isinstance(v, Real) for v in limits):
        raise ValueError(f"{where}.range must be two numbers, not {limits!r}")
    return Tensor(name, tuple(_take(raw, "shape", list, f"{where}.")), layout, dtype, (float(limits[0]), float(limits[1])), colour)


def _folders() -> Iterator[Path]:
    roots = [BUILT_IN, *(Path(registry.get("edgefuse.models", n)) for n in registry.names("edgefuse.models"))]
    for root in roots:
        yield from sorted(p.parent for p in root.glob("*/card.toml"))


def cards() -> list[Card]:
    """Return all cards, built-in ones first."""
    return [read_card(f) for f in _folders()]


def find(name: str, task: str | None = None) -> Card:
    """Return the card called `name`, or that in the folder `name` if it has a slash. Raises ModelError for an unknown one, which
    lists those for `task`."""
    if "/" in name:
        try:
            return read_card(Path(name).expanduser().resolve())
        except RuntimeError as e:
            raise ModelError(f"{name}: {e}; give an existing folder") from None
    if name.strip(".") and (BUILT_IN / name / "card.toml").exists():
        return read_card(BUILT_IN / name)
    folders = {f.name: f for f in reversed(list(_folders()))}
    if name not in folders:
        known = sorted(n for n, folder in folders.items() if task is None or read_card(folder).task == task)
        raise ModelError(f"unknown model '{name}'; choose from {', '.join(known) or 'none'} (or give a folder: ./NAME)")
    return read_card(folders[name])
