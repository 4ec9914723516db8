"""The tables [recording] and [stream] in settings file and command line."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgefuse import settings
from edgefuse.errors import SettingsError

pytest.importorskip("msgspec")


def _load(tmp_path: Path, text: str) -> settings.Settings:
    path = tmp_path / "edgefuse.toml"
    path.write_text('[run]\nsource = "demo"\n' + text)
    return settings.load(path)


def test_the_option_enables_recording_and_overrides_the_file(tmp_path: Path) -> None:
    made = settings.load(None, given={"run": {"source": "demo"}, "recording": {"folder": "rec"}}).tables["recording"]
    assert (made.folder, made.mode, made.raw, made.keep_gb) == ("rec", "always", False, 8)
    assert "recording" not in _load(tmp_path, "").tables
    table = _load(tmp_path, '[recording]\nfolder = "/srv"\nmode = "alarm"\nbefore_s = 3\n').tables["recording"]
    assert (table.folder, table.mode, table.before_s) == ("/srv", "alarm", 3)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[recording]\n", "recording: 'folder' missing"),
        ('[recording]\nfolder = "x"\nmode = "never"\n', "recording.mode = 'never': expected one of always, alarm, request"),
        ('[recording]\nfolder = "x"\nsegment_s = 1\n', "recording.segment_s = 1: expected a number from 2 to 86400"),
        ('[recording]\nfolder = "x"\nencoder = "x265"\n', "recording.encoder"),
        ("[stream]\n", "stream: 'url' missing"),
        ('[stream]\nurl = "http://host"\n', "stream: url must begin with rtsp://"),
    ],
)
def test_invalid_tables_are_refused_with_the_key(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(SettingsError, match=words):
        _load(tmp_path, text)


def test_a_password_comes_from_a_file(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("S3cret\n")
    text = f'[stream]\nurl = "rtsp://host/x"\nuser = "me"\npassword_file = "{tmp_path / "secret"}"\n'
    assert _load(tmp_path, text).tables["stream"].password == "S3cret"
