"""Cost of image operations on a Raspberry Pi 3B+.

    deploy/emulate/pi run --file benchmarks/pi_operations.py -- python3 pi_operations.py

Times are in ms, including the call from Python; on the emulated Pi, where an instruction takes a nanosecond, these are millions of
instructions. One thread; a destination array is passed where the function accepts one. Names give the source's size (default 640x480)
and type (default uint8). `--peer FILE.onnx` adds a model with inputs visible, infrared (1, 3, 256, 256) in onnxruntime.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import platform
import subprocess
import sys
import time
from collections.abc import Callable, Iterator

import cv2
import numpy as np

Operation = tuple[str, Callable[[], object]]
W, H = 640, 480
rng = np.random.default_rng(0)


def image(w: int = W, h: int = H, channels: int = 1, dtype: type = np.uint8) -> np.ndarray:
    """Return noise: 0 to 255 for uint8, -255 to 255 for int16, 0 to 511 for uint16, 0 to 1 for float."""
    shape = (h, w) if channels == 1 else (h, w, channels)
    if dtype == np.float32:
        return rng.random(shape, np.float32)
    low, high = {np.uint8: (0, 256), np.int16: (-255, 256), np.uint16: (0, 512)}[dtype]
    return rng.integers(low, high, shape, dtype)


def calls() -> Iterator[Operation]:
    tiny, tiny_out = image(8, 8), image(8, 8)
    yield "an empty lambda", lambda: None
    yield "cv2.add 8x8", lambda: cv2.add(tiny, tiny, tiny_out)
    yield "cv2.add 8x8, new array", lambda: cv2.add(tiny, tiny)
    yield "np.add 8x8", lambda: np.add(tiny, tiny, tiny_out)
    yield "cv2.resize 8x8->16x16", lambda: cv2.resize(tiny, (16, 16))
    yield "np.empty 640x480", lambda: np.empty((H, W), np.uint8)


def colour() -> Iterator[Operation]:
    bgr, bgr2, bgr_out, grey, grey2, grey3 = image(channels=3), image(channels=3), image(channels=3), image(), image(), image()
    planes = [grey, grey2, grey3]
    lut = image(256, 1)
    for code in ("BGR2GRAY", "BGR2YCrCb", "YCrCb2BGR", "BGR2YUV", "YUV2BGR", "GRAY2BGR"):
        number = getattr(cv2, f"COLOR_{code}")
        source, out = (grey if code == "GRAY2BGR" else bgr), (grey2 if code == "BGR2GRAY" else bgr_out)
        yield f"cv2.cvtColor {code}", lambda s=source, n=number, d=out: cv2.cvtColor(s, n, d)
    i420 = image(W, H * 3 // 2)
    yield "cv2.cvtColor BGR2YUV_I420", lambda: cv2.cvtColor(bgr, cv2.COLOR_BGR2YUV_I420, i420)
    yield "cv2.cvtColor YUV2BGR_I420", lambda: cv2.cvtColor(i420, cv2.COLOR_YUV2BGR_I420, bgr_out)
    yield "cv2.merge 3", lambda: cv2.merge(planes, bgr_out)
    yield "cv2.split 3", lambda: cv2.split(bgr, planes)
    yield "cv2.extractChannel", lambda: cv2.extractChannel(bgr, 0, grey)
    yield "cv2.insertChannel", lambda: cv2.insertChannel(grey, bgr_out, 0)
    yield "cv2.mixChannels 1 of 3 -> 1", lambda: cv2.mixChannels([bgr], [grey], [0, 0])
    yield "cv2.mixChannels 1 -> 3", lambda: cv2.mixChannels([grey], [bgr_out], [0, 0, 0, 1, 0, 2])
    yield "cv2.add x3", lambda: cv2.add(bgr, bgr2, bgr_out)
    yield "cv2.subtract x3", lambda: cv2.subtract(bgr, bgr2, bgr_out)
    yield "cv2.LUT x3", lambda: cv2.LUT(bgr, lut, bgr_out)
    yield "np.copyto x3", lambda: np.copyto(bgr_out, bgr)


def sizes() -> Iterator[Operation]:
    full, half, quarter, eighth = image(), image(320, 240), image(160, 120), image(80, 60)
    area, linear = cv2.INTER_AREA, cv2.INTER_LINEAR

    def resize(name: str, source: np.ndarray, w: int, h: int, how: int) -> Operation:
        out = np.empty((h, w, *source.shape[2:]), source.dtype)
        return f"cv2.resize {name}", lambda: cv2.resize(source, (w, h), out, interpolation=how)

    def two_halvings() -> None:
        cv2.resize(full, (320, 240), half, interpolation=area)
        cv2.resize(half, (160, 120), quarter, interpolation=area)

    yield resize("AREA 640x480->160x120", full, 160, 120, area)
    yield "cv2.resize AREA 640x480->320x240->160x120", two_halvings
    yield resize("AREA 640x480->320x240", full, 320, 240, area)
    yield resize("AREA 320x240->160x120", half, 160, 120, area)
    yield resize("AREA 160x120->80x60", quarter, 80, 60, area)
    yield resize("AREA 640x480->80x60", full, 80, 60, area)
    yield resize("AREA 640x480->160x120 x3", image(channels=3), 160, 120, area)
    yield resize("AREA 640x480->320x240 x3", image(channels=3), 320, 240, area)
    yield resize("LINEAR 640x480->320x240", full, 320, 240, linear)
    yield resize("LINEAR 640x480->160x120", full, 160, 120, linear)
    yield resize("NEAREST 640x480->160x120", full, 160, 120, cv2.INTER_NEAREST)
    yield resize("LINEAR 160x120->640x480", quarter, W, H, linear)
    yield resize("LINEAR 80x60->640x480", eighth, W, H, linear)
    yield resize("LINEAR 80x60->160x120", eighth, 160, 120, linear)
    yield resize("LINEAR 160x120->320x240", quarter, 320, 240, linear)
    yield resize("LINEAR 320x240->640x480", half, W, H, linear)
    yield resize("LINEAR 160x120->640x480 x3", image(160, 120, 3), W, H, linear)
    yield resize("LINEAR 160x120->640x480 int16", image(160, 120, 1, np.int16), W, H, linear)
    yield resize("LINEAR 160x120->640x480 float32", image(160, 120, 1, np.float32), W, H, linear)
    yield resize("LINEAR 80x60->640x480 float32", image(80, 60, 1, np.float32), W, H, linear)
    yield resize("LINEAR 80x60->160x120 float32", image(80, 60, 1, np.float32), 160, 120, linear)
    yield resize("NEAREST 160x120->640x480", quarter, W, H, cv2.INTER_NEAREST)
    for w, h in ((80, 60), (160, 120), (320, 240)):
        source, out = image(w, h), image(2 * w, 2 * h)
        yield f"cv2.pyrUp {w}x{h}->{2 * w}x{2 * h}", lambda s=source, d=out: cv2.pyrUp(s, d)
        yield f"cv2.pyrDown {2 * w}x{2 * h}->{w}x{h}", lambda s=out, d=source: cv2.pyrDown(s, d)


def points() -> Iterator[Operation]:
    a, b, c, lut = image(), image(), image(), image(256, 1)
    i16, j16, k16 = (image(dtype=np.int16) for _ in range(3))
    u16, v16, w16 = (image(dtype=np.uint16) for _ in range(3))
    f, g, h = (image(dtype=np.float32) for _ in range(3))
    for do in (cv2.add, cv2.subtract, cv2.max, cv2.min, cv2.absdiff):
        yield f"cv2.{do.__name__}", lambda do=do: do(a, b, c)
    for do in (np.maximum, np.minimum, np.add, np.subtract, np.multiply):
        for kind, (x, y, z) in {"uint8": (a, b, c), "int16": (i16, j16, k16), "uint16": (u16, v16, w16)}.items():
            yield f"np.{do.__name__} {kind}", lambda do=do, x=x, y=y, z=z: do(x, y, out=z)
    yield "np.add uint8 -> uint16", lambda: np.add(a, b, out=w16, dtype=np.uint16)
    yield "np.add float32", lambda: np.add(f, g, h)
    yield "np.right_shift uint8", lambda: np.right_shift(a, 1, c)
    yield "np.right_shift int16", lambda: np.right_shift(i16, 1, k16)
    yield "np.right_shift uint16", lambda: np.right_shift(u16, 1, w16)
    yield "np.copyto uint8", lambda: np.copyto(c, a)
    yield "np.copyto uint8 -> int16", lambda: np.copyto(k16, a)
    yield "np.copyto uint8 -> float32", lambda: np.copyto(h, a)
    yield "np.copyto int16 -> uint8", lambda: np.copyto(c, i16, casting="unsafe")
    yield "cv2.subtract uint8 -> int16", lambda: cv2.subtract(a, b, k16, dtype=cv2.CV_16S)
    yield "cv2.add uint8 + int16 -> uint8", lambda: cv2.add(a, i16, c, dtype=cv2.CV_8U)
    yield "cv2.add int16", lambda: cv2.add(i16, j16, k16)
    yield "cv2.convertScaleAbs alpha", lambda: cv2.convertScaleAbs(a, c, 0.5, 0)
    yield "cv2.convertScaleAbs", lambda: cv2.convertScaleAbs(a, c)
    yield "cv2.convertScaleAbs int16 -> uint8", lambda: cv2.convertScaleAbs(i16, c)
    yield "cv2.addWeighted", lambda: cv2.addWeighted(a, 0.5, b, 0.5, 0, c)
    yield "cv2.addWeighted 0.3, 0.6, 10", lambda: cv2.addWeighted(a, 0.3, b, 0.6, 10, c)
    yield "cv2.multiply", lambda: cv2.multiply(a, b, c)
    yield "cv2.multiply scale 1/255", lambda: cv2.multiply(a, b, c, 1 / 255)
    yield "cv2.multiply float32", lambda: cv2.multiply(f, g, h)
    yield "cv2.blendLinear", lambda: cv2.blendLinear(a, b, f, g, c)
    yield "cv2.LUT", lambda: cv2.LUT(a, lut, c)
    yield "cv2.bitwise_and", lambda: cv2.bitwise_and(a, b, c)
    yield "cv2.copyTo mask", lambda: cv2.copyTo(a, b, c)
    yield "cv2.mean", lambda: cv2.mean(a)
    yield "cv2.minMaxLoc", lambda: cv2.minMaxLoc(a)
    yield "cv2.blur 3x3", lambda: cv2.blur(a, (3, 3), c)
    yield "cv2.blur 9x9", lambda: cv2.blur(a, (9, 9), c)


def small() -> Iterator[Operation]:
    a, b = image(80, 60), image(80, 60)
    f, g, h = (image(80, 60, 1, np.float32) for _ in range(3))
    for k in (9, 5):
        yield f"cv2.blur {k}x{k} 80x60 float32", lambda k=k: cv2.blur(f, (k, k), h)
        yield f"cv2.blur {k}x{k} 80x60 uint8", lambda k=k: cv2.blur(a, (k, k), b)
    yield "cv2.scaleAdd 80x60 float32", lambda: cv2.scaleAdd(f, 0.5, g, h)
    pairs = ((np.add, cv2.add), (np.subtract, cv2.subtract), (np.multiply, cv2.multiply), (np.divide, cv2.divide))
    for pair in pairs:
        for package, do in zip(("np", "cv2"), pair, strict=True):
            yield f"{package}.{do.__name__} 80x60 float32", lambda do=do: do(f, g, h)
    yield "cv2.exp 80x60 float32", lambda: cv2.exp(f, h)
    yield "np.exp 80x60 float32", lambda: np.exp(f, h)
    yield "cv2.convertScaleAbs 80x60 float32 -> uint8", lambda: cv2.convertScaleAbs(f, b, 255, 0)
    yield "np.copyto 80x60 float32 -> uint8", lambda: np.copyto(b, f, casting="unsafe")
    yield "np.copyto 80x60 uint8 -> float32", lambda: np.copyto(h, a)


def timed(work: Callable[[], object], times: int, before: int = 2) -> float:
    """Return milliseconds per call, after some uncounted ones."""
    for _ in range(before):
        work()
    begin = time.perf_counter()
    for _ in range(times):
        work()
    return (time.perf_counter() - begin) / times * 1000


def imports() -> Iterator[tuple[str, float]]:
    """Time each import in its own process, with its files already in the page cache."""
    for name, before in (("numpy", "time"), ("cv2", "numpy"), ("onnxruntime", "numpy"), ("edgefuse", "numpy")):
        code = f"import time, {before}; b = time.perf_counter(); import {name}; print((time.perf_counter() - b) * 1000)"
        results = [subprocess.run([sys.executable, "-c", code], capture_output=True, text=True) for _ in range(2)]
        if results[-1].returncode == 0:
            yield f"import {name}" + (f" after {before}" if before != "time" else ""), float(results[-1].stdout)
    yield "python3 -c pass", timed(lambda: subprocess.run([sys.executable, "-c", "pass"], check=True), 3)


def peer(path: str) -> Iterator[tuple[str, float]]:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    begin = time.perf_counter()
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    yield f"{path}, load", (time.perf_counter() - begin) * 1000
    inputs = {k: rng.random((1, 3, 256, 256), np.float32) for k in ("visible", "infrared")}
    yield f"{path} 256x256", timed(lambda: session.run(None, inputs), 1, before=1)


def main() -> int:
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--repetitions", type=int, default=100, metavar="N")
    p.add_argument("--only", default="", metavar="TEXT", help="only operations whose names contain this, without imports and the peer")
    p.add_argument("--peer", metavar="FILE.onnx")
    p.add_argument("--json", action="store_true")
    args = p.parse_args()
    cv2.setNumThreads(1)
    figures = {}
    for group in (calls, colour, sizes, points, small):
        figures |= {name: timed(work, args.repetitions) for name, work in group() if args.only in name}
    if not args.only:
        figures |= dict(imports())
        if args.peer:
            figures |= dict(peer(args.peer))
    versions = {name: importlib.metadata.version(name) for name in ("numpy", "onnxruntime")} | {"opencv": cv2.__version__}
    if args.json:
        rounded = {name: round(ms, 4) for name, ms in figures.items()}
        print(json.dumps({"machine": platform.machine(), "versions": versions, "ms": rounded}, indent=1))
        return 0
    print(platform.machine(), *(f"{k} {v}" for k, v in versions.items()), sep=", ")
    for name, ms in figures.items():
        print(f"{name:50s}{ms:12.4f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
