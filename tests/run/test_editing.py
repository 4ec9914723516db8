"""Changing a run's settings file from its page: the same checks as `edgefuse config check`, and the reload."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from edgefuse import settings
from edgefuse.errors import EdgeFuseError, SettingsError
from edgefuse.run.editing import Editor
from edgefuse.run.session import RunSession

pytest.importorskip("msgspec")
pytest.importorskip("tomlkit")
TEXT = """\
[run]
source = "demo?size=96x80&frames=2&depth=16"
model = "blend-classic"  # light
view = "fused"

[region.door]
shape = "10,10"

[alarm.door]
above = 30
region = "door"
"""


class Edited:
    """A run that was opened from a file and is not started, with its editor; `reloads` counts requests."""

    def __init__(self, path: Path) -> None:
        self.path, self.reloads = path, 0
        path.write_text(TEXT)
        self.running = RunSession(self.reread())
        self.running.live.register_command("reload", self._reload)
        pair = self.running.source.read()
        assert pair is not None
        self.running.live.write(self.running.fuser.fuse(pair))
        Editor(self.running, path, self.reread)

    def reread(self) -> settings.Settings:
        return settings.load(self.path, os.environ)

    def _reload(self, _: Any) -> dict[str, Any]:
        self.reloads += 1
        return {}

    def told(self) -> dict[str, Any]:
        return dict(self.running.live.run_command("settings"))

    def change(self, values: dict[str, Any], digest: str | None = None) -> dict[str, Any]:
        return dict(self.running.live.run_command("change", {"digest": digest or self.told()["digest"], "values": values}))


@pytest.fixture
def edited(tmp_path: Path) -> Iterator[Edited]:
    made = Edited(tmp_path / "edgefuse.toml")
    yield made
    made.running.close()


def test_what_can_be_changed_is_described(edited: Edited) -> None:
    told = edited.told()
    assert told["file"] == str(edited.path)
    assert told["trouble"] == ""
    assert told["regions"] == {"door": "10,10"}
    assert {"run.view", "thermal.unit", "alarm.door.above"} <= {one["key"] for one in told["settings"]}


def test_a_change_is_saved_with_its_comments_and_reloaded(edited: Edited) -> None:
    answer = edited.change({"run.view": "edges", "alarm.door.above": 32.5, "region.pipe.shape": "1%,1% 9%,9%"})
    assert edited.path.read_text() == TEXT.replace('"fused"', '"edges"').replace("above = 30", "above = 32.5") + (
        '\n[region.pipe]\nshape = "1%,1% 9%,9%"\n'
    )
    assert answer == {"changed": True, "digest": edited.told()["digest"]}
    assert edited.reloads == 1
    assert edited.change({"run.view": "edges"})["changed"] is False
    assert edited.reloads == 1


def test_what_config_check_refuses_leaves_the_file_as_it_was(edited: Edited) -> None:
    refused: list[tuple[dict[str, Any], str]] = [
        ({"region.door": None}, "alarm.door: no region 'door'"),
        ({"region.door.shape": "100,100"}, "outside the infrared frame of 96x80"),
        ({"region.a b.shape": "1%,1%"}, "letters, digits"),
        ({"run.view": "x"}, "view"),
        ({"thermal.distance_m": 499.0, "thermal.humidity_percent": 100.0, "thermal.air_celsius": 60.0}, "smaller distance_m"),
    ]
    for values, why in refused:
        with pytest.raises(EdgeFuseError, match=why) as told:
            edited.change(values)
        assert "\n" not in str(told.value)
        assert edited.path.read_text() == TEXT
    assert edited.reloads == 0


def test_a_file_that_changed_meanwhile_is_left(edited: Edited) -> None:
    digest = edited.told()["digest"]
    edited.path.write_text(TEXT + "# by hand\n")
    with pytest.raises(SettingsError, match="changed meanwhile"):
        edited.change({"run.view": "edges"}, digest)
    assert edited.path.read_text() == TEXT + "# by hand\n"


def test_other_arguments_are_refused(edited: Edited) -> None:
    wrong: list[dict[str, Any]] = [{}, {"digest": "x"}, {"values": {}}, {"digest": 1, "values": {}}, {"digest": "x", "values": []}]
    for given in wrong:
        with pytest.raises(SettingsError, match="expected"):
            edited.running.live.run_command("change", given)
