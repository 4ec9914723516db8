"""Rate, distortion and speed of `spectral-edge`, compared with other codecs.

    python benchmarks/codec.py CUBE.npz... [--rates 0.1,0.25,1] [--json F] [--picture F.png]

All codecs run on the same cubes in one run: one thread, real file sizes, processor seconds. The others are JPEG 2000 per band, principal
components with JPEG 2000 (the best of a grid of numbers of components and levels; its time is one pass with the best), and, lossless,
JPEG-LS, JPEG XL and JPEG 2000 per band, and zstd. PSNR is over the cube, of counts / 10000 clipped to 0..1 (unscaled for cubes up to 2).
Times are minima over interleaved passes. Tiles in a file are placed side by side. `sscnet` is measured, too, at these rates and at its
own. Needs imagecodecs; the picture needs matplotlib. CCSDS-123 is missing, because no implementation can be installed with pip.
"""

from __future__ import annotations

# BLAS reads its number of threads when it is loaded
# ruff: noqa: E402
import os

for _name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[_name] = "1"

import argparse
import io
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
from numpy.typing import NDArray

from edgefuse.hyperspectral.codec import spectral_edge, sscnet
from edgefuse.util.arrays import Float64Array

COMPONENTS = 3, 6, 10, 16, 24, 32, 48
LEVELS = 35, 40, 45, 50, 55, 60, 65, 70, 80
BOUNDS = 0, 1, 5


def psnr(a: Float64Array, b: Float64Array) -> float:
    return float(-10 * np.log10(np.mean((a - b) ** 2)))


def unit(cube: NDArray[Any]) -> Float64Array:
    """Scale a cube to 0..1."""
    return np.clip(cube.astype(np.float64) / (1.0 if cube.max() <= 2 else 10000.0), 0, 1)


def pca_encode(x: Float64Array, k: int, level: int) -> tuple[list[bytes], tuple[Any, ...]]:
    pixels = x.reshape(-1, x.shape[2])
    mean = pixels.mean(0)
    vectors = np.linalg.eigh(np.cov((pixels - mean).T))[1][:, ::-1][:, :k].astype(np.float32)
    scores = (pixels - mean) @ vectors
    low, high = scores.min(), scores.max()
    planes = np.round((scores - low) / (high - low) * 65535).astype(np.uint16).reshape(*x.shape[:2], k)
    sent = [imagecodecs.jpeg2k_encode(planes[..., i], level=level, codecformat="j2k") for i in range(k)]
    return sent, (mean, vectors, low, high, x.shape)


def pca_decode(sent: list[bytes], basis: tuple[Any, ...]) -> Float64Array:
    mean, vectors, low, high, shape = basis
    planes = np.stack([imagecodecs.jpeg2k_decode(s) for s in sent], -1).reshape(-1, len(sent))
    scores = planes / 65535 * (high - low) + low
    return np.asarray((scores @ vectors.astype(np.float16).T.astype(np.float64) + mean).reshape(shape))


def pca_front(x: Float64Array) -> list[tuple[float, float, int, int]]:
    """Return the Pareto front: (bpppc, dB, components, level), rate and PSNR rising. Basis and mean count as float16."""
    points = []
    for k in (k for k in COMPONENTS if k <= x.shape[2]):
        for level in LEVELS:
            sent, basis = pca_encode(x, k, level)
            size = sum(map(len, sent)) + 2 * x.shape[2] * (k + 1)
            points.append((8 * size / x.size, psnr(x, pca_decode(sent, basis)), k, level))
    front: list[tuple[float, float, int, int]] = []
    for point in sorted(points):
        if not front or point[1] > front[-1][1]:
            front.append(point)
    return front


def at(front: list[tuple[float, float, int, int]], rate: float) -> float:
    return float(np.interp(np.log(rate), [np.log(p[0]) for p in front], [p[1] for p in front]))


def j2k_front(x: Float64Array) -> list[tuple[float, float]]:
    planes, points = np.round(x * 65535).astype(np.uint16), []
    for level in LEVELS[::4]:
        sent = [imagecodecs.jpeg2k_encode(planes[..., i], level=level, codecformat="j2k") for i in range(x.shape[2])]
        made = np.stack([imagecodecs.jpeg2k_decode(s) for s in sent], -1) / 65535
        points.append((8 * sum(map(len, sent)) / x.size, psnr(x, made)))
    return points


def lossless(cube: NDArray[Any]) -> dict[str, float]:
    """Return bits per sample of lossless codecs, by name."""
    counts = (cube.astype(np.int64) - int(cube.min())).astype(np.uint16)
    each: dict[str, Callable[[NDArray[Any]], bytes]] = {
        "JPEG 2000": lambda band: imagecodecs.jpeg2k_encode(band, level=0, codecformat="j2k", reversible=True),
        "JPEG-LS": imagecodecs.jpegls_encode,
        "JPEG XL": lambda band: imagecodecs.jpegxl_encode(band, lossless=True, effort=5),
    }
    bands = [np.ascontiguousarray(counts[..., i]) for i in range(cube.shape[2])]
    sizes = {name: sum(len(encode(band)) for band in bands) for name, encode in each.items()}
    sizes["zstd"] = len(imagecodecs.zstd_encode(np.ascontiguousarray(counts.transpose(2, 0, 1)).tobytes(), level=19))
    for bound in BOUNDS:
        data = spectral_edge.encode(cube, max_error=bound)
        if np.abs(spectral_edge.decode(data).astype(np.int64) - cube).max() > bound:
            raise AssertionError("the bound does not hold")
        sizes[f"spectral-edge, {bound} counts"] = len(data)
    return {name: 8 * size / cube.size for name, size in sizes.items()}


def fastest(passes: int, *works: Callable[[], Any]) -> list[float]:
    """Return the shortest processor seconds of each; the calls are interleaved, so a busy machine has little influence."""
    times = np.empty((passes, len(works)))
    for i in range(passes):
        for j, work in enumerate(works):
            begin = time.process_time()
            work()
            times[i, j] = time.process_time() - begin
    return [float(t) for t in times.min(0)]


def measure(cube: NDArray[Any], rates: list[float], passes: int) -> dict[str, Any]:
    x = unit(cube)
    front = pca_front(x)
    rows = []
    for rate in rates:
        data = spectral_edge.encode(cube, bpppc=rate)
        took = 8 * len(data) / cube.size
        k, level = min(front, key=lambda p: abs(np.log(p[0] / took)))[2:]
        sent = pca_encode(x, k, level)
        ours_in, peer_in = fastest(
            passes, lambda r=rate: spectral_edge.encode(cube, bpppc=r), lambda k=k, level=level: pca_encode(x, k, level)
        )  # type: ignore[misc]
        ours_out, peer_out = fastest(passes, lambda d=data: spectral_edge.decode(d), lambda s=sent: pca_decode(*s))  # type: ignore[misc]
        ours, peer = (
            psnr(x, unit(spectral_edge.decode(data)) if cube.max() > 2 else np.clip(spectral_edge.decode(data), 0, 1)),
            at(front, took),
        )
        rows.append(
            {
                "asked": rate, "bpppc": took, "psnr": ours, "peer": peer, "gain": ours - peer,
                "encode_s": ours_in, "peer_encode_s": peer_in, "decode_s": ours_out, "peer_decode_s": peer_out,
            }
        )  # fmt: skip
    figures: dict[str, Any] = {"shape": cube.shape, "rates": rows, "pca_front": [p[:2] for p in front], "j2k_front": j2k_front(x)}
    figures["sscnet"] = learned(cube, x, [r for r in rates if r < 0.4])
    if cube.dtype.kind in "iu":
        figures["lossless"] = lossless(cube)
    return figures


def learned(cube: NDArray[Any], x: Float64Array, rates: list[float]) -> list[dict[str, float]]:
    """Return `sscnet`'s points: at about these rates, as far as it can reach them, and at its own rate."""
    points = []
    for rate in (*rates, None):
        stream = io.BytesIO()
        size = sscnet.encode_to(stream, cube, sscnet.Target(bpppc=rate))
        made = np.zeros(cube.shape, cube.dtype)
        for place, samples in sscnet.Decoder(io.BytesIO(stream.getvalue())).tiles():
            made[place] = samples
        points.append({"rate": 8 * size / cube.size, "psnr": psnr(x, unit(made) if cube.max() > 2 else np.clip(made, 0, 1))})
    return sorted(points, key=lambda p: p["rate"])


def table(results: dict[str, Any], rates: list[float]) -> str:
    """Return a Markdown table with a row per scene."""
    lines = [
        "| scene | size | " + " | ".join(f"gain at {r}, dB" for r in rates) + " | " + " | ".join(f"encode / decode at {r}" for r in rates)
        + " | lossless: JPEG 2000 | ours | 5 counts |"
    ]  # fmt: skip
    lines.append("|---" * (2 * len(rates) + 5) + "|")
    for name, figures in results.items():
        rows = [r for r in figures["rates"] if r["asked"] in rates]
        cells = [name, "x".join(map(str, figures["shape"]))] + [f"{r['gain']:+.2f}" for r in rows]
        cells += [f"{r['encode_s'] / r['peer_encode_s']:.2f} / {r['decode_s'] / r['peer_decode_s']:.2f}" for r in rows]
        exact = figures.get("lossless", {})
        cells += [f"{exact[n]:.2f}" if n in exact else "" for n in ("JPEG 2000", "spectral-edge, 0 counts", "spectral-edge, 5 counts")]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def draw(results: dict[str, Any], file: Path) -> None:
    import matplotlib

    matplotlib.use("agg")
    import matplotlib.pyplot as plt

    figure, (left, right) = plt.subplots(1, 2, figsize=(14, 5), layout="constrained")
    for i, (name, figures) in enumerate(results.items()):
        colour = f"C{i % 10}"
        left.plot(*zip(*((r["bpppc"], r["psnr"]) for r in figures["rates"]), strict=True), "o-", color=colour, label=name)
        left.plot(*zip(*figures["pca_front"], strict=True), "--", color=colour, lw=1)
        left.plot(*zip(*figures["j2k_front"], strict=True), ":", color=colour, lw=1)
        left.plot([p["rate"] for p in figures["sscnet"]], [p["psnr"] for p in figures["sscnet"]], "*", color=colour, ms=8)
        mega = np.prod(figures["shape"]) / 1e6
        right.plot([r["bpppc"] for r in figures["rates"]], [mega / r["encode_s"] for r in figures["rates"]], "o-", color=colour)
        right.plot([r["bpppc"] for r in figures["rates"]], [mega / r["peer_encode_s"] for r in figures["rates"]], "--", color=colour, lw=1)
    left.set(xscale="log", xlim=(0.02, 4), xlabel="bits per pixel and band", ylabel="PSNR, dB")
    left.set_title("spectral-edge (line), PCA + JPEG 2000 (dashes), JPEG 2000 per band (dots), sscnet (stars)", fontsize=9)
    figure.legend(fontsize=7, loc="outside right upper")
    right.set(xscale="log", yscale="log", xlabel="bits per pixel and band", ylabel="million samples encoded a second")
    right.set_title("spectral-edge with rate control (line), PCA + JPEG 2000, one pass (dashes)", fontsize=9)
    figure.savefig(file, dpi=110)


def main() -> None:
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("cubes", type=Path, nargs="+", metavar="CUBE.npz", help="files with an array `cube`, rows x columns x bands")
    p.add_argument("--rates", type=lambda s: [float(r) for r in s.split(",")], default=[0.05, 0.1, 0.25, 0.5, 1.0], metavar="R,R,...")
    p.add_argument("--passes", type=int, default=5, metavar="N", help="number of timed passes")
    p.add_argument("--json", type=Path, metavar="FILE")
    p.add_argument("--picture", type=Path, metavar="FILE.png")
    args = p.parse_args()
    results: dict[str, Any] = {}
    for file in args.cubes:
        cube = np.load(file)["cube"]
        if cube.ndim == 4:
            cube = np.concatenate(list(cube), axis=1)
        figures = results[file.stem] = measure(cube, args.rates, args.passes)
        for r in figures["rates"]:
            ratios = r["encode_s"] / r["peer_encode_s"], r["decode_s"] / r["peer_decode_s"]
            print(
                f"{file.stem:16s} {r['bpppc']:.4f} bpppc {r['psnr']:6.2f} dB, gain {r['gain']:+.2f}; encode {r['encode_s'] * 1e3:4.0f} ms "
                f"({ratios[0]:.2f} of the peer's), decode {r['decode_s'] * 1e3:4.0f} ms ({ratios[1]:.2f})",
                flush=True,
            )
        if args.json:
            args.json.write_text(json.dumps(results, indent=1) + "\n")
        if "lossless" in figures:
            print(f"{file.stem:16s} lossless, bpppc: " + ", ".join(f"{k} {v:.2f}" for k, v in figures["lossless"].items()), flush=True)
    for i, rate in enumerate(args.rates):
        rows = [figures["rates"][i] for figures in results.values()]
        gains = [r["gain"] for r in rows]
        encode, decode = (np.median([r[f"{d}_s"] / r[f"peer_{d}_s"] for r in rows]) for d in ("encode", "decode"))
        print(
            f"{rate} bpppc: gain {np.mean(gains):+.2f} dB (worst {min(gains):+.2f}), encode {encode:.2f}, decode {decode:.2f} of the peer's"
        )
    exact = [figures["lossless"] for figures in results.values() if "lossless" in figures]
    if exact:
        mean = {name: float(np.mean([e[name] for e in exact])) for name in exact[0]}
        print("lossless, mean bpppc: " + ", ".join(f"{k} {v:.2f}" for k, v in mean.items()))
    print(table(results, [r for r in (0.1, 0.25, 1.0) if r in args.rates]))
    if args.picture:
        draw(results, args.picture)


if __name__ == "__main__":
    main()
