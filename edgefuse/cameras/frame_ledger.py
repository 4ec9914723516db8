"""Every frame that a camera gave, accounted for: received = fused + dropped (by cause) + those still in hand."""

from __future__ import annotations

import threading
from collections.abc import Mapping

from edgefuse.frames import Frame


class FrameLedger:
    """One camera's count. `fused` counts a frame once, in however many pairs it was."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.received, self.fused = 0, 0
        self._dropped: dict[str, int] = {}

    @property
    def dropped(self) -> Mapping[str, int]:
        with self._lock:
            return dict(self._dropped)

    def lost(self, cause: str) -> None:
        """A frame came that is no frame: damaged, of another size."""
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
    """A frame on its way through queue, pairs and pipeline. Whoever has hold of it says what became of it; the last one closes it:
    fused where it was in any fused pair, else dropped for the first cause given."""

    __slots__ = ("_cause", "_fused", "_holders", "_ledger", "frame")

    def __init__(self, frame: Frame, ledger: FrameLedger) -> None:
        self.frame, self._ledger = frame, ledger
        self._holders, self._fused, self._cause = 1, False, ""
        ledger._open()

    def hold(self) -> None:
        with self._ledger._lock:
            self._holders += 1

    def settle(self, cause: str | None) -> None:
        """A holder lets go. cause: None for fused, "" where it leaves the cause to others, else why it was dropped."""
        with self._ledger._lock:
            self._holders -= 1
            self._fused = self._fused or cause is None
            self._cause = self._cause or cause or ""
            last = self._holders == 0
        if last:
            self._ledger._close(self._fused, self._cause)
