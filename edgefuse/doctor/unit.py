"""The systemd service, where it is installed."""

from __future__ import annotations

from edgefuse.board.text import read_text
from edgefuse.doctor.finding import Finding
from edgefuse.doctor.host import Host

UNIT = "edgefuse.service"
_ASKED = ("LoadState", "LoadError", "ActiveState", "SubState", "UnitFileState", "Result", "ExecMainStatus", "NRestarts", "MemoryMax")
_LOG = f"journalctl -u {UNIT} -n 50 --no-pager"


def check_unit(host: Host) -> list[Finding]:
    done = host.run("systemctl", "show", UNIT, f"--property={','.join(_ASKED)}")
    if done is None:
        return [Finding("service", "ok", "no systemd here")]
    if done.death:
        return [Finding("service", "warn", f"systemctl {done.death}", host.sudo("systemctl daemon-reexec"))]
    p = dict(line.partition("=")[::2] for line in done.out.splitlines())
    if done.code or "LoadState" not in p:
        return [Finding("service", "ok", "systemd does not run here")]
    return [*unit_findings(host, p)]


def unit_findings(host: Host, p: dict[str, str]) -> list[Finding]:
    """p: properties as `systemctl show` gives them."""
    load, active, restarts = p["LoadState"], p.get("ActiveState", ""), p.get("NRestarts", "0")
    if load == "not-found":
        return [Finding("service", "ok", "not installed as a service", None, p)]
    if load == "masked":
        return [Finding("service", "warn", f"{UNIT} is masked: it can't be started", host.sudo(f"systemctl unmask {UNIT}"), p)]
    if load != "loaded":
        mend = f"systemd-analyze verify {UNIT}"
        return [Finding("service", "fail", f"{UNIT} can't be loaded ({load}: {p.get('LoadError') or 'no reason given'})", mend, p)]
    found = []
    if active == "failed" or p.get("SubState") == "auto-restart":
        what = f"{UNIT} failed ({p.get('Result')}, exit {p.get('ExecMainStatus')}, {restarts} restarts); its log says why"
        found.append(Finding("service", "fail", what, f"{_LOG}; {host.sudo(f'systemctl restart {UNIT}')}", p))
    elif active == "active" and restarts not in ("", "0"):
        found.append(Finding("service", "warn", f"{UNIT} runs, restarted {restarts} times; its log says why", _LOG, p))
    elif active in ("active", "activating", "reloading", "deactivating"):
        found.append(
            Finding("service", "ok", f"{UNIT} is {active} ({p.get('SubState')}), {p.get('UnitFileState') or 'not enabled'}", None, p)
        )
    elif p.get("UnitFileState") == "enabled":
        found.append(Finding("service", "warn", f"{UNIT} is enabled, but {active}", host.sudo(f"systemctl start {UNIT}"), p))
    else:
        mend = host.sudo(f"systemctl enable --now {UNIT}")
        found.append(Finding("service", "warn", f"{UNIT} is installed, but {active} and not enabled", mend, p))
    return [*found, *_memory_limit(host, p)]


def _memory_limit(host: Host, p: dict[str, str]) -> list[Finding]:
    """A Pi's firmware turns memory control groups off; MemoryMax= is then without effect."""
    switches = (read_text(host.root / "proc/cmdline") or "").split()
    if not p.get("MemoryMax", "").isdigit() or "cgroup_disable=memory" not in switches or "cgroup_enable=memory" in switches:
        return []
    what = "MemoryMax= has no effect: this kernel was started with cgroup_disable=memory"
    file = next((f for f in ("/boot/firmware/cmdline.txt", "/boot/cmdline.txt") if (host.root / f[1:]).exists()), None)
    mend = f"{host.sudo('sed -i')} '1s/$/ cgroup_enable=memory/' {file} && {host.sudo('reboot')}" if file else None
    return [Finding("service memory", "warn", what, mend)]
