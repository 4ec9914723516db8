"""docs/settings.md says what the settings are."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

MAKE = Path(__file__).resolve().parents[2] / "docs/make_settings.py"


@pytest.mark.skipif(not MAKE.exists(), reason="docs/ is not beside these tests; they run in a checkout")
def test_the_page_shows_every_table_as_it_is() -> None:
    done = subprocess.run([sys.executable, MAKE, "--check"], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
