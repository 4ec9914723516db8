"""Accounting for every frame of a camera: received = fused + dropped (by cause) + frames in transit."""

from __future__ import annotations

import threading
from collections.abc import Mapping

from edgefuse.frames import Frame


class FrameLedger:
    """Frame counts of one camera. `fused` counts a frame once, however many pairs contained it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.received, self.fused = 0, 0
        self._dropped: dict[str, int] = {}

    @property
    def dropped(self) -> Mapping[str, int]:
        """Dropped frames by cause."""
        with self._lock:
            return dict(self._dropped)

    def lost(self, cause: str) -> None:
        """Count an unusable frame (damaged, or of another size)."""
        with self._lock:
            self.received += 1
            self._drop(cause)

    def _drop(self, cause: str) -> None:
        self._dropped[cause] = self._dropped.get(cause, 0) + 1

    def _open(self) -> None:
        with self._lock:
            self.received += 1

    def _close(self, fused: bool, cause: str) -> None:
        with self._lock:
            if fused:
                self.fused += 1
            else:
                self._drop(cause)


class TrackedFrame:
    """A frame in transit through queue, pairs and pipeline, counted by reference.

    Each holder settles it once. At the last one it counts as fused if any pair with it was fused, else as dropped for the first cause.
    """

    __slots__ = ("_cause", "_fused", "_holders", "_ledger", "frame")

    def __init__(self, frame: Frame, ledger: FrameLedger) -> None:
        self.frame, self._ledger = frame, ledger
        self._holders, self._fused, self._cause = 1, False, ""
        ledger._open()

    def hold(self) -> None:
        """Add a holder."""
        with self._ledger._lock:
            self._holders += 1

    def settle(self, cause: str | None) -> None:
        """Release a holder. cause: None for fused, "" to leave the cause to the other holders, else why the frame was dropped."""
        with self._ledger._lock:
            self._holders -= 1
            self._fused = self._fused or cause is None
            self._cause = self._cause or cause or ""
            last = self._holders == 0
        if last:
            self._ledger._close(self._fused, self._cause)
