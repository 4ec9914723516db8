from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import pytest

from edgefuse import zoo
from edgefuse.doctor import Host, model_memory
from edgefuse.errors import ModelError
from edgefuse.fusion import memory_check
from tests.fusion.test_full_resolution import largest_of_four


def _frames(monkeypatch: pytest.MonkeyPatch, folder: Path, free: int) -> None:
    """Provide two models that take 100 and 1000 bytes per pixel, one of unknown size, and `free` bytes of memory."""
    card = largest_of_four(folder)
    table = {"small": {"numpy_fp32": 100, "absent_fp32": 1}, "large": {"numpy_fp32": 1000}, "silent": {}}
    cards = [replace(card, name=name, cost={"peak_bytes_per_pixel": each}) for name, each in table.items()]
    monkeypatch.setattr(zoo, "cards", lambda: cards)
    monkeypatch.setattr(memory_check, "free", lambda: free)


def test_which_models_fit_and_how_large_a_frame_the_others_take(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _frames(monkeypatch, tmp_path, 172_800_000)  # enough for a quarter of the larger model, in addition to the reserve and the run itself
    (finding,) = model_memory.check_fit(Host())
    assert (finding.state, finding.facts["free"]) == ("ok", 76_800_000)
    small, large = finding.facts["models"]
    assert (small["model"], small["runtime"], small["bytes"], small["fits"]) == ("small", "numpy", 30_720_000, True)
    assert (large["model"], large["fits"], large["largest"]) == ("large", False, "320x240")
    assert finding.what == (
        "77 MB for a frame; 640x480 fits with --model small --runtime numpy (31 MB); "
        "it does not with --model large --runtime numpy (307 MB, fits up to 320x240)"
    )


def test_a_machine_without_memory_for_any_is_a_warning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _frames(monkeypatch, tmp_path, 0)
    (findings,) = model_memory.check_fit(Host())
    assert (findings.state, findings.facts["free"]) == ("warn", 0)
    assert "fits with none" in findings.what


def test_where_runtimes_or_cards_are_missing_nothing_is_promised(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _frames(monkeypatch, tmp_path, 1 << 40)
    monkeypatch.setattr(model_memory, "installed", lambda _: None)
    assert model_memory.check_fit(Host()) == []

    def broken() -> list[zoo.Card]:
        raise ModelError("broken")

    monkeypatch.setattr(zoo, "cards", broken)
    assert model_memory.check_fit(Host()) == []


def test_a_doctor_comes_without_psutil_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "edgefuse.fusion.memory_check")
    monkeypatch.delattr("edgefuse.fusion.memory_check")
    monkeypatch.setitem(sys.modules, "psutil", None)
    assert model_memory.check_fit(Host()) == []


def test_it_says_what_run_would() -> None:
    """By the figures in the cards: nestfuse-small takes more memory than nestfuse-edge."""
    (findings,) = model_memory.check_fit(Host())
    sizes = {row["model"]: row["bytes"] for row in findings.facts["models"]}
    assert sizes["nestfuse-small"] > 4 * sizes["nestfuse-edge"]
