"""Bounded queue of messages for a broker; dropped messages are counted."""

from __future__ import annotations

import threading
from collections import deque
from dataclasses import dataclass
from typing import Literal

Kind = Literal["alarm", "event", "telemetry"]
_DROP_ORDER: tuple[Kind, ...] = ("telemetry", "event", "alarm")


@dataclass(frozen=True, slots=True)
class Message:
    """A message to publish. topic: relative to the device's. kind: its priority; telemetry is dropped before events and alarms."""

    kind: Kind
    topic: str
    payload: bytes
    retain: bool = False


class Backlog:
    """Queue of unsent messages. Any thread may put; messages come out oldest first."""

    def __init__(self, capacity: int) -> None:
        """capacity: messages kept. When it is full, the oldest message of the lowest priority is dropped."""
        self._capacity, self._lock = capacity, threading.Lock()
        self._queues: dict[Kind, deque[tuple[int, Message]]] = {kind: deque() for kind in _DROP_ORDER}
        self._count = 0
        self.lost: dict[str, int] = {}

    def put(self, message: Message) -> None:
        """Add a message, dropping one if the queue is full."""
        with self._lock:
            self._queues[message.kind].append((self._count, message))
            self._count += 1
            if sum(map(len, self._queues.values())) > self._capacity:
                kind = next(k for k in _DROP_ORDER if self._queues[k])
                self._queues[kind].popleft()
                self.lost[kind] = self.lost.get(kind, 0) + 1

    def take(self) -> Message | None:
        """Remove and return the oldest message; None where there is none."""
        with self._lock:
            waiting = [queue for queue in self._queues.values() if queue]
            return min(waiting, key=lambda queue: queue[0][0]).popleft()[1] if waiting else None

    def __len__(self) -> int:
        with self._lock:
            return sum(map(len, self._queues.values()))
