"""Checks of whether EdgeFuse runs on this machine. Each check gives findings: ok, warn or fail, and the command that fixes it.

What may crash or hang runs in a child process (probe.py), so that a crash becomes a finding.
"""

from __future__ import annotations

from edgefuse.doctor.finding import Finding
from edgefuse.doctor.host import Host
from edgefuse.doctor.run_checks import checks, examine

__all__ = ["Finding", "Host", "checks", "examine"]
