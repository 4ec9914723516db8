"""Cost of web page viewers: fused FPS with 50 clients that watch the live picture, ten of which never read, compared with none.

`python benchmarks/preview.py [--rounds 12] [--seconds 5] [--clients 40] [--stalled 10]`: alternating time windows with and without clients,
in one run. Reports medians and quartiles of the ratios within each pair of windows, in FPS and in processor time per fused frame, which
depends less on other load. The clients run in their own process on the same machine, so their processor time lowers the FPS, which it would
not on a Pi that is watched from another machine. Exit code 3 if the difference is within the machine's own variation.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import re
import selectors
import socket
import statistics
import subprocess
import sys
import time

import psutil


def clients(port: int, reading: int, stalled: int) -> None:
    """Watch until standard input is closed, then print what was received."""
    waiting = selectors.DefaultSelector()
    kept = []
    for k in range(reading + stalled):
        sock = socket.socket()
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        sock.connect(("127.0.0.1", port))
        sock.sendall(b"GET /stream.mjpg HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert sock.recv(1024).startswith(b"HTTP/1.1 200")
        kept.append(sock)
        if k < reading:
            waiting.register(sock, selectors.EVENT_READ)
    waiting.register(sys.stdin, selectors.EVENT_READ)
    print("looking", flush=True)
    buffer, got, begin = bytearray(1 << 18), 0, time.monotonic()
    pictures = 0
    while True:
        for key, _ in waiting.select():
            if key.fileobj is sys.stdin:
                seconds = time.monotonic() - begin
                print(json.dumps({"mb_s": got / seconds / 1e6, "pictures_s": pictures / seconds / max(reading, 1)}), flush=True)
                return
            n = key.fileobj.recv_into(buffer)  # type: ignore[union-attr]
            assert n, "hung up on"
            got += n
            pictures += buffer.count(b"Content-Length", 0, n)


def frames(port: int) -> tuple[int, float]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    connection.request("GET", "/healthz")
    count = json.loads(connection.getresponse().read())["frames"]
    connection.close()
    return count, time.monotonic()


def window(port: int, seconds: float, run: psutil.Process) -> tuple[float, float]:
    """Return (fused FPS, share of one core that the run used) over some seconds."""
    cpu = sum(run.cpu_times()[:2])
    first, begin = frames(port)
    time.sleep(seconds)
    last, end = frames(port)
    return (last - first) / (end - begin), (sum(run.cpu_times()[:2]) - cpu) / (end - begin)


def looked_at(port: int, given: argparse.Namespace, run: psutil.Process) -> tuple[float, float, dict[str, float]]:
    command = [sys.executable, __file__, "--connect", str(port), "--clients", str(given.clients), "--stalled", str(given.stalled)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as viewers:
        assert viewers.stdin is not None
        assert viewers.stdout is not None
        assert viewers.stdout.readline() == "looking\n"
        fps, cpu = window(port, given.seconds, run)
        viewers.stdin.close()
        return fps, cpu, json.loads(viewers.stdout.readline())


def quartiles(values: list[float]) -> str:
    low, middle, high = statistics.quantiles(values, n=4)
    return f"{middle:.3f} ({low:.3f} to {high:.3f})"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=12)
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--clients", type=int, default=40, help="number of clients that read")
    parser.add_argument("--stalled", type=int, default=10, help="number of clients that never read")
    parser.add_argument("--source", default="demo?frames=0")
    parser.add_argument("--connect", type=int, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.connect:
        clients(given.connect, given.clients, given.stalled)
        return 0
    command = [sys.executable, "-m", "edgefuse", "run", "--source", given.source, "--web", "127.0.0.1:0"]
    env = os.environ | {"EDGEFUSE_WEB_CLIENTS": str(given.clients + given.stalled)}
    process = subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True, env=env)
    assert process.stderr is not None
    port = next(int(match[1]) for line in process.stderr if (match := re.search(r"web page on http://127.0.0.1:(\d+)/", line)))
    run = psutil.Process(process.pid)
    try:
        while frames(port)[0] < 50:
            time.sleep(0.1)
        looked_at(port, given, run)  # create everything that is created only once
        none, some, ratios, still, costs, cores, served = [], [], [], [], [], [], {}
        for k in range(given.rounds):
            # windows without, with and without clients: the difference between the two without is the machine's own variation
            before, idle = window(port, given.seconds, run)
            fps, busy, served = looked_at(port, given, run)
            after, idle_after = window(port, given.seconds, run)
            none += [before, after]
            some.append(fps)
            ratios.append(2 * fps / (before + after))
            still.append(after / before)
            cores.append(busy - (idle + idle_after) / 2 * fps * 2 / (before + after))
            costs.append((busy / fps) / ((idle + idle_after) / (before + after)))
            print(f"{k + 1}: {before:.1f}, {fps:.1f} looked at, {after:.1f} FPS; load {os.getloadavg()[0]:.1f}", file=sys.stderr)
        memory = run.memory_info().rss / 1e6
    finally:
        process.terminate()
        process.communicate()
    print(f"no client            {quartiles(none)} FPS")
    print(f"{given.clients} clients, {given.stalled} stalled {quartiles(some)} FPS")
    print(f"ratio                {quartiles(ratios)}; of two windows without clients {quartiles(still)}")
    print(f"processor time       {quartiles(costs)} times as much a fused frame; {memory:.0f} MB resident")
    print(f"                     {quartiles(cores)} of one core beyond what the frames took")
    print(f"each client          {served['pictures_s']:.1f} pictures/s, {served['mb_s']:.1f} MB/s all together")
    low, _, high = statistics.quantiles(still, n=4)
    return 3 if high - low > 0.2 else 0


if __name__ == "__main__":
    sys.exit(main())
