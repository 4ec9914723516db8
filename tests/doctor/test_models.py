from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from edgefuse import zoo
from edgefuse.doctor import Host
from edgefuse.doctor.models import check_models


def test_ours_are_whole() -> None:
    (findings,) = check_models(Host())
    assert findings.state == "ok"
    assert zoo.DEFAULT_MODEL in findings.facts["models"]


def test_a_damaged_file_and_a_broken_card(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copytree(zoo.find("mobilefuse").folder, tmp_path / "models/mobilefuse")
    monkeypatch.setattr(zoo, "BUILT_IN", tmp_path / "models")
    (tmp_path / "models/mobilefuse/mobilefuse.npz").write_bytes(b"cut")
    damaged, whole = check_models(Host())
    assert (damaged.name, damaged.state, whole.state) == ("model mobilefuse", "fail", "fail")
    assert "sha256" in damaged.what
    assert damaged.mend == f"git -C {tmp_path} checkout -- models"
    (tmp_path / "zoo.py").touch()  # as in a wheel
    assert (check_models(Host())[0].mend or "").endswith("-m pip install --force-reinstall --no-deps edgefuse")
    (tmp_path / "zoo.py").unlink()
    (tmp_path / "models/mobilefuse/card.toml").write_text("name = ")
    (broken,) = check_models(Host())
    assert (broken.state, broken.mend) == ("fail", damaged.mend)
    shutil.rmtree(tmp_path / "models")
    assert check_models(Host())[0].what.startswith("no model in")
