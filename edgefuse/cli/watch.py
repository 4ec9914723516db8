"""`edgefuse run --source cubes:DIR [--watch] --save OUT`: compresses the hyperspectral cubes in a folder, and new ones as they arrive."""

from __future__ import annotations

import json
import os
import time
from contextlib import ExitStack
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import edgefuse
from edgefuse.cli.progress import log_lines
from edgefuse.errors import CubeError, SettingsError
from edgefuse.hyperspectral.quality import Quality
from edgefuse.settings import RunSettings, Settings
from edgefuse.settings.cubes import CubesSettings
from edgefuse.util import files
from edgefuse.util.uri import expand, parse

if TYPE_CHECKING:
    from edgefuse.archive.examination import Examiner
    from edgefuse.archive.processes import LimitedPool
    from edgefuse.hyperspectral.part import Choice

_USED = ("source", "model", "save", "report")


def takes(given: Settings) -> bool:
    """Whether the source is a folder of cubes. Raises SettingsError for settings that such a run does not use."""
    s, plain = given.run, RunSettings(source=given.run.source)
    if s.source.partition(":")[0] != "cubes":
        if "cubes" in given.tables:
            raise SettingsError("[cubes], --watch, --bpppc and the like are only for cubes; give --source cubes:DIR")
        return False
    if wrong := [f.name for f in fields(s) if f.name not in _USED and getattr(s, f.name) != getattr(plain, f.name)]:
        raise SettingsError(f"--{wrong[0].replace('_', '-')} is only for pairs of frames, not cubes; omit it")
    if other := [table for table in given.tables if table != "cubes"]:
        raise SettingsError(f"[{other[0]}] is only for pairs of frames, not cubes; omit it")
    return True


def check(given: Settings) -> Path:
    """Check what a run would refuse, without making anything, and return the folder of the cubes. Raises EdgeFuseError."""
    s, cubes = given.run, given.tables.get("cubes") or CubesSettings()
    uri = parse(s.source)
    uri.allow()
    (folder,) = uri.paths(1)
    if not os.path.isdir(folder):  # noqa: PTH112
        raise CubeError(f"{folder}: no such folder; give the folder of the cubes")
    if not s.save:
        raise SettingsError("--save DIR is missing: the folder for the .efz files and their manifest")
    if os.path.realpath(expand(s.save)) == os.path.realpath(folder):
        raise SettingsError(f"--save {s.save} is the input folder; choose another place")
    files.check_place(expand(s.save))
    if s.report:
        files.check_target(expand(s.report))
    _quality(s, cubes)
    if isinstance(waves := cubes.choice().wavelengths, Path):
        from edgefuse.hyperspectral.part import read_wavelengths

        read_wavelengths(waves)
    return folder


def _quality(s: RunSettings, cubes: CubesSettings) -> Quality:
    # the default model is one for pairs
    return cubes.quality(None if s.model == RunSettings(source=s.source).model else s.model)


def run(given: Settings, as_json: bool) -> int:
    """Run the command. Returns 0, or raises OutputError, or after the report CubeError where cubes were unusable."""
    import logging

    from edgefuse.archive.incoming import CLOSED_S, PARTS_S, PATIENCE_S, SETTLE_S, IncomingCubes
    from edgefuse.archive.manifest import Manifest
    from edgefuse.archive.watch import Watch, events
    from edgefuse.run.systemd import notify, stop_on_signals

    s, cubes = given.run, given.tables.get("cubes") or CubesSettings()
    folder, out, quality, choice = check(given), expand(s.save or ""), _quality(s, cubes), cubes.choice()
    if s.report:
        files.check_file(expand(s.report))
    began, fed = time.monotonic(), [-1.0]
    say = logging.getLogger("edgefuse.watch").info
    with ExitStack() as stack:
        stack.enter_context(log_lines())
        manifest = stack.enter_context(Manifest(out))
        pool, examiner = _pools(cubes, choice, stack)
        waits = (SETTLE_S, PATIENCE_S, PARTS_S, CLOSED_S) if cubes.watch else (0.0, 0.0, 0.0, 0.0)
        incoming = IncomingCubes(folder, *waits, examiner)
        watch = Watch(incoming, manifest, quality, cubes.delete_originals, say, pool, examiner, choice)

        def beat() -> None:
            if time.monotonic() - fed[0] >= 1:
                ready = "READY=1\n" if fed[0] < 0 else ""
                notify(f"{ready}WATCHDOG=1\nSTATUS={watch.counts.done} cubes compressed")
                fed[0] = time.monotonic()

        signals = stack.enter_context(stop_on_signals(watch.stop))
        if cubes.watch:
            has_events = stack.enter_context(events(folder, watch.file_closed))
            say(f"watching {folder}" + ("" if has_events else f", looking every second and waiting {SETTLE_S:g} s for each to be whole"))
        try:
            watch.run(cubes.watch, beat)
        finally:
            notify("STOPPING=1")
            report = _report(s, watch, quality, choice, bool(signals), time.monotonic() - began)
            report["passed_over"] = _passed_over(incoming)
            text = json.dumps(report, indent=1)
            if s.report:
                files.write_atomic(expand(s.report), (text + "\n").encode())
            print(text if as_json else _text(report), flush=True)
    if watch.counts.bad:
        name, why = watch.counts.set_aside[0]
        rest = f" (and {watch.counts.bad - 1} more; {manifest.path} lists them)" if watch.counts.bad > 1 else ""
        raise CubeError(f"{watch.counts.bad} cubes of {folder} can't be used: {name}: {why}{rest}")
    return 0


def _pools(cubes: CubesSettings, choice: Choice, stack: ExitStack) -> tuple[LimitedPool, Examiner]:
    """Return a pool of one process for compression, and an examiner with its own pool; `stack` ends both."""
    from edgefuse.archive.examination import Examiner
    from edgefuse.archive.processes import LimitedPool, Limits
    from edgefuse.board.limits import usable_cores

    limits = Limits(cubes.memory_mb * 1_000_000, cubes.stall_s, cubes.time_s)
    pool, examining = (LimitedPool(count, limits) for count in (1, max(2, min(4, usable_cores()))))
    for each in (pool, examining):
        stack.callback(each.terminate)
    return pool, Examiner(examining, limits.memory_bytes, choice)


def _passed_over(incoming: Any) -> dict[str, Any]:
    from edgefuse.archive.grouping import PassedOver

    passed = PassedOver()
    for path, why in incoming.passed_over.items():
        passed.add(path.name, why)
    return passed.as_json()


def _report(s: RunSettings, watch: Any, quality: Quality, choice: Choice, interrupted: bool, elapsed: float) -> dict[str, Any]:
    from edgefuse.telemetry.report import peak_resident_bytes

    c = watch.counts
    return {
        "edgefuse": edgefuse.__version__,
        "source": s.source,
        "interrupted": interrupted,
        "settings": quality.as_json() | ({"choice": choice.as_json()} if choice.given else {}),
        "cubes": {"done": c.done, "already_done": c.already, "deleted": c.deleted, "bad": c.bad, "full_disk": c.full},
        "bad_cubes": [{"name": name, "message": why} for name, why in c.set_aside],
        "kept_originals": {"count": c.kept, "files": [{"name": name, "message": why} for name, why in c.stayed]},
        "bytes": {"in": c.bytes_in, "out": c.bytes_out},
        "elapsed_s": round(elapsed, 3),
        "peak_resident_mb": round(peak_resident_bytes() / 1e6, 1),
        "outputs": [s.save],
    }


def _text(report: dict[str, Any]) -> str:
    c, size = report["cubes"], report["bytes"]
    ratio = f", {size['in'] / size['out']:.2f} times smaller" if size["out"] else ""
    return (
        f"cubes      {c['done']} compressed, {c['already_done']} done before, {c['bad']} bad, {c['deleted']} originals deleted"
        + (f", {c['full_disk']} times without room" if c["full_disk"] else "")
        + _named("kept", "originals stay", report["kept_originals"])
        + _named("passed", "files are no cubes", report["passed_over"])
        + f"\nbytes      {size['in'] / 1e6:.2f} MB in, {size['out'] / 1e6:.2f} MB out{ratio}\n"
        f"memory     {report['peak_resident_mb']:.1f} MB peak resident"
    )


def _named(label: str, what: str, listed: dict[str, Any]) -> str:
    """Return a line that counts files and names up to three of them; empty where there are none."""
    first = ", ".join(f"{f['name']} ({f['message']})" for f in listed["files"][:3])
    first = "".join(c if c.isprintable() else "?" for c in first)
    return f"\n{label:<11}{listed['count']} {what}: {first}{', ...' if listed['count'] > 3 else ''}" if listed["count"] else ""
