"""What `edgefuse bench --tune` found fastest on this board: remembered here, followed by `--runtime auto`.

A choice holds for what it was measured with: the processor, the cores, the libraries' versions and the model's files. Where one of them has
changed, the choice is stale and is not followed. The file is tuned.json in the state folder: systemd's $STATE_DIRECTORY, else
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
    """One model's choice. holds_for: what it was measured with. size: WIDTHxHEIGHT; frame_ms: the median, end to end; on: the day."""

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
    """Where choices are remembered; None where there is no home."""
    # systemd gives several with colons between; the first is ours
    if given := env.get("STATE_DIRECTORY", "").split(":")[0]:
        return Path(given)
    if home := env.get("XDG_STATE_HOME"):
        return Path(home) / "edgefuse"
    try:
        return Path.home() / ".local/state/edgefuse"
    except RuntimeError:
        return None


def surroundings(card: Card) -> dict[str, str]:
    """What a choice for `card` holds for, by name."""
    processor, libraries = read_processor(), read_libraries()
    found = {"processor": processor.name, "instructions": " ".join(processor.features or ("?",)), "cores": str(processor.usable)}
    found |= {name: libraries[name] or "none" for name in _LIBRARIES}
    return found | {f"{file.path.name}": file.sha256[:16] for file in card.files}


def recall(card: Card) -> tuple[Tuned | None, str]:
    """(the choice for `card` on this board, ""), or (None, why the one that is there is not followed, "" where there is none)."""
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
    """Raises OutputError where a choice can't be remembered in `folder`."""
    check_folder(folder)


def remember(folder: Path, tuned: Tuned) -> Path:
    """Add the choice to those in `folder`, in place of the model's last one on this processor. Returns the file."""
    kept = [c for c in _read(folder)[0] if (c.model, c.holds_for.get("processor")) != (tuned.model, tuned.holds_for["processor"])]
    path = folder / "tuned.json"
    text = json.dumps({"format": _FORMAT, "choices": [asdict(c) for c in (*kept, tuned)]}, indent=1)
    write_atomic(path, (text + "\n").encode())
    return path


def _read(folder: Path) -> tuple[list[Tuned], str]:
    """(the choices, "") or ([], what is wrong with the file)."""
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
    """Raises ValueError, TypeError or KeyError for what is not one."""
    kinds: dict[str, Any] = {"threads": int, "frame_ms": (int, float), "holds_for": dict}
    values = {f.name: raw[f.name] for f in fields(Tuned)}
    if any(not isinstance(v, kinds.get(name, str)) for name, v in values.items()) or not 1 <= values["threads"] <= 64:
        raise ValueError("a value of another kind")
    return Tuned(**values)
