"""Alarms, recordings, settings, regions and calibration on the page, in a real Chromium: with pointer, touch and keyboard."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgefuse.errors import SettingsError
from edgefuse.events import Event
from edgefuse.ffmpeg import encoders
from edgefuse.frames import FusedFrame
from edgefuse.recording.folder import Folder, Limits
from edgefuse.util import shape
from tests.support.waiting import until
from tests.web.browsing import becomes, near
from tests.web.conftest import Served

pytest.importorskip("edgefuse.web.app")
pytest.importorskip("playwright.sync_api")
pytestmark = pytest.mark.slow
Serve = Callable[..., Served]
VIDEO = "edgefuse-00000042-20260312T081500Z.mp4"


def text(page: Any, selector: str) -> str:
    return plainly(page.text_content(selector))


def plainly(shown: Any) -> str:
    """Return a text without blanks around it, and with no-break spaces as blanks."""
    return str(shown).strip().replace("\xa0", " ")


def alarm(**more: Any) -> dict[str, Any]:
    return {"state": "quiet", "held": False, "fault": None, "celsius": 38.4, "above_celsius": 35.0, "measure": "hottest", "pixels": None,
            "since_s": None, **more}  # fmt: skip


def test_alarms_are_sentences_with_the_picture_of_the_moment(serve: Serve, tab: Any, plain: FusedFrame) -> None:
    served = serve()
    served.facts["alarm"] = {"alarms": {"person_zone": alarm(), "ice": alarm(), "far": alarm()}}
    served.feed([plain])
    page = tab(served.web.url, timezone_id="UTC")
    near(page, (0, 255, 0))
    assert page.is_hidden("#alarms")
    event = Event(
        "alarm", "person_zone", {"state": "raised", "measure": "hottest", "celsius": 38.4, "above_celsius": 35.0, "x": 32, "y": 48}
    )
    served.live.emit(event)
    served.facts["alarm"] = {
        "alarms": {
            "person_zone": alarm(state="raised", since_s=event.time_s),
            "ice": alarm(fault="the camera gives counts, not degrees"),
            "far": alarm(held=True),
        }
    }
    page.wait_for_selector("#alarm-list .thumb")
    now = page.evaluate("s => new Date(s * 1000).toLocaleTimeString([], {hour12: false})", event.time_s)
    sentences = [plainly(each.text_content()) for each in page.locator("#alarm-list .sentence").all()]
    assert sentences == [
        f"Person zone: 38.4 °C, above 35 °C since {now}",
        "Ice can't be checked: the camera gives counts, not degrees",
        "Far can't be checked: the infrared camera gives no new picture",
    ]
    assert text(page, "#announced") == sentences[0]
    # above everything else, with a picture that opens by keyboard too
    assert page.locator("#alarms").bounding_box()["y"] < page.locator("#stage").bounding_box()["y"]
    page.focus("#alarm-list .thumb")
    page.keyboard.press("Enter")
    becomes(page, "document.getElementById('moment').open && document.getElementById('moment-picture').naturalWidth === 128")
    mark, shown = page.locator("#moment-mark").bounding_box(), page.locator("#moment-picture").bounding_box()
    assert (mark["x"] + mark["width"] / 2 - shown["x"]) / shown["width"] == pytest.approx(32.5 / 128, abs=0.02)
    page.keyboard.press("Escape")
    served.facts["alarm"] = {"alarms": {"person_zone": alarm()}}  # before the event, whose text is waited for
    served.live.emit(Event("alarm", "person_zone", {"state": "cleared", "extreme_celsius": 41.5}))
    until(lambda: page.wait_for_timeout(20) or "at most" in text(page, "#past-list"), "the alarm's end")
    past = text(page, "#past-list")
    assert past.startswith(f"Person zone: above 35 °C from {now} to ")
    assert past.endswith(", at most 41.5 °C")
    assert text(page, "#alarm-list") == ""


@pytest.fixture
def kept(tmp_path: Path) -> Any:
    """A folder with a video of three seconds, as FFmpeg writes it for a recording, and one that is being written."""
    try:
        made = tmp_path / VIDEO
        command = [encoders.program(), "-loglevel", "error", "-f", "lavfi", "-i", "testsrc=size=160x120:rate=25:duration=3"]
        command += ["-c:v", "libx264", "-pix_fmt", "yuv420p", "-movflags", "+frag_keyframe+delay_moov+default_base_moof+skip_trailer"]
        subprocess.run([*command, str(made)], check=True, timeout=120, capture_output=True)
    except Exception as e:
        pytest.skip(f"no FFmpeg with x264 here ({e})")
    folder = Folder(tmp_path, Limits(0, 0), 0)
    (tmp_path / "edgefuse-00000043-20260312T081600Z.part.mp4").write_bytes(b"x")
    yield folder
    folder.close()


def test_recordings_are_listed_played_and_downloaded(serve: Serve, tab: Any, plain: FusedFrame, kept: Any) -> None:
    served = serve()
    served.live.library = kept
    served.feed([plain])
    page = tab(served.web.url, timezone_id="UTC", locale="en-GB")
    page.focus("#recordings-panel > summary")
    page.keyboard.press("Enter")
    page.wait_for_selector("#recordings-list li:nth-child(2)")
    rows = [str(row.text_content()) for row in page.locator("#recordings-list li").all()]
    assert "being written" in rows[0]
    assert page.locator("#recordings-list li.open button, #recordings-list li.open a").count() == 0
    assert "12 Mar 2026, 08:15:00" in rows[1]
    with page.expect_download() as download:
        page.click("#recordings-list a")
    assert download.value.suggested_filename == VIDEO
    assert Path(download.value.path()).read_bytes() == (kept.path / VIDEO).read_bytes()
    page.click("#recordings-list button")
    becomes(page, "document.getElementById('player').currentTime > 0.2 || document.getElementById('player-said').textContent !== ''")
    if "can't play" in text(page, "#player-said"):
        pytest.skip("this Chromium has no H.264 decoder")
    # to another place in it, and then to its end
    page.evaluate("document.getElementById('player').currentTime = 2.5")
    becomes(page, "document.getElementById('player').ended")
    assert page.evaluate("document.getElementById('player').videoWidth") == 160
    page.keyboard.press("Escape")
    becomes(page, "!document.getElementById('player').getAttribute('src')")
    site = served.web._site
    assert site is not None
    until(lambda: page.wait_for_timeout(20) or site.recordings._open == 0, "the recording to be closed")


class Settings:
    """The commands of a run's editor, with settings in memory."""

    def __init__(self, served: Served) -> None:
        self.served, self.values, self.refuse, self.regions = served, {"run.sharpness": 1.5, "run.palette": "ironbow"}, "", {}
        self.asked: list[dict[str, Any]] = []
        served.live.register_command("settings", lambda _: self._told())
        served.live.register_command("change", self._change)

    def _told(self) -> dict[str, Any]:
        common = {"help": "what it does", "choices": [], "least": None, "most": None, "optional": False, "fixed": ""}
        fields = [
            {**common, "key": "run.sharpness", "kind": "number", "value": self.values["run.sharpness"], "least": 1, "most": 2},
            {**common, "key": "run.palette", "kind": "choice", "value": self.values["run.palette"], "choices": ["ironbow", "rainbow"]},
            {**common, "key": "run.view", "kind": "choice", "value": "edges", "choices": ["fused", "edges"], "fixed": "--view"},
            {**common, "key": "run.overlay", "kind": "words", "value": ["time"], "choices": ["time", "scale"]},
        ]
        return {"file": "/etc/edgefuse.toml", "digest": str(len(self.asked)), "trouble": "", "settings": fields}

    def _change(self, given: Any) -> dict[str, Any]:
        if self.refuse:
            raise SettingsError(self.refuse)
        self.asked.append(dict(given["values"]))
        for key, value in given["values"].items():
            if key.startswith("region."):
                shape.parse(value or "")
                self.regions[key.split(".")[1]] = value
            else:
                self.values[key] = value
        self.served.live.emit(Event("reload", "settings", {"state": "applied", "changed": "x"}))
        return {"changed": True, "digest": str(len(self.asked))}


def test_settings_are_changed_and_saved(serve: Serve, tab: Any, plain: FusedFrame) -> None:
    served = serve()
    made = Settings(served)
    served.feed([plain])
    page = tab(served.web.url)
    page.click("#settings-panel > summary")
    page.wait_for_selector("#setting-run-sharpness")
    assert page.is_disabled("#settings-save")
    assert page.is_disabled("#setting-run-view")
    assert "Set by --view" in text(page, ".setting[data-key='run.view']")
    # keys typed into a field are not the page's shortcuts
    page.fill("#setting-run-sharpness", "")
    page.keyboard.type("1.25")
    page.check("[value=scale]")
    page.select_option("#setting-run-palette", "rainbow")
    made.refuse = "run.sharpness = 1.25: the file was changed meanwhile"
    page.click("#settings-save")
    becomes(page, "document.getElementById('settings-said').textContent.includes('changed meanwhile')")
    assert page.input_value("#setting-run-sharpness") == "1.25"
    made.refuse = ""
    page.click("#settings-save")
    becomes(page, "document.getElementById('settings-said').textContent === 'Saved, and applied.'")
    assert made.asked == [{"run.sharpness": 1.25, "run.palette": "rainbow", "run.overlay": ["time", "scale"]}]
    assert page.text_content("#badge") == "Fused"


@pytest.mark.parametrize("touch", [False, True])
def test_regions_are_drawn_by_pointer_and_touch(serve: Serve, tab: Any, plain: FusedFrame, touch: bool) -> None:
    served = serve()
    made = Settings(served)
    served.feed([plain])
    page = tab(served.web.url, viewport={"width": 390 if touch else 1280, "height": 800}, has_touch=touch, is_mobile=touch)
    near(page, (0, 255, 0))
    page.click("#regions-panel > summary")

    def at(x: float, y: float) -> tuple[float, float]:
        box = page.locator("#drawing").bounding_box()
        return box["x"] + x * box["width"], box["y"] + y * box["height"]

    def put(*points: tuple[float, float]) -> None:
        for point in points:
            (page.touchscreen.tap if touch else page.mouse.click)(*at(*point))

    page.click("[data-draw=polygon]")
    put((0.2, 0.2), (0.6, 0.2), (0.6, 0.6))
    page.click("#draw-finish")
    page.fill("#region-name", "door")
    page.keyboard.press("Enter")
    until(lambda: page.wait_for_timeout(20) or "door" in made.regions, "the polygon to be saved")
    corners = np.array([[float(v.rstrip("%")) for v in point.split(",")] for point in made.regions["door"].split()])
    assert corners == pytest.approx(np.array([[20, 20], [60, 20], [60, 60]]), abs=1.0)
    page.click("[data-draw=rectangle]")
    put((0.25, 0.25), (0.75, 0.5)) if touch else (page.mouse.move(*at(0.25, 0.25)), page.mouse.down(), page.mouse.move(*at(0.75, 0.5)),
                                                 page.mouse.up())  # fmt: skip
    page.fill("#region-name", "wall")
    page.keyboard.press("Enter")
    until(lambda: page.wait_for_timeout(20) or "wall" in made.regions, "the rectangle to be saved")
    zone: Any = shape.parse(made.regions["wall"])
    assert (zone.width, zone.height, zone.x, zone.y) == pytest.approx((50, 25, 25, 25), abs=1.0)


def test_regions_are_drawn_with_the_keyboard_alone_and_removed(serve: Serve, tab: Any, plain: FusedFrame) -> None:
    served = serve()
    made = Settings(served)
    served.facts["region"] = {
        "door": {"shape": "10%x10%+0%+0%", "unit": "celsius", "mean": {"value": 20.0}, "minimum": {"value": 18.0},
                 "maximum": {"value": 22.5}, "pixels": 9, "fault": None}
    }  # fmt: skip
    served.feed([plain])
    page = tab(served.web.url)
    near(page, (0, 255, 0))
    page.focus("#regions-panel > summary")
    page.keyboard.press("Enter")
    wanted = "mean 20.0 °C, minimum 18.0 °C, maximum 22.5 °C"
    until(lambda: page.wait_for_timeout(20) or wanted in text(page, "#regions-list"), "the region's values")
    page.wait_for_selector("#drawing .kept")
    page.focus("[data-draw=line]")
    page.keyboard.press("Enter")
    becomes(page, "document.activeElement.id === 'drawing'")
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("Enter")
    for _ in range(3):
        page.keyboard.press("Shift+ArrowDown")
    page.keyboard.press("Enter")
    becomes(page, "document.activeElement.id === 'region-name'")
    page.keyboard.type("door")
    page.keyboard.press("Enter")
    becomes(page, "document.getElementById('regions-said').textContent.includes('already')")
    page.keyboard.type("_2")
    page.keyboard.press("Enter")
    until(lambda: page.wait_for_timeout(20) or made.regions == {"door_2": "49%,50% 49%,65%"}, "the line to be saved")
    page.once("dialog", lambda dialog: dialog.accept())
    page.click("[data-draw=point]")
    page.click("[aria-label='Remove: door']")
    until(lambda: page.wait_for_timeout(20) or {"region.door": None} in made.asked, "the region to be removed")
    becomes(page, "document.getElementById('regions-said').textContent.startsWith('Saved')")
    assert page.is_visible("#draw-cancel")  # what is being drawn stays


def test_a_calibration_is_made_looked_at_and_saved(serve: Serve, tab: Any, plain: FusedFrame) -> None:
    from edgefuse.util import images

    served, asked = serve(), []
    state: dict[str, Any] = {"state": "none", "why": "", "pairs": 0, "wanted": 8}
    png = bytes(images.encode(plain.fused, ".png"))

    def do(given: Any) -> dict[str, Any]:
        asked.append((given["do"], given["distance_m"]))
        state["state"] = {"start": "collecting", "save": "none", "discard": "none"}[given["do"]]
        return {"saved": "/etc/calibration.toml"} if given["do"] == "save" else dict(state)

    served.live.register_command("calibrate", do)
    served.live.register_command("calibration", lambda given: {"png": png} if given else dict(state))
    served.feed([plain])
    page = tab(served.web.url)
    page.click("#calibration-panel > summary")
    page.fill("#calibration-distance", "2.5")
    page.keyboard.press("Enter")
    becomes(page, "document.getElementById('calibration-said').textContent === 'Taking pairs: 0 of 8'")
    state |= {"state": "failed", "why": "no reliable calibration: two positions fit equally well"}
    becomes(page, "document.getElementById('calibration-said').textContent.startsWith('No reliable calibration')")
    page.click("#calibration-start")
    becomes(page, "document.getElementById('calibration-said').textContent === 'Taking pairs: 0 of 8'")  # the server has set the state
    page.route("**/calibration.json", lambda route: route.abort(), times=1)  # one lost answer: the page asks again
    state |= {"state": "done", "error_px": 0.8, "agreement": 0.4, "placed": "infrared 64x48 fills 90%", "visible_size": [128, 96],
              "file": "/etc/calibration.toml", "replaces": True}  # fmt: skip
    page.wait_for_selector("#calibration-save:visible")
    becomes(page, "document.getElementById('calibration-picture').naturalWidth === 128")
    assert "Error 0.80 px of 128 x 96" in text(page, "#calibration-facts")
    page.click("#calibration-save")
    becomes(page, "document.getElementById('calibration-said').textContent === 'Saved to /etc/calibration.toml.'")
    served.live.emit(Event("reload", "settings", {"state": "refused", "error": "no such file"}))
    becomes(page, "document.getElementById('calibration-said').textContent.includes('goes on as before: no such file')")
    assert asked == [("start", 2.5), ("start", 2.5), ("save", 2.5)]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_texts_have_enough_contrast_and_each_control_a_name(serve: Serve, tab: Any, plain: FusedFrame, scheme: str) -> None:
    served = serve()
    Settings(served)
    served.facts["alarm"] = {"alarms": {"person": alarm(state="raised", since_s=1e9)}}
    served.feed([plain])
    page = tab(served.web.url, color_scheme=scheme, viewport={"width": 390, "height": 844})
    for name in ("recordings", "regions", "settings", "calibration"):
        page.click(f"#{name}-panel > summary")
    page.wait_for_selector("#setting-run-sharpness")
    page.wait_for_selector("#alarm-list .raised")
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    poor = page.evaluate(
        """() => {
          const rgb = text => (text.match(/[\\d.]+/g) || []).map(Number);
          const light = c => { const [r, g, b] = c.map(v => (v /= 255) <= .03928 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4); return .2126 * r + .7152 * g + .0722 * b; };
          const ground = e => { for (; e; e = e.parentElement) { const c = rgb(getComputedStyle(e).backgroundColor); if (c.length === 3) return c; } return [255, 255, 255]; };
          return [...document.querySelectorAll('main *:not(canvas, svg *, option)')].filter(e => e.checkVisibility() && !e.disabled && !e.closest('.stage') &&
            [...e.childNodes].some(n => n.nodeType === 3 && n.textContent.trim())).map(e => {
              const [a, b] = [light(rgb(getComputedStyle(e).color)), light(ground(e))].sort((x, y) => y - x);
              return [(a + .05) / (b + .05), e.tagName, e.textContent.slice(0, 40)];
            }).filter(([ratio]) => ratio < 4.5);
        }"""  # noqa: E501
    )
    assert poor == []
    nameless = page.evaluate(
        "() => [...document.querySelectorAll('button, input, select, a')].filter(e => e.checkVisibility() && !(e.ariaLabel ||"
        " e.labels?.length || e.textContent.trim())).map(e => e.outerHTML)"
    )
    assert nameless == []
