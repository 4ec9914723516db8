"""Will EdgeFuse run here? Checks of the machine, each a finding: ok, warn or fail, and the command that mends it.

What may crash or hang is asked in a child process (child.py), so that it is reported and not suffered.
"""

from __future__ import annotations

from edgefuse.doctor.examine import checks, examine
from edgefuse.doctor.finding import Finding
from edgefuse.doctor.host import Host

__all__ = ["Finding", "Host", "checks", "examine"]
