"""An emulated Raspberry Pi 3B+: build it, run a command on it, test EdgeFuse on it.

`pi run` builds what is missing, brings this checkout's EdgeFuse in, runs the command in /job, prints its output and exits with its
code. An instruction is a nanosecond of the guest's clocks: milliseconds by `time.perf_counter()` are millions of instructions.
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
    p.add_argument("--cache", type=Path, default=Path(default), metavar="DIR", help="$EDGEFUSE_EMULATE, or %(default)s; 1.3 GB")
    commands = p.add_subparsers(dest="verb", required=True)
    commands.add_parser("build", help="make what is missing, as root")
    t = commands.add_parser("test", help="what ./scripts/test-on-pi does", description=check.__doc__, formatter_class=p.formatter_class)
    t.add_argument(
        "--count", nargs="+", metavar="MODEL", help="write these models' rows of benchmarks/instructions.json; ifcnn is one, too"
    )
    t.add_argument("--self-test", action="store_true", help="break the unit file, the memory limit and the wheel: each must be noticed")
    r = commands.add_parser("run", help="run a command", usage="pi run [OPTIONS] -- COMMAND...")
    r.add_argument("--file", action="append", default=[], metavar="PATH[=NAME]", help="a file or folder that the command finds in /job")
    r.add_argument("--with", action="append", default=[], dest="requirements", metavar="REQUIREMENT", help="as --with numpy==1.26.4")
    r.add_argument("--out", type=Path, metavar="DIR", help="where to put what the command writes to /job/out")
    r.add_argument("--systemd", action="store_true", help="boot systemd first, for units; slower")
    r.add_argument("--skip-idle", action="store_true", help="for jobs that sleep: fast, but waiting for the disk then counts up to 4 ms")
    r.add_argument("--timeout", type=float, default=1800, metavar="S", help="seconds here, boot included (default: %(default)s)")
    r.add_argument("command", nargs="+")
    args = p.parse_args()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda n, _: sys.exit(128 + n))  # which ends machines and mounts, too
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
    lock.close()  # a machine keeps the files that it has open
    out = args.out.resolve() if args.out else None
    job = (args.command, args.file, args.requirements, None, out, args.systemd, args.skip_idle, args.timeout)
    return machine.run(args.cache.resolve(), *job)


if __name__ == "__main__":
    sys.exit(main())
