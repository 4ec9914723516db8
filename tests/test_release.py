"""All files state the same version."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import edgefuse

ROOT = Path(__file__).resolve().parents[1]


@pytest.mark.skipif(not (ROOT / "CITATION.cff").exists(), reason="not in a checkout")
def test_the_version_is_the_same_everywhere() -> None:
    citation = re.search(r"^version: (.*)$", (ROOT / "CITATION.cff").read_text(), re.MULTILINE)
    changes = re.search(r"^## ([\d.]+)", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert citation
    assert changes
    assert citation[1] == changes[1] == edgefuse.__version__
