"""Ours and a peer's in turn, so that whatever else the machine does falls on all of them alike. Ratios, not times, are what to read.

Each round runs every contestant once, for a twentieth of a second at least (one run of a millisecond is mostly the cold caches that a large
peer leaves); its mean counts. On one thread it is the processor's time that counts, which is the same on an idle machine and leaves out
what others take on a busy one; on several it is the clock on the wall. A ratio is that of the medians over the rounds; its spread is that
of the rounds' own ratios.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from edgefuse.bench.cases import Case
from edgefuse.bench.measure import recorded
from edgefuse.bench.peer import Peer
from edgefuse.bench.statistics import UNCERTAIN, finite, uncertainty
from edgefuse.frames import FramePair

PEER = "peer"
BLOCK_S = 0.05
PATIENCE = 3
Clock = Callable[[], float]
Works = Mapping[str, Callable[[], object]]
Times = Mapping[str, Sequence[float]]


def clock_for(threads: int) -> Clock:
    """Processor time for one thread, where it is what the work takes; the wall's for more."""
    return time.process_time if threads == 1 else time.perf_counter


def timed(work: Callable[[], object], clock: Clock) -> float:
    """Milliseconds a call, of as many as fit in a twentieth of a second."""
    calls, begin = 0, clock()
    while True:
        work()
        calls += 1
        spent = clock() - begin
        if spent > BLOCK_S:
            return spent * 1000 / calls


def rounds(works: Works, clock: Clock) -> Iterator[dict[str, float]]:
    """Milliseconds a call of each, round after round without end, after one call of each that does not count.

    Every other round runs backwards, so that nobody always follows the same one.
    """
    for work in works.values():
        work()
    names = list(works)
    while True:
        ms = {name: timed(works[name], clock) for name in names}
        yield {name: ms[name] for name in works}
        names.reverse()


def figures(times: Times) -> dict[str, dict[str, Any]]:
    """By contestant: median and quartiles in ms, how many times faster than the peer (above 1: faster), and the quartiles of that.

    uncertainty: of the ratio, a share of it.
    """
    peer = np.asarray(times[PEER])
    found: dict[str, dict[str, Any]] = {}
    for name, spent in times.items():
        ms = np.asarray(spent)
        ratios = peer / ms
        found[name] = {
            "median_ms": round(float(np.median(ms)), 4),
            "quartiles_ms": [round(float(q), 4) for q in np.percentile(ms, (25, 75))],
            "ratio": round(float(np.median(peer) / np.median(ms)), 3),
            "ratio_quartiles": [round(float(q), 3) for q in np.percentile(ratios, (25, 75))],
            "uncertainty": finite(uncertainty(ratios)),
        }
    return found


def known(times: Times) -> bool:
    """Is every ratio known well enough? times: by path/name."""
    for name, spent in times.items():
        peer = np.asarray(times[f"{name.partition('/')[0]}/{PEER}"])
        if uncertainty(peer / np.asarray(spent)) > UNCERTAIN:
            return False
    return True


def duel(
    path: Path, cases: Sequence[Case], pair: FramePair, least: int, min_secs: float, tell: Callable[[Any], None] = lambda _: None
) -> dict[str, Any]:
    """The peer in `path` against `cases`, all of one size and thread count: their network alone and end to end.

    At least `least` rounds, as many as take the peer `min_secs` end to end, and up to three times as many until every ratio is known well.
    `tell` gets each round's milliseconds by path and name; returns what does not change with the rounds. Raises ModelError where the
    peer can't be run.
    """
    threads = cases[0].threads
    cv2.setNumThreads(threads)
    peer = Peer(path, threads)
    peer.end_to_end(pair)
    inputs = peer.inputs(pair)
    works: dict[str, Callable[[], object]] = {
        f"end_to_end/{PEER}": lambda: peer.end_to_end(pair),
        f"network/{PEER}": lambda: peer.network(inputs),
    }
    models, fusers = {}, []
    for case in cases:
        fuser, network = recorded(case, pair)
        fusers.append(fuser)
        works[f"end_to_end/{case.label}"] = lambda f=fuser: f.fuse(pair)  # type: ignore[misc]
        if network is not None:
            works[f"network/{case.label}"] = network
        choice = fuser.choice
        models[case.label] = {
            "model": fuser.card.name, "runtime": choice.name, "version": choice.version, "precision": choice.precision,
            "sha256": None if choice.file is None else choice.file.sha256,
        }  # fmt: skip
    times: dict[str, list[float]] = {name: [] for name in works}
    for done, ms in enumerate(rounds(works, clock_for(threads)), 1):
        for name, value in ms.items():
            times[name].append(value)
        tell(ms)
        # a quick peer's block holds many calls
        spent = max(sum(times[f"end_to_end/{PEER}"]) / 1000, done * BLOCK_S)
        if done >= least and spent >= min_secs and (done >= PATIENCE * least or known(times)):
            break
    for fuser in fusers:
        fuser.close()
    clock = "processor" if threads == 1 else "wall"
    return {"inputs": [str(port) for port in peer.ports], "clock": clock, "models": models}
