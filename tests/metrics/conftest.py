"""Fixture: the project's shared data, beside the checkout or in the folder EDGEFUSE_SHARED, if this machine has it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder with data/ and referee/; skips the test if it is missing."""
    folder = Path(os.environ.get("EDGEFUSE_SHARED", Path(__file__).resolve().parents[2].parent / "shared"))
    if not (folder / "data" / "fusion").is_dir():
        pytest.skip(f"needs {folder}/data/fusion (or EDGEFUSE_SHARED), which this machine lacks")
    return folder
