"""What is fuzzed: a function for each target, which makes one input from a random generator and processes it.

To add a target, write a function and add a line to TARGETS.
"""

from __future__ import annotations

import os
import random
from pathlib import Path

from benchmarks.fuzz.runner import Feed, Target
from benchmarks.fuzz.web_page import http
from edgefuse.errors import EdgeFuseError


def settings(rng: random.Random, folder: Path) -> None:
    """Parse a settings file, sometimes with an environment variable."""
    from edgefuse import settings
    from tests.settings.garbage import VALUES, garbage

    path = folder / "edgefuse.toml"
    path.write_bytes(garbage(rng))
    keys = ("THREADS", "MODEL", "SINK", "FRESH", "MAX_SKEW", "X", "")
    variables = {f"EDGEFUSE_RUN_{rng.choice(keys)}": rng.choice(VALUES).strip('"')} if rng.random() < 0.2 else {}
    settings.load(path, variables, source_required=rng.random() < 0.5)


def mqtt(rng: random.Random, folder: Path) -> None:
    """Parse a payload of the command topic; accepted commands are checked, too."""
    from tests.mqtt.hostile import check, payload

    if check(payload(rng)) is None:
        raise EdgeFuseError("refused")


def calibration(rng: random.Random, folder: Path) -> None:
    """Load a calibration file and apply it if it is valid, or fit a file of points."""
    from tests.calibration import hostile

    path = folder / "calibration.toml"
    if rng.random() < 0.7:
        path.write_bytes(hostile.calibration_file(rng))
        hostile.check_calibration(path)
    else:
        path.write_bytes(hostile.points_file(rng))
        hostile.check_points(path)


def replay(rng: random.Random, folder: Path) -> None:
    """Play a raw recording through replay: and a fuser, in bounded memory."""
    from tests.sources import hostile

    path = folder / "a.efr"
    path.write_bytes(hostile.recording(rng))
    if hostile.check(path, rng.choice((0, 1, 1, 3))) == 0:
        raise EdgeFuseError("no pair in it")


def efz(rng: random.Random, folder: Path) -> int:
    """Decode a compressed cube with flipped bits or truncated (intact tiles must be unchanged), or malicious with correct checksums."""
    from tests.hyperspectral import hostile

    # larger ones are slower, and show little that the others do not
    if rng.random() < 0.995:
        return hostile.check_made(rng, few=True)
    if rng.random() < 0.3:
        return hostile.check_damaged(rng)
    return hostile.check_made(rng)


def container(rng: random.Random, folder: Path) -> None:
    """Read the header, the tile records and the index of an .efz file with extreme fields and correct checksums; no tile is decoded."""
    from tests.hyperspectral.hostile_container import check_container

    check_container(rng)


def envi(rng: random.Random, folder: Path) -> None:
    """Parse an ENVI header with extreme values in its fields, or with changed bytes, and write it again with the same meaning."""
    from edgefuse.hyperspectral import crs
    from tests.hyperspectral.mutate import check_header, hostile_header

    # PROJ takes 150 ms to find that it does not know a system; the target `crs` is for it
    crs.esri_wkt = lambda text: ""
    check_header(hostile_header(rng))


def crs(rng: random.Random, folder: Path) -> None:
    """Read a coordinate system with PROJ, write it, and read it again."""
    from tests.hyperspectral.hostile_crs import check_crs

    check_crs(rng)


def manifest(rng: random.Random, folder: Path) -> None:
    """Read a manifest with extreme records and torn lines from memory, and look up what it says."""
    from tests.archive.hostile_manifest import check_lines

    check_lines(rng, folder)


def archive(rng: random.Random, folder: Path) -> None:
    """Open such a manifest in a folder, and append to it."""
    from tests.archive.hostile_manifest import check_folder

    # what a line says is tested here, not whether it is on the disk
    os.fsync = lambda _: None
    check_folder(rng, folder)


def _cube(form: str) -> Feed:
    def feed(rng: random.Random, folder: Path) -> int:
        from tests.hyperspectral.formats.hostile import check_cube

        return check_cube(form, rng, folder)

    return feed


def picture(rng: random.Random, folder: Path) -> None:
    """Read a picture."""
    from tests.hyperspectral.formats.hostile import check_picture

    check_picture(rng, folder)


def model(rng: random.Random, folder: Path) -> None:
    """Load a graph of the NumPy runtime, and run it."""
    from tests.runtimes.hostile import check_graph

    check_graph(rng, folder)


def _model_file(runtime: str) -> Feed:
    def feed(rng: random.Random, folder: Path) -> None:
        from tests.runtimes.hostile import check_file

        check_file(runtime, rng, folder)

    return feed


# the number of inputs of a release and of the smoke run; how many have been run: counts.csv
TARGETS: dict[str, Target] = {
    "container": Target(container, 10_000_000, 5000),
    "efz": Target(efz, 10_000_000, 2000),
    "envi": Target(envi, 10_000_000, 8000, limit=1.0),
    "manifest": Target(manifest, 10_000_000, 5000, limit=1.0),
    "archive": Target(archive, 1_000_000, 300),
    "npy": Target(_cube("npy"), 1_000_000, 1000),
    "npz": Target(_cube("npz"), 1_000_000, 500),
    "mat": Target(_cube("mat"), 1_000_000, 1000),
    "tiff": Target(_cube("tiff"), 1_000_000, 100, isolated=True),
    "hdf5": Target(_cube("hdf5"), 1_000_000, 200, isolated=True),
    "crs": Target(crs, 1_000_000, 20, isolated=True),
    "picture": Target(picture, 1_000_000, 500, isolated=True),
    "model": Target(model, 1_000_000, 500),
    "onnx": Target(_model_file("onnx"), 1_000_000, 100, isolated=True),
    "tflite": Target(_model_file("litert"), 1_000_000, 100, isolated=True),
    "settings": Target(settings),
    "mqtt": Target(mqtt),
    "calibration": Target(calibration),
    "replay": Target(replay),
    "http": Target(http),
}
