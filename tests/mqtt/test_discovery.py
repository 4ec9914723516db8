"""Tests of Home Assistant discovery: only known keys, and templates that match the telemetry."""

from __future__ import annotations

import json
import re

import pytest

from edgefuse.mqtt import commands, discovery
from edgefuse.telemetry.live import Live
from edgefuse.telemetry.vitals import Vitals
from edgefuse.thermal.units import DegreeUnit
from tests.reports import full_report

BASE = "edgefuse/cam-1"
# keys per component, from https://www.home-assistant.io/integrations/mqtt/ and its pages for each component
_ALL = {"name", "unique_id", "availability_topic", "device", "origin", "entity_category"}
_KNOWN = {
    "sensor": ({"state_topic"}, {"value_template", "unit_of_measurement", "device_class", "state_class"}),
    "binary_sensor": (
        {"state_topic"},
        {"value_template", "device_class", "json_attributes_topic", "json_attributes_template"},
    ),
    "camera": ({"topic"}, set()),
    "button": ({"command_topic"}, {"payload_press"}),
    "switch": ({"command_topic"}, {"payload_on", "payload_off", "optimistic"}),
}
_CLASSES = {"data_size", "temperature", "problem", "heat"}


def made(unit: DegreeUnit = "celsius") -> dict[str, dict[str, object]]:
    features = discovery.Features(("stove", "odd"), ("snapshot", "record", "reload"), unit, (("pipe", unit),))
    payload_by_topic = discovery.configs(BASE, "cam-1", "mobilefuse-edge", features)
    return {topic: dict(config) for topic, config in payload_by_topic.items()}


def test_every_config_has_exactly_the_keys_of_its_component() -> None:
    configs = made()
    assert len({c["unique_id"] for c in configs.values()}) == len(configs) == 8 + 3 + 1 + 1 + 2 + 1 + 2 + 1
    for topic, config in configs.items():
        match = re.fullmatch(r"(\w+)/([A-Za-z0-9_-]+)/([A-Za-z0-9_-]+)/config", topic)
        assert match, topic
        needed, more = _KNOWN[match[1]]
        assert needed <= config.keys() <= needed | more | _ALL, topic
        assert config.get("device_class", "heat") in _CLASSES
        assert config["availability_topic"] == f"{BASE}/state"
        assert config["device"]["identifiers"] == ["edgefuse_cam-1"]  # type: ignore[index]
        json.dumps(config)


def test_buttons_and_switches_send_accepted_commands() -> None:
    sent = [v for c in made().values() for k, v in c.items() if k in ("payload_press", "payload_on", "payload_off")]
    parsed = [commands.parse(str(p).encode()) for p in sent]
    assert [(c.name, dict(c.arguments)) for c in parsed] == [
        ("snapshot", {}), ("record", {"on": True}), ("record", {"on": False}), ("reload", {}),
    ]  # fmt: skip


def test_templates_match_the_telemetry_that_is_sent() -> None:
    jinja2 = pytest.importorskip("jinja2")
    telemetry = json.loads(json.dumps(Vitals(Live(full_report)).read()))
    alarm = {"name": "stove", "state": "raised"}
    shown = {}
    for topic, config in made().items():
        if "value_template" in config:
            value = alarm if "/alarm/" in str(config["state_topic"]) else telemetry
            environment = jinja2.Environment(undefined=jinja2.StrictUndefined)
            shown[topic.split("/")[2]] = environment.from_string(config["value_template"]).render(value_json=value)
    assert shown["frames_fused"] == "3"
    assert shown["hottest_celsius"] == "42.0"
    assert shown["infrared_state"] == "normal"
    assert shown["throttled"] == "OFF"
    assert shown["alarm_stove"] == "ON"
    assert shown["fps"] == "None"  # Home Assistant's word for unknown


def test_fahrenheit_keeps_the_entities_and_changes_their_unit_and_field() -> None:
    celsius, fahrenheit = made(), made("fahrenheit")
    assert celsius.keys() == fahrenheit.keys()
    hottest = fahrenheit["sensor/cam-1/hottest_celsius/config"]
    assert hottest["unit_of_measurement"] == "°F"
    assert "value_json.hottest_fahrenheit" in str(hottest["value_template"])
    assert fahrenheit["sensor/cam-1/region_pipe_maximum/config"]["unit_of_measurement"] == "°F"
    assert celsius["sensor/cam-1/region_pipe_maximum/config"]["unit_of_measurement"] == "°C"
    # the processor's own temperature stays as its key says
    assert fahrenheit["sensor/cam-1/processor_celsius/config"]["unit_of_measurement"] == "°C"


def test_a_regions_values_are_read_from_the_telemetry() -> None:
    jinja2 = pytest.importorskip("jinja2")
    template = jinja2.Environment(undefined=jinja2.StrictUndefined).from_string(
        str(made()["sensor/cam-1/region_pipe_mean/config"]["value_template"])
    )
    assert template.render(value_json={"regions": {"pipe": {"mean_celsius": 41.5}}}) == "41.5"
    assert template.render(value_json={"regions": {}}) == template.render(value_json={}) == "None"


def test_a_command_that_is_not_accepted_has_no_button() -> None:
    assert not any(t.startswith(("button/", "switch/")) for t in discovery.configs(BASE, "cam-1", "m", discovery.Features()))
