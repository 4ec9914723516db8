"""Home Assistant MQTT discovery: retained config topics that make the device and its values appear there automatically.

https://www.home-assistant.io/integrations/mqtt/#mqtt-discovery
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import edgefuse

# telemetry key -> name, unit, device class, state class
_SENSORS: dict[str, tuple[str, str | None, str | None, str | None]] = {
    "fps": ("Frame rate", "FPS", None, "measurement"),
    "frames_fused": ("Frames fused", "frames", None, "total_increasing"),
    "frames_dropped": ("Frames dropped", "frames", None, "total_increasing"),
    "resident_mb": ("Memory", "MB", "data_size", "measurement"),
    "processor_celsius": ("Processor temperature", "°C", "temperature", "measurement"),
    "hottest_celsius": ("Hottest spot", "°C", "temperature", "measurement"),
    "coldest_celsius": ("Coldest spot", "°C", "temperature", "measurement"),
    "infrared_state": ("Infrared camera", None, None, None),
}


def configs(base: str, device: str, model: str, alarms: Iterable[str], commands: Iterable[str]) -> dict[str, Mapping[str, Any]]:
    """Return "COMPONENT/DEVICE/OBJECT/config" -> payload. base: prefix of the device's topics. commands: those accepted over MQTT."""
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
        template = f"{{{{ value_json.{key} | default(none) }}}}"
        add("sensor", key, title, **topics, value_template=template, unit_of_measurement=unit, device_class=kind, state_class=state)
    template = "{{ 'ON' if value_json.throttled else 'OFF' }}"
    add("binary_sensor", "throttled", "Throttled", **topics, value_template=template, device_class="problem", entity_category="diagnostic")
    add(
        "binary_sensor", "output", "Output", **topics, value_template="{{ 'ON' if value_json.failing else 'OFF' }}", device_class="problem",
        json_attributes_topic=topics["state_topic"], json_attributes_template="{{ value_json.failing | tojson }}",
    )  # fmt: skip
    template = "{{ 'ON' if value_json.state == 'raised' else 'OFF' }}"
    for alarm in alarms:
        topics = dict.fromkeys(("state_topic", "json_attributes_topic"), f"{base}/alarm/{alarm}")
        add("binary_sensor", f"alarm_{alarm}", f"Alarm {alarm}", **topics, value_template=template, device_class="heat")
    add("camera", "picture", "Fused picture", topic=f"{base}/snapshot")
    titles, to = {"snapshot": "Take a picture", "reload": "Reload settings"}, {"command_topic": f"{base}/command"}
    for command in commands:
        if command == "record":
            payloads = {f"payload_{word}": f'{{"command": "record", "on": {on}}}' for word, on in (("on", "true"), ("off", "false"))}
            add("switch", "record", "Record", **to, optimistic=True, **payloads)
        elif command in titles:
            add("button", command, titles[command], **to, payload_press=f'{{"command": "{command}"}}')
    return payload_by_topic
