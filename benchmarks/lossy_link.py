"""A network link on this machine that delays, jitters and loses packets, where the kernel has no netem: a tun device and a thread.

A packet that is sent to `Link.there` is given back to this machine with its two addresses exchanged, later or not at all. So a connection
to that address reaches a server on this machine that listens on all addresses; checksums stay right, because they are sums. It needs root
and a network namespace of its own (`alone`).
"""

from __future__ import annotations

import contextlib
import fcntl
import heapq
import os
import random
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import count

_TUNSETIFF, _IFF_TUN, _IFF_NO_PI = 0x400454CA, 0x0001, 0x1000
_NAME, _HERE, _THERE = "lossy0", "10.213.0.1", "10.213.0.2"
_MARK = "EDGEFUSE_OWN_NETWORK"


def alone() -> None:
    """Start this program again in a network namespace of its own, unless it is in one. Does not return the first time."""
    if _MARK not in os.environ:
        os.execvpe("unshare", ["unshare", "--net", sys.executable, *sys.argv], os.environ | {_MARK: "1"})
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)


@dataclass(slots=True)
class Link:
    """loss: share of packets, 0..1. delay_s, jitter_s: mean and standard deviation of the delay each way; packets may overtake others."""

    loss: float
    delay_s: float
    jitter_s: float
    there: str = _THERE
    passed: int = 0
    lost: int = 0
    _device: int = -1
    _waiting: list[tuple[float, int, bytes]] = field(default_factory=list)
    _new: threading.Condition = field(default_factory=threading.Condition)
    _closed: bool = False

    def run(self) -> None:
        """Create the device and start the threads."""
        self._device = os.open("/dev/net/tun", os.O_RDWR)
        fcntl.ioctl(self._device, _TUNSETIFF, struct.pack("16sH", _NAME.encode(), _IFF_TUN | _IFF_NO_PI))
        for command in (f"addr add {_HERE}/24 dev {_NAME}", f"link set {_NAME} up"):
            subprocess.run(["ip", *command.split()], check=True)
        for work in (self._take, self._give):
            threading.Thread(target=work, daemon=True).start()

    def _take(self) -> None:
        chance, numbers = random.Random(0), count()
        while not self._closed:
            packet = os.read(self._device, 65536)
            if packet[0] >> 4 != 4:
                continue
            if chance.random() < self.loss:
                self.lost += 1
                continue
            due = time.monotonic() + max(0.0, chance.gauss(self.delay_s, self.jitter_s))
            with self._new:
                heapq.heappush(self._waiting, (due, next(numbers), packet[:12] + packet[16:20] + packet[12:16] + packet[20:]))
                self._new.notify()

    def _give(self) -> None:
        while not self._closed:
            with self._new:
                while not self._waiting or self._waiting[0][0] > time.monotonic():
                    self._new.wait(self._waiting[0][0] - time.monotonic() if self._waiting else None)
                packet = heapq.heappop(self._waiting)[2]
            os.write(self._device, packet)
            self.passed += 1

    def close(self) -> None:
        """Remove the device; its threads end with the program."""
        self._closed = True
        os.close(self._device)


@contextlib.contextmanager
def link(loss: float, delay_s: float, jitter_s: float) -> Iterator[Link]:
    """Yield a link in use."""
    made = Link(loss, delay_s, jitter_s)
    made.run()
    try:
        yield made
    finally:
        made.close()
