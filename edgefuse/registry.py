"""A lazy registry of strings: names and where their code is, imported when first used.

Ours are listed here; other packages add theirs through entry points of the same group (`edgefuse.sources`, `.cameras`,
`.runtimes`, `.sinks`, `.models`). A name of ours is never replaced by another package's.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from edgefuse.errors import SettingsError

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

BUILT_IN: dict[str, dict[str, str]] = {
    "edgefuse.sources": {
        "demo": "edgefuse.sources.demo:DemoSource",
        "folder": "edgefuse.sources.folder:FolderSource",
        "replay": "edgefuse.sources.replay:ReplaySource",
        "video": "edgefuse.sources.video:VideoSource",
        "cameras": "edgefuse.sources.cameras:CamerasSource",
    },
    "edgefuse.cameras": {
        "picamera2": "edgefuse.cameras.picamera2:PiCamera",
        "v4l2": "edgefuse.cameras.v4l2:V4l2Camera",
        "rtsp": "edgefuse.cameras.stream:StreamCamera",
        "rtsps": "edgefuse.cameras.stream:StreamCamera",
        "http": "edgefuse.cameras.stream:StreamCamera",
        "https": "edgefuse.cameras.stream:StreamCamera",
    },
    "edgefuse.runtimes": {
        "onnx": "edgefuse.runtimes.onnx:OnnxRuntime",
        "litert": "edgefuse.runtimes.litert:LitertRuntime",
        "numpy": "edgefuse.runtimes.numpy:NumpyRuntime",
    },
    "edgefuse.sinks": {
        "folder": "edgefuse.sinks.folder:FolderSink",
        "video": "edgefuse.sinks.video:VideoSink",
    },
    "edgefuse.models": {},
}


def _foreign(group: str) -> dict[str, EntryPoint]:
    from importlib.metadata import entry_points  # 2 MB, for nothing where only names of ours are asked for

    return {e.name: e for e in entry_points(group=group) if e.name not in BUILT_IN[group]}


def names(group: str) -> list[str]:
    """Every name of a group, ours first."""
    return [*BUILT_IN[group], *sorted(_foreign(group))]


def known(group: str, name: str) -> bool:
    """Whether a group has a name."""
    return name in BUILT_IN[group] or name in _foreign(group)


def get(group: str, name: str) -> Any:
    """The object behind a name, imported now. SettingsError for an unknown name or for a plugin that can't be imported."""
    if where := BUILT_IN[group].get(name):
        module, _, attribute = where.partition(":")
        return getattr(import_module(module), attribute)
    foreign = _foreign(group)
    noun = group.removeprefix("edgefuse.").removesuffix("s")
    if name not in foreign:
        raise SettingsError(f"unknown {noun} '{name}'; there is {', '.join(names(group))}")
    try:
        return foreign[name].load()
    except Exception as e:
        dist = foreign[name].dist
        package = dist.name if dist else foreign[name].value
        raise SettingsError(
            f"the {noun} '{name}' of package {package} can't be loaded ({type(e).__name__}: {e}); update or uninstall {package}"
        ) from e
