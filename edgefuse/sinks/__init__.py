"""Where fused frames go, one module a kind; `open_sink` takes a URI (edgefuse.util.uri has the grammar)."""

from __future__ import annotations

from edgefuse import registry
from edgefuse.sinks.base import Sink
from edgefuse.util.uri import parse

__all__ = ["Sink", "open_sink"]


def open_sink(uri: str, fps: float) -> Sink:
    """Open `uri` for frames at `fps` Hz. Raises SettingsError for a bad URI or kind, OutputError for a place that can't be written."""
    parsed = parse(uri)
    kind = registry.get("edgefuse.sinks", parsed.kind)
    parsed.allow(*kind.OPTIONS)
    sink: Sink = kind.from_uri(parsed, fps)
    return sink
