"""The table [run]: precedence of command line and file, and errors that state what was expected."""

from __future__ import annotations

from dataclasses import FrozenInstanceError
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("msgspec")
from edgefuse import settings
from edgefuse.cli import main as cli
from edgefuse.errors import SettingsError
from edgefuse.settings import RunSettings, file


def load(folder: Path, text: str) -> dict[str, Any]:
    path = folder / "edgefuse.toml"
    path.write_text(text, "utf-8")
    return file.read(path)[0].get("run", {})


def test_defaults() -> None:
    made = settings.make({}, {"source": "demo"})
    assert made == RunSettings(source="demo")
    assert (made.model, made.runtime, made.precision, made.threads, made.colour) == ("mobilefuse-edge", "auto", None, None, "balanced")
    assert (made.sharpness, made.targets, made.steady) == (1.5625, 1.0, "auto")
    assert (made.save, made.save_format, made.record, made.sink, made.report, made.frames) == (None, "png", None, (), None, None)


def test_a_camera_or_source_option_overrides_both_in_the_file() -> None:
    cameras = {"camera": ("visible=a:1", "infrared=b:2")}
    assert settings.make(cameras, {"camera": ["auto"]}).camera == cameras["camera"]
    assert settings.make({"source": "demo"}, {"camera": ["auto"]}).camera == ("auto",)
    assert settings.make({"source": "demo"}, {"camera": ["auto"]}).source == ""
    assert settings.make(cameras, {"source": "demo"}).camera == ()
    assert settings.make(cameras, {"camera": ["visible=c:3", "infrared=d:4"]}).camera == ("visible=c:3", "infrared=d:4")
    for both in ({"source": "demo", "camera": ["auto"]}, {}):
        with pytest.raises(SettingsError, match="camera"):
            settings.make({**cameras, "source": "demo"}, both)


def test_every_key_is_accepted_in_a_file(tmp_path: Path) -> None:
    text = """
    [run]
    source = "folder:/srv/pairs"
    calibration = "c.toml"
    max_skew = 80
    delay = -5.5
    fresh = true
    pass_through = true
    model = "./mine"
    runtime = "numpy"
    precision = "fp32"
    threads = 64
    colour = "keep"
    sharpness = 2
    targets = 0.5
    steady = "off"
    view = "edges"
    palette = "rainbow"
    isotherm = 40
    overlay = ["scale", "time"]
    camera_name = "Gate 3"
    save = "out"
    save_format = "jpg"
    record = "fused.mp4"
    sink = ["folder:a", "folder:b"]
    report = "r.json"
    frames = 1000000000000
    """
    assert settings.make(load(tmp_path, text), {}) == RunSettings(
        source="folder:/srv/pairs", max_skew=80, delay=-5.5, fresh=True, pass_through=True,
        calibration="c.toml", model="./mine", runtime="numpy", precision="fp32", threads=64, colour="keep",
        sharpness=2,
        targets=0.5, steady="off", save="out", save_format="jpg", record="fused.mp4",
        sink=("folder:a", "folder:b"), report="r.json", frames=10**12,
        view="edges", palette="rainbow", isotherm=40, overlay=("scale", "time"), camera_name="Gate 3",
    )  # fmt: skip


def test_precedence_of_command_line_file_and_defaults(tmp_path: Path) -> None:
    read = load(tmp_path, '[run]\nsource = "demo"\nthreads = 2\ncolour = "keep"\n')
    made = settings.make(read, {"source": "folder:x", "threads": 3})
    assert (made.source, made.threads, made.colour, made.runtime) == ("folder:x", 3, "keep", "auto")


def test_options_that_are_not_given_keep_the_files_values(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "f.toml").write_text('[run]\nsource = "demo"\ncolour = "keep"\nsave_format = "jpg"\nsink = ["folder:a"]\n')
    made = []
    monkeypatch.setenv("OPENCV_LOG_LEVEL", "SILENT")
    monkeypatch.setenv("OPENCV_FFMPEG_LOGLEVEL", "-8")
    monkeypatch.setattr("edgefuse.cli.run.run", lambda s, as_json, *_: made.append((s.run, as_json)) or 0)
    assert cli.main(["run", "--config", str(tmp_path / "f.toml"), "--save-format", "png", "--frames", "5"]) == 0
    assert cli.main(["run", "--config", str(tmp_path / "f.toml"), "--sink", "folder:b", "--sink", "folder:c", "--json"]) == 0
    assert made == [
        (RunSettings(source="demo", colour="keep", save_format="png", sink=("folder:a",), frames=5), False),
        (RunSettings(source="demo", colour="keep", save_format="jpg", sink=("folder:b", "folder:c")), True),
    ]


def test_an_empty_file_is_valid(tmp_path: Path) -> None:
    assert load(tmp_path, "") == {}
    assert load(tmp_path, "[run]\n") == {}


WRONG = [
    ("source = 5", "source", "5", "a string"),
    ('source = ""', "source", "''", "a non-empty string"),
    ('source = ["demo"]', "source", "('demo',)", "a string"),
    ("calibration = 1", "calibration", "1", "a string"),
    ("model = true", "model", "True", "a string"),
    ("runtime = 1.5", "runtime", "1.5", "a string"),
    ('precision = "int4"', "precision", "'int4'", "one of int8, fp32"),
    ('precision = ""', "precision", "''", "one of int8, fp32"),
    ("precision = 8", "precision", "8", "one of int8, fp32"),
    ('threads = "2"', "threads", "'2'", "a whole number"),
    ("threads = 2.0", "threads", "2.0", "a whole number"),
    ("threads = true", "threads", "True", "a whole number"),
    ("threads = 0", "threads", "0", "a whole number from 1 to 64"),
    ("threads = 65", "threads", "65", "a whole number from 1 to 64"),
    ('colour = "pink"', "colour", "'pink'", "one of keep, balanced, benchmark"),
    ('colour = ["keep"]', "colour", "('keep',)", "one of keep, balanced, benchmark"),
    ("sharpness = 0.99", "sharpness", "0.99", "a number from 1 to 2"),
    ("sharpness = 2.1", "sharpness", "2.1", "a number from 1 to 2"),
    ("sharpness = true", "sharpness", "True", "a number"),
    ('sharpness = "2"', "sharpness", "'2'", "a number"),
    ("sharpness = nan", "sharpness", "nan", "a number"),
    ("targets = -0.5", "targets", "-0.5", "a number from 0 to 2"),
    ("targets = inf", "targets", "inf", "a number"),
    ("steady = true", "steady", "True", "one of auto, on, off"),
    ('agc = "linear"', "agc", "'linear'", "one of percentile, clahe, off"),
    ('infrared_polarity = "hot"', "infrared_polarity", "'hot'", "one of auto, white-hot, black-hot"),
    ('camera = "rtsp://me:secret@door/1?key=5"', "camera", "'rtsp://***@door/1?***'", "a list of strings"),
    ("max_skew = -1", "max_skew", "-1", "a number from 0 to 60000"),
    ('delay = "5"', "delay", "'5'", "a number"),
    ("fresh = 1", "fresh", "1", "true or false"),
    ('pass_through = "yes"', "pass_through", "'yes'", "true or false"),
    ("view = 1", "view", "1", "a string"),
    ('palette = "blue"', "palette", "'blue'", "one of white-hot, black-hot, ironbow, rainbow"),
    ("isotherm = -300", "isotherm", "-300", "a number from -273.15 to 5000"),
    ("camera_name = 1", "camera_name", "1", "a string"),
    ("save = 1", "save", "1", "a string"),
    ('save = ""', "save", "''", "a non-empty string"),
    ('save_format = "bmp"', "save_format", "'bmp'", "one of png, jpg"),
    ("record = []", "record", "()", "a string"),
    ("record_raw = 1", "record_raw", "1", "a string"),
    ('sink = "folder:a"', "sink", "'folder:a'", "a list of strings"),
    ('sink = ["folder:a", 1]', "sink", "('folder:a', 1)", "a list of strings"),
    ('sink = [["folder:a"]]', "sink", "(['folder:a'],)", "a list of strings"),
    ("unattended = true", "unattended", "True", "one of auto, on, off"),
    ("report = 1979-05-27", "report", "datetime.date(1979, 5, 27)", "a string"),
    ("frames = 0", "frames", "0", "a whole number from 1 to 1000000000000"),
    ("frames = -1", "frames", "-1", "a whole number from 1 to 1000000000000"),
    ("frames = 1000000000001", "frames", "1000000000001", "a whole number from 1 to 1000000000000"),
    ('view = ""', "view", "''", "a non-empty string"),
    ('palette = "iron"', "palette", "'iron'", "one of white-hot, black-hot, ironbow, rainbow"),
    ("isotherm = -300", "isotherm", "-300", "a number from -273.15 to 5000"),
    ('overlay = ["clock"]', "overlay", "('clock',)", "a list of words of scale, spots, regions, people, time, name"),
    ("camera_name = 3", "camera_name", "3", "a string"),
    ("frames = nan", "frames", "nan", "a whole number"),
]


@pytest.mark.parametrize(("line", "key", "value", "expected"), WRONG)
def test_an_invalid_value_error_names_file_key_and_expectation(tmp_path: Path, line: str, key: str, value: str, expected: str) -> None:
    with pytest.raises(SettingsError) as caught:
        load(tmp_path, f"[run]\n{line}\n")
    assert str(caught.value) == f"{tmp_path}/edgefuse.toml: run.{key} = {value}: expected {expected}"


def test_every_key_has_an_invalid_value_above() -> None:
    assert {key for _, key, _, _ in WRONG} == set(RunSettings.__slots__)


def test_an_empty_string_in_a_list_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"run\.sink"):
        load(tmp_path, '[run]\nsink = [""]\n')


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[run]\nsave-format = 'png'\n", "run.save-format: unknown key; did you mean save_format?"),
        ("[run.colour]\nx = 1\n", "run.colour = {'x': 1}: expected one of keep, balanced, benchmark"),
        ("[run]\nx = 1\n", "run.x: unknown key; choose from source, camera, max_skew, "),
        ("[runs]\n", "unknown table or key 'runs'; did you mean [run]?"),
        ("source = 'demo'\n", "unknown table or key 'source'; choose from [run]"),
        ("run = 5\n", "'run' must be a table: [run]"),
        ("[[run]]\nsource = 'demo'\n", "'run' must be a table: [run]"),
        ("[run]\nsource = demo\n", "not valid TOML ("),
        ("[run]\nthreads = 1\nthreads = 2\n", "not valid TOML ("),
    ],
)
def test_invalid_files_are_refused_with_the_cause(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(SettingsError) as caught:
        load(tmp_path, text)
    assert str(caught.value).startswith(f"{tmp_path}/edgefuse.toml: {words}")


def test_a_file_that_is_not_text(tmp_path: Path) -> None:
    path = tmp_path / "f.toml"
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(SettingsError, match=r"f\.toml: not valid TOML \("):
        file.read(path)


def test_an_unreadable_file(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"^cannot read .*/none\.toml: No such file or directory; give an existing settings file$"):
        file.read(tmp_path / "none.toml")
    with pytest.raises(SettingsError, match=r": Is a directory; "):
        file.read(tmp_path)


def test_invalid_command_line_values_are_reported_with_their_option() -> None:
    with pytest.raises(SettingsError, match=r"^--save-format = 'bmp': expected one of png, jpg$"):
        settings.make({}, {"save_format": "bmp"})
    with pytest.raises(SettingsError, match=r"^--threads = 0: expected a whole number from 1 to 64$"):
        settings.make({}, {"threads": 0})
    with pytest.raises(SettingsError, match=r"^--record = '': expected a non-empty string$"):
        settings.make({}, {"record": ""})


def test_a_source_is_needed() -> None:
    with pytest.raises(SettingsError, match=r"^no source; give --source URI"):
        settings.make({"model": "mobilefuse"}, {})


def test_settings_are_frozen() -> None:
    with pytest.raises(FrozenInstanceError):
        RunSettings(source="demo").source = "x"  # type: ignore[misc]
