"""Measures one case in this process.

Start a process for each case (`edgefuse.bench.subprocess_case`), so that its memory figures are its own.
"""

from __future__ import annotations

import time
from array import array
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import psutil
from numpy.typing import NDArray

from edgefuse import registry, runtimes, zoo
from edgefuse.bench.cases import Case
from edgefuse.bench.cpu_contention import CpuContention
from edgefuse.bench.report_types import Golden, Row, StageTime, Timing
from edgefuse.bench.statistics import summary
from edgefuse.frames import Frame, FramePair
from edgefuse.fusion.fuser import Fuser
from edgefuse.runtimes import Choice, Runtime
from edgefuse.runtimes.base import Arrays
from edgefuse.runtimes.golden import verify
from edgefuse.telemetry.report import BANDWIDTH_FPS, bandwidth_mb_s, peak_resident_bytes
from edgefuse.util.memory import release_unused


@dataclass(frozen=True, slots=True)
class Plan:
    """Duration: each figure comes from at least `frames` frames and `min_secs` seconds, after `warmup` seconds."""

    warmup: float = 0.2
    min_secs: float = 1.0
    frames: int = 10


class Recorder(Runtime):
    """Forwards a runtime's calls and keeps the last inputs, which are the network's real inputs."""

    def __init__(self, inner: Runtime) -> None:
        self._inner = inner
        self.inputs: Arrays = {}

    @classmethod
    def version(cls) -> str:
        raise NotImplementedError

    def run(self, inputs: Arrays) -> dict[str, NDArray[Any]]:
        self.inputs = inputs
        return self._inner.run(inputs)

    def close(self) -> None:
        self._inner.close()


def write_pair(path: Path, pair: FramePair) -> None:
    """Write a pair to a file for `read_pair`, so that drawing the scene counts for no case's time or memory."""
    np.savez(path, visible=pair.visible.data, infrared=pair.infrared.data)


def read_pair(path: Path) -> FramePair:
    with np.load(path) as arrays:
        visible, infrared = arrays["visible"], arrays["infrared"]
    return FramePair(Frame(visible, "visible", 0, path.stem), Frame(infrared, "infrared", 0, path.stem), 0)


def recorded(case: Case, pair: FramePair) -> tuple[Fuser, Callable[[], object] | None]:
    """Return (a fuser that has fused `pair` once, a call of only its network on the same inputs, or None for a closed form)."""
    card = zoo.find(case.model)
    fuser, recorder = _fuser(card, runtimes.choose(card, case.runtime, case.precision, case.threads))
    fuser.fuse(pair)
    return fuser, _network(fuser, recorder)


def _fuser(card: zoo.Card, choice: Choice) -> tuple[Fuser, Recorder]:
    recorder = Recorder(choice.runtime)
    return Fuser(card, replace(choice, runtime=recorder)), recorder


def _network(fuser: Fuser, recorder: Recorder) -> Callable[[], object] | None:
    if fuser.choice.file is None:
        return None
    # copies, because the fuser reuses the buffers for the next pair
    inputs = {name: values.copy() for name, values in recorder.inputs.items()}
    return lambda: recorder.run(inputs)


def measure(case: Case, pair: FramePair, plan: Plan, golden: bool = False) -> Row:
    """Measure a case and return its row, with units in the keys. golden: also verify the golden pair. Raises loading errors."""
    cv2.setNumThreads(case.threads)
    card = zoo.find(case.model)
    began = time.perf_counter()
    if card.files and case.runtime != "auto":
        registry.get("edgefuse.runtimes", case.runtime).version()
    imported = time.perf_counter()
    release_unused()
    before = psutil.Process().memory_info().rss
    loading = time.perf_counter()
    choice = runtimes.choose(card, case.runtime, case.precision, case.threads)
    fuser, recorder = _fuser(card, choice)
    loaded = time.perf_counter()
    fused = fuser.fuse(pair)
    first = time.perf_counter()
    network = _network(fuser, recorder)
    _timed(lambda: fuser.fuse(pair), plan.warmup, 1)
    stages = dict.fromkeys(fuser.stages, 0)

    def whole() -> None:
        for stage, ns in fuser.fuse(pair).stages_ns.items():
            stages[stage] += ns

    others = CpuContention()
    end_to_end = _timed(whole, plan.min_secs, plan.frames)
    alone = None
    if network is not None:
        _timed(network, plan.warmup / 2, 1)
        alone = _timed(network, plan.min_secs, plan.frames)
    row: Row = {
        "runtime": choice.name,
        "version": choice.version,
        "precision": choice.precision,
        "why": choice.why,
        "initialisation_ms": {
            "import": _ms(began, imported),
            "load": _ms(loading, loaded),
            "total": _ms(began, imported) + _ms(loading, loaded),
        },
        "first_ms": _ms(loaded, first),
        "end_to_end": end_to_end,
        "network": alone,
        "stages": _stages(stages, end_to_end["frames"]),
        "other_processes_cores": others.cores(),
    }
    peak = peak_resident_bytes()
    row["memory_mb"] = {"peak_resident": round(peak / 1e6, 1), "own": round((peak - before) / 1e6, 1)}
    row |= _facts(card, choice, fused.pair.nbytes, fused.data.nbytes, case.size)
    fuser.close()
    if golden:
        row["golden"] = _golden(card, choice)
    return row


def _ms(begin: float, end: float) -> float:
    return round((end - begin) * 1000, 3)


def _timed(work: Callable[[], object], seconds: float, frames: int) -> Timing:
    """Return `statistics.summary` of at least `frames` calls over at least `seconds`."""
    spent, begins = array("q"), array("q")
    clock = time.perf_counter_ns
    begin = clock()
    deadline = begin + round(seconds * 1e9)
    while len(spent) < frames or begin < deadline:
        begin = clock()
        work()
        spent.append(clock() - begin)
        begins.append(begin)
    return summary(spent, begins)


def _stages(totals_ns: dict[str, int], frames: int) -> dict[str, StageTime]:
    whole = sum(totals_ns.values()) or 1
    return {name: {"mean_ms": round(ns / frames / 1e6, 6), "share": round(ns / whole, 4)} for name, ns in totals_ns.items()}


def _facts(card: zoo.Card, choice: Choice, bytes_in: int, bytes_out: int, size: tuple[int, int]) -> Row:
    file, per_pixel = choice.file, card.cost.get("macs_per_pixel")
    return {
        "file": None if file is None else {"name": file.path.name, "bytes": file.path.stat().st_size, "sha256": file.sha256},
        "parameters": card.cost.get("parameters"),
        "macs": None if per_pixel is None else round(per_pixel * size[0] * size[1]),
        "bytes": {"in": bytes_in, "out": bytes_out},
        "bandwidth_fps": BANDWIDTH_FPS,
        "bandwidth_mb_s": bandwidth_mb_s(bytes_in, bytes_out),
    }


def _golden(card: zoo.Card, choice: Choice) -> Golden:
    if choice.file is None:
        return {"status": "ok", "difference": None, "note": "a closed form has no golden pair"}
    (result,) = verify(card, choice.name, choice.precision)
    return {"status": result.status, "difference": result.difference, "note": result.note}
