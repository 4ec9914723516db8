"""An emulated Raspberry Pi 3B+: builds it, runs a command on it, tests EdgeFuse on it.

`pi run` builds what is missing, adds this checkout's EdgeFuse, runs the command in /job, prints its output and exits with its exit code.
An instruction takes a nanosecond of the guest's clock, so milliseconds of `time.perf_counter()` are millions of instructions.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
from pathlib import Path

import check
import machine
import stages


def main() -> int:
    p = argparse.ArgumentParser(prog="pi", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    default = os.environ.get("EDGEFUSE_EMULATE") or stages.HERE.parents[2].with_name("emulate-cache")
    p.add_argument(
        "--cache",
        type=Path,
        default=Path(default),
        metavar="DIR",
        help="folder of the machine, 1.3 GB (default: $EDGEFUSE_EMULATE, or %(default)s)",
    )
    commands = p.add_subparsers(dest="verb", required=True)
    commands.add_parser("build", help="build what is missing; needs root")
    t = commands.add_parser(
        "test", help="test EdgeFuse, as ./scripts/test-on-pi", description=check.__doc__, formatter_class=p.formatter_class
    )
    t.add_argument("--count", nargs="+", metavar="MODEL", help="write these models' rows of benchmarks/instructions.json; also ifcnn")
    t.add_argument("--self-test", action="store_true", help="check that the test notices broken parts")
    r = commands.add_parser("run", help="run a command", usage="pi run [OPTIONS] -- COMMAND...")
    r.add_argument("--file", action="append", default=[], metavar="PATH[=NAME]", help="a file or folder to copy to /job")
    r.add_argument(
        "--with", action="append", default=[], dest="requirements", metavar="REQUIREMENT", help="further packages, such as numpy==1.26.4"
    )
    r.add_argument("--out", type=Path, metavar="DIR", help="folder to copy /job/out to")
    r.add_argument("--systemd", action="store_true", help="boot systemd first, to test units; slower")
    r.add_argument(
        "--skip-idle", action="store_true", help="for commands that sleep: fast, but waiting for the disk then counts up to 4 ms"
    )
    r.add_argument(
        "--timeout", type=float, default=1800, metavar="S", help="time limit in seconds, including the boot (default: %(default)s)"
    )
    r.add_argument("command", nargs="+")
    args = p.parse_args()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda n, _: sys.exit(128 + n))  # also ends machines and mounts
    if args.verb == "test":
        stages.need_root("./scripts/test-on-pi")
    lock = stages.build(args.cache.resolve())
    if args.verb == "build":
        return 0
    if args.verb == "test":
        return check.self_test(args.cache.resolve()) if args.self_test else check.test(args.cache.resolve(), args.count)
    for given in args.file:
        if not Path(given.partition("=")[0]).exists():
            p.error(f"--file {given}: there is no such file")
    lock.close()  # a running machine keeps its open files
    out = args.out.resolve() if args.out else None
    job = (args.command, args.file, args.requirements, None, out, args.systemd, args.skip_idle, args.timeout)
    return machine.run(args.cache.resolve(), *job)


if __name__ == "__main__":
    sys.exit(main())
