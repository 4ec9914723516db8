"""Runs what the README and the tutorials show with an installed EdgeFuse: `VENV/bin/python tests/docs/run_installed.py FOLDER`.

The environment has the wheel and what it depends on, no extras and no checkout. Lines that need live cameras are left out, and named.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from examples import Example, examples

ROOT = Path(__file__).resolve().parents[2]
TUTORIALS = ("first-picture", "first-archive", "first-sharpened-cube")
_SECONDS = 900
# the files that the README's lines begin with: pairs/, scene.npy, scene.img, cube.img, image.img
_INPUTS = """
from pathlib import Path
import cv2
import numpy as np
import edgefuse

with edgefuse.open_source("demo?frames=3") as source:
    while (pair := source.read()) is not None:
        for frame in (pair.visible, pair.infrared):
            Path("pairs", frame.modality).mkdir(parents=True, exist_ok=True)
            cv2.imwrite(f"pairs/{frame.modality}/{pair.name}.png", frame.data)
rng = np.random.default_rng(1)
y, x = np.mgrid[:96, :96]
shade = 1 + 0.3 * np.sin(x / 5) * np.cos(y / 7)
spectra = 2000 + np.cumsum(rng.normal(0, 60, (2, 40)), axis=1)
truth = (spectra[(x // 24 + y // 24) % 2] * shade[..., None] + rng.normal(0, 4, (96, 96, 40))).astype(np.uint16)
np.save("scene.npy", truth)
low = truth.reshape(24, 4, 24, 4, 40).mean((1, 3)).astype(np.uint16)
bands = truth.reshape(96, 96, 4, 10).mean(3).astype(np.uint16)
for name, cube in (("scene", truth), ("cube", low), ("image", bands)):
    edgefuse.decompress(edgefuse.compress(cube), f"{name}.img")
"""


def run(example: Example, folder: Path) -> None:
    """Run a block in `folder`, with the environment's programs first. Ends with exit code 1 if it fails."""
    python = [sys.executable, "-c", example.code]
    command = python if example.language == "python" else ["bash", "-euo", "pipefail", "-c", example.code]
    environment = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "VIRTUAL_ENV")}
    environment["PATH"] = os.pathsep.join((str(Path(sys.executable).parent), environment["PATH"]))
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=_SECONDS, check=False)
    if done.returncode:
        sys.exit(f"{example.code}\n{done.stdout}{done.stderr}exit code {done.returncode}")


def main() -> None:
    out = Path(sys.argv[1])
    for name in TUTORIALS:
        folder = out / name
        folder.mkdir(parents=True)
        steps = examples(ROOT / f"docs/tutorials/{name}.md", "sh", "python")
        for step in steps:
            run(step, folder)
        print(f"{name}: {len(steps)} blocks")
    folder = out / "README"
    folder.mkdir()
    run(Example("python", _INPUTS), folder)
    blocks = examples(ROOT / "README.md", "sh", "python")
    shell = next(block for block in blocks if "edgefuse run" in block.code)
    for line in shell.code.splitlines():
        if "--camera" in line:
            print(f"README: left out, as it needs cameras: {line}")
        else:
            run(Example("sh", line), folder)
    python = [block for block in blocks if block.language == "python"]
    for block in python:
        run(block, folder)
    print(f"README: {len(shell.code.splitlines()) - 1} lines of shell, {len(python)} blocks of Python")


if __name__ == "__main__":
    main()
