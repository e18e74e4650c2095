"""The documentation's pictures, from the demo: ``python docs/screenshots.py``.

Needs the extra ``demo``, the dependency group ``browser``, and Chromium. The pictures
are written to docs/images; ``tests/test_docs.py`` fails if a page has changed since.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING, Any

from pictures import IMAGES, ROOT, SOURCES, note_taken
from playwright.sync_api import sync_playwright

if TYPE_CHECKING:
    from collections.abc import Iterator

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
    _take(page, "shop")
    page.goto(sandbox)
    page.get_by_text("ORD-").first.wait_for()
    _take(page, "sandbox")
    for scheme, size in (("light", WIDE), ("dark", PHONE)):
        page = browser.new_context(viewport=size, color_scheme=scheme).new_page()
        page.goto(f"{shop}/admin/")
        page.get_by_label("Username").fill(name)
        page.get_by_label("Password").fill(password)
        page.keyboard.press("Enter")
        page.get_by_role("link", name="Conversions").first.wait_for()
        page.goto(shop + CONVERSIONS)
        _take(page, f"list-{scheme}")
        page.goto(f"{shop}{CONVERSIONS}?state__exact=rejected")
        page.locator(".field-order a").first.click()
        page.locator(".connectly-timeline").wait_for()
        _take(page, f"story-{scheme}")
        page.goto(f"{shop}{CAMPAIGNS}")
        page.set_viewport_size(size | {"height": 1200})
        _take(page, f"campaigns-{scheme}")
        page.set_viewport_size(size)
        page.goto(f"{shop}{CONVERSIONS}status/")
        _take(page, f"status-{scheme}")
    note_taken()


def _take(page: Any, name: str) -> None:
    """Take a picture, if the manual shows it."""
    if name in SOURCES:
        page.screenshot(path=IMAGES / f"{name}.png")


def _said(said: str, pattern: str) -> str:
    found = re.search(pattern, said)
    if found is None:
        sys.exit(f"The demo did not say {pattern}:\n{said}")
    return found[1]


if __name__ == "__main__":
    main()
