"""Lets a real Home Assistant Core read EdgeFuse's discovery message, and compares the entities that it makes with what they should be.

    python scripts/check_home_assistant.py BROKER:PORT [tests/mqtt/discovery.json]

For a Python environment with the package homeassistant (2024.11 or newer; it installs what its parts need) and a broker that nobody else
uses. It publishes states as EdgeFuse does, and reads them as Home Assistant shows them. Exits 1 where something differs.
"""

from __future__ import annotations

import asyncio
import json
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import paho.mqtt.client as paho
from homeassistant import bootstrap, config_entries, const, core, runner
from homeassistant.helpers import device_registry, entity_registry

BASE, TOPIC = "edgefuse/cam-1", "homeassistant/device/cam-1/config"
DEADLINE_S = 60.0
TELEMETRY: dict[str, Any] = {
    "fps": 9.0, "frames_fused": 3, "frames_dropped": 1, "resident_mb": 80.5, "processor_celsius": 51.2, "throttled": False,
    "infrared_state": "normal", "hottest_celsius": 42.0, "coldest_celsius": -3.5,
    "regions": {"pipe": {"mean_celsius": 20.5, "minimum_celsius": 18.0, "maximum_celsius": 25.0}},
    "cameras": {"visible": "live", "infrared": "lost"}, "failing": {"mqtt": "no broker"},
}  # fmt: skip
ALARMS = {"stove": "raised", "frost": "cleared", "person": "unavailable", "flame-out": "fault"}
# component -> what Home Assistant is to show
EXPECTED = {
    "fps": "9.0", "frames_fused": "3", "frames_dropped": "1", "resident_mb": "80.5", "processor_celsius": "51.2", "hottest_celsius": "42.0",
    "coldest_celsius": "-3.5", "infrared_state": "normal", "camera_visible": "live", "camera_infrared": "lost", "region_pipe_mean": "20.5",
    "region_pipe_minimum": "18.0", "region_pipe_maximum": "25.0", "throttled": "off", "output": "on", "alarm_stove": "on",
    "alarm_frost": "off", "alarm_person": "unavailable", "alarm_flame-out": "unavailable", "record": "on", "view": "edges",
}  # fmt: skip


async def until(true: Callable[[], Any], what: str) -> None:
    """Wait until something is true. Exits after DEADLINE_S."""
    for _ in range(int(DEADLINE_S * 10)):
        if true():
            return
        await asyncio.sleep(0.1)
    sys.exit(f"{what}: not within {DEADLINE_S:g} s")


async def start(folder: Path, host: str, port: int) -> core.HomeAssistant:
    """Start Home Assistant with nothing but its own parts and MQTT, set up as its page does."""
    (folder / "configuration.yaml").write_text("homeassistant:\n  country: DE\n  currency: EUR\n")
    hass = await bootstrap.async_setup_hass(runner.RuntimeConfig(config_dir=str(folder)))
    if hass is None:
        sys.exit("Home Assistant did not start")
    flow = await hass.config_entries.flow.async_init("mqtt", context={"source": config_entries.SOURCE_USER})
    if flow["type"] == "menu":
        flow = await hass.config_entries.flow.async_configure(flow["flow_id"], {"next_step_id": "broker"})
    made = await hass.config_entries.flow.async_configure(flow["flow_id"], {"broker": host, "port": port})
    if made["type"] != "create_entry":
        sys.exit(f"Home Assistant's MQTT is not set up: {made}")
    await hass.async_block_till_done()
    return hass


def publish(client: paho.Client, payload: str) -> None:
    """Publish all that EdgeFuse does."""
    client.publish(TOPIC, payload, 1, retain=True)
    client.publish(f"{BASE}/state", "online", 1, retain=True)
    client.publish(f"{BASE}/control", json.dumps({"record": "ON", "view": "edges"}), 1, retain=True)
    for name, state in ALARMS.items():
        client.publish(f"{BASE}/alarm/{name}", json.dumps({"name": name, "state": state}), 1, retain=True)


async def check(host: str, port: int, message: Path) -> int:
    """Return the number of differences."""
    payload = message.read_text().replace("VERSION", "0.1.0")
    components = json.loads(payload)["components"]
    heard: list[str] = []
    client = paho.Client(paho.CallbackAPIVersion.VERSION2)
    client.on_message = lambda _c, _u, got: heard.append(got.payload.decode())
    client.connect(host, port)
    client.subscribe(f"{BASE}/command", 1)
    client.loop_start()
    with tempfile.TemporaryDirectory() as folder:
        hass = await start(Path(folder), host, port)
        print(f"Home Assistant {const.__version__}, Python {sys.version.split()[0]}")
        publish(client, payload)
        entities = entity_registry.async_get(hass)
        ids = {key: one["unique_id"] for key, one in components.items()}

        def shown(key: str) -> core.State | None:
            name = entities.async_get_entity_id(components[key]["platform"], "mqtt", ids[key])
            return hass.states.get(name) if name else None

        await until(lambda: all(shown(key) for key in components), "an entity for each component")
        client.publish(f"{BASE}/telemetry", json.dumps(TELEMETRY), 1)
        await until(lambda: shown("fps").state == "9.0", "the telemetry")
        wrong = report(components, shown)
        devices = [d for d in device_registry.async_get(hass).devices.values() if ("mqtt", "edgefuse_cam-1") in d.identifiers]
        print(f"devices: {[(d.name, d.manufacturer, d.model, d.sw_version) for d in devices]}")
        wrong += len(devices) != 1
        view, record = (shown(key).entity_id for key in ("view", "record"))
        await hass.services.async_call("select", "select_option", {"entity_id": view, "option": "side-by-side"}, blocking=True)
        await hass.services.async_call("switch", "turn_off", {"entity_id": record}, blocking=True)
        await until(lambda: len(heard) >= 2, "two commands")
        sent = [json.loads(text) for text in heard]
        print(f"commands: {sent}")
        wrong += sent != [{"command": "view", "view": "side-by-side"}, {"command": "record", "on": False}]
        gone = {**json.loads(payload), "components": {**components, "alarm_stove": {"platform": "binary_sensor"}}}
        client.publish(TOPIC, json.dumps(gone), 1, retain=True)
        await until(lambda: shown("alarm_stove") is None, "the alarm to be taken out")
        client.publish(f"{BASE}/state", "offline", 1, retain=True)
        await until(lambda: shown("fps").state == shown("record").state == "unavailable", "all to be unavailable")
        client.loop_stop()
        await hass.async_stop(force=True)
    return wrong


def report(components: dict[str, Any], shown: Callable[[str], core.State | None]) -> int:
    """Print each entity as Home Assistant shows it. Returns the number of differences."""
    wrong = 0
    for key, one in components.items():
        state = shown(key)
        assert state is not None
        expected, kind = EXPECTED.get(key, state.state), one.get("device_class")
        right = state.state == expected and state.attributes.get("device_class") == kind
        wrong += not right
        unit = state.attributes.get("unit_of_measurement", "")
        print(f"{'ok   ' if right else 'WRONG'} {state.entity_id:45} {state.state:>12} {unit:7} {kind or ''}")
    return wrong


if __name__ == "__main__":
    given_host, _, given_port = sys.argv[1].rpartition(":")
    found = asyncio.run(check(given_host, int(given_port), Path(sys.argv[2] if len(sys.argv) > 2 else "tests/mqtt/discovery.json")))
    print(f"{found} differences")
    sys.exit(bool(found))
