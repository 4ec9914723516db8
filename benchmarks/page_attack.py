"""Cost of an attack on the web page: `python benchmarks/page_attack.py [--connections 200] [--rounds 6] [--seconds 20]`

A run of the demo source at 10 frames a second serves its page with a token. In alternating time windows, hostile clients in a process of
their own hold connections to it: they send wrong tokens or none, one byte at a time, nothing at all, or leave and come again. Authorised
requests are sent in all windows, four a second. Reports the ratio of the run's processor time for each fused frame with the attack to that
without (median and quartiles), and the share of authorised requests that succeeded. Exit code 1 if fewer than 99 % succeeded or a frame
costs over 1.1 times as much, 3 if the windows without an attack differ by as much among themselves.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import http.client
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tests.support.waiting import free_port

_TOKEN = "benchmark-token-0123456789abcdef"
_GET = b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n"
_PERIOD_S = 0.25  # between two authorised requests
_AFTER_S = 3.0  # after an attack, until its last connections are closed
_MOST, _LEAST = 1.1, 0.99  # processor time's ratio, share of the authorised requests
Kind = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


async def _wrong(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while True:
        writer.write(_GET + b"Authorization: Bearer wrong\r\n\r\n")
        if not await reader.read(4096):
            return


async def _none(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while True:
        writer.write(_GET.replace(b"/healthz", b"/report.json") + b"\r\n")
        if not await reader.read(4096):
            return


async def _slow(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    for byte in _GET + b"X: " + b"y" * 5000:
        writer.write(bytes([byte]))
        await writer.drain()
        await asyncio.sleep(0.1)


async def _stalled(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
    await reader.read()


async def _leaving(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Leave without waiting for the answer, and come again half a second later."""
    writer.write(_GET + b"Authorization: Bearer wrong\r\n\r\n")
    await asyncio.sleep(0.5)


async def _churning(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Leave at once, and come again at once."""
    writer.write(_GET + b"Authorization: Bearer wrong\r\n\r\n")
    await writer.drain()


_KINDS: dict[str, Kind] = {"wrong": _wrong, "none": _none, "slow": _slow, "stalled": _stalled, "leaving": _leaving, "churning": _churning}


async def _again(port: int, kind: Kind) -> None:
    while True:
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            await asyncio.sleep(0.05)
            continue
        try:
            with contextlib.suppress(OSError):
                await kind(reader, writer)
        finally:
            writer.transport.abort()


async def _attack(port: int, count: int, kinds: list[str]) -> None:
    tasks = [asyncio.create_task(_again(port, _KINDS[kinds[k % len(kinds)]])) for k in range(count)]
    await asyncio.sleep(1)
    print("attacking", flush=True)
    await asyncio.to_thread(sys.stdin.read)  # until it is closed
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


class _Page:
    """A run with its page, and the authorised requests to it."""

    def __init__(self, folder: Path, source: str) -> None:
        self.port, self.asked, self.answered = free_port(), 0, 0
        config = folder / "edgefuse.toml"
        config.write_text(f'[run]\nsource = "{source}"\nthreads = 1\n[web]\nlisten = "127.0.0.1:{self.port}"\ntoken = "{_TOKEN}"\n')
        command = [sys.executable, "-m", "edgefuse", "run", "--config", str(config)]
        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def frames(self) -> int | None:
        """Return the number of frames, by an authorised request; None if it fails."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        try:
            connection.request("GET", "/healthz", headers={"Authorization": f"Bearer {_TOKEN}"})
            answer = connection.getresponse()
            body = answer.read()
            return int(json.loads(body)["frames"]) if answer.status == 200 else None
        except (OSError, http.client.HTTPException):
            return None
        finally:
            connection.close()

    def await_frames(self, count: int) -> None:
        deadline = time.monotonic() + 120
        while (self.frames() or 0) < count:
            assert time.monotonic() < deadline, "the run has no frames after 120 s"
            time.sleep(0.2)

    def _processor_ns(self) -> int:
        """Return the processor time of all threads, which are as many at the window's end as at its begin."""
        return sum(int(path.read_text().split()[0]) for path in Path(f"/proc/{self.process.pid}/task").glob("*/schedstat"))

    def window(self, seconds: float) -> float:
        """Return the processor time of the run for each frame over some seconds, in ms."""
        first, begin, spent = None, time.monotonic(), self._processor_ns()
        first = last = self.frames()
        while first is None or last is None or time.monotonic() - begin < seconds:
            time.sleep(_PERIOD_S)
            last = self.frames()
            first = first if first is not None else last
            self.asked, self.answered = self.asked + 1, self.answered + (last is not None)
        return (self._processor_ns() - spent) / 1e6 / max(1, last - first)

    def attacked(self, seconds: float, connections: int, kinds: str) -> float:
        """Return the same while it is attacked."""
        command = [sys.executable, __file__, "--attack", str(self.port), "--connections", str(connections), "--kinds", kinds]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as attackers:
            assert attackers.stdin is not None
            assert attackers.stdout is not None
            assert attackers.stdout.readline() == "attacking\n"
            self.asked = self.answered = 0
            cost = self.window(seconds)
            attackers.stdin.close()
        return cost

    def close(self) -> None:
        self.process.terminate()
        self.process.wait(60)


def _quartiles(values: list[float]) -> str:
    low, middle, high = statistics.quantiles(values, n=4)
    return f"{middle:.3f} ({low:.3f} to {high:.3f})"


def main() -> int:
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--connections", type=int, default=200)
    p.add_argument("--kinds", default=",".join(_KINDS), help="kinds of hostile clients, separated by commas (default: all)")
    p.add_argument("--rounds", type=int, default=6)
    p.add_argument("--seconds", type=float, default=20.0, help="length of a window")
    p.add_argument("--source", default="demo?frames=0&size=640x480&fps=10")
    p.add_argument("--attack", type=int, metavar="PORT", help=argparse.SUPPRESS)
    args = p.parse_args()
    if args.attack:
        asyncio.run(_attack(args.attack, args.connections, args.kinds.split(",")))
        return 0
    with tempfile.TemporaryDirectory() as folder:
        page = _Page(Path(folder), args.source)
        try:
            page.await_frames(50)
            page.attacked(2.0, args.connections, args.kinds)  # create everything that is created only once
            time.sleep(_AFTER_S)
            ratios, still, asked, answered = [], [], 0, 0
            before = page.window(args.seconds)
            for k in range(args.rounds):
                attacked = page.attacked(args.seconds, args.connections, args.kinds)
                asked, answered = asked + page.asked, answered + page.answered
                time.sleep(_AFTER_S)
                after = page.window(args.seconds)
                ratios.append(2 * attacked / (before + after))
                still.append(after / before)
                print(f"{k + 1}: {before:.2f}, {attacked:.2f} attacked, {after:.2f} ms a frame", file=sys.stderr)
                before = after
        finally:
            page.close()
    print(f"processor time a frame  {_quartiles(ratios)} times as much under attack; of two windows without {_quartiles(still)}")
    print(f"authorised requests     {answered} of {asked} succeeded under attack")
    low, _, high = statistics.quantiles(still, n=4)
    if high - low > _MOST - 1:
        return 3
    return 0 if statistics.median(ratios) <= _MOST and answered >= _LEAST * asked else 1


if __name__ == "__main__":
    sys.exit(main())
