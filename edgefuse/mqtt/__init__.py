"""[mqtt]: state, telemetry, alarms, events and pictures to an MQTT broker, and commands from it (docs/telemetry.md).

`Mqtt` says what is told; `link` keeps the connection, `backlog` what waits for it, `commands` reads what is asked.
"""

from __future__ import annotations

import contextlib
import json
import logging
import queue
import threading
import time
from collections.abc import Mapping, Sequence
from typing import Any

import edgefuse
from edgefuse.errors import EdgeFuseError
from edgefuse.events import Event
from edgefuse.mqtt import commands, discovery
from edgefuse.mqtt.address import address, check_prefix, device_name, tls_context
from edgefuse.mqtt.backlog import Backlog, Message
from edgefuse.mqtt.link import Link, Party
from edgefuse.settings.mqtt import MqttSettings
from edgefuse.telemetry.live import Info, Live
from edgefuse.telemetry.vitals import Vitals, alarm_states

__all__ = ["Mqtt"]

log = logging.getLogger(__name__)

_COMMANDS_WAITING = 8
_FIRST_S = 1.0  # before the first telemetry: by then all that a run has is open


class Mqtt:
    """One run, told to a broker. A thread of `link` talks to it, one here makes what is told and does what is asked."""

    def __init__(self, settings: MqttSettings, live: Live, info: Info) -> None:
        """Raises SettingsError, and MissingDependencyError without paho-mqtt. A broker that is not there is no error: it is tried again."""
        s = self._s = settings
        where = address(s)
        tls = tls_context(s) if where.tls else None
        self._device = device_name(s.device)
        self._base = f"{check_prefix(s.prefix, 'prefix')}/{self._device}"
        self._discovery = None if s.discovery == "off" else check_prefix(s.discovery, "discovery")
        self._live, self._info, self._where = live, info, where
        self._backlog, self._vitals = Backlog(s.buffer), Vitals(live)
        self._asked: queue.Queue[commands.Command | None] = queue.Queue(_COMMANDS_WAITING)
        self._throttle = commands.Throttle()
        self._commands = {"done": 0, "failed": 0, "refused": 0, "ignored": 0}
        party = Party(self._device, self._base, self._hello, self._command if s.commands else None, self._changed)
        self._link = Link(where, tls, party, self._backlog, s.retry)
        self._introduced: tuple[tuple[str, ...], tuple[str, ...]] | None = None
        self._configs: set[str] = set()  # told to Home Assistant; one that is gone is taken back
        self._closed = False
        self._end = live.listen(self._event)
        self._thread = threading.Thread(target=self._work, name="edgefuse-mqtt-work", daemon=True)
        self._link.start()
        self._thread.start()

    def report(self) -> dict[str, Any]:
        """state: "connected", else in words why not. sent: acknowledged by the broker. lost: fell out of the backlog, by kind."""
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

    def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        self._end()
        with contextlib.suppress(queue.Full):
            self._asked.put_nowait(None)
        self._thread.join(0.5)
        self._link.close()

    def _work(self) -> None:
        """Telemetry and pictures when they are due, commands when they come."""
        picture_at = time.monotonic()
        telemetry_at = picture_at + min(self._s.interval, _FIRST_S)
        while not self._closed:
            now = time.monotonic()
            try:
                if now >= telemetry_at:
                    telemetry_at = max(telemetry_at + self._s.interval, now)
                    self._introduce()
                    self._link.put(Message("telemetry", "telemetry", _json(self._vitals.read())))
                if self._s.snapshots and now >= picture_at:
                    picture_at = max(picture_at + self._s.snapshots, now)
                    self._picture()
            except Exception:
                # one that can't be told is no reason to tell none
                log.exception("mqtt telemetry")
            due = min(telemetry_at, picture_at if self._s.snapshots else telemetry_at)
            with contextlib.suppress(queue.Empty):
                command = self._asked.get(timeout=max(0.0, min(due - time.monotonic(), 60.0)))
                if command is not None:
                    self._do(command)

    def _introduce(self) -> None:
        """Say again what there is where that changed: an alarm that a reload brought, a recording that can be asked for."""
        if self._link.state == "connected" and self._introduced != self._features():
            for message in self._hello():
                self._link.put(message)

    def _features(self) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """(alarms, commands taken)."""
        taken = ("snapshot", *(c for c in self._live.commands if c in ("record", "reload"))) if self._s.commands else ()
        return tuple(alarm_states(self._live.report())), taken

    def _picture(self) -> bool:
        """Whether there was one to show."""
        from edgefuse.util import images

        newest = self._live.newest
        if newest is None:
            return False
        self._link.show(bytes(images.encode(newest[1].data, ".jpg", self._s.quality)))
        return True

    def _event(self, event: Event) -> None:
        if event.name == "mqtt":
            # how the connection is, the broker knows
            return
        facts = {"time_s": round(event.time_s, 3), "name": event.name, **event.facts}
        if event.kind == "alarm":
            # the newest stays at the broker, for whoever comes later
            self._link.put(Message("alarm", f"alarm/{event.name}", _json(facts), retain=True))
        else:
            self._link.put(Message("event", f"event/{event.kind}", _json(facts)))

    def _hello(self) -> Sequence[Message]:
        """What a broker is to keep of this device. An alarm that was raised when the device was switched off is none now."""
        states = alarm_states(self._live.report())
        self._introduced = self._features()
        now = round(time.time(), 3)
        told = [Message("event", "info", _json(self._facts()), retain=True)]
        for name, state in states.items():
            payload = {"time_s": now, "name": name, "state": "raised" if state == "raised" else "cleared"}
            told.append(Message("alarm", f"alarm/{name}", _json(payload), retain=True))
        if self._discovery:
            model = str(self._info.model.get("name", "EdgeFuse"))
            configs = discovery.configs(self._base, self._device, model, *self._introduced)
            payloads = dict.fromkeys(self._configs - configs.keys(), b"") | {t: _json(c) for t, c in configs.items()}
            self._configs = set(configs)
            told += [Message("event", f"/{self._discovery}/{topic}", p, retain=True) for topic, p in payloads.items()]
        return told

    def _facts(self) -> Mapping[str, Any]:
        return {"version": edgefuse.__version__, "source": self._info.source, "model": dict(self._info.model), "device": self._device}

    def _changed(self, state: str) -> None:
        self._live.tell(Event("sink", "mqtt", {"state": state}))

    def _command(self, payload: bytes, retained: bool) -> None:
        if retained or not self._throttle.admit():
            # one that was kept would be done again with every connection
            self._commands["ignored"] += 1
            return
        try:
            self._asked.put_nowait(commands.parse(payload))
        except commands.RefusedError as e:
            self._refuse("", "", str(e))
        except queue.Full:
            self._commands["ignored"] += 1

    def _refuse(self, name: str, reference: str, why: str, count: str = "refused") -> None:
        self._commands[count] += 1
        self._answer(name, reference, {"ok": False, "error": why})

    def _do(self, command: commands.Command) -> None:
        try:
            if command.name == "snapshot":
                if not self._picture():
                    raise EdgeFuseError("there is no frame yet")
                answer: Mapping[str, Any] = {}
            else:
                answer = self._live.ask(command.name, command.arguments)
        except EdgeFuseError as e:
            self._refuse(command.name, command.id, str(e), "failed")
        except Exception as e:
            # a fault of what was asked is not to end telemetry
            log.exception("command %s", command.name)
            self._refuse(command.name, command.id, type(e).__name__, "failed")
        else:
            self._commands["done"] += 1
            self._answer(command.name, command.id, {"ok": True, **answer})

    def _answer(self, name: str, reference: str, what: Mapping[str, Any]) -> None:
        told = {"time_s": round(time.time(), 3), "command": name, "id": reference, **what}
        self._link.put(Message("event", "answer", _json(told)))


def _json(value: Mapping[str, Any]) -> bytes:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False, default=str).encode("utf-8", "replace")
