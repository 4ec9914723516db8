"""Check of the systemd service, where it is installed."""

from __future__ import annotations

from edgefuse.board.text_files import read_text
from edgefuse.doctor.finding import Finding
from edgefuse.doctor.host import Host

UNIT = "edgefuse.service"
_PROPERTIES = ("LoadState", "LoadError", "ActiveState", "SubState", "UnitFileState", "Result", "ExecMainStatus", "NRestarts", "MemoryMax")
_LOG = f"journalctl -u {UNIT} -n 50 --no-pager"


def check_unit(host: Host) -> list[Finding]:
    done = host.run("systemctl", "show", UNIT, f"--property={','.join(_PROPERTIES)}")
    if done is None:
        return [Finding("service", "ok", "no systemd here")]
    if done.death:
        return [Finding("service", "warn", f"systemctl {done.death}", host.sudo("systemctl daemon-reexec"))]
    p = dict(line.partition("=")[::2] for line in done.out.splitlines())
    if done.code or "LoadState" not in p:
        return [Finding("service", "ok", "systemd is not running here")]
    return [*unit_findings(host, p)]


def unit_findings(host: Host, p: dict[str, str]) -> list[Finding]:
    """Return the findings about the unit. p: properties from `systemctl show`."""
    load, active, restarts = p["LoadState"], p.get("ActiveState", ""), p.get("NRestarts", "0")
    if load == "not-found":
        return [Finding("service", "ok", "not installed as a service", None, p)]
    if load == "masked":
        return [Finding("service", "warn", f"{UNIT} is masked: it can't be started", host.sudo(f"systemctl unmask {UNIT}"), p)]
    if load != "loaded":
        mend = f"systemd-analyze verify {UNIT}"
        return [Finding("service", "fail", f"{UNIT} can't be loaded ({load}: {p.get('LoadError') or 'no reason given'})", mend, p)]
    findings = []
    if active == "failed" or p.get("SubState") == "auto-restart":
        what = f"{UNIT} failed ({p.get('Result')}, exit {p.get('ExecMainStatus')}, {restarts} restarts); see its log"
        findings.append(Finding("service", "fail", what, f"{_LOG}; {host.sudo(f'systemctl restart {UNIT}')}", p))
    elif active == "active" and restarts not in ("", "0"):
        findings.append(Finding("service", "warn", f"{UNIT} runs, restarted {restarts} times; see its log", _LOG, p))
    elif active in ("active", "activating", "reloading", "deactivating"):
        findings.append(
            Finding("service", "ok", f"{UNIT} is {active} ({p.get('SubState')}), {p.get('UnitFileState') or 'not enabled'}", None, p)
        )
    elif p.get("UnitFileState") == "enabled":
        findings.append(Finding("service", "warn", f"{UNIT} is enabled, but {active}", host.sudo(f"systemctl start {UNIT}"), p))
    else:
        mend = host.sudo(f"systemctl enable --now {UNIT}")
        findings.append(Finding("service", "warn", f"{UNIT} is installed, but {active} and not enabled", mend, p))
    return [*findings, *_memory_limit(host, p)]


def _memory_limit(host: Host, p: dict[str, str]) -> list[Finding]:
    """Warn where a Pi's firmware disables memory control groups, which makes MemoryMax= ineffective."""
    switches = (read_text(host.root / "proc/cmdline") or "").split()
    if not p.get("MemoryMax", "").isdigit() or "cgroup_disable=memory" not in switches or "cgroup_enable=memory" in switches:
        return []
    what = "MemoryMax= has no effect: this kernel was started with cgroup_disable=memory"
    file = next((f for f in ("/boot/firmware/cmdline.txt", "/boot/cmdline.txt") if (host.root / f[1:]).exists()), None)
    mend = f"{host.sudo('sed -i')} '1s/$/ cgroup_enable=memory/' {file} && {host.sudo('reboot')}" if file else None
    return [Finding("service memory", "warn", what, mend)]
