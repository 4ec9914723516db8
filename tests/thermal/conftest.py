"""Fixture: real thermal frames from ../shared, if present."""

from __future__ import annotations

import os
from pathlib import Path

import pytest


@pytest.fixture
def thermal_data() -> Path:
    folder = Path(os.environ.get("EDGEFUSE_SHARED", Path(__file__).resolve().parents[2].parent / "shared")) / "data/thermal"
    if not folder.is_dir():
        pytest.skip(f"no real thermal frames: {folder} is not there")
    return folder
