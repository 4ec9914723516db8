"""Load and losses of a fleet: 200 devices and one MQTT broker.

    python benchmarks/fleet.py                                  # 200 devices, a message per second and an event every two, for a minute
    python benchmarks/fleet.py --devices 50 --seconds 20 --json
    python benchmarks/fleet.py --interval 10 --events 60        # the default settings of a device

Devices are `edgefuse.mqtt.Mqtt` objects in a few processes, each with its own connection and the report of a real run of the demo source.
The broker is a real Mosquitto on loopback; one subscriber receives everything. After a steady phase the broker is stopped for ten seconds,
then a second steady phase follows. Reports messages per second, the time from `Live.emit` to the subscriber, messages lost and messages
that devices counted as lost, the time until all devices were connected again, and the broker's memory and processor time. Exit code 3 if a
message is missing that no device counted as lost, or if a device did not reconnect.

Devices number telemetry and events. Loss: numbers that the subscriber never received, minus those that devices dropped from their backlog.
"""

from __future__ import annotations

import argparse
import itertools
import json
import multiprocessing
import os
import statistics
import sys
import tempfile
import threading
import time
from collections import defaultdict
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import psutil

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from edgefuse.events import Event  # noqa: E402
from edgefuse.telemetry.live import Live  # noqa: E402
from tests.mqtt.broker import MOSQUITTO, NEEDED, Broker, Watcher  # noqa: E402

OUTAGE_S = 10.0
PATIENCE_S = 60.0


def real_report() -> dict[str, Any]:
    """Return the report of `edgefuse run` on 50 frames of the demo source at 640 x 480 with 16-bit infrared."""
    from edgefuse import load, open_source
    from edgefuse.run.pipeline import Pipeline
    from edgefuse.telemetry.report import Telemetry

    telemetry, live = Telemetry(), Live(dict)
    with open_source("demo?depth=16&frames=50") as source, load(runtime="numpy") as fuser:
        Pipeline(source, fuser, [live], telemetry).run()
    assert live.newest is not None
    return telemetry.report() | {"frame": live.newest[1]}


class Device:
    """A simulated run; its counters grow as at 25 FPS."""

    def __init__(self, k: int, report: dict[str, Any], url: str, interval_s: float, snapshots_s: float) -> None:
        from edgefuse.mqtt import Mqtt
        from edgefuse.settings.mqtt import MqttSettings
        from edgefuse.telemetry.live import Info

        self._report, self._begin, self.events = report, time.monotonic(), 0
        self.live = Live(self._now)
        self.live.write(report["frame"])
        settings = MqttSettings(url=url, device=f"cam-{k:04d}", interval=interval_s, snapshots=snapshots_s)
        self.mqtt = Mqtt(settings, self.live, Info("demo", 25.0, True, {"name": "mobilefuse-edge"}))

    def _now(self) -> dict[str, Any]:
        passed = time.monotonic() - self._begin
        frames = {"in": round(25 * passed), "fused": round(25 * passed), "dropped": 0}
        return {k: v for k, v in self._report.items() if k != "frame"} | {"frames": frames, "elapsed_s": round(passed, 3)}

    def tell(self) -> None:
        self.live.emit(Event("camera", "infrared", {"state": "live", "number": self.events, "told_ns": time.monotonic_ns()}))
        self.events += 1


def child(link: Connection, first: int, count: int, url: str, interval_s: float, events_s: float, snapshots_s: float) -> None:
    """Run devices `first` to `first + count` until told to stop, then print their reports."""
    report = real_report()
    devices = [Device(first + k, report, url, interval_s, snapshots_s) for k in range(count)]
    link.send("ready")
    due = [time.monotonic() + events_s * k / count for k in range(count)]
    while not link.poll(max(0.0, min(due) - time.monotonic())):
        k = due.index(min(due))
        devices[k].tell()
        due[k] += events_s
    link.recv()
    closing = [threading.Thread(target=d.mqtt.close) for d in devices]
    for t in closing:
        t.start()
    for t in closing:
        t.join()
    link.send([d.mqtt.report() | {"events": d.events} for d in devices])


class Ear:
    """Records what the subscriber received."""

    def __init__(self, port: int) -> None:
        self.latency_ms: list[float] = []
        self.numbers: dict[tuple[str, str], list[int]] = defaultdict(list)
        self.messages = self.bytes = self.pictures = 0
        self.online: dict[str, bool] = {}
        self.watcher = Watcher(port)
        self.watcher.client.on_message = self._hear

    def _hear(self, client: Any, userdata: Any, message: Any) -> None:
        now = time.monotonic_ns()
        self.messages += 1
        self.bytes += len(message.payload)
        prefix, device, *what = message.topic.split("/")
        if prefix != "edgefuse":
            return
        if what == ["state"]:
            self.online[device] = message.payload == b"online"
        elif what == ["telemetry"]:
            self.numbers[device, "telemetry"].append(json.loads(message.payload)["sequence"])
        elif what == ["event", "camera"]:
            told = json.loads(message.payload)
            self.numbers[device, "event"].append(told["number"])
            self.latency_ms.append((now - told["told_ns"]) / 1e6)
        elif what == ["snapshot"]:
            self.pictures += 1


def wait(true: Any, seconds: float = PATIENCE_S) -> float | None:
    """Return the seconds until the condition was true; None if it never was."""
    begin = time.monotonic()
    while not true():
        if time.monotonic() - begin > seconds:
            return None
        time.sleep(0.02)
    return time.monotonic() - begin


def settle(ear: Ear) -> None:
    """Wait until no more messages arrive."""
    heard = -1
    while heard != ear.messages:
        heard = ear.messages
        time.sleep(3)


def steady(ear: Ear, broker: Broker, seconds: float) -> dict[str, Any]:
    """Measure the throughput over so many seconds."""
    process = psutil.Process(broker.process.pid)
    cpu, messages, told, size, begin = process.cpu_times(), ear.messages, len(ear.latency_ms), ear.bytes, time.monotonic()
    time.sleep(seconds)
    passed, after = time.monotonic() - begin, process.cpu_times()
    ms = sorted(ear.latency_ms[told:])
    spent = after.user + after.system - cpu.user - cpu.system
    return {
        "messages_per_s": round((ear.messages - messages) / passed, 1),
        "kilobytes_per_s": round((ear.bytes - size) / passed / 1e3, 1),
        "latency_ms": {f"p{q}": round(ms[min(len(ms) - 1, len(ms) * q // 100)], 2) for q in (50, 95, 99)} | {"max": round(ms[-1], 2)},
        "latencies": len(ms),
        "broker_resident_mb": round(process.memory_info().rss / 1e6, 1),
        "broker_cpu_percent": round(100 * spent / passed, 1),
        "load_average": round(os.getloadavg()[0], 2),
    }


def measure(args: argparse.Namespace) -> dict[str, Any]:
    context = multiprocessing.get_context("spawn")
    with tempfile.TemporaryDirectory() as folder:
        # the broker drops nothing for the subscriber, so that all counted losses are EdgeFuse's
        broker = Broker(Path(folder), ["allow_anonymous true", "max_queued_messages 0", "max_inflight_messages 0"])
        idle_mb = psutil.Process(broker.process.pid).memory_info().rss / 1e6
        ear = Ear(broker.port)
        links, children = [], []
        share = [args.devices * k // args.processes for k in range(args.processes + 1)]
        for first, end in itertools.pairwise(share):
            ours, theirs = context.Pipe()
            rates = (args.interval, args.events, args.snapshots)
            children.append(context.Process(target=child, args=(theirs, first, end - first, broker.url, *rates)))
            children[-1].start()
            links.append(ours)
        for link in links:
            link.recv()
        connected_s = wait(lambda: sum(ear.online.values()) == args.devices)
        figures: dict[str, Any] = {"devices": args.devices, "all_connected": connected_s is not None, "broker_idle_mb": round(idle_mb, 1)}
        time.sleep(2)
        figures["steady"] = steady(ear, broker, args.seconds)
        broker.stop()
        ear.online.clear()
        time.sleep(OUTAGE_S)
        broker.start()
        back_s = wait(lambda: sum(ear.online.values()) == args.devices)
        figures["outage"] = {"seconds": OUTAGE_S, "all_back_after_s": None if back_s is None else round(back_s, 2)}
        time.sleep(5)
        figures["steady_again"] = steady(ear, broker, args.seconds)
        reports = []
        for link, process in zip(links, children, strict=True):
            link.send("stop")
            reports += link.recv()
            process.join()
        settle(ear)
        ear.watcher.close()
        broker.stop()
    return figures | account(ear, reports)


def account(ear: Ear, reports: list[dict[str, Any]]) -> dict[str, Any]:
    """Count messages: sent, received, duplicated, counted as lost by the device, still queued at the end, and missing."""
    told = heard = twice = counted = unsent = missing = 0
    for report in reports:
        for kind in ("telemetry", "event"):
            numbers = ear.numbers[report["device"], kind]
            sent = report["events"] if kind == "event" else max(numbers, default=-1) + 1
            different = {n for n in numbers if n < sent}
            told, heard, twice = told + sent, heard + len(different), twice + len(numbers) - len(set(numbers))
            fell = report["lost"].get(kind, 0)
            counted += fell
            missing += sent - len(different) - fell
        unsent += report["waiting"]
    shots = sum(r["snapshots"] for r in reports)
    connections = statistics.mean(r["connections"] for r in reports)
    loss = {"told": told, "heard": heard, "heard_twice": twice, "counted_lost": counted, "unsent": unsent, "missing": missing}
    return {"messages": loss, "pictures": {"sent": shots, "heard": ear.pictures}, "connections_per_device": round(connections, 2)}


def text(r: dict[str, Any]) -> str:
    lines = [
        f"devices    {r['devices']}, {'all' if r['all_connected'] else 'NOT ALL'} connected; {r['connections_per_device']} connections each"
    ]
    for name in ("steady", "steady_again"):
        s = r[name]
        ms = ", ".join(f"{k} {v:.2f}" for k, v in s["latency_ms"].items())
        lines += [
            f"{name.replace('_', ' '):11s}{s['messages_per_s']:.1f} messages a second, {s['kilobytes_per_s']:.1f} kB/s; "
            f"told to heard, ms: {ms} (of {s['latencies']})",
            f"{'':11s}broker: {s['broker_resident_mb']:.1f} MB resident, {s['broker_cpu_percent']:.1f} % of a core; load "
            f"{s['load_average']}",
        ]
    back, m = r["outage"]["all_back_after_s"], r["messages"]
    lines += [
        f"outage     {r['outage']['seconds']:g} s, broker stopped; all back {'NEVER' if back is None else f'{back:.2f} s after it'}",
        f"loss       {m['told']} told, {m['heard']} heard, {m['heard_twice']} of them twice, {m['counted_lost']} counted lost, "
        f"{m['missing']} missing (of those {m['unsent']} were in wait when their device was closed)",
        f"pictures   {r['pictures']['sent']} sent, {r['pictures']['heard']} heard (they don't wait for a broker)",
    ]
    return "\n".join(lines)


def main() -> int:
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--devices", type=int, default=200, metavar="N")
    p.add_argument("--processes", type=int, default=4, metavar="N", help="number of processes for the devices")
    p.add_argument("--seconds", type=float, default=60.0, help="duration of each steady phase")
    p.add_argument("--interval", type=float, default=1.0, metavar="S", help="interval of a device's telemetry messages")
    p.add_argument("--events", type=float, default=2.0, metavar="S", help="interval of a device's events")
    p.add_argument("--snapshots", type=float, default=30.0, metavar="S", help="interval of a device's pictures")
    p.add_argument("--json", action="store_true")
    args = p.parse_args()
    if MOSQUITTO is None:
        print(f"fleet: {NEEDED}", file=sys.stderr)
        return 2
    figures = measure(args)
    print(json.dumps(figures, indent=1) if args.json else text(figures))
    good = (
        figures["all_connected"]
        and figures["outage"]["all_back_after_s"] is not None
        and figures["messages"]["missing"] <= figures["messages"]["unsent"]
    )
    return 0 if good else 3


if __name__ == "__main__":
    sys.exit(main())
