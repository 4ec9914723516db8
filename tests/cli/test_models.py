from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np

from edgefuse import zoo
from tests.conftest import Run, one_line


def test_list_names_every_model(run: Run) -> None:
    names = {row["name"] for row in json.loads(run("models", "--json").stdout)}
    assert names >= {"mobilefuse", "mobilefuse-blending-only", "mobilefuse-generative-only"}
    text = run("models").stdout
    assert "33,665 parameters" in text
    assert "0 parameters, 0 MACs a pixel; closed form, no file\n" in text


def test_verify_runs_every_golden_pair_on_every_runtime_here(run: Run) -> None:
    done = run("models", "verify", "--json")
    assert done.returncode == 0, done.stderr
    results = json.loads(done.stdout)
    assert {(r["runtime"], r["precision"]) for r in results if r["model"] == "mobilefuse"} == {
        ("onnx", "int8"), ("onnx", "fp32"), ("litert", "int8"), ("numpy", "fp32"),
    }  # fmt: skip
    assert all(r["status"] in ("ok", "missing") for r in results)
    assert all(r["difference"] <= 1 / 255 for r in results if r["status"] == "ok")
    assert any(r["status"] == "ok" and r["runtime"] == "numpy" for r in results)


def test_verify_fails_on_other_weights_with_a_right_digest(run: Run, tmp_path: Path) -> None:
    import hashlib

    folder = tmp_path / "copy"
    card = zoo.find("mobilefuse")
    shutil.copytree(card.folder, folder)
    weights = dict(np.load(folder / "mobilefuse.npz"))
    weights["decoder.13.bias"] = weights["decoder.13.bias"] + 1
    np.savez_compressed(folder / "mobilefuse.npz", **weights)
    old = next(f.sha256 for f in card.files if f.runtime == "numpy")
    text = (folder / "card.toml").read_text()
    (folder / "card.toml").write_text(text.replace(old, hashlib.sha256((folder / "mobilefuse.npz").read_bytes()).hexdigest()))
    done = run("models", "verify", "./copy", "--runtime", "numpy")
    assert done.returncode == 1
    assert "golden pairs failed: mobilefuse.npz" in one_line(done.stderr)
    assert done.stdout.startswith("fail")


def test_verify_fails_on_a_replaced_file(run: Run, tmp_path: Path) -> None:
    shutil.copytree(zoo.find("mobilefuse").folder, tmp_path / "copy")
    (tmp_path / "copy" / "golden.npz").write_bytes(b"nothing")
    done = run("models", "verify", "./copy")
    assert done.returncode == 1
    assert "sha256" in done.stdout


def test_a_closed_form_has_nothing_to_verify(run: Run) -> None:
    done = run("models", "verify", "blend-classic")
    assert (done.returncode, done.stdout, done.stderr) == (0, "nothing to verify: a closed form has no files\n", "")
    done = run("models", "verify", "blend-classic", "--json")
    assert (done.returncode, json.loads(done.stdout)) == (0, [])
    shown = json.loads(run("models", "show", "blend-classic", "--json").stdout)[0]
    assert (shown["files"], shown["golden"]) == ([], None)


def test_show_prints_the_card(run: Run) -> None:
    done = run("models", "show", "mobilefuse")
    assert done.stdout == (zoo.find("mobilefuse").folder / "card.toml").read_text()
    assert json.loads(run("models", "show", "mobilefuse", "--json").stdout)[0]["name"] == "mobilefuse"


def test_unknown_names_are_a_one_line_error(run: Run) -> None:
    assert "unknown model 'x'" in one_line(run("models", "show", "x").stderr)
    done = run("models", "verify", "--runtime", "cuda")
    assert done.returncode == 2
    assert "unknown runtime 'cuda'" in one_line(done.stderr)
