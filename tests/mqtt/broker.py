"""A real Mosquitto on loopback, and a client that records its messages."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.support.waiting import SECONDS, free_port, signalled, until

MOSQUITTO = shutil.which("mosquitto", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")
NEEDED = "Mosquitto is not installed (apt-get install mosquitto)"


class Broker:
    """A broker, running from construction; sessions and retained messages survive `stop` and `start`."""

    def __init__(self, folder: Path, extra: Sequence[str] = ("allow_anonymous true",)) -> None:
        self.port = free_port()
        self._config = folder / "mosquitto.conf"
        user = ("user root",) if os.getuid() == 0 else ()
        lines = [f"listener {self.port} 127.0.0.1", "persistence true", f"persistence_location {folder}/", *user, *extra]
        self._config.write_text("\n".join(lines) + "\n")
        self._log = folder / "mosquitto.log"
        self.start()

    def start(self) -> None:
        assert MOSQUITTO is not None
        with open(self._log, "ab") as log:
            self.process = subprocess.Popen([MOSQUITTO, "-c", str(self._config)], stdout=log, stderr=log)
        until(self._listens, lambda: f"the broker to listen: {self._log.read_text()}")

    def _listens(self) -> bool:
        assert self.process.poll() is None, self._log.read_text()
        try:
            socket.create_connection(("127.0.0.1", self.port), 1).close()
        except OSError:
            return False
        return True

    def stop(self) -> None:
        self.process.send_signal(signal.SIGCONT)
        self.process.terminate()
        self.process.wait(SECONDS)

    @property
    def url(self) -> str:
        return f"mqtt://127.0.0.1:{self.port}"


class Watcher:
    """Another client of the broker: records all messages, including duplicates and those resent after an outage."""

    def __init__(self, port: int, topics: str = "#", user: str = "", password: str = "", tls: Any = None) -> None:
        from paho.mqtt import client as paho
        from paho.mqtt.enums import CallbackAPIVersion
        from paho.mqtt.packettypes import PacketTypes
        from paho.mqtt.properties import Properties

        self.heard: list[tuple[str, bytes, bool]] = []
        self._subscribed = threading.Event()
        self.client = paho.Client(CallbackAPIVersion.VERSION2, f"watcher-{id(self)}", protocol=paho.MQTTv5)
        if user:
            self.client.username_pw_set(user, password)
        if tls:
            self.client.tls_set_context(tls)
        self.client.reconnect_delay_set(1, 1)
        self.client.on_connect = lambda client, *_: client.subscribe(topics, qos=1)
        self.client.on_subscribe = lambda *_: self._subscribed.set()
        self.client.on_message = lambda client, userdata, m: self.heard.append((m.topic, m.payload, m.retain))
        session = Properties(PacketTypes.CONNECT)
        session.SessionExpiryInterval = 3600
        self.client.connect("127.0.0.1", port, 60, clean_start=False, properties=session)
        self.client.loop_start()
        signalled(self._subscribed, "the broker to confirm the subscription")

    def on(self, topic: str) -> list[bytes]:
        return [payload for name, payload, _ in list(self.heard) if name == topic]

    def publish(self, topic: str, payload: bytes, retain: bool = False) -> None:
        self.client.publish(topic, payload, qos=1, retain=retain).wait_for_publish(SECONDS)

    def close(self) -> None:
        self.client.disconnect()
        self.client.loop_stop()
        # paho leaves them to its finalizer, and a collection of the whole client may finalize its sockets first, with a warning
        for sock in (self.client.socket(), self.client._sockpairR, self.client._sockpairW):
            if sock is not None:
                sock.close()
