"""What a session found and on what, as one object for JSON; the text and the page are made of it. Units are in the keys."""

from __future__ import annotations

import hashlib
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from edgefuse.bench.cpu_contention import CROWDED
from edgefuse.bench.session import Session
from edgefuse.bench.statistics import UNCERTAIN
from edgefuse.board import State, read_board, read_libraries


def report(session: Session, peer: Path | None = None, tuned: list[dict[str, Any]] | None = None) -> dict[str, Any]:
    """peer: the file that was measured beside ours. tuned: what `edgefuse.bench.tune` chose, by model."""
    libraries = read_libraries()
    found: dict[str, Any] = {
        "edgefuse": libraries["edgefuse"],
        "measured_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "interrupted": session.interrupted,
        "board": _board(),
        "libraries": dict(libraries),
        "state": {"before": _state(session.before), "after": _state(session.after)},
        "throttled": session.throttled,
        "plan": {
            "warmup_s": session.plan.warmup,
            "min_s": session.plan.min_secs,
            "min_frames": session.plan.frames,
            "cooldown_s": session.cooldown,
        },
        "limits": {"uncertainty": UNCERTAIN, "crowding": CROWDED},
        "left_out": session.left_out,
        "cases": session.rows,
    }
    if peer is not None:
        data = peer.read_bytes()
        found["peer"] = {"file": str(peer), "bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
        found["duels"] = session.duels
    if tuned is not None:
        found["tuned"] = tuned
    return found


def _board() -> dict[str, Any]:
    board = read_board()
    return asdict(board) | {"name": board.name, "dot_product": board.processor.dot_product}


def _state(state: State) -> dict[str, Any]:
    bits = state.throttling
    words = {"now": list(bits.now), "since_boot": list(bits.since_boot), "disagree": bits.disagree, "text": str(bits)}
    return asdict(state) | {"throttling": asdict(bits) | words}
