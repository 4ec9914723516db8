from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from edgefuse.runtimes import choose, tuned
from edgefuse.runtimes.tuned import Tuned, recall, remember, state_folder, surroundings
from edgefuse.zoo import find


def made(model: str = "mobilefuse-edge", runtime: str = "numpy", precision: str = "fp32", threads: int = 3) -> Tuned:
    return Tuned(model, runtime, precision, threads, "640x480", 1.25, "2026-11-21", surroundings(find(model)))


def keep(folder: Path, choice: Tuned) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    remember(folder, choice)


def test_the_state_folder_is_systemds_then_xdgs_then_the_homes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STATE_DIRECTORY", "/var/lib/a:/var/lib/b")
    assert state_folder() == Path("/var/lib/a")
    monkeypatch.setenv("STATE_DIRECTORY", "")
    monkeypatch.setenv("XDG_STATE_HOME", "/x")
    assert state_folder() == Path("/x/edgefuse")
    monkeypatch.delenv("XDG_STATE_HOME")
    monkeypatch.setenv("HOME", "/h")
    assert state_folder() == Path("/h/.local/state/edgefuse")


def test_auto_follows_what_was_remembered_and_says_so(state_folder: Path) -> None:
    card = find("mobilefuse-edge")
    assert recall(card) == (None, "")
    keep(state_folder, made())
    choice = choose(card)
    assert (choice.name, choice.precision, choice.threads, choice.warning) == ("numpy", "fp32", 3, "")
    assert choice.why == "tuned for this board on 2026-11-21: 1.25 ms a frame at 640x480"
    assert choose(card, threads=1).threads == 1
    assert choose(card, "onnx").name == "onnx"
    assert choose(card, precision="int8").precision == "int8"
    assert choose(find("mobilefuse")).why.startswith("the fastest installed")


def test_a_closed_forms_threads_are_remembered(state_folder: Path) -> None:
    keep(state_folder, made("blend-classic", "closed form", "8 bit", 2))
    choice = choose(find("blend-classic"))
    assert (choice.name, choice.threads) == ("closed form", 2)
    assert "tuned" in choice.why


def test_an_upgraded_library_makes_it_stale(state_folder: Path) -> None:
    choice = made()
    keep(state_folder, replace(choice, holds_for={**choice.holds_for, "numpy": "1.0"}))
    chosen = choose(find("mobilefuse-edge"))
    assert chosen.why.startswith("the fastest installed")
    assert "numpy 1.0 is now" in chosen.warning
    assert "run edgefuse bench --tune again" in chosen.warning


@pytest.mark.parametrize(("runtime", "precision"), [("gone", "fp32"), ("numpy", "int8")])
def test_a_choice_that_no_longer_loads_falls_back_with_a_warning(state_folder: Path, runtime: str, precision: str) -> None:
    keep(state_folder, made(runtime=runtime, precision=precision))
    chosen = choose(find("mobilefuse-edge"))
    assert chosen.why.startswith("the fastest installed")
    assert chosen.warning.startswith("what bench --tune chose on 2026-11-21 can't be used (")


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", "7", '{"format": 2, "choices": []}', '{"format": 1, "choices": [{}]}', '{"format": 1, "choices": [7]}', "[" * 100_000],
)
def test_a_damaged_file_is_no_reason_to_fail(state_folder: Path, text: str) -> None:
    state_folder.mkdir(parents=True)
    (state_folder / "tuned.json").write_text(text)
    chosen = choose(find("mobilefuse-edge"))
    assert "is not what bench --tune wrote" in chosen.warning
    keep(state_folder, made())
    assert choose(find("mobilefuse-edge")).name == "numpy"


@pytest.mark.parametrize("change", [{"threads": 0}, {"threads": "2"}, {"frame_ms": None}, {"holds_for": []}, {"runtime": 3}])
def test_values_of_another_kind_are_damage(state_folder: Path, change: dict[str, object]) -> None:
    keep(state_folder, made())
    path = state_folder / "tuned.json"
    raw = json.loads(path.read_text())
    raw["choices"][0] |= change
    path.write_text(json.dumps(raw))
    assert "is not what bench --tune wrote" in recall(find("mobilefuse-edge"))[1]


def test_each_model_and_board_has_one_choice(state_folder: Path) -> None:
    other = made()
    keep(state_folder, replace(other, holds_for={**other.holds_for, "processor": "Cortex-A53"}))
    keep(state_folder, made(threads=1))
    keep(state_folder, made("mobilefuse"))
    keep(state_folder, made(threads=2))
    choices, wrong = tuned._read(state_folder)
    assert not wrong
    assert [(c.model, c.threads, c.holds_for["processor"] == "Cortex-A53") for c in choices] == [
        ("mobilefuse-edge", 3, True), ("mobilefuse", 3, False), ("mobilefuse-edge", 2, False),
    ]  # fmt: skip
    assert choose(find("mobilefuse-edge")).threads == 2
