"""Check of the compiled core."""

from __future__ import annotations

from edgefuse.doctor.environment import read_environment
from edgefuse.doctor.finding import Finding
from edgefuse.doctor.host import Host
from edgefuse.util import compiled


def check_core(host: Host) -> list[Finding]:
    if host.env.get("EDGEFUSE_COMPILED") == "0":
        return [Finding("compiled core", "ok", "disabled by EDGEFUSE_COMPILED=0")]
    if compiled.library():
        return [Finding("compiled core", "ok", f"works, {compiled.FILE}")]
    what = "could not be loaded" if compiled.FILE.exists() else "was not built because there was no C compiler"
    again = read_environment().pip_install("--force-reinstall", "--no-deps", "--no-cache-dir", "--no-binary", "edgefuse", "edgefuse")
    return [Finding("compiled core", "warn", f"{what}: blending takes about three times as long", f"sudo apt install gcc && {again}")]
