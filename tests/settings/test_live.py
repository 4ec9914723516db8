"""Settings that the page may change: their description, and what is refused."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from edgefuse import settings
from edgefuse.errors import SettingsError
from edgefuse.settings import live, tables

pytest.importorskip("msgspec")
TEXT = """
[run]
source = "demo"
overlay = ["time"]
[alarm.stove]
above = 80
[region.door]
shape = "1%,1%"
"""


@pytest.fixture
def given(tmp_path: Path) -> settings.Settings:
    path = tmp_path / "edgefuse.toml"
    path.write_text(TEXT)
    return settings.load(path, {"EDGEFUSE_RUN_PALETTE": "rainbow"}, {"run": {"view": "edges"}})


def test_each_is_described_by_its_table(given: settings.Settings) -> None:
    known = {one.key: one for one in live.described(given)}
    view, palette = known["run.view"], known["run.palette"]
    assert (view.kind, view.value, view.fixed) == ("choice", "edges", "--view")
    assert {"fused", "edges", "side-by-side"} <= set(view.choices)
    assert (palette.value, palette.fixed) == ("rainbow", "EDGEFUSE_RUN_PALETTE")
    sharpness, isotherm = known["run.sharpness"], known["run.isotherm"]
    assert (sharpness.kind, sharpness.least, sharpness.most, sharpness.optional, sharpness.fixed) == ("number", 1, 2, False, "")
    assert (isotherm.optional, isotherm.value) == (True, None)
    assert (known["run.overlay"].kind, known["run.overlay"].value) == ("words", ["time"])
    assert known["alarm.stove.above"].value == 80
    assert "alarm.stove.below" not in known
    assert known["alarm.stove.pixels"].kind == "whole"
    assert known["thermal.emissivity"].value == 1.0  # its table need not be there
    assert not any(key.startswith("recording.") for key in known)


def test_nothing_that_names_a_file_a_program_an_address_or_a_secret_is_among_them() -> None:
    for table, keys in live.LIVE.items():
        known = {f.name: f for f in fields(tables.kind(table))}
        assert set(keys) <= known.keys()
        assert not any(known[key].metadata.get("secret") for key in keys)
        never = {"source", "camera", "calibration", "save", "record", "record_raw", "sink", "report", "hook", "model", "folder", "url"}
        assert not never & set(keys)


def test_changes_get_the_settings_types(given: settings.Settings) -> None:
    made = live.changes(
        given, {"run.sharpness": 1, "run.overlay": ["scale", "time"], "run.isotherm": None, "run.camera_name": "", "region.door": None,
                "region.pipe.shape": "1%,1% 2%,2%", "alarm.stove.above": 75},
    )  # fmt: skip
    assert made == {
        ("run", "sharpness"): 1.0, ("run", "overlay"): ("scale", "time"), ("run", "isotherm"): None, ("run", "camera_name"): None,
        ("region", "door"): None, ("region", "pipe", "shape"): "1%,1% 2%,2%", ("alarm", "stove", "above"): 75.0,
    }  # fmt: skip
    assert isinstance(made["run", "sharpness"], float)


@pytest.mark.parametrize(
    ("key", "value", "why"),
    [
        ("run.sharpness", 3, "run.sharpness = 3.0: expected"),
        ("run.sharpness", "x", "run.sharpness = 'x': expected"),
        ("run.sharpness", None, "expected a value"),
        ("run.overlay", ["x"], "expected"),
        ("run.view", "inset", "set by --view"),
        ("run.palette", "jet", "set by EDGEFUSE_RUN_PALETTE"),
        ("run.source", "demo", "can't be changed from here"),
        ("run", {}, "can't be changed from here"),
        ("alarm.stove.hook", ["rm"], "can't be changed from here"),
        ("alarm.stove.below", 1, "can't be changed from here"),
        ("alarm.none.above", 1, "can't be changed from here"),
        ("web.token", "x", "can't be changed from here"),
        ("region.door.shape", "x", "is not a zone"),
        ("region.door.shape", 3, "can't be changed from here"),
        ("region", None, "can't be changed from here"),
        ("region.a.b.c", "1%,1%", "can't be changed from here"),
        ("", 1, "can't be changed from here"),
    ],
)
def test_what_is_refused(given: settings.Settings, key: str, value: Any, why: str) -> None:
    with pytest.raises(SettingsError, match=why.replace("(", r"\(")):
        live.changes(given, {key: value})


def test_too_many_changes_at_once(given: settings.Settings) -> None:
    with pytest.raises(SettingsError, match="at most 64"):
        live.changes(given, {f"region.r{k}": None for k in range(65)})
