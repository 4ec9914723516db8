"""Where large things wait that have no file of their own: what comes through a pipe, what is unpacked to be read in windows."""

from __future__ import annotations

import os
from pathlib import Path


def spool_folder() -> Path:
    """$TMPDIR, else /var/tmp: /tmp is memory on newer systems, and a cube may be larger than that."""
    given = os.environ.get("TMPDIR")
    return Path(given) if given else next((p for p in (Path("/var/tmp"), Path("/tmp")) if p.is_dir()), Path())
