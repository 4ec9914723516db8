"""One FFmpeg process, fed and read by one thread. It can't hold that thread up for longer than it is told to."""

from __future__ import annotations

import contextlib
import os
import selectors
import subprocess
import time
from collections.abc import Callable, Sequence
from typing import IO

from edgefuse.errors import EdgeFuseError
from edgefuse.util.uri import safe

_NICE = 5  # the cameras and the fusion come first
_WORDS = 2000  # bytes of its last words that are kept


class ChildError(EdgeFuseError):
    """It ended, or takes nothing any more."""


class Child:
    """`send` and `poll` hand what it writes to `on_output`, in the caller's thread."""

    def __init__(self, command: Sequence[str], on_output: Callable[[bytes], None], hide: Callable[[str], str] = safe) -> None:
        """hide: takes secrets out of its last words. Raises ChildError where it can't be started."""
        self._on_output, self._hide, self._words = on_output, hide, b""
        pipe = subprocess.PIPE
        try:
            # a session of its own: Ctrl-C is for us, who close its input
            self._process = subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, bufsize=0, start_new_session=True)
        except OSError as e:
            raise ChildError(f"{command[0]} can't be started: {e.strerror}") from None
        with contextlib.suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, self._process.pid, _NICE)
        self._in, self._out, self._err = (f for f in (self._process.stdin, self._process.stdout, self._process.stderr) if f)
        self._selector = selectors.DefaultSelector()
        for file in (self._in, self._out, self._err):
            os.set_blocking(file.fileno(), False)
        for file in (self._out, self._err):
            self._selector.register(file, selectors.EVENT_READ)

    @property
    def pid(self) -> int:
        return self._process.pid

    def send(self, data: bytes | memoryview, timeout_s: float) -> None:
        """Raises ChildError where it has ended, or takes no byte for `timeout_s`."""
        left = memoryview(data)
        until = time.monotonic() + timeout_s
        self._selector.register(self._in, selectors.EVENT_WRITE)
        try:
            while left:
                ready = self._selector.select(max(0.0, until - time.monotonic()))
                if not ready and time.monotonic() >= until:
                    raise ChildError(f"takes no frames for {timeout_s:g} s")
                for key, _ in ready:
                    if key.fileobj is self._in:
                        left = left[self._write(left) :]
                        until = time.monotonic() + timeout_s
                    elif not self._read(key.fileobj):  # type: ignore[arg-type]
                        raise ChildError(self._ended())
        finally:
            self._selector.unregister(self._in)

    def _write(self, data: memoryview) -> int:
        try:
            return os.write(self._in.fileno(), data)
        except BlockingIOError:
            return 0
        except OSError:
            raise ChildError(self._ended()) from None

    def poll(self, timeout_s: float = 0.0) -> None:
        """Take what it wrote. Raises ChildError where it has ended."""
        for key, _ in self._selector.select(timeout_s):
            if not self._read(key.fileobj):  # type: ignore[arg-type]
                raise ChildError(self._ended())

    def _read(self, file: IO[bytes]) -> bool:
        """False at the file's end."""
        try:
            data = os.read(file.fileno(), 1 << 16)
        except BlockingIOError:
            return True
        if file is self._out:
            if data:
                self._on_output(data)
        else:
            self._words = (self._words + data)[-_WORDS:]
        return bool(data)

    def finish(self, timeout_s: float) -> None:
        """Let it finish its work, for `timeout_s` at most. Raises ChildError where it could not."""
        until = time.monotonic() + timeout_s
        try:
            self._in.close()
            open_ = {self._out, self._err}
            while open_:
                ready = self._selector.select(max(0.0, until - time.monotonic()))
                if not ready and time.monotonic() >= until:
                    raise ChildError(f"did not finish in {timeout_s:g} s")
                for key, _ in ready:
                    file: IO[bytes] = key.fileobj  # type: ignore[assignment]
                    if not self._read(file):
                        self._selector.unregister(file)
                        open_.discard(file)
            try:
                code = self._process.wait(max(0.1, until - time.monotonic()))
            except subprocess.TimeoutExpired:
                raise ChildError(f"did not finish in {timeout_s:g} s") from None
            if code:
                raise ChildError(self._ended())
        finally:
            self.kill()

    def kill(self) -> None:
        """End it now, whatever it does; safe to call twice."""
        self._process.kill()
        self._process.wait()
        self._selector.close()
        for file in (self._in, self._out, self._err):
            file.close()

    def _ended(self) -> str:
        """Its last words, in one line, without what URLs keep secret."""
        with contextlib.suppress(OSError, subprocess.TimeoutExpired):
            self._process.wait(1)
            while data := os.read(self._err.fileno(), 1 << 16):
                self._words = (self._words + data)[-_WORDS:]
        lines = [line.strip() for line in self._words.decode(errors="replace").splitlines() if line.strip()]
        code = self._process.returncode
        how = "ended" if code is None else f"died of signal {-code}" if code < 0 else f"ended with code {code}"
        # the cause comes before what follows from it
        return f"{how}: {'; '.join(map(self._hide, lines[-3:]))}" if lines else how
