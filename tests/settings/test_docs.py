"""docs/reference/settings.md matches the settings' dataclasses."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

MAKE = Path(__file__).resolve().parents[2] / "scripts/make_settings.py"


@pytest.mark.skipif(not MAKE.exists(), reason="needs docs/, as in a checkout")
def test_the_page_matches_every_table() -> None:
    done = subprocess.run([sys.executable, MAKE, "--check"], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
