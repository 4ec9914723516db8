"""Black-hot and false-colour infrared come to one axis, warm bright; what can't be brought there is told."""

from __future__ import annotations

import logging

import cv2
import numpy as np
import pytest

from edgefuse.thermal import false_colour, palettes
from edgefuse.thermal.grey import ToGrey

RNG = np.random.default_rng(0)
GREY = cv2.resize(RNG.integers(0, 256, (12, 16), np.uint8), (320, 240), interpolation=cv2.INTER_LINEAR)


def coloured(name: str) -> np.ndarray:
    return false_colour.known()[name][GREY]


@pytest.mark.parametrize("name", sorted(false_colour.known()))
def test_known_palettes_are_undone(name: str, caplog: pytest.LogCaptureFixture) -> None:
    convert = ToGrey()
    made = convert(coloured(name))
    # two levels of a palette may have one colour
    again = false_colour.known()[name][made].astype(int)
    assert np.percentile(np.abs(again - coloured(name)).max(axis=2), 99) <= 12
    assert "which is undone" in caplog.text
    if name in ("ironbow", "rainbow", "jet", "turbo", "inferno"):
        assert np.abs(made.astype(int) - GREY).mean() < 3
    convert(coloured(name))
    assert caplog.text.count("which is undone") == 1


@pytest.mark.parametrize("name", ["ironbow", "rainbow", "jet"])
def test_a_jpeg_with_letters_is_recognised(name: str) -> None:
    picture = np.ascontiguousarray(coloured(name))
    cv2.putText(picture, "23.4 C", (10, 30), 0, 1, (255, 255, 255), 2)
    decoded = cv2.imdecode(cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, 80])[1], cv2.IMREAD_COLOR)
    made = ToGrey()(np.asarray(decoded, np.uint8))
    assert np.abs(made.astype(int) - GREY)[60:].mean() < 8


def test_a_stream_that_changes_its_palette_is_followed() -> None:
    convert = ToGrey()
    for name in ("ironbow", "jet", "rainbow"):
        assert np.abs(convert(coloured(name)).astype(int) - GREY).mean() < 3
    np.testing.assert_array_equal(convert(cv2.merge([GREY] * 3)), GREY)
    np.testing.assert_array_equal(convert(GREY), GREY)


def test_grey_in_three_channels_is_no_false_colour(caplog: pytest.LogCaptureFixture) -> None:
    picture = cv2.merge([GREY] * 3)
    decoded = cv2.imdecode(cv2.imencode(".jpg", picture)[1], cv2.IMREAD_COLOR)
    ToGrey()(np.asarray(decoded, np.uint8))
    assert not caplog.text


@pytest.mark.parametrize(("rising", "words"), [(True, "their brightness is taken"), (False, "do not rise in brightness")])
def test_an_unknown_palette_is_told(rising: bool, words: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING, "edgefuse")
    level = np.arange(256)
    if rising:
        palette = np.stack([level * 0.2, level, np.clip(level * 1.6 - 150, 0, 255)], axis=1)
    else:
        palette = np.stack([200 - level / 3, 90 + 60 * np.sin(level / 9), 128 + 100 * np.cos(level / 21)], axis=1)
    made = ToGrey()(palette.astype(np.uint8)[GREY])
    assert words in caplog.text
    assert made.shape == GREY.shape


def test_black_hot_is_inverted() -> None:
    np.testing.assert_array_equal(ToGrey(polarity="black-hot")(255 - GREY), GREY)
    counts = (30000 - 4 * GREY.astype(np.uint16)).astype(np.uint16)
    assert np.corrcoef(ToGrey(polarity="black-hot")(counts).ravel(), GREY.ravel())[0, 1] > 0.99
    reverse = palettes.table("rainbow")[255 - GREY]
    assert np.abs(ToGrey(polarity="black-hot")(reverse).astype(int) - GREY).mean() < 3
