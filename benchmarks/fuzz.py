"""Fuzz tests with malformed input from a seed: `python benchmarks/fuzz.py settings --inputs 100000 --seed 6`

A target is a function that makes one input from a random generator and processes it. An EdgeFuseError is accepted; any other exception is a
finding, and so is an input that takes longer than --limit. To add a target, write a function and add a line to TARGETS. Each finding is
printed with its seed; --first SEED --inputs 1 repeats it. Exit code 1 if there are findings.
"""

from __future__ import annotations

import argparse
import logging
import random
import resource
import sys
import tempfile
import time
import traceback
import warnings
from collections import Counter
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

    if rng.random() < 0.3:
        if hostile.check_damaged(rng):
            raise EdgeFuseError("tiles were lost")
    elif hostile.check_made(rng) == 0:
        raise EdgeFuseError("no tile in it")


def envi(rng: random.Random, folder: Path) -> None:
    """Parse an ENVI header."""
    from tests.hyperspectral.mutate import HEADER, mutations, survive

    logging.getLogger("edgefuse").setLevel(logging.CRITICAL)
    if not survive(mutations(HEADER, 1, rng.getrandbits(32)))[0]:
        raise EdgeFuseError("refused")


_COMPLAINTS: list[logging.LogRecord] = []


@cache
def _page(token: bool) -> Any:
    import edgefuse
    from edgefuse.web import access
    from tests.web.conftest import TOKEN, Served

    class Ears(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if record.exc_info or record.levelno >= logging.ERROR:
                _COMPLAINTS.append(record)

    logging.getLogger().addHandler(Ears())
    access.WRONG_S = 0.0  # delay after a wrong token
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


TARGETS: dict[str, Feed] = {f.__name__: f for f in (settings, mqtt, calibration, replay, http, efz, envi)}


def main() -> int:
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("target", choices=TARGETS)
    p.add_argument("--inputs", type=int, default=10_000)
    p.add_argument("--seed", "--first", type=int, default=0, help="seed of the first input; each further input has the next seed")
    p.add_argument("--memory", type=int, default=0, metavar="MB", help="memory limit of the process; beyond it a MemoryError is a finding")
    p.add_argument("--limit", type=float, default=5.0, help="time limit per input in seconds (default: 5)")
    args = p.parse_args()
    feed, answers, findings, slowest = TARGETS[args.target], Counter[str](), 0, 0.0
    began = time.perf_counter()
    if args.memory:
        resource.setrlimit(resource.RLIMIT_AS, (args.memory << 20, args.memory << 20))
    # a Python warning would be shown to the user
    warnings.simplefilter("error")
    with tempfile.TemporaryDirectory() as folder:
        for seed in range(args.seed, args.seed + args.inputs):
            begin = time.perf_counter()
            try:
                feed(random.Random(seed), Path(folder))
                answers["taken"] += 1
            except EdgeFuseError as e:
                answers[type(e).__name__] += 1
            except Exception:
                findings += 1
                print(f"seed {seed}:\n{traceback.format_exc()}")
            took = time.perf_counter() - begin
            slowest = max(slowest, took)
            if took > args.limit:
                findings += 1
                print(f"seed {seed}: took {took:.1f} s")
    told = ", ".join(f"{n} {what}" for what, n in answers.most_common())
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    took = time.perf_counter() - began
    print(f"{args.inputs} inputs in {took:.0f} s: {told}; slowest {slowest * 1e3:.1f} ms; at most {most:.0f} MB; {findings} findings")
    for token in (False, True):
        if args.target == "http":
            _page(token).close()
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main())
