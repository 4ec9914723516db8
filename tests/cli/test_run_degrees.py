"""`edgefuse run` with emissivity, degrees Fahrenheit and regions, from the command line and a settings file."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from edgefuse.thermal.emission import Conditions
from tests.conftest import Run, one_line

DEMO = "demo?depth=16&size=96x80&scene=night&frames=3"


def hottest(run: Run, *options: str) -> dict[str, object]:
    done = run("run", "--source", DEMO, "--model", "blend-classic", "--json", *options)
    assert done.returncode == 0, done.stderr
    thermal: dict[str, object] = json.loads(done.stdout)["thermal"]
    return thermal


def test_emissivity_and_unit_change_report_and_console(run: Run) -> None:
    plain, corrected = hottest(run), hottest(run, "--emissivity", "0.8", "--reflected-celsius", "0", "--unit", "fahrenheit")
    assert (plain["unit"], plain["correction"], corrected["unit"]) == ("celsius", None, "fahrenheit")
    apparent, told = plain["latest"]["hottest"]["value"], corrected["latest"]["hottest"]["value"]  # type: ignore[index]
    surface = float(Conditions(0.8, 0.0).surface_celsius(np.array(apparent)))
    assert told == pytest.approx(surface * 1.8 + 32, abs=0.05)
    assert surface > apparent + 5
    text = run("run", "--source", DEMO, "--model", "blend-classic", "--emissivity", "0.8", "--unit", "fahrenheit").stdout
    assert "infrared   degrees of emissivity 0.8, reflecting 20 C" in text
    assert " F at (" in text


def test_regions_and_their_alarms_of_a_settings_file(run: Run, tmp_path: Path) -> None:
    (tmp_path / "e.toml").write_text(
        f'[run]\nsource = "{DEMO}"\nmodel = "blend-classic"\n[thermal]\nunit = "fahrenheit"\n'
        '[region.all]\nshape = "0%,0% 100%,0% 100%,100% 0%,100%"\n[region.far]\nshape = "96,0"\n'
        '[alarm.any]\nabove = -40\nunit = "fahrenheit"\nduration = 0\nregion = "all"\n'
        '[telemetry]\nfile = "t.jsonl"\n'
    )
    done = run("run", "--config", "e.toml", "--json")
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    region = report["region"]["all"]
    assert (region["unit"], region["pixels"]) == ("fahrenheit", 96 * 80)
    assert region["maximum"]["value"] == report["thermal"]["latest"]["hottest"]["value"]
    assert region["minimum"]["value"] < region["mean"]["value"] < region["maximum"]["value"]
    assert "the point lies outside the infrared frame of 96x80 pixels" in report["region"]["far"]["fault"]
    assert report["alarm"]["alarms"]["any"]["raised"] == 1
    assert "edgefuse: region far: state fault" in done.stderr
    line = json.loads((tmp_path / "t.jsonl").read_text().splitlines()[-1])
    assert line["regions"] == {"all": {f"{k}_fahrenheit": region[k]["value"] for k in ("mean", "minimum", "maximum")}}
    assert line["hottest_fahrenheit"] == region["maximum"]["value"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[thermal]\nemissivity = 0.05\n", "expected a number from 0.1 to 1"),
        ('[thermal]\nunit = "kelvin"\n', "expected one of celsius, fahrenheit"),
        ("[thermal]\ndistance_m = 400\nair_celsius = 45\nhumidity_percent = 95\n", "there is no model"),
        ('[region.a]\nshape = "1,2 3"\n', "is not a zone"),
        ('[alarm.a]\nabove = 1\nregion = "b"\n', "no region 'b'"),
    ],
)
def test_what_makes_no_sense_is_refused_in_one_line(run: Run, tmp_path: Path, text: str, words: str) -> None:
    (tmp_path / "e.toml").write_text(text)
    done = run("run", "--config", "e.toml", "--source", DEMO)
    assert done.returncode == 2
    assert words in one_line(done.stderr)
    assert run("config", "check", "e.toml").returncode == 2
