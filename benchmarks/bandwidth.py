"""Bandwidth that fusion on the device saves, as in Table V of the MobileFuse paper: `python benchmarks/bandwidth.py [--pairs DIR]`

Four scenarios at 30 frames per second, in MB/s (10^6 bytes): pairs are fused remotely or on the device, and the result is needed on the
device or remotely. The paper counts files as stored: on average 51.17 MB/s of pairs and 31.01 MB/s of fused frames for M3FD. These are the
figures without --pairs. With --pairs, uses the files in DIR/visible and DIR/infrared, and the default model's fused frames in their format.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

from edgefuse.telemetry.report import BANDWIDTH_FPS, bandwidth_mb_s

PAPER = (51.17e6 / BANDWIDTH_FPS, 31.01e6 / BANDWIDTH_FPS)


def stored(pairs: Path) -> tuple[float, float]:
    """Return the mean bytes of a pair's files, and of a fused frame's file."""
    files = [p for folder in ("visible", "infrared") for p in sorted((pairs / folder).iterdir())]
    kind = "png" if files[0].suffix == ".png" else "jpg"
    with tempfile.TemporaryDirectory() as out:
        command = [sys.executable, "-m", "edgefuse", "run", "--source", f"folder:{pairs}", "--save", out, "--save-format", kind, "--json"]
        report = json.loads(subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout)
    fused = report["frames"]["fused"]
    return sum(p.stat().st_size for p in files) / fused, report["bytes"]["written"] / fused


def main() -> int:
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--pairs", type=Path, metavar="DIR", help="a folder of visible/ and infrared/")
    p.add_argument("--json", action="store_true")
    args = p.parse_args()
    sizes = stored(args.pairs) if args.pairs else PAPER
    table = bandwidth_mb_s(*sizes)
    if args.json:
        print(json.dumps({"bytes_pair": sizes[0], "bytes_fused": sizes[1], "fps": BANDWIDTH_FPS, "mb_s": table}, indent=1))
        return 0
    print(f"a pair {sizes[0] / 1e6:.3f} MB, a fused frame {sizes[1] / 1e6:.3f} MB, {BANDWIDTH_FPS} FPS{'MB/s:':>12}  upload  download")
    for key, link in table.items():
        print(f"{key.replace('_', ' '):66s}{link['upload']:8.2f}{link['download']:10.2f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
