"""The registry: lazy imports, no replacement of built-in names, and errors for broken plugins."""

from __future__ import annotations

import subprocess
import sys
from importlib import metadata
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

import edgefuse
from edgefuse import registry
from edgefuse.errors import SettingsError
from edgefuse.runtimes.base import Runtime
from edgefuse.sinks.base import Sink
from edgefuse.sources.base import Source

ROOT = Path(edgefuse.__file__).parents[1]
BASES = {"edgefuse.sources": Source, "edgefuse.runtimes": Runtime, "edgefuse.sinks": Sink}


def install(monkeypatch: pytest.MonkeyPatch, *plugins: EntryPoint) -> None:
    monkeypatch.setattr(metadata, "entry_points", lambda group: [p for p in plugins if p.group == group])


@pytest.mark.parametrize(("group", "name"), [(g, n) for g in BASES for n in registry.BUILT_IN[g]])
def test_listed_names_exist_and_have_the_right_type(group: str, name: str) -> None:
    assert issubclass(registry.get(group, name), BASES[group])


@pytest.mark.parametrize(
    ("group", "message"),
    [
        ("edgefuse.sources", "unknown source 'nope'; choose from demo, folder, replay, video, cameras"),
        ("edgefuse.cameras", "unknown camera 'nope'; choose from picamera2, v4l2, rtsp, rtsps, http, https"),
        ("edgefuse.sinks", "unknown sink 'nope'; choose from folder, video"),
        ("edgefuse.runtimes", "unknown runtime 'nope'; choose from onnx, litert, numpy"),
    ],
)
def test_an_unknown_name_lists_the_known(group: str, message: str) -> None:
    with pytest.raises(SettingsError) as caught:
        registry.get(group, "nope")
    assert str(caught.value) == message


def test_plugins_are_listed_after_built_in_names(monkeypatch: pytest.MonkeyPatch) -> None:
    plugins = [EntryPoint(n, "fractions:Fraction", "edgefuse.sinks") for n in ("zebra", "mqtt")]
    install(monkeypatch, *plugins, EntryPoint("lidar", "fractions:Fraction", "edgefuse.sources"))
    assert registry.names("edgefuse.sinks") == ["folder", "video", "mqtt", "zebra"]
    assert registry.get("edgefuse.sinks", "mqtt").__name__ == "Fraction"
    with pytest.raises(SettingsError, match="choose from folder, video, mqtt, zebra"):
        registry.get("edgefuse.sinks", "lidar")


def test_a_plugin_never_replaces_a_built_in_name(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, EntryPoint("folder", "fractions:Fraction", "edgefuse.sinks"))
    assert registry.names("edgefuse.sinks") == ["folder", "video"]
    assert registry.get("edgefuse.sinks", "folder").__name__ == "FolderSink"


@pytest.mark.parametrize(
    ("value", "error"), [("edgefuse_no_such_module:X", "ModuleNotFoundError"), ("fractions:no_such_attribute", "AttributeError")]
)
def test_a_broken_plugin_is_named(monkeypatch: pytest.MonkeyPatch, value: str, error: str) -> None:
    install(monkeypatch, EntryPoint("mqtt", value, "edgefuse.sinks"))
    with pytest.raises(SettingsError) as caught:
        registry.get("edgefuse.sinks", "mqtt")
    assert f"the sink 'mqtt' of package {value} can't be loaded ({error}: " in str(caught.value)
    assert str(caught.value).endswith(f"update or uninstall {value}")


def test_importing_the_package_imports_only_numpy() -> None:
    code = (
        "import sys, edgefuse, edgefuse.registry, edgefuse.sources, edgefuse.sinks\n"
        "print(*sorted({m.split('.')[0] for m in sys.modules} & {'cv2', 'onnxruntime', 'ai_edge_litert', 'torch', 'psutil', 'numpy'}))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.split() == ["numpy"]


def test_built_in_names_are_found_without_reading_entry_points() -> None:
    code = (
        "import sys, edgefuse\n"
        "with edgefuse.open_source('demo?size=64x64&frames=1') as source, edgefuse.load('mobilefuse-edge', 'numpy') as fuser:\n"
        "    fuser.fuse(source.read())\n"
        "print('importlib.metadata' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == "False"


def test_the_public_names_of_the_package() -> None:
    from edgefuse.fusion.fuser import Fuser, load
    from edgefuse.sources import open_source

    assert (edgefuse.Fuser, edgefuse.load, edgefuse.open_source) == (Fuser, load, open_source)
    with pytest.raises(AttributeError, match="has no attribute 'nope'"):
        edgefuse.nope  # noqa: B018
