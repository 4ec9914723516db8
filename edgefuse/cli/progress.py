"""Progress line on a terminal, and one line per log record."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TextIO

from edgefuse.util import heartbeat
from edgefuse.util.printable import line, lines

_WIDTH = 24
_INTERVAL_S = 0.1


class Progress:
    """`label 120/250 [=======>      ] 23.4 FPS`, redrawn in place at most ten times a second; nothing where there is no terminal."""

    def __init__(self, label: str, total: int | None, stream: TextIO | None = None) -> None:
        stream = stream or sys.stderr  # of now: a test or a caller may have put another in its place
        self._label, self._total, self._stream = label, total, stream
        self._shown = stream.isatty()
        self._drawn_at = 0.0

    def update(self, done: int, note: str = "") -> None:
        heartbeat.beat()
        now = time.monotonic()
        last = done == self._total
        if not self._shown or (now - self._drawn_at < _INTERVAL_S and not last):
            return
        self._drawn_at = now
        if self._total:
            filled = min(_WIDTH, _WIDTH * done // self._total)
            bar = ("=" * filled + ">" * (filled < _WIDTH)).ljust(_WIDTH)
            text = f"{self._label} {done}/{self._total} [{bar}] {note}"
        else:
            text = f"{self._label} {done} {note}"
        text = line(text)
        self._stream.write(f"\r\x1b[K{text}")
        self._stream.flush()

    def close(self) -> None:
        """Erase the line."""
        if self._shown and self._drawn_at:
            self._stream.write("\r\x1b[K")
            self._stream.flush()
        self._shown = False


@contextmanager
def log_lines(stream: TextIO | None = None) -> Iterator[None]:
    """Print EdgeFuse's log on `stream` in the command line's style, replacing a progress line."""
    stream = stream or sys.stderr
    handler = logging.StreamHandler(stream)
    handler.setFormatter(_OneLine(("\r\x1b[K" if stream.isatty() else "") + "edgefuse: %(message)s"))
    logger = logging.getLogger("edgefuse")
    before = logger.level
    logger.setLevel(logging.INFO)
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(before)


class _OneLine(logging.Formatter):
    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802
        record.message = line(record.message)
        return super().formatMessage(record)

    def formatException(self, ei: Any) -> str:  # noqa: N802
        # indented, so that no line of an error's text can pass for a line of the log
        return "\n".join(f"  {text}" for text in lines(super().formatException(ei)).split("\n"))
