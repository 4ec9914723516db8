"""Home Assistant MQTT discovery: one retained message that makes the device and its entities appear there automatically.

In the form for devices, which Home Assistant reads since 2024.11:
https://www.home-assistant.io/integrations/mqtt/#device-discovery-payload
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import edgefuse
from edgefuse import registry
from edgefuse.thermal.units import SIGNS, DegreeUnit

# telemetry key -> name, unit, device class, state class
_SENSORS: dict[str, tuple[str, str | None, str | None, str | None]] = {
    "fps": ("Frame rate", "FPS", None, "measurement"),
    "frames_fused": ("Frames fused", "frames", None, "total_increasing"),
    "frames_dropped": ("Frames dropped", "frames", None, "total_increasing"),
    "resident_mb": ("Memory", "MB", "data_size", "measurement"),
    "processor_celsius": ("Processor temperature", "°C", "temperature", "measurement"),
    # these stay one entity each, whatever their unit is
    "hottest_celsius": ("Hottest spot", "°C", "temperature", "measurement"),
    "coldest_celsius": ("Coldest spot", "°C", "temperature", "measurement"),
}
_SPOTS = ("hottest_celsius", "coldest_celsius")
_SENSOR_STATES = ("normal", "calibrating", "frozen")
CAMERA_STATES = ("starting", "live", "held", "calibrating", "frozen", "lost", "retrying")

Component = dict[str, object]


@dataclass(frozen=True, slots=True)
class Features:
    """What a device has to be discovered.

    alarms: names and device classes. commands: those accepted over MQTT. unit: of its temperatures. regions: names and units.
    cameras: their modalities. people: whether people are counted.
    """

    alarms: tuple[tuple[str, str], ...] = ()
    commands: tuple[str, ...] = ()
    unit: DegreeUnit = "celsius"
    regions: tuple[tuple[str, str], ...] = ()
    cameras: tuple[str, ...] = ()
    people: bool = False


def topic(device: str) -> str:
    """Return the topic of a device's message, below the discovery prefix."""
    return f"device/{device}/config"


def payload(base: str, device: str, model: str, features: Features, before: Mapping[str, str]) -> dict[str, Any]:
    """Return the message. base: prefix of the device's topics.

    before: key -> platform of the components in the last message; those that are no longer there are taken out of Home Assistant.
    """
    made = components(base, device, features)
    gone = {key: {"platform": platform} for key, platform in before.items() if key not in made}
    return {
        "device": {
            "identifiers": [f"edgefuse_{device}"],
            "name": device,
            "manufacturer": "EdgeFuse",
            "model": model,
            "sw_version": edgefuse.__version__,
        },
        "origin": {"name": "EdgeFuse", "sw_version": edgefuse.__version__},
        "availability": [{"topic": f"{base}/state"}],
        "components": {**made, **gone},
    }


def components(base: str, device: str, features: Features) -> dict[str, Component]:
    """Return the entities by key, each with its platform."""
    made: dict[str, Component] = {}

    def add(platform: str, key: str, title: str, **more: object) -> None:
        known = {"platform": platform, "name": title, "unique_id": f"{device}_{key}"}
        made[key] = {**known, **{k: v for k, v in more.items() if v is not None}}

    telemetry = {"state_topic": f"{base}/telemetry"}
    for key, (title, unit, kind, state) in _SENSORS.items():
        field = key
        if key in _SPOTS:
            field, unit = key.replace("celsius", features.unit), SIGNS[features.unit]
        template = f"{{{{ value_json.{field} | default(none) }}}}"
        add("sensor", key, title, **telemetry, value_template=template, unit_of_measurement=unit, device_class=kind, state_class=state)
    template = "{{ value_json.infrared_state | default(none) }}"
    add("sensor", "infrared_state", "Infrared sensor", **telemetry, value_template=template, device_class="enum",
        options=list(_SENSOR_STATES), entity_category="diagnostic")  # fmt: skip
    for modality in features.cameras:
        template = f"{{{{ (value_json.cameras | default({{}})).get('{modality}') }}}}"
        add("sensor", f"camera_{modality}", f"{modality.capitalize()} camera", **telemetry, value_template=template, device_class="enum",
            options=list(CAMERA_STATES))  # fmt: skip
    if features.people:
        add("sensor", "people", "People", **telemetry, **_people(base), unit_of_measurement="people", state_class="measurement")
        add("sensor", "people_so_far", "People so far", **telemetry, value_template="{{ value_json.people_so_far | default(none) }}",
            unit_of_measurement="people", state_class="total_increasing")  # fmt: skip
    for name, unit in features.regions:
        for statistic in ("mean", "minimum", "maximum"):
            template = f"{{{{ (value_json.regions | default({{}})).get('{name}', {{}}).get('{statistic}_{unit}') }}}}"
            sign, region_class = (SIGNS[unit], "temperature") if unit in SIGNS else ("counts", None)
            add("sensor", f"region_{name}_{statistic}", f"{name} {statistic}", **telemetry, value_template=template,
                unit_of_measurement=sign, device_class=region_class, state_class="measurement")  # fmt: skip
    template = "{{ 'ON' if value_json.throttled else 'OFF' }}"
    add("binary_sensor", "throttled", "Throttled", **telemetry, value_template=template, device_class="problem",
        entity_category="diagnostic")  # fmt: skip
    template = "{{ 'ON' if value_json.failing else 'OFF' }}"
    add("binary_sensor", "output", "Output", **telemetry, value_template=template, device_class="problem",
        json_attributes_topic=telemetry["state_topic"], json_attributes_template="{{ value_json.failing | tojson }}")  # fmt: skip
    for alarm, kind in features.alarms:
        add("binary_sensor", f"alarm_{alarm}", f"Alarm {alarm}", device_class=kind, **_alarm(base, alarm))
    add("camera", "picture", "Fused picture", topic=f"{base}/snapshot")
    for key, (platform, title, more) in _commands(base, features.commands).items():
        add(platform, key, title, **more)
    return made


def _people(base: str) -> Component:
    """Return the templates of the number of people: unavailable while it isn't known, which is not zero."""
    known = "{{ 'online' if value_json.people is number else 'offline' }}"
    return {
        "value_template": "{{ value_json.people | default(none) }}",
        "availability": [{"topic": f"{base}/state"}, {"topic": f"{base}/telemetry", "value_template": known}],
        "availability_mode": "all",
    }


def _alarm(base: str, name: str) -> Component:
    """Return an alarm's topics and templates: one that can't work is unavailable, neither raised nor cleared."""
    here = f"{base}/alarm/{name}"
    return {
        "state_topic": here,
        "value_template": "{{ 'ON' if value_json.state == 'raised' else 'OFF' }}",
        "json_attributes_topic": here,
        "availability": [
            {"topic": f"{base}/state"},
            {"topic": here, "value_template": "{{ 'offline' if value_json.state in ('unavailable', 'fault', 'ended') else 'online' }}"},
        ],
        "availability_mode": "all",
    }


def _commands(base: str, accepted: tuple[str, ...]) -> dict[str, tuple[str, str, Component]]:
    """Return key -> platform, title and configuration of the accepted commands' entities; switch and select know their state."""
    to, state = {"command_topic": f"{base}/command"}, {"state_topic": f"{base}/control"}
    known: dict[str, tuple[str, str, Component]] = {
        "snapshot": ("button", "Take a picture", {**to, "payload_press": '{"command": "snapshot"}'}),
        "reload": ("button", "Reload settings", {**to, "payload_press": '{"command": "reload"}', "entity_category": "config"}),
        "record": (
            "switch", "Record",
            {**to, **state, "value_template": "{{ value_json.record }}", "state_on": "ON", "state_off": "OFF",
             "payload_on": '{"command": "record", "on": true}', "payload_off": '{"command": "record", "on": false}'},
        ),
        "view": (
            "select", "View",
            {**to, **state, "value_template": "{{ value_json.view }}", "options": list(registry.names("edgefuse.views")),
             "command_template": '{"command": "view", "view": {{ value | tojson }}}'},
        ),
    }  # fmt: skip
    return {key: known[key] for key in accepted if key in known}
