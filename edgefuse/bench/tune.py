"""Finds the fastest trusted case on this board, which `--runtime auto` then uses."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from edgefuse.bench.report_types import Row
from edgefuse.errors import EdgeFuseError
from edgefuse.runtimes.tuned import Tuned, surroundings
from edgefuse.zoo import Card


def fastest(rows: Sequence[Row], model: str) -> Row:
    """Return the row of `model` with the shortest end-to-end median among those whose golden output verified.

    Raises EdgeFuseError where there is none.
    """
    ours = [row for row in rows if row["model"] == model]
    verified = [row for row in ours if row["status"] == "ok" and row["golden"]["status"] == "ok"]
    if not verified:
        reasons = [row["error"] or row["golden"]["note"] for row in ours]
        raise EdgeFuseError(f"{model}: none of {len(ours)} combinations ran and verified ({'; '.join(dict.fromkeys(reasons))})")
    return min(verified, key=lambda row: float(row["end_to_end"]["latency_ms"]["p50"]))


def remembered(card: Card, row: Row) -> Tuned:
    """Return `row` as the choice for `card` on this board, dated today."""
    return Tuned(
        card.name, row["runtime"], row["precision"] or "", row["threads"], row["size"], row["end_to_end"]["latency_ms"]["p50"],
        datetime.now(UTC).date().isoformat(), surroundings(card),
    )  # fmt: skip
