"""Stores the fastest configuration that `edgefuse bench --tune` measured on this board, which `--runtime auto` uses.

A choice is valid for the processor, cores, library versions and model files that it was measured with. If one of them has changed, the
choice is stale and ignored. The file is tuned.json in the state folder: systemd's $STATE_DIRECTORY, else
$XDG_STATE_HOME/edgefuse, else ~/.local/state/edgefuse.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from edgefuse.board import read_libraries, read_processor
from edgefuse.util.files import check_folder, write_atomic
from edgefuse.zoo import Card

_FORMAT = 1
_LIBRARIES = ("edgefuse", "numpy", "opencv", "onnxruntime", "litert")
_MOST_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Tuned:
    """The choice for one model. holds_for: its environment. size: WIDTHxHEIGHT. frame_ms: median, end to end. on: date of measurement."""

    model: str
    runtime: str
    precision: str
    threads: int
    size: str
    frame_ms: float
    on: str
    holds_for: Mapping[str, str]

    @property
    def why(self) -> str:
        return f"tuned for this board on {self.on}: {self.frame_ms:.2f} ms a frame at {self.size}"


def state_folder(env: Mapping[str, str] = os.environ) -> Path | None:
    """Return the folder of tuned.json; None if there is no home folder."""
    # systemd may give several, separated by colons; the first is this service's
    if given := env.get("STATE_DIRECTORY", "").split(":")[0]:
        return Path(given)
    if home := env.get("XDG_STATE_HOME"):
        return Path(home) / "edgefuse"
    try:
        return Path.home() / ".local/state/edgefuse"
    except RuntimeError:
        return None


def surroundings(card: Card) -> dict[str, str]:
    """Return the environment that a choice for `card` depends on, by name."""
    processor, libraries = read_processor(), read_libraries()
    environment = {"processor": processor.name, "instructions": " ".join(processor.features or ("?",)), "cores": str(processor.usable)}
    environment |= {name: libraries[name] or "none" for name in _LIBRARIES}
    return environment | {f"{file.path.name}": file.sha256[:16] for file in card.files}


def recall(card: Card) -> tuple[Tuned | None, str]:
    """Return (choice for `card` on this board, ""), or (None, why the stored one is not used, "" if there is none)."""
    folder = state_folder()
    if folder is None:
        return None, ""
    choices, wrong = _read(folder)
    if wrong:
        return None, wrong
    here: dict[str, str] = {}
    stale = ""
    for tuned in choices:
        if tuned.model == card.name:
            here = here or surroundings(card)
            if tuned.holds_for == here:
                return tuned, ""
            changed = [f"{k} {tuned.holds_for.get(k, 'none')} is now {v}" for k, v in here.items() if tuned.holds_for.get(k) != v]
            stale = f"what bench --tune chose on {tuned.on} is stale: {(changed or ['a file is gone'])[0]}; run edgefuse bench --tune again"
    return None, stale


def check_writable(folder: Path) -> None:
    """Raises OutputError if a choice can't be stored in `folder`."""
    check_folder(folder)


def remember(folder: Path, tuned: Tuned) -> Path:
    """Store the choice in `folder`, replacing the model's previous one on this processor. Returns the file."""
    kept = [c for c in _read(folder)[0] if (c.model, c.holds_for.get("processor")) != (tuned.model, tuned.holds_for["processor"])]
    path = folder / "tuned.json"
    text = json.dumps({"format": _FORMAT, "choices": [asdict(c) for c in (*kept, tuned)]}, indent=1)
    write_atomic(path, (text + "\n").encode())
    return path


def _read(folder: Path) -> tuple[list[Tuned], str]:
    """Return (choices, "") or ([], what is wrong with the file)."""
    path = folder / "tuned.json"
    try:
        with open(path, "rb") as f:
            raw = json.loads(f.read(_MOST_BYTES))
        if raw["format"] != _FORMAT:
            raise ValueError("another format")
        return [_tuned(choice) for choice in raw["choices"]], ""
    except FileNotFoundError:
        return [], ""
    except OSError as e:
        return [], f"{path} can't be read ({e.strerror})"
    except (ValueError, TypeError, KeyError, RecursionError):
        return [], f"{path} is not what bench --tune wrote; run edgefuse bench --tune again"


def _tuned(raw: Any) -> Tuned:
    """Convert a JSON object. Raises ValueError, TypeError or KeyError for an invalid one."""
    kinds: dict[str, Any] = {"threads": int, "frame_ms": (int, float), "holds_for": dict}
    values = {f.name: raw[f.name] for f in fields(Tuned)}
    if any(not isinstance(v, kinds.get(name, str)) for name, v in values.items()) or not 1 <= values["threads"] <= 64:
        raise ValueError("a value of another kind")
    return Tuned(**values)
