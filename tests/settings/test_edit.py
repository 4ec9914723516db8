"""Changing a settings file: comments and layout stay, a file that changed meanwhile is kept, and its permissions too."""

from __future__ import annotations

import os
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest

from edgefuse.errors import MissingDependencyError, OutputError, SettingsError
from edgefuse.settings import edit

pytest.importorskip("tomlkit")
DEPLOYED = Path(__file__).resolve().parents[2] / "deploy/edgefuse.toml"
TEXT = """\
# my cameras
[run]
source = "demo"   # until they are here
view = "fused"    # what we look at
overlay = [
    "time",  # always
]
#isotherm = 40

[region.door]
shape = "10%,10%"  # the handle

[alarm.stove]
above = 80
hook = ["x"]
"""


def test_a_value_changes_and_everything_else_stays() -> None:
    made = edit.changed(TEXT, {("run", "view"): "edges", ("alarm", "stove", "above"): 75.5})
    assert made == TEXT.replace('view = "fused"    #', 'view = "edges"    #').replace("above = 80", "above = 75.5")


def test_a_new_value_stands_beside_the_comment_that_shows_it() -> None:
    made = edit.changed(TEXT, {("run", "isotherm"): 38.0})
    assert made == TEXT.replace("#isotherm = 40\n", "#isotherm = 40\nisotherm = 38.0\n")


@pytest.mark.parametrize(
    ("key", "value"),
    [
        (("run", "palette"), "rainbow"),
        (("run", "overlay"), ("scale", "time")),
        (("run", "overlay"), ()),
        (("run", "view"), None),
        (("run", "palette"), None),
        (("run", "camera_name"), 'a "quoted"\nname ö'),
        (("thermal", "emissivity"), 0.95),
        (("region", "stove", "shape"), "1%,2% 3%,4%"),
        (("region", "door", "shape"), "50%,50%"),
        (("region", "door"), None),
        (("region", "nobody"), None),
    ],
)
@pytest.mark.parametrize(
    "text",
    [
        TEXT,
        TEXT.replace("\n", "\r\n"),
        "",
        "# nothing yet\n",
        'run.source = "demo"\nrun.view = "fused"\nregion.door.shape = "1%,1%"\n',
        'region = { door = { shape = "1%,1%" } }\n[run]\nsource = "demo"\n',
        '[region]\ndoor.shape = "1%,1%"\n[ run ]\nsource = "demo"',
        '[alarm.a]\nabove = 1\n[run]\n[region.door]\nshape = "1,1"\n[alarm.b]\nabove = 1\n',
        '#[thermal]\n[run]\n#[thermal]\nview = "edges"\n#[region.stove]\n',
    ],
)
def test_any_layout_gives_the_value_and_keeps_the_comments(text: str, key: edit.Key, value: Any) -> None:
    made = edit.changed(text, {key: value})
    assert tomllib.loads(made) == edit._with(tomllib.loads(text), key, value)
    # comments of what is removed go with it; others stay
    kept = [line for line in text.splitlines() if line.lstrip().startswith("#")]
    assert all(line in made.splitlines() for line in kept)
    if "\r\n" in text:
        assert "\n" not in made.replace("\r\n", "")
    # nothing is written twice or in turns
    assert edit.changed(made, {key: value}) == made


@pytest.mark.skipif(not DEPLOYED.exists(), reason="the settings of the service are not beside these tests")
def test_the_service_s_file_keeps_each_value_at_its_comment() -> None:
    text = DEPLOYED.read_text()
    made = edit.changed(text, {("run", "view"): "edges", ("thermal", "emissivity"): 0.9, ("region", "door", "shape"): "1%,1%"})
    assert '#view = "fused"\nview = "edges"\n' in made
    assert "#[thermal]\n[thermal]\nemissivity = 0.9\n" in made
    assert made.endswith('\n\n[region.door]\nshape = "1%,1%"\n')
    assert [line for line in made.splitlines() if line.startswith("#")] == [line for line in text.splitlines() if line.startswith("#")]


def test_a_text_that_is_no_toml_is_refused() -> None:
    with pytest.raises(SettingsError, match="mend it"):
        edit.changed("[run\n", {("run", "view"): "edges"})


def test_without_tomlkit_the_pip_command_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tomlkit", None)
    with pytest.raises(MissingDependencyError, match=r"pip install 'edgefuse\[edit\]'"):
        edit.changed(TEXT, {("run", "view"): "edges"})


def test_the_file_is_replaced_at_once_with_its_permissions(tmp_path: Path) -> None:
    path = tmp_path / "edgefuse.toml"
    path.write_text(TEXT)
    path.chmod(0o640)
    link = tmp_path / "link.toml"
    link.symlink_to(path)
    before, known = path.stat().st_ino, edit.read(path)[1]
    digest = edit.write(link, TEXT + "# more\n", known)
    assert path.read_text() == TEXT + "# more\n"
    assert digest == edit.read(path)[1] != known
    assert path.stat().st_mode & 0o777 == 0o640
    assert path.stat().st_ino != before
    assert link.is_symlink()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["edgefuse.toml", "link.toml"]


def test_a_file_that_changed_meanwhile_is_not_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "edgefuse.toml"
    path.write_text(TEXT)
    known = edit.read(path)[1]
    path.write_text(TEXT + "# by hand\n")
    with pytest.raises(SettingsError, match="changed meanwhile"):
        edit.write(path, "x = 1\n", known)
    assert path.read_text() == TEXT + "# by hand\n"
    assert [p.name for p in tmp_path.iterdir()] == ["edgefuse.toml"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_that_can_t_be_written_is_told(tmp_path: Path) -> None:
    path = tmp_path / "edgefuse.toml"
    path.write_text(TEXT)
    tmp_path.chmod(0o555)
    with pytest.raises(OutputError, match="no permission"):
        edit.write(path, "x = 1\n", edit.read(path)[1])
    assert path.read_text() == TEXT


def test_line_ends_are_read_as_they_are(tmp_path: Path) -> None:
    path = tmp_path / "edgefuse.toml"
    path.write_bytes(b"[run]\r\n")
    assert edit.read(path)[0] == "[run]\r\n"
    path.write_bytes(b"\xff")
    with pytest.raises(SettingsError, match="not valid TOML"):
        edit.read(path)
    with pytest.raises(SettingsError, match="cannot read"):
        edit.read(tmp_path / "none.toml")
