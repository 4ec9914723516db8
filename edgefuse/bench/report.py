"""A session's results and its environment as one JSON object, from which text and page are made. Units are in the keys."""

from __future__ import annotations

import hashlib
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import cast

import edgefuse
from edgefuse.bench.cpu_contention import CROWDED
from edgefuse.bench.report_types import BoardFacts, Chosen, Report, StateFacts
from edgefuse.bench.session import Session
from edgefuse.bench.statistics import UNCERTAIN
from edgefuse.board import State, read_board, read_libraries


def report(session: Session, peer: Path | None = None, tuned: list[Chosen] | None = None) -> Report:
    """Return the report. peer: the file that was measured too. tuned: the choices of `edgefuse.bench.tune`, by model."""
    libraries = read_libraries()
    results: Report = {
        "edgefuse": edgefuse.__version__,
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
        results["peer"] = {"file": str(peer), "bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
        results["duels"] = session.comparisons
    if tuned is not None:
        results["tuned"] = tuned
    return results


def _board() -> BoardFacts:
    board = read_board()
    return cast(BoardFacts, asdict(board) | {"name": board.name, "dot_product": board.processor.dot_product})


def _state(state: State) -> StateFacts:
    bits = state.throttling
    words = {"now": list(bits.now), "since_boot": list(bits.since_boot), "disagree": bits.disagree, "text": str(bits)}
    return cast(StateFacts, asdict(state) | {"throttling": asdict(bits) | words})
