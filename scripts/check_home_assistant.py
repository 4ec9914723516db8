"""Lets a real Home Assistant Core read EdgeFuse's discovery message, and compares the entities that it makes with what they should be.

    python scripts/check_home_assistant.py BROKER:PORT [tests/mqtt/discovery.json]

For a Python environment with the package homeassistant (2024.11 or newer, and what its part MQTT needs) and a broker that nobody else
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
from homeassistant import auth, bootstrap, config_entries, const, core, loader, setup
from homeassistant.helpers import device_registry, entity_registry

BASE, TOPIC = "edgefuse/cam-1", "homeassistant/device/cam-1/config"
DEADLINE_S = 60.0
TELEMETRY: dict[str, Any] = {
    "fps": 9.0, "frames_fused": 3, "frames_dropped": 1, "resident_mb": 80.5, "processor_celsius": 51.2, "throttled": False,
    "infrared_state": "normal", "hottest_celsius": 42.0, "coldest_celsius": -3.5,
    "regions": {"pipe": {"mean_celsius": 20.5, "minimum_celsius": 18.0, "maximum_celsius": 25.0}},
    "cameras": {"visible": "live", "infrared": "lost"}, "failing": {"mqtt": "no broker"}, "people": 2, "people_so_far": 7,
}  # fmt: skip
ALARMS = {"stove": "raised", "frost": "cleared", "person": "unavailable", "flame-out": "fault"}
# component -> what Home Assistant is to show
EXPECTED = {
    "fps": "9.0", "frames_fused": "3", "frames_dropped": "1", "resident_mb": "80.5", "processor_celsius": "51.2", "hottest_celsius": "42.0",
    "coldest_celsius": "-3.5", "infrared_state": "normal", "camera_visible": "live", "camera_infrared": "lost", "region_pipe_mean": "20.5",
    "region_pipe_minimum": "18.0", "region_pipe_maximum": "25.0", "throttled": "off", "output": "on", "alarm_stove": "on",
    "alarm_frost": "off", "alarm_person": "unavailable", "alarm_flame-out": "unavailable", "record": "on", "view": "edges",
    "people": "2", "people_so_far": "7", "picture": "idle", "snapshot": "unknown", "reload": "unknown",
}  # fmt: skip
# what a component says that its entity must show
ATTRIBUTES = ("device_class", "unit_of_measurement", "state_class", "options")


async def settled(true: Callable[[], Any]) -> bool:
    """Wait until something is true; returns False after DEADLINE_S."""
    for _ in range(int(DEADLINE_S * 10)):
        if true():
            return True
        await asyncio.sleep(0.1)
    return False


async def until(true: Callable[[], Any], what: str) -> None:
    """Wait until something is true. Exits after DEADLINE_S."""
    if not await settled(true):
        sys.exit(f"{what}: not within {DEADLINE_S:g} s")


async def start(folder: Path, host: str, port: int) -> core.HomeAssistant:
    """Start Home Assistant's core with nothing but MQTT and what that needs, set up as its page does; without the page itself."""
    (folder / "configuration.yaml").write_text("")
    hass = core.HomeAssistant(str(folder))
    hass.config.skip_pip = True
    loader.async_setup(hass)
    hass.config_entries = config_entries.ConfigEntries(hass, {})
    await bootstrap.async_load_base_functionality(hass)
    hass.auth = await auth.auth_manager_from_config(hass, [], [])
    config = {"http": {"server_host": ["127.0.0.1"], "server_port": 18123}}
    for part in ("homeassistant", "http"):
        if not await setup.async_setup_component(hass, part, config):
            sys.exit(f"Home Assistant's {part} did not start")
    await hass.async_start()
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
        await settled(lambda: all(shown(key).state == EXPECTED.get(key) for key in components))
        wrong = report(components, shown) + surplus(entities, set(ids.values()))
        client.publish(f"{BASE}/telemetry", json.dumps({**TELEMETRY, "people": None}), 1)
        await until(lambda: shown("people").state == "unavailable", "an unknown number of people to be unavailable")
        print(f"people unknown: {shown('people').state}, so far {shown('people_so_far').state}, frame rate {shown('fps').state}")
        wrong += shown("people_so_far").state != "7" or shown("fps").state != "9.0"
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
    wrong = len(components.keys() ^ EXPECTED.keys())
    for key, one in components.items():
        state = shown(key)
        assert state is not None
        has = state.attributes
        differ = [f"{name} is {has.get(name)!r}" for name in ATTRIBUTES if name in one and has.get(name) != one[name]]
        if "device_class" not in one and has.get("device_class"):
            differ.append(f"device_class is {has['device_class']!r}")
        if state.state != EXPECTED.get(key):
            differ.append(f"expected {EXPECTED.get(key)!r}")
        wrong += bool(differ)
        unit, kind = has.get("unit_of_measurement", ""), has.get("device_class", "")
        print(f"{'WRONG' if differ else 'ok   '} {state.entity_id:45} {state.state:>12} {unit:7} {kind:12} {'; '.join(differ)}")
    return wrong


def surplus(entities: entity_registry.EntityRegistry, expected: set[str]) -> int:
    """Return the number of entities of MQTT that Home Assistant has made and that nobody asked for."""
    made = {e.unique_id for e in entities.entities.values() if e.platform == "mqtt"}
    print(f"{len(made)} entities in the registry, {len(expected)} components; surplus: {sorted(made - expected) or 'none'}")
    return len(made - expected)


if __name__ == "__main__":
    given_host, _, given_port = sys.argv[1].rpartition(":")
    differences = asyncio.run(check(given_host, int(given_port), Path(sys.argv[2] if len(sys.argv) > 2 else "tests/mqtt/discovery.json")))
    print(f"{differences} differences")
    sys.exit(bool(differences))
