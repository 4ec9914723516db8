"""`faulty:DIR?fps=25&seed=0` and `faulty:DIR?name=a`: a live source and a sink that fail while a file exists. A plugin for these tests.

The source raises FrameError while DIR/source.bad exists, delivers nothing while DIR/source.stall exists, and shows a hot object while
DIR/source.hot exists. The sink raises OutputError while DIR/NAME.bad exists, and writes its number of frames to DIR/NAME.count.
"""

from __future__ import annotations

import os
import struct
import time
from pathlib import Path
from typing import Self

import numpy as np

from edgefuse.errors import FrameError, OutputError
from edgefuse.frames import Frame, FramePair, FusedFrame
from edgefuse.sinks.base import Sink
from edgefuse.sources.base import Source, SourceInfo
from edgefuse.util.uri import Uri, real, whole


class FaultySource(Source):
    OPTIONS = ("fps", "seed")

    def __init__(self, uri: str, folder: Path, fps: float, seed: int) -> None:
        self.info = SourceInfo(uri, None, fps, live=True)
        self._folder, self._index, self._stopped = folder, 0, False
        noise = np.random.default_rng(seed)
        # little noise, so that recordings do not fill the tests' small disks
        self._visible = noise.integers(0, 16, (64, 64), np.uint8) * 16
        self._infrared = noise.integers(30000, 30004, (64, 64), np.uint16)
        self._hot = self._infrared.copy()
        self._hot[20:30, 20:30] += 15000
        self._began = time.time_ns()  # names differ from run to run

    @classmethod
    def from_uri(cls, uri: Uri) -> Self:
        (folder,) = uri.paths(1)
        return cls(uri.text, folder, uri.option("fps", 25.0, real(1, 1000)), uri.option("seed", 0, whole(0, 10**9)))

    def read(self) -> FramePair | None:
        time.sleep(1 / self.info.fps)
        while (self._folder / "source.stall").exists() and not self._stopped:
            time.sleep(0.01)
        if self._stopped:
            return None
        index, self._index = self._index, self._index + 1
        name = f"{self._began}_{index}"
        if (self._folder / "source.bad").exists():
            raise FrameError(name, "unreadable", f"{name} is damaged")
        visible, infrared = self._visible, self._hot if (self._folder / "source.hot").exists() else self._infrared
        return FramePair(
            Frame(visible, "visible", time.monotonic_ns(), name), Frame(infrared, "infrared", time.monotonic_ns(), name), index
        )

    def stop(self) -> None:
        self._stopped = True


class FaultySink(Sink):
    OPTIONS = ("name",)

    def __init__(self, folder: Path, name: str) -> None:
        self._bad = folder / f"{name}.bad"
        self._file = os.open(folder / f"{name}.count", os.O_RDWR | os.O_CREAT)
        self._count = struct.unpack("<q", os.pread(self._file, 8, 0) or bytes(8))[0]

    @classmethod
    def from_uri(cls, uri: Uri, fps: float) -> Self:
        return cls(uri.paths(1)[0], uri.option("name", "a", str))

    def write(self, fused: FusedFrame) -> None:
        if self._bad.exists():
            raise OutputError(f"{self._bad} is there")
        self._count += 1
        os.pwrite(self._file, struct.pack("<q", self._count), 0)
