from __future__ import annotations

from pathlib import Path

import pytest

from edgefuse.doctor import Host
from edgefuse.doctor.compiled_core import check_core
from edgefuse.util import compiled


@pytest.mark.parametrize(
    ("library", "there", "asked", "state", "said"),
    [
        (object(), True, {}, "ok", "works"),
        (None, False, {}, "warn", "was not built"),
        (None, True, {}, "warn", "could not be loaded"),
        (None, True, {"EDGEFUSE_COMPILED": "0"}, "ok", "EDGEFUSE_COMPILED=0"),
    ],
)
def test_states(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, library: object, there: bool, asked: dict[str, str], state: str, said: str
) -> None:
    file = tmp_path / "library.so"
    if there:
        file.touch()
    monkeypatch.setattr(compiled, "FILE", file)
    monkeypatch.setattr(compiled, "library", lambda: library)
    (findings,) = check_core(Host(tmp_path, env=asked))
    assert findings.state == state
    assert said in findings.what
    assert (findings.mend is not None) == (state == "warn")
    assert not findings.mend or findings.mend.startswith("sudo apt install gcc && ")
