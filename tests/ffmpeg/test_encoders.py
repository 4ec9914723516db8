"""Choice of the encoder: only one that has just encoded successfully."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from edgefuse.errors import InputError
from edgefuse.ffmpeg import encoders
from tests.ffmpeg.pictures import needs_ffmpeg


@pytest.fixture(autouse=True)
def _anew() -> Iterator[None]:
    encoders.forget_results()
    yield
    encoders.forget_results()


def _pretend(folder: Path, monkeypatch: pytest.MonkeyPatch, works: str) -> Path:
    """Create an `ffmpeg` that supports only the encoder `works` and logs each call."""
    program = folder / "ffmpeg"
    program.write_text(f'#!/bin/sh\necho "$@" >> {folder}/calls\ncase "$*" in *" -c:v {works} "*) exit 0;; *) exit 1;; esac\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
    return folder / "calls"


@pytest.mark.parametrize("works", ["libx264", "mpeg4"])
def test_the_first_working_encoder_is_chosen_and_remembered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, works: str) -> None:
    calls = _pretend(tmp_path, monkeypatch, works)
    assert encoders.choose(encoders.EVERY, (64, 48)).name == works
    tried = calls.read_text()
    assert encoders.choose(encoders.EVERY, (64, 48)).name == works
    assert calls.read_text() == tried
    encoders.forget_results()
    assert encoders.choose(encoders.EVERY, (64, 48)).name == works
    assert calls.read_text() == tried * 2


def test_no_working_encoder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _pretend(tmp_path, monkeypatch, "nothing")
    with pytest.raises(InputError, match="no working encoder of h264_v4l2m2m, libx264 for 64x48"):
        encoders.choose(encoders.H264, (64, 48))


def test_no_ffmpeg(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(InputError, match="not installed; run: sudo apt install ffmpeg"):
        encoders.program()


@needs_ffmpeg
def test_the_installed_ffmpeg_has_a_working_encoder() -> None:
    assert encoders.choose(encoders.EVERY, (96, 64)).name in encoders.EVERY
