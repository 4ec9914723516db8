"""Fuzz tests with malformed input from a seed: `python benchmarks/fuzz.py settings --inputs 100000 --seed 6`.

A target is a function that makes one input from a random generator and processes it. An EdgeFuseError is accepted; any other exception is a
finding, and so is an input that takes longer than --limit. To add a target, write a function and add a line to TARGETS. Each finding is
printed with its seed; --first SEED --inputs 1 repeats it. The target `smoke` is what .ci/run does. Exit code 1 if there are findings.
"""

from __future__ import annotations

import argparse
import datetime
import logging
import mmap
import os
import random
import resource
import signal
import struct
import sys
import tempfile
import time
import traceback
import warnings
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from edgefuse.errors import EdgeFuseError

Feed = Callable[[random.Random, Path], None]


def settings(rng: random.Random, folder: Path) -> None:
    """Parse a settings file, sometimes with an environment variable."""
    from edgefuse import settings
    from tests.settings.garbage import VALUES, garbage

    path = folder / "edgefuse.toml"
    path.write_bytes(garbage(rng))
    keys = ("THREADS", "MODEL", "SINK", "FRESH", "MAX_SKEW", "X", "")
    variables = {f"EDGEFUSE_RUN_{rng.choice(keys)}": rng.choice(VALUES).strip('"')} if rng.random() < 0.2 else {}
    settings.load(path, variables, source_required=rng.random() < 0.5)


def mqtt(rng: random.Random, folder: Path) -> None:
    """Parse a payload of the command topic; accepted commands are checked, too."""
    from tests.mqtt.hostile import check, payload

    if check(payload(rng)) is None:
        raise EdgeFuseError("refused")


def calibration(rng: random.Random, folder: Path) -> None:
    """Load a calibration file and apply it if it is valid, or fit a file of points."""
    from tests.calibration import hostile

    path = folder / "calibration.toml"
    if rng.random() < 0.7:
        path.write_bytes(hostile.calibration_file(rng))
        hostile.check_calibration(path)
    else:
        path.write_bytes(hostile.points_file(rng))
        hostile.check_points(path)


def replay(rng: random.Random, folder: Path) -> None:
    """Play a raw recording through replay: and a fuser, in bounded memory."""
    from tests.sources import hostile

    path = folder / "a.efr"
    path.write_bytes(hostile.recording(rng))
    if hostile.check(path, rng.choice((0, 1, 1, 3))) == 0:
        raise EdgeFuseError("no pair in it")


def http(rng: random.Random, folder: Path) -> None:
    """Send a request to a running web page, with or without a token."""
    from tests.web import hostile

    token = rng.random() < 0.3
    page = _page(token)
    raw = next(hostile.requests(rng.getrandbits(32)))
    answer = hostile.attack(page.address, raw)
    code = hostile.status(answer)
    assert b"root:" not in answer, raw
    assert code != 500, raw
    assert code not in (200, 303) or not token, raw
    assert not _COMPLAINTS, (raw, _COMPLAINTS[-1].getMessage())
    if rng.random() < 0.01:
        from tests.web.conftest import TOKEN

        headers = {"Authorization": f"Bearer {TOKEN}"} if token else {}
        assert page.get("/state.json", **headers)[0] == 200
        assert page.get("/healthz", **headers)[0] in (200, 503)
    if code is None or code >= 400:
        raise EdgeFuseError("refused")


def efz(rng: random.Random, folder: Path) -> None:
    """Decode a compressed cube with flipped bits or truncated (intact tiles must be unchanged), or malicious with correct checksums."""
    from tests.hyperspectral import hostile

    # larger ones are slower, and show little that the others do not
    few = rng.random() < 0.9
    if not few and rng.random() < 0.3:
        if hostile.check_damaged(rng):
            raise EdgeFuseError("tiles were lost")
    elif hostile.check_made(rng, few) == 0:
        raise EdgeFuseError("no tile in it")


def envi(rng: random.Random, folder: Path) -> None:
    """Parse an ENVI header with extreme values in its fields, or with changed bytes, and write it again."""
    from tests.hyperspectral.mutate import HEADER, changed_fields, mutations, survive

    header = changed_fields(rng) if rng.random() < 0.8 else next(mutations(HEADER, 1, rng.getrandbits(32)))
    if not survive([header])[0]:
        raise EdgeFuseError("refused")


def manifest(rng: random.Random, folder: Path) -> None:
    """Load a manifest of an archive, and append to it."""
    from tests.hyperspectral.formats.hostile import check_manifest

    # what a line says is tested here, not whether it is on the disk
    os.fsync = lambda _: None
    check_manifest(rng, folder)


def decoders(seeds: range, tally: Tally, folder: Path) -> None:
    """Decode damaged streams with the compiled decoders of tiles and the sanitizers, in a program without Python (fuzz_decoders.c)."""
    from benchmarks import fuzz_decoders

    program, cases = folder / "fuzz_decoders", folder / "cases"
    if not cases.exists():
        program, cases = fuzz_decoders.build(folder)
    first = seeds.start
    while first < seeds.stop:
        done, found = fuzz_decoders.run(program, cases, first, seeds.stop - first)
        first += done
        tally.add(1, done - bool(found))
        if found:
            tally.find(f"seed {first - 1}:\n{found}")


def _cube(form: str) -> Feed:
    def feed(rng: random.Random, folder: Path) -> None:
        from tests.hyperspectral.formats.hostile import check_cube

        logging.getLogger("edgefuse").setLevel(logging.CRITICAL)
        check_cube(form, rng, folder)

    return feed


def picture(rng: random.Random, folder: Path) -> None:
    """Read a picture."""
    from tests.hyperspectral.formats.hostile import check_picture

    check_picture(rng, folder)


def model(rng: random.Random, folder: Path) -> None:
    """Load a graph of the NumPy runtime, and run it."""
    from tests.runtimes.hostile import check_graph

    check_graph(rng, folder)


def _model_file(runtime: str) -> Feed:
    def feed(rng: random.Random, folder: Path) -> None:
        from tests.runtimes.hostile import check_file

        check_file(runtime, rng, folder)

    return feed


_COMPLAINTS: list[logging.LogRecord] = []


@cache
def _page(token: bool) -> Any:
    import edgefuse
    from edgefuse.web import connection_limits
    from tests.web.conftest import TOKEN, Served

    class Ears(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if record.exc_info or record.levelno >= logging.ERROR:
                _COMPLAINTS.append(record)

    logging.getLogger().addHandler(Ears())
    connection_limits.WRONG_S = 0.0  # delay after a wrong token
    page = Served(token=TOKEN if token else None)
    with edgefuse.open_source("demo?size=96x80&frames=1&scene=day&depth=16") as source, edgefuse.load("blend-classic") as fuser:
        if pair := source.read():
            page.live.write(fuser.fuse(pair))

    def record(given: Any) -> dict[str, Any]:
        assert given in ({"on": True}, {"on": False}), given
        return {}

    page.live.register_command("record", record)
    page.live.register_command("snapshot", lambda given: {})
    return page


TARGETS: dict[str, Feed] = {
    **{f.__name__: f for f in (settings, mqtt, calibration, replay, http, efz, envi, manifest, picture, model)},
    **{form: _cube(form) for form in ("npy", "npz", "mat", "tiff", "hdf5")},
    "onnx": _model_file("onnx"),
    "tflite": _model_file("litert"),
}
# inputs that a release gets, from seed 0, and of the smoke run of .ci/run; GDAL and HDF5 may crash, so their inputs run in child processes
BUDGETS = {
    "efz": (10_000_000, 2000), "envi": (10_000_000, 5000), "manifest": (10_000_000, 500), "npy": (1_000_000, 1000),
    "npz": (1_000_000, 500), "mat": (1_000_000, 1500), "tiff": (1_000_000, 100), "hdf5": (1_000_000, 200),
    "picture": (1_000_000, 500), "model": (1_000_000, 500), "decoders": (10_000_000, 20_000),
    "onnx": (1_000_000, 100), "tflite": (1_000_000, 100),
}  # fmt: skip
CHILDREN = ("tiff", "hdf5", "picture", "onnx", "tflite")
MANY = {"decoders": decoders}  # targets that take a range of seeds at once
_CHUNK, _MANY = 500, 50_000  # inputs of a child process, and of a call of a target that takes many
_MOST_SHOWN = 20


class Tally:
    """Counts that child processes share: the seed in progress, inputs taken and refused, findings, and the slowest in seconds."""

    def __init__(self) -> None:
        self._memory = mmap.mmap(-1, 40)

    def get(self, k: int) -> float:
        return float(struct.unpack_from("<d", self._memory, 8 * k)[0])

    def put(self, k: int, value: float) -> None:
        struct.pack_into("<d", self._memory, 8 * k, value)

    def add(self, k: int, count: int = 1) -> None:
        self.put(k, self.get(k) + count)

    def find(self, text: str) -> None:
        self.add(3)
        if self.get(3) <= _MOST_SHOWN:
            print(text, flush=True)


def feed_all(feed: Feed, seeds: range, limit: float, tally: Tally, folder: Path) -> None:
    """Feed an input per seed."""
    for seed in seeds:
        tally.put(0, seed)
        # of processor time, which does not depend on what else the machine does
        begin = time.process_time()
        try:
            feed(random.Random(seed), folder)
            tally.add(1)
        except EdgeFuseError:
            tally.add(2)
        except Exception:
            tally.find(f"seed {seed}:\n{traceback.format_exc()}")
        took = time.process_time() - begin
        tally.put(4, max(tally.get(4), took))
        if took > limit:
            tally.find(f"seed {seed}: took {took:.1f} s")


def feed_in_child(feed: Feed, seeds: range, limit: float, tally: Tally, folder: Path) -> None:
    """Feed them in child processes: one that crashes or hangs is a finding, and the next goes on after its seed."""
    first = seeds.start
    while first < seeds.stop:
        pid = os.fork()
        if not pid:
            feed_all(feed, range(first, seeds.stop), limit, tally, folder)
            os._exit(0)
        stuck_at, since = -1.0, time.monotonic()
        while not (ended := os.waitpid(pid, os.WNOHANG))[0]:
            if tally.get(0) != stuck_at:
                stuck_at, since = tally.get(0), time.monotonic()
            elif time.monotonic() - since > 60 * limit:
                os.kill(pid, signal.SIGKILL)
            time.sleep(0.01)
        if not ended[1]:
            return
        tally.find(f"seed {tally.get(0):.0f}: its process ended with status {os.waitstatus_to_exitcode(ended[1])}")
        first = int(tally.get(0)) + 1


def fuzz(target: str, inputs: int, first: int, limit: float, until: float = 0.0) -> int:
    """Feed inputs to a target and print a line. Returns the findings. until: time (of time.time) at which to stop; 0: none."""
    began, tally, done, reported = time.perf_counter(), Tally(), 0, time.time()
    memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    with tempfile.TemporaryDirectory(dir=memory) as folder:

        def work(seeds: range, limit: float, tally: Tally) -> None:
            if target in MANY:
                MANY[target](seeds, tally, Path(folder))
            else:
                (feed_in_child if target in CHILDREN else feed_all)(TARGETS[target], seeds, limit, tally, Path(folder))

        # imports what it needs
        work(range(1), 60.0, Tally())
        while done < inputs and not (until and time.time() > until):
            size = min(_MANY if target in MANY else _CHUNK, inputs - done)
            work(range(first + done, first + done + size), limit, tally)
            done += size
            if time.time() - reported > 600:
                reported = time.time()
                print(f"{target}: {done} inputs so far, {tally.get(3):.0f} findings", flush=True)
    took = time.perf_counter() - began
    most = max(resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)) / 1024
    print(
        f"{target}: {done} inputs from seed {first} in {took:.0f} s ({done / max(took, 1e-9):.0f}/s): {tally.get(1):.0f} taken, "
        f"{tally.get(2):.0f} refused; slowest {tally.get(4) * 1e3:.1f} ms; at most {most:.0f} MB; {tally.get(3):.0f} findings",
        flush=True,
    )
    return int(tally.get(3))


def main() -> int:
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("targets", nargs="+", choices=[*TARGETS, *MANY, "smoke"], help="smoke: a few inputs of each target that has a budget")
    p.add_argument("--inputs", type=int, default=10_000)
    p.add_argument("--seed", "--first", type=int, default=0, help="seed of the first input; each further input has the next seed")
    p.add_argument("--memory", type=int, default=0, metavar="MB", help="memory limit of the process; beyond it a MemoryError is a finding")
    p.add_argument("--limit", type=float, default=5.0, help="time limit per input in seconds (default: 5)")
    p.add_argument("--until", metavar="HH:MM", help="stop at this time of today (UTC)")
    args = p.parse_args()
    if args.memory:
        resource.setrlimit(resource.RLIMIT_AS, (args.memory << 20, args.memory << 20))
    # a Python warning would be shown to the user
    warnings.simplefilter("error")
    until = 0.0
    if args.until:
        hour, minute = map(int, args.until.split(":"))
        until = datetime.datetime.now(datetime.UTC).replace(hour=hour, minute=minute, second=0).timestamp()
    findings = 0
    for target in args.targets:
        if target == "smoke":
            findings += sum(fuzz(name, few, 0, args.limit, until) for name, (_, few) in BUDGETS.items())
        else:
            findings += fuzz(target, args.inputs, args.seed, args.limit, until)
    if "http" in args.targets:
        for token in (False, True):
            _page(token).close()
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main())
