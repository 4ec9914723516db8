"""Pairing with synthetic clocks: jitter, drift, gaps, frames out of order. Every frame is accounted for."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgefuse.cameras.frame_ledger import FrameLedger, TrackedFrame
from edgefuse.cameras.pairing import Match, Pairing
from edgefuse.frames import Frame, Modality

MS = 1_000_000
GREY = np.zeros((2, 2), np.uint8)


class Bench:
    """Two cameras' frames through a pairing; every match is fused, or dropped where `fuse` returns False."""

    def __init__(self, max_skew_ms: float, fresh: bool = False, fuse: Any = lambda match: True) -> None:
        self.ledgers: dict[Modality, FrameLedger] = {"visible": FrameLedger(), "infrared": FrameLedger()}
        self.pairing: Pairing[TrackedFrame] = Pairing(round(max_skew_ms * MS), fresh)
        self.matches: list[Match[TrackedFrame]] = []
        self.at: list[int] = []  # when each match was made, in the frames' own time
        self._fuse = fuse

    def add(self, side: Modality, time_ns: int) -> None:
        self.pairing.add(side, time_ns, TrackedFrame(Frame(GREY, side, time_ns, ""), self.ledgers[side]))
        while (match := self.pairing.take()) is not None:
            self.matches.append(match)
            self.at.append(time_ns)
            for ticket in (match.visible, match.infrared):
                if ticket is not None:
                    ticket.settle(None if self._fuse(match) else "overrun")

    def play(self, *streams: tuple[Modality, list[int]], latency_ms: dict[Modality, float] | None = None) -> Bench:
        """Add the frames in order of arrival."""
        late = latency_ms or {}
        events = sorted((t + late.get(side, 0) * MS, side, t) for side, times in streams for t in times)
        for _, side, t in events:
            self.add(side, t)
        return self

    def balanced(self) -> bool:
        self.pairing.clear("stopped")
        return all(b.received == b.fused + sum(b.dropped.values()) for b in self.ledgers.values())

    def skews_ms(self) -> list[float]:
        return [m.skew_ns / MS for m in self.matches]


def regular(fps: float, seconds: float, phase_ms: float = 0.0) -> list[int]:
    return [round(k * 1e9 / fps + phase_ms * MS) for k in range(int(seconds * fps))]


def times(m: Match[TrackedFrame]) -> tuple[int, int]:
    assert m.visible is not None
    assert m.infrared is not None
    return m.visible.frame.time_ns, m.infrared.frame.time_ns


def test_at_30_and_8_7_hz_every_visible_frame_is_fused_with_the_nearest_infrared() -> None:
    bench = Bench(150).play(("visible", regular(30, 10)), ("infrared", regular(8.7, 10, 5)))
    assert bench.balanced()
    assert bench.ledgers["visible"].fused >= 299
    assert bench.ledgers["infrared"].dropped.keys() <= {"stopped"}
    held = [m for m in bench.matches if m.held == "infrared"]
    assert len(held) + bench.ledgers["infrared"].fused == len(bench.matches)
    # never older than the slower camera's interval, and no other infrared frame available then was nearer
    assert max(abs(s) for s in bench.skews_ms()) <= 1000 / 8.7 + 1e-6


def test_fresh_pairs_are_each_others_nearest_at_the_slower_rate() -> None:
    bench = Bench(150, fresh=True).play(("visible", regular(30, 10)), ("infrared", regular(8.7, 10, 5)))
    assert bench.balanced()
    assert len(bench.matches) == pytest.approx(87, abs=1)
    assert max(abs(s) for s in bench.skews_ms()) <= 1000 / 60 + 1e-6
    assert all(m.held is None for m in bench.matches)
    assert bench.ledgers["visible"].dropped.keys() <= {"outrun", "stopped"}


def test_fresh_pairs_do_not_wait_for_a_slow_interval() -> None:
    bench = Bench(150, fresh=True).play(("visible", regular(30, 5)), ("infrared", regular(9, 5, 8)))
    waits = [(at - max(times(m))) / MS for at, m in zip(bench.at, bench.matches, strict=True)]
    assert max(waits[10:]) <= 1000 / 30 + 1e-6


def test_the_infrared_camera_may_be_the_faster_one() -> None:
    bench = Bench(150).play(("visible", regular(8, 5)), ("infrared", regular(25, 5, 3)))
    assert bench.balanced()
    assert {m.held for m in bench.matches[10:]} <= {"visible", None}
    assert bench.ledgers["infrared"].fused >= 120


@pytest.mark.parametrize("fresh", [False, True])
@pytest.mark.parametrize("latency_ms", [0.0, 25.0, 60.0])
def test_equal_rates_pair_frame_by_frame_despite_latency(fresh: bool, latency_ms: float) -> None:
    """A frame of the same moment is waited for up to one frame interval: 25 ms late is in time, 60 ms is not."""
    bench = Bench(150, fresh).play(("visible", regular(30, 4)), ("infrared", regular(30, 4, 2)), latency_ms={"infrared": latency_ms})
    assert bench.balanced()
    skews = bench.skews_ms()[10:-10]
    limit = 2.1 if fresh or latency_ms < 33 else 36
    assert max(abs(s) for s in skews) < limit


def test_a_known_delay_shows_as_the_skew() -> None:
    bench = Bench(150, fresh=True).play(("visible", regular(30, 5)), ("infrared", regular(30, 5, 12)))
    assert np.median(bench.skews_ms()) == pytest.approx(-12, abs=0.01)


def test_a_stalled_camera_is_held_until_it_is_too_old() -> None:
    infrared = [t for t in regular(9, 4) if not 1.0e9 < t < 2.5e9]
    bench = Bench(300).play(("visible", regular(30, 4)), ("infrared", infrared))
    assert bench.balanced()
    gap = [times(m)[0] for m in bench.matches if 1.0e9 < times(m)[0] < 2.4e9]
    assert max(gap) - 1.0e9 == pytest.approx(300 * MS, abs=40 * MS)
    assert bench.ledgers["visible"].dropped["unmatched"] == pytest.approx(33, abs=4)


def test_an_absent_camera_lets_the_other_through() -> None:
    bench = Bench(100)
    bench.pairing.set_absent("infrared")
    bench.play(("visible", regular(30, 1)))
    assert [m.infrared for m in bench.matches] == [None] * 30
    bench.pairing.set_absent(None)
    bench.play(("visible", regular(30, 1, 1000)), ("infrared", regular(9, 1, 1000)))
    assert bench.balanced()
    assert all(m.infrared is not None for m in bench.matches[32:])
    assert bench.ledgers["visible"].fused == 30 + len(bench.matches[30:])


def test_a_restarted_clock_is_accepted_after_forget() -> None:
    bench = Bench(100).play(("visible", regular(30, 1, 5000)), ("infrared", regular(30, 1, 5000)))
    before = len(bench.matches)
    bench.add("visible", 0)
    assert bench.ledgers["visible"].dropped["late"] == 1
    for side in ("visible", "infrared"):
        bench.pairing.forget(side)  # type: ignore[arg-type]
    bench.play(("visible", regular(30, 1)), ("infrared", regular(30, 1)))
    assert len(bench.matches) > before + 25
    assert bench.balanced()


def test_a_frame_in_several_pairs_counts_once() -> None:
    bench = Bench(200, fuse=lambda m: m.held is None).play(("visible", regular(30, 3)), ("infrared", regular(9, 3)))
    assert bench.balanced()
    assert bench.ledgers["infrared"].fused == bench.ledgers["visible"].fused == len([m for m in bench.matches if m.held is None])
    none = Bench(200, fuse=lambda m: False).play(("visible", regular(30, 3)), ("infrared", regular(9, 3)))
    assert none.balanced()
    assert none.ledgers["infrared"].fused == 0
    assert set(none.ledgers["infrared"].dropped) <= {"overrun", "stopped"}


@st.composite
def clocks(draw: st.DrawFn) -> list[int]:
    """Capture times in order of arrival: a rate with drift, jitter, gaps, frames out of order and repeats."""
    fps = draw(st.floats(2, 60))
    drift = draw(st.floats(-0.01, 0.01))
    jitter = draw(st.floats(0, 1.5))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    count = draw(st.integers(0, 80))
    interval = 1e9 / fps
    made = (np.arange(count) * (1 + drift) + rng.uniform(-jitter, jitter, count) / 2) * interval + draw(st.floats(0, 1e9))
    keep = rng.random(count) > draw(st.sampled_from([0.0, 0.1, 0.7]))
    return [int(t) for t in made[keep]]


@given(visible=clocks(), infrared=clocks(), max_skew=st.floats(0, 500), fresh=st.booleans(), latency=st.floats(0, 300), data=st.data())
def test_any_input_is_accounted_for_in_order_and_within_the_skew(
    visible: list[int], infrared: list[int], max_skew: float, fresh: bool, latency: float, data: st.DataObject
) -> None:
    share = data.draw(st.sampled_from([1.0, 0.5, 0.0]))
    rng = np.random.default_rng(1)
    bench = Bench(max_skew, fresh, lambda m: rng.random() < share)
    bench.play(("visible", visible), ("infrared", infrared), latency_ms={"infrared": latency})
    assert bench.balanced()
    assert all(abs(s) <= max_skew + 1e-6 for s in bench.skews_ms())
    pairs = [times(m) for m in bench.matches]
    for column in zip(*pairs, strict=True):
        assert list(column) == sorted(column)
    assert len(set(pairs)) == len(pairs)
    if fresh:
        assert all(len(set(column)) == len(column) for column in zip(*pairs, strict=True))
    else:
        # in each match one of the two is new
        assert all(a[0] < b[0] or a[1] < b[1] for a, b in itertools.pairwise(pairs))
    for side in ("visible", "infrared"):
        ledger = bench.ledgers[side]  # type: ignore[index]
        assert set(ledger.dropped) <= {"late", "unmatched", "outrun", "overrun", "stopped"}


@given(offset=st.floats(0, 111), drift=st.floats(-2e-4, 2e-4), jitter=st.floats(0, 2), seed=st.integers(0, 2**31))
def test_fresh_skew_stays_within_half_the_faster_interval(offset: float, drift: float, jitter: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    visible = [round(t * (1 + drift) + rng.uniform(0, jitter) * MS) for t in regular(30, 6)]
    infrared = [round(t + rng.uniform(0, jitter) * MS) for t in regular(9, 6, offset)]
    bench = Bench(150, fresh=True).play(("visible", visible), ("infrared", infrared))
    assert bench.balanced()
    assert max(abs(s) for s in bench.skews_ms()[2:]) <= 1000 / 60 + 2 * jitter + 0.1
    assert bench.ledgers["infrared"].fused >= 52


@given(visible=clocks(), infrared=clocks())
def test_memory_is_bounded_when_nothing_is_taken(visible: list[int], infrared: list[int]) -> None:
    bench = Bench(1000)
    for side, stamps in (("visible", visible), ("infrared", infrared)):
        for t in stamps:
            bench.pairing.add(side, t, TrackedFrame(Frame(GREY, side, t, ""), bench.ledgers[side]))  # type: ignore[arg-type,index]
    for ledger in bench.ledgers.values():
        assert ledger.received - ledger.fused - sum(ledger.dropped.values()) <= 8
    assert bench.balanced()
