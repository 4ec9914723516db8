"""One connection to a broker, kept up for months: paho-mqtt's client, used from one thread; nobody waits for it."""

from __future__ import annotations

import contextlib
import logging
import random
import select
import socket
import ssl
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from edgefuse.errors import MissingDependencyError
from edgefuse.mqtt.address import Address
from edgefuse.mqtt.backlog import Backlog, Message
from edgefuse.mqtt.commands import MOST_BYTES
from edgefuse.util.backoff import Backoff

log = logging.getLogger(__name__)

KEEPALIVE_S = 30
_FIRST_RETRY_S = 0.5
_ANSWER_S = 10.0  # from connecting to the broker's answer
_FLUSH_S = 2.0  # what closing waits for the last messages
_IN_FLIGHT = 20  # sent, and not yet acknowledged
_SUSPICIOUS = 3  # brief connections in a row: two clients of one name put each other out
_HUNG_UP = "it hung up without an answer; check certificates, and mqtt:// against mqtts://"
_STEADY_S = 10.0  # a connection that held for so long begins with the shortest wait again


@dataclass(frozen=True, slots=True)
class Party:
    """Who is at this end. base: what its topics begin with. hello: messages for a broker that was just reached. command: takes what was
    sent to it (payload, retained), and returns at once. changed: told "connected", or in words why not."""

    device: str
    base: str
    hello: Callable[[], Sequence[Message]]
    command: Callable[[bytes, bool], None] | None
    changed: Callable[[str], None]


@dataclass(slots=True)
class Counts:
    """sent: acknowledged by the broker. connections: how often it was reached."""

    sent: int = 0
    snapshots: int = 0
    connections: int = 0
    unsent: dict[str, int] = field(default_factory=dict)


class Link:
    """Connects, sends the backlog, tries again with growing waits (random, so that a thousand devices don't come at once)."""

    def __init__(self, where: Address, tls: ssl.SSLContext | None, party: Party, backlog: Backlog, most_retry_s: float) -> None:
        """Raises MissingDependencyError."""
        try:
            from paho.mqtt import client as paho
            from paho.mqtt.enums import CallbackAPIVersion
            from paho.mqtt.packettypes import PacketTypes
            from paho.mqtt.properties import Properties
        except ImportError:
            raise MissingDependencyError("paho-mqtt", "--mqtt", "'edgefuse[mqtt]'") from None
        self._where, self._party, self._backlog, self._most_retry_s = where, party, backlog, most_retry_s
        self.counts, self.state = Counts(), "connecting"
        self._snapshot: bytes | None = None
        self._in_flight: set[int] = set()
        self._connected = self._fresh = False
        self._why = ""
        self._brief = 0  # connections in a row that were lost at once
        self._closing = threading.Event()
        self._inner, self._outer = socket.socketpair()
        for end in (self._inner, self._outer):
            end.setblocking(False)
        self._client = paho.Client(CallbackAPIVersion.VERSION2, f"edgefuse-{party.device}", protocol=paho.MQTTv5)
        # the broker keeps to it: nobody can fill this device's memory with a command
        self._limits: Any = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
        self._limits.MaximumPacketSize = 4 * MOST_BYTES
        if where.user:
            self._client.username_pw_set(where.user, where.password or None)
        if tls:
            self._client.tls_set_context(tls)
        self._client.will_set(f"{party.base}/state", b"offline", qos=1, retain=True)
        self._client.on_connect = self._on_connect
        self._client.on_disconnect = self._on_disconnect
        self._client.on_publish = self._on_publish
        self._client.on_message = self._on_message
        self._thread = threading.Thread(target=self._run, name="edgefuse-mqtt", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def put(self, message: Message) -> None:
        """Send it when that can be; from any thread, at once."""
        self._backlog.put(message)
        self._wake()

    def show(self, jpeg: bytes) -> None:
        """Send a picture, unless a newer one comes first or the broker is away: an old one is of no use."""
        if self._connected:
            self._snapshot = jpeg
            self._wake()

    def close(self) -> None:
        """Send what is left, for two seconds at most, and say goodbye."""
        self._closing.set()
        self._wake()
        if self._thread.is_alive():
            # one that looks a host up can't be called back; it ends by itself
            self._thread.join(_FLUSH_S + 2)

    def _wake(self) -> None:
        with contextlib.suppress(OSError):
            self._outer.send(b"\0")

    def _run(self) -> None:
        backoff = Backoff(_FIRST_RETRY_S, self._most_retry_s)
        while not self._closing.is_set():
            begin = time.monotonic()
            try:
                self._client.connect(self._where.host, self._where.port, KEEPALIVE_S, clean_start=True, properties=self._limits)
                self._serve()
            except (OSError, ValueError) as e:
                self._why = self._why or _words(e)
            except Exception as e:
                # a library's own error ends one attempt, not the run
                self._why = f"{type(e).__name__}: {e}"
            steady = time.monotonic() - begin > _STEADY_S
            self._brief = 0 if steady or not self._connected else self._brief + 1
            self._down()
            if steady:
                backoff.reset()
            self._closing.wait(backoff.next_wait_s() * random.uniform(0.5, 1))
        if (sock := self._client.socket()) is not None:
            # the goodbye could not be sent, so paho did not hang up
            sock.close()
        self._inner.close()
        self._outer.close()

    def _down(self) -> None:
        was, self._connected = self._connected, False
        if self._closing.is_set():
            self._say("closed")
        else:
            why = self._why or ("the connection was lost" if was else _HUNG_UP)
            # some brokers tell who was put out that another came under its name, most just hang up
            shared = "taken over" in why or self._brief >= _SUSPICIOUS
            self._say(f"{why} (is another client called {self._party.device}? each device wants its own name)" if shared else why)
        self._why = ""
        with contextlib.suppress(OSError, ValueError):
            self._client.disconnect()

    def _say(self, state: str) -> None:
        if state != self.state:
            self.state = state
            self._party.changed(state)

    def _serve(self) -> None:
        """Until the connection ends."""
        begin, goodbye_at = time.monotonic(), 0.0
        while (sock := self._client.socket()) is not None:
            now = time.monotonic()
            if not self._connected and now - begin > _ANSWER_S:
                raise TimeoutError(f"no answer in {_ANSWER_S:g} s; is that an MQTT broker?")
            if self._closing.is_set():
                goodbye_at = goodbye_at or now + _FLUSH_S
                if now > goodbye_at or not self._connected or not (self._in_flight or len(self._backlog)):
                    self._goodbye()
                    return
            self._step(sock)
            if self._connected:
                self._send()

    def _step(self, sock: Any) -> None:
        """Wait for something to do, a second at most, and do it."""
        pending = isinstance(sock, ssl.SSLSocket) and sock.pending() > 0
        writing = [sock] if self._client.want_write() else []
        readable, writable, _ = select.select([sock, self._inner], writing, [], 0 if pending else 0.1 if self._closing.is_set() else 1.0)
        if self._inner in readable:
            with contextlib.suppress(BlockingIOError):
                self._inner.recv(4096)
        if pending or sock in readable:
            self._client.loop_read()
        if sock in writable:
            self._client.loop_write()
        self._client.loop_misc()

    def _send(self) -> None:
        if self._fresh:
            self._fresh = False
            self.counts.connections += 1
            if self._party.command:
                self._client.subscribe(f"{self._party.base}/command", qos=1)
            for told in (Message("event", "state", b"online", retain=True), *self._party.hello()):
                self._publish(told)
            self._say("connected")
        while len(self._in_flight) < _IN_FLIGHT and (message := self._backlog.take()) is not None:
            self._publish(message)
        if self._snapshot is not None and not self._client.want_write():
            jpeg, self._snapshot = self._snapshot, None
            self._client.publish(f"{self._party.base}/snapshot", jpeg, qos=0)
            self.counts.snapshots += 1

    def _publish(self, message: Message) -> None:
        # a topic with a leading / is not below the device's
        topic = message.topic[1:] if message.topic.startswith("/") else f"{self._party.base}/{message.topic}"
        # what the broker does not acknowledge paho sends again when it is reached again
        self._in_flight.add(self._client.publish(topic, message.payload, qos=1, retain=message.retain).mid)

    def _goodbye(self) -> None:
        if self._connected:
            self._publish(Message("event", "state", b"offline", retain=True))
            deadline = time.monotonic() + 1
            while self._in_flight and (sock := self._client.socket()) is not None and time.monotonic() < deadline:
                self._step(sock)
        self._client.disconnect()

    def _on_connect(self, client: Any, userdata: Any, flags: Any, reason: Any, properties: Any) -> None:
        if reason.is_failure:
            self._why = f"the broker refused: {str(reason).lower()}"
        else:
            self._connected = self._fresh = True

    def _on_disconnect(self, client: Any, userdata: Any, flags: Any, reason: Any, properties: Any) -> None:
        if not self._why and flags.is_disconnect_packet_from_server:
            self._why = f"the broker ended it: {str(reason).lower()}"

    def _on_publish(self, client: Any, userdata: Any, mid: int, reason: Any, properties: Any) -> None:
        if mid in self._in_flight:
            self._in_flight.discard(mid)
            self.counts.sent += 1

    def _on_message(self, client: Any, userdata: Any, message: Any) -> None:
        if self._party.command:
            self._party.command(bytes(message.payload), bool(message.retain))

    @property
    def waiting(self) -> int:
        return len(self._backlog) + len(self._in_flight)


def _words(e: OSError | ValueError) -> str:
    if isinstance(e, ssl.SSLCertVerificationError):
        return f"the broker's certificate is not to be trusted: {e.verify_message}"
    if isinstance(e, OSError):
        return (e.strerror or str(e) or type(e).__name__).lower()
    return str(e)
