"""deploy/locks names a version and hashes of everything that EdgeFuse needs as a service; scripts/lock writes it."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
LOCKS = ROOT / "deploy/locks"
pytestmark = pytest.mark.skipif(not LOCKS.is_dir(), reason="deploy/ is not beside these tests; they run in a checkout")
_SETS = {"service": ("config", "web", "edit", "metrics", "mqtt"), "litert": ("litert",)}
_DEVICES = [{"platform_machine": m, "python_version": v} for m in ("aarch64", "x86_64") for v in ("3.11", "3.12", "3.13")]


def _requirement(text: str) -> Any:
    return pytest.importorskip("packaging.requirements", reason="needs packaging").Requirement(text)


def _locked(name: str) -> list[Any]:
    """The requirements of a file; each must have hashes."""
    lines = []
    for entry in (LOCKS / f"{name}.txt").read_text().replace("\\\n", " ").splitlines():
        if entry.strip() and not entry.startswith("#"):
            text, *hashes = entry.split(" --hash=")
            assert hashes, entry
            assert all(re.fullmatch(r"sha256:[0-9a-f]{64}", h.strip()) for h in hashes), entry
            lines.append(_requirement(text.strip()))
    return lines


def _holds(requirement: Any, device: dict[str, str]) -> bool:
    environment = {**device, "python_full_version": f"{device['python_version']}.9", "sys_platform": "linux"}
    return requirement.marker is None or bool(requirement.marker.evaluate(environment))


@pytest.mark.parametrize("name", sorted(_SETS))
@pytest.mark.parametrize("device", _DEVICES, ids=lambda d: f"{d['platform_machine']}-{d['python_version']}")
def test_every_dependency_is_locked_once_to_a_version_that_fits(name: str, device: dict[str, str]) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = [_requirement(t) for t in [*project["dependencies"], *(r for e in _SETS[name] for r in project["optional-dependencies"][e])]]
    locked: dict[str, str] = {}
    for r in _locked(name):
        (pin,) = r.specifier
        assert pin.operator == "=="
        if _holds(r, device):
            assert locked.setdefault(r.name.lower().replace("_", "-"), pin.version) == pin.version, r
    for r in wanted:
        if _holds(r, device):
            version = locked[r.name.lower().replace("_", "-")]
            assert r.specifier.contains(version), f"{r} is locked to {version}; run scripts/lock"


def test_the_service_extra_is_what_is_locked() -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    assert extras["service"] == [f"edgefuse[{e}]" for e in _SETS["service"]]


def test_both_sets_have_the_same_versions() -> None:
    service, litert = ({(r.name, str(r.marker)): str(r.specifier) for r in _locked(name)} for name in ("service", "litert"))
    assert {k: v for k, v in litert.items() if k in service} == {k: v for k, v in service.items() if k in litert}
