"""Interleaved timing of our model and a peer's: machine noise hits both, so read ratios, not times.

Each round runs every contestant once, for at least 50 ms (a single run of a millisecond would mainly measure the cold caches that a
large peer leaves); its mean counts. On one thread processor time is measured, which is the same on an idle and a busy machine; on several
threads wall time. The ratio is that of the medians over the rounds; its spread is that of the rounds' ratios.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import cv2
import numpy as np

from edgefuse.bench.cases import Case
from edgefuse.bench.measure import recorded
from edgefuse.bench.peer import Peer
from edgefuse.bench.report_types import ComparisonFacts, Contestant, ContestantModel
from edgefuse.bench.statistics import UNCERTAIN, finite, uncertainty
from edgefuse.frames import FramePair

PEER = "peer"
BLOCK_S = 0.05
MAX_EXTENSION = 3
Clock = Callable[[], float]
Works = Mapping[str, Callable[[], object]]
Times = Mapping[str, Sequence[float]]
OnRound = Callable[[Mapping[str, float]], None]


def clock_for(threads: int) -> Clock:
    """Return the clock to use: processor time for one thread, wall time for more."""
    return time.process_time if threads == 1 else time.perf_counter


def timed(work: Callable[[], object], clock: Clock) -> float:
    """Return milliseconds per call, averaged over the calls that fit into BLOCK_S."""
    calls, begin = 0, clock()
    while True:
        work()
        calls += 1
        spent = clock() - begin
        if spent > BLOCK_S:
            return spent * 1000 / calls


def rounds(works: Works, clock: Clock) -> Iterator[dict[str, float]]:
    """Yield milliseconds per call for each contestant, round after round, after an unmeasured call of each.

    Every other round runs in reverse order, so that none always follows the same one.
    """
    for work in works.values():
        work()
    names = list(works)
    while True:
        ms = {name: timed(works[name], clock) for name in names}
        yield {name: ms[name] for name in works}
        names.reverse()


def figures(times: Times) -> dict[str, Contestant]:
    """Return by contestant: median and quartiles in ms, the ratio to the peer (above 1: faster than the peer), and its quartiles.

    uncertainty: relative uncertainty of the ratio.
    """
    peer = np.asarray(times[PEER])
    by_contestant: dict[str, Contestant] = {}
    for name, spent in times.items():
        ms = np.asarray(spent)
        ratios = peer / ms
        by_contestant[name] = {
            "median_ms": round(float(np.median(ms)), 4),
            "quartiles_ms": [round(float(q), 4) for q in np.percentile(ms, (25, 75))],
            "ratio": round(float(np.median(peer) / np.median(ms)), 3),
            "ratio_quartiles": [round(float(q), 3) for q in np.percentile(ratios, (25, 75))],
            "uncertainty": finite(uncertainty(ratios)),
        }
    return by_contestant


def known(times: Times) -> bool:
    """Whether every ratio is known well enough. times: by path/name."""
    for name, spent in times.items():
        peer = np.asarray(times[f"{name.partition('/')[0]}/{PEER}"])
        if uncertainty(peer / np.asarray(spent)) > UNCERTAIN:
            return False
    return True


def compare_with_peer(
    path: Path, cases: Sequence[Case], pair: FramePair, least: int, min_secs: float, on_round: OnRound = lambda _: None
) -> ComparisonFacts:
    """Measure the peer in `path` against `cases`, all of one size and thread count: network alone and end to end.

    It takes at least `least` rounds, as many as the peer needs for `min_secs` end to end, and up to three times as many until every ratio
    is known well. `on_round` gets each round's milliseconds by path and name. Returns what does not depend on the rounds. Raises
    ModelError where the peer cannot be run.
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
    models: dict[str, ContestantModel] = {}
    fusers = []
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
        on_round(ms)
        # a fast peer's block contains many calls
        spent = max(sum(times[f"end_to_end/{PEER}"]) / 1000, done * BLOCK_S)
        if done >= least and spent >= min_secs and (done >= MAX_EXTENSION * least or known(times)):
            break
    for fuser in fusers:
        fuser.close()
    clock = "processor" if threads == 1 else "wall"
    return {"inputs": [str(port) for port in peer.ports], "clock": clock, "models": models}
