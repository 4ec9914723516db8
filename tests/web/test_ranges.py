"""Byte ranges of RFC 9110: which part of a file a request asks for."""

from __future__ import annotations

import pytest

ranges = pytest.importorskip("edgefuse.web.ranges")
VERSION = ranges.Version('"1-64-2"', "Thu, 12 Mar 2026 08:15:00 GMT", 100)


@pytest.mark.parametrize(
    ("asked", "part"),
    [
        ("bytes=0-", (0, 100)),
        ("bytes=0-0", (0, 1)),
        ("bytes=10-19", (10, 20)),
        ("bytes=90-1000", (90, 100)),
        ("bytes=-10", (90, 100)),
        ("bytes=-1000", (0, 100)),
        ("bytes=99-9999999999999999999", (99, 100)),
        ("bytes= 5-6 ", (5, 7)),
        # the whole file: another unit, no range, several, reversed, garbage
        ("", None), ("items=0-1", None), ("bytes=-", None), ("bytes=0-1,5-6", None), ("bytes=9-2", None), ("bytes=x-y", None),
        ("bytes=1-2-3", None), ("bytes=٣-", None), ("bytes=0x1-", None), ("bytes=" + "9" * 100 + "-", None),
    ],
)  # fmt: skip
def test_a_range(asked: str, part: tuple[int, int] | None) -> None:
    assert VERSION.asked({"range": asked}) == part


@pytest.mark.parametrize("asked", ["bytes=100-", "bytes=100-200", "bytes=9999999999999999999-", "bytes=-0"])
def test_a_range_behind_the_end_can_t_be_satisfied(asked: str) -> None:
    with pytest.raises(IndexError):
        VERSION.asked({"range": asked})


def test_an_empty_file_has_no_range() -> None:
    empty = ranges.Version('"1"', "", 0)
    for asked in ("bytes=0-", "bytes=-5"):
        with pytest.raises(IndexError):
            empty.asked({"range": asked})


def test_a_range_of_another_version_gives_the_whole_file() -> None:
    for same in ('"1-64-2"', "Thu, 12 Mar 2026 08:15:00 GMT"):
        assert VERSION.asked({"range": "bytes=5-9", "if-range": same}) == (5, 10)
    for other in ('"1-64-3"', 'W/"1-64-2"', "Thu, 12 Mar 2026 08:15:01 GMT", "", "nonsense"):
        assert VERSION.asked({"range": "bytes=5-9", "if-range": other}) is None
        assert VERSION.asked({"range": "bytes=500-", "if-range": other}) is None
