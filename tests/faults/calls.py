"""Makes the N-th call of a kind fail in a real run, by the shim of tests/durability, and checks that everything works again.

Four phases of a run are looked at: its start, its steady work, a reload that exchanges most parts, and its end. A phase's calls are
counted from its begin, so the same N is about the same call each time.
"""

from __future__ import annotations

import errno
import random
import signal
import struct
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tests.faults import around
from tests.faults.world import Broken, World

# what a call fails with; `memory` are allocations of 128 KiB and more, `allocation` are all
KINDS = {
    "open": errno.EMFILE, "write": errno.ENOSPC, "fsync": errno.EIO, "rename": errno.EIO, "fork": errno.EAGAIN, "thread": errno.EAGAIN,
    "socket": errno.EMFILE, "connect": errno.ENETUNREACH, "memory": errno.ENOMEM, "allocation": errno.ENOMEM,
}  # fmt: skip
PHASES = ("steady", "reload", "end", "start")
_FORMAT = "<qqqqq16s"
_STEADY_S = 3.0  # longer than every cycle of a steady run: a segment of 2 s, a hook, a summary
_ENDING_S = 30.0


@dataclass(frozen=True, slots=True)
class Outcome:
    """What followed a failed call. ended: exit code of a run that refused to start, or was told to end. took_s: until all worked."""

    took_s: float
    ended: int | None = None


class CallsWorld(World):
    """A run with every output on, whose calls can be made to fail."""

    def __init__(self, folder: Path, library: Path) -> None:
        super().__init__(folder, random.Random(24), around=True)
        self._steering = folder / "steering"
        self._steering.write_bytes(bytes(struct.calcsize(_FORMAT)))
        self.environment = {"LD_PRELOAD": str(library), "SHIM_STEERED": "1", "SHIM_COUNT": str(self._steering)}
        self.settings["run"] |= {"record": str(folder / "fused.mp4"), "record_raw": str(folder / "pairs.efr")}
        self.settings["telemetry"] = {"file": str(folder / "lines"), "interval": 0.2}
        self.write_settings()
        self._variant = self._stirred_at = 0

    def arm(self, kind: str, nth: int) -> None:
        """Count from now; the `nth` call of `kind` fails."""
        process = self._read()[2]
        self._write(struct.pack(_FORMAT, 0, 0, process, 0, 0, b""))
        self._write(struct.pack(_FORMAT, 0, 0, process, 0, KINDS[kind], kind.encode()))
        self._write(struct.pack(_FORMAT, 0, 0, process, nth, KINDS[kind], kind.encode()))

    def disarm(self) -> tuple[int, bool]:
        """Return the calls since `arm`, and whether one failed; no more fail."""
        calls, failures, process = self._read()[:3]
        self._write(struct.pack(_FORMAT, 0, 0, process, 0, 0, b""))
        return calls, failures > 0

    @property
    def fired(self) -> bool:
        return self._read()[1] > 0

    def _read(self) -> tuple[int, int, int]:
        calls, failures, process, *_ = struct.unpack(_FORMAT, self._steering.read_bytes())
        return calls, failures, process

    def _write(self, data: bytes) -> None:
        # in place, as it is mapped by the process
        with open(self._steering, "r+b") as file:
            file.write(data)

    def start(self, kind: str = "", nth: int = 0) -> None:
        """Start the process, of which the `nth` call of `kind` fails."""
        for path in (*self.folder.glob("*.efr"), *self.folder.glob("*.mp4")):
            path.unlink()
        self.forget()
        self._write(struct.pack(_FORMAT, 0, 0, 0, nth, KINDS.get(kind, 0), kind.encode()))
        super().start()

    def pairs(self) -> int:
        """Bytes of the raw recordings: one that failed is followed by another with the next free name."""
        return sum(path.stat().st_size for path in self.folder.glob("*.efr"))

    def lines(self) -> int:
        path = self.folder / "lines"
        return path.stat().st_size if path.exists() else 0

    def stirred(self) -> bool:
        """Look at the page, and raise or clear an alarm every half second, so that what answers them calls, too; False."""
        assert self.around is not None
        self.around.served()
        if (now := int(2 * time.monotonic())) != self._stirred_at:
            self._stirred_at = now
            self.around.hooked()
        return False

    def everything(self) -> list[Callable[[], int]]:
        """The counts that grow while all works."""
        return [self.probed, self.shaky, self.newest, self.pairs, self.lines, *around.alive(self)]

    def change(self) -> None:
        """Write settings that exchange the source, the fuser, the sinks and every attachment."""
        self._variant += 1
        odd = self._variant % 2
        self.settings["run"] |= {"source": f"faulty:{self.folder}?seed={odd}", "sharpness": 1.0 + odd}
        self.settings["run"] |= {"record_raw": str(self.folder / f"pairs{odd}.efr"), "record": str(self.folder / f"fused{odd}.mp4")}
        for table, key, value in (
            ("mqtt", "snapshots", 0.5 + odd), ("web", "clients", 4 + odd), ("recording", "segment_s", 2.0 + odd),
            ("stream", "keyframe_s", 1.0 + odd), ("alarm.hot", "hysteresis", 100.0 + odd), ("telemetry", "keep", 5 + odd),
        ):  # fmt: skip
            if table in self.settings:
                self.settings[table][key] = value
        self.write_settings()

    def reloads(self) -> int:
        """Number of reloads that ended, applied or refused."""
        assert self.around is not None
        return sum((self.around.report().get("reloads") or {"": 0}).values())


def count(world: CallsWorld, phase: str, kind: str) -> int:
    """Return how many calls a phase makes."""
    if phase == "start":
        return _started(world, kind, 1 << 60, 60.0)[0]
    world.arm(kind, 1 << 60)
    if phase == "steady":
        _until(world.stirred, _STEADY_S)
    elif phase == "reload":
        _reload(world)
    else:
        world.end(signal.SIGTERM, (0,))
    calls, _ = world.disarm()
    if phase == "end":
        world.start()
        world.await_ready()
    return calls


def fail(world: CallsWorld, phase: str, kind: str, nth: int, within_s: float) -> Outcome | None:
    """Fail one call. Returns None where the phase has fewer calls. Raises Broken where something is not as it has to be."""
    if phase == "start":
        return _started(world, kind, nth, within_s)[1]
    if phase == "end":
        return _ended(world, kind, nth)
    before = world.reloads() if phase == "reload" else 0
    world.arm(kind, nth)
    if phase == "reload":
        world.change()
        world.signal(signal.SIGHUP)
    _until(lambda: world.fired or (world.reloads() > before if phase == "reload" else world.stirred()), 2 * _STEADY_S)
    world.alive()
    took = world.recovered(*world.everything(), within_s=within_s)
    if phase == "reload" and not _until(lambda: world.reloads() > before, 20.0):
        raise Broken(f"a reload never ended\n{world.log_tail()}")
    _, fired = world.disarm()
    world.saved()
    return Outcome(took) if fired else None


def _reload(world: CallsWorld) -> None:
    before = world.reloads()
    world.change()
    world.signal(signal.SIGHUP)
    if not _until(lambda: world.reloads() > before, 20.0):
        raise Broken("a reload never ended")


def _ended(world: CallsWorld, kind: str, nth: int) -> Outcome | None:
    """Fail a call while the run ends; it still ends, with its files whole."""
    world.arm(kind, nth)
    begin = time.monotonic()
    world.end(signal.SIGTERM, (0, 1))
    took = time.monotonic() - begin
    _, fired = world.disarm()
    world.saved()
    world.start()
    world.await_ready()
    return Outcome(took, 0) if fired else None


def _started(world: CallsWorld, kind: str, nth: int, within_s: float) -> tuple[int, Outcome | None]:
    """Fail a call while the run starts; it either refuses in one line, or works."""
    if world.process is not None:
        world.end(signal.SIGKILL, (-signal.SIGKILL,))
        world.saved()
    world.start(kind, nth)
    assert world.process is not None
    code = None
    deadline = time.monotonic() + _ENDING_S * 2
    while time.monotonic() < deadline and not world.heard("READY=1") and (code := world.process.poll()) is None:
        time.sleep(0.02)
    if code is not None:
        world.process = None
        _, fired = world.disarm()
        last = world.log_tail(1)
        if not fired or code not in (1, 2) or not last.startswith("edgefuse: "):
            raise Broken(f"a run that starts ended with {code}\n{world.log_tail()}")
        return 0, Outcome(0.0, code)
    took = world.recovered(*world.everything(), within_s=within_s)
    calls, fired = world.disarm()
    return calls, Outcome(took) if fired else None


def _until(condition: Callable[[], bool], within_s: float) -> bool:
    deadline = time.monotonic() + within_s
    while not (reached := condition()) and time.monotonic() < deadline:
        time.sleep(0.01)
    return reached
