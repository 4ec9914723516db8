"""onnxruntime as EdgeFuse imports it."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("onnxruntime")

LOAD = "import edgefuse; edgefuse.load('mobilefuse-edge', runtime='onnx')"


def test_onnxruntime_leaves_no_device_identifier_behind(tmp_path: Path) -> None:
    # neither a CI's variables nor the tester's own may be why it stays quiet
    environment = {"HOME": str(tmp_path), "PATH": os.environ["PATH"]}
    subprocess.run([sys.executable, "-c", LOAD], env=environment, check=True, timeout=120)
    assert list(tmp_path.iterdir()) == []
