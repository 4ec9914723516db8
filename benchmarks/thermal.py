"""Time of gain control, hottest spot and raw recording, and the compression ratio of raw recordings.

    python benchmarks/thermal.py --shared ../shared
    deploy/emulate/pi run --file benchmarks/thermal.py -- python3 thermal.py

Times are medians in ms of interleaved calls on one thread, quartiles in brackets; on the emulated Pi, where an instruction takes a
nanosecond, these are millions of instructions. Without --shared, uses frames of the demo scene with its simulated sensor noise.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np

import edgefuse
from edgefuse.frames import Frame, FramePair, Radiometry
from edgefuse.sources import rawfile
from edgefuse.thermal.agc import ClaheAgc, PercentileAgc
from edgefuse.thermal.spots import spots

PNG: Any = [cv2.IMWRITE_PNG_COMPRESSION, 1]
SIZES = ((160, 120), (256, 192), (640, 512))


def timed(calls: dict[str, Callable[[int], object]], repeats: int) -> None:
    for k in range(2):
        for call in calls.values():
            call(k)
    took: dict[str, list[float]] = {name: [] for name in calls}
    for k in range(repeats):
        for name, call in calls.items():
            begin = time.perf_counter()
            call(k)
            took[name].append((time.perf_counter() - begin) * 1e3)
    for name, values in took.items():
        low, middle, high = np.percentile(values, (25, 50, 75))
        print(f"  {name:34s}{middle:9.3f} ms  [{low:.3f} {high:.3f}]", flush=True)


def demo_pairs(size: tuple[int, int], count: int) -> list[FramePair]:
    width, height = max(64, size[0]), max(64, size[1])
    with edgefuse.open_source(f"demo?depth=16&scene=night&size={width}x{height}&frames={count}") as source:
        return [pair for _ in range(count) if (pair := source.read()) is not None]


def gain(repeats: int) -> None:
    law = Radiometry("lepton", 0.01, -273.15)
    for size in SIZES:
        frames: list[Any] = [p.infrared.data for p in demo_pairs(size, 4)]
        percentile, clahe = PercentileAgc(), ClaheAgc()
        print(f"gain control, {size[0]}x{size[1]}")
        timed(
            {
                "percentile": lambda k, f=frames, a=percentile: a(f[k % 4]),
                "clahe": lambda k, f=frames, a=clahe: a(f[k % 4]),
                "hottest and coldest spot": lambda k, f=frames: spots(Frame(f[k % 4], "infrared", 0, "f", law)),
            },
            repeats,
        )


def recording(images: dict[str, np.ndarray[Any, Any]], repeats: int) -> None:
    for name, image in images.items():
        frame = Frame(image, "visible" if image.ndim == 3 else "infrared", 0, "f")
        packed = rawfile._encode_frame(frame, True)
        print(f"recording {name}: {image.nbytes / 1e3:.0f} kB raw, {image.nbytes / len(packed):.2f} times smaller")
        timed(
            {
                "pack": lambda k, f=frame: rawfile._encode_frame(f, True),
                "as it is": lambda k, f=frame: rawfile._encode_frame(f, False),
                "unpack": lambda k, p=packed: rawfile._decode_frame(p),
                "PNG, level 1": lambda k, i=image: cv2.imencode(".png", i, PNG),
            },
            repeats,
        )
        png = len(cv2.imencode(".png", image, PNG)[1])
        print(f"  PNG is {image.nbytes / png:.2f} times smaller")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shared", type=Path, help="the project's shared data, to record real frames")
    parser.add_argument("--repeats", type=int, default=50)
    args = parser.parse_args()
    cv2.setNumThreads(1)
    gain(args.repeats)
    pair = demo_pairs((640, 480), 1)[0]
    images: dict[str, Any] = {"demo visible 640x480": pair.visible.data, "demo infrared 640x480": pair.infrared.data}
    if args.shared:
        thermal = args.shared / "data/thermal"
        dji = np.fromfile(thermal / "dji_extract_512x640_u16le.raw", "<u2").reshape(512, 640)
        images = {
            "DJI infrared 640x512": dji,
            "the same, 160x120": cv2.resize(dji, (160, 120), interpolation=cv2.INTER_AREA),
            "FLIR Tau infrared 640x512": cv2.imread(str(thermal / "example_radiometric.tiff"), cv2.IMREAD_UNCHANGED),
        }
        visible = sorted((args.shared / "data/fusion/msrs_test/visible").iterdir())
        images |= {f"MSRS visible {p.stem} 640x480": cv2.imread(str(p)) for p in (visible[0], visible[12])}
    recording(images, max(3, args.repeats // 5))


if __name__ == "__main__":
    main()
