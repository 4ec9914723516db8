"""A run's threads share one heap."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest

_THREADS = """
import ctypes, threading
from edgefuse.util.memory import share_heap
if {shared}:
    share_heap()
libc = ctypes.CDLL(None)
libc.malloc.restype = ctypes.c_void_p
met = threading.Barrier(9)

def work():
    libc.malloc(50000)
    met.wait(60)
    met.wait(60)

threads = [threading.Thread(target=work) for _ in range(8)]
for thread in threads:
    thread.start()
met.wait(60)
# a further heap reserves 64 MB, of which most is not accessible
sizes = [[int(end, 16) for end in line.split()[0].split("-")] for line in open("/proc/self/maps") if " ---p " in line]
print(sum(1 << 25 < end - begin < 1 << 26 for begin, end in sizes))
met.wait(60)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="glibc alone has several heaps")
def test_threads_share_one_heap() -> None:
    heaps = [
        int(subprocess.run([sys.executable, "-c", _THREADS.format(shared=s)], capture_output=True, check=True, timeout=120).stdout)
        for s in (False, True)
    ]
    assert heaps[0] > 1
    assert heaps[1] == 0
