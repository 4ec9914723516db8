"""`edgefuse eval`: compares models, other methods' pictures and simple references on one source."""

from __future__ import annotations

import argparse
import json
import math
import os
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, get_args

import edgefuse
from edgefuse import settings
from edgefuse.cli.progress import Progress
from edgefuse.cli.run import model_line, warn
from edgefuse.cli.subcommands import Subcommands
from edgefuse.errors import MeasurementError, OutputError, SettingsError, SourceError
from edgefuse.fusion.options import DEFAULT_SHARPNESS, Colour
from edgefuse.settings import Precision, RunSettings
from edgefuse.util import files
from edgefuse.util.uri import expand

if TYPE_CHECKING:
    from edgefuse.evaluation import ComparedMethod, Evaluation, Row, Wanted
    from edgefuse.metrics.fusion.table import Group
    from edgefuse.sources import Source
    from edgefuse.telemetry.report_types import ModelFacts

_EPILOG = """\
The rank is the mean over the fusion metrics of a method's place among the others; 1 is best. It depends on the other methods,
so give several. docs/reference/metrics.md defines each metric. --people needs Node.js and npm packages; that page has the
command that installs them.

examples:
  edgefuse eval --source folder:pairs --model mobilefuse --reference average maximum laplacian
  edgefuse eval --source folder:pairs --model mobilefuse ./mine --fused out/ifcnn=IFCNN out/seafusion=SeAFusion --picture ranks.png
  edgefuse eval --source folder:pairs --masks pairs/mask --metrics all --json
  edgefuse eval --source folder:MSRS/test --people MSRS/boxes --day '*D' --reference average
  edgefuse eval --source "demo?frames=100" --reference average --flicker 8
"""
_MOST_SAMPLES = 100_000
REFERENCES = ("average", "maximum", "laplacian")
_GROUPS: dict[str, tuple[Group, ...]] = {"vifb": ("vifb",), "textbook": ("textbook",), "all": ("vifb", "textbook")}


def add(commands: Subcommands) -> None:
    p = commands.add_parser(
        "eval", help="compare fusion methods by metrics",
        description="Fuse each pair of a source with several methods, measure the pictures and rank the methods.",
        epilog=_EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False,
    )  # fmt: skip
    p.add_argument("--source", metavar="URI", required=True, help="where pairs come from, as for edgefuse run")
    p.add_argument(
        "--model", metavar="NAME", nargs="+", action="extend", default=[],
        help=f"models to measure: names or folders (default: {RunSettings().model}, if no --fused is given)",
    )  # fmt: skip
    p.add_argument(
        "--fused", metavar="DIR=NAME", nargs="+", action="extend", default=[],
        help="pictures fused by another method, DIR/PAIR.png (or another image suffix), and its name in the table",
    )  # fmt: skip
    p.add_argument("--reference", nargs="+", action="extend", default=[], choices=REFERENCES, help="simple methods to compare with")
    p.add_argument("--metrics", choices=tuple(_GROUPS), default="vifb", help="VIFB's thirteen (default), the textbook's twelve, or all")
    p.add_argument("--masks", metavar="DIR", help="target masks, white on black, DIR/PAIR.png: add the contrast of targets that is kept")
    p.add_argument(
        "--people", metavar="DIR",
        help="true boxes, DIR/PAIR.txt in YOLO format: add a detector's average precision (needs Node.js)",
    )  # fmt: skip
    p.add_argument(
        "--people-classes", metavar="KIND=N", default="person=0,car=2", help="class numbers of the boxes (default: %(default)s, as in COCO)"
    )
    p.add_argument(
        "--day",
        metavar="PATTERN",
        help="names of the pairs taken by day, such as '*D' (default: those with a mean visible luma of 50 or more)",
    )
    p.add_argument(
        "--bootstrap", metavar="N", type=int, default=1000,
        help="samples for the ranks' confidence interval over the pairs, 0 for none (default: %(default)s)",
    )  # fmt: skip
    p.add_argument(
        "--flicker", metavar="LEVELS", nargs="?", type=int, const=4,
        help="treat the pairs as a video and add flicker and step; flicker: where no input changes by more than LEVELS of 255 (default: 4)",
    )  # fmt: skip
    p.add_argument("--runtime", metavar="NAME", default="auto", help="auto, onnx, litert or numpy (default: auto)")
    p.add_argument("--precision", choices=get_args(Precision), help="int8 or fp32 (default: the model's own)")
    p.add_argument("--threads", metavar="N", type=int, help="threads of the networks (default: number of cores, at most 4)")
    p.add_argument("--colour", choices=get_args(Colour), default="balanced", help="visible chroma in models' pictures (default: balanced)")
    p.add_argument(
        "--sharpness", metavar="GAIN", type=float, default=DEFAULT_SHARPNESS, help="gain of models' details (default: %(default)s)"
    )
    p.add_argument(
        "--targets", metavar="N", type=float, default=1.0, help="how strongly targets are taken from infrared, 0 to 2 (default: 1)"
    )
    p.add_argument("--frames", metavar="N", type=int, help="stop after N pairs")
    p.add_argument("--json", action="store_true", help="print JSON")
    p.add_argument("--report", metavar="FILE", help="write the JSON to this file")
    p.add_argument("--picture", metavar="FILE.png", help="draw the table, coloured by rank (needs edgefuse[plots])")
    p.set_defaults(command=command)


def command(args: argparse.Namespace) -> int:
    """Run the command. Returns 0; errors for lost pairs and untrusted figures are raised after the table is printed."""
    from edgefuse.cli import comparison_table
    from edgefuse.evaluation import evaluate
    from edgefuse.sources import open_source

    with ExitStack() as stack:
        models = _settings(args)
        fused = [_pair(text) for text in args.fused]
        if args.picture is not None:
            if not args.picture.lower().endswith(".png"):
                raise SettingsError(f"--picture {args.picture}: expected a name ending in .png")
            comparison_table.check_plots()
        wanted = _wanted(stack, args)
        source = stack.enter_context(open_source(args.source))
        if source.info.warning:
            print(f"edgefuse: {source.info.warning}", file=sys.stderr)
        read = [*source.info.paths, *(folder for folder, _ in fused)]
        read += [given.folder for given in (wanted.masks, wanted.boxes) if given is not None]
        for option, text in (("--report", args.report), ("--picture", args.picture)):
            if text is not None:
                _check_output(option, text, read)
        methods = _methods(stack, models, fused, args.reference, args.flicker is not None)
        progress = Progress("evaluating", min((n for n in (source.info.pairs, args.frames) if n is not None), default=None))
        began = time.monotonic()
        try:
            evaluation = evaluate(
                source, methods, wanted, args.frames,
                lambda done: progress.update(done, f"{(time.monotonic() - began) / done:.2f} s a pair"),
            )  # fmt: skip
        finally:
            progress.close()
    report = json.dumps(_report(args, source, evaluation), indent=1, allow_nan=False)
    table = comparison_table.from_evaluation(evaluation)
    layout = f" ({source.info.layout})" if source.info.layout else ""
    summary = f"{evaluation.pairs} pair{'s' if evaluation.pairs > 1 else ''} of {args.source}{layout}, means over them"
    if args.report is not None:
        files.write_atomic(expand(args.report), (report + "\n").encode())
    if args.picture is not None:
        files.write_atomic(expand(args.picture), comparison_table.as_png(table, f"{summary}; blue is best in its column, red is worst"))
    runners = "".join(f"model  {model_line(_facts(row))}\n" for row in evaluation.rows if row.method.kind == "model")
    print(report if args.json else f"{runners}{summary}\n\n{comparison_table.as_text(table)}")
    _raise_faults(args, source, evaluation)
    return 0


def _wanted(stack: ExitStack, args: argparse.Namespace) -> Wanted:
    """Return what to measure in addition to the fusion metrics. Raises for missing folders and packages, before anything is fused."""
    from edgefuse.evaluation import Pictures, Wanted
    from edgefuse.metrics.people.detector import Detector
    from edgefuse.metrics.people.precision import Boxes, classes

    if not 0 <= args.bootstrap <= _MOST_SAMPLES:
        raise SettingsError(f"--bootstrap = {args.bootstrap}: expected a whole number from 0 to {_MOST_SAMPLES}")
    kinds = classes(args.people_classes)
    boxes = Boxes(expand(args.people), kinds) if args.people else None
    return Wanted(
        _GROUPS[args.metrics], Pictures(expand(args.masks), "the masks") if args.masks else None, args.flicker, args.day, boxes,
        stack.enter_context(Detector()) if boxes else None, args.bootstrap,
    )  # fmt: skip


def _settings(args: argparse.Namespace) -> list[RunSettings]:
    """Return checked settings, one per model, as for `edgefuse run`."""
    from edgefuse.zoo import DEFAULT_MODEL

    models = args.model or ([] if args.fused else [DEFAULT_MODEL])
    given = {k: getattr(args, k) for k in ("source", "runtime", "precision", "threads", "colour", "sharpness", "targets", "frames")}
    # checked even without a model, because the other options still apply
    settings.make({}, given)
    return [settings.make({}, {**given, "model": model}) for model in models]


def _pair(text: str) -> tuple[Path, str]:
    folder, _, name = text.rpartition("=")
    if not folder or not name.strip():
        raise SettingsError(f"--fused {text}: expected DIR=NAME, such as out/ifcnn=IFCNN")
    path = expand(folder)
    # os.path.isdir returns False where Path.is_dir raises: names that are too long, folders without permission
    if not os.path.isdir(path):  # noqa: PTH112
        raise SourceError(f"--fused {text}: {path}: no such folder; give the one with {name}'s pictures")
    return path, name.strip()


def _check_output(option: str, text: str, read: Sequence[Path]) -> None:
    if not text:
        raise SettingsError(f"{option} = '': expected a file's name")
    path = expand(text)
    if {os.path.realpath(path), os.path.realpath(path.parent)} & {os.path.realpath(p) for p in read}:
        raise OutputError(f"{option} {text} is where this evaluation reads from; choose another place")
    files.check_file(path)


def _methods(
    stack: ExitStack, wanted: list[RunSettings], fused: list[tuple[Path, str]], references: list[str], sequence: bool
) -> list[ComparedMethod]:
    from edgefuse.evaluation import FolderMethod, ModelMethod, ReferenceMethod
    from edgefuse.fusion.fuser import load

    # folders first, so that a missing picture is reported before a network runs
    methods: list[ComparedMethod] = [FolderMethod(name, folder) for folder, name in fused]
    methods += [ReferenceMethod(name) for name in references]
    for s in wanted:
        fuser = stack.enter_context(load(s.model, s.runtime, s.precision, s.threads, s.colour, s.sharpness, s.targets, sequence))
        warn(fuser)
        methods.append(ModelMethod(fuser))
    names = [m.name for m in methods]
    if duplicate := next((name for name in names if names.count(name) > 1), None):
        raise SettingsError(f"two methods are called '{duplicate}'; give each once, or another name to --fused")
    return methods


def _report(args: argparse.Namespace, source: Source, evaluation: Evaluation) -> dict[str, object]:
    from edgefuse.metrics.fusion import METRICS
    from edgefuse.metrics.fusion.intervals import LEVEL, SEED
    from edgefuse.metrics.people.precision import OVERLAP

    metrics = {name: METRICS[name] for name in evaluation.rows[0].metrics}
    return {
        "edgefuse": edgefuse.__version__,
        "source": args.source,
        **({"layout": source.info.layout} if source.info.layout else {}),
        "pairs": {"in": evaluation.pairs + len(evaluation.lost), "measured": evaluation.pairs, "lost": len(evaluation.lost)},
        "lost_pairs": [{"name": e.name, "cause": e.cause, "message": str(e)} for e in evaluation.lost],
        "metrics": {name: {"unit": m.unit, "better": m.better, "ranked": m.ranked} for name, m in metrics.items()},
        **({"bootstrap": {"samples": evaluation.samples, "level": LEVEL, "seed": SEED}} if evaluation.samples else {}),
        "day_pairs": evaluation.by_day,
        **({"people": {"pairs": evaluation.boxed, "boxes": evaluation.boxes, "overlap": OVERLAP}} if evaluation.boxes else {}),
        "methods": [_row(row, args.flicker) for row in evaluation.rows],
    }


def _row(row: Row, threshold: int | None) -> dict[str, object]:
    from edgefuse.metrics.natural import SIGMAS

    report: dict[str, object] = {"name": row.method.name, "kind": row.method.kind, "mean_rank": _number(row.mean_rank)}
    if row.method.kind == "model":
        report["model"] = _facts(row)
    if row.interval is not None:
        report["mean_rank_interval"] = asdict(row.interval)
    report["metrics"] = {name: _number(value) for name, value in row.metrics.items()}
    halo = {str(sigma): value for sigma, value in zip(SIGMAS, row.natural.halo, strict=True)}
    report["natural"] = {"halo": halo, "blackened": _number(row.natural.blackened), "day": _number(row.natural.day)}
    if row.targets is not None and row.seen is not None:
        report["targets_kept"] = asdict(row.targets)
        report["targets_seen"] = asdict(row.seen)
    if row.people is not None:
        report["people"] = {kind: _number(value) for kind, value in row.people.items()}
    if row.flicker is not None:
        figures = {name: _number(value) for name, value in asdict(row.flicker).items()}
        report["flicker"] = {"unit": "levels", "threshold": threshold, **figures}
    return report


def _facts(row: Row) -> ModelFacts:
    from edgefuse.evaluation import ModelMethod
    from edgefuse.run.session import model_facts

    assert isinstance(row.method, ModelMethod)
    return model_facts(row.method.fuser)


def _number(value: float) -> float | str | None:
    """Convert for JSON: "inf" for the PSNR of equal pictures, null for NaN (not measured)."""
    return None if math.isnan(value) else value if math.isfinite(value) else "inf"


def _raise_faults(args: argparse.Namespace, source: Source, evaluation: Evaluation) -> None:
    """Raise SourceError for lost pairs, MeasurementError for figures that nothing was measured for."""
    if evaluation.lost:
        rest = f" (and {len(evaluation.lost) - 1} more; --report lists them)" if len(evaluation.lost) > 1 else ""
        total = evaluation.pairs + len(evaluation.lost)
        raise SourceError(f"{len(evaluation.lost)} of {total} pairs of {source.info.uri} not measured: {evaluation.lost[0]}{rest}")
    first = evaluation.rows[0]
    if args.people and first.people is None:
        files_found = f"{evaluation.boxed} of {evaluation.pairs} pairs have a file there, none with a box of {args.people_classes}"
        raise MeasurementError(
            f"no precision: {args.people} has no box of a person or car for these pairs ({files_found}); name the files as the pairs"
        )
    if args.masks and first.targets is None:
        raise MeasurementError(f"no mask in {args.masks} has a target of 30 pixels or more; there is nothing to measure")
    if first.flicker is not None and not first.flicker.still:
        raise MeasurementError(
            f"no flicker: no pixel is still within {args.flicker} levels from one pair to the next; give more pairs or a higher "
            "--flicker LEVELS"
        )
