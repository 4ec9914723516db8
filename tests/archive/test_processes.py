"""Tasks that crash, hang, fill the memory or raise what nobody expects, in a pool with limits."""

from __future__ import annotations

import ctypes
import json
import logging
import os
import signal
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import psutil
import pytest

from edgefuse.archive.processes import LimitedPool, Limits, TaskError
from tests.support.waiting import SECONDS, until

MEMORY = 200_000_000
LIMITS = Limits(MEMORY, stall_s=SECONDS, total_s=SECONDS)
Beat = Callable[..., None]


def pid(beat: Beat) -> dict[str, Any]:
    return {"pid": os.getpid()}


def crash(beat: Beat) -> dict[str, Any]:
    ctypes.string_at(0)
    return {}


def spin(beat: Beat) -> dict[str, Any]:
    while True:
        pass


def sleep(beat: Beat) -> dict[str, Any]:
    time.sleep(1000)
    return {}


def progress(seconds: float, beat: Beat) -> dict[str, Any]:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        beat(1, 2)
        time.sleep(0.05)
    return {}


def fill(beat: Beat) -> dict[str, Any]:
    return {"n": len([np.ones(1_000_000) for _ in range(1000)])}


def leave(beat: Beat) -> dict[str, Any]:
    raise SystemExit(0)


def recurse(beat: Beat) -> dict[str, Any]:
    return recurse(beat)


def not_json(beat: Beat) -> dict[str, Any]:
    return {"gain": float("nan")}


def warn(beat: Beat) -> dict[str, Any]:
    logging.getLogger("edgefuse.test").warning("look at %s", "this")
    print("a library prints")
    return {}


def suicide(beat: Beat) -> dict[str, Any]:
    os.kill(os.getpid(), signal.SIGKILL)
    return {}


@pytest.fixture
def pool() -> Iterator[LimitedPool]:
    made = LimitedPool(1, LIMITS)
    yield made
    made.terminate()


def failed(pool: LimitedPool, task: Callable[..., Any], **more: Any) -> TaskError:
    with pytest.raises(TaskError) as raised:
        pool.submit(task, **more).result(SECONDS)
    # and the next task is done
    assert pool.submit(pid).result(SECONDS)["pid"] != os.getpid()
    return raised.value


def test_a_process_is_used_again(pool: LimitedPool) -> None:
    assert len({pool.submit(pid).result(SECONDS)["pid"] for _ in range(5)}) == 1


@pytest.mark.parametrize(
    ("task", "says"),
    [
        (crash, "it crashed its process (SIGSEGV)"),
        (fill, "it needs more memory than 200 MB, the limit"),
        (leave, "SystemExit: 0"),
        (recurse, "RecursionError: maximum recursion depth exceeded"),
        (not_json, "ValueError: Out of range float values are not JSON compliant"),
    ],
)
def test_what_ends_a_task_is_named(pool: LimitedPool, task: Callable[..., Any], says: str) -> None:
    error = failed(pool, task)
    assert str(error).startswith(says)
    assert not error.again


def test_a_killed_process_may_be_tried_again(pool: LimitedPool) -> None:
    error = failed(pool, suicide)
    assert error.again
    assert "SIGKILL" in str(error)


@pytest.mark.slow
def test_a_hang_is_ended(pool: LimitedPool) -> None:
    assert "no progress within 1 s" in str(failed(pool, sleep, limits=Limits(MEMORY, 1, SECONDS)))
    assert "of processor time" in str(failed(pool, spin, limits=Limits(MEMORY, SECONDS, SECONDS, 0.5)))


@pytest.mark.slow
def test_progress_is_no_hang_but_ends_with_the_time(pool: LimitedPool) -> None:
    # each report is 50 ms after the last, if the machine keeps up; a hang is twenty times as long
    assert pool.submit(progress, 2.0, limits=Limits(MEMORY, 30, SECONDS)).result(SECONDS) == {}
    assert "not done within 1 s" in str(failed(pool, lambda_progress, limits=Limits(MEMORY, 30, 1)))


def lambda_progress(beat: Beat) -> dict[str, Any]:
    return progress(1000.0, beat)


def test_logs_arrive_and_prints_do_not(pool: LimitedPool, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]) -> None:
    assert pool.submit(warn).result(SECONDS) == {}
    assert "look at this" in caplog.text
    assert capfd.readouterr().out == ""


def test_no_process_stays_behind(pool: LimitedPool) -> None:
    future = pool.submit(spin)
    until(future.running, "the task to run")
    pool.terminate()
    with pytest.raises(TaskError):
        future.result(SECONDS)
    until(lambda: not [c for c in psutil.Process().children(recursive=True) if "_work" in " ".join(c.cmdline())], "the processes to end")


def test_results_are_json() -> None:
    pool = LimitedPool(2, LIMITS)
    results = [pool.submit(pid) for _ in range(8)]
    pool.shutdown()
    assert json.dumps([f.result(SECONDS) for f in results])
