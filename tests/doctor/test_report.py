from __future__ import annotations

from pathlib import Path

from edgefuse.board import read_board
from edgefuse.doctor import Finding
from edgefuse.doctor.report import as_json, as_text, versions
from tests.board.trees import PI, plant

FOUND = [
    Finding("camera /dev/video0", "ok", "a name\x1b[31m with an escape " + "word " * 20),
    Finding(
        "runtime onnx",
        "fail",
        "dies",
        "python -m pip install 'onnxruntime<2' " + "very-long-argument " * 10,
        {"versions": {"avcodec": "62"}},
    ),
]


def test_a_script_reads_one_line_a_finding(tmp_path: Path) -> None:
    lines = as_text(read_board(plant(tmp_path, PI)), "docker", {"numpy": "2"}, FOUND, None, False).splitlines()
    assert lines[0].startswith("Raspberry Pi 3 Model B Plus Rev 1.3, Debian GNU/Linux 12 (bookworm), kernel 6.6.51")
    assert lines[0].endswith("in a container (docker)")
    assert lines[1] == "libraries: numpy 2"
    assert lines[2].startswith("ok    camera /dev/video0  a name\\x1b[31m with")
    assert lines[3] == "fail  runtime onnx        dies"
    assert lines[4].strip() == f"mend:  {FOUND[1].mend}".strip()
    assert lines[5] == "1 ok, 0 warn, 1 fail"


def test_a_terminal_gets_wrapped_lines_and_colours_but_commands_whole(tmp_path: Path) -> None:
    text = as_text(read_board(tmp_path), None, {}, FOUND, 70, True)
    assert "\x1b[31mfail\x1b[0m  runtime onnx        dies" in text
    assert FOUND[1].mend in text
    assert all(len(line) <= 70 + 9 for line in text.splitlines() if "mend:" not in line)


def test_versions_within_libraries_join_the_others() -> None:
    assert versions({"numpy": "2", "litert": None}, FOUND) == {"numpy": "2", "avcodec": "62"}


def test_json_counts(tmp_path: Path) -> None:
    data = as_json(read_board(plant(tmp_path, PI)), None, {}, FOUND)
    assert data["counts"] == {"ok": 1, "warn": 0, "fail": 1}
    assert data["board"]["memory_bytes"] == 944264 * 1024
