"""Browsers that nobody drives, for what a driver would change or cannot drive."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from connectly_tracking.models import Attribution

from . import installed
from .customer import QUERY
from .pages import publish

if TYPE_CHECKING:
    from pathlib import Path

    from example_project.demo.supervisor import Supervisor

    from .servers import Cdn, Shop

#: Says to the cache whether it runs on a page that nobody sees yet; after a while, so
#: that what should not have been told would have been.
REPORT = """<script>
setTimeout(() => fetch("shown-" + !document.prerendering), 500)
</script>"""
#: Has another page prepared, and opens it once the cache has a file "go".
ELSEWHERE = """<!doctype html><title>Elsewhere</title>
<script type="speculationrules">
{{"prerender": [{{"urls": ["{url}"], "eagerness": "immediate"}}]}}
</script>
<script>
setInterval(async () => {{ if ((await fetch("go")).ok) location = "{url}" }}, 100)
</script>"""


def show(supervisor: Supervisor, command: list[str], home: Path) -> None:
    supervisor.environ["HOME"] = str(home)
    supervisor.start("browser", command)


def test_a_prerendered_page_tells_once_it_is_shown(
    shop: Shop, cdn: Cdn, supervisor: Supervisor, tmp_path: Path
) -> None:
    url = f"{publish(cdn, shop, REPORT)}?{QUERY}"
    elsewhere = cdn.publish("elsewhere.html", ELSEWHERE.format(url=url))
    show(supervisor, installed.chromium_at(elsewhere, tmp_path), tmp_path)
    cdn.until(lambda: "/shown-false" in cdn.said)
    assert shop.told == 0
    cdn.publish("go", "")
    shop.until(lambda: shop.told)
    assert Attribution.objects.get().landing.is_reportable
    assert shop.told == 1
    assert cdn.said.count("GET /campaign.html") == 1


@pytest.mark.skipif(installed.firefox() is None, reason="there is no Firefox")
@pytest.mark.parametrize("policy", ["no-referrer", "same-origin"])
def test_firefox_names_the_origin_of_a_page_that_names_no_referrer(
    shop: Shop, cdn: Cdn, supervisor: Supervisor, tmp_path: Path, policy: str
) -> None:
    head = f'<meta name="referrer" content="{policy}">'
    url = f"{publish(cdn, shop, head)}?{QUERY}"
    show(supervisor, installed.firefox_at(url, tmp_path), tmp_path)
    shop.until(lambda: shop.told)
    assert Attribution.objects.get().landing.is_reportable
