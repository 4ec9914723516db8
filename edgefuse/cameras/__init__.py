"""Cameras, one module per kind, imported on first use. `camera` takes `MODALITY=URI` (docs/how-to/cameras.md).

visible=picamera2:0    infrared=v4l2:1e4e:0100?size=160x120    visible=rtsp://user:password@host/stream#sensor=generic-16
"""

from __future__ import annotations

from typing import get_args
from urllib.parse import unquote, urlsplit

from edgefuse import registry
from edgefuse.cameras.base import Camera
from edgefuse.errors import SettingsError
from edgefuse.frames import Modality
from edgefuse.util import secrets
from edgefuse.util.uri import Uri, parse, safe

__all__ = ["AUTO_CAMERAS", "Camera", "camera"]

AUTO_CAMERAS = "auto"  # a spec that stands for those attached

_OF_ALL = ("crop", "bad_pixels", "rotate", "flip")  # options of every kind of camera
_EXAMPLE = "such as --camera visible=picamera2:0 --camera infrared=v4l2:1e4e:0100"


def camera(spec: str) -> Camera:
    """Return the camera of `MODALITY=URI`, not yet opened. Raises SettingsError for an invalid spec."""
    modality, equals, uri = spec.partition("=")
    if modality not in get_args(Modality) or not equals or not uri:
        raise SettingsError(f"camera {safe(spec)!r} is not visible=CAMERA or infrared=CAMERA, {_EXAMPLE}")
    parsed = _parse(uri)
    kind = registry.get("edgefuse.cameras", parsed.kind)
    parsed.allow(*kind.OPTIONS, *_OF_ALL)
    made: Camera = kind.from_uri(parsed, modality)
    if parsed.options.keys() & set(_OF_ALL):
        from edgefuse.cameras.adjusted import adjusted

        return adjusted(made, parsed)
    return made


def _parse(text: str) -> Uri:
    """Parse a camera's URI. A URL is kept whole, as its query belongs to the server; our options are in its fragment: URL#KEY=VALUE&..."""
    if "://" not in text:
        return parse(text)
    secrets.note_urls(text)
    url, _, fragment = text.partition("#")
    shown = safe(url)
    if "@" in fragment and "@" not in url:
        scheme = text.partition("://")[0]
        raise SettingsError(f"{scheme}://*** has a # in its user or password; write %23 for it")
    try:
        parts = urlsplit(url)
        valid = bool(parts.hostname) and parts.port != 0 and url.isprintable() and " " not in url
    except ValueError:
        valid = False
    if not valid:
        raise SettingsError(f"{shown!r} is not a URL such as rtsp://host/stream or http://user:password@host:8080/video")
    options: dict[str, str] = {}
    for item in fragment.split("&") if fragment else ():
        key, equals, value = item.partition("=")
        if not key or not equals or not value or key in options:
            raise SettingsError(f"{shown}: expected KEY=VALUE&KEY=VALUE after # (write %23 for a # in the URL)")
        options[key] = unquote(value)
    return Uri(shown, parts.scheme.lower(), (url,), options)
