"""A child process that works, hangs, prints errors and dies; shell and Python scripts stand in for FFmpeg."""

from __future__ import annotations

import itertools
import os
import signal
import sys
import time

import pytest

from edgefuse.ffmpeg import process
from edgefuse.ffmpeg.process import FFmpegError, FFmpegProcess
from edgefuse.util.child_process import processor_s
from tests.support.waiting import until


def _python(code: str) -> list[str]:
    return [sys.executable, "-c", code]


def test_data_of_any_size_passes_through() -> None:
    got: list[bytes] = []
    child = FFmpegProcess(["cat"], got.append)
    data = os.urandom(3_000_000)
    child.send(memoryview(data), 30)
    child.finish(30, 30)
    assert b"".join(got) == data


def test_a_process_that_reads_nothing_times_out() -> None:
    child = FFmpegProcess(["sleep", "60"], lambda data: None)
    with pytest.raises(FFmpegError, match=r"takes no frames for 0.3 s"):
        child.send(bytes(1_000_000), 0.3)
    with pytest.raises(FFmpegError, match=r"did not finish in 0.3 s"):
        child.finish(0.3, 60)
    with pytest.raises(ProcessLookupError):
        os.kill(child.pid, 0)


def test_a_slow_process_that_works_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    child = FFmpegProcess(_python("import sys, time; sys.stdin.read(); time.sleep(1)"), lambda data: None)
    used = itertools.count()
    # a busy machine may starve a real one for any time
    monkeypatch.setattr(process, "processor_s", lambda pid: float(next(used)))
    child.finish(0.3, 60)


def test_a_process_that_works_for_ever_is_ended() -> None:
    child = FFmpegProcess(_python("while True: pass"), lambda data: None)
    with pytest.raises(FFmpegError, match=r"did not finish in 0.5 s"):
        child.finish(60, 0.5)


def test_processor_time_tells_work_from_waiting() -> None:
    busy, idle = FFmpegProcess(_python("while True: pass"), lambda data: None), FFmpegProcess(["cat"], lambda data: None)
    begin = processor_s(busy.pid)
    until(lambda: processor_s(busy.pid) > begin + 0.1, "processor time of a busy process")

    def stands_still() -> bool:
        used = processor_s(idle.pid)
        time.sleep(0.2)
        return processor_s(idle.pid) == used

    until(stands_still, "processor time of an idle process to stand still")
    busy.kill()
    idle.kill()
    assert processor_s(idle.pid) == 0.0


def test_its_last_error_lines_are_reported_without_secrets() -> None:
    child = FFmpegProcess(
        _python("import sys; sys.stderr.write('one\\nrtsp://me:S3cret@host/x: refused\\n'); sys.exit(4)"), lambda data: None
    )
    with pytest.raises(FFmpegError, match=r"^ended with code 4: one; rtsp://\*\*\*@host/x: refused$"):
        until(lambda: child.poll(0.1), "the child's end")
    child.kill()
    child.kill()


def test_a_death_by_signal_is_reported() -> None:
    child = FFmpegProcess(["cat"], lambda data: None)
    os.kill(child.pid, signal.SIGSEGV)
    with pytest.raises(FFmpegError, match=r"died of signal 11"):
        until(lambda: child.poll(0.1), "the child's end")
    child.kill()


def test_much_error_output_neither_blocks_nor_accumulates() -> None:
    child = FFmpegProcess(
        _python("import sys; [sys.stderr.write('x' * 99 + '\\n') for k in range(20000)]; sys.stdin.read()"), lambda data: None
    )
    child.send(bytes(200_000), 30)
    child.finish(30, 30)


def test_a_nonzero_exit_code_is_a_failure() -> None:
    child = FFmpegProcess(_python("import sys; sys.stdin.read(); sys.exit(3)"), lambda data: None)
    with pytest.raises(FFmpegError, match="ended with code 3"):
        child.finish(30, 30)


def test_ctrl_c_does_not_reach_it() -> None:
    child = FFmpegProcess(["cat"], lambda data: None)
    assert os.getpgid(child.pid) != os.getpgid(0)
    child.finish(30, 30)


def test_a_missing_program() -> None:
    with pytest.raises(FFmpegError, match="no-such-program can't be started"):
        FFmpegProcess(["no-such-program"], lambda data: None)
