"""Home Assistant MQTT discovery: retained config topics that make the device and its values appear there automatically.

https://www.home-assistant.io/integrations/mqtt/#mqtt-discovery
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import edgefuse
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
    "infrared_state": ("Infrared camera", None, None, None),
}
_SPOTS = ("hottest_celsius", "coldest_celsius")


@dataclass(frozen=True, slots=True)
class Features:
    """What a device has to be discovered. commands: those accepted over MQTT. unit: of its temperatures. regions: names and units."""

    alarms: tuple[str, ...] = ()
    commands: tuple[str, ...] = ()
    unit: DegreeUnit = "celsius"
    regions: tuple[tuple[str, str], ...] = ()


def configs(base: str, device: str, model: str, features: Features) -> dict[str, Mapping[str, Any]]:
    """Return "COMPONENT/DEVICE/OBJECT/config" -> payload. base: prefix of the device's topics."""
    payload_by_topic: dict[str, Mapping[str, Any]] = {}

    def add(component: str, key: str, title: str, **more: Any) -> None:
        payload_by_topic[f"{component}/{device}/{key}/config"] = {
            "name": title,
            "unique_id": f"{device}_{key}",
            "availability_topic": f"{base}/state",
            "device": {
                "identifiers": [f"edgefuse_{device}"],
                "name": device,
                "manufacturer": "EdgeFuse",
                "model": model,
                "sw_version": edgefuse.__version__,
            },
            "origin": {"name": "EdgeFuse", "sw_version": edgefuse.__version__},
            **{k: v for k, v in more.items() if v is not None},
        }

    topics = {"state_topic": f"{base}/telemetry"}
    for key, (title, unit, kind, state) in _SENSORS.items():
        field = key
        if key in _SPOTS:
            field, unit = key.replace("celsius", features.unit), SIGNS[features.unit]
        template = f"{{{{ value_json.{field} | default(none) }}}}"
        add("sensor", key, title, **topics, value_template=template, unit_of_measurement=unit, device_class=kind, state_class=state)
    for name, unit in features.regions:
        for statistic in ("mean", "minimum", "maximum"):
            template = f"{{{{ (value_json.regions | default({{}})).get('{name}', {{}}).get('{statistic}_{unit}') }}}}"
            sign, kind = (SIGNS[unit], "temperature") if unit in SIGNS else ("counts", None)
            add("sensor", f"region_{name}_{statistic}", f"{name} {statistic}", **topics, value_template=template, unit_of_measurement=sign,
                device_class=kind, state_class="measurement")  # fmt: skip
    template = "{{ 'ON' if value_json.throttled else 'OFF' }}"
    add("binary_sensor", "throttled", "Throttled", **topics, value_template=template, device_class="problem", entity_category="diagnostic")
    add(
        "binary_sensor", "output", "Output", **topics, value_template="{{ 'ON' if value_json.failing else 'OFF' }}", device_class="problem",
        json_attributes_topic=topics["state_topic"], json_attributes_template="{{ value_json.failing | tojson }}",
    )  # fmt: skip
    template = "{{ 'ON' if value_json.state == 'raised' else 'OFF' }}"
    for alarm in features.alarms:
        topics = dict.fromkeys(("state_topic", "json_attributes_topic"), f"{base}/alarm/{alarm}")
        add("binary_sensor", f"alarm_{alarm}", f"Alarm {alarm}", **topics, value_template=template, device_class="heat")
    add("camera", "picture", "Fused picture", topic=f"{base}/snapshot")
    titles, to = {"snapshot": "Take a picture", "reload": "Reload settings"}, {"command_topic": f"{base}/command"}
    for command in features.commands:
        if command == "record":
            payloads = {f"payload_{word}": f'{{"command": "record", "on": {on}}}' for word, on in (("on", "true"), ("off", "false"))}
            add("switch", "record", "Record", **to, optimistic=True, **payloads)
        elif command in titles:
            add("button", command, titles[command], **to, payload_press=f'{{"command": "{command}"}}')
    return payload_by_topic
