"""Takes on the user, the groups and the folder of the systemd service, so that a check sees files as the service does."""

from __future__ import annotations

import grp
import os
import pwd
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from edgefuse.errors import SettingsError

UNIT = "edgefuse.service"
_TIMEOUT_S = 20.0


@dataclass(frozen=True, slots=True)
class Unit:
    """Facts of the service. roots: folders that it may write to; None where all are."""

    user: str
    groups: tuple[str, ...]
    folder: Path
    roots: tuple[Path, ...] | None


def read() -> Unit:
    """Return the facts of edgefuse.service. Raises SettingsError where there is no such service."""
    program = shutil.which("systemctl")
    if program is None:
        raise SettingsError("--service: there is no systemd here; check as the run's user: sudo -u USER edgefuse config check FILE")
    done = subprocess.run([program, "show", UNIT], capture_output=True, text=True, timeout=_TIMEOUT_S, check=False)
    facts = dict(line.partition("=")[::2] for line in done.stdout.splitlines())
    if done.returncode or facts.get("LoadState") != "loaded":
        raise SettingsError(f"--service: {UNIT} is not installed; run: sudo deploy/install.sh")
    folder = Path(facts.get("WorkingDirectory", "").lstrip("-!") or "/")
    user = facts.get("User") or "root"
    if str(folder) == "~":
        folder = Path(_account(user).pw_dir)
    roots = None
    if facts.get("ProtectSystem") == "strict":
        named = [("/var/lib", name) for name in facts.get("StateDirectory", "").split()]
        named += [("/run", name) for name in facts.get("RuntimeDirectory", "").split()]
        places = [Path(root, name) for root, name in named]
        places += [Path(text.lstrip("-+")) for text in facts.get("ReadWritePaths", "").split()]
        roots = tuple(place.resolve() for place in places)
    return Unit(user, tuple(facts.get("SupplementaryGroups", "").split()), folder, roots)


def become(unit: Unit) -> None:
    """Become the service's user, for good. Raises SettingsError without the right to."""
    account = _account(unit.user)
    if os.geteuid() != 0:
        if os.geteuid() != account.pw_uid:
            raise SettingsError(f"--service: only root can check as the service's user {unit.user}; run it with sudo")
    else:
        groups = {*os.getgrouplist(unit.user, account.pw_gid), *(_group(name) for name in unit.groups)}
        os.setgroups(sorted(groups))
        os.setgid(account.pw_gid)
        os.setuid(account.pw_uid)
    os.environ["HOME"] = account.pw_dir
    try:
        os.chdir(unit.folder)
    except OSError as e:
        raise SettingsError(f"--service: {unit.user} cannot enter {unit.folder}, the service's folder: {e.strerror}") from None


def _account(user: str) -> pwd.struct_passwd:
    try:
        return pwd.getpwuid(int(user)) if user.isdecimal() else pwd.getpwnam(user)
    except KeyError:
        raise SettingsError(f"--service: there is no user {user}, whom the service needs; run: sudo deploy/install.sh") from None


def _group(name: str) -> int:
    try:
        return int(name) if name.isdecimal() else grp.getgrnam(name).gr_gid
    except KeyError:
        raise SettingsError(f"--service: there is no group {name}, which the service needs") from None
