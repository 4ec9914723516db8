"""Feeds inputs to a target, one per seed, in this process or in child processes, and checks each for errors, time and memory."""

from __future__ import annotations

import contextlib
import ctypes
import gc
import logging
import mmap
import os
import random
import resource
import signal
import time
import traceback
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from edgefuse.errors import EdgeFuseError

Feed = Callable[[random.Random, Path], int | None]
"""Makes one input from the generator and processes it; the folder is for its files. Returns the number of samples that an accepted input
declares, where its memory depends on them. Raises EdgeFuseError for an input that is refused; any other exception is a finding."""

MEMORY = 64 << 20  # bytes that an input may take, besides 16 for each sample that it declares (docs/reference/limits.md)
_SAMPLE_BYTES = 16
_MEASURED_S = 0.002  # processor time from which the memory of an input is looked at: 64 MB can't be written in less
_IMPORT_S = 5.0  # processor time that the first input may take besides
_MOST_SHOWN = 20
_LONGEST_MESSAGE = 4000


@dataclass(frozen=True, slots=True)
class Target:
    """What is fuzzed, and how much of it.

    budget: inputs that a release gets, from seed 0. smoke: inputs of the smoke run in .ci/run. isolated: in child processes, since its
    libraries may crash. limit: seconds of processor time that an input may take.
    """

    feed: Feed
    budget: int = 0
    smoke: int = 0
    isolated: bool = False
    limit: float = 5.0


class Tally(ctypes.Structure):
    """Counts in memory that child processes share. seed: the input in progress. slowest: seconds of processor time of the slowest input."""

    seed: int
    taken: int
    refused: int
    findings: int
    slowest_seed: int
    slowest: float
    seconds: float
    _fields_ = [
        *((name, ctypes.c_int64) for name in ("seed", "taken", "refused", "findings", "slowest_seed")),
        ("slowest", ctypes.c_double),
        ("seconds", ctypes.c_double),
    ]

    @classmethod
    def shared(cls) -> Tally:
        return cls.from_buffer(mmap.mmap(-1, ctypes.sizeof(cls)))

    def find(self, text: str) -> None:
        """Count a finding, and print the first twenty."""
        self.findings += 1
        if self.findings <= _MOST_SHOWN:
            print(text, flush=True)


class _TooSlow(BaseException):
    """The time limit of an input has passed. Not an Exception, so that the code under test does not catch it."""


class _Messages(logging.Handler):
    """Formats every log message as a user's handler would, and drops it. `error`: what is wrong with one, or a Python warning."""

    def __init__(self) -> None:
        super().__init__()
        self.error = ""

    def emit(self, record: logging.LogRecord) -> None:
        try:
            text = record.getMessage()
        except Exception as e:
            text, self.error = "", f"a log message can't be formatted: {record.msg!r} % {record.args!r}: {e}"
        if len(text) > _LONGEST_MESSAGE:
            self.error = f"a log message of {len(text)} characters: {text[:200]}"

    def warn(self, message: Warning | str, category: type[Warning], *where: object, **more: object) -> None:
        """In place of `warnings.showwarning`: a user would see it."""
        self.error = f"{category.__name__}: {message}"


class _Memory:
    """Peak memory of this process since the last reset, in bytes."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        try:
            with open("/proc/self/clear_refs", "w") as f:
                f.write("5")
        except OSError:
            pass  # then only the largest of all inputs is seen
        self.base = self._peak()

    def grown(self) -> int:
        return self._peak() - self.base

    @staticmethod
    def _peak() -> int:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10


def feed_all(target: Target, seeds: range, tally: Tally, folder: Path) -> None:
    """Feed an input per seed in this process."""
    rng, messages, logger = random.Random(), _Messages(), logging.getLogger("edgefuse")
    logger.addHandler(messages)
    logger.propagate, propagates = False, logger.propagate
    tally.seed = seeds.start

    def alarm(number: int, frame: object) -> None:
        raise _TooSlow

    # not the filter "error": code that catches every exception would hide warnings
    warnings.showwarning, shows = messages.warn, warnings.showwarning
    before = signal.signal(signal.SIGPROF, alarm)
    signal.setitimer(signal.ITIMER_PROF, target.limit + _IMPORT_S)
    with contextlib.suppress(Exception, _TooSlow):
        # imports what it needs
        target.feed(random.Random(seeds.start), folder)
    memory, messages.error = _Memory(), ""
    # nothing of an input outlives it; a collection in the middle of one would make it look slow
    gc.disable()
    began = time.process_time()
    try:
        for seed in seeds:
            tally.seed = seed
            rng.seed(seed)
            took = _feed_one(target, rng, tally, folder, memory)
            if messages.error:
                tally.find(f"seed {seed}: {messages.error}")
                messages.error = ""
            if took > tally.slowest:
                tally.slowest, tally.slowest_seed = took, seed
            if not seed % 1000:
                gc.collect()
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)
        logger.removeHandler(messages)
        logger.propagate, warnings.showwarning = propagates, shows
        gc.enable()
        tally.seconds += time.process_time() - began


def _feed_one(target: Target, rng: random.Random, tally: Tally, folder: Path, memory: _Memory) -> float:
    """Feed one input. Returns the seconds of processor time it took, which do not depend on what else the machine does."""
    seed, samples = tally.seed, 0
    begin = time.process_time()
    try:
        signal.setitimer(signal.ITIMER_PROF, target.limit)
        samples = target.feed(rng, folder) or 0
        tally.taken += 1
    except EdgeFuseError as e:
        tally.refused += 1
        if not str(e):
            tally.find(f"seed {seed}: refused without a message")
    except _TooSlow:
        tally.find(f"seed {seed}: takes more than {target.limit:g} s\n{traceback.format_exc()}")
    except Exception:
        tally.find(f"seed {seed}:\n{traceback.format_exc()}")
    took = time.process_time() - begin
    if took > _MEASURED_S:
        _check_memory(target, samples, tally, folder, memory)
    return took


def _check_memory(target: Target, samples: int, tally: Tally, folder: Path, memory: _Memory) -> None:
    """Find an input that takes too much memory. It is fed once more, as what inputs before it left behind is not its doing."""
    allowed = MEMORY + _SAMPLE_BYTES * samples
    if memory.grown() > allowed:
        memory.reset()
        with contextlib.suppress(Exception):
            target.feed(random.Random(tally.seed), folder)
        if (grown := memory.grown()) > allowed:
            tally.find(f"seed {tally.seed}: took {grown >> 20} MB of memory; {allowed >> 20} MB are allowed for {samples} samples")
    if memory.grown() > MEMORY // 4:
        memory.reset()


def feed_in_children(target: Target, seeds: range, tally: Tally, folder: Path) -> None:
    """Feed them in child processes: one that crashes or hangs is a finding, and the next goes on after its seed."""
    first = seeds.start
    while first < seeds.stop:
        pid = os.fork()
        if not pid:
            try:
                feed_all(target, range(first, seeds.stop), tally, folder)
            finally:
                os._exit(0)
        stuck_at, since = -1, time.monotonic()
        while not (ended := os.waitpid(pid, os.WNOHANG))[0]:
            if tally.seed != stuck_at:
                stuck_at, since = tally.seed, time.monotonic()
            elif time.monotonic() - since > 60 * target.limit:
                os.kill(pid, signal.SIGKILL)
            time.sleep(0.01)
        if not ended[1]:
            return
        tally.find(f"seed {tally.seed}: its process ended with status {os.waitstatus_to_exitcode(ended[1])}")
        first = tally.seed + 1
