"""Average precision: values by hand, comparison with a second implementation in exact fractions, and properties for any detections."""

from __future__ import annotations

import math
from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgefuse.errors import SettingsError, SourceError
from edgefuse.metrics.people.precision import Box, Boxes, Detection, People, average_precision, classes

ONE, TWO, FAR = Box(0.1, 0.1, 0.3, 0.5), Box(0.5, 0.1, 0.7, 0.5), Box(0.1, 0.8, 0.2, 0.9)


def seen(box: Box, score: float, kind: int = 0) -> Detection:
    return Detection(box, score, kind)


def plain(detected: list[list[Detection]], true: list[list[Box]]) -> float:
    """Reference implementation: for each of 101 recall levels, searches all prefixes of the ordered detections."""

    def overlap(a: Box, b: Box) -> Fraction:
        a, b = ([Fraction(v) for v in (c.left, c.top, c.right, c.bottom)] for c in (a, b))
        both = max(0, min(a[2], b[2]) - max(a[0], b[0])) * max(0, min(a[3], b[3]) - max(a[1], b[1]))
        areas = [(c[2] - c[0]) * (c[3] - c[1]) for c in (a, b)]
        return Fraction(both) / (sum(areas) - both)

    taken, right, prefixes = set(), 0, []
    ordered = sorted([(-d.score, k, n) for k, row in enumerate(detected) for n, d in enumerate(row)])
    for count, (_, k, n) in enumerate(ordered, 1):
        free = [(overlap(detected[k][n].box, box), -j) for j, box in enumerate(true[k]) if (k, j) not in taken]
        if free and max(free)[0] >= Fraction(1, 2):
            taken.add((k, -max(free)[1]))
            right += 1
        prefixes.append((Fraction(right, sum(map(len, true))), Fraction(right, count)))
    best = [max([p for r, p in prefixes if r >= Fraction(k, 100)], default=Fraction(0)) for k in range(101)]
    return float(sum(best) / 101)


def test_by_hand() -> None:
    assert average_precision([[seen(ONE, 0.9)]], [[ONE]]) == 1
    assert average_precision([[]], [[ONE]]) == 0
    assert average_precision([[seen(FAR, 0.9)]], [[ONE]]) == 0
    assert math.isnan(average_precision([[seen(ONE, 0.9)]], [[]]))
    # hit, miss, hit with two boxes: precision 1 up to recall 0.5 (51 points), 2 / 3 above (50 points)
    detected = [[seen(ONE, 0.9), seen(FAR, 0.8), seen(TWO, 0.7)]]
    assert average_precision(detected, [[ONE, TWO]]) == pytest.approx((51 + 50 * 2 / 3) / 101)
    # half of the boxes are found, so recalls above 0.5 are never reached
    assert average_precision([[seen(ONE, 0.9)]], [[ONE, TWO]]) == pytest.approx(51 / 101)
    # in the other order: miss, hit
    assert average_precision([[seen(FAR, 0.9), seen(ONE, 0.8)]], [[ONE]]) == pytest.approx(1 / 2)


def test_a_box_is_found_once_and_in_its_own_picture() -> None:
    twice = [[seen(ONE, 0.9), seen(ONE, 0.8), seen(TWO, 0.7)]]
    assert average_precision(twice, [[ONE, TWO]]) == pytest.approx((51 + 50 * 2 / 3) / 101)
    assert average_precision([[seen(ONE, 0.9)], []], [[], [ONE]]) == 0


def test_scores_are_ordered_over_all_pictures() -> None:
    detected = [[seen(FAR, 0.5)], [seen(ONE, 0.9)]]
    assert average_precision(detected, [[ONE], [ONE]]) == pytest.approx(51 / 101)


def test_half_an_overlap_is_enough() -> None:
    half = Box(0.0, 0.0, 0.25, 1.0)
    assert average_precision([[seen(half, 1)]], [[Box(0.0, 0.0, 0.5, 1.0)]]) == 1
    assert average_precision([[seen(half, 1)]], [[Box(0.0, 0.0, 0.5625, 1.0)]]) == 0
    # a wide detection over two boxes matches the one with the larger overlap
    assert Box(0, 0, 1, 1).overlap(Box(2, 2, 3, 3)) == 0
    assert Box(0, 0, 2, 2).overlap(Box(1, 1, 3, 3)) == pytest.approx(1 / 7)


eighths = st.integers(0, 7).flatmap(lambda a: st.tuples(st.just(a / 8), st.integers(a + 1, 8).map(lambda b: b / 8)))
boxes = st.builds(lambda x, y: Box(x[0], y[0], x[1], y[1]), eighths, eighths)
scores = st.integers(1, 9).map(lambda n: n / 10)
pictures = st.lists(
    st.tuples(st.lists(st.builds(Detection, boxes, scores, st.just(0)), max_size=5), st.lists(boxes, max_size=3)), min_size=1, max_size=3
)


@given(pictures)
def test_as_another_implementation_has_it(made: list[tuple[list[Detection], list[Box]]]) -> None:
    detected, true = [list(side) for side in zip(*made, strict=True)]
    if not any(true):
        assert math.isnan(average_precision(detected, true))
        return
    value = average_precision(detected, true)
    assert 0 <= value <= 1
    assert value == pytest.approx(plain(detected, true))
    # an additional miss with the lowest score changes nothing
    assert average_precision([[*detected[0], seen(Box(2, 2, 3, 3), 0.01)], *detected[1:]], true) == pytest.approx(value)


@given(st.lists(st.lists(boxes, max_size=3, unique=True), min_size=1, max_size=4).filter(any))
def test_who_sees_all_and_nothing_else_has_one(true: list[list[Box]]) -> None:
    assert average_precision([[seen(box, 0.3) for box in row] for row in true], true) == 1


def test_people_keeps_kinds_apart() -> None:
    people = People(("person", "car"))
    people.add([seen(ONE, 0.9, 0), seen(TWO, 0.9, 2), seen(FAR, 0.9, 7)], {"person": [ONE], "car": [ONE]})
    assert people.counts == {"person": 1, "car": 1}
    assert people.precision == {"person": 1, "car": 0}


def test_boxes_in_yolo_s_form(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("0  0.5 0.25 0.2 0.5  \n\n2 0.5 0.5 1 1\n1 0.1 0.1 0.1 0.1\n")
    (tmp_path / "b.TXT").write_text("")
    (tmp_path / "a.png").write_bytes(b"")
    boxes = Boxes(tmp_path)
    detected = boxes.read("a")
    assert boxes.kinds == ("person", "car")
    assert detected is not None
    assert [len(of) for of in detected.values()] == [1, 1]
    box = detected["person"][0]
    assert (box.left, box.top, box.right, box.bottom) == pytest.approx((0.4, 0.0, 0.6, 0.5))
    assert boxes.read("b") == {"person": [], "car": []}
    assert boxes.read("c") is None
    other = Boxes(tmp_path, {"person": 1}).read("a")
    assert other is not None
    assert [len(of) for of in other.values()] == [1]


@pytest.mark.parametrize(
    "line", ["0 0.5 0.5 0.1", "0 10 20 30 40", "person 0.5 0.5 0.1 0.1", "0 0.5 0.5 0 0.1", "0.5 0.5 0.5 0.1 0.1", "0 nan 0 1 1"]
)
def test_what_is_no_box_is_named_with_its_line(tmp_path: Path, line: str) -> None:
    (tmp_path / "a.txt").write_text(f"0 0.5 0.5 0.1 0.1\n{line}\n")
    with pytest.raises(SourceError, match=r"a\.txt, line 2: .* is not CLASS X Y WIDTH HEIGHT"):
        Boxes(tmp_path).read("a")


def test_folders_without_boxes(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"has no \.txt file"):
        Boxes(tmp_path)
    with pytest.raises(SourceError, match=r"cannot list .*none: No such file"):
        Boxes(tmp_path / "none")
    (tmp_path / "a.txt").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(SourceError, match=r"a\.txt cannot be read"):
        Boxes(tmp_path).read("a")


def test_classes() -> None:
    assert classes("person=0,car=1") == {"person": 0, "car": 1}
    assert classes("car=3") == {"car": 3}
    for text in ("", "dog=1", "person", "person=x", "person=0,person=1", "person=-1", "person=0,car=0"):
        with pytest.raises(SettingsError, match="--people-classes"):
            classes(text)
