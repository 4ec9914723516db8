"""Check of apt's picamera2 and the ribbon-cable cameras: is it installed, importable from this Python, and built for this NumPy?"""

from __future__ import annotations

import re
import shlex
from pathlib import Path

from edgefuse.board import read_board
from edgefuse.board.text_files import glob_sorted, read_text
from edgefuse.doctor.environment import NEW, Environment, read_environment
from edgefuse.doctor.finding import Finding
from edgefuse.doctor.host import Host
from edgefuse.doctor.power import is_pi
from edgefuse.doctor.probe import ProbeResult, run_probe

_APT = "usr/lib/python3/dist-packages"
_LISTERS = ("rpicam-hello", "libcamera-hello")
_ABI = re.compile(r"(dtype|ndarray) size changed|compiled using NumPy|multiarray failed|_ARRAY_API", re.IGNORECASE)


def check_picamera2(host: Host) -> list[Finding]:
    answer, e = run_probe(host, "picamera2"), read_environment()
    pi = is_pi(read_board(host.root).model)
    first = picamera2_finding(host, answer, e, pi)
    if "cameras" in answer.values:
        return [first, _ribbon(host, [c["model"] for c in answer.values["cameras"]], pi)]
    cameras = _listed(host)
    return [first] if cameras is None else [first, _ribbon(host, cameras, pi)]


def apt_numpy(host: Host) -> str | None:
    """Return the version of the NumPy that apt's picamera2 was compiled against; None where it is not installed."""
    match = re.search(r"""version\s*=\s*["'](\d[^"']*)["']""", read_text(host.root / _APT / "numpy/version.py") or "")
    if match:
        return match[1]
    # older versions are only named in their metadata
    names = [
        p.name.removeprefix("numpy-").partition(".egg")[0].partition(".dist")[0] for p in glob_sorted(host.root, f"{_APT}/numpy-*-info")
    ]
    return next(iter(names), None)


def picamera2_finding(host: Host, answer: ProbeResult, e: Environment, pi: bool) -> Finding:
    values, apt = answer.values, apt_numpy(host)
    here = (host.root / _APT / "picamera2").is_dir()
    facts = {k: values.get(k) for k in ("version", "file", "numpy", "numpy_file")} | {"apt_numpy": apt, "environment": e.kind}
    if values.get("version"):
        facts["versions"] = {"picamera2": values["version"]}
    numpys = f"it imports NumPy {values.get('numpy')} ({_folder(values.get('numpy_file'))})" + (f", apt's is {apt}" if apt else "")
    if answer.absent == "picamera2":
        if not pi and not here:
            return Finding("picamera2", "ok", "not installed; only needed for a Raspberry Pi's ribbon-cable cameras", None, facts)
        what = "installed by apt, but this environment can't see it" if here else "not installed: ribbon-cable cameras can't be used"
        install = "" if here else host.sudo("apt install -y python3-picamera2")
        mend = " && ".join(filter(None, (install, _open_up(e))))
        return Finding("picamera2", "warn", what, mend, facts)
    if answer.error:
        if _ABI.search(answer.error):
            what = f"compiled against another NumPy than the one it imports: {answer.error}; {numpys}"
            return Finding("picamera2", "fail", what, e.pip_install("--force-reinstall", "--no-deps", "simplejpeg"), facts)
        if answer.absent:
            mend = host.sudo("apt install -y --reinstall python3-picamera2 python3-libcamera")
            if not _same_python(host, e):
                mend = _open_up(e)
            return Finding("picamera2", "fail", f"{answer.error}; {numpys}", mend, facts)
        mend = host.sudo("apt install -y --reinstall python3-picamera2 python3-libcamera")
        return Finding("picamera2", "fail", f"{answer.error}; {numpys}", mend, facts)
    return Finding("picamera2", "ok", f"{values.get('version') or 'of unknown version'} works; {numpys}", None, facts)


def _folder(file: object) -> str:
    return str(Path(str(file)).parent) if file else "unknown place"


def _same_python(host: Host, e: Environment) -> bool:
    """Whether apt's compiled modules are for this Python version."""
    minor = ".".join(e.python.split(".")[:2])
    return (host.root / f"usr/lib/python{minor}").is_dir()


def _open_up(e: Environment) -> str:
    """Return the command that makes apt's packages visible to an environment; empty where they are."""
    if e.kind == "venv":
        return f"/usr/bin/python3 -m venv --system-site-packages {shlex.quote(e.prefix)}"
    if e.kind in ("conda", "none"):
        return f"{NEW} edgefuse"
    return ""


def _listed(host: Host) -> list[str] | None:
    """Return the cameras that libcamera's own program lists; None where it is not installed."""
    for lister in _LISTERS:
        if (done := host.run(lister, "--list-cameras")) and not done.death:
            return re.findall(r"^\s*\d+ : (\S+(?: \[\d+x\d+[^\]]*\])?)", done.out, re.MULTILINE)
    return None


def _ribbon(host: Host, cameras: list[str], pi: bool) -> Finding:
    facts = {"cameras": cameras}
    if cameras:
        return Finding("libcamera", "ok", f"{len(cameras)} camera{'s' if len(cameras) > 1 else ''}: {', '.join(cameras)}", None, facts)
    if not pi:
        return Finding("libcamera", "ok", "no camera found", None, facts)
    file = next((f for f in ("boot/firmware/config.txt", "boot/config.txt") if (host.root / f).exists()), None)
    settings = [line.strip() for line in (read_text(host.root / file) or "").splitlines()] if file else []
    if file and "camera_auto_detect=1" not in settings:
        mend = f"echo camera_auto_detect=1 | {host.sudo(f'tee -a /{file}')} && {host.sudo('reboot')}"
        return Finding("libcamera", "warn", f"no camera found; /{file} has no camera_auto_detect=1", mend, facts)
    return Finding(
        "libcamera", "warn", "no camera found; if one is connected, switch the power off and check its ribbon cable", None, facts
    )
