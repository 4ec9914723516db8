from __future__ import annotations

from typing import Any

import pytest

from edgefuse.bench.tune import fastest, remembered
from edgefuse.errors import EdgeFuseError
from edgefuse.zoo import find


def row(ms: float, runtime: str = "onnx", status: str = "ok", golden: str = "ok", model: str = "mobilefuse") -> dict[str, Any]:
    return {
        "model": model, "runtime": runtime, "precision": "fp32", "threads": 1, "size": "96x80", "status": status, "error": "it died",
        "golden": {"status": golden, "note": "differs"}, "end_to_end": {"latency_ms": {"p50": ms}},
    }  # fmt: skip


def test_the_fastest_verified_case_is_chosen() -> None:
    rows = [row(3, "numpy"), row(1, golden="fail"), row(0.5, status="failed"), row(2, "litert"), row(0.1, model="other")]
    assert fastest(rows, "mobilefuse")["runtime"] == "litert"
    tuned = remembered(find("mobilefuse"), fastest(rows, "mobilefuse"))
    assert (tuned.model, tuned.runtime, tuned.frame_ms, tuned.size) == ("mobilefuse", "litert", 2, "96x80")
    assert tuned.holds_for["mobilefuse.npz"]


def test_no_verified_case_is_an_error() -> None:
    with pytest.raises(EdgeFuseError, match="none of 2 combinations ran and verified"):
        fastest([row(1, golden="fail"), row(1, status="failed")], "mobilefuse")
