"""Outputs for fused frames, one module per kind. `open_sink` opens one by URI (grammar in edgefuse.util.uri)."""

from __future__ import annotations

from edgefuse import registry
from edgefuse.sinks.base import Sink
from edgefuse.util.uri import parse

__all__ = ["Sink", "open_sink"]


def open_sink(uri: str, fps: float) -> Sink:
    """Open a sink by URI for frames at `fps` Hz. Raises SettingsError for an invalid URI or kind, OutputError for an unwritable target."""
    parsed = parse(uri)
    kind = registry.get("edgefuse.sinks", parsed.kind)
    parsed.allow(*kind.OPTIONS)
    sink: Sink = kind.from_uri(parsed, fps)
    return sink
