"""Generator of malformed HTTP requests, reproducible from a seed, and a client that sends them. Also used by benchmarks/fuzz."""

from __future__ import annotations

import random
import socket
from collections.abc import Iterator

_PATHS = [
    b"/", b"/stream.mjpg", b"/picture.png", b"/state.json", b"/history.json", b"/report.json", b"/healthz", b"/metrics", b"/record",
    b"/login", b"/../../../../etc/passwd", b"/%2e%2e/%2e%2e/%2e%2e/etc/passwd", b"/..%2f..%2f..%2fetc%2fpasswd", b"//etc/passwd",
    b"/static/../page.html", b"/page.html", b"/%00", b"/\\..\\..\\windows", b"*", b"http://127.0.0.1/", b"file:///etc/passwd",
    b"/" + b"a" * 3000, b"/%", b"/%zz", b"/\xff\xfe", b"/stream.mjpg/../report.json", b"/picture.png/", b"",
]  # fmt: skip
_QUERIES = [
    b"", b"?view=fused", b"?view=infrared:rainbow", b"?view=" + b"fused," * 400, b"?view=../../etc/passwd", b"?view=%00", b"?share=nan",
    b"?share=1e999&over=map", b"?over=infrared:x", b"?view=infrared:ironbow&over=visible&share=0.5", b"?token=x", b"?" + b"a=1&" * 300,
    b"?=&&=;", b"?view=\xc3\x28", b"#x",
]  # fmt: skip
_METHODS = [
    b"GET", b"GET", b"GET", b"HEAD", b"POST", b"PUT", b"DELETE", b"OPTIONS", b"TRACE", b"CONNECT", b"PRI", b"get", b"G\x00T", b"",
]  # fmt: skip
_HEADERS = [
    b"Host: 127.0.0.1", b"Host: evil.example", b"Host: 127.0.0.1\r\nHost: evil.example", b"Host:", b"Host: [::1",
    b"Host: 127.0.0.1:99999999", b"Origin: http://evil.example", b"Origin: null", b"Sec-Fetch-Site: cross-site",
    b"Cookie: edgefuse-0=" + b"f" * 64, b"Cookie: \xff=;;;=", b"Authorization: Bearer \xff\xfe", b"Authorization: Basic Og==",
    b"Content-Length: -1", b"Content-Length: 99999999999999999999", b"Content-Length: 5", b"Content-Length: 5\r\nContent-Length: 6",
    b"Transfer-Encoding: chunked", b"Transfer-Encoding: gzip, chunked", b"Transfer-Encoding: chunked\r\nContent-Length: 4",
    b"Content-Type: application/json", b"Expect: 100-continue", b"Expect: the unexpected",
    b"Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAA", b"Upgrade: h2c",
    b"Range: bytes=0-", b"X: " + b"y" * 9000, b" folded: line", b"No colon here", b": empty name", b"A\x00B: c", b"X: \x01\x7f",
    b"Connection: close", b"Connection: keep-alive",
]  # fmt: skip
_BODIES = [
    b"", b'{"on": true}', b'{"on": 1}', b'{"on": true, "path": "/etc/passwd"}', b"[" * 900, b'{"on":' * 150, b"token=" + b"x" * 50,
    b"\x00" * 64, b"x" * 5000, b"5\r\nhello\r\n0\r\n\r\n", b"ffffffffffffffff\r\n", b"-1\r\n\r\n", b"zz\r\n",
    b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n", b"NaN", b'{"on": Infinity}', b"\xed\xa0\x80",
]  # fmt: skip
_VERSIONS = [
    b"HTTP/1.1", b"HTTP/1.1", b"HTTP/1.1", b"HTTP/1.0", b"HTTP/2.0", b"HTTP/9.9", b"HTTP/1.1 ", b"", b"http/1.1",
]  # fmt: skip


def requests(seed: int) -> Iterator[bytes]:
    """Yield raw requests endlessly: some valid, most wrong in one or several ways, some truncated, some not HTTP at all."""
    dice = random.Random(seed)
    while True:
        yield _request(dice)


def _request(dice: random.Random) -> bytes:
    if dice.random() < 0.05:
        return dice.choice(
            [b"\x16\x03\x01\x02\x00\x01\x00", b"\x00" * 100, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", b"\r\n" * 50, b"GET"]
        ) + dice.randbytes(dice.randrange(200))
    # half of them pass access control, so that the routes behind it are reached too
    good = dice.random() < 0.5
    method = dice.choice(_METHODS[:5]) if good else dice.choice(_METHODS)
    line = b" ".join(
        (
            method,
            dice.choice(_PATHS[:10] if good and dice.random() < 0.8 else _PATHS) + dice.choice(_QUERIES),
            b"HTTP/1.1" if good else dice.choice(_VERSIONS),
        )
    )
    headers = [b"Host: 127.0.0.1"] if good else []
    headers += dice.sample(_HEADERS, dice.choice((0, 0, 0, 1, 2)) if good else dice.randrange(4))
    body = dice.choice(_BODIES) if dice.random() < 0.5 else b""
    if good and body:
        headers += [b"Content-Length: %d" % len(body), b"Content-Type: application/json"]
    raw = bytearray(b"\r\n".join((line, *headers)) + b"\r\n\r\n" + body)
    for _ in range(dice.choice((0, 0, 0, 1, 5))):
        raw[dice.randrange(len(raw))] = dice.randrange(256)
    return bytes(raw[: dice.randrange(len(raw) + 1)] if dice.random() < 0.1 else raw)


def attack(address: tuple[str, int], raw: bytes) -> bytes:
    """Send a request and return the start of the answer; where none comes, shut down writing and return all that arrives."""
    got = b""
    with socket.create_connection(address, 30) as sock:
        try:
            sock.sendall(raw)
            sock.settimeout(0.05)
            try:
                return sock.recv(65536)
            except TimeoutError:
                sock.shutdown(socket.SHUT_WR)
            sock.settimeout(30)
            while len(got) < 1 << 16 and (piece := sock.recv(65536)):
                got += piece
        except ConnectionError:
            pass
    return got


def status(answer: bytes) -> int | None:
    """Return the answer's status code, or None where there was no answer. Fails for an answer that is not HTTP."""
    if not answer:
        return None
    assert answer.startswith(b"HTTP/1.1 "), answer[:100]
    return int(answer[9:12])
