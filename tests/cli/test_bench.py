from __future__ import annotations

import json
import os
import pty
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from edgefuse.cli.main import main
from edgefuse.runtimes.tuned import Tuned, remember, surroundings
from edgefuse.zoo import find
from tests.bench.onnx_files import identities
from tests.conftest import Run, one_line
from tests.support.processes import ended
from tests.support.waiting import shown

QUICK = ("--size", "96x80", "--min-secs", "0.05", "--warmup", "0")
ONE = ("--model", "mobilefuse-edge", "--runtime", "numpy", "--threads", "1")


def done(code: int, err: str) -> None:
    """Check that all was measured; on a loaded machine figures may be untrusted, but nothing else may fail."""
    assert code in (0, 3), err
    if code == 3:
        assert "can be trusted" in one_line(err)
    else:
        assert err == ""


def test_a_case_has_all_figures(run: Run) -> None:
    completed = run("bench", *ONE, *QUICK, "--json")
    done(completed.returncode, completed.stderr)
    report = json.loads(completed.stdout)
    (row,) = report["cases"]
    assert (row["model"], row["runtime"], row["precision"], row["threads"], row["size"]) == ("mobilefuse-edge", "numpy", "fp32", 1, "96x80")
    for path in ("end_to_end", "network"):
        f, ms = row[path], row[path]["latency_ms"]
        assert f["frames"] >= 10
        assert f["fps"] == pytest.approx((f["frames"] - 1) / f["elapsed_s"], rel=0.01)
        assert 0 < ms["min"] <= ms["p50"] <= ms["p90"] <= ms["p95"] <= ms["p99"] <= ms["max"]
    assert list(row["stages"]) == ["prepare", "network", "map", "targets", "blend"]
    # stages and total are of the same frames; the network alone is timed on others, perhaps while the machine was less busy
    assert all(0 < s["share"] < 1 for s in row["stages"].values())
    assert sum(s["share"] for s in row["stages"].values()) == pytest.approx(1, abs=0.001)
    assert row["initialisation_ms"]["total"] > 0
    assert row["first_ms"] > 0
    assert 0 < row["memory_mb"]["own"] < row["memory_mb"]["peak_resident"] < 300
    card = find("mobilefuse-edge")
    assert row["file"]["sha256"] == next(f.sha256 for f in card.files if f.runtime == "numpy")
    assert (row["parameters"], row["macs"]) == (3205, round(14.3 * 96 * 80))
    assert row["bytes"] == {"in": 96 * 80 * 4, "out": 96 * 80 * 3}
    assert len(row["bandwidth_mb_s"]) == 4
    assert report["board"]["processor"]["usable"] >= 1
    assert report["libraries"]["numpy"]
    assert {"governor", "frequency_mhz", "temperature_c", "load", "throttling"} <= report["state"]["before"].keys()


@pytest.mark.slow
def test_text_and_page(run: Run, tmp_path: Path) -> None:
    models = ("--model", "mobilefuse-edge", "blend-classic", "--runtime", "numpy", "onnx", "--precision", "fp32", "--threads", "1")
    completed = run("bench", *models, *QUICK, "--html", "b.html", "--report", "b.json")
    done(completed.returncode, completed.stderr)
    for heading in ("end to end, ms per frame", "network alone", "start, memory, size", "share of each stage", "link load of 96x80"):
        assert heading in completed.stdout
    page = (tmp_path / "b.html").read_text()
    assert page.startswith("<!doctype html>")
    assert page.count("<svg") >= 3
    assert not re.search(r"https?:|<script|<link|@import|url\(|src=", page), "nothing is fetched"
    assert "prefers-color-scheme: dark" in page
    for row in json.loads((tmp_path / "b.json").read_text())["cases"]:
        assert f"{row['model']} {row['runtime']} {row['precision']}, 1 thread, 96x80" in page
    assert "mobilefuse-edge numpy fp32, 1 thread, 96x80" in completed.stdout


def test_tune_stores_the_fastest_unless_untrusted(run: Run, state_folder: Path) -> None:
    completed = run("bench", "--tune", "--runtime", "numpy", "--threads", 1, *QUICK, "--json")
    done(completed.returncode, completed.stderr)
    report = json.loads(completed.stdout)
    (tuned,), (row,) = report["tuned"], report["cases"]
    assert (tuned["model"], tuned["runtime"], tuned["precision"], tuned["threads"]) == ("mobilefuse-edge", "numpy", "fp32", 1)
    assert row["golden"]["status"] == "ok"
    path = state_folder / "tuned.json"
    assert tuned["remembered_in"] == (None if row["doubts"] else str(path))
    assert path.exists() == (not row["doubts"])
    assert completed.returncode == (3 if row["doubts"] else 0)


def test_run_and_models_use_and_show_the_stored_choice(run: Run, state_folder: Path) -> None:
    state_folder.mkdir(parents=True)
    card = find("mobilefuse-edge")
    remember(state_folder, Tuned(card.name, "numpy", "fp32", 1, "96x80", 1.5, "2026-11-21", surroundings(card)))
    told = run("run", "--source", "demo?frames=1&size=96x80")
    why = "tuned for this board on 2026-11-21: 1.50 ms a frame at 96x80"
    assert told.stdout.startswith("model      mobilefuse-edge fp32 on numpy")
    assert f"1 thread ({why})" in told.stdout.splitlines()[0]
    assert told.stderr == ""
    assert f"    --runtime auto takes numpy fp32, 1 thread ({why})\n" in run("models").stdout
    report = json.loads(run("run", "--source", "demo?frames=1&size=96x80", "--json").stdout)
    assert report["model"]["why"] == why


def test_run_warns_where_the_choice_is_stale(run: Run, state_folder: Path) -> None:
    state_folder.mkdir(parents=True)
    (state_folder / "tuned.json").write_text("nonsense")
    completed = run("run", "--source", "demo?frames=1&size=96x80")
    assert completed.returncode == 0
    assert "is not what bench --tune wrote" in one_line(completed.stderr)
    assert "the fastest installed" in completed.stdout
    assert "is not what bench --tune wrote" in run("models").stdout


@pytest.mark.slow
def test_a_peer_is_measured_interleaved_with_our_model(run: Run, tmp_path: Path) -> None:
    (tmp_path / "peer.onnx").write_bytes(identities(dict.fromkeys(("a", "b"), ("float", (1, 3, "h", "w")))))
    args = ("bench", *ONE, *QUICK, "--peer", "peer.onnx", "--frames", 5)
    completed = run(*args, "--json", "--html", "p.html")
    done(completed.returncode, completed.stderr)
    report = json.loads(completed.stdout)
    (duel,) = report["duels"]
    assert duel["rounds"] >= 5
    assert duel["clock"] == "processor"
    for path in ("network", "end_to_end"):
        ours, peer = duel[path]["mobilefuse-edge numpy fp32"], duel[path]["peer"]
        assert ours["ratio"] == pytest.approx(peer["median_ms"] / ours["median_ms"], rel=0.05)
        assert ours["ratio_quartiles"][0] <= ours["ratio_quartiles"][1]
    assert report["peer"]["sha256"]
    assert "Times faster than the peer" in (tmp_path / "p.html").read_text()


@pytest.mark.slow
def test_a_crashing_runtime_is_left_out_and_reported(run: Run, tmp_path: Path) -> None:
    (tmp_path / "fake").mkdir()
    (tmp_path / "fake/onnxruntime.py").write_text("import os, signal\nos.kill(os.getpid(), signal.SIGILL)\n")
    completed = run("bench", "--precision", "fp32", "--threads", 1, *QUICK, python_path=tmp_path / "fake")
    done(completed.returncode, completed.stderr)
    assert "the runtime onnx died of SIGILL: the library uses an instruction that this processor lacks" in completed.stdout
    assert "mobilefuse-edge numpy fp32" in completed.stdout
    completed = run("bench", "--runtime", "onnx", *QUICK, python_path=tmp_path / "fake")
    assert completed.returncode == 1
    assert "died of SIGILL" in one_line(completed.stderr)


def test_a_missing_runtime_error_has_the_install_command(run: Run, tmp_path: Path) -> None:
    for package in ("ai_edge_litert", "tflite_runtime"):
        (tmp_path / "fake" / package).mkdir(parents=True)
        (tmp_path / "fake" / package / "__init__.py").write_text("raise ImportError('gone')\n")
    completed = run("bench", "--runtime", "litert", *QUICK, python_path=tmp_path / "fake")
    assert completed.returncode == 2
    assert "run: pip install 'edgefuse[litert]'" in one_line(completed.stderr)


def test_a_damaged_file_is_a_failed_case(run: Run, tmp_path: Path) -> None:
    import shutil

    shutil.copytree(find("mobilefuse-edge").folder, tmp_path / "copy")
    (tmp_path / "copy/mobilefuse-edge.npz").write_bytes(b"nothing")
    completed = run("bench", "--model", "./copy", "blend-classic", "--runtime", "numpy", "--threads", 1, *QUICK)
    assert completed.returncode == 1
    assert "1 of 2 cases failed" in one_line(completed.stderr)
    assert "blend-classic closed form" in completed.stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--model", "x"), "unknown model 'x'"),
        (("--runtime", "cuda"), "unknown runtime 'cuda'"),
        (("--precision", "int4"), "invalid choice: 'int4'"),
        (("--threads", "0"), "'0': expected a whole number from 1 to 64"),
        (("--threads", "two"), "expected a whole number"),
        (("--frames", "0"), "expected a whole number from 1"),
        (("--min-secs", "0"), "'0': expected seconds"),
        (("--min-secs=-1",), "'-1': expected seconds"),
        (("--min-secs", "nan"), "'nan': expected seconds"),
        (("--warmup=-1",), "expected seconds"),
        (("--cooldown", "inf"), "expected seconds"),
        (("--size", "640"), "expected WIDTHxHEIGHT"),
        (("--size", "32x32"), "64x64 to 1920x1080"),
        (("--size", "96x80", "0x0"), "'0x0'"),
        (("--peer", "none.onnx"), "none.onnx: no such file"),
        (("--peer", ""), "--peer = '': expected a name"),
        (("--html", "/proc/x.html"), "cannot write /proc"),
        (("--tune", "--state-dir", "/proc/none"), "cannot write /proc/none"),
        (("--tune", "--peer", "p.onnx"), "cannot be combined"),
        (("--tune", "--size", "96x80", "128x96"), "one --size"),
        (("--tune", "--runtime", "auto"), "omit --runtime"),
        (("--state-dir", "x"), "--state-dir needs --tune"),
        (("--model", "mobilefuse", "--runtime", "numpy", "--precision", "int8"), "nothing to measure"),
    ],
)
def test_invalid_input_is_a_one_line_error(capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], message: str) -> None:
    assert main(["bench", *arguments]) == 2
    out, err = capsys.readouterr()
    assert message in one_line(err)
    assert out == ""


def test_a_peer_with_unsupported_inputs_is_a_one_line_error(run: Run, tmp_path: Path) -> None:
    (tmp_path / "one.onnx").write_bytes(identities({"x": ("float", (1, 3, "h", "w"))}))
    completed = run("bench", *ONE, *QUICK, "--peer", "one.onnx")
    assert completed.returncode == 2
    assert "has 1 input (x); a peer has two, visible and infrared" in one_line(completed.stderr)


def test_ctrl_c_prints_the_results_so_far(tmp_path: Path) -> None:
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "edgefuse", "bench", "--model", "blend-classic", "--threads", "1", "2", "3", "4", *QUICK]
    command[command.index("0.05")] = "1"
    process = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=theirs, text=True, start_new_session=True)
    os.close(theirs)
    before = shown(ours, "measuring 1/4")
    os.killpg(process.pid, signal.SIGINT)
    out, _ = ended(process, "the end after an interruption")
    after = shown(ours, "edgefuse: interrupted")
    os.close(ours)
    assert process.returncode == 130
    assert "Traceback" not in before + after
    assert "blend-classic closed form 8 bit, 1 thread, 96x80" in out
    assert "2 threads" not in out
