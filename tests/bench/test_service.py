"""Tests of `edgefuse bench --service`: all stages of a service are measured, and options that don't fit are refused."""

from __future__ import annotations

import json

import pytest

from edgefuse.bench.service import STAGES, as_text, measure
from edgefuse.cli.main import main
from tests.conftest import one_line


@pytest.mark.slow
def test_every_stage_of_a_service_is_measured() -> None:
    report = measure(2, (160, 120))
    assert list(report["stages_ms"]) == list(STAGES)
    assert all(ms > 0 for ms in report["stages_ms"].values())
    assert report["sum_ms"] == pytest.approx(sum(report["stages_ms"].values()), abs=0.001)
    assert (report["visible"], report["infrared"], report["frames"]) == ([160, 120], [160, 120], 2)
    text = as_text(report)
    assert [line.split()[0] for line in text.splitlines()[2:]] == [*STAGES, "sum"]


@pytest.mark.slow
def test_the_command_prints_the_table_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", "--service", "--frames", "1", "--size", "160x120", "--model", "blend-classic", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["model"] == "blend-classic 8 bit on closed form"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--tune"], "--service and --tune cannot be combined"),
        (["--size", "320x240", "640x480"], "--service takes one --model and one --size, that of the visible camera"),
    ],
)
def test_options_that_do_not_fit_are_refused(options: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", "--service", *options]) == 2
    assert one_line(capsys.readouterr().err) == f"edgefuse: {message}"
