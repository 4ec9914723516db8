"""Lines for terminals and logs: no control characters, and no secrets."""

from __future__ import annotations

import logging
from io import StringIO

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgefuse.cli.progress import log_lines
from edgefuse.events import Event
from edgefuse.telemetry.live import Live
from edgefuse.util import secrets
from edgefuse.util.printable import clean, escaped, line, lines

# escape, bell, C1's control sequence introducer, line separators, right-to-left override
HOSTILE = "cam\x1b[2J\x07\x9b31m\u2028fake: ok\n\r\u202eend"


@given(st.text())
def test_a_line_is_printable(text: str) -> None:
    assert line(text).isprintable()
    assert lines(text).replace("\n", "").isprintable()


def test_control_characters_are_shown_escaped() -> None:
    assert line(HOSTILE) == "cam\\x1b[2J\\x07\\x9b31m\\u2028fake: ok\\n\\r\\u202eend"
    assert line("grün 日本 it's \\") == "grün 日本 it's \\"
    assert clean({"name": [HOSTILE, 3, None]}) == {"name": [line(HOSTILE), 3, None]}
    assert escaped({HOSTILE: (HOSTILE, 3, True)}) == {line(HOSTILE): [line(HOSTILE), 3, True]}


def test_events_and_the_log_are_clean() -> None:
    out, heard = StringIO(), list[Event]()
    live = Live(dict)
    live.listen(heard.append)
    with log_lines(out):
        live.emit(Event("camera", "visible", {"why": HOSTILE}))
        try:
            raise ValueError(HOSTILE)
        except ValueError:
            logging.getLogger("edgefuse.test").exception("of %s", HOSTILE)
    assert heard[0].facts["why"] == line(HOSTILE)
    assert out.getvalue().replace("\n", "").isprintable()
    assert out.getvalue().count(line(HOSTILE)) == 2
    # no line of an error's text passes for one of the log
    assert all(text.startswith(("edgefuse: ", "  ")) for text in out.getvalue().splitlines())


@pytest.mark.parametrize(
    "password", ["pa'SECRET", 'pa"SECRET', "pa#SECRET", "pa SECRET", "pa/SECRET?x", "p@SECRET", "SECRET%27x", "100%SECRET"]
)
def test_a_noted_password_is_hidden_in_every_form(password: str) -> None:
    url = f"rtsp://me:{password}@door/1"
    secrets.note_urls({"camera": (f"visible={url}",)})
    for text in (url, f"cannot open {url!r}: no", f"user me, password {password}", f"{password!r}", url.replace("'", "%27")):
        assert "SECRET" not in line(text), text


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("rtsp://door:554/user=admin_password=SECRET_channel=1_stream=0.sdp", "rtsp://door:554/user=***"),
        ("http://door/snap.cgi;pwd=SECRET;size=2", "http://door/snap.cgi;pwd=***"),
        ("rtsp://door/admin:SECRET/ch1", "rtsp://door/***/ch1"),
        ("http://door/a?token=SECRET", "http://door/a?***"),
        ("rtsp://me:pa'SECRET@door/1", "rtsp://***@door/1"),
        ('rtsp://me:pa"SECRET@door/1', "rtsp://***@door/1"),
        ("rtsp://me:pa#SECRET@door/1", "rtsp://***@door/1"),
    ],
)
def test_credentials_of_a_url_that_was_not_noted_are_hidden(url: str, shown: str) -> None:
    assert line(f"{url} can't be opened") == f"{shown} can't be opened"
    assert line(f"{url!r}, 'x'") in (f"'{shown}', 'x'", f"\"{shown}\", 'x'")
