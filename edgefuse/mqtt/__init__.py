"""[mqtt]: publishes state, telemetry, alarms, events and pictures to an MQTT broker and takes commands from it (docs/how-to/telemetry.md).

`Mqtt` makes the messages; `link` keeps the connection, `backlog` the unsent messages, `commands` parses incoming commands.
"""

from __future__ import annotations

import contextlib
import json
import logging
import queue
import time
from collections.abc import Sequence

import edgefuse
from edgefuse.errors import EdgeFuseError, MissingDependencyError
from edgefuse.events import Event, Facts
from edgefuse.mqtt import commands, discovery
from edgefuse.mqtt.address import address, check_prefix, device_name, tls_context
from edgefuse.mqtt.backlog import Backlog, Message
from edgefuse.mqtt.link import Endpoint, Link
from edgefuse.settings.mqtt import MqttSettings
from edgefuse.telemetry.live import Info, Live
from edgefuse.telemetry.outputs import OutputState
from edgefuse.telemetry.report_types import MqttReport, Report, reported
from edgefuse.telemetry.vitals import Vitals, alarm_states, alarms, recording_state, unavailable_alarms
from edgefuse.util.printable import escaped, line
from edgefuse.util.restarting_thread import FaultLog, Worker

__all__ = ["Mqtt"]

log = logging.getLogger(__name__)

_COMMANDS_WAITING = 8
_DISCOVERED = ("record", "reload", "view")  # commands of the run that Home Assistant is told of
_SETTLING_S = 3.0  # seconds after an event in which states are compared often; a report may be a second old
_COMPARE_S = 0.5
_FIRST_S = 1.0  # delay of the first telemetry, so that all parts of the run are open by then


class Mqtt:
    """Connects one run to a broker. `link` has a thread for the connection; a thread here makes messages and runs commands."""

    @staticmethod
    def check(settings: MqttSettings) -> None:
        """Raises SettingsError for the address, a file, a name or a prefix, MissingDependencyError without paho-mqtt."""
        if address(settings).tls:
            tls_context(settings)
        device_name(settings.device)
        check_prefix(settings.prefix, "prefix")
        if settings.discovery != "off":
            check_prefix(settings.discovery, "discovery")
        try:
            import paho.mqtt.client  # noqa: F401
        except ImportError:
            raise MissingDependencyError("paho-mqtt", "--mqtt", "'edgefuse[mqtt]'") from None

    def __init__(self, settings: MqttSettings, live: Live, info: Info) -> None:
        """Raises SettingsError, and MissingDependencyError without paho-mqtt. An unreachable broker is no error: it is retried."""
        self.check(settings)
        s = self._s = settings
        where = address(s)
        tls = tls_context(s) if where.tls else None
        self._device = device_name(s.device)
        self._base = f"{check_prefix(s.prefix, 'prefix')}/{self._device}"
        self._discovery = None if s.discovery == "off" else check_prefix(s.discovery, "discovery")
        self._live, self._info, self._where = live, info, where
        self._backlog, self._vitals = Backlog(s.buffer), Vitals(live)
        self._pending_commands: queue.Queue[commands.Command | None] = queue.Queue(_COMMANDS_WAITING)
        self._rate_limiter = commands.RateLimiter()
        self._commands = {"done": 0, "failed": 0, "refused": 0, "ignored": 0}
        endpoint = Endpoint(self._device, self._base, self._initial_messages, self._on_command if s.commands else None, self._on_state)
        self._link = Link(where, tls, endpoint, self._backlog, s.retry)
        self._announced: discovery.Features | None = None
        self._components: dict[str, str] = {}  # key -> platform of what Home Assistant was told of; what is gone is taken out there
        self._told: dict[str, bytes] = {}  # topic -> the newest retained state of an alarm or of the controls
        self._settling_until = 0.0
        self._closed = False
        self._end = live.listen(self._on_event)
        self._faults = FaultLog(log, "mqtt telemetry")
        self._worker = Worker("edgefuse-mqtt-work", self._run_loop, self._faults)
        try:
            self._link.start()
            self._worker.start()
        except EdgeFuseError:
            self.close()
            raise

    def report(self) -> MqttReport:
        """Return connection state and counters. state: "connected" or the reason why not. sent: acknowledged. lost: dropped, by kind."""
        counts = self._link.counts
        return {
            "broker": str(self._where),
            "device": self._device,
            "state": self._link.state,
            "connections": counts.connections,
            "sent": counts.sent,
            "waiting": self._link.waiting,
            "lost": dict(self._backlog.lost),
            "snapshots": counts.snapshots,
            "commands": dict(self._commands),
        }

    def outputs(self) -> dict[str, OutputState]:
        """Return whether the broker is connected."""
        state = self._link.state
        works = state == "connected" and self._worker.alive
        return {"mqtt": OutputState(True, works, faults=self._faults.count + self._link.faults.count, why=state)}

    def close(self) -> None:
        """Stop publishing and disconnect."""
        if self._closed:
            return
        self._closed = True
        self._end()
        with contextlib.suppress(queue.Full):
            self._pending_commands.put_nowait(None)
        self._worker.end()
        self._worker.join(0.5)
        self._link.close()

    def _run_loop(self) -> None:
        """Publish telemetry and pictures when they are due, and run commands as they arrive."""
        picture_at = time.monotonic()
        telemetry_at = picture_at + min(self._s.interval, _FIRST_S)
        while not self._closed:
            now = time.monotonic()
            try:
                if now >= telemetry_at:
                    telemetry_at = max(telemetry_at + self._s.interval, now)
                    self._update_discovery()
                    self._publish_states()
                    self._link.put(Message("telemetry", "telemetry", _json(self._vitals.read())))
                elif now < self._settling_until:
                    self._publish_states()
                if self._s.snapshots and now >= picture_at:
                    picture_at = max(picture_at + self._s.snapshots, now)
                    self._publish_picture()
            except Exception as e:
                # a failure must not end later telemetry
                self._faults.note(e)
            due = min(telemetry_at, picture_at if self._s.snapshots else telemetry_at)
            if now < self._settling_until:
                due = min(due, now + _COMPARE_S)
            with contextlib.suppress(queue.Empty):
                command = self._pending_commands.get(timeout=max(0.0, min(due - time.monotonic(), 60.0)))
                if command is not None:
                    self._run_command(command)

    def _update_discovery(self) -> None:
        """Send the retained messages again if the alarms or commands changed, as by a reload."""
        if self._link.state == "connected" and self._announced != self._features():
            for message in self._initial_messages():
                self._link.put(message)

    def _features(self) -> discovery.Features:
        """Return the values that are announced to Home Assistant."""
        taken = ("snapshot", *(c for c in self._live.commands if c in _DISCOVERED)) if self._s.commands else ()
        report = self._live.report()
        regions = tuple((name, r["unit"] or self._live.unit) for name, r in (reported(report).get("region") or {}).items())
        kinds = tuple((name, alarm.get("kind", "heat")) for name, alarm in alarms(report).items())
        return discovery.Features(kinds, taken, self._live.unit, regions, tuple(report.get("cameras") or ()), people="detect" in report)

    def _publish_states(self) -> None:
        """Publish what changed of the controls, and the alarms that began or ceased to be able to work."""
        report = self._live.report()
        self._tell("control", _control(report))
        states, why = alarm_states(report), unavailable_alarms(report)
        for name, state in states.items():
            before = self._told.get(f"alarm/{name}")
            if name in why:
                self._tell(f"alarm/{name}", {"name": name, "state": "unavailable", "why": why[name]})
            elif before and self._told.pop(f"alarm/{name}", None):
                # it works again
                self._put_alarm(name, {"name": name, "state": "raised" if state == "raised" else "cleared"})

    def _tell(self, topic: str, facts: Facts) -> None:
        """Publish a retained state where it differs from the last one."""
        told = _json(facts)
        if self._told.get(topic) == told:
            return
        self._told[topic] = told
        if topic == "control":
            self._link.put(Message("event", topic, told, retain=True))
        else:
            self._put_alarm(topic.partition("/")[2], facts)

    def _put_alarm(self, name: str, facts: Facts) -> None:
        self._link.put(Message("alarm", f"alarm/{name}", _json({"time_s": round(time.time(), 3), **facts}), retain=True))

    def _publish_picture(self) -> bool:
        """Publish the newest frame; returns False where there is none yet."""
        from edgefuse.util import images

        newest = self._live.newest
        if newest is None:
            return False
        self._link.publish_snapshot(bytes(images.encode(newest[1].data, ".jpg", self._s.quality)))
        return True

    def _on_event(self, event: Event) -> None:
        if event.name == "mqtt":
            # the broker knows the state of its own connection
            return
        self._settle()
        facts = {"time_s": round(event.time_s, 3), "name": event.name, **event.facts}
        if event.kind == "alarm":
            # retained, so that later subscribers see the newest state; whether it can work is told again after it
            self._told.pop(f"alarm/{event.name}", None)
            self._link.put(Message("alarm", f"alarm/{event.name}", _json(facts), retain=True))
        else:
            self._link.put(Message("event", f"event/{event.kind}", _json(facts)))

    def _settle(self) -> None:
        """Compare the states often for a while, from now on."""
        self._settling_until = time.monotonic() + _SETTLING_S
        with contextlib.suppress(queue.Full):
            self._pending_commands.put_nowait(None)  # wakes the loop

    def _initial_messages(self) -> Sequence[Message]:
        """Return the retained messages for a new connection. An alarm that was raised before a restart counts as cleared."""
        report = self._live.report()
        states, why = alarm_states(report), unavailable_alarms(report)
        self._announced = self._features()
        now = round(time.time(), 3)
        messages = [Message("event", "info", _json(escaped(self._facts())), retain=True)]
        messages.append(Message("event", "control", _json(_control(report)), retain=True))
        for name, state in states.items():
            facts: dict[str, object] = {"name": name, "state": "raised" if state == "raised" else "cleared"}
            if name in why:
                facts = {"name": name, "state": "unavailable", "why": why[name]}
                self._told[f"alarm/{name}"] = _json(facts)
            messages.append(Message("alarm", f"alarm/{name}", _json({"time_s": now, **facts}), retain=True))
        if self._discovery:
            model = str(self._info.model.get("name", "EdgeFuse"))
            payload = discovery.payload(self._base, self._device, model, self._announced, self._components)
            self._components = {key: c["platform"] for key, c in payload["components"].items() if len(c) > 1}
            messages.append(Message("event", f"/{self._discovery}/{discovery.topic(self._device)}", _json(payload), retain=True))
        return messages

    def _facts(self) -> Facts:
        return {"version": edgefuse.__version__, "source": self._info.source, "model": dict(self._info.model), "device": self._device}

    def _on_state(self, state: str) -> None:
        self._live.emit(Event("sink", "mqtt", {"state": state}))

    def _on_command(self, payload: bytes, retained: bool) -> None:
        if retained or not self._rate_limiter.admit():
            # a retained command would be repeated at every connection
            self._commands["ignored"] += 1
            return
        try:
            self._pending_commands.put_nowait(commands.parse(payload))
        except commands.RefusedError as e:
            self._refuse("", "", str(e))
        except queue.Full:
            self._commands["ignored"] += 1

    def _refuse(self, name: str, reference: str, why: str, count: str = "refused") -> None:
        self._commands[count] += 1
        self._answer(name, reference, {"ok": False, "error": why})

    def _run_command(self, command: commands.Command) -> None:
        try:
            if command.name == "snapshot":
                if not self._publish_picture():
                    raise EdgeFuseError("no frame yet")
                answer: Facts = {}
            else:
                answer = self._live.run_command(command.name, command.arguments)
        except EdgeFuseError as e:
            self._refuse(command.name, command.id, line(str(e)), "failed")
        except Exception as e:
            # a failing command must not end telemetry
            self._faults.note(e)
            self._refuse(command.name, command.id, type(e).__name__, "failed")
        else:
            self._commands["done"] += 1
            self._answer(command.name, command.id, {"ok": True, **answer})

    def _answer(self, name: str, reference: str, result: Facts) -> None:
        answer = {"time_s": round(time.time(), 3), "command": name, "id": reference, **result}
        self._link.put(Message("event", "answer", _json(answer)))


def _control(report: Report) -> Facts:
    """Return the states of Home Assistant's switch and select."""
    return {"record": "ON" if recording_state(report) == "recording" else "OFF", "view": report.get("view")}


def _json(value: Facts) -> bytes:
    text = json.dumps(value, separators=(",", ":"), ensure_ascii=False, default=str)
    if not text.isprintable():
        # JSON escapes line feeds and the like, but not all that a terminal obeys
        text = json.dumps(value, separators=(",", ":"), default=str)
    return text.encode("utf-8", "replace")
