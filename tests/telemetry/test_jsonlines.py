"""JSON lines: complete lines, files of limited size, and full disks."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgefuse.errors import OutputError
from edgefuse.events import Event
from edgefuse.settings.telemetry import TelemetrySettings
from edgefuse.telemetry import jsonlines
from edgefuse.telemetry.jsonlines import JsonLines, append
from edgefuse.telemetry.live import Live
from tests.conftest import Run, one_line
from tests.reports import INFO, full_report
from tests.support.waiting import until


def test_a_line_per_interval_and_a_last_one(tmp_path: Path) -> None:
    path = tmp_path / "made" / "t.jsonl"
    lines = JsonLines(TelemetrySettings(file=str(path), interval=0.1), Live(full_report), INFO)
    until(lambda: lines.written >= 3, "three lines")
    lines.close()
    lines.close()
    told = [json.loads(line) for line in path.read_text().splitlines()]
    assert [t["sequence"] for t in told] == list(range(len(told)))
    assert lines.report() == {"lines": len(told), "lost": 0}
    assert told[-1]["alarms"] == {"stove": "raised", "odd": "quiet"}


def test_files_are_rotated_by_size(tmp_path: Path) -> None:
    path = tmp_path / "t.jsonl"
    for k in range(50):
        append(path, b"%04d\n" % k, 20, 3)
    assert {p.name: p.read_text().split() for p in tmp_path.iterdir()} == {
        "t.jsonl": ["0048", "0049"], "t.jsonl.1": ["0044", "0045", "0046", "0047"],
        "t.jsonl.2": ["0040", "0041", "0042", "0043"], "t.jsonl.3": ["0036", "0037", "0038", "0039"],
    }  # fmt: skip


@given(st.lists(st.integers(1, 40), max_size=40), st.integers(1, 60), st.integers(1, 4))
def test_files_keep_their_size_limit_and_lines_are_complete(
    tmp_path_factory: pytest.TempPathFactory, lengths: list[int], most: int, keep: int
) -> None:
    folder = tmp_path_factory.mktemp("lines")
    written = [b"x" * (n - 1) + b"\n" for n in lengths]
    for line in written:
        append(folder / "t", line, most, keep)
    order = ["t", *(f"t.{k}" for k in range(1, keep + 1))]
    contents = [(folder / name).read_bytes() for name in order if (folder / name).exists()]
    assert len(contents) == len(list(folder.iterdir()))
    for data in contents:
        assert len(data) <= most or data.count(b"\n") == 1
    kept = [line for data in reversed(contents) for line in data.splitlines(keepends=True)]
    assert kept == written[len(written) - len(kept) :]


def test_a_full_disk_loses_whole_lines_is_reported_and_recovers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real, full = os.write, [False]

    def write(descriptor: int, data: bytes) -> int:
        # a disk accepts what fits
        return real(descriptor, data[: len(data) // 2]) if full[0] else real(descriptor, data)

    monkeypatch.setattr(jsonlines.os, "write", write)
    path, events, live = tmp_path / "t", [], Live(full_report)
    live.listen(events.append)
    lines = JsonLines(TelemetrySettings(file=str(path), interval=0.1), live, INFO)
    until(lambda: lines.written >= 2, "two lines")
    full[0] = True
    until(lambda: lines.lost >= 2, "two lost lines")
    full[0] = False
    written = lines.written
    until(lambda: lines.written >= written + 2, "two more lines")
    lines.close()
    told = [json.loads(line) for line in path.read_text().splitlines()]
    assert len(told) == lines.written
    assert [(e.kind, e.name, e.facts["state"]) for e in events] == [("sink", "telemetry", "failing"), ("sink", "telemetry", "writing")]
    assert "the disk is full" in events[0].facts["error"]


def test_a_failing_report_does_not_end_the_thread(tmp_path: Path) -> None:
    made: list[int] = []

    def report() -> dict[str, object]:
        made.append(1)
        if len(made) == 1:
            raise RuntimeError("not yet")
        return full_report()

    live, events = Live(report), list[Event]()
    live.listen(events.append)
    lines = JsonLines(TelemetrySettings(file=str(tmp_path / "t"), interval=0.1), live, INFO)
    until(lambda: lines.written, "a line")
    lines.close()
    assert events[0].facts == {"state": "failing", "error": "RuntimeError: not yet"}


def test_an_unwritable_path_is_refused_at_once(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="is there, not a file"):
        JsonLines(TelemetrySettings(file=str(tmp_path)), Live(dict), INFO)


def test_the_option_of_a_real_run(run: Run, tmp_path: Path) -> None:
    done = run("run", "--source", "demo?size=96x80&frames=10", "--runtime", "numpy", "--telemetry", "t.jsonl", "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads((tmp_path / "t.jsonl").read_text().splitlines()[-1])["frames_fused"] == 10
    assert json.loads(done.stdout)["telemetry"]["lost"] == 0
    refused = run("run", "--source", "demo?size=64x64", "--telemetry", ".")
    assert refused.returncode == 2
    assert "not a file" in one_line(refused.stderr)


def test_standard_output_has_only_the_lines(run: Run) -> None:
    done = run("run", "--source", "demo?size=96x80&frames=10", "--runtime", "numpy", "--telemetry", "-")
    assert done.returncode == 0, done.stderr
    assert [json.loads(line)["frames_fused"] for line in done.stdout.splitlines()][-1] == 10
    assert "frames     10 in" in done.stderr
