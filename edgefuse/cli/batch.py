"""`edgefuse batch`: processes a whole archive, on this machine or on a Dask cluster."""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgefuse.cli import cube_options
from edgefuse.cli import sharpen as one_pair
from edgefuse.cli.compress import add_quality
from edgefuse.cli.progress import Progress, log_lines
from edgefuse.cli.subcommands import Subcommands
from edgefuse.errors import SettingsError
from edgefuse.hyperspectral.formats import FORMATS
from edgefuse.hyperspectral.quality import Quality
from edgefuse.util.printable import printable
from edgefuse.util.uri import expand

if TYPE_CHECKING:
    from edgefuse.archive.job import Job
    from edgefuse.archive.processes import Limits
    from edgefuse.archive.runner import Tally

_EPILOG = """\
OUT gets DIR's structure. OUT/manifest.jsonl lists the outcome of each file; what is done, from an unchanged source, is not done
again, so the same command continues after an interruption. `edgefuse batch VERB --help` lists the options.

examples:
  edgefuse batch compress cubes archive --bpppc 0.25
  edgefuse batch decompress archive restored --format npy
  edgefuse batch sharpen pairs sharp --report
  edgefuse batch compress cubes archive --dask tcp://head:8786       needs the same paths on every worker
"""
_COMPRESS = """\
DIR/a/scene.img becomes OUT/a/scene.img.efz. Lossless without --bpppc, --psnr or --max-error.

examples:
  edgefuse batch compress cubes archive --bpppc 0.25
  edgefuse batch compress cubes archive --max-error 0 --jobs 2
  edgefuse batch compress cubes archive --dataset reflectance --axes bands,rows,columns
  edgefuse batch compress cubes archive --dask tcp://head:8786
"""
_DECOMPRESS = """\
DIR/a/scene.img.efz becomes OUT/a/scene.img.

examples:
  edgefuse batch decompress archive restored
  edgefuse batch decompress archive restored --format npy --jobs 2
"""
_SHARPEN = """\
Cubes and images are recognised by a word in their paths, hsi or hs and msi or ms; they are a pair if the paths differ only in that word and
the suffix: a/scene_hsi.img and a/scene_msi.tif, hsi/scene.img and msi/scene.tif, scene/hsi.img and scene/msi.img. With --images DIR the
cubes are in one folder and the images in the other, under the same names, with or without the words. The output is OUT/CUBE'S PATH.
A cube without an image, or with two, is reported, and the others are processed; images without a cube are ignored.

examples:
  edgefuse batch sharpen pairs sharp
  edgefuse batch sharpen hyperion sharp --images ali --psf auto --format tiff
  edgefuse batch sharpen pairs sharp --report --uncertainty --jobs 2 --json
  edgefuse batch sharpen pairs sharp --dask tcp://head:8786
"""

_MEMORY_MB = {"compress": 512, "decompress": 512, "sharpen": 800}
_STALL_S = {"compress": 60.0, "decompress": 60.0, "sharpen": 900.0}  # sharpening reports nothing while it prepares a scene
_TIME_S = 7200.0


def add(commands: Subcommands) -> None:
    p = commands.add_parser(
        "batch", help="compress, decompress or sharpen an archive", epilog=_EPILOG, allow_abbrev=False,
        description="Compress, decompress or sharpen every cube below a folder.", formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    verbs = p.add_subparsers(metavar="VERB", required=True)
    for do, what, epilog, options in (
        (compress, "each cube into an .efz file", _COMPRESS, _compressing),
        (decompress, "each .efz file back into a cube", _DECOMPRESS, _decompressing),
        (sharpen, "each cube by its image", _SHARPEN, _sharpening),
    ):
        name = do.__name__
        v = verbs.add_parser(
            name, help=what, description=f"{name.capitalize()} {what}.", epilog=epilog, allow_abbrev=False,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )  # fmt: skip
        v.add_argument("folder", metavar="DIR", help="the input folder, including subfolders")
        v.add_argument("out", metavar="OUT", help="the output folder")
        options(v)
        v.add_argument("--jobs", metavar="N", type=int, help="processes (default: the number of cores, as memory allows)")
        v.add_argument("--memory", metavar="MB", type=int, help=f"memory that one may allocate (default: {_MEMORY_MB[name]})")
        v.add_argument("--stall", metavar="S", type=float, help=f"seconds that one may take without progress (default: {_STALL_S[name]:g})")
        v.add_argument("--time", metavar="S", type=float, help=f"seconds that one may take in all (default: {_TIME_S:g})")
        v.add_argument("--dask", metavar="ADDRESS", help="a Dask scheduler whose workers do the jobs (needs edgefuse[dask])")
        v.add_argument("--json", action="store_true", help="print the report as JSON")
        v.set_defaults(command=do)


def _compressing(p: argparse.ArgumentParser) -> None:
    add_quality(p)
    cube_options.add_options(p, nodata=False)


def _decompressing(p: argparse.ArgumentParser) -> None:
    p.add_argument("--format", choices=tuple(FORMATS), help="format of the cubes (default: their original one)")


def _sharpening(p: argparse.ArgumentParser) -> None:
    p.add_argument("--images", metavar="DIR", help="folder of the images (default: beside the cubes)")
    p.add_argument("--format", choices=tuple(FORMATS), help="format of the sharpened cubes (default: by each cube's suffix)")
    one_pair.add_options(p)
    p.add_argument("--uncertainty", action="store_true", help="also write the standard deviation of a sample's error: NAME.uncertainty.*")
    p.add_argument("--threads", metavar="N", type=int, default=1, help="threads of each process (default: 1)")


def compress(args: argparse.Namespace) -> int:
    from edgefuse.archive import compression
    from edgefuse.archive.grouping import PassedOver

    quality = Quality.from_options(vars(args))
    folder, out = _folders(args)
    passed = PassedOver()
    jobs = compression.plan("compress", folder, out, quality, passed_over=passed.add, choice=cube_options.choice(args, nodata=False))
    return _run(args, "compressing", jobs, out, more={"passed_over": passed.as_json()})


def decompress(args: argparse.Namespace) -> int:
    from edgefuse.archive import compression

    folder, out = _folders(args)
    return _run(args, "decompressing", compression.plan("decompress", folder, out, Quality(), args.format), out)


def sharpen(args: argparse.Namespace) -> int:
    from edgefuse.archive import sharpening
    from edgefuse.sharpening.base import sharpener

    folder, out = _folders(args)
    images = expand(args.images) if args.images else None
    if images and images.resolve() in (folder.resolve(), out.resolve()):
        raise SettingsError(f"--images {args.images} is {'DIR: leave it out' if images.resolve() == folder.resolve() else 'OUT'}")
    how = one_pair.options(args)
    sharpener(args.model)
    threads = args.threads or 1
    jobs, passed = sharpening.plan(folder, images, out, how, args.uncertainty, threads, args.format, one_pair.choices(args))
    return _run(args, "sharpening", jobs, out, sharpening.JOB_BYTES, threads, {"passed_over": passed})


def _folders(args: argparse.Namespace) -> tuple[Path, Path]:
    if args.jobs is not None and (args.dask or not 1 <= args.jobs <= 256):
        raise SettingsError("--jobs: expected a whole number from 1 to 256, and no --dask, whose cluster has its own")
    folder, out = expand(args.folder), expand(args.out)
    if folder.resolve() == out.resolve():
        raise SettingsError(f"OUT {args.out} is the input folder; choose another place")
    return folder, out


def _run(
    args: argparse.Namespace, label: str, jobs: Sequence[Job], out: Path, each_bytes: int | None = None, threads: int = 1,
    more: dict[str, object] | None = None,
) -> int:  # fmt: skip
    from edgefuse.archive import executors, runner
    from edgefuse.archive.manifest import Manifest
    from edgefuse.run.systemd import stop_on_signals

    tally, stops, began = runner.Tally(), [False], time.monotonic()

    def stop() -> None:
        stops[0] = True

    with ExitStack() as stack:
        stack.enter_context(log_lines())
        manifest = stack.enter_context(Manifest(out))
        here = executors.local(args.jobs, each_bytes or executors.JOB_BYTES, threads, _limits(args))
        pool = stack.enter_context(executors.dask(args.dask)) if args.dask else here
        progress = Progress(label, len(jobs))
        stack.callback(progress.close)
        stack.enter_context(stop_on_signals(stop))
        try:
            runner.run(
                jobs, manifest, pool, tally,
                lambda t: progress.update(t.already + t.done + len(t.failed), f"{t.bytes_in / 1e6:.0f} MB, {len(t.failed)} failed"),
                lambda: stops[0],
            )  # fmt: skip
        finally:
            progress.close()
            report = _report(tally, pool.name, str(manifest.path), time.monotonic() - began) | (more or {})
            print(json.dumps(report, indent=1) if args.json else _text(report), flush=True)
    runner.raise_failures(tally, manifest.path)
    return 0


def _limits(args: argparse.Namespace) -> Limits:
    from edgefuse.archive.processes import Limits

    verb = args.command.__name__
    memory_mb = _MEMORY_MB[verb] if args.memory is None else args.memory
    stall_s, total_s = args.stall or _STALL_S[verb], args.time or _TIME_S
    if memory_mb < 64 or not 1 <= stall_s <= 1e7 or not 1 <= total_s <= 1e7:
        raise SettingsError("--memory: expected at least 64 MB; --stall and --time: 1 second to 10,000,000")
    return Limits(memory_mb * 1_000_000, stall_s, total_s)


def _report(tally: Tally, workers: str, manifest: str, elapsed: float) -> dict[str, Any]:
    return {
        "found": tally.found, "already_done": tally.already, "done": tally.done,
        "failed": [{"name": name, "message": message} for name, message in tally.failed],
        "bytes": {"in": tally.bytes_in, "out": tally.bytes_out}, "elapsed_s": round(elapsed, 3), "workers": workers, "manifest": manifest,
    }  # fmt: skip


def _text(report: dict[str, Any]) -> str:
    size, seconds = report["bytes"], report["elapsed_s"]
    speed = f", {size['in'] / 1e6 / seconds:.2f} MB/s" if seconds and size["in"] else ""
    lines = [
        f"cubes      {report['found']} found, {report['already_done']} done before, {report['done']} done now, "
        f"{len(report['failed'])} failed",
        f"bytes      {size['in'] / 1e6:.2f} MB in, {size['out'] / 1e6:.2f} MB out{speed} ({seconds:.1f} s)",
        f"workers    {report['workers']}",
        f"manifest   {report['manifest']}",
    ]
    if not isinstance(passed := report.get("passed_over") or [], list):
        first = ", ".join(f"{f['name']} ({f['message']})" for f in passed["files"][:3])
        first = "".join(c if c.isprintable() else "?" for c in first)
        lines[1:1] = [f"passed     {passed['count']} files that are no cubes: {first}"] if passed["count"] else []
    elif passed:
        lines.insert(1, f"passed     {len(passed)} over: images without a cube, and what is neither, such as {passed[0]}")
    return "\n".join(map(printable, lines))
