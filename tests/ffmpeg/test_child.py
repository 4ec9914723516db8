"""A child process that behaves, hangs, complains and dies. Shell and Python stand in for FFmpeg: what they do is known."""

from __future__ import annotations

import os
import signal
import sys

import pytest

from edgefuse.ffmpeg.child import Child, ChildError
from tests.support.waiting import until


def _python(code: str) -> list[str]:
    return [sys.executable, "-c", code]


def test_what_goes_in_comes_out_whatever_its_size() -> None:
    got: list[bytes] = []
    child = Child(["cat"], got.append)
    data = os.urandom(3_000_000)
    child.send(memoryview(data), 30)
    child.finish(30)
    assert b"".join(got) == data


def test_one_that_takes_nothing_is_not_waited_for() -> None:
    child = Child(["sleep", "60"], lambda data: None)
    with pytest.raises(ChildError, match=r"takes no frames for 0.3 s"):
        child.send(bytes(1_000_000), 0.3)
    with pytest.raises(ChildError, match=r"did not finish in 0.3 s"):
        child.finish(0.3)
    with pytest.raises(ProcessLookupError):
        os.kill(child.pid, 0)


def test_its_last_words_are_told_without_secrets() -> None:
    child = Child(_python("import sys; sys.stderr.write('one\\nrtsp://me:S3cret@host/x: refused\\n'); sys.exit(4)"), lambda data: None)
    with pytest.raises(ChildError, match=r"^ended with code 4: one; rtsp://\*\*\*@host/x: refused$"):
        until(lambda: child.poll(0.1), "the child's end")
    child.kill()
    child.kill()


def test_a_death_by_signal_is_told() -> None:
    child = Child(["cat"], lambda data: None)
    os.kill(child.pid, signal.SIGSEGV)
    with pytest.raises(ChildError, match=r"died of signal 11"):
        until(lambda: child.poll(0.1), "the child's end")
    child.kill()


def test_many_complaints_neither_block_nor_pile_up() -> None:
    child = Child(_python("import sys; [sys.stderr.write('x' * 99 + '\\n') for k in range(20000)]; sys.stdin.read()"), lambda data: None)
    child.send(bytes(200_000), 30)
    child.finish(30)


def test_a_code_other_than_zero_at_the_end_is_a_failure() -> None:
    child = Child(_python("import sys; sys.stdin.read(); sys.exit(3)"), lambda data: None)
    with pytest.raises(ChildError, match="ended with code 3"):
        child.finish(30)


def test_ctrl_c_is_not_for_it() -> None:
    child = Child(["cat"], lambda data: None)
    assert os.getpgid(child.pid) != os.getpgid(0)
    child.finish(30)


def test_one_that_is_not_there() -> None:
    with pytest.raises(ChildError, match="no-such-program can't be started"):
        Child(["no-such-program"], lambda data: None)
