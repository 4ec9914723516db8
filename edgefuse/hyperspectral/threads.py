"""Number of tiles that are encoded or decoded at a time."""

from __future__ import annotations

from edgefuse.board.limits import usable_cores
from edgefuse.errors import SettingsError

MOST = 256
HELP = "tiles that are coded at a time (default: as many as cores and free memory allow); the result is the same for any number"
_TILE_BYTES = 250_000_000  # what the largest tile takes while it is coded


def tiles_at_a_time(wanted: int) -> int:
    """Return `wanted`; 0: as many as cores and free memory allow. Raises SettingsError for a number that is not from 0 to 256."""
    if not 0 <= wanted <= MOST:
        raise SettingsError(f"threads {wanted} is not between 1 and {MOST}, or 0 for as many as there are cores")
    if wanted:
        return wanted
    from edgefuse.board.free_memory import free_memory  # psutil, which the command line's help does not need

    return max(1, min(usable_cores(), free_memory() // _TILE_BYTES))
