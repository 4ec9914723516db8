"""`edgefuse doctor`: checks whether EdgeFuse runs on this machine, and prints fixes."""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
from dataclasses import replace

from edgefuse.cli.progress import Progress
from edgefuse.cli.subcommands import Subcommands
from edgefuse.errors import EdgeFuseError
from edgefuse.util.printable import line

_EPILOG = """\
examples:
  edgefuse doctor                        a table of ok, warn and fail, with the commands that fix them
  edgefuse doctor --json                 the same for a script, with every camera mode and version
  edgefuse doctor | grep -A1 ^fail       only the failures
  edgefuse doctor | grep 'large models'  models that have enough memory for 640x480 frames here

exit codes: 0 nothing failed (there may be warnings), 1 something failed
"""


def add(commands: Subcommands) -> None:
    p = commands.add_parser(
        "doctor", help="check this machine and print fixes",
        description="Check runtimes, libraries, models and their memory, cameras, power, disk, clock and service. "
        "Nothing is changed.",
        epilog=_EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False,
    )  # fmt: skip
    p.add_argument("--json", action="store_true", help="print JSON")
    p.set_defaults(command=command)


def command(args: argparse.Namespace) -> int:
    from edgefuse.board import read_board, read_libraries
    from edgefuse.doctor import Host, checks, examine
    from edgefuse.doctor.host import container
    from edgefuse.doctor.report import as_json, as_text, versions
    from edgefuse.run.systemd import stop_on_signals

    host, wanted = Host(), checks()
    progress = Progress("checking", len(wanted))
    with stop_on_signals(host.stop):
        try:
            findings = examine(host, wanted, progress.update)
        finally:
            host.stop()
            progress.close()
    # names of devices come from the devices themselves
    findings = [replace(f, what=line(f.what)) for f in findings]
    board, inside = read_board(), container(host)
    libraries = versions(read_libraries(), findings)
    if args.json:
        print(json.dumps(as_json(board, inside, libraries, findings), indent=1))
    else:
        terminal = sys.stdout.isatty()
        colour = terminal and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
        print(as_text(board, inside, libraries, findings, shutil.get_terminal_size().columns if terminal else None, colour))
    if failed := list(dict.fromkeys(f.name for f in findings if f.state == "fail")):
        raise EdgeFuseError(
            f"{len(failed)} of {len(findings)} checks failed: {', '.join(failed)}; run the commands after mend:, then edgefuse doctor"
        )
    return 0
