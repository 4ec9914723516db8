"""Takes screenshots of the web page with the demo scene in a real Chromium: `python scripts/figures/make_web_pictures.py [FOLDER]`.

Needs the dev extra. Writes web-*.jpg; without FOLDER to docs/images, and only those that the documentation shows.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from playwright.sync_api import Browser, Page, sync_playwright

OUT = Path(__file__).resolve().parents[2] / "docs/images"
SOURCE = "demo?scene=night&depth=16&frames=0"
HISTORY_MS = 25_000  # so that the plots show a history
SETTINGS = """\
[run]
source = "%s"

[thermal]
emissivity = 0.97   # painted walls and skin

[region.door]
shape = "12%%x30%%+30%%+45%%"

[alarm.person_zone]  # somebody before the house
above = 30
measure = "area"
pixels = 12
duration = 0.2

[recording]
folder = "kept"
segment_s = 8
keep_free_mb = 0

[web]
listen = "127.0.0.1:0"
"""


def shots(browser: Browser, url: str, out: Path, everything: bool) -> None:
    def page(width: int, height: int, scheme: str, touch: bool = False) -> Page:
        context = browser.new_context(
            viewport={"width": width, "height": height}, color_scheme=scheme, device_scale_factor=1.5 if touch else 1, has_touch=touch,
            is_mobile=touch,
        )  # fmt: skip
        made = context.new_page()
        made.goto(url)
        made.wait_for_selector("#veil", state="hidden")
        made.wait_for_timeout(1500)
        return made

    def save(shown: Page, name: str, whole: bool = False) -> None:
        shown.screenshot(path=out / f"web-{name}.jpg", type="jpeg", quality=85, full_page=whole)

    desktop = page(1440, 900, "light")
    desktop.wait_for_timeout(HISTORY_MS)
    save(desktop, "desktop")
    panels(page, save, everything)
    phone = page(390, 844, "dark", touch=True)
    phone.select_option("#palette", "ironbow")
    phone.wait_for_timeout(1500)
    save(phone, "phone")
    if everything:
        save(phone, "phone-whole", whole=True)
        desktop.keyboard.press("i")
        desktop.select_option("#palette", "ironbow")
        for _ in range(6):
            desktop.keyboard.press("ArrowRight")
        desktop.wait_for_timeout(1500)
        save(desktop, "inputs", whole=True)
        desktop.keyboard.press("?")
        save(desktop, "keys")
        for context in browser.contexts:
            context.close()
        save(page(1440, 900, "dark"), "dark", whole=True)
        save(page(820, 1180, "light", touch=True), "tablet", whole=True)
        save(page(360, 740, "light", touch=True), "small", whole=True)
        save(page(320, 640, "light", touch=True), "narrow", whole=True)


def panels(page: Callable[..., Page], save: Callable[..., None], everything: bool) -> None:
    """Save the page with its panels open, and with a region being drawn, at 1280 and 360 pixels."""
    for name, width, height, touch in (("wide", 1280, 900, False), ("tall", 360, 740, True)):
        shown = page(width, height, "light", touch)
        shown.wait_for_selector("#alarm-list .thumb")
        shown.wait_for_timeout(1500)
        if everything:
            save(shown, f"{name}-top")
        for panel in ("recordings", "regions", "settings", "calibration"):
            shown.click(f"#{panel}-panel > summary")
        shown.wait_for_selector("#settings-fields .setting")
        shown.wait_for_timeout(1500)
        if everything:
            save(shown, f"{name}-panels", whole=True)
        draw_region(shown)
        if everything or not touch:
            save(shown, f"{name}-region" if everything else "regions")
        if everything:
            shown.click("#alarm-list .thumb")
            shown.wait_for_timeout(500)
            save(shown, f"{name}-moment")


def draw_region(shown: Page) -> None:
    """Draw a polygon on the picture, up to its name."""
    shown.click("[data-draw=polygon]")
    box = shown.locator("#drawing").bounding_box()
    assert box is not None
    for x, y in ((0.55, 0.4), (0.85, 0.45), (0.8, 0.8), (0.5, 0.75)):
        shown.mouse.click(box["x"] + x * box["width"], box["y"] + y * box["height"])
    shown.click("#draw-finish")
    shown.fill("#region-name", "pavement")
    shown.evaluate("document.getElementById('stage').scrollIntoView({block: 'start'})")
    shown.wait_for_timeout(500)


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        take(Path(folder))


def take(folder: Path) -> None:
    """Run the demo in a folder, and take the pictures of its page."""
    (folder / "edgefuse.toml").write_text(SETTINGS % SOURCE)
    out = Path(sys.argv[1]).absolute() if len(sys.argv) > 1 else OUT
    command = [sys.executable, "-m", "edgefuse", "run", "--config", "edgefuse.toml"]
    run = subprocess.Popen(command, cwd=folder, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)
    try:
        assert run.stderr is not None
        url = next(match[1] for line in run.stderr if (match := re.search(r"web page on (\S+)", line)))
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
            shots(browser, url, out, everything=len(sys.argv) > 1)
            browser.close()
    finally:
        run.terminate()
        run.communicate()


if __name__ == "__main__":
    main()
