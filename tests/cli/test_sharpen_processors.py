"""`edgefuse sharpen` refuses the same inputs with the same messages on every processor type that OpenBLAS has kernels for."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from edgefuse.sharpening.psf import Psf
from tests.conftest import one_line
from tests.sharpening.scenes import image, low, scene

pytestmark = pytest.mark.slow

# per type: its name in builds of OpenBLAS that have it under another name, and the processor features that it needs
TYPES = {
    "Haswell": ({"Haswell"}, "avx2"),
    "Zen": ({"Zen", "Haswell"}, "avx2"),
    "SkylakeX": ({"SkylakeX"}, "avx512f"),
    "Prescott": ({"Prescott", "Katmai"}, "sse3"),
}
DEADLINE_S = 120.0
_TAKEN = "import numpy, threadpoolctl; print(*{i.get('architecture') for i in threadpoolctl.threadpool_info()})"


@pytest.fixture
def pairs(tmp_path: Path) -> Path:
    cube = scene(80, 72)
    lr, hr = low(cube, Psf(4)), image(cube)
    np.save(tmp_path / "low.npy", lr)
    pictures = {
        "right": hr,
        "noise": np.random.default_rng(0).random(hr.shape, np.float32),
        "other": image(scene(80, 72, seed=1))[:, ::-1],
        "mirrored": hr[:, ::-1],
        "flat": np.full_like(hr, 0.3),
        "shifted": np.roll(hr, (16, -20), (0, 1)),
    }
    for name, picture in pictures.items():
        np.save(tmp_path / f"{name}.npy", np.ascontiguousarray(picture))
    return tmp_path


def _ran(folder: Path, core: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    env = os.environ | {"OPENBLAS_CORETYPE": core}
    return subprocess.run(
        [sys.executable, *arguments], cwd=folder, env=env, capture_output=True, text=True, timeout=DEADLINE_S, check=False
    )


@pytest.mark.parametrize("core", list(TYPES))
def test_the_processor_does_not_choose_the_refusal(pairs: Path, core: str) -> None:
    names, able = TYPES[core]
    flags = Path("/proc/cpuinfo")
    if not flags.exists() or able.replace("sse3", "pni") not in flags.read_text().split():
        pytest.skip(f"this processor has no {able}")
    pytest.importorskip("threadpoolctl")
    taken = _ran(pairs, core, "-c", _TAKEN)
    if not set(taken.stdout.split()) & names:
        pytest.skip(f"this NumPy's BLAS has no kernels for {core}: {taken.stdout.strip() or taken.stderr[-200:]}")
    told = {"noise": "same scene", "other": "same scene", "mirrored": "same scene", "flat": "same scene", "shifted": "register them first"}
    for name, words in told.items():
        done = _ran(pairs, core, "-m", "edgefuse", "sharpen", "low.npy", f"{name}.npy", "out.npy")
        assert done.returncode == 2, (name, done.stderr)
        assert words in one_line(done.stderr), name
    done = _ran(pairs, core, "-m", "edgefuse", "sharpen", "low.npy", "right.npy", "out.npy")
    assert done.returncode == 0, done.stderr
