"""`edgefuse batch`: a whole archive, on this machine or on a Dask cluster."""

from __future__ import annotations

import argparse
import json
import time
from contextlib import ExitStack
from typing import Any

from edgefuse.cli.compress import add_quality
from edgefuse.cli.progress import Progress, log_lines
from edgefuse.errors import SettingsError
from edgefuse.hyperspectral.formats import FORMATS
from edgefuse.settings.cubes import Quality
from edgefuse.uri import expand

_EPILOG = """\
OUT is filled as DIR is: DIR/a/scene.img becomes OUT/a/scene.img.efz, and back. OUT/manifest.jsonl says what became of each; what it says is
done, from a source that has not changed, is not done again, so the same command goes on after whatever stopped it.

examples:
  edgefuse batch compress cubes archive --bpppc 0.25
  edgefuse batch compress cubes archive --max-error 0 --jobs 2
  edgefuse batch decompress archive restored --format npy
  edgefuse batch compress cubes archive --dask tcp://head:8786       cubes and archive under the same paths on every worker
"""


def add(commands: Any) -> None:
    p = commands.add_parser(
        "batch", help="compress or decompress an archive", description="Compress or decompress every cube below a folder.", epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False,
    )  # fmt: skip
    p.add_argument("verb", choices=("compress", "decompress"), help="what to do with each")
    p.add_argument("folder", metavar="DIR", help="where they are, subfolders included")
    p.add_argument("out", metavar="OUT", help="the folder to fill")
    add_quality(p)
    p.add_argument("--format", choices=tuple(FORMATS), help="of decompressed cubes (default: the one each came in)")
    p.add_argument("--jobs", metavar="N", type=int, help="processes (default: the cores there are, where memory allows)")
    p.add_argument("--dask", metavar="ADDRESS", help="a Dask scheduler whose workers do it (needs edgefuse[dask])")
    p.add_argument("--json", action="store_true", help="print the report as JSON")
    p.set_defaults(command=command)


def command(args: argparse.Namespace) -> int:
    from edgefuse.hyperspectral import batch, workers
    from edgefuse.hyperspectral.manifest import Manifest
    from edgefuse.service import stop_on_signals

    quality = Quality.of(vars(args))
    if args.verb == "decompress" and quality != Quality():
        raise SettingsError("an .efz file is decompressed as it was compressed; leave --model, --bpppc, --psnr and --max-error out")
    if args.verb == "compress" and args.format:
        raise SettingsError("--format is of decompress; compress writes .efz")
    if args.jobs is not None and (args.dask or not 1 <= args.jobs <= 256):
        raise SettingsError("--jobs: a whole number from 1 to 256, without --dask, whose cluster has its own")
    folder, out = expand(args.folder), expand(args.out)
    if folder.resolve() == out.resolve():
        raise SettingsError(f"OUT {args.out} is the folder that is read; choose another place")
    jobs = batch.plan(args.verb, folder, out, quality, args.format)
    tally, stops, began = batch.Tally(), [False], time.monotonic()

    def stop() -> None:
        stops[0] = True

    with ExitStack() as stack:
        stack.enter_context(log_lines())
        manifest = stack.enter_context(Manifest(out))
        crew = stack.enter_context(workers.dask(args.dask)) if args.dask else workers.local(args.jobs)
        progress = Progress(f"{args.verb}ing", len(jobs))
        stack.callback(progress.close)
        stack.enter_context(stop_on_signals(stop))
        try:
            batch.run(
                jobs, manifest, crew, tally,
                lambda t: progress.update(t.already + t.done + len(t.failed), f"{t.bytes_in / 1e6:.0f} MB, {len(t.failed)} failed"),
                lambda: stops[0],
            )  # fmt: skip
        finally:
            progress.close()
            report = _report(tally, crew.name, str(manifest.path), time.monotonic() - began)
            print(json.dumps(report, indent=1) if args.json else _text(report), flush=True)
    batch.complain(tally, manifest.path)
    return 0


def _report(tally: Any, crew: str, manifest: str, elapsed: float) -> dict[str, Any]:
    return {
        "found": tally.found, "already_done": tally.already, "done": tally.done,
        "failed": [{"name": name, "message": message} for name, message in tally.failed],
        "bytes": {"in": tally.bytes_in, "out": tally.bytes_out}, "elapsed_s": round(elapsed, 3), "workers": crew, "manifest": manifest,
    }  # fmt: skip


def _text(report: dict[str, Any]) -> str:
    size, seconds = report["bytes"], report["elapsed_s"]
    speed = f", {size['in'] / 1e6 / seconds:.2f} MB/s" if seconds and size["in"] else ""
    return (
        f"cubes      {report['found']} found, {report['already_done']} done before, {report['done']} done now, "
        f"{len(report['failed'])} failed\n"
        f"bytes      {size['in'] / 1e6:.2f} MB in, {size['out'] / 1e6:.2f} MB out{speed} ({seconds:.1f} s)\n"
        f"workers    {report['workers']}\nmanifest   {report['manifest']}"
    )
