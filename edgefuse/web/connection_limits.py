"""Places for connections, and a pace for refusals, so that strangers take neither places nor processor time from those with the token.

A connection whose request is refused waits for its answer the longer, the more its address was refused lately. It needs no processor
meanwhile, and is the first to go where there is no place.
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


class Guest(Protocol):
    """A connection, as far as places are concerned."""

    @property
    def address(self) -> str:
        """The other end's IP address."""

    def leave(self) -> None:
        """Close at once."""


class Places:
    """The connections of one server: those that wait for their request to be whole, and those that wait for a refusal.

    For one event loop.
    """

    def __init__(self, most: int, clock: Callable[[], float] = time.monotonic) -> None:
        """most: largest number of connections. clock: monotonic seconds."""
        self.most, self._clock = most, clock
        self.waiting: dict[Guest, None] = {}  # the longest waiting first
        self._refused: dict[Guest, asyncio.Future[None]] = {}  # likewise
        self._by_peer: dict[tuple[str, int], Guest] = {}
        self._free_at: dict[str, float] = {}  # address, "" for all together -> when the next answer is free of delay

    def enter(self, guest: Guest, peer: tuple[str, int] | None, count: int) -> None:
        """Take in a new connection. count: all connections, it included; beyond `most`, one has to leave."""
        if peer:
            self._by_peer[peer] = guest
        if count > self.most:
            self._victim(guest).leave()

    def gone(self, guest: Guest, peer: tuple[str, int] | None) -> None:
        """Forget a closed connection."""
        self.waiting.pop(guest, None)
        if peer and self._by_peer.get(peer) is guest:
            del self._by_peer[peer]
        if (answer := self._refused.pop(guest, None)) and not answer.done():
            answer.set_result(None)

    def _victim(self, newest: Guest) -> Guest:
        """Return who leaves: of the address with most strangers the longest refused, else the longest waiting; without any, the newest."""
        strangers = [guest for guest in (*self._refused, *self.waiting) if guest is not newest]
        if not strangers:
            return newest
        address, _ = Counter(guest.address for guest in strangers).most_common(1)[0]
        return next(guest for guest in strangers if guest.address == address)

    async def refuse(self, peer: tuple[str, int] | None, least_s: float = 0.0) -> None:
        """Wait as long as the answer to a refused request is to be delayed. least_s: seconds."""
        delay_s = min(_LONGEST_S, max(least_s, self._delay_s(peer[0] if peer else "")))
        guest = self._by_peer.get(peer) if peer else None
        if delay_s <= 0:
            return
        if guest is None or guest in self._refused:
            await asyncio.sleep(delay_s)
            return
        loop = asyncio.get_running_loop()
        answer = self._refused[guest] = loop.create_future()
        timer = loop.call_later(delay_s, _finish, answer)
        try:
            await answer
        finally:
            timer.cancel()
            self._refused.pop(guest, None)

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
