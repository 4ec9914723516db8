"""Connection to a broker that reconnects for months: paho-mqtt's client in one thread, on which no other thread waits."""

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

from edgefuse.mqtt.address import Address
from edgefuse.mqtt.backlog import Backlog, Message
from edgefuse.mqtt.commands import MAX_BYTES
from edgefuse.util.backoff import Backoff
from edgefuse.util.restarting_thread import FaultLog, Worker

log = logging.getLogger(__name__)

KEEPALIVE_S = 30
_FIRST_RETRY_S = 0.5
_CONNACK_TIMEOUT_S = 10.0  # seconds from connecting to the broker's answer
_FLUSH_S = 2.0  # seconds that closing waits for the last messages
_IN_FLIGHT = 20  # sent but not yet acknowledged
_BRIEF_LIMIT = 3  # brief connections in a row that suggest two clients with the same name, which disconnect each other
_CLOSED_EARLY = "connection closed without an answer; check certificates, and mqtt:// or mqtts://"
_STEADY_S = 10.0  # a connection that lasted this long resets the back-off


@dataclass(frozen=True, slots=True)
class Endpoint:
    """This end of the connection.

    base: prefix of its topics. initial_messages: messages for a new connection. on_command: receives (payload, retained) and returns at
    once. on_state: receives "connected" or the reason why not.
    """

    device: str
    base: str
    initial_messages: Callable[[], Sequence[Message]]
    on_command: Callable[[bytes, bool], None] | None
    on_state: Callable[[str], None]


@dataclass(slots=True)
class Counts:
    """Counters. sent: messages acknowledged by the broker. connections: successful ones."""

    sent: int = 0
    snapshots: int = 0
    connections: int = 0
    unsent: dict[str, int] = field(default_factory=dict)


class Link:
    """Connects, sends the backlog, and reconnects with exponential back-off (randomised, so that many devices do not return at once)."""

    def __init__(self, where: Address, tls: ssl.SSLContext | None, endpoint: Endpoint, backlog: Backlog, max_retry_s: float) -> None:
        """Needs paho-mqtt, as `Mqtt.check` finds."""
        from paho.mqtt import client as paho
        from paho.mqtt.enums import CallbackAPIVersion
        from paho.mqtt.packettypes import PacketTypes
        from paho.mqtt.properties import Properties

        self._where, self._endpoint, self._backlog, self._max_retry_s = where, endpoint, backlog, max_retry_s
        self.counts, self.state = Counts(), "connecting"
        self._snapshot: bytes | None = None
        self._in_flight: set[int] = set()
        self._connected = self._new_session = False
        self._reason = ""
        self._brief_connections = 0  # connections in a row that were lost soon
        self._closing = threading.Event()
        self._wake_receiver, self._wake_sender = socket.socketpair()
        for end in (self._wake_receiver, self._wake_sender):
            end.setblocking(False)
        self._client = paho.Client(CallbackAPIVersion.VERSION2, f"edgefuse-{endpoint.device}", protocol=paho.MQTTv5)
        # limits packets from the broker, so that no command can fill this device's memory
        self._limits: Any = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
        self._limits.MaximumPacketSize = 4 * MAX_BYTES
        if where.user:
            self._client.username_pw_set(where.user, where.password or None)
        if tls:
            self._client.tls_set_context(tls)
        self._client.will_set(f"{endpoint.base}/state", b"offline", qos=1, retain=True)
        self._client.on_connect = self._on_connect
        self._client.on_disconnect = self._on_disconnect
        self._client.on_publish = self._on_publish
        self._client.on_message = self._on_message
        self.faults = FaultLog(log, "mqtt")
        self._worker = Worker("edgefuse-mqtt", self._run, self.faults)

    def start(self) -> None:
        """Start the connection's thread. Raises EdgeFuseError where the system gives none."""
        self._worker.start()

    def put(self, message: Message) -> None:
        """Queue a message. Safe from any thread, returns at once."""
        self._backlog.put(message)
        self._wake()

    def publish_snapshot(self, jpeg: bytes) -> None:
        """Send a picture now. It is replaced by a newer one, and dropped while the broker is away."""
        if self._connected:
            self._snapshot = jpeg
            self._wake()

    def close(self) -> None:
        """Send the remaining messages for up to two seconds, then disconnect."""
        self._closing.set()
        self._wake()
        self._worker.end()
        # a pending name lookup cannot be cancelled; the daemon thread ends by itself
        self._worker.join(_FLUSH_S + 2)

    def _wake(self) -> None:
        with contextlib.suppress(OSError):
            self._wake_sender.send(b"\0")

    def _run(self) -> None:
        backoff = Backoff(_FIRST_RETRY_S, self._max_retry_s)
        while not self._closing.is_set():
            begin = time.monotonic()
            try:
                self._client.connect(self._where.host, self._where.port, KEEPALIVE_S, clean_start=True, properties=self._limits)
                self._serve_connection()
            except (OSError, ValueError) as e:
                self._reason = self._reason or _describe(e)
            except Exception as e:
                # an unexpected error of the library ends this attempt, not the run
                self.faults.note(e)
                self._reason = f"{type(e).__name__}: {e}"
            steady = time.monotonic() - begin > _STEADY_S
            self._brief_connections = 0 if steady or not self._connected else self._brief_connections + 1
            self._disconnected()
            if steady:
                backoff.reset()
            self._closing.wait(backoff.next_wait_s() * random.uniform(0.5, 1))
        if (sock := self._client.socket()) is not None:
            # paho did not close the socket, because its DISCONNECT could not be sent
            sock.close()
        self._wake_receiver.close()
        self._wake_sender.close()

    def _disconnected(self) -> None:
        was, self._connected = self._connected, False
        if self._closing.is_set():
            self._set_state("closed")
        else:
            why = self._reason or ("the connection was lost" if was else _CLOSED_EARLY)
            # some brokers report a session takeover, most just close the connection
            shared = "taken over" in why or self._brief_connections >= _BRIEF_LIMIT
            self._set_state(f"{why} (is another client called {self._endpoint.device}? each device needs its own name)" if shared else why)
        self._reason = ""
        with contextlib.suppress(OSError, ValueError):
            self._client.disconnect()

    def _set_state(self, state: str) -> None:
        if state != self.state:
            self.state = state
            self._endpoint.on_state(state)

    def _serve_connection(self) -> None:
        """Run one connection until it ends."""
        begin, goodbye_at = time.monotonic(), 0.0
        while (sock := self._client.socket()) is not None:
            now = time.monotonic()
            if not self._connected and now - begin > _CONNACK_TIMEOUT_S:
                raise TimeoutError(f"no answer in {_CONNACK_TIMEOUT_S:g} s; is this an MQTT broker?")
            if self._closing.is_set():
                goodbye_at = goodbye_at or now + _FLUSH_S
                if now > goodbye_at or not self._connected or not (self._in_flight or len(self._backlog)):
                    self._goodbye()
                    return
            self._step(sock)
            if self._connected:
                self._send()

    def _step(self, sock: Any) -> None:
        """Wait up to a second for network activity or a wake-up, and handle it."""
        pending = isinstance(sock, ssl.SSLSocket) and sock.pending() > 0
        writing = [sock] if self._client.want_write() else []
        readable, writable, _ = select.select(
            [sock, self._wake_receiver], writing, [], 0 if pending else 0.1 if self._closing.is_set() else 1.0
        )
        if self._wake_receiver in readable:
            with contextlib.suppress(BlockingIOError):
                self._wake_receiver.recv(4096)
        if pending or sock in readable:
            self._client.loop_read()
        if sock in writable:
            self._client.loop_write()
        self._client.loop_misc()

    def _send(self) -> None:
        if self._new_session:
            self._new_session = False
            self.counts.connections += 1
            if self._endpoint.on_command:
                self._client.subscribe(f"{self._endpoint.base}/command", qos=1)
            for retained in (Message("event", "state", b"online", retain=True), *self._endpoint.initial_messages()):
                self._publish(retained)
            self._set_state("connected")
        while len(self._in_flight) < _IN_FLIGHT and (message := self._backlog.take()) is not None:
            self._publish(message)
        if self._snapshot is not None and not self._client.want_write():
            jpeg, self._snapshot = self._snapshot, None
            self._client.publish(f"{self._endpoint.base}/snapshot", jpeg, qos=0)
            self.counts.snapshots += 1

    def _publish(self, message: Message) -> None:
        # a leading / marks a topic outside the device's prefix
        topic = message.topic[1:] if message.topic.startswith("/") else f"{self._endpoint.base}/{message.topic}"
        # paho resends unacknowledged messages after a reconnect
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
            self._reason = f"the broker refused: {str(reason).lower()}"
        else:
            self._connected = self._new_session = True

    def _on_disconnect(self, client: Any, userdata: Any, flags: Any, reason: Any, properties: Any) -> None:
        if not self._reason and flags.is_disconnect_packet_from_server:
            self._reason = f"the broker closed the connection: {str(reason).lower()}"

    def _on_publish(self, client: Any, userdata: Any, mid: int, reason: Any, properties: Any) -> None:
        if mid in self._in_flight:
            self._in_flight.discard(mid)
            self.counts.sent += 1

    def _on_message(self, client: Any, userdata: Any, message: Any) -> None:
        if self._endpoint.on_command:
            self._endpoint.on_command(bytes(message.payload), bool(message.retain))

    @property
    def waiting(self) -> int:
        """Number of messages that the broker has not acknowledged yet."""
        return len(self._backlog) + len(self._in_flight)


def _describe(e: OSError | ValueError) -> str:
    if isinstance(e, ssl.SSLCertVerificationError):
        return f"the broker's certificate is not trusted: {e.verify_message}"
    if isinstance(e, OSError):
        return (e.strerror or str(e) or type(e).__name__).lower()
    return str(e)
