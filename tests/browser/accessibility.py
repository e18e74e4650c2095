"""What axe-core finds wrong with a page."""

from __future__ import annotations

from typing import TYPE_CHECKING

from axe_playwright_python.sync_playwright import Axe

if TYPE_CHECKING:
    from playwright.sync_api import Page

AT_REST = "Promise.allSettled(document.getAnimations().map(it => it.finished))"


def assert_accessible(page: Page, part: str = "html", but: str | None = None) -> None:
    """Nothing serious, or worse, within ``part`` (a selector), ``but`` for another."""
    # What still fades in has no colour of its own yet.
    page.evaluate(f"async () => void await {AT_REST}")
    context = {"include": [[part]]}
    if but and page.locator(but).count():
        context["exclude"] = [[but]]
    found = Axe().run(page, context=context).response["violations"]
    serious = [
        f"{fault['id']}: {node['html']}: {node.get('failureSummary', '')}"
        for fault in found
        if fault["impact"] in {"serious", "critical"}
        for node in fault["nodes"]
    ]
    assert not serious, "\n".join([page.url, *serious])
