"""onnxruntime as EdgeFuse imports it."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from edgefuse import zoo
from edgefuse.errors import ModelError
from edgefuse.runtimes.onnx import checked

pytest.importorskip("onnxruntime")

LOAD = "import edgefuse; edgefuse.load('mobilefuse-edge', runtime='onnx')"


def test_onnxruntime_leaves_no_device_identifier_behind(tmp_path: Path) -> None:
    # neither a CI's variables nor the tester's own may be why it stays quiet
    environment = {"HOME": str(tmp_path), "PATH": os.environ["PATH"]}
    subprocess.run([sys.executable, "-c", LOAD], env=environment, check=True, timeout=120)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("entry", [b"\x0a\x08location\x12\x0b../../weird", b"\x12\x0b../../weird\x0a\x08location"])
def test_values_in_other_files_are_refused(entry: bytes) -> None:
    """In ONNX's protobuf: a key and a value of a tensor, in either order."""
    with pytest.raises(ModelError, match=r"m\.onnx: its values are in other files"):
        checked(b"\x08\x07\x3a\x40" + entry + bytes(40), Path("m.onnx"))


def test_shipped_models_hold_their_values() -> None:
    files = [file for card in zoo.cards() for file in card.files if file.runtime == "onnx"]
    assert files
    for file in files:
        checked(file.verified(), file.path)
