"""Lazy registry of names and the code behind them, one table per kind, imported on first use.

Built-in names are listed here; other packages add theirs through entry points of the same group (`edgefuse.sources`, `.cameras`,
`.runtimes`, `.sinks`, `.codecs`, `.sharpeners`, `.views`, `.detectors`, `.models`). A built-in name is never replaced by another package's.
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
        "rtsp": "edgefuse.cameras.network_stream:StreamCamera",
        "rtsps": "edgefuse.cameras.network_stream:StreamCamera",
        "http": "edgefuse.cameras.network_stream:StreamCamera",
        "https": "edgefuse.cameras.network_stream:StreamCamera",
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
    "edgefuse.codecs": {
        "spectral-edge": "edgefuse.hyperspectral.codec.spectral_edge:SpectralEdge",
        "sscnet": "edgefuse.hyperspectral.codec.sscnet:SscnetCodec",
    },
    "edgefuse.sharpeners": {
        "sharpen-edge": "edgefuse.sharpening.sharpen:SharpenEdge",
        "csakd-student": "edgefuse.sharpening.csakd:CsakdStudent",
    },
    "edgefuse.views": {
        "fused": "edgefuse.views.fused:FusedView",
        "edges": "edgefuse.views.edges:EdgesView",
        "highlight": "edgefuse.views.highlight:HighlightView",
        "inset": "edgefuse.views.inset:InsetView",
        "side-by-side": "edgefuse.views.side_by_side:SideBySideView",
    },
    "edgefuse.detectors": {"warm-blobs": "edgefuse.detection.warm_blobs:WarmBlobs"},
    "edgefuse.models": {},
    # these have no entry points
    "edgefuse.cube_sources": {
        "envi": "edgefuse.hyperspectral.formats.envi:EnviSource",
        "npy": "edgefuse.hyperspectral.formats.numpy:NpySource",
        "npz": "edgefuse.hyperspectral.formats.numpy:NpzSource",
        "mat": "edgefuse.hyperspectral.formats.matlab:MatSource",
        "tiff": "edgefuse.hyperspectral.formats.geotiff:TiffSource",
        "bands": "edgefuse.hyperspectral.formats.band_folder:BandFolderSource",
        "jpeg2000": "edgefuse.hyperspectral.formats.jpeg2000:Jpeg2000Source",
        "vrt": "edgefuse.hyperspectral.formats.vrt:VrtSource",
        "hdf5": "edgefuse.hyperspectral.formats.hdf5:Hdf5Source",
        "netcdf": "edgefuse.hyperspectral.formats.hdf5:Hdf5Source",
        "zarr": "edgefuse.hyperspectral.formats.zarr:ZarrSource",
        "efz": "edgefuse.hyperspectral.efz_source:EfzSource",
    },
    "edgefuse.cube_sinks": {
        "envi": "edgefuse.hyperspectral.formats.envi:EnviSink",
        "npy": "edgefuse.hyperspectral.formats.numpy:NpySink",
        "npz": "edgefuse.hyperspectral.formats.numpy:NpzSink",
        "mat": "edgefuse.hyperspectral.formats.matlab:MatSink",
        "tiff": "edgefuse.hyperspectral.formats.geotiff:TiffSink",
        "cog": "edgefuse.hyperspectral.formats.geotiff_cog:CogSink",
        "hdf5": "edgefuse.hyperspectral.formats.hdf5:Hdf5Sink",
        "netcdf": "edgefuse.hyperspectral.formats.netcdf:NetcdfSink",
    },
    # tables of a settings file: the dataclass of each, and what it opens beside a run
    "edgefuse.settings": {
        "run": "edgefuse.settings.run:RunSettings",
        "mqtt": "edgefuse.settings.mqtt:MqttSettings",
        "telemetry": "edgefuse.settings.telemetry:TelemetrySettings",
        "thermal": "edgefuse.settings.thermal:ThermalSettings",
        "region": "edgefuse.settings.region:RegionSettings",
        "detect": "edgefuse.settings.detect:DetectSettings",
        "alarm": "edgefuse.settings.alarm:AlarmSettings",
        "web": "edgefuse.settings.web:WebSettings",
        "recording": "edgefuse.settings.recording:RecordingSettings",
        "stream": "edgefuse.settings.stream:StreamSettings",
        "cubes": "edgefuse.settings.cubes:CubesSettings",
    },
    "edgefuse.attachments": {
        "mqtt": "edgefuse.mqtt:Mqtt",
        "telemetry": "edgefuse.telemetry.jsonlines:JsonLines",
        "region": "edgefuse.telemetry.regions:Regions",
        "detect": "edgefuse.telemetry.people:People",
        "alarm": "edgefuse.alarms:Alarms",
        "web": "edgefuse.web:Web",
        "recording": "edgefuse.recording:Recording",
        "stream": "edgefuse.streaming:Streaming",
    },
}


def loaded(where: str) -> Any:
    """Import and return the object that `module:attribute` names."""
    module, _, attribute = where.partition(":")
    return getattr(import_module(module), attribute)


def _plugins(group: str) -> dict[str, EntryPoint]:
    from importlib.metadata import entry_points  # the import takes 2 MB, so only when plugins matter

    return {e.name: e for e in entry_points(group=group) if e.name not in BUILT_IN[group]}


def names(group: str) -> list[str]:
    """Return all names of a group, built-in first."""
    return [*BUILT_IN[group], *sorted(_plugins(group))]


def known(group: str, name: str) -> bool:
    """Whether a group has a name."""
    return name in BUILT_IN[group] or name in _plugins(group)


def get(group: str, name: str) -> Any:
    """Import and return the object behind a name. SettingsError for an unknown name or a plugin that cannot be imported."""
    if where := BUILT_IN[group].get(name):
        return loaded(where)
    foreign = _plugins(group)
    noun = group.removeprefix("edgefuse.").removesuffix("s")
    if name not in foreign:
        raise SettingsError(f"unknown {noun} '{name}'; choose from {', '.join(names(group))}")
    try:
        return foreign[name].load()
    except Exception as e:
        dist = foreign[name].dist
        package = dist.name if dist else foreign[name].value
        raise SettingsError(
            f"the {noun} '{name}' of package {package} can't be loaded ({type(e).__name__}: {e}); update or uninstall {package}"
        ) from e
