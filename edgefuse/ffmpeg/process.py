"""One FFmpeg process, written to and read from by one thread, with a time limit for every operation."""

from __future__ import annotations

import contextlib
import os
import selectors
import subprocess
import time
from collections.abc import Callable, Sequence
from typing import IO

from edgefuse.errors import EdgeFuseError
from edgefuse.ffmpeg.encoders import NotStartedError
from edgefuse.ffmpeg.hidden_argument import without_hidden
from edgefuse.util.child_process import processor_s
from edgefuse.util.uri import safe

_NICE = 5  # niceness: cameras and fusion have priority
_STEP_S = 0.1  # between two looks at a process that is to finish
_STDERR_BYTES = 2000  # bytes of standard error that are kept


class FFmpegError(EdgeFuseError):
    """The process ended, or accepts no more input."""


class FFmpegNotStartedError(FFmpegError, NotStartedError):
    """The process could not be started."""


class FFmpegProcess:
    """A running process. `send` and `poll` pass its output to `on_output`, in the caller's thread."""

    def __init__(self, command: Sequence[str], on_output: Callable[[bytes], None], hide: Callable[[str], str] = safe) -> None:
        """command: a HiddenArgument among it is not shown by `ps`. hide: removes secrets from its error output. Raises FFmpegError where it
        cannot be started."""
        self._on_output, self._hide, self._stderr = on_output, hide, b""
        shown, environment = without_hidden(command)
        pipe = subprocess.PIPE
        try:
            # its own session, so that Ctrl-C does not reach it; closing its input ends it
            self._process = subprocess.Popen(
                shown, stdin=pipe, stdout=pipe, stderr=pipe, bufsize=0, start_new_session=True, env=environment
            )
        except OSError as e:
            raise FFmpegNotStartedError(f"{command[0]} can't be started: {e.strerror}") from None
        with contextlib.suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, self._process.pid, _NICE)
        self._in, self._out, self._err = (f for f in (self._process.stdin, self._process.stdout, self._process.stderr) if f)
        self._selector: selectors.BaseSelector | None = None
        try:
            self._selector = selectors.DefaultSelector()
            for file in (self._in, self._out, self._err):
                os.set_blocking(file.fileno(), False)
            for file in (self._out, self._err):
                self._selector.register(file, selectors.EVENT_READ)
        except OSError as e:
            # no descriptor for the selector, say: leave no process behind
            self.kill()
            raise FFmpegNotStartedError(f"can't be watched: {e.strerror}") from None

    @property
    def pid(self) -> int:
        return self._process.pid

    def send(self, data: bytes | memoryview, timeout_s: float) -> None:
        """Write data. Raises FFmpegError where the process has ended, or accepts no byte for `timeout_s`."""
        left = memoryview(data)
        until = time.monotonic() + timeout_s
        self._events.register(self._in, selectors.EVENT_WRITE)
        try:
            while left:
                ready = self._events.select(max(0.0, until - time.monotonic()))
                if not ready and time.monotonic() >= until:
                    raise FFmpegError(f"takes no frames for {timeout_s:g} s")
                for key, _ in ready:
                    if key.fileobj is self._in:
                        left = left[self._write(left) :]
                        until = time.monotonic() + timeout_s
                    elif not self._read(key.fileobj):  # type: ignore[arg-type]
                        raise FFmpegError(self._ended())
        finally:
            self._events.unregister(self._in)

    def _write(self, data: memoryview) -> int:
        try:
            return os.write(self._in.fileno(), data)
        except BlockingIOError:
            return 0
        except OSError:
            raise FFmpegError(self._ended()) from None

    def poll(self, timeout_s: float = 0.0) -> None:
        """Read available output. Raises FFmpegError where the process has ended."""
        for key, _ in self._events.select(timeout_s):
            if not self._read(key.fileobj):  # type: ignore[arg-type]
                raise FFmpegError(self._ended())

    def _read(self, file: IO[bytes]) -> bool:
        """Read from a pipe; returns False at its end."""
        try:
            data = os.read(file.fileno(), 1 << 16)
        except BlockingIOError:
            return True
        if file is self._out:
            if data:
                self._on_output(data)
        else:
            self._stderr = (self._stderr + data)[-_STDERR_BYTES:]
        return bool(data)

    def finish(self, idle_s: float, most_s: float) -> None:
        """Close the input and wait for the process to finish. Raises FFmpegError where it fails, for `idle_s` neither writes nor takes
        processor time, or needs over `most_s`."""
        until = time.monotonic() + most_s
        used, stuck_at = processor_s(self.pid), time.monotonic() + idle_s
        open_ = {self._out, self._err}
        try:
            self._in.close()
            while open_ or self._process.poll() is None:
                ready = self._events.select(_STEP_S) if open_ else []
                if not open_:
                    with contextlib.suppress(subprocess.TimeoutExpired):
                        self._process.wait(_STEP_S)
                for key, _ in ready:
                    file: IO[bytes] = key.fileobj  # type: ignore[assignment]
                    if not self._read(file):
                        self._events.unregister(file)
                        open_.discard(file)
                # a busy machine makes it slow; only one that does nothing is stuck
                now, before, used = time.monotonic(), used, processor_s(self.pid)
                if ready or used > before:
                    stuck_at = now + idle_s
                if now >= min(stuck_at, until):
                    raise FFmpegError(f"did not finish in {most_s if now >= until else idle_s:g} s")
            if self._process.returncode:
                raise FFmpegError(self._ended())
        finally:
            self.kill()

    def kill(self) -> None:
        """Kill the process; safe to call twice."""
        self._process.kill()
        self._process.wait()
        if self._selector is not None:
            self._selector.close()
        for file in (self._in, self._out, self._err):
            file.close()

    @property
    def _events(self) -> selectors.BaseSelector:
        assert self._selector is not None
        return self._selector

    def _ended(self) -> str:
        """Return how the process ended, with its last error lines and without secrets."""
        with contextlib.suppress(OSError, subprocess.TimeoutExpired):
            self._process.wait(1)
            while data := os.read(self._err.fileno(), 1 << 16):
                self._stderr = (self._stderr + data)[-_STDERR_BYTES:]
        lines = [line.strip() for line in self._stderr.decode(errors="replace").splitlines() if line.strip()]
        code = self._process.returncode
        how = "ended" if code is None else f"died of signal {-code}" if code < 0 else f"ended with code {code}"
        # several lines, because the cause comes before its consequences
        return f"{how}: {'; '.join(map(self._hide, lines[-3:]))}" if lines else how
