"""An argument that only FFmpeg sees."""

from __future__ import annotations

import logging
import subprocess
from collections.abc import Iterator

import pytest

from edgefuse.errors import InputError
from edgefuse.ffmpeg import encoders, hidden_argument
from edgefuse.ffmpeg.hidden_argument import PLACEHOLDER, HiddenArgument, without_hidden
from edgefuse.util import compiled
from tests.ffmpeg.pictures import needs_ffmpeg

pytestmark = needs_ffmpeg


@pytest.fixture(autouse=True)
def untried() -> Iterator[None]:
    hidden_argument._works.clear()
    yield
    hidden_argument._works.clear()


def test_ffmpeg_gets_it_though_it_is_not_among_its_arguments() -> None:
    if compiled.library() is None:
        pytest.skip("there is no compiled core")
    # "-version" is what it runs
    command, environment = without_hidden([encoders.program(), HiddenArgument("-version")])
    assert command == [encoders.program(), PLACEHOLDER]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=60)
    assert done.stdout.startswith("ffmpeg version")


def test_a_command_without_one_is_as_it_was() -> None:
    assert without_hidden(["ffmpeg", "-i", "x"]) == (["ffmpeg", "-i", "x"], None)


def test_a_warning_says_once_where_it_cannot_be_hidden(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setattr(compiled, "library", lambda: None)
    with caplog.at_level(logging.WARNING):
        for _ in range(2):
            assert without_hidden(["ffmpeg", HiddenArgument("srt://S3cret")]) == (["ffmpeg", "srt://S3cret"], None)
    assert [r.getMessage() for r in caplog.records] == [
        "other users of this machine can see the stream's password (ps): EdgeFuse has no compiled core here"
    ]


def test_a_program_that_cannot_be_started_is_tried_again() -> None:
    if compiled.library() is None:
        pytest.skip("there is no compiled core")
    for _ in range(2):
        with pytest.raises(InputError, match="can't be started: No such file"):
            without_hidden(["/nowhere/ffmpeg", HiddenArgument("x")])
