"""Model cards: find them, check them, describe them. A card (card.toml) lies beside the files it describes.

Cards are looked for in the folder that the wheel carries, in folders of the `edgefuse.models` entry points (an attribute that is
a path to a folder of model folders), and wherever a path with a slash in it points. docs/models.md describes every key.
"""

from __future__ import annotations

import hashlib
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgefuse import registry
from edgefuse.errors import ModelError

DEFAULT_MODEL = "mobilefuse"
_PACKAGE = Path(__file__).resolve().parent
# in a wheel the models lie inside the package, in a checkout beside it
BUILT_IN = next((p for p in (_PACKAGE / "models", _PACKAGE.parent / "models") if p.is_dir()), _PACKAGE / "models")


@dataclass(frozen=True, slots=True)
class Tensor:
    """An input or output of a model: its name, symbolic shape in the card's order, layout, dtype, value range and colour order."""

    name: str
    shape: tuple[int | str, ...]
    layout: str
    dtype: str
    range: tuple[float, float]
    colour: str


@dataclass(frozen=True, slots=True)
class ModelFile:
    """One file of a model. layout is that of its inputs and outputs; `path` is absolute."""

    path: Path
    runtime: str
    precision: str
    layout: str
    quantisation: str
    sha256: str

    def verified(self) -> bytes:
        """The file's bytes. Raises ModelError where it is missing or its sha256 is not the card's."""
        try:
            data = self.path.read_bytes()
        except OSError as e:
            raise ModelError(f"{self.path}: {e.strerror}; reinstall edgefuse, or restore the file that card.toml names") from None
        found = hashlib.sha256(data).hexdigest()
        if found != self.sha256:
            digests = f"sha256 is {found[:12]}..., card.toml says {self.sha256[:12]}..."
            raise ModelError(f"{self.path}: {digests}; the file is damaged or was replaced: restore it")
        return data


@dataclass(frozen=True, slots=True)
class Card:
    """What a model is. `quality`, `training` and `cost` are tables of measured figures, units in their keys."""

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
    golden: ModelFile
    tolerance: Mapping[str, float]
    cost: Mapping[str, Any]
    training: Mapping[str, Any]
    quality: Mapping[str, Any]

    def file(self, runtime: str, precision: str) -> ModelFile | None:
        """The file for a runtime at a precision, None where there is none."""
        return next((f for f in self.files if (f.runtime, f.precision) == (runtime, precision)), None)

    @property
    def precisions(self) -> list[str]:
        return sorted({f.precision for f in self.files})


def read_card(folder: Path) -> Card:
    """The card in `folder`. Raises ModelError, naming the file and the key, where it is missing or broken."""
    path = folder / "card.toml"
    try:
        raw = tomllib.loads(path.read_text("utf-8"))
    except OSError as e:
        raise ModelError(f"{path}: {e.strerror}; a model folder holds a card.toml") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as e:
        raise ModelError(f"{path}: not valid TOML ({e})") from None
    try:
        files = tuple(_file(folder, f) for f in raw["files"])
        golden = raw["golden"]
        return Card(
            raw["name"], raw["title"], raw["task"], raw["source"], raw["licence"], raw["default_precision"], folder,
            tuple(_tensor(t) for t in raw["inputs"]), tuple(_tensor(t) for t in raw["outputs"]), files,
            ModelFile(_inside(folder, golden["file"]), "golden", "", "", "", golden["sha256"]),
            {k: float(v) for k, v in golden["tolerance"].items()}, raw["cost"], raw["training"], raw["quality"],
        )  # fmt: skip
    except KeyError as e:
        raise ModelError(f"{path}: the key {e.args[0]!r} is missing; docs/models.md lists what a card holds") from None
    except (TypeError, ValueError, AttributeError) as e:
        raise ModelError(f"{path}: {e}; docs/models.md lists what a card holds") from None


def _inside(folder: Path, name: str) -> Path:
    if Path(name).name != name:
        raise ValueError(f"file name {name!r} leaves the model's folder")
    return folder / name


def _file(folder: Path, raw: Mapping[str, Any]) -> ModelFile:
    return ModelFile(_inside(folder, raw["name"]), raw["runtime"], raw["precision"], raw["layout"], raw["quantisation"], raw["sha256"])


def _tensor(raw: Mapping[str, Any]) -> Tensor:
    low, high = raw["range"]
    return Tensor(raw["name"], tuple(raw["shape"]), raw["layout"], raw["dtype"], (float(low), float(high)), raw["colour"])


def _folders() -> Iterator[Path]:
    roots = [BUILT_IN, *(Path(registry.get("edgefuse.models", n)) for n in registry.names("edgefuse.models"))]
    for root in roots:
        yield from sorted(p.parent for p in root.glob("*/card.toml"))


def cards() -> list[Card]:
    """Every card there is, ours first."""
    return [read_card(f) for f in _folders()]


def find(name: str) -> Card:
    """The card called `name`, or in the folder `name` where it has a slash. Raises ModelError for an unknown one."""
    if "/" in name:
        return read_card(Path(name).expanduser().resolve())
    folders = {f.name: f for f in reversed(list(_folders()))}
    if name not in folders:
        raise ModelError(f"unknown model '{name}'; there is {', '.join(sorted(folders)) or 'none'} (or give a folder: ./NAME)")
    return read_card(folders[name])
