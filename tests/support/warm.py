"""`python -m edgefuse` again and again, each in a process of its own, without the quarter of a second that importing takes each time.

A server process (warm_server.py) has imported NumPy, OpenCV and EdgeFuse; for each command it forks, and the child does what
`python -m edgefuse` does, to the interpreter's end. With EDGEFUSE_TESTS_COLD=1 (./scripts/test --all) every command is started as users do.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from tests.support.processes import killed

_SERVER = Path(__file__).with_name("warm_server.py")


class Warm:
    """`run` is subprocess.run for `python -W error -m edgefuse`, with its output captured. `close` ends the server."""

    def __init__(self) -> None:
        command = [sys.executable, "-W", "error", str(_SERVER)]
        self._server = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1)

    def run(self, arguments: Sequence[str], cwd: Path, timeout_s: float) -> subprocess.CompletedProcess[str]:
        """Raises subprocess.TimeoutExpired after `timeout_s`, and the command is killed."""
        assert self._server.stdin is not None
        with tempfile.TemporaryDirectory() as folder:
            files = [Path(folder) / "out", Path(folder) / "err"]
            job = {"arguments": arguments, "cwd": str(cwd), "env": dict(os.environ), "files": [str(f) for f in files]}
            self._server.stdin.write(json.dumps(job) + "\n")
            pid = self._answer(120)
            assert pid is not None, "the server of warm processes does not answer"
            if (code := self._answer(timeout_s)) is None:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
                self._answer(120)
            said = [f.read_text() for f in files]
        if code is None:
            raise subprocess.TimeoutExpired(list(arguments), timeout_s, *said)
        return subprocess.CompletedProcess(list(arguments), code, *said)

    def _answer(self, timeout_s: float) -> int | None:
        """The next number that the server says; None where it says none in time."""
        assert self._server.stdout is not None
        # it says one line at a time, so that no line waits in the buffer
        if not select.select([self._server.stdout], [], [], timeout_s)[0]:
            return None
        return int(self._server.stdout.readline())

    def close(self) -> None:
        killed(self._server)
