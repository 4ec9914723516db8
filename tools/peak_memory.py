"""Prints the peak memory of a process that fuses a frame, in bytes: `python -m tools.peak_memory FOLDER onnx fp32 320x240`."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import numpy as np

from edgefuse import zoo
from edgefuse.runtimes import choose


def main(folder: str, runtime: str, precision: str, size: str) -> None:
    choice = choose(zoo.read_card(Path(folder)), runtime, precision, 1)
    width, height = (int(n) for n in size.split("x"))
    frame = choice.tensor(np.zeros((height, width), np.float32))
    choice.runtime.run({"visible": frame, "infrared": frame})
    # getrusage would return the parent's peak if that was larger
    match = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
    assert match is not None
    print(1024 * int(match[1]))


if __name__ == "__main__":
    main(*sys.argv[1:])
