"""The demo source: its output, its reproducibility, and the temperatures of its objects."""

from __future__ import annotations

import tracemalloc
from itertools import pairwise

import cv2
import numpy as np
import pytest

from edgefuse.demoscene.building import NAMES
from edgefuse.demoscene.lettering import word
from edgefuse.demoscene.optics import PinholeCamera
from edgefuse.demoscene.scene import DemoScene
from edgefuse.errors import SettingsError
from edgefuse.frames import FramePair
from edgefuse.sources import open_source
from edgefuse.sources.demo import DemoSource

SMALL = (200, 150)
BAD_SIZES = ["size=63x64", "size=64x63", "size=1921x1080", "size=1920x1081", "size=big"]
BAD = [*BAD_SIZES, "scene=noon", "seed=-1", "seed=x", "frames=-1", "fps=0", "fps=nan", "depth=12", "colour=1"]


def read_all(uri: str) -> list[FramePair]:
    with open_source(uri) as source:
        return list(iter(source.read, None))


@pytest.fixture(scope="module")
def night() -> DemoScene:
    return DemoScene((320, 240), "night", seed=2, depth=16)


@pytest.fixture(scope="module")
def day() -> DemoScene:
    return DemoScene((320, 240), "day", seed=0)


def test_memory_of_a_scene() -> None:
    tracemalloc.start(1)
    try:
        scene = DemoScene((640, 480))
        held, peak = tracemalloc.get_traced_memory()
        tracemalloc.reset_peak()
        scene.render(200)
        drawing = tracemalloc.get_traced_memory()[1] - held
    finally:
        tracemalloc.stop()
    # measured: 15.7 MB, 28.5 MB (32.1 with NumPy 1.24) while painting, and 4.0 MB per frame, of which the pair takes 1.2
    assert (held < 17e6, peak < 33e6, drawing < 4.4e6) == (True, True, True), (held, peak, drawing)


@pytest.mark.parametrize("name", NAMES)
def test_the_letters_of_a_name_do_not_touch(name: str) -> None:
    mask = word(name)
    assert mask.shape[0] == 160
    paint = mask > 127
    # the letters fill the mask, and each is in one piece
    assert [edge.any() for edge in (paint[:3], paint[-3:], paint[:, :4], paint[:, -4:])] == [True] * 4
    assert cv2.connectedComponents(paint.astype(np.uint8))[0] - 1 == len(name.replace(" ", ""))


def test_vignetting_of_a_pixel_equals_that_of_the_picture() -> None:
    camera = PinholeCamera(101, 67, 1)
    whole = camera.vignette(0.28)
    factors = [[camera.lens(0.28, column, row) for column in range(101)] for row in range(67)]
    np.testing.assert_allclose(whole, np.array(factors, np.float32), rtol=0, atol=1e-7)
    assert camera.lens(0.28, -50, 900) == camera.lens(0.28, 0, 66)


def test_reads_named_timed_pairs_to_the_end() -> None:
    with open_source("demo?size=200x150&frames=3&fps=30") as source:
        assert (source.info.pairs, source.info.fps) == (3, 30.0)
        pairs = [source.read() for _ in range(3)]
        assert source.read() is None
        assert source.read() is None
    source.close()
    for i, pair in enumerate(pairs):
        assert pair is not None
        assert (pair.index, pair.name, pair.infrared.name) == (i, f"demo_{i:05d}", f"demo_{i:05d}")
        assert pair.visible.time_ns == pair.infrared.time_ns == round(i * 1e9 / 30)
        assert pair.visible.data.dtype == pair.infrared.data.dtype == np.uint8
        assert (pair.visible.data.shape, pair.infrared.data.shape) == ((150, 200, 3), (150, 200))


def test_defaults() -> None:
    with open_source("demo") as source:
        pair = source.read()
        assert (source.info.pairs, source.info.fps, source.info.uri) == (250, 25.0, "demo")
    assert pair is not None
    assert pair.visible.size == pair.infrared.size == (640, 480)


def test_frames_0_is_endless() -> None:
    with open_source("demo?size=64x64&frames=0") as source:
        assert source.info.pairs is None
        assert all(source.read() is not None for _ in range(4))


def test_16_bits_are_hundredths_of_a_kelvin(night: DemoScene) -> None:
    infrared = night.render(0)[1]
    assert infrared.dtype == np.uint16
    ground = infrared[180:, 60:260] / 100 - 273.15
    assert -5 < np.median(ground) < 15  # degrees Celsius
    assert infrared.min() / 100 - 273.15 < -15  # the sky


def test_16_bit_noise_is_0_05_kelvin(night: DemoScene) -> None:
    a, b = (night.render(i)[1][200:, 100:140].astype(float) for i in (400, 401))
    assert not night.labels(400)[200:, 100:140].any()
    assert 4 < np.std(a - b) / np.sqrt(2) < 7


@pytest.mark.parametrize("options", ["scene=cycle&frames=40", "scene=day", "scene=night&depth=16"])
def test_frames_do_not_depend_on_earlier_reads(options: str) -> None:
    uri = f"demo?size=200x150&seed=3&{options}"
    with open_source(uri) as source:
        assert isinstance(source, DemoSource)
        shown = [source.read() for _ in range(12)]
        late = source.scene.render(31)
    with open_source(uri) as fresh:
        assert isinstance(fresh, DemoSource)
        order = [31, 11, 0, 7]
        for index, (visible, infrared) in zip(order, [fresh.scene.render(i) for i in order], strict=True):
            pair = shown[index] if index < 12 else None
            expected = (pair.visible.data, pair.infrared.data) if pair else late
            np.testing.assert_array_equal(visible, expected[0])
            np.testing.assert_array_equal(infrared, expected[1])


def test_pairs_do_not_share_memory() -> None:
    a, b = read_all("demo?size=64x64&frames=2&scene=day")
    assert not np.shares_memory(a.visible.data, b.visible.data)
    assert not np.shares_memory(a.infrared.data, b.infrared.data)


def test_another_seed_is_another_street() -> None:
    streets = [DemoScene(SMALL, "day", seed=seed) for seed in (0, 1, 2)]
    assert len({street.layout.building for street in streets}) == 3
    for a, b in pairwise(streets):
        assert np.mean(np.abs(a.render(0)[0].astype(int) - b.render(0)[0])) > 10


def test_things_move_and_noise_changes(day: DemoScene) -> None:
    first, second = day.render(100), day.render(101)
    assert not np.array_equal(first[0], second[0])
    assert np.mean(first[1] != second[1]) > 0.2
    assert day.bodies(100) != day.bodies(104)


def test_routes_are_closed_loops(day: DemoScene) -> None:
    assert day.bodies(7) == day.bodies(7 + 500)  # 20 seconds


def test_bodies_move_continuously(day: DemoScene) -> None:
    for start in range(0, 500, 50):
        before, after = (day.labels(i) for i in (start, start + 1))
        assert np.mean((before > 0) != (after > 0)) < 0.02


@pytest.mark.parametrize(("scene", "kelvin"), [("day", 5.0), ("night", 9.0)])
def test_people_and_dogs_are_warmer_than_their_surroundings(scene: str, kelvin: float) -> None:
    street = DemoScene((320, 240), scene, depth=16)
    kinds = []
    for index in range(0, 500, 45):
        infrared, labels = street.render(index)[1].astype(float), street.labels(index)
        for i, box in enumerate(street.bodies(index), 1):
            if box.kind == "car" or box.shown < 0.9 or box.height < 8:
                continue
            kinds.append(box.kind)
            around = np.zeros(labels.shape, bool)
            around[max(box.top - 4, 0) : box.top + box.height + 4, max(box.left - 8, 0) : box.left + box.width + 8] = True
            body = infrared[labels == i].mean()
            assert body > infrared[around & (labels == 0)].mean() + 100 * kelvin, (index, box)
    assert kinds.count("person") >= 20
    assert "dog" in kinds


def test_driving_cars_have_warm_parts() -> None:
    street = DemoScene((320, 240), "night", depth=16)
    index = next(i for i in range(0, 500, 5) if any(b.kind == "car" and b.shown > 0.9 for b in street.bodies(i)))
    i = next(i for i, b in enumerate(street.bodies(index), 1) if b.kind == "car" and b.shown > 0.9)
    car = street.render(index)[1][street.labels(index) == i] / 100 - 273.15
    assert np.percentile(car, 97) > 15 > np.median(car)


def test_one_pedestrian_is_visible_only_in_the_infrared(night: DemoScene) -> None:
    """At night, far from the lamp, the visible picture has no contrast at the pedestrian."""
    index = next(i for i in range(0, 500, 10) if night.bodies(i) and night.bodies(i)[0].shown > 0.95)
    box, labels = night.bodies(index)[0], night.labels(index)
    rows, columns = slice(box.top - 3, box.top + box.height + 3), slice(box.left - 6, box.left + box.width + 6)
    body, beside = labels[rows, columns] == 1, labels[rows, columns] == 0
    visible, infrared = (picture[rows, columns].astype(float) for picture in night.render(index))
    assert abs(visible[body].mean() - visible[beside].mean()) < 8
    assert infrared[body].mean() - infrared[beside].mean() > 900


def test_boxes_contain_their_labels(day: DemoScene) -> None:
    for index in (0, 60, 130):
        boxes, labels = day.bodies(index), day.labels(index)
        assert {b.kind for b in boxes} <= {"person", "dog", "car"}
        for i, box in enumerate(boxes, 1):
            rows, columns = np.nonzero(labels == i)
            assert (box.left, box.top) == (int(columns.min()), int(rows.min()))
            assert (box.width, box.height) == (int(np.ptp(columns)) + 1, int(np.ptp(rows)) + 1)
            assert 0 < box.shown <= 1


def test_night_is_darker_than_dusk_than_day() -> None:
    street = DemoScene(SMALL, "cycle", frames=100)
    day, dusk, night = (float(street.render(i)[0].mean()) for i in (0, 50, 99))
    assert day > 1.8 * dusk > 1.8 * 1.8 * night


def test_an_endless_cycle_comes_back() -> None:
    street = DemoScene((64, 64), "cycle", frames=0)
    assert [street.time_of_day(i) for i in (0, 250, 500)] == [0.0, 2.0, 0.0]
    assert all(abs(street.time_of_day(i) - street.time_of_day(i + 1)) < 0.02 for i in range(500))


@pytest.mark.parametrize("size", ["64x64", "65x67", "101x333", "333x101", "1000x64", "64x1000"])
def test_any_size(size: str) -> None:
    width, height = map(int, size.split("x"))
    for pair in read_all(f"demo?size={size}&frames=3&seed=1&fps=0.2"):
        assert pair.visible.data.shape == (height, width, 3)
        assert pair.infrared.data.shape == (height, width)


@pytest.mark.parametrize("options", BAD)
def test_bad_options_are_settings_errors_of_one_line(options: str) -> None:
    with pytest.raises(SettingsError) as caught:
        open_source(f"demo?{options}")
    assert "\n" not in str(caught.value)
    assert options.partition("=")[0] in str(caught.value)


def test_a_path_is_refused() -> None:
    with pytest.raises(SettingsError):
        open_source("demo:street")
