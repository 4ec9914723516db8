"""Tests of Home Assistant discovery: the whole message, only known keys, and templates that match the telemetry."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import edgefuse
from edgefuse.mqtt import commands, discovery
from edgefuse.settings import alarm
from edgefuse.settings.alarm import AlarmSettings
from edgefuse.telemetry.live import Live
from edgefuse.telemetry.vitals import Vitals, unavailable_alarms
from edgefuse.thermal.units import DegreeUnit
from tests.reports import full_report

BASE = "edgefuse/cam-1"
GOLDEN = Path(__file__).with_name("discovery.json")  # scripts/check_home_assistant.py lets Home Assistant read it
FEATURES = discovery.Features(
    (("stove", "heat"), ("frost", "cold"), ("person", "occupancy"), ("flame-out", "problem")), ("snapshot", "record", "reload", "view"),
    "celsius", (("pipe", "celsius"),), ("visible", "infrared"), people=True,
)  # fmt: skip
# keys per platform, from https://www.home-assistant.io/integrations/mqtt/ and its pages for each
_ALL = {"platform", "name", "unique_id", "entity_category"}
_STATE = {"state_topic", "value_template", "device_class"}
_KNOWN = {
    "sensor": ({"state_topic"}, _STATE | {"unit_of_measurement", "state_class", "options", "availability", "availability_mode"}),
    "binary_sensor": ({"state_topic"}, _STATE | {"json_attributes_topic", "json_attributes_template", "availability", "availability_mode"}),
    "camera": ({"topic"}, set()),
    "button": ({"command_topic", "payload_press"}, set()),
    "switch": ({"command_topic", "state_topic"}, _STATE | {"payload_on", "payload_off", "state_on", "state_off"}),
    "select": ({"command_topic", "state_topic", "options"}, _STATE | {"command_template"}),
}
_CLASSES = {"data_size", "temperature", "problem", "heat", "cold", "occupancy", "motion", "enum"}


def components(unit: DegreeUnit = "celsius") -> dict[str, dict[str, Any]]:
    features = discovery.Features(FEATURES.alarms, FEATURES.commands, unit, (("pipe", unit),), FEATURES.cameras, people=True)
    return discovery.components(BASE, "cam-1", features)


def rendered(template: str, value: Any) -> str:
    jinja2 = pytest.importorskip("jinja2")
    return str(jinja2.Environment(undefined=jinja2.StrictUndefined).from_string(template).render(value_json=value, value=value))


def test_the_message_is_the_one_that_home_assistant_has_read() -> None:
    made = discovery.payload(BASE, "cam-1", "mobilefuse-edge", FEATURES, {})
    assert discovery.topic("cam-1") == "device/cam-1/config"
    text = json.dumps(made).replace(edgefuse.__version__, "VERSION")
    assert json.loads(text) == json.loads(GOLDEN.read_text())


def test_every_component_has_exactly_the_keys_of_its_platform() -> None:
    made = components()
    assert len({c["unique_id"] for c in made.values()}) == len(made) == 7 + 1 + 2 + 2 + 3 + 2 + 4 + 1 + 4
    for key, config in made.items():
        needed, more = _KNOWN[config["platform"]]
        assert needed <= config.keys() <= needed | more | _ALL, key
        assert config.get("device_class", "heat") in _CLASSES
        if config.get("device_class") == "enum":
            assert config["options"]
            assert not {"state_class", "unit_of_measurement"} & config.keys()


def test_a_component_that_is_gone_is_taken_out_of_home_assistant() -> None:
    before = {key: c["platform"] for key, c in components().items()}
    told = discovery.payload(BASE, "cam-1", "m", discovery.Features(), before)["components"]
    assert told["alarm_stove"] == {"platform": "binary_sensor"}
    assert told["view"] == {"platform": "select"}
    assert len(told["fps"]) > 1


def test_buttons_switch_and_select_send_accepted_commands() -> None:
    made = components()
    sent = [str(v) for c in made.values() for k, v in c.items() if k in ("payload_press", "payload_on", "payload_off")]
    sent.append(rendered(made["view"]["command_template"], "side-by-side"))
    parsed = [commands.parse(p.encode()) for p in sent]
    assert [(c.name, dict(c.arguments)) for c in parsed] == [
        ("snapshot", {}), ("record", {"on": True}), ("record", {"on": False}), ("reload", {}), ("view", {"view": "side-by-side"}),
    ]  # fmt: skip
    assert {"fused", "edges", "side-by-side"} <= set(made["view"]["options"])


def test_templates_match_the_telemetry_that_is_sent() -> None:
    telemetry = json.loads(json.dumps(Vitals(Live(full_report)).read()))
    shown = {}
    for key, config in components().items():
        value = {"alarm": {"state": "raised"}, "control": {"record": "ON", "view": "edges"}}
        if "value_template" in config:
            told = next((v for topic, v in value.items() if f"/{topic}" in config["state_topic"]), telemetry)
            shown[key] = rendered(config["value_template"], told)
    assert shown["frames_fused"] == "3"
    assert shown["hottest_celsius"] == "42.0"
    assert shown["infrared_state"] == "normal"
    assert shown["throttled"] == "OFF"
    assert shown["alarm_stove"] == "ON"
    assert shown["fps"] == "None"  # Home Assistant's word for unknown
    assert (shown["camera_visible"], shown["camera_infrared"]) == ("live", "lost")
    assert (shown["record"], shown["view"]) == ("ON", "edges")


@pytest.mark.parametrize(
    ("state", "told", "on"),
    [("raised", "online", "ON"), ("cleared", "online", "OFF"), ("unavailable", "offline", "OFF"), ("fault", "offline", "OFF"),
     ("ended", "offline", "OFF")],
)  # fmt: skip
def test_an_alarm_that_can_t_work_is_unavailable(state: str, told: str, on: str) -> None:
    config = components()["alarm_frost"]
    assert config["availability_mode"] == "all"
    assert config["availability"][0] == {"topic": f"{BASE}/state"}
    assert rendered(config["availability"][1]["value_template"], {"state": state}) == told
    assert rendered(config["value_template"], {"state": state}) == on


@pytest.mark.parametrize(("people", "told"), [(0, "online"), (3, "online"), (None, "offline")])
def test_an_unknown_number_of_people_is_unavailable(people: int | None, told: str) -> None:
    config = components()["people"]
    assert config["availability_mode"] == "all"
    assert config["availability"][0] == {"topic": f"{BASE}/state"}
    assert rendered(config["availability"][1]["value_template"], {"people": people}) == told
    assert rendered(config["value_template"], {"people": people}) == str(people)
    # before [detect] was in the settings of the run
    assert rendered(config["availability"][1]["value_template"], {}) == "offline"


def test_only_a_run_that_counts_people_has_their_entities() -> None:
    assert not {"people", "people_so_far"} & discovery.components(BASE, "cam-1", discovery.Features()).keys()


def test_alarms_on_people_can_t_work_while_nobody_looks() -> None:
    alarms = {"a": {"fault": None, "held": False, "measure": "people"}, "b": {"fault": None, "held": False, "measure": "hottest"}}
    report: dict[str, Any] = {"alarm": {"alarms": alarms}, "cameras": {"infrared": {"state": "live"}}}
    report["detect"] = {"people": 1, "fault": None}
    assert unavailable_alarms(report) == {}
    report["detect"]["fault"] = "the model\nfailed"
    assert unavailable_alarms(report) == {"a": "the model\\nfailed"}
    report["detect"] = {"people": 1, "fault": None}
    report["output_states"] = {"detection": {"failing": True}}
    assert unavailable_alarms(report) == {"a": "the infrared frames are not looked at"}


def test_alarms_that_can_t_work_and_why() -> None:
    alarms = {"a": {"fault": None, "held": False}, "b": {"fault": "the camera gives counts", "held": False}}
    report: dict[str, Any] = {"alarm": {"alarms": alarms}, "cameras": {"infrared": {"state": "live"}}, "thermal": {"state": "normal"}}
    assert unavailable_alarms(report) == {"b": "the camera gives counts"}
    for state in ("frozen", "lost", "retrying", "starting"):
        report["cameras"]["infrared"]["state"] = state
        assert unavailable_alarms(report)["a"] == f"the infrared camera is {state}"
    report["cameras"]["infrared"]["state"] = "live"
    alarms["a"]["held"] = True
    assert unavailable_alarms(report)["a"] == "the infrared camera gives no new picture"
    # a shutter that closes for a second is no failure
    report["thermal"]["state"] = "calibrating"
    assert unavailable_alarms(report) == {"b": "the camera gives counts"}
    assert unavailable_alarms({}) == {}


@pytest.mark.parametrize(
    ("name", "given", "kind"),
    [
        ("stove", {"above": 80.0}, "heat"),
        ("pipe", {"below": 2.0}, "cold"),
        ("frost", {"below": 2.0}, "cold"),
        ("garden", {"above": 30.0, "measure": "area"}, "occupancy"),
        ("person_zone", {"above": 30.0}, "occupancy"),
        ("motion-door", {"above": 30.0}, "motion"),
        ("flame-out", {"below": 200.0}, "problem"),
        ("flame-out", {"below": 200.0, "kind": "cold"}, "cold"),
    ],
)
def test_the_class_of_an_alarm(name: str, given: dict[str, Any], kind: str) -> None:
    assert alarm.kind(name, AlarmSettings(**given)) == kind


def test_fahrenheit_keeps_the_entities_and_changes_their_unit_and_field() -> None:
    celsius, fahrenheit = components(), components("fahrenheit")
    assert celsius.keys() == fahrenheit.keys()
    hottest = fahrenheit["hottest_celsius"]
    assert hottest["unit_of_measurement"] == "°F"
    assert "value_json.hottest_fahrenheit" in hottest["value_template"]
    assert fahrenheit["region_pipe_maximum"]["unit_of_measurement"] == "°F"
    assert celsius["region_pipe_maximum"]["unit_of_measurement"] == "°C"
    # the processor's own temperature stays as its key says
    assert fahrenheit["processor_celsius"]["unit_of_measurement"] == "°C"


def test_a_regions_values_are_read_from_the_telemetry() -> None:
    template = components()["region_pipe_mean"]["value_template"]
    assert rendered(template, {"regions": {"pipe": {"mean_celsius": 41.5}}}) == "41.5"
    assert rendered(template, {"regions": {}}) == rendered(template, {}) == "None"


def test_a_command_that_is_not_accepted_has_no_entity() -> None:
    made = discovery.components(BASE, "cam-1", discovery.Features())
    assert not {"button", "switch", "select"} & {c["platform"] for c in made.values()}
