"""Faults of a run. A fault is a function with a line in FAULTS: it causes the fault, removes it, and returns what must work again.

Faults of the run's environment (a broker that stops, a client that stalls) are in around.py.
"""

from __future__ import annotations

import contextlib
import errno
import shutil
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.faults import around
from tests.faults.world import World
from tests.settings.garbage import garbage

Count = Callable[[], int]


@contextmanager
def _while(path: Path) -> Iterator[None]:
    """Create a file, and remove it after the block."""
    path.touch()
    try:
        yield
    finally:
        path.unlink(missing_ok=True)


def damaged_frames(world: World) -> list[Count]:
    with _while(world.folder / "source.bad"):
        time.sleep(world.rng.uniform(0, 0.3))
    return []


def stalled_source(world: World) -> list[Count]:
    with _while(world.folder / "source.stall"):
        time.sleep(world.rng.uniform(0, 0.5))
    return []


def failing_sink(world: World) -> list[Count]:
    with _while(world.folder / "shaky.bad"):
        time.sleep(world.rng.uniform(0, 0.5))
    return [world.shaky]


def full_disk(world: World) -> list[Count]:
    """Fill the world's disk to the last byte; without such a disk, make the folder read-only."""
    out = world.disk / "out"
    if world.small_disk:
        filler = world.disk / "filler"
        try:
            with open(filler, "wb", buffering=0) as f:
                while True:
                    f.write(bytes(1 << 14))
        except OSError as e:
            if e.errno != errno.ENOSPC:
                raise
        time.sleep(world.rng.uniform(0, 0.3))
        filler.unlink()
    else:
        with contextlib.suppress(FileNotFoundError):
            out.chmod(0o500)
            time.sleep(world.rng.uniform(0, 0.3))
            out.chmod(0o700)
    return [world.newest]


def folder_gone(world: World) -> list[Count]:
    world.saved()
    shutil.rmtree(world.disk / "out", ignore_errors=True)
    return [world.newest]


def good_reload(world: World) -> list[Count]:
    """Change one or a few settings: the fuser, the sinks, a recording, the source."""
    run, rng = world.settings["run"], world.rng
    for change in rng.sample(range(5), rng.randrange(1, 4)):
        if change == 0:
            run["sharpness"] = rng.choice((1.0, 1.5, 2.0))
        elif change == 1:
            run["colour"] = rng.choice(("keep", "balanced", "benchmark"))
        elif change == 2:
            run["source"] = f"faulty:{world.folder}?seed={rng.randrange(100)}"
        elif change == 3 and run.pop("record", None) is None:
            run["record"] = str(world.disk / f"{rng.randrange(10**6)}.mp4")
        elif change == 4 and run.pop("record_raw", None) is None:
            run["record_raw"] = str(world.disk / f"{rng.randrange(10**6)}.efr")
    world.write_settings()
    world.reload()
    return []


def bad_reload(world: World) -> list[Count]:
    """Reload a malformed file, a file with unusable settings, or no file at all."""
    bad = world.rng.randrange(4)
    if bad == 0:
        world.config.unlink()
    elif bad == 1:
        world.write_settings("[run\n" + garbage(world.rng).decode("utf-8", "surrogateescape"))
    elif bad == 2:
        world.write_settings(world.config.read_text() + "\n[nowhere]\n")
    else:
        world.write_settings(f'[run]\nsource = "faulty:{world.folder}"\nmodel = "no-such-model"\n')
    world.reload()
    world.write_settings()
    return []


def many_hangups(world: World) -> list[Count]:
    for _ in range(world.rng.randrange(2, 6)):
        world.signal(signal.SIGHUP)
        time.sleep(world.rng.uniform(0, 0.05))
    world.reload()
    return []


def terminated(world: World) -> list[Count]:
    """Send SIGTERM at any time, also during a reload; then a new process is started."""
    if world.rng.random() < 0.5:
        world.signal(signal.SIGHUP)
    time.sleep(world.rng.uniform(0, 0.2))
    world.end(signal.SIGTERM, (0,))
    return _anew(world)


def terminated_at_start(world: World) -> list[Count]:
    """Send SIGTERM before the process is ready: nothing is open yet, so it may simply end."""
    world.end(signal.SIGTERM, (0,))
    world.start()
    time.sleep(world.rng.uniform(0, 1.0))
    world.end(signal.SIGTERM, (0, -signal.SIGTERM))
    return _anew(world)


def killed(world: World) -> list[Count]:
    world.end(signal.SIGKILL, (-signal.SIGKILL,))
    return _anew(world)


def _anew(world: World) -> list[Count]:
    world.saved()
    world.tidy()
    world.start()
    world.await_ready()
    return []


FAULTS: dict[Callable[[World], list[Count]], int] = {
    # relative frequencies
    damaged_frames: 4,
    stalled_source: 4,
    failing_sink: 4,
    full_disk: 3,
    folder_gone: 3,
    good_reload: 6,
    bad_reload: 4,
    many_hangups: 2,
    terminated: 2,
    terminated_at_start: 1,
    killed: 1,
}


def possible(world: World) -> dict[Callable[[World], list[Count]], int]:
    """Return each fault that is possible in this world, with its relative frequency."""
    more = world.around.tables if world.around else {}
    return FAULTS | {fault: weight for fault, (weight, table) in around.FAULTS.items() if table in more}


def inject(world: World, within_s: float) -> tuple[str, float]:
    """Inject a random fault. Returns its name and the seconds from its end until everything worked again. Raises Broken."""
    faults = possible(world)
    (fault,) = world.rng.choices(list(faults), list(faults.values()))
    try:
        counts = fault(world)
        took = world.recovered(world.probed, *counts, within_s=within_s)
        world.saved()
        if world.rng.random() < 0.2:
            world.tidy()
    except AssertionError as e:
        raise type(e)(f"{fault.__name__}: {e}") from None
    return fault.__name__, took
