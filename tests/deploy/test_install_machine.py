"""install.sh on a machine of its own: what it refuses, that it goes back by itself and by command, and may be interrupted anywhere."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.deploy.machine import DEPLOY, Machine, key, signed, wheel

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not DEPLOY.is_dir(), reason="deploy/ is not beside these tests; they run in a checkout"),
    pytest.mark.skipif(os.geteuid() != 0, reason="only root may make mount namespaces with owners of files"),
    pytest.mark.skipif(not shutil.which("minisign"), reason="needs minisign (apt install minisign)"),
]


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    made = Machine(tmp_path)
    if made.run("true").returncode:
        pytest.skip("this machine lets root make no mount namespace")
    return made


def release(tmp_path: Path, version: str, public: Path, made: int = 1000) -> Path:
    """A folder of a release: its wheel and the signed list."""
    folder = tmp_path / version
    wheel(folder, version)
    signed(folder, version, public, made)
    return folder


def refused(machine: Machine, words: str, *options: object) -> None:
    """It fails in one line with these words, and nothing was changed."""
    before, started = machine.version, machine.started()
    done = machine.install(*options)
    assert done.returncode == 1, done.stdout
    assert words in done.stderr, done.stderr
    assert "nothing was changed" in done.stderr
    assert (machine.version, machine.started(), machine.left()) == (before, started, [])


def installed(machine: Machine, *options: object) -> subprocess.CompletedProcess[str]:
    done = machine.install(*options)
    assert done.returncode == 0, done.stderr
    return done


def test_a_signed_release_is_installed_and_others_are_refused(machine: Machine, tmp_path: Path) -> None:
    ours, theirs = key(tmp_path, "ours"), key(tmp_path, "theirs")
    first, second, third = (release(tmp_path, f"1.{k}", ours, 1000 + k) for k in range(3))
    refused(machine, "no key to check the signature with", "--wheels", second)
    said = installed(machine, "--wheels", second, "--key", ours).stdout
    assert "it is not configured yet: set source or camera in /etc/edgefuse/edgefuse.toml" in said
    assert (machine.version, machine.unit, machine.left()) == ("1.1", "unit 1.1", [])
    settings = machine.root / "etc/edgefuse"
    assert (settings.stat().st_mode & 0o777, settings.stat().st_uid, settings.stat().st_gid) == (0o750, 0, 994)

    # an older version, though its signature is good: an old list replayed
    refused(machine, "1.0 is older than the installed 1.1", "--wheels", first)
    # another key than that of the first installation, which is kept on the device
    signed(third, "1.2", theirs)
    refused(machine, "is not signed with the key /etc/edgefuse/release.pub", "--wheels", third)
    shutil.copy(theirs, machine.script.with_name("release.pub"))
    refused(machine, "is not signed with the key /etc/edgefuse/release.pub", "--wheels", third)
    # a list that was cut
    sums = signed(third, "1.2", ours, 2000)
    sums.write_text(sums.read_text()[:40])
    refused(machine, "is not signed with the key", "--wheels", third)
    # a list without its signature, without the wheel, of another release, and none
    signed(third, "1.2", ours, 2000)
    (third / "SHA256SUMS.minisig").unlink()
    refused(machine, "SHA256SUMS.minisig can't be read", "--wheels", third)
    signed(third, "1.2", ours, 2000, names=())
    refused(machine, "does not name edgefuse-1.2-py3-none-any.whl", "--wheels", third)
    signed(third, "1.1", ours, 2000)
    refused(machine, "is of another release (edgefuse 1.1 2000)", "--wheels", third)
    sums.unlink()
    refused(machine, "has no signed list", "--wheels", third)
    refused(machine, "has no signed list", "--from", third / "edgefuse-1.2-py3-none-any.whl")
    # a wheel that was changed after it was signed
    signed(third, "1.2", ours, 2000)
    with (third / "edgefuse-1.2-py3-none-any.whl").open("ab") as f:
        f.write(b"\0")
    refused(machine, "its sha256 differs", "--wheels", third)
    # an earlier list of the same version
    again = release(tmp_path / "again", "1.1", ours, 900)
    refused(machine, "is older than the installed version's", "--wheels", again)
    # told to
    installed(machine, "--wheels", first, "--allow-downgrade")
    assert machine.version == "1.0"
    (third / "SHA256SUMS").unlink()
    assert "without a check of its signature" in installed(machine, "--wheels", third, "--allow-unsigned").stdout
    assert machine.version == "1.2"


def test_packages_that_the_lock_does_not_name_are_refused(machine: Machine, tmp_path: Path) -> None:
    folder = tmp_path / "wheels"
    other = wheel(tmp_path / "other", "7.0")
    other = other.rename(other.with_name("helper-7.0-py3-none-any.whl"))
    wheel(folder, "1.0", lock=f"helper==7.0 --hash=sha256:{'0' * 64}\n")
    shutil.copy(other, folder)
    refused(machine, "pip could not install the locked packages of service", "--wheels", folder, "--allow-unsigned")
    refused(machine, "there are no locked packages for the extra cubes", "--wheels", folder, "--allow-unsigned", "--extras", "cubes")


def test_it_goes_back_by_command_and_by_itself(machine: Machine, tmp_path: Path) -> None:
    ours = key(tmp_path, "ours")
    first, second, third = (release(tmp_path, f"1.{k}", ours, 1000 + k) for k in range(3))
    none = machine.install("--rollback")
    assert (none.returncode, none.stderr) == (1, "install.sh: there is no earlier version to go back to\n")
    installed(machine, "--wheels", first, "--key", ours)
    installed(machine, "--wheels", second)
    for version in ("1.0", "1.1"):
        assert f"EdgeFuse {version} is in use again" in installed(machine, "--rollback").stdout
        assert (machine.version, machine.unit) == (version, f"unit {version}")
    assert machine.started() == [f"edgefuse {v} unit {v}" for v in ("1.0", "1.1", "1.0", "1.1")]

    for trouble in ("failing", "hanging"):
        (tmp_path / trouble).write_text("edgefuse 1.2\n")
        done = machine.install("--wheels", third, MACHINE_TIMEOUT="2")
        assert done.returncode == 1
        assert done.stderr.endswith("the new version did not become READY within two minutes; 1.1 is back\n")
        assert (machine.version, machine.unit, machine.left()) == ("1.1", "unit 1.1", [])
        assert machine.started()[-2:] == ["edgefuse 1.2 unit 1.2", "edgefuse 1.1 unit 1.1"]
    (tmp_path / "hanging").write_text("edgefuse 1.0\n")
    done = machine.install("--rollback", MACHINE_TIMEOUT="2")
    assert (done.returncode, done.stderr) == (
        1, "install.sh: the earlier version did not become READY within two minutes; 1.1 is back\n"
    )  # fmt: skip
    assert (machine.version, machine.unit) == ("1.1", "unit 1.1")
    # settings that the earlier version refuses
    (machine.root / "etc/edgefuse/edgefuse.toml").write_text("# refused\n")
    done = machine.install("--rollback")
    assert done.returncode == 1
    assert "the earlier version refuses /etc/edgefuse/edgefuse.toml" in done.stderr
    assert machine.version == "1.1"


def test_settings_and_tokens_are_for_the_service_alone(machine: Machine, tmp_path: Path) -> None:
    wheel(tmp_path / "one", "1.0")
    installed(machine, "--wheels", tmp_path / "one", "--allow-unsigned")
    token = machine.root / "etc/edgefuse/web-token"
    token.write_text("secret")
    token.chmod(0o644)
    installed(machine, "--wheels", tmp_path / "one", "--allow-unsigned")
    for path in (machine.root / "etc/edgefuse").iterdir():
        status = path.stat()
        assert (status.st_uid, status.st_gid, status.st_mode & 0o777) == (0, 994, 0o640), path


@pytest.mark.skipif(not shutil.which("strace"), reason="needs strace (apt install strace)")
def test_it_writes_nothing_where_everybody_may_write(machine: Machine, tmp_path: Path) -> None:
    wheel(tmp_path / "one", "1.0")
    trace = tmp_path / "trace"
    strace = ("strace", "-f", "-qq", "-e", "trace=openat,open,creat,mkdir,mkdirat,rename,renameat2,symlink,symlinkat", "-o", trace)
    done = machine.run(*strace, machine.script, "--wheels", tmp_path / "one", "--allow-unsigned")
    assert done.returncode == 0, done.stderr
    lines = [line for line in trace.read_text().splitlines() if str(tmp_path) not in line and ("O_CREAT" in line or " open" not in line)]
    assert any('"/opt/edgefuse.d/' in line for line in lines)
    assert [line for line in lines if re.search(r'"/(tmp|var/tmp|dev/shm)/', line)] == []


@pytest.mark.timeout(1800)
@pytest.mark.parametrize("signal", ["TERM", "KILL"])
def test_an_interrupted_upgrade_leaves_a_version_that_works(machine: Machine, tmp_path: Path, signal: str) -> None:
    """Ended at the first program that it starts, the third, ... (KILL: the second, the fourth, ...): a version is in use, and the next run
    installs the new one."""
    ours = key(tmp_path, "ours")
    first, second = (release(tmp_path, f"1.{k}", ours, 1000 + k) for k in range(2))
    installed(machine, "--wheels", first, "--key", ours)
    pristine = tmp_path / "pristine"
    shutil.copytree(machine.root, pristine, symlinks=True)
    for name in ("mkdir", "cp", "rm", "mv", "ln", "install", "python3", "date", "find", "systemctl", "minisign", "sha256sum", "awk"):
        path = machine.programs / name
        there = path if path.exists() else Path(shutil.which(name) or "")
        moved = machine.programs / f"real-{name}"
        if there == path:
            path.rename(moved)
        else:
            moved.symlink_to(there)
        counted = f"""n=$(cat $MACHINE/count); n=$((n + 1)); echo $n >$MACHINE/count
[ $n != "$MACHINE_END" ] || kill -{signal} $MACHINE_PID
exec {moved} "$@"
"""
        path.write_text(f"#!/bin/sh\n{counted}")
        path.chmod(0o755)
    ends = 0
    for nth in range(1 if signal == "TERM" else 2, 200, 2):
        shutil.rmtree(machine.root)
        shutil.copytree(pristine, machine.root, symlinks=True)
        done = machine.install("--wheels", second, MACHINE_END=str(nth))
        if done.returncode == 0:
            break
        ends += 1
        version = machine.version
        assert version in ("1.0", "1.1"), (nth, done.stderr)
        if signal == "TERM":
            assert (machine.unit, machine.left()) == (f"unit {version}", []), nth
    assert ends > 10
    assert machine.version == "1.1"
    # the last interrupted one, tried again
    shutil.rmtree(machine.root)
    shutil.copytree(pristine, machine.root, symlinks=True)
    machine.install("--wheels", second, MACHINE_END=str(ends))
    installed(machine, "--wheels", second)
    assert (machine.version, machine.unit, machine.left()) == ("1.1", "unit 1.1", [])
