"""Folder for large temporary files: data from pipes, and unpacked files that are read in windows."""

from __future__ import annotations

import os
from pathlib import Path


def spool_folder() -> Path:
    """Return $TMPDIR, else /var/tmp: /tmp is often in memory, and a cube may not fit there."""
    given = os.environ.get("TMPDIR")
    return Path(given) if given else next((p for p in (Path("/var/tmp"), Path("/tmp")) if p.is_dir()), Path())
