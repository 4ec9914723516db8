"""Sources of frame pairs, one module per kind. `open_source` opens one by URI (grammar in edgefuse.util.uri)."""

from __future__ import annotations

from edgefuse import registry
from edgefuse.sources.base import Source, SourceInfo
from edgefuse.util.uri import parse

__all__ = ["Source", "SourceInfo", "open_source"]

_PER_TARGET = frozenset({"video"})  # kinds whose files have options each


def open_source(uri: str) -> Source:
    """Open a source by URI. Raises SettingsError for an invalid URI or kind, SourceError where there is nothing to read."""
    parsed = parse(uri, _PER_TARGET)
    kind = registry.get("edgefuse.sources", parsed.kind)
    parsed.allow(*kind.OPTIONS)
    source: Source = kind.from_uri(parsed)
    return source
