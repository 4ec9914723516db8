"""Tests EdgeFuse on an emulated Raspberry Pi 3B+: pip installs its wheel in an arm64 Debian 12 without a compiler, then three parts run.

Tests: `edgefuse models verify` and the tests marked `pi`, under qemu-user's Cortex-A53 with a Pi's /proc/cpuinfo. Service:
deploy/edgefuse.service on a machine with 1 GB that boots systemd: checks of the unit, READY, memory, a clean stop, and the watchdog with a
frozen source. Counts: every model's outputs compared with this machine's (bit-exact for int8 networks), and instructions per frame compared
with benchmarks/instructions.json. Needs root. Exit code 77 if this machine can't run it, 1 if EdgeFuse fails.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import machine
import stages

TABLE = machine.CHECKOUT / "benchmarks/instructions.json"
PEER = machine.CHECKOUT.parent / "shared/peers/ifcnn_max.onnx"
QUICK = ("mobilefuse-edge", "blend-classic")  # models that are counted without --count
Table = dict[tuple[str, ...], dict[str, Any]]  # rows by the values of KEYS
KEYS = ("model", "runtime", "precision", "size", "path")
COMPILER = re.compile(r"(.+-)?(cc|c89|c99|gcc|g\+\+|c\+\+|clang|tcc)(-[\d.]+)?")
TOLERANCE = 0.03  # instruction counts are repeatable to 0.1 %
CORE = """processor\t: {}
BogoMIPS\t: 38.40
Features\t: fp asimd evtstrm crc32 cpuid
CPU implementer\t: 0x41
CPU architecture: 8
CPU variant\t: 0x0
CPU part\t: 0xd03
CPU revision\t: 4

"""
BOARD = "Hardware\t: BCM2835\nRevision\t: a020d3\nSerial\t\t: 0000000000000000\nModel\t\t: Raspberry Pi 3 Model B Plus Rev 1.3\n"
ENTER = """mount -t proc proc $0/proc && mount --bind $0/../cpuinfo $0/proc/cpuinfo && mount --rbind /dev $0/dev \
&& mount --bind $0/../sys $0/sys && mount --bind $0/../job $0/job && cd / && exec chroot $0 "$@" """

# sdot v0.4s, v1.16b, v2.16b; ret
SDOT = """
import ctypes as _c, mmap as _m
_page = _m.mmap(-1, 4096, prot=_m.PROT_READ | _m.PROT_WRITE | _m.PROT_EXEC)
_page.write((0x4E829420).to_bytes(4, "little") + (0xD65F03C0).to_bytes(4, "little"))
_c.CFUNCTYPE(None)(_c.addressof(_c.c_char.from_buffer(_page)))()
"""


class Root:
    """The cached arm64 root with a layer in memory on top, and a Pi's /proc/cpuinfo and /sys/devices/system/cpu for qemu-user."""

    def __init__(self, cache: Path, folder: Path) -> None:
        stages.sh("mount", "-t", "tmpfs", "tmpfs", folder)
        self.path, self.changes, self.job = folder / "root", folder / "changes", folder / "job"
        cpus = folder / "sys/devices/system/cpu"
        for made in (self.path, self.changes, self.job, folder / "work", cpus):
            made.mkdir(parents=True)
        for name in ("possible", "present", "online"):
            (cpus / name).write_text("0-3\n")
        (folder / "cpuinfo").write_text("".join(CORE.format(n) for n in range(4)) + BOARD)
        layers = f"lowerdir={cache / 'root'},upperdir={self.changes},workdir={folder / 'work'}"
        stages.sh("mount", "-t", "overlay", "overlay", "-o", layers, self.path)

    def command(self, *command: str) -> list[str]:
        """Return the command line that runs `command` in the root, in /job, on qemu-user's Cortex-A53."""
        inside = ("sh", "-c", 'cd /job && exec "$@"', "sh", *command)
        variables = {"QEMU_CPU": "cortex-a53", "HOME": "/root", "LANG": "C.UTF-8", "PYTHONDONTWRITEBYTECODE": "1"}
        path = f"PATH=/{stages.VENV}/bin:/usr/sbin:/usr/bin:/sbin:/bin"
        return ["env", "-i", path, *(f"{k}={v}" for k, v in variables.items()), *stages.tied("sh", "-c", ENTER, self.path, *inside)]


def install(root: Root, cache: Path, wheel: Path) -> Path:
    """Run deploy/install.sh without a network in a root without EdgeFuse and without a compiler. Returns the folder of added files."""
    if compiler := compiler_in(root.path):
        sys.exit(f"pi: the root has a compiler, {compiler}; the wheel must be installed without one")
    shutil.rmtree(root.path / stages.VENV)
    shutil.copytree(cache / "wheels", root.job / "wheels")
    shutil.copy(wheel, root.job / "wheels")
    shutil.copy(machine.CHECKOUT / "deploy/install.sh", root.job)
    # the guest's Python takes minutes to byte-compile, this one seconds
    by_pip = ("env", "PIP_NO_COMPILE=1")
    with machine.timed("install"):
        # the newest packages, not the locked ones: tests/deploy checks signatures and locks
        unlocked = ("--allow-unsigned", "--allow-unlocked")
        stages.sh(*root.command(*by_pip, "./install.sh", "--wheels", "wheels", "--extras", "service,litert", "--no-start", *unlocked))
        pip = ("python3", "-m", "pip", "install", "-q", "--disable-pip-version-check", "--root-user-action=ignore")
        tools = ("pytest", "pytest-timeout", "hypothesis", "imageio-ffmpeg")
        stages.sh(*root.command(*by_pip, *pip, "--no-index", "--find-links", "wheels", *tools))
        stages.compile_for_guest(root.path, root.path / "opt")
    shutil.rmtree(root.job / "wheels")
    ffmpeg = next((root.path / "opt").glob("edgefuse.d/*/lib/python3*/site-packages/imageio_ffmpeg/binaries/ffmpeg-*"))
    (root.path / "usr/local/bin/ffmpeg").symlink_to("/" / ffmpeg.relative_to(root.path))
    # as configured by its user, so that it is READY by itself at the first boot
    settings = root.path / "etc/edgefuse/edgefuse.toml"
    text = settings.read_text()
    assert "\n#source =\n" in text
    settings.write_text(text.replace("\n#source =\n", '\nsource = "demo?frames=0"\n'))
    added = root.changes.with_name("added")
    for folder in ("opt", "etc", "usr/local"):
        (added / folder).parent.mkdir(parents=True, exist_ok=True)
        # with owners, because only the service's group may read the settings
        stages.sh("cp", "-a", root.changes / folder, added / folder)
    return added


def compiler_in(root: Path) -> str:
    """Return the path of a C compiler in a root, or an empty string."""
    folders = (root / name for name in ("usr/bin", "usr/local/bin", "bin"))
    compilers = (path for folder in folders for path in folder.glob("*") if COMPILER.fullmatch(path.name))
    return next((f"/{path.relative_to(root)}" for path in compilers), "")


@contextlib.contextmanager
def background(command: list[str], log: Path) -> Iterator[subprocess.Popen[bytes]]:
    with log.open("wb") as file:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=file, stderr=subprocess.STDOUT)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


@contextlib.contextmanager
def installed(cache: Path) -> Iterator[tuple[Root, Path]]:
    """Yield the root, and this checkout's wheel, which is not yet installed. The mounts end with this process."""
    with tempfile.TemporaryDirectory(prefix="edgefuse-pi-") as name:
        folder = Path(name)
        (folder / "layer").mkdir()
        root = Root(cache, folder / "layer")
        try:
            yield root, machine.build_wheel(folder / "wheel")
        finally:
            stages.sh("umount", "-R", folder / "layer", check=False)


def pytest_command(root: Root) -> list[str]:
    shutil.copytree(machine.CHECKOUT / "tests", root.job / "tests", ignore=shutil.ignore_patterns("__pycache__"))
    compiled = "python3 -c 'from edgefuse.util import compiled; assert compiled.library(), \"the wheel has no compiled core\"'"
    options = "-q -m pi -p no:cacheprovider -W error --durations=5 --timeout 3600"
    tests = f"EDGEFUSE_TESTS_COLD=1 python3 -m pytest {options} tests"
    return root.command("sh", "-ec", f"{compiled}; edgefuse models verify; {tests}")


def service(cache: Path, added: Path) -> int:
    """Test the service on a machine that boots systemd, and after a power cut. Returns guest-service's exit code."""
    script, frozen = str(stages.HERE / "guest-service"), f"{machine.CHECKOUT / 'tests/frozen'}=tests/frozen"

    def boot(verb: str, *files: str, **options: Any) -> int:
        return machine.run(cache, ["./guest-service", verb], [script, *files], changes=added, systemd=True, skip_idle=True, **options)

    print("== the service, under systemd with 1 GB", flush=True)
    if code := boot("life", frozen):
        return code
    with tempfile.TemporaryDirectory(prefix="edgefuse-pi-") as name:
        if (code := boot("power-cut", out=Path(name), may_reset=True)) != machine.RESET:
            return code or 1
        return boot("after", f"{name}=before", out=Path(name))


def twin(cache: Path, *command: object) -> int:
    """Run this machine's Python with the guest's package versions and EdgeFuse from the same source."""
    path = os.pathsep.join((str(machine.CHECKOUT), str(cache / "twins")))
    return subprocess.run([sys.executable, *map(str, command)], env={**os.environ, "PYTHONPATH": path}, check=False).returncode


def counts(cache: Path, added: Path, count: list[str] | None) -> list[str]:
    """Compare outputs and instruction counts. Returns a line for each problem. count: models whose rows to write into the table."""
    with tempfile.TemporaryDirectory(prefix="edgefuse-pi-") as name:
        folder, script = Path(name), stages.HERE / "outputs.py"
        frames, here, there, rows = (folder / n for n in ("frames.npz", "here.npz", "there.npz", "counts.json"))
        if twin(cache, script, "pairs", frames) or twin(cache, script, "run", frames, here):
            return ["outputs: the models don't run on this machine"]
        files = [str(script), str(frames), *(str(TABLE.with_name(n)) for n in ("ifcnn.py", "instructions.py"))]
        counted = f"--models {' '.join(count)}" if count else f"--most 5 --models {' '.join(QUICK)}"
        if count and "ifcnn" in count:
            files.append(str(PEER))
            counted += f" --peer {PEER.name}"
        command = f"mkdir out; python3 outputs.py run {frames.name} out/{there.name}; "
        command += f"python3 instructions.py --frames {frames.name} --json out/{rows.name} {counted}"
        print("== outputs and instructions, one Cortex-A53", flush=True)
        if code := machine.run(cache, ["sh", "-ec", command], files, changes=added, out=folder, timeout=40000 if count else 1800):
            return [f"outputs and instructions: exit code {code}"]
        wrong = (
            ["outputs: an int8 network, or a fused frame by too much, differs from this machine's"]
            if twin(cache, script, "compare", here, there)
            else []
        )
        table, fresh = read_table(TABLE), read_table(rows)
        if not count:
            return wrong + worse(fresh, table)
        TABLE.write_text("[\n" + ",\n".join(json.dumps(row) for _, row in sorted((table | fresh).items())) + "\n]\n")
        print(f"written {TABLE}; docs/research/performance.md shows it: python benchmarks/instructions.py --show")
        return wrong


def read_table(path: Path) -> Table:
    """Return the table in a file; empty if there is no file."""
    return {tuple(row[k] for k in KEYS): row for row in json.loads(path.read_text())} if path.exists() else {}


def worse(counted: Table, table: Table) -> list[str]:
    """Return a line for each row with more instructions than in the table, beyond the tolerance, and for each that the table lacks."""
    lines = []
    for key, row in counted.items():
        name, old = " ".join(key), table.get(key)
        if old is None:
            lines.append(f"instructions: {name} is not in the table; count it with --count {row['model']}")
        elif row["instructions"] > old["instructions"] * (1 + TOLERANCE):
            more = 100 * (row["instructions"] / old["instructions"] - 1)
            versions = "" if row["version"] == old["version"] else f" (with {row['version']}; the table has {old['version']})"
            lines.append(f"instructions: {name} takes {row['instructions'] / 1e6:.2f} million, {more:.1f} % above the table{versions}")
    return lines


def test(cache: Path, count: list[str] | None) -> int:
    begin, wrong = time.monotonic(), []
    with installed(cache) as (root, wheel):
        added = install(root, cache, wheel)
        log = root.job / "pytest.log"
        # for two processors: the tests on one, the machines on the other
        with background(pytest_command(root), log) as tests:
            if service(cache, added):
                wrong.append("service: see above")
            wrong += counts(cache, added, count)
            with machine.timed("waiting for the tests"):
                code = tests.wait(1800)
        print(f"== the tests marked pi, on qemu-user's Cortex-A53\n{log.read_text(errors='replace')}", flush=True)
        if code:
            wrong.append(f"tests: pytest's exit code is {code}")
    for line in wrong:
        print(f"FAIL {line}")
    print(f"{'FAILED' if wrong else 'passed'} in {time.monotonic() - begin:.0f} s")
    return 1 if wrong else 0


def self_test(cache: Path) -> int:
    """Check that the test notices what it must: a broken unit file, a model over the memory limit, unsupported instructions, a compiler."""
    unnoticed = []
    with installed(cache) as (root, wheel):
        added = install(root, cache, wheel)
        unit, settings = added / "etc/systemd/system/edgefuse.service", added / "etc/edgefuse/edgefuse.toml"
        for name, path, text, instead in (
            ("a unit file with an unknown key", unit, "WatchdogSec=", "WatchdogSecs="),
            ("a unit file with a wrong path", unit, "/opt/edgefuse/bin/edgefuse run", "/opt/edgefuse/edgefuse run"),
            ("a model over the memory limit", settings, "\n[run]\n", '\n[run]\nmodel = "mobilefuse"\n'),
        ):
            whole = path.read_text()
            assert text in whole
            path.write_text(whole.replace(text, instead))
            print(f"== self-test: {name}", flush=True)
            unnoticed += [] if service(cache, added) else [name]
            path.write_text(whole)
        name = "a compiler in the root"
        print(f"== self-test: {name}", flush=True)
        gcc = root.path / "usr/bin/aarch64-linux-gnu-gcc-12"
        gcc.write_text("#!/bin/sh\n")
        gcc.chmod(0o755)
        unnoticed += [] if compiler_in(root.path) else [name]
        gcc.unlink()
        name = "a wheel that uses SDOT"
        print(f"== self-test: {name}", flush=True)
        module = root.path / stages.SITE / "edgefuse/__init__.py"
        module.write_text(module.read_text() + SDOT)
        done = subprocess.run(pytest_command(root), check=False).returncode
        print(f"pytest's exit code is {done}")
        unnoticed += [] if done else [name]
    for name in unnoticed:
        print(f"FAIL {name} went unnoticed")
    return 1 if unnoticed else 0
