"""Commands that open cubes are ended where a file makes them hang or crash, and their own ends stay what they were."""

from __future__ import annotations

import os
import re
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tests.archive import bad_cubes
from tests.support.processes import killed
from tests.support.waiting import until

DEADLINE_S = 120.0
# `edgefuse info`, whose reading is replaced by one that does what the test needs, with small limits
PROGRAM = """
import os, signal, sys, time
from pathlib import Path
from edgefuse.cli import info, main, pipes, supervisor
from edgefuse.util import heartbeat

supervisor.OPEN_CPU_S, supervisor.OPEN_WALL_S, supervisor.STALL_S, supervisor._POLL_S = 0.2, 60.0, 0.2, 0.05

def spin(seconds=1e9):
    end = time.process_time() + seconds
    while time.process_time() < end:
        pass

def describe(path, dataset, header):
    what = sys.argv[1]
    with heartbeat.opening(path):
        if what == "hang":
            spin()
        if what == "blocked":
            time.sleep(1e6)
        if what in ("SIGSEGV", "SIGKILL"):
            os.kill(os.getpid(), getattr(signal, what))
    if what == "stall":
        spin()
    if what == "busy":
        for _ in range(8):
            spin(0.1)
            heartbeat.beat()
            time.sleep(0.3)
    if what == "wait":
        try:
            # the test interrupts once it has read this
            print(os.getpid(), flush=True)
            time.sleep(1e6)
        finally:
            print("cleaned", flush=True)
    if what == "leave":
        with pipes._scratch() as folder:
            Path(folder, "large").touch()
            print(folder, flush=True)
            spin()
    if what == "finished":
        heartbeat.finished()
        spin(1.5)
    return facts

facts = {"kind": "a kind", "file": ""}
if sys.argv[1] == "blocked":
    supervisor.OPEN_WALL_S = 0.3
info.describe = describe
sys.exit(main.main(["info", "FILE"], supervised=True))
"""


def program(what: str, folder: Path) -> subprocess.Popen[str]:
    (folder / "FILE").touch()
    command = [sys.executable, "-W", "error", "-c", PROGRAM, what]
    environment = os.environ | {"OPENBLAS_NUM_THREADS": "1", "TMPDIR": str(folder)}
    return subprocess.Popen(command, cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def ended(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    try:
        out, said = process.communicate(timeout=DEADLINE_S)
    finally:
        killed(process)
    return process.returncode, out, said


@pytest.mark.parametrize(
    ("what", "code", "said"),
    [
        ("hang", 2, r"FILE can't be opened within 0 s of processor time: reading it hangs; the file is probably damaged"),
        ("SIGSEGV", 2, r"FILE: reading it crashed the command \(SIGSEGV\); the file is probably damaged"),
        # the others are the same in less frequent cases
        *(
            pytest.param(*case, marks=pytest.mark.slow)
            for case in (
                ("blocked", 2, r"FILE can't be opened within 0 s: reading it hangs; the file is probably damaged"),
                ("stall", 2, r"FILE: no progress within [0-9]+ s of processor time, so the command was ended; .* damaged"),
                ("SIGKILL", 1, r"the command was killed \(SIGKILL\), probably because the memory ran out; free some, or add swap"),
            )
        ),
    ],
)
def test_a_file_ends_its_command_in_one_line(tmp_path: Path, what: str, code: int, said: str) -> None:
    ends, out, err = ended(program(what, tmp_path))
    assert re.fullmatch(f"edgefuse: {said}\n", err), err
    assert (ends, out) == (code, "")


@pytest.mark.slow
@pytest.mark.parametrize("what", ["nothing", "busy", "finished"])
def test_progress_and_output_are_not_limited(tmp_path: Path, what: str) -> None:
    assert ended(program(what, tmp_path)) == (0, "FILE: a kind\n", "")


@pytest.mark.slow
def test_an_ended_command_leaves_no_temporary_folder(tmp_path: Path) -> None:
    code, out, _ = ended(program("leave", tmp_path))
    assert code == 2
    assert out.startswith(str(tmp_path))
    assert not Path(out.strip()).exists()


def _child_of(process: subprocess.Popen[str]) -> int:
    assert process.stdout is not None
    assert select.select([process.stdout], [], [], DEADLINE_S)[0], f"waited {DEADLINE_S:g} s for the child's number"
    return int(process.stdout.readline())


def test_an_interrupt_reaches_the_command(tmp_path: Path) -> None:
    process = program("wait", tmp_path)
    _child_of(process)
    process.send_signal(signal.SIGINT)
    assert ended(process) == (130, "cleaned\n", "edgefuse: interrupted\n")


@pytest.mark.slow
def test_the_terminals_interrupt_reaches_it_once(tmp_path: Path) -> None:
    """Ctrl-C is sent to both processes; a second interrupt would cut the cleaning short."""
    process = program("wait", tmp_path)
    os.kill(_child_of(process), signal.SIGINT)
    process.send_signal(signal.SIGINT)
    assert ended(process) == (130, "cleaned\n", "edgefuse: interrupted\n")


def _gone(pid: int) -> Callable[[], bool]:
    def is_gone() -> bool:
        try:
            return Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()[0] == b"Z"
        except OSError:
            return True

    return is_gone


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_the_command_ends_with_its_parent(tmp_path: Path, number: signal.Signals) -> None:
    process = program("wait", tmp_path)
    child = _child_of(process)
    process.send_signal(number)
    assert process.wait(DEADLINE_S) == -number
    until(_gone(child), "the end of the child", DEADLINE_S)
    ended(process)


@pytest.mark.slow
@pytest.mark.parametrize("arguments", [["info"], ["compress"], ["sharpen"]])
def test_a_hanging_hdf5_file_is_told(tmp_path: Path, arguments: list[str]) -> None:
    """Alone among the formats' libraries, HDF5 follows a circle of blocks for ever."""
    pytest.importorskip("h5py")
    path = bad_cubes.hanging(tmp_path / "hang.h5")
    np.save(tmp_path / "image.npy", np.zeros((24, 20, 4), np.uint16))
    more = {"info": [], "compress": ["a.efz"], "sharpen": ["image.npy", "a.npy"]}[arguments[0]]
    began = time.monotonic()
    command = [sys.executable, "-m", "edgefuse", *arguments, str(path), *more]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=400, check=False)
    assert (done.returncode, done.stdout) == (2, ""), done.stderr
    assert re.fullmatch(r"edgefuse: \S+hang\.h5 can't be opened within \S+ s.*: reading it hangs; .*\n", done.stderr), done.stderr
    assert time.monotonic() - began < 350
    assert sorted(p.name for p in tmp_path.iterdir()) == ["hang.h5", "image.npy"]
