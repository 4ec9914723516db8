"""`edgefuse run` from the command line: real processes and files."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from tests.conftest import Run, one_line
from tests.support.processes import until
from tests.support.waiting import SECONDS, Lines


@pytest.mark.pi
def test_a_folder_to_pictures_video_and_report(run: Run, pairs_folder: Path, tmp_path: Path) -> None:
    (pairs_folder / "visible" / "Thumbs.db").write_bytes(b"not a frame")
    out, video, report = tmp_path / "fused", tmp_path / "fused.mp4", tmp_path / "report.json"
    done = run("run", "--source", f"folder:{pairs_folder}", "--model", "mobilefuse", "--save", out, "--record", video, "--report", report)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert sorted(p.name for p in out.iterdir()) == ["0.png", "1.png", "2.png", "3.png"]
    fused = cv2.imread(str(out / "0.png"))
    assert fused.shape == (80, 96, 3)
    assert fused.std() > 10
    capture = cv2.VideoCapture(str(video))
    assert capture.get(cv2.CAP_PROP_FRAME_COUNT) == 4
    assert capture.get(cv2.CAP_PROP_FPS) == pytest.approx(25)
    data = json.loads(report.read_text())
    assert data["frames"] == {"in": 4, "fused": 4, "dropped": 0}
    assert set(data["latency_ms"]) == {"read", "prepare", "network", "colour", "write"}
    assert {"p50", "p95", "p99"} <= set(data["latency_ms"]["network"])
    assert data["fps"] == pytest.approx(3 / data["elapsed_s"], rel=1e-2)
    assert data["peak_resident_mb"] > 10
    assert data["bytes"]["in"] == 4 * 80 * 96 * 4
    assert data["bytes"]["out"] == 4 * 80 * 96 * 3
    assert data["bytes"]["written"] == sum(p.stat().st_size for p in out.iterdir()) + video.stat().st_size
    links = data["bandwidth_mb_s"]
    assert links["remote_computing_result_on_device"] == {"upload": 0.922, "download": 0.691}
    assert links["remote_computing_result_remote"] == {"upload": 0.922, "download": 0.0}
    assert links["edge_computing_result_on_device"] == {"upload": 0.0, "download": 0.0}
    assert links["edge_computing_result_remote"] == {"upload": 0.691, "download": 0.0}
    assert "FPS" in done.stdout
    assert "peak resident" in done.stdout


def test_the_layout_of_a_dataset_is_said_once_and_what_to_know_of_it(run: Run, tmp_path: Path) -> None:
    for folder in ("RGB", "thermal_8_bit"):
        (tmp_path / "val" / folder).mkdir(parents=True)
        cv2.imwrite(str(tmp_path / "val" / folder / "FLIR_1.png"), np.full((64, 64), 90, np.uint8))
    done = run("run", "--source", "folder:.", "--report", "report.json")
    assert done.returncode == 0, done.stderr
    said = "FLIR ADAS 1 (val/RGB with val/thermal_8_bit)"
    assert [line for line in done.stdout.splitlines() if "FLIR" in line] == [f"layout     {said}"]
    assert "the frames of FLIR ADAS are not registered: run edgefuse calibrate" in one_line(done.stderr)
    assert json.loads((tmp_path / "report.json").read_text())["layout"] == said


@pytest.mark.pi
def test_json_on_standard_output_has_the_runtime_and_the_reason(run: Run) -> None:
    done = run("run", "--source", "demo?frames=2&size=64x64", "--json", "--threads", 1)
    data = json.loads(done.stdout)
    assert data["model"]["name"] == "mobilefuse-edge"
    assert set(data["latency_ms"]) == {"read", "prepare", "network", "map", "targets", "blend", "write"}
    assert data["model"]["threads"] == 1
    assert data["model"]["runtime"] in ("litert", "onnx", "numpy")
    assert data["model"]["why"].startswith("the fastest installed")
    assert data["interrupted"] is False


def test_a_closed_form_with_every_option_of_the_blend(run: Run) -> None:
    done = run(
        "run", "--source", "demo?frames=3&size=64x64", "--model", "blend-classic", "--sharpness", 2, "--targets", 0, "--steady", "on",
        "--json",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    data = json.loads(done.stdout)
    assert data["frames"] == {"in": 3, "fused": 3, "dropped": 0}
    assert (data["model"]["runtime"], data["model"]["precision"]) == ("closed form", "8 bit")


def _pictures(run: Run, source: str, steady: str, tmp_path: Path) -> list[bytes]:
    out = tmp_path / f"out-{steady}"
    done = run("run", "--source", source, "--model", "blend-classic", "--steady", steady, "--save", out)
    assert done.returncode == 0, done.stderr
    return [p.read_bytes() for p in sorted(out.iterdir())]


def test_steady_auto_is_for_all_sources_but_folders(run: Run, pairs_folder: Path, tmp_path: Path) -> None:
    folder = {s: _pictures(run, f"folder:{pairs_folder}", s, tmp_path / "f") for s in ("auto", "on", "off")}
    assert folder["auto"] == folder["off"]
    demo = {s: _pictures(run, "demo?scene=day&frames=4&size=96x80", s, tmp_path / "d") for s in ("auto", "on", "off")}
    assert demo["auto"] == demo["on"] != demo["off"]


def test_frames_stops_early(run: Run) -> None:
    data = json.loads(run("run", "--source", "demo?frames=0&size=64x64", "--frames", 3, "--json").stdout)
    assert data["frames"] == {"in": 3, "fused": 3, "dropped": 0}


def test_the_command_line_overrides_the_settings_file(run: Run, tmp_path: Path) -> None:
    (tmp_path / "edgefuse.toml").write_text('[run]\nsource = "demo?size=64x64"\nframes = 2\nruntime = "numpy"\nsave = "a"\n')
    done = run("run", "--config", "edgefuse.toml", "--save", "b")
    assert done.returncode == 0, done.stderr
    assert not (tmp_path / "a").exists()
    assert len(list((tmp_path / "b").iterdir())) == 2
    assert "numpy" in done.stdout


def test_sixteen_bit_grey_and_mixed_sizes(run: Run, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for k, size in enumerate([(50, 61), (33, 40)]):
        for name, data in (
            ("visible", rng.integers(0, 256, size, np.uint8)),
            ("infrared", rng.integers(29000, 30000, size).astype(np.uint16)),
        ):
            (tmp_path / name).mkdir(exist_ok=True)
            cv2.imwrite(str(tmp_path / name / f"{k}.png"), data)
    done = run("run", "--source", "folder:visible,infrared", "--save", "out", "--record", "out.avi")
    assert done.returncode == 0, done.stderr
    assert cv2.imread(str(tmp_path / "out" / "0.png"), cv2.IMREAD_UNCHANGED).shape == (50, 61)
    assert cv2.imread(str(tmp_path / "out" / "1.png"), cv2.IMREAD_UNCHANGED).shape == (33, 40)
    assert cv2.VideoCapture(str(tmp_path / "out.avi")).get(cv2.CAP_PROP_FRAME_COUNT) == 2


def test_bad_frames_are_named_counted_and_skipped(run: Run, pairs_folder: Path, tmp_path: Path) -> None:
    (pairs_folder / "visible" / "lonely.png").write_bytes((pairs_folder / "visible" / "0.png").read_bytes())
    truncated = pairs_folder / "infrared" / "1.png"
    truncated.write_bytes(truncated.read_bytes()[:-400])
    cv2.imwrite(str(pairs_folder / "infrared" / "2.png"), np.zeros((10, 12), np.uint8))
    done = run("run", "--source", f"folder:{pairs_folder}", "--save", "out", "--report", "report.json")
    assert done.returncode == 2
    line = one_line(done.stderr)
    assert line.startswith("edgefuse: 3 of 5 pairs")
    data = json.loads((tmp_path / "report.json").read_text())
    assert data["frames"] == {"in": 5, "fused": 2, "dropped": 3}
    assert data["dropped_by_cause"] == {"unreadable": 1, "size": 1, "unpaired": 1}
    messages = {d["name"]: d["message"] for d in data["dropped_frames"]}
    assert "is truncated" in messages["1"]
    assert "96x80" in messages["2"]
    assert "12x10" in messages["2"]
    assert "no infrared frame" in messages["lonely"]
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["0.png", "3.png"]


def _video(path: Path, frames: int) -> None:
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"mp4v"), 20, (64, 48))
    for k in range(frames):
        writer.write(np.full((48, 64, 3), 20 * k, np.uint8))
    writer.release()


def test_a_video_that_ends_early_keeps_the_fused_frames(run: Run, tmp_path: Path) -> None:
    _video(tmp_path / "v.mp4", 6)
    _video(tmp_path / "i.mp4", 4)
    done = run("run", "--source", "video:v.mp4,i.mp4", "--record", "out.mp4", "--json")
    assert done.returncode == 2
    assert "i.mp4 ends after 4 frames, before v.mp4" in one_line(done.stderr)
    assert json.loads(done.stdout)["frames"] == {"in": 6, "fused": 4, "dropped": 2}
    assert cv2.VideoCapture(str(tmp_path / "out.mp4")).get(cv2.CAP_PROP_FRAME_COUNT) == 4


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["--source", "folder:nowhere"], "nowhere: no such folder"),
        (["--source", "folder:empty"], "no pairs"),
        (["--source", "folder:."], "no visible/ and infrared/ inside"),
        (["--source", "video:a.mp4,b.mp4"], "no such visible video"),
        (["--source", "webcam:0"], "unknown source 'webcam'; choose from demo, folder, replay, video"),
        (["--source", "::"], "is not KIND"),
        (["--source", "demo?size=1x1"], "expected WIDTHxHEIGHT"),
        (["--source", "demo?colour=red"], "'demo' has no option 'colour'"),
        (["--source", "demo?frames=2&size=64x64", "--model", "gpt"], "unknown model 'gpt'; choose from blend-classic, mobilefuse"),
        (["--source", "demo?frames=2&size=64x64", "--runtime", "cuda"], "unknown runtime 'cuda'"),
        (["--source", "demo?frames=2&size=64x64", "--runtime", "numpy", "--precision", "int8"], "numpy has no int8 file"),
        (["--source", "demo?frames=2&size=64x64", "--precision", "fp4"], "invalid choice: 'fp4'"),
        (["--source", "demo?frames=2&size=64x64", "--frames", "many"], "invalid int value"),
        (["--source", "demo?frames=2&size=64x64", "--frames", "0"], "expected a whole number from 1"),
        (
            ["--source", "demo?frames=2&size=64x64", "--model", "blend-classic", "--runtime", "onnx"],
            "blend-classic is a closed form: it takes no runtime",
        ),
        (
            ["--source", "demo?frames=2&size=64x64", "--model", "blend-classic", "--precision", "int8"],
            "it takes no runtime and no precision",
        ),
        (["--source", "demo?frames=2&size=64x64", "--sharpness", "0.9"], "--sharpness = 0.9: expected a number from 1 to 2"),
        (["--source", "demo?frames=2&size=64x64", "--sharpness", "2.01"], "--sharpness = 2.01: expected a number from 1 to 2"),
        (["--source", "demo?frames=2&size=64x64", "--sharpness", "nan"], "--sharpness = nan: expected a number"),
        (["--source", "demo?frames=2&size=64x64", "--sharpness", "much"], "invalid float value: 'much'"),
        (["--source", "demo?frames=2&size=64x64", "--targets", "-1"], "--targets = -1.0: expected a number from 0 to 2"),
        (["--source", "demo?frames=2&size=64x64", "--targets", "3"], "--targets = 3.0: expected a number from 0 to 2"),
        (["--source", "demo?frames=2&size=64x64", "--steady", "maybe"], "invalid choice: 'maybe'"),
        (["--source", "demo?frames=2&size=64x64", "--record", "out.gif"], "a video needs one of the extensions .mp4"),
        (["--source", "demo?frames=2&size=64x64", "--save", "file"], "a file is there, not a folder"),
        (["--source", "demo?frames=2&size=64x64", "--report", "empty"], "a folder is there, not a file"),
        (["--source", "demo?frames=2&size=64x64", "--sink", "mqtt:x"], "unknown sink 'mqtt'"),
        (["--config", "absent.toml"], "cannot read absent.toml"),
        (["--sauce", "demo"], "unrecognized arguments: --sauce"),
        ([], "no source"),
    ],
)
def test_invalid_input_is_a_one_line_error_and_exit_2(run: Run, tmp_path: Path, args: list[str], words: str) -> None:
    (tmp_path / "empty" / "visible").mkdir(parents=True)
    (tmp_path / "empty" / "infrared").mkdir()
    (tmp_path / "file").write_text("")
    done = run("run", *args)
    assert done.returncode == 2
    assert words in one_line(done.stderr)
    assert done.stdout == ""


def test_outputs_never_overwrite_inputs(run: Run, pairs_folder: Path) -> None:
    before = (pairs_folder / "visible" / "0.png").read_bytes()
    done = run("run", "--source", f"folder:{pairs_folder}", "--save", pairs_folder / "visible")
    assert done.returncode == 2
    assert "choose another place" in one_line(done.stderr)
    assert (pairs_folder / "visible" / "0.png").read_bytes() == before


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to give its rights up")
def test_no_write_permission(pairs_folder: Path, tmp_path: Path) -> None:
    locked = tmp_path / "locked"
    locked.mkdir(mode=0o555)
    # run once before dropping the privileges, so that all modules are imported: only root may be able to read the interpreter
    code = (
        "import os\n"
        "from edgefuse.cli.main import main\n"
        f"assert main(['run', '--source', 'demo?frames=1&size=64x64', '--save', {str(tmp_path / 'first')!r}]) == 0\n"
        "os.setgid(65534); os.setuid(65534)\n"
        f"raise SystemExit(main(['run', '--source', 'demo?frames=1&size=64x64', '--save', {str(locked / 'out')!r}]))"
    )
    for parent in (tmp_path, *tmp_path.parents):
        if parent != Path("/") and parent.stat().st_uid == os.geteuid():
            parent.chmod(parent.stat().st_mode | 0o055)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2, done.stderr
    assert "no permission to write here" in one_line(done.stderr)


@pytest.fixture
def small_disk(tmp_path: Path) -> Path:
    mount = tmp_path / "disk"
    mount.mkdir()
    if (
        os.geteuid() != 0
        or subprocess.run(
            ["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", mount], capture_output=True, check=False, timeout=120
        ).returncode
    ):
        pytest.skip("needs root and mount, for a disk that can be filled")
    yield mount
    subprocess.run(["umount", "-l", mount], check=True, timeout=120)


@pytest.mark.parametrize("option", ["--save", "--record"])
def test_a_full_disk_keeps_written_frames(run: Run, tmp_path: Path, small_disk: Path, option: str) -> None:
    target = small_disk / ("out" if option == "--save" else "out.mp4")
    if option == "--record":
        (small_disk / "filler").write_bytes(bytes(1_500_000))
    done = run("run", "--source", "demo?size=320x240&scene=day", "--frames", 200, option, target, "--report", tmp_path / "report.json")
    assert done.returncode == 2
    assert "the disk is full" in one_line(done.stderr)
    data = json.loads((tmp_path / "report.json").read_text())
    assert data["frames"]["fused"] > 0
    assert data["frames"]["dropped"] == data["dropped_by_cause"]["unwritten"]
    assert data["frames"]["in"] == data["frames"]["fused"] + data["frames"]["dropped"]
    if option == "--save":
        written = sorted(target.iterdir())
        assert len(written) == data["frames"]["fused"]
        assert all(cv2.imread(str(p)).shape == (240, 320, 3) for p in written)
    else:
        assert {p.name for p in small_disk.iterdir()} - {"filler"} == {"out.mp4"}
        assert cv2.VideoCapture(str(target)).get(cv2.CAP_PROP_FRAME_COUNT) == data["frames"]["fused"]


def test_replaced_model_file_is_refused(run: Run, tmp_path: Path) -> None:
    from edgefuse import zoo

    shutil.copytree(zoo.find("mobilefuse").folder, tmp_path / "copy")
    model = tmp_path / "copy" / "mobilefuse.int8.onnx"
    model.write_bytes(model.read_bytes()[:-1] + b"x")
    done = run("run", "--source", "demo?frames=1&size=64x64", "--model", "./copy", "--runtime", "onnx")
    assert done.returncode == 2
    assert "sha256" in one_line(done.stderr)


def test_a_calibration_registers_infrared_frames_of_another_size(run: Run, pairs_folder: Path, tmp_path: Path) -> None:
    for path in (pairs_folder / "infrared").iterdir():
        cv2.imwrite(str(path), cv2.resize(cv2.imread(str(path), cv2.IMREAD_UNCHANGED), (48, 40), interpolation=cv2.INTER_AREA))
    (tmp_path / "c.toml").write_text(
        "format = 1\nvisible_size = [96, 80]\ninfrared_size = [48, 40]\nhomography = [[2, 0.01, 0.5], [0, 2, 0.5], [0, 0, 1]]\n"
        'method = "points"\nerror_px = 0.5\nmade = 2026-11-21\n'
    )
    source = f"folder:{pairs_folder}"
    done = run("run", "--source", source, "--calibration", "c.toml", "--json")
    assert done.returncode == 0, done.stderr
    data = json.loads(done.stdout)
    assert (data["calibration"], data["frames"]["fused"]) == ("c.toml", 4)
    assert list(data["latency_ms"]) == ["read", "register", "prepare", "network", "map", "targets", "blend", "write"]
    without = run("run", "--source", source)
    assert without.returncode == 2
    assert "visible is 96x80 but infrared 48x40; run edgefuse calibrate once, then give --calibration FILE" in one_line(without.stderr)
    over = run("run", "--source", source, "--calibration", "c.toml", "--report", "c.toml")
    assert over.returncode == 2
    assert "is an input of this run" in one_line(over.stderr)
    none = run("run", "--source", source, "--calibration", "none.toml")
    assert none.returncode == 2
    assert "cannot read none.toml" in one_line(none.stderr)


def test_an_endless_run_survives_failing_outputs(run: Run, tmp_path: Path) -> None:
    # replace the folder by a link in one step, because the run writes hundreds of pictures per second into it
    (tmp_path / "pictures").mkdir()
    (tmp_path / "out").symlink_to("pictures")
    args = ["run", "--source", "demo?frames=0&size=64x64", "--model", "blend-classic", "--save", "out"]
    process = subprocess.Popen(
        [sys.executable, "-m", "edgefuse", *args, "--report", "r.json"], cwd=tmp_path, stderr=subprocess.PIPE, text=True
    )
    assert process.stderr is not None
    errors = Lines(process.stderr)

    def more() -> None:
        before = {p.name for p in (tmp_path / "out").glob("*.png")}
        until(lambda: {p.name for p in (tmp_path / "out").glob("*.png")} - before, process, "another picture in out")

    try:
        more()
        (tmp_path / "file").touch()
        (tmp_path / "file").replace(tmp_path / "out")
        assert "sink out: state set aside, error cannot write out/" in errors.next("the sink to be set aside")
        (tmp_path / "out").unlink()
        more()
        process.terminate()
        assert process.wait(SECONDS) == 0
    finally:
        process.kill()
    assert "sink out: state back, away_s " in errors.rest()
    sink = json.loads((tmp_path / "r.json").read_text())["sinks"]["out"]
    assert sink["lost"] > 0
    assert sink["faults"] == 1
