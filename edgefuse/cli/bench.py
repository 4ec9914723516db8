"""`edgefuse bench`: measures speed and memory of models on this board, finds the fastest combination, and compares with a peer."""

from __future__ import annotations

import argparse
import json
import math
import signal
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast, get_args

from edgefuse.cli.progress import Progress
from edgefuse.cli.subcommands import Subcommands
from edgefuse.errors import EdgeFuseError, MeasurementError, ModelError, OutputError, SettingsError
from edgefuse.settings import Precision, RunSettings
from edgefuse.util import files
from edgefuse.util.uri import expand, size

if TYPE_CHECKING:
    from edgefuse.bench.cases import Case, Wanted
    from edgefuse.bench.report_types import Chosen, Report
    from edgefuse.bench.session import Session

_EPILOG = """\
Each case runs in its own process, on a day scene of the demo, end to end (including colour conversion) and its network alone. A figure
that cannot be trusted is marked ! and gives exit code 3: the board was throttled, the spread is too wide, or other programs used the
cores. docs/how-to/bench.md explains each figure.

examples:
  edgefuse bench                                          the default model and blend-classic, on every runtime here
  edgefuse bench --model mobilefuse --precision int8 --threads 1 4 --size 320x240 640x480 --html bench.html
  edgefuse bench --tune                                   store the fastest; edgefuse run --runtime auto uses it
  edgefuse bench --service                                what each stage of a whole service takes
  edgefuse bench --peer theirs.onnx --size 256x256        another fusion model, interleaved with ours: ratios and their spread
"""
DEFAULT_SIZE, PEER_ROUNDS = "640x480", 15
_SERVICE_FRAMES = 50
CLOSED_FORM = "blend-classic"
T = TypeVar("T")


def add(commands: Subcommands) -> None:
    p = commands.add_parser(
        "bench", help="measure speed and memory on this board", description="Measure models on this board, or find the fastest.",
        epilog=_EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False,
    )  # fmt: skip
    several: dict[str, Any] = {"nargs": "+", "action": "extend"}
    p.add_argument(
        "--model", metavar="NAME", **several,
        help=f"models: names or folders (default: {RunSettings().model} and {CLOSED_FORM}; with --tune only the first)",
    )  # fmt: skip
    p.add_argument("--runtime", metavar="NAME", **several, help="onnx, litert, numpy or auto (default: all that are installed)")
    p.add_argument("--precision", choices=get_args(Precision), **several, help="int8 or fp32 (default: all that exist)")
    p.add_argument(
        "--threads", metavar="N", type=_whole(1, 64), **several,
        help="threads of the network (default: 1 and the number of cores up to 4; with --peer 1; with --tune 1, 2 and 4, as available)",
    )  # fmt: skip
    p.add_argument("--size", metavar="WxH", type=_size, **several, help=f"frame sizes in pixels (default: {DEFAULT_SIZE})")
    p.add_argument("--warmup", metavar="SECONDS", type=_seconds(0), default=0.2, help="run this long before measuring (default: 0.2)")
    p.add_argument("--min-secs", metavar="SECONDS", type=_seconds(0.01), default=1.0, help="measure each figure this long (default: 1)")
    p.add_argument(
        "--frames", metavar="N", type=_whole(1, 10**6),
        help=f"and at least this many frames (default: 10); with --peer, rounds (default: {PEER_ROUNDS})",
    )  # fmt: skip
    p.add_argument("--cooldown", metavar="SECONDS", type=_seconds(0), default=0.0, help="pause between cases (default: 0)")
    p.add_argument("--peer", metavar="FILE.onnx", help="a fusion model with two picture inputs, measured interleaved with ours")
    p.add_argument(
        "--service", action="store_true",
        help="measure a whole service instead, by stage: cameras' buffers, pairing, fusion, view, viewer, recording, telemetry, alarm",
    )  # fmt: skip
    p.add_argument("--tune", action="store_true", help="store the fastest combination with a verified golden output for this board")
    p.add_argument(
        "--state-dir", metavar="DIR",
        help="folder of the choice (default: $STATE_DIRECTORY, $XDG_STATE_HOME/edgefuse or ~/.local/state/edgefuse, where run reads it)",
    )  # fmt: skip
    p.add_argument("--html", metavar="FILE", help="write one self-contained page with plots")
    p.add_argument("--report", metavar="FILE", help="write the JSON to this file")
    p.add_argument("--json", action="store_true", help="print JSON")
    p.set_defaults(command=command)


def command(args: argparse.Namespace) -> int:
    """Run the benchmark. Returns 0, or raises errors and untrusted figures after everything is printed."""
    if args.service:
        return _service(args)
    from edgefuse.bench.measure import Plan
    from edgefuse.bench.session import Session
    from edgefuse.bench.text_report import as_text

    wanted = _wanted(args)
    state = _check_outputs(args)
    plan = Plan(args.warmup, args.min_secs, args.frames or Plan().frames)
    # on SIGTERM end the children and remove the files as on Ctrl-C
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with Session(plan, args.cooldown) as session:
        cases = _cases(args, wanted, session)
        interrupt = _run(args, session, cases)
        chosen = _choose(args, wanted, session, state) if args.tune and not interrupt else None
        report = _report(args, session, chosen)
    text = json.dumps(report, indent=1, allow_nan=False)
    if args.report:
        files.write_atomic(expand(args.report), (text + "\n").encode())
    if args.html:
        from edgefuse.bench.html_report import as_html

        files.write_atomic(expand(args.html), as_html(report).encode())
    print(text if args.json else "\n".join([as_text(report), *map(_tuned_line, chosen or ())]))
    if interrupt:
        raise KeyboardInterrupt
    _raise_problems(report)
    return 0


def _service(args: argparse.Namespace) -> int:
    """Measure the whole service and print its stages."""
    from edgefuse.bench.service import VISIBLE, as_text, measure

    given = ("runtime", "precision", "threads", "peer", "tune", "html", "state_dir")
    if wrong := [name for name in given if getattr(args, name)]:
        raise SettingsError(f"--service and --{wrong[0].replace('_', '-')} cannot be combined")
    models, sizes = _once(args.model) or [RunSettings().model], _once(args.size) or [VISIBLE]
    if len(models) > 1 or len(sizes) > 1:
        raise SettingsError("--service takes one --model and one --size, that of the visible camera")
    if args.report:
        files.check_file(expand(args.report))
    report = measure(args.frames or _SERVICE_FRAMES, sizes[0], models[0])
    text = json.dumps(report, indent=1)
    if args.report:
        files.write_atomic(expand(args.report), (text + "\n").encode())
    print(text if args.json else as_text(report))
    return 0


def _report(args: argparse.Namespace, session: Session, chosen: list[Chosen] | None) -> Report:
    from edgefuse.bench.report import report

    return report(session, expand(args.peer) if args.peer else None, chosen)


def _whole(low: int, high: int) -> Callable[[str], int]:
    def convert(text: str) -> int:
        if not text.isdecimal() or not text.isascii() or len(text) > 9 or not low <= int(text) <= high:
            raise argparse.ArgumentTypeError(f"{text!r}: expected a whole number from {low} to {high}")
        return int(text)

    return convert


def _seconds(low: float) -> Callable[[str], float]:
    def convert(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not low <= value <= 86400:
            raise argparse.ArgumentTypeError(f"{text!r}: expected seconds, {low:g} to 86400")
        return value

    return convert


def _size(text: str) -> tuple[int, int]:
    from edgefuse.sources.demo import LARGEST, SMALLEST

    try:
        width, height = size(text)
    except ValueError:
        width = height = 0
    if not (SMALLEST <= width <= LARGEST[0] and SMALLEST <= height <= LARGEST[1]):
        wanted = f"WIDTHxHEIGHT, {SMALLEST}x{SMALLEST} to {LARGEST[0]}x{LARGEST[1]} pixels, such as {DEFAULT_SIZE}"
        raise argparse.ArgumentTypeError(f"{text!r}: expected {wanted}")
    return width, height


def _wanted(args: argparse.Namespace) -> Wanted:
    from edgefuse import registry, zoo
    from edgefuse.bench.cases import Wanted
    from edgefuse.runtimes import default_threads

    if args.tune and args.peer:
        raise SettingsError("--tune and --peer cannot be combined")
    if args.tune and args.runtime and "auto" in args.runtime:
        raise SettingsError("--tune chooses for auto; name the runtimes to try, or omit --runtime")
    if args.tune and args.size and len(set(args.size)) > 1:
        raise SettingsError("--tune takes one --size, that of the cameras")
    if args.state_dir is not None and not args.tune:
        raise SettingsError("--state-dir needs --tune")
    known = registry.names("edgefuse.runtimes")
    if unknown := [name for name in args.runtime or () if name not in ("auto", *known)]:
        raise SettingsError(f"unknown runtime '{unknown[0]}'; choose from auto, {', '.join(known)}")
    models = args.model or [zoo.DEFAULT_MODEL, *([] if args.tune else [CLOSED_FORM])]
    most = default_threads()
    usual = {1} if args.peer else {n for n in (1, 2, most) if n <= most} if args.tune else {1, most}
    return Wanted(
        {name: zoo.find(name, "fusion") for name in models}, _once(args.runtime), _once(args.precision),
        _once(args.threads) or sorted(usual), _once(args.size) or [_size(DEFAULT_SIZE)],
    )  # fmt: skip


def _once(values: list[T] | None) -> list[T] | None:
    return list(dict.fromkeys(values)) if values else None


def _check_outputs(args: argparse.Namespace) -> Path | None:
    """Check that all outputs are writable before measuring. Returns the folder for the choice, with --tune."""
    from edgefuse.runtimes import tuned

    for option in ("html", "report", "peer", "state_dir"):
        if getattr(args, option) == "":
            raise SettingsError(f"--{option.replace('_', '-')} = '': expected a name")
    for text in (args.html, args.report):
        if text:
            files.check_file(expand(text))
            if args.peer and expand(text).resolve() == expand(args.peer).resolve():
                raise OutputError(f"{text} is the peer itself; choose another place")
    if args.peer and not expand(args.peer).is_file():
        raise ModelError(f"{args.peer}: no such file; give a peer's .onnx file")
    if not args.tune:
        return None
    folder = expand(args.state_dir) if args.state_dir else tuned.state_folder()
    if folder is None:
        raise SettingsError("no home folder for storing the choice; give --state-dir DIR")
    files.check_folder(folder)
    return folder


def _cases(args: argparse.Namespace, wanted: Wanted, session: Session) -> list[Case]:
    from edgefuse.bench.cases import product, refuse_none
    from edgefuse.bench.session import here

    used = wanted.runtimes or [f.runtime for card in wanted.cards.values() for f in card.files]
    wrong = here([name for name in dict.fromkeys(used) if name != "auto"]) if any(c.files for c in wanted.cards.values()) else {}
    for error in wrong.values():
        if error is not None and args.runtime:
            raise error
        session.left_out += [] if error is None else [str(error)]
    cases, left_out = product(wanted, {name: error is None for name, error in wrong.items()})
    refuse_none(cases, left_out)
    # an unusable runtime was reported already
    session.left_out += [why for why in left_out if not why.endswith("can't be used here")]
    return cases


def _run(args: argparse.Namespace, session: Session, cases: Sequence[Case]) -> bool:
    """Measure all cases. Returns whether it was interrupted with results; raises KeyboardInterrupt where there are none."""
    progress = Progress("measuring", None if args.peer else len(cases))
    notes = 0

    def on_progress(note: str) -> None:
        nonlocal notes
        progress.update(notes, note)
        notes += 1

    try:
        if args.peer:
            session.compare_with_peer(expand(args.peer), cases, args.frames or PEER_ROUNDS, on_progress)
        else:
            session.measure(cases, args.tune, on_progress)
    except KeyboardInterrupt:
        session.interrupted = True
        if not session.rows and not session.comparisons:
            raise
    finally:
        progress.close()
    return session.interrupted


def _choose(args: argparse.Namespace, wanted: Wanted, session: Session, folder: Path | None) -> list[Chosen]:
    """Choose the fastest of each model, and store it if it can be trusted."""
    from edgefuse.bench.tune import fastest, remembered
    from edgefuse.runtimes.tuned import remember

    assert folder is not None
    chosen = []
    for model, card in wanted.cards.items():
        row = fastest(session.rows, model)
        tuned = remembered(card, row)
        file = None if row["doubts"] else str(remember(folder, tuned))
        chosen.append(cast("Chosen", asdict(tuned) | {"remembered_in": file}))
    return chosen


def _tuned_line(chosen: Chosen) -> str:
    threads = f"{chosen['threads']} thread{'s' if chosen['threads'] > 1 else ''}"
    what = f"{chosen['model']} {chosen['precision']} on {chosen['runtime']}, {threads}: {chosen['frame_ms']:.2f} ms per frame"
    if chosen["remembered_in"] is None:
        return f"\nfastest    {what}; not stored, because the figure can't be trusted"
    return f"\nfastest    {what}; stored in {chosen['remembered_in']}, --runtime auto uses it"


def _raise_problems(report: Report) -> None:
    from edgefuse.bench.text_report import doubts

    failed = [row for row in report["cases"] if row["status"] != "ok"]
    if failed:
        first = f"{failed[0]['model']} {failed[0]['runtime']} {failed[0]['precision'] or ''}".strip()
        raise EdgeFuseError(f"{len(failed)} of {len(report['cases'])} cases failed; {first}: {failed[0]['error']}")
    reasons = doubts(report)
    if reasons:
        rest = f" (and {len(reasons) - 1} more)" if len(reasons) > 1 else ""
        raise MeasurementError(
            f"not all figures can be trusted: {reasons[0]}{rest}; close other programs, let the board cool down, and measure again"
        )
