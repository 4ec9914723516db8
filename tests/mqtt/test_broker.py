"""A run and a real Mosquitto: messages, commands, refusals, and outages."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from edgefuse.errors import EdgeFuseError
from edgefuse.events import Event
from edgefuse.mqtt import Mqtt
from edgefuse.settings.mqtt import MqttSettings
from edgefuse.telemetry.live import Live
from tests.mqtt.broker import Broker, Watcher
from tests.reports import INFO, frame, full_report
from tests.support.waiting import joined, signalled, until

Watch = Callable[..., Watcher]
BASE = "edgefuse/cam-1"


def working_report() -> dict[str, Any]:
    """Return a report whose cameras both work."""
    report = full_report()
    report["cameras"]["infrared"] = report["cameras"]["infrared"] | {"state": "live"}
    return report


@pytest.fixture
def device() -> Iterator[Callable[..., Mqtt]]:
    made: list[Mqtt] = []

    def start(live: Live, broker: Broker | str, **more: Any) -> Mqtt:
        url = broker if isinstance(broker, str) else broker.url
        made.append(Mqtt(MqttSettings(**{"url": url, "device": "cam-1", "interval": 0.1, "retry": 0.2} | more), live, INFO))
        return made[-1]

    yield start
    for one in made:
        one.close()


def connected(mqtt: Mqtt) -> None:
    until(lambda: mqtt.report()["state"] == "connected", lambda: f"the state connected: {mqtt.report()}")


def answers(watcher: Watcher) -> list[dict[str, Any]]:
    return [json.loads(p) for p in watcher.on(f"{BASE}/answer")]


def test_state_telemetry_and_events_have_their_own_topics(broker: Broker, watch: Watch, device: Callable[..., Mqtt]) -> None:
    live, watcher = Live(working_report), watch(broker.port)
    mqtt = device(live, broker)
    connected(mqtt)
    live.emit(Event("alarm", "stove", {"state": "raised", "celsius": 91.5}))
    live.emit(Event("camera", "infrared", {"state": "lost"}))
    until(
        lambda: watcher.on(f"{BASE}/event/camera") and len(watcher.on(f"{BASE}/telemetry")) >= 2,
        "a camera's event and two messages of telemetry",
    )
    mqtt.close()
    until(lambda: len(watcher.on(f"{BASE}/state")) == 2, "the state online, then offline")
    assert watcher.on(f"{BASE}/state") == [b"online", b"offline"]
    told = [json.loads(p) for p in watcher.on(f"{BASE}/telemetry")]
    assert [t["sequence"] for t in told] == list(range(len(told)))
    assert told[0]["frames_fused"] == 3
    # the state when the connection began, and the event
    alarms = [json.loads(p) for p in watcher.on(f"{BASE}/alarm/stove")]
    assert [a["state"] for a in alarms] == ["raised", "raised"]
    assert (alarms[1]["name"], alarms[1]["celsius"]) == ("stove", 91.5)
    assert json.loads(watcher.on(f"{BASE}/event/camera")[0])["name"] == "infrared"
    report = mqtt.report()
    assert (report["state"], report["waiting"], report["lost"]) == ("closed", 0, {})
    assert report["sent"] == len(watcher.heard)


def test_state_alarms_and_discovery_are_retained_for_later_subscribers(broker: Broker, watch: Watch, device: Callable[..., Mqtt]) -> None:
    live = Live(working_report)
    live.register_command("record", dict)
    connected(device(live, broker))
    live.emit(Event("alarm", "stove", {"state": "cleared", "celsius": 20.0}))
    first = watch(broker.port)
    until(lambda: any(b"cleared" in p for p in first.on(f"{BASE}/alarm/stove")), "the alarm's end")
    late = watch(broker.port)
    until(lambda: late.on("homeassistant/device/cam-1/config"), "the device's description, retained")
    kept = {topic: payload for topic, payload, retained in late.heard if retained}
    assert kept[f"{BASE}/state"] == b"online"
    assert json.loads(kept[f"{BASE}/alarm/stove"])["state"] == "cleared"
    assert json.loads(kept[f"{BASE}/info"])["model"]["name"] == "mobilefuse-edge"
    components = json.loads(kept["homeassistant/device/cam-1/config"])["components"]
    assert components["fps"]["state_topic"] == f"{BASE}/telemetry"
    assert {"alarm_stove", "record", "camera_infrared"} <= components.keys()
    assert json.loads(kept[f"{BASE}/control"]) == {"record": "OFF", "view": None}
    assert json.loads(kept[f"{BASE}/alarm/odd"])["state"] == "unavailable"
    # telemetry, events and pictures are not retained
    assert {t.split("/")[2] for t in kept if t.startswith(BASE)} == {"state", "info", "alarm", "control"}


def test_alarms_added_or_removed_by_a_reload_update_home_assistant(broker: Broker, watch: Watch, device: Callable[..., Mqtt]) -> None:
    names, watcher = ["stove"], watch(broker.port, "homeassistant/#")

    class Now(Live):
        def report(self) -> Mapping[str, Any]:
            report = full_report()
            return report | {"alarm": {"alarms": dict.fromkeys(names, report["alarm"]["alarms"]["stove"])}}

    connected(device(Now(dict), broker))

    def newest() -> dict[str, Any]:
        told = watcher.on("homeassistant/device/cam-1/config")
        return json.loads(told[-1])["components"] if told else {}

    until(lambda: len(newest().get("alarm_stove", {})) > 1, "the stove's description")
    names[:] = ["door"]
    until(lambda: len(newest().get("alarm_door", {})) > 1, "the door's description")
    assert newest()["alarm_stove"] == {"platform": "binary_sensor"}


def test_an_alarm_that_can_t_work_is_unavailable_until_it_can(broker: Broker, watch: Watch, device: Callable[..., Mqtt]) -> None:
    state, watcher = {"infrared": "live", "recording": "off"}, watch(broker.port)

    class Now(Live):
        def report(self) -> Mapping[str, Any]:
            report = working_report()
            report["cameras"]["infrared"]["state"] = state["infrared"]
            return report | {"recording": {"state": state["recording"]}, "view": "edges"}

    live = Now(dict)
    connected(device(live, broker))

    def last(topic: str) -> dict[str, Any]:
        told = watcher.on(f"{BASE}/{topic}")
        return json.loads(told[-1]) if told else {}

    until(lambda: last("alarm/stove").get("state") == "raised", "the alarm's state")
    state["infrared"] = "lost"
    live.emit(Event("camera", "infrared", {"state": "lost"}))
    until(lambda: last("alarm/stove")["state"] == "unavailable", "the alarm to be unavailable")
    assert last("alarm/stove")["why"] == "the infrared camera is lost"
    # an event that comes meanwhile doesn't hide it
    live.emit(Event("alarm", "stove", {"state": "cleared", "celsius": 20.0}))
    until(lambda: last("alarm/stove")["state"] == "unavailable" and b"cleared" in b"".join(watcher.on(f"{BASE}/alarm/stove")), "it again")
    state |= {"infrared": "live", "recording": "recording"}
    live.emit(Event("camera", "infrared", {"state": "live"}))
    until(lambda: last("alarm/stove")["state"] == "raised", "the alarm to work again")
    until(lambda: last("control") == {"record": "ON", "view": "edges"}, "the switch's state")


def test_pictures_come_on_request_and_at_an_interval(broker: Broker, watch: Watch, device: Callable[..., Mqtt]) -> None:
    live, watcher = Live(full_report), watch(broker.port)
    mqtt = device(live, broker)
    connected(mqtt)
    watcher.publish(f"{BASE}/command", b'{"command": "snapshot", "id": "1"}')
    until(lambda: answers(watcher), "an answer")
    live.write(frame())
    watcher.publish(f"{BASE}/command", b'{"command": "snapshot", "id": "2"}')
    until(lambda: watcher.on(f"{BASE}/snapshot") and len(answers(watcher)) == 2, "a snapshot and two answers")
    first, second = answers(watcher)
    assert (first["id"], first["ok"], first["error"]) == ("1", False, "no frame yet")
    assert (second["id"], second["ok"]) == ("2", True)
    picture = cv2.imdecode(np.frombuffer(watcher.on(f"{BASE}/snapshot")[0], np.uint8), cv2.IMREAD_UNCHANGED)
    assert picture.shape == (6, 8)
    mqtt.close()
    device(live, broker, device="cam-2", snapshots=0.1, commands=False)
    until(lambda: len(watcher.on("edgefuse/cam-2/snapshot")) >= 3, "three snapshots")


def test_commands_reach_the_run_and_are_answered(broker: Broker, watch: Watch, device: Callable[..., Mqtt]) -> None:
    live, watcher, asked = Live(full_report), watch(broker.port, f"{BASE}/answer"), []

    def record(given: Mapping[str, Any]) -> Mapping[str, Any]:
        asked.append(dict(given))
        return {"recording": given["on"]}

    def reload(given: Mapping[str, Any]) -> Mapping[str, Any]:
        raise EdgeFuseError("the settings file is gone")

    live.register_command("record", record)
    live.register_command("reload", reload)
    mqtt = device(live, broker)
    connected(mqtt)
    for payload in (
        b'{"command": "record", "on": true}',
        b'{"command": "reload", "id": "r"}',
        b'{"command": "record", "path": "/x", "on": true}',
    ):
        watcher.publish(f"{BASE}/command", payload)
    until(lambda: len(answers(watcher)) == 3, "three answers")
    by_error = {a.get("error", ""): a for a in answers(watcher)}
    assert by_error[""]["recording"] is True
    assert by_error["the settings file is gone"]["id"] == "r"
    assert by_error["record takes on (true or false) and an id"]["ok"] is False
    assert asked == [{"on": True}]
    assert mqtt.report()["commands"] == {"done": 1, "failed": 1, "refused": 1, "ignored": 0}


def test_hostile_commands_change_nothing(broker: Broker, watch: Watch, device: Callable[..., Mqtt]) -> None:
    live, watcher = Live(full_report), watch(broker.port, f"{BASE}/#")
    live.register_command("reload", lambda given: pytest.fail("nobody asked for that"))
    # a retained command would repeat at every connection
    watcher.publish(f"{BASE}/command", b'{"command": "reload"}', retain=True)
    mqtt = device(live, broker)
    connected(mqtt)
    until(lambda: mqtt.report()["commands"]["ignored"] == 1, "the command that is ignored")
    # the broker does not forward packets that exceed the limit
    watcher.publish(f"{BASE}/command", b"{" * 200_000)
    for payload in (b"", b"\xff" * 1024, b"[" * 1000, b'{"command": "reload", "path": "../../x"}', b"\0" * 2000):
        watcher.publish(f"{BASE}/command", payload)
    until(lambda: sum(mqtt.report()["commands"].values()) == 6, "six counted commands")
    for _ in range(300):
        watcher.client.publish(f"{BASE}/command", b"flood", qos=1)
    until(lambda: sum(mqtt.report()["commands"].values()) == 306, "306 counted commands")
    before = len(watcher.on(f"{BASE}/telemetry"))
    until(lambda: len(watcher.on(f"{BASE}/telemetry")) > before, "more telemetry")
    counts = mqtt.report()["commands"]
    assert (counts["done"], counts["failed"]) == (0, 0)
    assert counts["ignored"] > 200
    assert mqtt.report()["connections"] == 1


def test_messages_are_buffered_during_an_outage_and_drops_are_counted(broker: Broker, watch: Watch, device: Callable[..., Mqtt]) -> None:
    live, watcher = Live(full_report), watch(broker.port, f"{BASE}/#")
    mqtt = device(live, broker, buffer=20)
    connected(mqtt)
    until(lambda: len(watcher.on(f"{BASE}/telemetry")) >= 2, "two messages of telemetry")
    broker.stop()
    live.emit(Event("alarm", "stove", {"state": "raised", "celsius": 99.0, "while": "away"}))
    until(lambda: mqtt.report()["lost"].get("telemetry", 0) >= 5, lambda: f"five lost messages: {mqtt.report()}")
    assert mqtt.report()["state"] not in ("connected", "connecting")
    assert mqtt.report()["waiting"] <= 20 + 20
    broker.start()
    connected(mqtt)
    until(lambda: any(b"away" in p for p in watcher.on(f"{BASE}/alarm/stove")), "the alarm told while the broker was away")
    mqtt.close()
    until(lambda: watcher.on(f"{BASE}/state")[-1] == b"offline", "the state offline")
    # every message arrived or was counted
    sequence = {json.loads(p)["sequence"] for p in watcher.on(f"{BASE}/telemetry")}
    assert mqtt.report()["waiting"] == 0
    assert len(sequence) + mqtt.report()["lost"]["telemetry"] == max(sequence) + 1
    assert mqtt.report()["lost"].keys() == {"telemetry"}


def test_an_absent_or_hanging_broker_does_not_block_the_run(broker: Broker, device: Callable[..., Mqtt]) -> None:
    live = Live(full_report)
    mqtt = device(live, broker, buffer=10)
    connected(mqtt)
    broker.process.send_signal(signal.SIGSTOP)
    done = threading.Event()

    def busy() -> None:
        for k in range(2000):
            live.emit(Event("alarm", "stove", {"state": "raised", "k": k}))
            live.write(frame())
        mqtt.report()
        done.set()

    threading.Thread(target=busy, daemon=True).start()
    signalled(done, "2000 events and frames to be handed over")
    assert mqtt.report()["waiting"] <= 10 + 20
    assert mqtt.report()["lost"]["alarm"] > 1900
    closed = threading.Thread(target=mqtt.close, daemon=True)
    closed.start()
    joined(closed, "the closing of a link whose broker hangs")
    nowhere = device(live, "mqtt://127.0.0.1:1")
    until(lambda: nowhere.report()["state"] == "connection refused", "the state connection refused")


def test_a_wrong_password_is_reported_and_retried(tmp_path: Path, watch: Watch, device: Callable[..., Mqtt], broker: Broker) -> None:
    import shutil
    import subprocess

    tool = shutil.which("mosquitto_passwd")
    if tool is None:
        pytest.skip("mosquitto_passwd is not installed")
    users = tmp_path / "users"
    subprocess.run([tool, "-c", "-b", str(users), "cam-1", "right"], check=True, capture_output=True, timeout=120)
    closed = tmp_path / "closed"
    closed.mkdir()
    guarded = Broker(closed, ["allow_anonymous false", f"password_file {users}"])
    try:
        live, events = Live(full_report), list[Event]()
        live.listen(events.append)
        wrong = device(live, guarded, user="cam-1", password="wrong")
        until(lambda: wrong.report()["state"].startswith("the broker refused: "), "the broker's refusal")
        assert wrong.report()["state"] in ("the broker refused: not authorized", "the broker refused: bad user name or password")
        until(lambda: any(e.name == "mqtt" and "refused" in e.facts["state"] for e in events), "the event of the refusal")
        assert all("wrong" not in str(e) for e in events)
        wrong.close()
        right = device(live, guarded, user="cam-1", password="right")
        connected(right)
        assert watch(guarded.port, "#", "cam-1", "right")
        right.close()
    finally:
        guarded.stop()


def test_two_devices_with_the_same_name_are_reported(broker: Broker, device: Callable[..., Mqtt]) -> None:
    first, events = Live(full_report), list[Event]()
    first.listen(events.append)
    connected(device(first, broker))
    connected(device(Live(full_report), broker))
    until(
        lambda: any("is another client called cam-1?" in e.facts["state"] for e in events),
        lambda: f"the question about the other client: {events}",
    )


def test_no_thread_or_descriptor_leaks_over_many_runs(broker: Broker, device: Callable[..., Mqtt]) -> None:
    live = Live(full_report)
    threads, descriptors = threading.active_count(), len(os.listdir("/proc/self/fd"))  # noqa: PTH208
    for _ in range(10):
        mqtt = device(live, broker)
        connected(mqtt)
        mqtt.close()
    until(lambda: threading.active_count() <= threads, "the end of all threads")
    import gc

    gc.collect()
    until(lambda: len(os.listdir("/proc/self/fd")) <= descriptors + 2, "the closing of all descriptors")  # noqa: PTH208


def test_invalid_settings_are_refused_at_once() -> None:
    pytest.importorskip("paho.mqtt")
    for wrong, said in (
        ({"url": "broker"}, "mqtt.url"), ({"device": "a/b"}, "mqtt.device"), ({"prefix": "#"}, "mqtt.prefix"),
        ({"discovery": "x y"}, "mqtt.discovery"), ({"url": "mqtts://h", "ca_file": "/nowhere.pem"}, "mqtt.ca_file"),
    ):  # fmt: skip
        with pytest.raises(EdgeFuseError, match=said):
            Mqtt(MqttSettings(**{"url": "mqtt://h"} | wrong), Live(dict), INFO)


def test_time_s_is_the_events_time_not_the_deliverys(broker: Broker, watch: Watch, device: Callable[..., Mqtt]) -> None:
    live, watcher = Live(full_report), watch(broker.port, f"{BASE}/#")
    mqtt = device(live, broker)
    connected(mqtt)
    broker.stop()
    event = Event("camera", "visible", {"state": "lost"}, time.time() - 3600)
    live.emit(event)
    broker.start()
    until(lambda: watcher.on(f"{BASE}/event/camera"), "a camera's event")
    assert json.loads(watcher.on(f"{BASE}/event/camera")[0])["time_s"] == round(event.time_s, 3)
