"""Limits the number of connections and the rate of refusals, so that clients without the token cannot block those with it.

The answer to a refused request is delayed; the more requests of an address were refused lately, the longer. A delayed answer costs no
processor time, and its connection is the first to be closed when there are too many.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable
from typing import Protocol

WRONG_S = 1.0  # least delay before the answer to a wrong token, in seconds
_LONGEST_S = 30.0  # 200 hostile connections then cost seven answers a second
_RATE, _BURST = 10.0, 50.0  # answers per second to one address, and how many come at once before that
_RATE_OF_ALL, _BURST_OF_ALL = 20.0, 200.0
_ADDRESSES = 1024  # addresses remembered at most


class LimitedConnection(Protocol):
    """What the limits need of a connection: its address, and a way to close it."""

    @property
    def address(self) -> str:
        """The other end's IP address."""

    def close_now(self) -> None:
        """Close without waiting for data to be sent."""


class ConnectionLimits:
    """Connections of one server that may be closed: with an incomplete request, or with a delayed refusal. For one event loop."""

    def __init__(self, most: int, clock: Callable[[], float] = time.monotonic) -> None:
        """most: largest number of connections. clock: monotonic seconds."""
        self.most, self._clock = most, clock
        self.waiting: dict[LimitedConnection, None] = {}  # the longest waiting first
        self._refused: dict[LimitedConnection, asyncio.Future[None]] = {}  # likewise
        self._by_peer: dict[tuple[str, int], LimitedConnection] = {}
        self._excused: set[tuple[str, int]] = set()  # their next refusal has been delayed already
        self._free_at: dict[str, float] = {}  # address, "" for all together -> when the next answer is free of delay

    def add(self, connection: LimitedConnection, peer: tuple[str, int] | None, count: int) -> None:
        """Register a new connection. count: all connections with this one; beyond `most`, one is closed."""
        if peer:
            self._by_peer[peer] = connection
        if count > self.most:
            self._to_close(connection).close_now()

    def remove(self, connection: LimitedConnection, peer: tuple[str, int] | None) -> None:
        """Forget a closed connection."""
        self.waiting.pop(connection, None)
        if peer:
            self._excused.discard(peer)
        if peer and self._by_peer.get(peer) is connection:
            del self._by_peer[peer]
        if (answer := self._refused.pop(connection, None)) and not answer.done():
            answer.set_result(None)

    def _to_close(self, newest: LimitedConnection) -> LimitedConnection:
        """Return the longest refused, else longest waiting connection of the address with most of them; without any, the newest."""
        candidates = [connection for connection in (*self._refused, *self.waiting) if connection is not newest]
        if not candidates:
            return newest
        address, _ = Counter(connection.address for connection in candidates).most_common(1)[0]
        return next(connection for connection in candidates if connection.address == address)

    async def refuse(self, peer: tuple[str, int] | None, least_s: float = 0.0) -> None:
        """Wait as long as the answer to a refused request is to be delayed. least_s: seconds."""
        if peer in self._excused:
            self._excused.remove(peer)
            return
        delay_s = self.delay_s(peer[0] if peer else "", least_s)
        connection = self._by_peer.get(peer) if peer else None
        if delay_s <= 0:
            return
        if connection is None or connection in self._refused:
            await asyncio.sleep(delay_s)
            return
        loop = asyncio.get_running_loop()
        answer = self._refused[connection] = loop.create_future()
        timer = loop.call_later(delay_s, _finish, answer)
        try:
            await answer
        finally:
            timer.cancel()
            self._refused.pop(connection, None)

    def excuse(self, peer: tuple[str, int]) -> None:
        """Answer the next refused request of a connection at once, because it was delayed before."""
        self._excused.add(peer)

    def delays(self, address: str) -> bool:
        """Whether an answer to a refused request of this address would be delayed now."""
        now = self._clock()
        return _LONGEST_S > 0 and any(
            self._free_at.get(key, 0.0) - now > burst / rate
            for key, rate, burst in ((address, _RATE, _BURST), ("", _RATE_OF_ALL, _BURST_OF_ALL))
        )

    def delay_s(self, address: str, least_s: float = 0.0) -> float:
        """Return by how many seconds the answer to one more refused request of this address is to be delayed. least_s: seconds."""
        return min(_LONGEST_S, max(least_s, self._delay_s(address)))

    def _delay_s(self, address: str) -> float:
        now = self._clock()
        if len(self._free_at) > _ADDRESSES:
            self._free_at = {a: at for a, at in self._free_at.items() if at > now}
            if len(self._free_at) > _ADDRESSES:
                self._free_at.clear()
        return max(self._take(address or "?", _RATE, _BURST, now), self._take("", _RATE_OF_ALL, _BURST_OF_ALL, now))

    def _take(self, key: str, rate: float, burst: float, now: float) -> float:
        """Return the delay of one more answer from a bucket of `burst` answers that fills at `rate` per second."""
        at = max(self._free_at.get(key, 0.0), now)
        # an answer is never delayed by more than the longest time, so the debt need not be larger either
        self._free_at[key] = min(at + 1 / rate, now + burst / rate + _LONGEST_S)
        return max(0.0, at - now - burst / rate)


def _finish(answer: asyncio.Future[None]) -> None:
    if not answer.done():
        answer.set_result(None)
