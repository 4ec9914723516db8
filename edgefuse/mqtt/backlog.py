"""Messages in wait for a broker: bounded, and what falls out is counted."""

from __future__ import annotations

import threading
from collections import deque
from dataclasses import dataclass
from typing import Literal

Kind = Literal["alarm", "event", "telemetry"]
_FIRST_TO_GO: tuple[Kind, ...] = ("telemetry", "event", "alarm")


@dataclass(frozen=True, slots=True)
class Message:
    """topic: below the device's. kind: how dear it is: telemetry goes before events, those before alarms."""

    kind: Kind
    topic: str
    payload: bytes
    retain: bool = False


class Backlog:
    """Any thread may put; messages come out oldest first."""

    def __init__(self, most: int) -> None:
        """most: messages kept; where there is one more, the oldest of the least dear kind goes."""
        self._most, self._lock = most, threading.Lock()
        self._lines: dict[Kind, deque[tuple[int, Message]]] = {kind: deque() for kind in _FIRST_TO_GO}
        self._count = 0
        self.lost: dict[str, int] = {}

    def put(self, message: Message) -> None:
        with self._lock:
            self._lines[message.kind].append((self._count, message))
            self._count += 1
            if sum(map(len, self._lines.values())) > self._most:
                kind = next(k for k in _FIRST_TO_GO if self._lines[k])
                self._lines[kind].popleft()
                self.lost[kind] = self.lost.get(kind, 0) + 1

    def take(self) -> Message | None:
        """The oldest, which is no longer kept; None where there is none."""
        with self._lock:
            waiting = [line for line in self._lines.values() if line]
            return min(waiting, key=lambda line: line[0][0]).popleft()[1] if waiting else None

    def __len__(self) -> int:
        with self._lock:
            return sum(map(len, self._lines.values()))
