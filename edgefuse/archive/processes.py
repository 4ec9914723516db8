"""A pool of processes with limits on memory and time, so that a file that crashes, hangs or fills the memory ends its process alone.

The processes are forked from one that has imported EdgeFuse (multiprocessing's fork server), which takes milliseconds, and are used for one
task after another. A task reports progress; one that does not for too long is ended with its process.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import logging
import math
import os
import queue
import signal
import threading
import time
from collections.abc import Callable
from concurrent.futures import Executor, Future
from dataclasses import dataclass
from multiprocessing import get_context, parent_process
from multiprocessing.connection import Connection, wait
from typing import Any

from edgefuse.errors import EdgeFuseError
from edgefuse.util.child_process import signal_name
from edgefuse.util.stall import Limit, Stall

_PRELOAD = ("edgefuse.archive.job", "edgefuse.hyperspectral.compress", "edgefuse.hyperspectral.codec.spectral_edge")
_START_S = 120.0  # a process may take so long to start
_BEAT_S = 0.25  # least time between two reports of progress
_MOST_TASKS = 100  # of one process, so that what a library leaks is given back
_PR_SET_PDEATHSIG = 1
_UNEXPECTED, _NO_MEMORY = 70, 71  # exit codes of a process after an error that is no EdgeFuseError

Task = Callable[..., dict[str, Any]]


class TaskError(EdgeFuseError):
    """A task failed with its process. again: another attempt may succeed, as when another program took the memory."""

    def __init__(self, message: str, again: bool = False) -> None:
        super().__init__(message)
        self.again = again


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits of a task.

    memory_bytes: that it may allocate. stall_s: without progress. cpu_s: processor time without progress; 0: no limit. total_s: in all.
    """

    memory_bytes: int
    stall_s: float
    total_s: float
    cpu_s: float = 0.0

    @property
    def stall(self) -> Limit:
        """What may pass between two reports of progress."""
        return Limit(self.cpu_s or math.inf, self.stall_s)


class LimitedPool(Executor):
    """Runs tasks in up to `count` processes, which are started when they are needed.

    A task is a function of a module, which takes the keyword `beat`, a function to call with progress, and returns what JSON can hold.
    A future's exception is TaskError where the task broke a limit, raised an error that is not expected, or ended its process.
    """

    def __init__(self, count: int, limits: Limits) -> None:
        self._count, self._limits = count, limits
        self._tasks: queue.SimpleQueue[tuple[Future[dict[str, Any]], Task, tuple[Any, ...], Limits] | None] = queue.SimpleQueue()
        self._threads: list[threading.Thread] = []
        self._processes: set[_Process] = set()
        self._unfinished = 0
        self._lock = threading.Lock()
        self._closed, self._ended = False, False

    def submit(self, task: Task, /, *args: Any, **kwargs: Any) -> Future[Any]:  # type: ignore[override]
        """Queue a task. limits: replace the pool's limits, except the one on memory."""
        limits: Limits = kwargs.pop("limits", self._limits)
        future: Future[dict[str, Any]] = Future()
        with self._lock:
            if self._closed:
                raise RuntimeError("the pool is closed")
            self._tasks.put((future, task, args, limits))
            self._unfinished += 1
            if len(self._threads) < min(self._count, self._unfinished):
                self._threads.append(threading.Thread(target=self._serve, daemon=True))
                self._threads[-1].start()
        return future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Let the running tasks end. cancel_futures: drop those that wait."""
        with self._lock:
            self._closed = True
        if cancel_futures:
            with contextlib.suppress(queue.Empty):
                while (item := self._tasks.get_nowait()) is not None:
                    item[0].cancel()
        for _ in self._threads:
            self._tasks.put(None)
        if wait:
            for thread in self._threads:
                thread.join()

    def terminate(self) -> None:
        """End all processes at once; tasks that run or wait get an exception, or are cancelled."""
        self.shutdown(wait=False, cancel_futures=True)
        with self._lock:
            self._ended = True
            for process in self._processes:
                process.kill()

    def _started(self) -> _Process:
        process = _Process(self._limits.memory_bytes)
        with self._lock:
            self._processes.add(process)
            if self._ended:
                process.kill()
        return process

    def _end(self, process: _Process | None) -> None:
        if process is not None:
            with self._lock:
                self._processes.discard(process)
            process.kill()
            process.close()

    def _serve(self) -> None:
        process: _Process | None = None
        while (item := self._tasks.get()) is not None:
            future, task, args, limits = item
            if future.set_running_or_notify_cancel():
                try:
                    process = process or self._started()
                    result = process.do(task, args, limits)
                except BaseException as e:
                    self._end(process)
                    process = None
                    future.set_exception(e)
                else:
                    if process.tasks >= _MOST_TASKS:
                        self._end(process)
                        process = None
                    future.set_result(result)
            with self._lock:
                self._unfinished -= 1
        self._end(process)


class _Process:
    """One process of the pool, seen from its parent."""

    def __init__(self, memory_bytes: int) -> None:
        context = get_context("forkserver")
        context.set_forkserver_preload(list(_PRELOAD))
        self._connection, theirs = context.Pipe()
        self._memory_bytes, self.tasks = memory_bytes, 0
        self._process = context.Process(target=_work, args=(theirs, memory_bytes), daemon=True)
        with _starting:
            self._process.start()
        theirs.close()
        if not self._connection.poll(_START_S):
            self.kill()
            self.close()
            raise TaskError(f"a process did not start within {_START_S:g} s", again=True)

    def do(self, task: Task, args: tuple[Any, ...], limits: Limits) -> dict[str, Any]:
        """Run a task and return its result. Raises TaskError; the process must not be used after that."""
        self.tasks += 1
        try:
            while self._connection.poll():  # that it is ready
                self._connection.recv_bytes()
            self._connection.send((task, args))
            return self._result(limits)
        except (EOFError, OSError):
            self._process.join(_START_S)
            raise self._death() from None

    def _result(self, limits: Limits) -> dict[str, Any]:
        began, stall = time.monotonic(), Stall(self._process.pid or 0)
        while True:
            if not stall.wait(self._connection.fileno(), min(1.0, limits.stall_s)):
                if time.monotonic() - began > limits.total_s:
                    raise TaskError(f"it was not done within {limits.total_s:.0f} s, the limit")
                if exceeded := stall.exceeds(limits.stall):
                    raise TaskError(f"it hung: no progress within {exceeded}")
                continue
            answer = json.loads(self._connection.recv_bytes())
            if "log" in answer:
                logging.getLogger(answer["log"]).log(answer["level"], "%s", answer["message"])
            elif "result" in answer:
                return dict(answer["result"])
            elif "error" in answer:
                raise TaskError(answer["error"])
            else:
                stall.reported()
                if time.monotonic() - began > limits.total_s:
                    raise TaskError(f"it was not done within {limits.total_s:.0f} s, the limit")

    def _death(self) -> TaskError:
        name = signal_name(self._process.exitcode or 0)
        if name == "SIGKILL":
            return TaskError("its process was killed (SIGKILL), probably because the memory ran out", again=True)
        if self._process.exitcode == _NO_MEMORY:
            return TaskError(f"it needs more memory than {self._memory_bytes / 1e6:.0f} MB, the limit")
        return TaskError(f"it crashed its process ({name or f'exit code {self._process.exitcode}'})")

    def kill(self) -> None:
        """End the process at once."""
        with contextlib.suppress(OSError, ValueError):
            self._process.kill()

    def close(self) -> None:
        """Wait for the end of a killed process, and close the connection to it."""
        self._process.join(_START_S)
        self._connection.close()


_starting = threading.Lock()


def _work(connection: Connection, memory_bytes: int) -> None:
    """In the process: do tasks until the parent closes the connection."""
    # a service's stop is sent to all of its processes: the parent waits for running tasks, and ends this one
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    _end_with_parent()
    _limit_memory(memory_bytes)
    # what libraries print of a broken file is no part of this program's output
    null = os.open(os.devnull, os.O_RDWR)
    os.dup2(null, 1)
    os.dup2(null, 2)
    sending = threading.Lock()

    def send(message: dict[str, Any]) -> None:
        data = json.dumps(message, allow_nan=False).encode()
        with sending:
            connection.send_bytes(data)

    logger = logging.getLogger("edgefuse")
    logger.addHandler(_Handler(send))
    logger.setLevel(logging.INFO)
    logger.propagate = False
    send({"ready": True})
    beat = _Beat(send)
    while True:
        try:
            task, args = connection.recv()
        except (EOFError, OSError):
            os._exit(0)
        try:
            send({"result": task(*args, beat=beat)})
        except MemoryError:
            os._exit(_NO_MEMORY)
        except BaseException as e:  # of whatever type: libraries do not document all of theirs
            lines = str(e).strip().splitlines()
            _give_up(send, f"{type(e).__name__}: {lines[0][:300]}" if lines else type(e).__name__)


def _give_up(send: Callable[[dict[str, Any]], None], why: str) -> None:
    try:
        send({"error": why})
    finally:
        os._exit(_UNEXPECTED)


class _Beat:
    """Reports progress to the parent, at most four times a second."""

    def __init__(self, send: Callable[[dict[str, Any]], None]) -> None:
        self._send, self._next = send, 0.0

    def __call__(self, *_: object) -> None:
        if (now := time.monotonic()) >= self._next:
            self._next = now + _BEAT_S
            self._send({"beat": True})


class _Handler(logging.Handler):
    """Sends log records to the parent."""

    def __init__(self, send: Callable[[dict[str, Any]], None]) -> None:
        super().__init__()
        self._send = send

    def emit(self, record: logging.LogRecord) -> None:
        self._send({"log": record.name, "level": record.levelno, "message": record.getMessage()})


def _end_with_parent() -> None:
    # the fork server ends with the pool's process; a thread here could not run while a library hangs and keeps the interpreter's lock
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if (parent := parent_process()) is not None:
        threading.Thread(target=_exit_with_parent, args=(parent.sentinel,), daemon=True).start()


def _exit_with_parent(sentinel: int) -> None:
    wait([sentinel])
    os._exit(1)


def _limit_memory(memory_bytes: int) -> None:
    """Limit what this process may allocate from now on, and let the system end it first where the machine's memory runs out."""
    import resource

    with contextlib.suppress(OSError, ValueError):
        with open("/proc/self/status", encoding="ascii") as f:
            taken = next(int(line.split()[1]) << 10 for line in f if line.startswith("VmData:"))
        hard = resource.getrlimit(resource.RLIMIT_DATA)[1]
        limit = taken + memory_bytes
        resource.setrlimit(resource.RLIMIT_DATA, (limit if hard == resource.RLIM_INFINITY else min(limit, hard), hard))
    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    with contextlib.suppress(OSError), open("/proc/self/oom_score_adj", "w", encoding="ascii") as f:
        f.write("500")
