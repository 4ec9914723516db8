"""Stages of `pi build`: host packages, an arm64 Debian, its Python packages, the same packages for this machine, kernel, disk image.

A stage's stamp file contains a digest of its inputs and of its predecessors' stamps. A stage with an unchanged digest is not built again;
an interrupted one leaves no stamp.
"""

from __future__ import annotations

import ctypes
import fcntl
import gzip
import hashlib
import importlib.metadata
import itertools
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any, NoReturn

HERE = Path(__file__).resolve().parent
VENV = "opt/edgefuse"
SITE = f"{VENV}/lib/python3.11/site-packages"
CANNOT = 77  # exit code if this machine can't run the test, although EdgeFuse may be right
CLONE_NEWNS = 0x20000
HOST = ("qemu-user-static", "binfmt-support", "qemu-system-arm", "mmdebstrap", "arch-test", "cpio", "e2fsprogs", "kmod")
# to compile EdgeFuse's core for the guest, as in a published wheel
HOST += ("gcc-aarch64-linux-gnu", "libc6-dev-arm64-cross")
GUEST = ("systemd-sysv", "udev", "dbus", "kmod", "python3", "python3-venv", "ca-certificates", "libgomp1")
MODULES = ("virtio_pci", "virtio_blk", "virtio_console", "crc32c_generic", "ext4")
# only download the kernel: installing it under qemu-user takes minutes for its initramfs
FETCH = (
    'mkdir /debs && cd /debs && kernel=$(apt-cache depends linux-image-arm64 | grep -o "linux-image-[0-9].*") '
    "&& apt-get download -qq -o APT::Sandbox::User=root busybox-static $kernel"
)
INIT = """#!/bin/busybox sh
B=/bin/busybox
$B mount -t proc proc /proc; $B mount -t sysfs sys /sys; $B mount -t devtmpfs dev /dev
for m in MODULES; do $B insmod /m/$m; done
for i in 1 2 3 4 5; do [ -b /dev/vdb ] && break; $B sleep 1; done
$B mount -t ext4 -o noatime /dev/vda /mnt && $B mount -t ext4 -o noatime /dev/vdb /mnt/job
$B umount /proc /sys; $B mount --move /dev /mnt/dev
exec $B switch_root /mnt /job/.init
"""


def sh(*command: object, check: bool = True, **options: Any) -> None:
    """Run a command. Its output goes to standard error, because standard output belongs to the job."""
    subprocess.run([str(c) for c in command], stdout=sys.stderr, check=check, **options)


_PIP = ("-qq", "--disable-pip-version-check", "--only-binary=:all:", "--python-version=3.11")
_PLATFORMS = [f"--platform=manylinux{tag}_aarch64" for tag in ("_2_36", "_2_35", "_2_34", "_2_31", "_2_28", "_2_27", "_2_17", "2014")]


def pip_target(target: Path, *what: object) -> None:
    """Install wheels for the guest (CPython 3.11, aarch64) into a folder, without running their code."""
    sh(sys.executable, "-m", "pip", "install", *_PIP, "--root-user-action=ignore", "--no-compile", *_PLATFORMS, "--target", target, *what)


def size(folder: Path) -> int:
    """Return a folder's size in bytes."""
    return int(subprocess.run(["du", "-s", "--block-size=1", folder], capture_output=True, check=True).stdout.split()[0])


def make_image(folder: Path, image: Path, spare: int) -> None:
    """Write an ext4 image of a folder, a sparse file with `spare` free bytes."""
    with image.open("wb") as file:
        file.truncate((size(folder) * 11 // 10 + spare) // 4096 * 4096)
    sh("mke2fs", "-q", "-F", "-t", "ext4", "-O", "^has_journal", "-E", "root_owner=0:0", "-d", folder, image)


def cannot(why: str) -> NoReturn:
    print(f"pi: {why}", file=sys.stderr)
    sys.exit(CANNOT)


def need_root(what: str) -> None:
    if os.geteuid():
        cannot(f"{what} needs root; run it again with sudo")


def private_mounts() -> None:
    """Enter a mount namespace: mounts of this process and its children disappear with the last of them, however they end."""
    if ctypes.CDLL(None, use_errno=True).unshare(CLONE_NEWNS):
        cannot(f"this machine lets root make no mount namespace ({os.strerror(ctypes.get_errno())}); a container needs CAP_SYS_ADMIN")
    sh("mount", "--make-rprivate", "/")


def tied(*command: object, processes: bool = True) -> list[str]:
    """Wrap a command so that it ends with this process. processes: put it into a pid namespace, so that its children end, too."""
    held = ["unshare", "--pid", "--fork", "--kill-child", "--mount-proc"] if processes else []
    return ["setpriv", "--pdeathsig", "KILL", *held, *map(str, command)]


def host_packages() -> None:
    if not (shutil.which("apt-get") and shutil.which("dpkg-query")):
        cannot(f"needs Debian's or Ubuntu's packages ({' '.join(HOST)}); there is no apt-get here")
    installed = subprocess.run(["dpkg-query", "-W", "-f", "${Package} ${db:Status-Status}\n", *HOST], capture_output=True, text=True).stdout
    if missing := [p for p in HOST if f"{p} installed" not in installed.splitlines()]:
        need_root("installing " + " ".join(missing))
        reach_archive()
        sh("apt-get", "install", "-qqy", "--no-install-recommends", *missing, env={**os.environ, "DEBIAN_FRONTEND": "noninteractive"})


def reach_archive() -> None:
    """Update apt's package lists, or exit with CANNOT if there is no network."""
    done = subprocess.run(["apt-get", "-qq", "-o", "APT::Update::Error-Mode=any", "update"], capture_output=True, text=True, check=False)
    if done.returncode:
        cannot(f"Debian's archive is out of reach: {(done.stderr.strip().splitlines() or ['apt-get update failed'])[-1]}")


def arm64_programs() -> None:
    """Register qemu-user for arm64 programs with this machine's kernel; it works in any root, because the kernel keeps it open (flag F)."""
    binfmt = Path("/proc/sys/fs/binfmt_misc")
    if not (binfmt / "register").exists():
        sh("mount", "-t", "binfmt_misc", "binfmt_misc", binfmt)
    if not (binfmt / "qemu-aarch64").exists():
        sh("update-binfmts", "--enable", "qemu-aarch64")


def root_filesystem(cache: Path) -> None:
    """Create Debian bookworm with an empty venv, and download kernel and busybox packages to debs/."""
    reach_archive()
    root, debs = cache / "root", cache / "debs"
    sh("rm", "-rf", "--one-file-system", root, debs)  # an interrupted run may have left mounts
    hooks = [f"--customize-hook=chroot \"$1\" sh -c '{line}'" for line in (FETCH, f"python3 -m venv --without-pip /{VENV}")]
    sh(*tied("mmdebstrap", "--quiet", "--arch=arm64", "--variant=minbase", f"--include={','.join(GUEST)}", *hooks, "bookworm", root))
    (root / "debs").rename(debs)
    (root / "job").mkdir()
    (root / "etc/hostname").write_text("pi\n")
    # the job has its own ports for output, and nobody logs in
    (root / "etc/systemd/system/serial-getty@ttyAMA0.service").symlink_to("/dev/null")


def wheels(cache: Path) -> None:
    """Download wheels of all packages that EdgeFuse and its tests need in the guest, for python_packages and for install.sh --wheels."""
    shutil.rmtree(cache / "wheels", ignore_errors=True)
    sh(sys.executable, "-m", "pip", "download", *_PIP, *_PLATFORMS, "-d", cache / "wheels", "-r", HERE / "requirements.txt")


def python_packages(cache: Path) -> None:
    site = cache / "root" / SITE
    shutil.rmtree(site, ignore_errors=True)
    pip_target(site, "--no-index", "--find-links", cache / "wheels", "-r", HERE / "requirements.txt")
    compile_for_guest(cache / "root", site)


def compile_for_guest(root: Path, folder: Path) -> None:
    # some packages contain files for a later Python, which don't compile
    compiled = ("-m", "compileall", "-qq", "--invalidation-mode", "unchecked-hash")
    if sys.version_info[:2] == (3, 11):  # the same version as the guest's Python, and many times as fast
        sh(sys.executable, *compiled, "-s", root, "-p", "/", folder, check=False)
    else:
        sh("chroot", root, "python3", *compiled, f"/{folder.relative_to(root)}", check=False)


def twins(cache: Path) -> None:
    """Install the same versions of the guest's packages for this machine's Python, to compare the results of both architectures."""
    distributions = importlib.metadata.distributions(path=[str(cache / "root" / SITE)])
    pinned = sorted(f"{d.metadata['Name']}=={d.version}" for d in distributions)
    shutil.rmtree(cache / "twins", ignore_errors=True)
    options = ("-qq", "--disable-pip-version-check", "--root-user-action=ignore", "--no-deps", "--only-binary=:all:")
    sh(sys.executable, "-m", "pip", "install", *options, "--target", cache / "twins", *pinned)


def kernel(cache: Path) -> None:
    """Create vmlinuz, and initrd.gz with busybox, a few modules and a switch_root to the job's .init."""
    boot = cache / "boot"
    shutil.rmtree(boot, ignore_errors=True)
    for deb in (cache / "debs").glob("*.deb"):
        sh("dpkg-deb", "-x", deb, boot)
    shutil.copy(next((boot / "boot").glob("vmlinuz-*")), cache / "vmlinuz")
    modules = next((boot / "lib/modules").iterdir())
    sh("depmod", "-b", boot, modules.name)
    needs = dict(line.split(":") for line in (modules / "modules.dep").read_text().splitlines())
    paths = {Path(p).stem.replace("-", "_"): p for p in needs}
    order: list[str] = []
    for path in (paths[m] for m in MODULES if m in paths):  # a missing module is built into the kernel
        order += [p for p in [*reversed(needs[path].split()), path] if p not in order]
    tree = boot / "initrd"
    for folder in ("bin", "proc", "sys", "dev", "mnt", "m"):
        (tree / folder).mkdir(parents=True)
    shutil.copy(boot / "bin/busybox", tree / "bin/busybox")
    for path in order:
        shutil.copy(modules / path, tree / "m")
    (tree / "init").write_text(INIT.replace("MODULES", " ".join(Path(p).name for p in order)))
    (tree / "init").chmod(0o755)
    names = "\n".join(str(p.relative_to(tree)) for p in sorted(tree.rglob("*")))
    packed = subprocess.run(["cpio", "-o", "-H", "newc", "--quiet"], cwd=tree, input=names.encode(), stdout=-1, check=True).stdout
    (cache / "initrd.gz").write_bytes(gzip.compress(packed, 1))
    shutil.rmtree(boot)


def disk_image(cache: Path) -> None:
    make_image(cache / "root", cache / "part.ext4", 512 << 20)
    (cache / "part.ext4").replace(cache / "root.ext4")


def build(cache: Path) -> IO[str]:
    """Build what is missing or outdated. No other process rebuilds it while the returned lock file is open."""
    requirements = (HERE / "requirements.txt").read_text()
    stages: tuple[tuple[Callable[[Path], None], object], ...] = (
        (root_filesystem, (GUEST, VENV, FETCH)),
        (wheels, requirements),
        (python_packages, requirements),
        (twins, sys.version_info[:2]),
        (kernel, (MODULES, INIT)),
        (disk_image, "ext4"),
    )
    cache.mkdir(parents=True, exist_ok=True)
    host_packages()  # the cache may be older than the host's packages
    if not os.geteuid():
        private_mounts()
        arm64_programs()
    wanted, digest = [], ""
    for make, made_from in stages:
        digest = hashlib.sha256(f"{digest} {made_from}".encode()).hexdigest()
        wanted.append((make, cache / f".made-{make.__name__}", digest))

    def stale() -> list[tuple[Callable[[Path], None], Path, str]]:
        """Return the first outdated stage and all after it."""
        return list(itertools.dropwhile(lambda stage: stage[1].exists() and stage[1].read_text() == stage[2], wanted))

    lock = (cache / ".lock").open("w")
    fcntl.flock(lock, fcntl.LOCK_SH)
    if stale():
        fcntl.flock(lock, fcntl.LOCK_EX)  # wait until no other process builds or uses it
    for make, stamp, digest in stale():
        need_root(make.__name__)
        begin = time.monotonic()
        stamp.unlink(missing_ok=True)
        make(cache)
        stamp.write_text(digest)
        print(f"pi: {make.__name__} {time.monotonic() - begin:.1f} s", file=sys.stderr)
    fcntl.flock(lock, fcntl.LOCK_SH)
    return lock
