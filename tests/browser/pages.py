"""A static page, with the tag as docs/developer/caches.md writes it out for one."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from .servers import Cdn, Shop

PAGE: Final = Path(__file__).parents[2] / "docs/developer/caches.md"


def publish(
    cdn: Cdn,
    shop: Shop,
    head: str = "",
    body: str = "",
    endpoint: str = "connectly/capture/",
) -> str:
    """Returns the page's URL."""
    (tag,) = re.findall(r"`(<script src=.*?</script>)`", PAGE.read_text())
    tag = tag.replace("https://shop.example", shop.url)
    tag = tag.replace("connectly/capture/", endpoint)
    return cdn.publish(
        "campaign.html",
        '<!doctype html><html lang="en"><head><title>Campaign</title>'
        f"{head}{tag}</head>"
        f'<body><a href="{shop.url}/product/tee/">Tee</a>{body}</body></html>',
    )
