"""Runs a job on the emulated Pi: its files are on a second disk, its output comes back through virtio ports."""

from __future__ import annotations

import contextlib
import os
import shlex
import shutil
import subprocess
import sys
import threading
import time
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import stages

CHECKOUT = stages.HERE.parents[1]
PLATFORM = "manylinux_2_17_aarch64"  # as in scripts/build-packages
SPARE = 256 << 20  # free bytes on the job's disk
ENTRY = "#!/opt/edgefuse/bin/python3\nimport sys\nfrom edgefuse.cli.main import entry\nsys.exit(entry())\n"
TIMED_OUT = 124
RESET = 125


@contextlib.contextmanager
def timed(what: str) -> Iterator[None]:
    """Print the duration of the block to standard error."""
    begin = time.monotonic()
    yield
    print(f"pi: {what} {time.monotonic() - begin:.1f} s", file=sys.stderr)


def build_wheel(folder: Path) -> Path:
    """Build this checkout's wheel for aarch64, as it is published, in `folder`."""
    with timed("wheel"):
        pip = ("pip", "wheel", "-qq", "--disable-pip-version-check", "--no-deps", "-w", folder, CHECKOUT)
        stages.sh(sys.executable, "-m", *pip, env={**os.environ, "EDGEFUSE_PLATFORM": PLATFORM})
    return next(folder.glob("*.whl"))


def unpack_wheel(folder: Path, requirements: list[str]) -> None:
    """Unpack EdgeFuse's wheel to .site, with packages that take precedence over the guest's. Needs no root."""
    site = folder / ".site"
    site.mkdir()
    if requirements:
        with timed("packages"):
            stages.pip_target(site, *requirements)
    zipfile.ZipFile(build_wheel(folder / ".wheels")).extractall(site)
    shutil.rmtree(folder / ".wheels")
    if sys.version_info[:2] == (3, 11):  # as pip would; the guest's Python can use these files
        stages.sh(sys.executable, "-m", "compileall", "-qq", "--invalidation-mode", "unchecked-hash", site, check=False)
    (folder / ".bin").mkdir()
    (folder / ".bin/edgefuse").write_text(ENTRY)
    (folder / ".bin/edgefuse").chmod(0o755)


def fill(folder: Path, command: list[str], files: list[str], requirements: list[str], changes: Path | None, systemd: bool) -> None:
    """Fill the job's disk: the files, EdgeFuse (unpacked, or `changes` that an installation made to the root), and the command."""
    if changes:
        stages.sh("cp", "-a", changes, folder / ".root")
    else:
        unpack_wheel(folder, requirements)
    (folder / ".init").write_text((stages.HERE / "guest-init").read_text())
    (folder / ".init").chmod(0o755)
    (folder / ".command").write_text(shlex.join(command) + "\n")
    if systemd:
        (folder / ".systemd").touch()
    for given in files:
        path, _, name = given.partition("=")
        target = folder / (name or Path(path).resolve().name)
        target.parent.mkdir(parents=True, exist_ok=True)
        if Path(path).is_dir():
            shutil.copytree(path, target, ignore=shutil.ignore_patterns("__pycache__", ".git"))
        else:
            shutil.copy(path, target)


def qemu(cache: Path, disk: Path, ports: list[Path], skip_idle: bool) -> list[str]:
    """Return QEMU's command line: one Cortex-A53 without SDOT, fp16 arithmetic and LSE; an instruction takes one ns of guest time.

    An idle processor's clock jumps to the next timer, even during a disk access of a few microseconds. Therefore the kernel gets
    nohlt, with which it never idles; or, for jobs that sleep, a timer every 4 ms.
    """
    line = "qemu-system-aarch64 -M virt -cpu cortex-a53 -m 1G -smp 1 -icount shift=0,sleep=off -nodefaults -display none -no-reboot"
    line += f" -kernel {cache / 'vmlinuz'} -initrd {cache / 'initrd.gz'} -serial file:{disk.with_name('console.log')}"
    arguments = [*line.split(), "-append", "console=ttyAMA0 quiet panic=-1 norandmaps " + ("nohz=off" if skip_idle else "nohlt")]
    # the serial device first, because its ports are named by its number among the virtio devices
    arguments += ["-device", "virtio-serial-pci,addr=0x1"]
    for number, port in enumerate(ports, 1):
        arguments += ["-chardev", f"file,id=port{number},path={port}", "-device", f"virtserialport,chardev=port{number},nr={number}"]
    for index, (drive, snapshot) in enumerate(((cache / "root.ext4", "on"), (disk, "off"))):
        arguments += ["-drive", f"if=none,id=disk{index},file={drive},format=raw,cache=unsafe,snapshot={snapshot}"]
        arguments += ["-device", f"virtio-blk-pci,drive=disk{index},addr={index + 2:#x}"]
    return arguments


class Ports:
    """The guest's ports as named pipes, each read by a thread: output and error are passed on, the third reports the guest's progress."""

    def __init__(self, folder: Path) -> None:
        self.code: int | None = None
        self._begin = time.monotonic()
        self.paths = [folder / name for name in ("stdout", "stderr", "state")]
        for path in self.paths:
            stages.sh("mkfifo", path)
        takers = (sys.stdout.buffer.write, sys.stderr.buffer.write, self._state)
        self._threads = [threading.Thread(target=self._read, args=pair, daemon=True) for pair in zip(self.paths, takers, strict=True)]
        for thread in self._threads:
            thread.start()

    @staticmethod
    def _read(path: Path, take: Callable[[bytes], object]) -> None:
        with path.open("rb", buffering=0) as pipe:
            while data := pipe.read(65536):
                take(data)
                sys.stdout.flush()

    def _state(self, data: bytes) -> None:
        for line in data.decode().splitlines():
            what, _, code = line.partition(" ")
            print(f"pi: {'boot' if what == 'start' else 'command'} {time.monotonic() - self._begin:.1f} s", file=sys.stderr)
            self._begin = time.monotonic()
            if what == "end":
                self.code = int(code)

    def drain(self) -> None:
        for thread in self._threads:
            thread.join(10)


def run(
    cache: Path,
    command: list[str],
    files: list[str],
    requirements: list[str] | None = None,
    changes: Path | None = None,
    out: Path | None = None,
    systemd: bool = False,
    skip_idle: bool = False,
    timeout: float = 1800,
    may_reset: bool = False,
) -> int:
    """Boot, run the command in /job and power off. Returns the command's exit code, or with `may_reset` RESET if the machine was reset.
    Copies /job/out to `out`."""
    work = cache / "jobs" / f"{time.time_ns():x}"
    work.mkdir(parents=True)
    try:
        folder, disk = work / "job", work / "job.ext4"
        folder.mkdir()
        fill(folder, command, files, requirements or [], changes, systemd)
        with timed("disk"):
            stages.make_image(folder, disk, SPARE)
        used, ports = sum(os.times()[2:4]), Ports(work)
        machine = subprocess.Popen(stages.tied(*qemu(cache, disk, ports.paths, skip_idle), processes=False), stdin=subprocess.DEVNULL)
        try:
            machine.wait(timeout)
        except subprocess.TimeoutExpired:
            print(f"pi: not done after {timeout:.0f} s", file=sys.stderr)
            return TIMED_OUT
        finally:
            machine.kill()
        ports.drain()
        print(f"pi: {sum(os.times()[2:4]) - used:.0f} s of processor time", file=sys.stderr)
        if out:  # also after a reset: what had reached the disk
            stages.sh("debugfs", "-R", f"rdump /out {work}", disk, stderr=subprocess.DEVNULL)
            shutil.copytree(work / "out", out, dirs_exist_ok=True)
        if ports.code is None and may_reset:
            return RESET
        if ports.code is None:
            console = (work / "console.log").read_text(errors="replace")[-3000:]
            sys.exit(f"pi: the machine stopped before the job ended; qemu's exit code is {machine.returncode}, its console ends\n{console}")
        return ports.code
    finally:
        shutil.rmtree(work)
