"""A machine for install.sh in a mount namespace: folders of its own under /opt, /etc, /run and /usr/local, and a systemd that takes notes.

Only root may make it. The wheels are real, of a package named edgefuse that answers what install.sh asks of it.
"""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

DEPLOY = Path(__file__).resolve().parents[2] / "deploy"
_ENTER = """set -e
for d in opt etc run usr/local; do mkdir -p "$1/$d"; done
mount --make-rprivate /
mkdir -p "$1/etc/systemd/system" "$1/etc/udev/rules.d" "$1/usr/local/bin" "$1/run/systemd/system"
for f in passwd group nsswitch.conf alternatives; do [ -e "$1/etc/$f" ] || cp -a "/etc/$f" "$1/etc/"; done
for d in opt etc run usr/local; do mount --bind "$1/$d" "/$d"; done
shift
export MACHINE_PID=$$
# programs that count their calls begin here
echo 0 >$MACHINE/count
exec "$@"
"""
# the state of the service is a file: ready, failing, or hanging versions are named in another
_PROGRAMS = {
    "systemctl": """echo "systemctl $*" >>$MACHINE/calls
[ "$1" = restart ] || exit 0
version=$(/opt/edgefuse/bin/edgefuse --version)
echo "$version $(cat /etc/systemd/system/edgefuse.service)" >>$MACHINE/started
if grep -qxF "$version" $MACHINE/hanging 2>/dev/null; then echo "$version" >>$MACHINE/hung; exec sleep 600; fi
! grep -qxF "$version" $MACHINE/failing 2>/dev/null
""",
    "systemd-sysusers": """grep -q ^edgefuse: /etc/group && exit 0
echo edgefuse:x:994: >>/etc/group
echo edgefuse:x:994:994::/:/bin/false >>/etc/passwd
""",
    # an environment in milliseconds: pip is that of the tests' Python, linked
    "python3": """if [ "$1 $2" = "-m venv" ]; then
    for folder in "$@"; do :; done
    site=$folder/lib/PYTHON/site-packages
    mkdir -p "$folder/bin" "$site"
    ln -s REAL "$folder/bin/python"
    ln -s PIP "$site/pip"
    printf 'home = HOME\\ninclude-system-site-packages = false\\n' >"$folder/pyvenv.cfg"
    exit 0
fi
exec REAL "$@"
""",
    "journalctl": 'echo "the journal"\n',
    "udevadm": "exit 0\n",
    # two minutes, in tests
    "timeout": 'shift; exec /usr/bin/timeout "${MACHINE_TIMEOUT:-60}" "$@"\n',
}
_MAIN = """import sys
import edgefuse
words = sys.argv[1:]
if words == ["--version"]:
    print("edgefuse", edgefuse.__version__)
elif words[:2] == ["config", "check"] and "refused" in open(words[2]).read():
    sys.exit("edgefuse: refused")
"""


def _places() -> dict[str, str]:
    import pip

    real = Path(sys.executable).resolve()
    names = {"PYTHON": f"python{sys.version_info[0]}.{sys.version_info[1]}", "PIP": str(Path(pip.__file__).parent)}
    return {**names, "REAL": str(real), "HOME": str(real.parent)}


class Machine:
    """install.sh is run by `install`; `root` is where the machine's folders are."""

    def __init__(self, folder: Path) -> None:
        self.root, self.programs = folder / "root", folder / "programs"
        self.root.mkdir()
        self.programs.mkdir()
        # the script without its checkout, as on a device
        self.script = folder / "device" / "install.sh"
        self.script.parent.mkdir()
        shutil.copy(DEPLOY / "install.sh", self.script)
        for name, text in _PROGRAMS.items():
            for word, value in _places().items():
                text = text.replace(word, value)
            (self.programs / name).write_text(f"#!/bin/sh\n{text}")
            (self.programs / name).chmod(0o755)

    def run(self, *command: object, **variables: str) -> subprocess.CompletedProcess[str]:
        env = {"MACHINE": str(self.root.parent), "PATH": f"{self.programs}:/usr/sbin:/usr/bin:/sbin:/bin", "LANG": "C.UTF-8"}
        env |= {"PYTHONDONTWRITEBYTECODE": "1", "PIP_NO_COMPILE": "1", "PIP_NO_INDEX": "1", **variables}
        whole = ["unshare", "--mount", "sh", "-c", _ENTER, "sh", str(self.root), *map(str, command)]
        return subprocess.run(whole, env=env, capture_output=True, text=True, check=False, timeout=240, cwd=self.script.parent)

    def install(self, *options: object, **variables: str) -> subprocess.CompletedProcess[str]:
        return self.run(self.script, *options, **variables)

    @property
    def version(self) -> str:
        """The version in use, which must run; an empty string where there is none."""
        return self.run("/opt/edgefuse/bin/edgefuse", "--version").stdout.strip().removeprefix("edgefuse ")

    @property
    def unit(self) -> str:
        return (self.root / "etc/systemd/system/edgefuse.service").read_text()

    def started(self) -> list[str]:
        """The version and unit of each start."""
        path = self.root.parent / "started"
        return path.read_text().splitlines() if path.exists() else []

    def left(self) -> list[str]:
        """Environments there are, without those in use or kept."""
        versions = self.root / "opt/edgefuse.d"
        used = {p.readlink().name for p in (self.root / "opt/edgefuse", versions / "previous") if p.is_symlink()}
        return sorted(p.name for p in versions.iterdir() if not p.is_symlink() and p.name not in used)


def key(folder: Path, name: str) -> Path:
    """A new pair of keys without a password: NAME.pub and NAME.key. Returns the public one."""
    public, secret = folder / f"{name}.pub", folder / f"{name}.key"
    subprocess.run(["minisign", "-G", "-W", "-f", "-p", public, "-s", secret], check=True, capture_output=True, timeout=60)
    return public


def wheel(folder: Path, version: str, unit: str = "", lock: str = "") -> Path:
    """A wheel of a package named edgefuse, with install.sh's files in it."""
    folder.mkdir(parents=True, exist_ok=True)
    path, info = folder / f"edgefuse-{version}-py3-none-any.whl", f"edgefuse-{version}.dist-info"
    files = {
        "edgefuse/__init__.py": f'__version__ = "{version}"\n',
        "edgefuse/__main__.py": _MAIN,
        "edgefuse/entry.py": "def entry():\n    import runpy\n    runpy.run_module('edgefuse', run_name='__main__')\n",
        "edgefuse/deploy/edgefuse.service": unit or f"unit {version}",
        "edgefuse/deploy/edgefuse.sysusers": "", "edgefuse/deploy/70-edgefuse.rules": "", "edgefuse/deploy/edgefuse.toml": "[run]\n",
        "edgefuse/deploy/locks/service.txt": lock,
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: edgefuse\nVersion: {version}\nProvides-Extra: service\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: tests\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{info}/entry_points.txt": "[console_scripts]\nedgefuse = edgefuse.entry:entry\n",
    }  # fmt: skip
    files[f"{info}/RECORD"] = "".join(f"{name},,\n" for name in [*files, f"{info}/RECORD"])
    with zipfile.ZipFile(path, "w") as z:
        for name, text in files.items():
            z.writestr(name, text)
    return path


def signed(folder: Path, version: str, public: Path, made: int = 1000, names: tuple[str, ...] | None = None) -> Path:
    """Write SHA256SUMS of the wheels in `folder`, as scripts/sign-packages does. names: those to list."""
    sums = folder / "SHA256SUMS"
    listed = sorted(p for p in folder.glob("*.whl") if names is None or p.name in names)
    sums.write_text("".join(f"{hashlib.sha256(p.read_bytes()).hexdigest()}  {p.name}\n" for p in listed))
    command = ["minisign", "-S", "-s", public.with_suffix(".key"), "-m", sums, "-t", f"edgefuse {version} {made}"]
    subprocess.run(command, check=True, capture_output=True, timeout=60)
    return sums
