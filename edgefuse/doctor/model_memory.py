"""Check of which models have enough memory for a 640x480 frame here, and of the largest frame that the others can take."""

from __future__ import annotations

from typing import Any

from edgefuse import zoo
from edgefuse.doctor.finding import Finding
from edgefuse.doctor.host import Host
from edgefuse.doctor.runtimes import installed
from edgefuse.errors import EdgeFuseError

_SIZE = 640, 480
_PIXELS = _SIZE[0] * _SIZE[1]
# memory that a run has allocated before its first frame, beyond the doctor's own: 20 (LiteRT, nestfuse-edge) to 76 MB (onnxruntime,
# nestfuse)
_LOADED = 76_000_000


def check_fit(_: Host) -> list[Finding]:
    """Return one finding. Its facts list, for each model, the smallest of the files with an installed runtime, its bytes and largest
    frame."""
    try:
        from edgefuse.fusion import memory_check  # imported here because it needs psutil, which may be missing

        cards = zoo.cards()
    except (ImportError, EdgeFuseError):
        return []  # the checks of the libraries and models report what is wrong
    there = max(0, memory_check.room() - _LOADED)
    rows: list[dict[str, Any]] = []
    for card in (c for c in cards if c.task == "fusion"):
        each = [
            (per_pixel * _PIXELS, f.runtime, f.precision)
            for f in card.files
            if installed(f.runtime) and (per_pixel := memory_check.needed(card, f.runtime, f.precision, 1))
        ]
        if each:
            wanted, runtime, precision = min(each)
            about = {"model": card.name, "runtime": runtime, "precision": precision, "bytes": wanted, "fits": wanted <= there}
            rows.append(about | {"largest": memory_check.largest(_SIZE, wanted, there)})
    if not rows:
        return []
    fit = [f"{_with(r)} ({r['bytes'] / 1e6:.0f} MB)" for r in rows if r["fits"]]
    others = [f"{_with(r)} ({r['bytes'] / 1e6:.0f} MB, fits up to {r['largest']})" for r in rows if not r["fits"]]
    size = "{}x{}".format(*_SIZE)
    what = f"{there / 1e6:.0f} MB for a frame; {size} fits with {', '.join(fit) or 'none'}"
    if others:
        what += f"; it does not with {', '.join(others)}"
    return [Finding("large models", "ok" if fit else "warn", what, None, {"free": there, "size": size, "models": rows})]


def _with(row: dict[str, Any]) -> str:
    return f"--model {row['model']} --runtime {row['runtime']}"
