"""Driver buffers become counts and degrees; the error for a wrong buffer states what was expected."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from edgefuse.errors import FrameError, SettingsError
from edgefuse.thermal import lepton, supported_cameras


def telemetry_words(**words: int) -> NDArray[np.uint16]:
    """Return rows A, B and C; `w24=31515` sets word 24."""
    rows = np.zeros(240, np.uint16)
    defaults = {"w0": 0x0E07, "w1": 0x5678, "w2": 0x1234, "w3": 3 << 4, "w20": 40000, "w21": 1, "w24": 31515, "w208": 1, "w209": 1}
    for name, value in (defaults | words).items():
        rows[int(name[1:])] = value
    return rows


def lepton_buffer(width: int, height: int, rows: int, level: int = 30000, **words: int) -> NDArray[np.uint16]:
    """Return a Y16 frame (height + rows, width) with pixels counting up from `level`, and telemetry where `rows` is not 0."""
    picture = (level + np.arange(width * height) % 1000).astype("<u2").reshape(height, width)
    if not rows:
        return picture
    tail = np.zeros(width * rows, "<u2")
    tail[:240] = telemetry_words(**words)
    return np.vstack((picture, tail.reshape(rows, width)))


def shapes_of(raw: NDArray[Any]) -> list[NDArray[Any]]:
    """Return one buffer in the shapes that V4L2 and OpenCV give it."""
    flat = np.frombuffer(raw.tobytes(), np.uint8)
    height, width = raw.shape[:2]
    words = flat.view(np.uint16).reshape(height, width)
    return [flat, flat.reshape(1, -1), flat.reshape(height, width, 2), words, words[:, :, None], flat.view(np.uint16)]


@pytest.mark.parametrize(("width", "height", "rows"), [(160, 120, 2), (160, 120, 0), (80, 60, 3), (80, 60, 0)])
def test_lepton(width: int, height: int, rows: int) -> None:
    raw = lepton_buffer(width, height, rows)
    for shape in shapes_of(raw):
        decoded = supported_cameras.get("lepton").decode(shape)
        np.testing.assert_array_equal(decoded.counts, raw[:height])
        assert decoded.counts.dtype == np.uint16
        # 300.00 K
        assert decoded.radiometry.celsius(30000) == pytest.approx(26.85)
        assert decoded.radiometry.state == "normal"
        assert (decoded.telemetry is None) == (rows == 0)


@pytest.mark.parametrize(("width", "height", "rows"), [(160, 120, 2), (80, 60, 3)])
def test_lepton_telemetry(width: int, height: int, rows: int) -> None:
    telemetry = supported_cameras.get("lepton").decode(lepton_buffer(width, height, rows)).telemetry
    assert telemetry == lepton.LeptonTelemetry(
        revision=(14, 7), time_ms=0x12345678, frame=105536, ffc="complete", fpa_celsius=42.0, agc=False, tlinear=0.01
    )


@pytest.mark.parametrize(
    ("words", "level", "kelvin"),
    [
        ({"w209": 0}, 3000, 300.0),  # 0.1 K per count
        ({"w209": 1}, 30000, 300.0),
        ({"w208": 0}, 8000, None),  # radiometry is off
        ({"w3": 1 << 12}, 100, None),  # the sensor's own gain control is on
        ({"w209": 7}, 8000, None),
    ],
)
def test_lepton_law(words: dict[str, int], level: int, kelvin: float | None) -> None:
    celsius = supported_cameras.get("lepton").decode(lepton_buffer(160, 120, 2, level, **words)).radiometry.celsius(level)
    assert celsius == (None if kelvin is None else pytest.approx(kelvin - 273.15))


def test_lepton_without_telemetry_is_radiometric_only_for_unambiguous_counts() -> None:
    assert supported_cameras.get("lepton").decode(lepton_buffer(160, 120, 0, 8000)).radiometry.scale is None
    assert supported_cameras.get("lepton").decode(lepton_buffer(160, 120, 0, 29000)).radiometry.scale == 0.01


@pytest.mark.parametrize(("bits", "state"), [(0, "normal"), (1, "normal"), (2, "calibrating"), (3, "normal")])
def test_lepton_shutter(bits: int, state: str) -> None:
    decoded = supported_cameras.get("lepton").decode(lepton_buffer(160, 120, 2, w3=bits << 4))
    assert decoded.radiometry.state == state


@pytest.mark.parametrize("words", [{"w0": 0}, {"w24": 0}, {"w24": 65535}])
def test_invalid_telemetry_rows_are_ignored(words: dict[str, int]) -> None:
    decoded = supported_cameras.get("lepton").decode(lepton_buffer(160, 120, 2, **words))
    assert decoded.telemetry is None
    assert decoded.counts.shape == (120, 160)


def test_tc001_lower_half_is_the_temperatures() -> None:
    raw = np.zeros((384, 256, 2), np.uint8)
    raw[:192] = 128
    raw[192:] = np.full((192, 256), round((36.6 + 273.15) * 64), "<u2")[:, :, None].view(np.uint8)
    for shape in shapes_of(raw):
        decoded = supported_cameras.get("tc001").decode(shape)
        assert decoded.counts.shape == (192, 256)
        assert decoded.radiometry.celsius(int(decoded.counts[0, 0])) == pytest.approx(36.6, abs=1 / 64)


def test_tc002c_duo_first_96_rows_are_the_temperatures() -> None:
    field = (np.arange(192 * 256) % 4999).astype("<u2").reshape(192, 256)
    raw = np.full(512 * 484 * 2, 7, np.uint8)
    raw[: field.nbytes] = np.frombuffer(field.tobytes(), np.uint8)
    for shape in shapes_of(raw.reshape(484, 512, 2)):
        decoded = supported_cameras.get("tc002c-duo").decode(shape)
        np.testing.assert_array_equal(decoded.counts, field)
        assert decoded.radiometry.celsius(16 * 300) == pytest.approx(26.85)


def test_generic() -> None:
    grey = np.arange(12, dtype=np.uint8).reshape(3, 4)
    eight = supported_cameras.get("generic-8")
    for raw in (grey, grey[:, :, None], np.stack((grey, grey + 100), 2), np.stack((grey,) * 3, 2), np.flipud(np.flipud(grey))):
        np.testing.assert_array_equal(eight.decode(raw).counts, grey)
    np.testing.assert_array_equal(eight.decode(grey.reshape(-1), (4, 3)).counts, grey)
    counts = np.arange(12, dtype="<u2").reshape(3, 4) * 1000
    sixteen = supported_cameras.get("generic-16")
    flat = np.frombuffer(counts.tobytes(), np.uint8)
    for raw16 in (counts, counts[:, :, None], flat.reshape(3, 4, 2)):
        np.testing.assert_array_equal(sixteen.decode(raw16).counts, counts)
    np.testing.assert_array_equal(sixteen.decode(flat, (4, 3)).counts, counts)
    assert sixteen.decode(counts).radiometry.celsius(1) is None


@pytest.mark.parametrize("sensor", supported_cameras.SENSORS, ids=lambda s: s.name)
@pytest.mark.parametrize(
    "raw", [np.zeros(7, np.uint8), np.zeros((4, 4, 5), np.uint8), np.zeros((160, 120), np.float32), np.zeros(0, np.uint8)]
)
def test_a_wrong_buffer_says_what_was_expected(sensor: supported_cameras.Sensor, raw: NDArray[Any]) -> None:
    with pytest.raises(FrameError, match="expected") as caught:
        sensor.decode(raw)
    assert caught.value.cause == "layout"


def test_a_converted_frame_is_refused() -> None:
    with pytest.raises(FrameError, match=r"294912 bytes .* expected unconverted 256x384 YUYV \(196608 bytes\)"):
        supported_cameras.get("tc001").decode(np.zeros((384, 256, 3), np.uint8))


@given(st.binary(max_size=300), st.sampled_from([s.name for s in supported_cameras.SENSORS]))
def test_decoders_survive_any_bytes(data: bytes, name: str) -> None:
    with pytest.raises(FrameError):
        supported_cameras.get(name).decode(np.frombuffer(data, np.uint8))


@given(st.integers(0, 2**32 - 1), st.sampled_from([(160, 122), (80, 63)]))
def test_random_telemetry_is_parsed_or_ignored(seed: int, size: tuple[int, int]) -> None:
    raw = np.random.default_rng(seed).integers(0, 65536, size[::-1]).astype(np.uint16)
    decoded = supported_cameras.get("lepton").decode(raw)
    np.testing.assert_array_equal(decoded.counts, raw[: len(decoded.counts)])


def test_decoded_counts_are_a_copy() -> None:
    for name, size in (("lepton", 160 * 122 * 2), ("tc001", 256 * 384 * 2), ("tc002c-duo", 512 * 484 * 2)):
        raw = np.zeros(size, np.uint8)
        counts = supported_cameras.get(name).decode(raw).counts
        raw[:] = 255
        assert not counts.any()


@pytest.mark.parametrize(
    ("usb", "width", "height", "fourcc", "name"),
    [
        ("1e4e:0100", 160, 122, "Y16 ", "lepton"),
        ("1E4E:0100", 80, 60, "Y16", "lepton"),
        ("1e4e:0100", None, None, None, "lepton"),
        ("1e4e:0100", 160, 120, "UYVY", None),  # the sensor's own 8-bit picture
        (None, 160, 120, "Y16 ", "lepton"),
        ("dead:beef", 256, 384, "YUYV", "tc001"),  # a clone
        ("0bda:5830", 256, 384, "YUY2", "tc001"),
        ("0bda:5840", 256, 384, "YUYV", "tc001"),
        ("0bda:5830", 640, 480, "YUYV", None),  # a webcam of the same maker
        (None, 512, 484, "YUYV", "tc002c-duo"),
        (None, 640, 480, "YUYV", None),
        (None, 256, 384, None, None),
        (None, None, None, None, None),
    ],
)
def test_identify(usb: str | None, width: int | None, height: int | None, fourcc: str | None, name: str | None) -> None:
    sensor = supported_cameras.identify(usb, width, height, fourcc)
    assert (sensor and sensor.name) == name


def test_an_unknown_sensor_lists_the_known() -> None:
    with pytest.raises(SettingsError, match="lepton, tc001, tc002c-duo, generic-16, generic-8"):
        supported_cameras.get("seek")


def test_a_real_frame_as_a_flat_buffer(thermal_data: Path) -> None:
    path = thermal_data / "dji_extract_512x640_u16le.raw"
    decoded = supported_cameras.get("generic-16").decode(np.frombuffer(path.read_bytes(), np.uint8), (640, 512))
    assert decoded.counts.shape == (512, 640)
    assert (decoded.counts.min(), decoded.counts.max()) == (13537, 20670)
    # neighbouring pixels are similar: a wrong byte order or width would break that
    assert np.abs(np.diff(decoded.counts.astype(int), axis=1)).mean() < 100
