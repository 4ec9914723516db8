"""The page in a real Chromium: what is displayed matches what the server sends, with mouse, touch and keyboard."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import cv2
import numpy as np
import pytest

from edgefuse.events import Event
from edgefuse.frames import FusedFrame
from tests.support.waiting import until
from tests.web.browsing import becomes, near
from tests.web.conftest import TOKEN, Served

pytest.importorskip("edgefuse.web.app")
pytest.importorskip("playwright.sync_api")
Serve = Callable[..., Served]


def test_the_live_picture_and_the_slider_between_the_cameras(serve: Serve, tab: Any, plain: FusedFrame) -> None:
    served = serve()
    served.feed([plain])
    page = tab(served.web.url)
    page.wait_for_selector("#picture")
    near(page, (0, 255, 0))
    page.click("[data-view=visible]")
    near(page, (0, 0, 255))
    page.locator("#blend").evaluate("e => { e.value = -50; e.dispatchEvent(new Event('input')) }")
    near(page, (0, 128, 128))
    assert page.get_attribute("#blend", "aria-valuetext") == "Fused, 50 % visible"
    page.click("[data-view=map]")
    near(page, (255, 255, 255))
    assert page.text_content("#badge") == "Map"
    becomes(page, "document.getElementById('status').textContent.startsWith('Live')")


def test_everything_works_with_the_keyboard_alone(serve: Serve, tab: Any, plain: FusedFrame) -> None:
    served = serve()
    served.feed([plain])
    page = tab(served.web.url)
    near(page, (0, 255, 0))
    page.keyboard.press("1")
    near(page, (0, 0, 255))
    for _ in range(10):
        page.keyboard.press("ArrowRight")
    near(page, (0, 255, 0))
    page.keyboard.press("i")
    near(page, (0, 0, 255), "[data-source=visible]")
    near(page, (255, 255, 255), "[data-source=map]")
    page.keyboard.press("p")
    assert page.input_value("#palette") == "black-hot"
    page.keyboard.press("?")
    assert page.evaluate("document.getElementById('keys').open && document.activeElement.textContent") == "Close"
    page.keyboard.press("Escape")
    becomes(page, "document.activeElement === document.body")
    page.keyboard.press(" ")
    until(lambda: page.wait_for_timeout(20) or served.web.report()["viewers"] == 0, "the viewer to be gone")
    page.keyboard.press(" ")
    until(lambda: page.wait_for_timeout(20) or served.web.report()["viewers"] == 1, "one viewer")
    # every control is reached by Tab, in visual order
    page.evaluate("document.activeElement.blur()")
    reached = []
    for _ in range(17):
        page.keyboard.press("Tab")
        reached.append(page.evaluate("document.activeElement.id || document.activeElement.dataset.view || ''"))
    wanted = ["help", "blend", "visible", "fused", "infrared", "palette", "map", "inputs", "spots", "pause", "full", "snapshot"]
    assert [name for name in reached if name in wanted][: len(wanted)] == wanted


def test_hottest_and_coldest_spots_are_marked_and_labelled(serve: Serve, tab: Any, plain: FusedFrame) -> None:
    served = serve()
    served.feed([plain])
    page = tab(served.web.url)
    page.wait_for_selector("#hot:not([hidden])")
    assert page.text_content("#hot") == page.text_content("#hottest") == "40.0 °C"
    assert page.text_content("#coldest") == "0.0 °C"
    mark, picture = page.locator("#hot").bounding_box(), page.locator("#picture").bounding_box()
    assert (mark["x"] + mark["width"] / 2 - picture["x"]) / picture["width"] == pytest.approx(32.5 / 128, abs=0.01)
    assert (mark["y"] + mark["height"] / 2 - picture["y"]) / picture["height"] == pytest.approx(48.5 / 96, abs=0.01)
    page.keyboard.press("t")
    page.wait_for_selector("#hot", state="hidden")


def test_a_snapshot_download_equals_the_view(serve: Serve, tab: Any, plain: FusedFrame) -> None:
    served = serve()
    served.feed([plain])
    page = tab(served.web.url)
    near(page, (0, 255, 0))
    page.click("[data-view=visible]")
    with page.expect_download() as download:
        page.keyboard.press("s")
    assert download.value.suggested_filename.startswith("edgefuse-visible-")
    picture = cv2.imread(str(download.value.path()))
    np.testing.assert_array_equal(picture, plain.pair.visible.data)


def test_the_record_button_shows_only_where_recording_is_set_up(serve: Serve, tab: Any, plain: FusedFrame) -> None:
    served, asked = serve(), []
    served.feed([plain])
    page = tab(served.web.url)
    near(page, (0, 255, 0))
    assert page.is_disabled("#record")

    def do(given: Any) -> dict[str, Any]:
        asked.append(given)
        served.facts["recording"] = {"state": "recording" if given["on"] else "off", "file": None}
        return {"on": given["on"]}

    served.live.register_command("record", do)
    page.wait_for_selector("#record:not([disabled])")
    page.click("#record")
    page.wait_for_selector("#recording:not([hidden])")
    page.click("#record")
    page.wait_for_selector("#recording", state="hidden")
    assert asked == [{"on": True}, {"on": False}]


def test_states_warnings_events_and_plots(serve: Serve, tab: Any, plain: FusedFrame) -> None:
    served = serve()
    served.feed([plain])
    served.facts["cameras"] = {"visible": {"state": "live", "fps": 25.0}, "infrared": {"state": "retrying", "fps": None}}
    served.live.emit(Event("alarm", "stove <b>", {"celsius": 91.5}))
    spot = {"state": "raised", "measure": "area", "celsius": 36.15, "above_celsius": 30, "x": 3, "y": 4, "pixels": 268}
    served.live.emit(Event("alarm", "person_zone", spot))
    served.live.emit(Event("recording", "recording", {"state": "recording", "file": "a.mp4"}))
    page = tab(served.web.url)
    page.wait_for_selector("#warnings:not([hidden])")
    assert page.text_content("#warnings") == "infrared camera: retrying"
    becomes(page, "document.getElementById('events').textContent.includes('alarm stove <b>: celsius 91.5')")
    told = [text[len("00:00:00") :] for text in page.locator("#events li").all_text_contents()]
    assert told == [
        "Recording: recording, file a.mp4",
        "Person zone raised: 268 pixels up to 36.1\u00a0°C",
        "alarm stove <b>: celsius 91.5",
    ]
    visible, infrared = (page.text_content(f"[data-camera={name}]") for name in ("visible", "infrared"))
    assert "Visible: Live" in visible
    assert "25.0 FPS" in visible
    assert "Infrared: Gone, trying again" in infrared
    becomes(page, "[...document.querySelectorAll('.plot path:nth-of-type(2)')].filter(p => p.getAttribute('d')).length >= 4")
    served.web._state._stalled_s = 0.0
    becomes(page, "document.getElementById('status').textContent === 'Stalled'")


def test_the_page_reconnects_after_a_server_restart(serve: Serve, tab: Any, plain: FusedFrame) -> None:
    served = serve()
    served.feed([plain])
    page = tab(served.web.url)
    near(page, (0, 255, 0))
    served.close()
    page.wait_for_selector("#veil:not([hidden])")
    becomes(page, "document.getElementById('status').textContent === 'Offline'")
    again = serve(listen=f"127.0.0.1:{served.port}")
    again.feed([plain])
    page.wait_for_selector("#veil", state="hidden")
    becomes(page, "document.getElementById('status').textContent.startsWith('Live')")


@pytest.mark.parametrize(("width", "scheme"), [(320, "light"), (390, "dark"), (1440, "dark")])
def test_layout_on_phones_and_desktops_in_light_and_dark_schemes(
    serve: Serve, tab: Any, plain: FusedFrame, width: int, scheme: str
) -> None:
    served = serve()
    served.feed([plain])
    page = tab(
        served.web.url, viewport={"width": width, "height": 800}, color_scheme=scheme, has_touch=width < 1000, is_mobile=width < 1000
    )
    page.wait_for_selector("#veil", state="hidden")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    picture = page.locator("#picture").bounding_box()
    assert picture["width"] / picture["height"] == pytest.approx(128 / 96, rel=0.02)
    assert picture["y"] + picture["height"] < 800
    light = page.evaluate("getComputedStyle(document.body).backgroundColor.match(/\\d+/g).slice(0, 3).every(v => v > 128)")
    assert light == (scheme == "light")
    if width < 1000:
        page.tap("[data-view=visible]")
        near(page, (0, 0, 255))
        for button in page.locator("button:visible").all():
            assert button.bounding_box()["height"] >= 32


def test_the_token_is_asked_for_once(serve: Serve, tab: Any, plain: FusedFrame) -> None:
    served = serve(token=TOKEN)
    served.feed([plain])
    page = tab(served.web.url)
    page.fill("#token", TOKEN)
    page.keyboard.press("Enter")
    page.wait_for_selector("#picture")
    near(page, (0, 255, 0))
    assert TOKEN not in page.url
    page.reload()
    page.wait_for_selector("#picture")
    near(page, (0, 255, 0))
    assert page.evaluate("document.cookie") == ""


def test_the_view_of_the_run_is_chosen_on_the_page(serve: Serve, tab: Any, plain: FusedFrame) -> None:
    served, asked = serve(), []
    served.facts["view"] = "fused"
    red = np.zeros((96, 256, 3), np.uint8)
    red[..., 2] = 255
    shown = [plain]
    served.feed(shown)

    def do(given: Any) -> dict[str, Any]:
        asked.append(given["view"])
        served.facts["view"] = given["view"]
        shown[0] = replace(plain, data=red, beneath=plain.data)
        return dict(given)

    page = tab(served.web.url)
    near(page, (0, 255, 0))
    assert page.is_disabled("#chosen")
    served.live.register_command("view", do)
    page.wait_for_selector("#chosen:not([disabled])")
    page.select_option("#chosen", "side-by-side")
    near(page, (255, 0, 0))
    becomes(page, "document.getElementById('badge').textContent === 'View side-by-side'")
    assert page.is_hidden("#hot")
    # the slider still starts from the fused picture
    page.locator("#blend").evaluate("e => { e.value = -50; e.dispatchEvent(new Event('input')) }")
    near(page, (0, 128, 128))
    page.evaluate("document.activeElement.blur()")
    page.keyboard.press("v")
    until(lambda: page.wait_for_timeout(20) or asked == ["side-by-side", "fused"], "the next view to be asked for")
    # another viewer's choice
    served.facts["view"] = "inset"
    becomes(page, "document.getElementById('chosen').value === 'inset'")
