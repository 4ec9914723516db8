from __future__ import annotations

import dataclasses
import subprocess
import sys
import venv
from pathlib import Path

import pytest

from edgefuse.doctor.environment import Environment, environment_finding, kind, platform_finding, read_environment
from tests.doctor.test_runtimes import PI, PI32


@pytest.mark.parametrize("system", [False, True])
def test_real_virtual_environments(tmp_path: Path, system: bool) -> None:
    venv.create(tmp_path / "v", system_site_packages=system, with_pip=False, symlinks=True)
    code = "import sys, sysconfig; print(sys.prefix, sys.base_prefix, sysconfig.get_path('stdlib'), sep='\\n')"
    run = subprocess.run([tmp_path / "v/bin/python", "-c", code], capture_output=True, text=True, check=True, timeout=120)
    assert kind(*map(Path, run.stdout.split())) == ("venv with system site packages" if system else "venv")
    # the remedy in the report works
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", "--system-site-packages", tmp_path / "v"], check=True, timeout=120)
    assert kind(*map(Path, run.stdout.split())) == "venv with system site packages"


def test_other_kinds(tmp_path: Path) -> None:
    assert kind(tmp_path, tmp_path, tmp_path) == "none"
    (tmp_path / "EXTERNALLY-MANAGED").touch()
    assert kind(tmp_path, tmp_path, tmp_path) == "externally managed"
    assert kind(tmp_path / "gone", tmp_path, tmp_path) == "venv"
    (tmp_path / "conda-meta").mkdir()
    assert kind(tmp_path, tmp_path, tmp_path) == "conda"


def test_this_one_is_read() -> None:
    e = read_environment()
    assert e.executable == sys.executable
    assert e.bits in (32, 64)
    assert platform_finding(e).what.startswith(e.machine)


def test_only_a_systems_own_python_is_a_warning() -> None:
    kinds = ("venv", "venv with system site packages", "conda", "none")
    assert all(environment_finding(dataclasses.replace(PI, kind=k)).state == "ok" for k in kinds)
    system = dataclasses.replace(PI, kind="externally managed", executable="/usr/bin/python3")
    new = "/usr/bin/python3 -m venv --system-site-packages ~/edgefuse && ~/edgefuse/bin/pip install edgefuse"
    finding = environment_finding(system)
    assert (finding.state, finding.mend) == ("warn", new)
    assert system.pip_install("--force-reinstall", "onnxruntime<2") == f"{new} 'onnxruntime<2'"


def test_pip_on_a_32_bit_system_under_a_64_bit_kernel() -> None:
    assert PI32.pip_install("edgefuse") == "linux32 /opt/e/bin/python -m pip install edgefuse"


@pytest.mark.parametrize(
    ("change", "state", "words"),
    [
        ({}, "ok", "every runtime has wheels"),
        ({"bits": 32}, "warn", "LiteRT: tflite-runtime"),
        ({"bits": 32, "machine": "armv7l", "python": "3.13.1"}, "warn", "ends at Python 3.11"),
        ({"glibc": None}, "warn", "for glibc only"),
        ({"glibc": "2.27"}, "warn", "current wheels need glibc 2.28"),
        ({"machine": "riscv64"}, "warn", "for x86_64 and aarch64 only"),
    ],
)
def test_platforms(change: dict[str, object], state: str, words: str) -> None:
    e: Environment = dataclasses.replace(PI, **change)  # type: ignore[arg-type]
    findings = platform_finding(e)
    assert findings.state == state
    assert words in findings.what
