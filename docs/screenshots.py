"""The documentation's pictures, from the demo: ``python docs/screenshots.py``.

Needs the extra ``demo``, the dependency group ``browser``, and Chromium. The pictures
are written to docs/images.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from playwright.sync_api import sync_playwright

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parent.parent
IMAGES = ROOT / "docs" / "images"
WIDE, PHONE = {"width": 1280, "height": 800}, {"width": 390, "height": 844}
CONVERSIONS = "/admin/connectly_tracking/conversion/"
CAMPAIGNS = "/admin/connectly_tracking/campaign/"


def main() -> None:
    IMAGES.mkdir(exist_ok=True)
    command = [sys.executable, "manage.py", "demo", "--history"]
    with (
        subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as demo,
        sync_playwright() as playwright,
    ):
        try:
            said = "".join(_until_it_stays(demo))
            browser = playwright.chromium.launch(
                executable_path=shutil.which("chromium"), args=["--no-sandbox"]
            )
            _shoot(browser, said)
        finally:
            demo.terminate()
            demo.communicate()


def _until_it_stays(demo: subprocess.Popen[str]) -> Iterator[str]:
    assert demo.stdout is not None
    for line in demo.stdout:
        yield line
        if "Ctrl-C" in line:
            return


def _shoot(browser: Any, said: str) -> None:
    shop = _said(said, r"shop +(http://\S+?)/\s")
    sandbox = _said(said, r"sandbox +(http://\S+)")
    landing = _said(said, r"(http://\S+cnct_tracking_id=\S+)")
    name, password = _said(said, r"\((\w+ / [\w-]+)\)").split(" / ")

    page = browser.new_context(viewport=WIDE, reduced_motion="reduce").new_page()
    page.goto(landing)
    page.screenshot(path=IMAGES / "shop.png")
    page.goto(sandbox)
    page.get_by_text("ORD-").first.wait_for()
    page.screenshot(path=IMAGES / "sandbox.png")
    for scheme, size in (("light", WIDE), ("dark", PHONE)):
        page = browser.new_context(viewport=size, color_scheme=scheme).new_page()
        page.goto(f"{shop}/admin/")
        page.get_by_label("Username").fill(name)
        page.get_by_label("Password").fill(password)
        page.keyboard.press("Enter")
        page.get_by_role("link", name="Conversions").first.wait_for()
        page.goto(shop + CONVERSIONS)
        page.screenshot(path=IMAGES / f"list-{scheme}.png")
        page.goto(f"{shop}{CONVERSIONS}?state__exact=rejected")
        page.locator(".field-order a").first.click()
        page.locator(".connectly-timeline").wait_for()
        page.screenshot(path=IMAGES / f"story-{scheme}.png")
        page.goto(f"{shop}{CAMPAIGNS}")
        page.screenshot(path=IMAGES / f"campaigns-{scheme}.png", full_page=True)
        page.goto(f"{shop}{CONVERSIONS}status/")
        page.screenshot(path=IMAGES / f"status-{scheme}.png")


def _said(said: str, pattern: str) -> str:
    found = re.search(pattern, said)
    if found is None:
        sys.exit(f"The demo did not say {pattern}:\n{said}")
    return found[1]


if __name__ == "__main__":
    main()
