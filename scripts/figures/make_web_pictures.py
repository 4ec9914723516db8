"""Takes screenshots of the web page with the demo scene in a real Chromium: `python scripts/figures/make_web_pictures.py [FOLDER]`.

Needs the dev extra. Writes web-*.jpg; without FOLDER to docs/images, and only those that the documentation shows.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

from playwright.sync_api import Browser, Page, sync_playwright

OUT = Path(__file__).resolve().parents[2] / "docs/images"
SOURCE = "demo?scene=night&depth=16&frames=0"
HISTORY_MS = 25_000  # so that the plots show a history


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
        save(page(320, 640, "light", touch=True), "narrow", whole=True)


def main() -> None:
    out = Path(sys.argv[1]) if len(sys.argv) > 1 else OUT
    command = [sys.executable, "-m", "edgefuse", "run", "--source", SOURCE, "--web", "127.0.0.1:0"]
    run = subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)
    try:
        assert run.stderr is not None
        url = next(found[1] for line in run.stderr if (found := re.search(r"web page on (\S+)", line)))
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
            shots(browser, url, out, everything=len(sys.argv) > 1)
            browser.close()
    finally:
        run.terminate()
        run.communicate()


if __name__ == "__main__":
    main()
