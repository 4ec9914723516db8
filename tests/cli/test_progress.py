from __future__ import annotations

import io
import os
import pty
import subprocess
import sys

from edgefuse.cli.progress import Progress


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_the_bar_fills_and_is_erased() -> None:
    stream = Terminal()
    progress = Progress("fusing", 4, stream)
    progress.update(4, "9.0 FPS")
    assert "fusing 4/4 [" + "=" * 24 + "] 9.0 FPS" in stream.getvalue()
    progress.close()
    assert stream.getvalue().endswith("\r\x1b[K")


def test_the_bar_is_only_drawn_on_a_terminal() -> None:
    stream = io.StringIO()
    progress = Progress("fusing", 2, stream)
    progress.update(1)
    progress.close()
    assert stream.getvalue() == ""


def test_the_bar_on_a_real_terminal() -> None:
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "edgefuse", "run", "--source", "demo?frames=3&size=64x64"]
    subprocess.run(command, stdout=subprocess.DEVNULL, stderr=theirs, check=True, timeout=60)
    os.close(theirs)
    shown = os.read(ours, 65536).decode()
    os.close(ours)
    assert "fusing 3/3" in shown
