"""Runs `python -m edgefuse` many times, each in its own process, without the quarter of a second that each import takes.

A server process (warm_server.py) has imported NumPy, OpenCV and EdgeFuse. It forks for each command, and the child does what
`python -m edgefuse` does, including the interpreter's shutdown. With EDGEFUSE_TESTS_COLD=1 (./scripts/test --all) each command starts a
new interpreter, as for users.
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
    """`run` works as subprocess.run for `python -W error -m edgefuse` with captured output. `close` ends the server."""

    def __init__(self) -> None:
        command = [sys.executable, "-W", "error", str(_SERVER)]
        self._server = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1)

    def run(self, arguments: Sequence[str], cwd: Path, timeout_s: float) -> subprocess.CompletedProcess[str]:
        """Run a command. After `timeout_s` kills it and raises subprocess.TimeoutExpired."""
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
        """Return the next number from the server; None at the timeout."""
        assert self._server.stdout is not None
        # the server writes one line per request, so no line is left in the buffer
        if not select.select([self._server.stdout], [], [], timeout_s)[0]:
            return None
        return int(self._server.stdout.readline())

    def close(self) -> None:
        killed(self._server)
