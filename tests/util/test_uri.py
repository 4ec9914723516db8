"""The URI grammar: any text parses or raises SettingsError."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from edgefuse.errors import SettingsError
from edgefuse.util import uri
from edgefuse.util.uri import Uri, parse, safe

paths = st.text(st.characters(exclude_characters="\0", exclude_categories=("Cs",)), min_size=1).filter(lambda t: "%" not in t)
grammar_like = st.lists(st.sampled_from([*"abz:,?&=%~/. \n\0é", "%2C", "%00", "%zz", "folder", "\udcff"])).map("".join)


def escape(path: str) -> str:
    return path.replace("%", "%25").replace(",", "%2C").replace("?", "%3F")


def test_kind_alone() -> None:
    assert parse("demo") == Uri("demo", "demo", (), {})


def test_targets_and_options() -> None:
    parsed = parse("video:a dir/v.mp4,~/i.mp4?fps=8.7&loop=a=b")
    assert parsed.kind == "video"
    assert parsed.targets == ("a dir/v.mp4", "~/i.mp4")
    assert parsed.options == {"fps": "8.7", "loop": "a=b"}
    assert parsed.text == "video:a dir/v.mp4,~/i.mp4?fps=8.7&loop=a=b"


def test_escapes_are_undone_in_targets_and_options() -> None:
    parsed = parse("folder:a%2Cb%3Fc%25d:e&f?x%26y=1%3D2")
    assert parsed.targets == ("a,b?c%d:e&f",)
    assert parsed.options == {"x&y": "1=2"}


@pytest.mark.parametrize(
    "text",
    ["", ":", "?", "Folder:x", "1x", "fol der:x", "folder:", "folder:,x", "folder:x,", "demo?", "demo?a", "demo?=1", "demo?a=1&",
     "demo?a=1&a=2", "a\0b", "demo\n", "-demo", "/srv/pairs"],
)  # fmt: skip
def test_the_error_for_an_invalid_uri_quotes_it_and_the_grammar(text: str) -> None:
    with pytest.raises(SettingsError) as caught:
        parse(text)
    assert str(caught.value).startswith(repr(text))
    assert "KIND[:PATH[,PATH]]" in str(caught.value)
    assert "\n" not in str(caught.value)


@given(st.text() | grammar_like)
@example("folder:%")
@example("folder:%ff%fe")
@example("folder:\udcff%41")
def test_any_text_is_parsed_or_refused(text: str) -> None:
    try:
        parsed = parse(text)
    except SettingsError:
        return
    assert parsed.text == text
    assert text.startswith(parsed.kind)
    assert parsed.kind
    assert all(parsed.targets)


@given(st.lists(paths | st.text("%2CF3,?ab", min_size=1), max_size=3))
def test_escaped_paths_round_trip(targets: list[str]) -> None:
    text = "folder:" + ",".join(map(escape, targets)) if targets else "folder"
    assert parse(text).targets == tuple(targets)


@given(paths.filter(lambda t: not t.startswith("~") and not set(t) & {",", "?"}))
def test_nothing_else_needs_escaping(path: str) -> None:
    assert parse(f"folder:{path}").paths(1) == (Path(path),)


@given(grammar_like.filter(lambda t: "%00" in t).map(lambda t: f"folder:a{t}"))
@example("folder:a%00b")
def test_no_target_holds_a_null_byte(text: str) -> None:
    try:
        parsed = parse(text)
    except SettingsError:
        return
    assert not any("\0" in t for t in parsed.targets)


def test_a_duplicate_option_in_escaped_form_is_refused() -> None:
    with pytest.raises(SettingsError):
        parse("demo?a=1&%61=2")


def test_paths_checks_their_number_and_expands_home(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/pi")
    assert parse("folder:~/a,b").paths(1, 2) == (Path("/home/pi/a"), Path("b"))
    with pytest.raises(SettingsError, match=r"^folder:a,b,c: expected 1 or 2 paths after 'folder:', got 3$"):
        parse("folder:a,b,c").paths(1, 2)
    with pytest.raises(SettingsError, match=r"expected 1 path after 'video:', got 0$"):
        parse("video").paths(1)


def test_an_unknown_home_is_a_settings_error() -> None:
    with pytest.raises(SettingsError):
        parse("folder:~no-such-user/pairs").paths(1)


def test_options_are_converted_or_default() -> None:
    parsed = parse("demo?fps=8.7")
    assert parsed.option("fps", 25.0, float) == 8.7
    assert parsed.option("seed", 3, int) == 3
    with pytest.raises(SettingsError, match=r"^demo\?fps=8.7: option fps=8.7: expected a whole number from 1 to 9$"):
        parsed.option("fps", 1, uri.whole(1, 9))


def test_unknown_options_list_the_known_ones() -> None:
    parsed = parse("demo?spf=3")
    parsed.allow("fps", "spf")
    with pytest.raises(SettingsError, match=r"'demo' has no option 'spf'; known options: fps, seed$"):
        parsed.allow("fps", "seed")
    with pytest.raises(SettingsError, match=r"known options: none$"):
        parsed.allow()


@pytest.mark.parametrize(("text", "value"), [("0", 0), ("007", 7), ("100", 100)])
def test_whole_numbers(text: str, value: int) -> None:
    assert uri.whole(0, 100)(text) == value


@pytest.mark.parametrize("text", ["", "-1", "101", "1.0", " 1", "1_0", "٣", "9" * 5000, "1\n"])
def test_invalid_whole_numbers(text: str) -> None:
    with pytest.raises(ValueError, match=r"^expected a whole number from 0 to 100$"):
        uri.whole(0, 100)(text)


@given(st.floats(0.01, 1000))
def test_real_numbers(value: float) -> None:
    assert uri.real(0.01, 1000)(repr(value)) == value


@pytest.mark.parametrize("text", ["", "nan", "inf", "-inf", "0", "1000.1", "x", "1,5"])
def test_invalid_real_numbers(text: str) -> None:
    with pytest.raises(ValueError, match=r"^expected a number from 0.01 to 1000$"):
        uri.real(0.01, 1000)(text)


@pytest.mark.parametrize(("text", "value"), [("640x480", (640, 480)), ("16x4096", (16, 4096))])
def test_sizes(text: str, value: tuple[int, int]) -> None:
    assert uri.size(text) == value


@pytest.mark.parametrize("text", ["", "640", "15x20", "20x15", "4097x20", "640X480", "-640x480", "640x480x3", "640x480\n", "64 x48"])
def test_invalid_sizes(text: str) -> None:
    with pytest.raises(ValueError, match="expected WIDTHxHEIGHT"):
        uri.size(text)


def test_choices() -> None:
    assert uri.choice("png", "jpg")("jpg") == "jpg"
    with pytest.raises(ValueError, match=r"^expected one of png, jpg$"):
        uri.choice("png", "jpg")("PNG")


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("rtsp://me:secret@door/1", "rtsp://***@door/1"),
        ("visible=http://me:secret@door:80/v?key=5#sensor=lepton: broken", "visible=http://***@door:80/v?*** broken"),
        ("http://door/v?user=me@home", "http://***?***"),
        ("('rtsp://a:b@c', 'rtsp://d:e@f')", "('rtsp://***@c', 'rtsp://***@f')"),
        (
            "visible=http://me:S3@a:80/v?key=S3,infrared=http://me:S3@b:81/v?key=S3",
            "visible=http://***@a:80/v?***,infrared=http://***@b:81/v?***",
        ),
        ("visible=http://a/v,infrared=rtsp://me:S3@b/1", "visible=http://a/v,infrared=rtsp://***@b/1"),
        ("visible=http://a/v?key=S3,infrared=v4l2:1e4e:0100", "visible=http://a/v?***,infrared=v4l2:1e4e:0100"),
        ("rtsp://me:S3,S3@b/1", "rtsp://***@b/1"),
        ("folder:a@b?c", "folder:a@b?c"),
        ("rtsp://me:pa'S3@door/s can not", "rtsp://***@door/s can not"),
        ('rtsp://me:pa"S3@door/s', "rtsp://***@door/s"),
        ("rtsp://me:p#S3@door/s", "rtsp://***@door/s"),
        ("rtsp://door:554/user=admin_password=S3_channel=1_stream=0.sdp", "rtsp://door:554/user=***"),
        ("http://door/cgi?usr=a&pwd=S3", "http://door/cgi?***"),
    ],
)
def test_secrets_of_a_url_are_not_shown(text: str, shown: str) -> None:
    assert safe(text) == shown
    # a text may be made safe where it is made and where it leaves the run
    assert safe(shown) == shown


@given(st.text(st.characters(exclude_categories=("Z", "C")), min_size=1))
def test_no_password_is_shown(password: str) -> None:
    secret = f"S3{password}S3"
    assert "S3" not in safe(f"rtsp://me:{secret}@door:554/1?x=y")
