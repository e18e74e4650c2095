"""The shop of docs/developer/payments.md, written out as it stands there."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

PAGE: Final = Path(__file__).parents[2] / "docs/developer/payments.md"
#: What the page calls yours: the example project's orders, and a template.
YOURS: Final = {
    "checkout/__init__.py": "",
    "checkout/templates/checkout/pay.html": (
        '<form method="post">{% csrf_token %}{{ form }}<button>Pay</button></form>'
    ),
    "shop/__init__.py": "",
    "shop/orders.py": (
        "from example_project.shop.models import Order, Product\n\n\n"
        "def place_order(request):\n"
        '    tee = Product.objects.get(sku="tee")\n'
        "    return Order.objects.place(tee, quantity=2)\n"
    ),
}


def documented() -> dict[str, str]:
    """The page's files, each named by its first line."""
    blocks = re.findall(r"```python\n# (\S+)\n(.*?)```", PAGE.read_text(), re.S)
    return dict(blocks)


def write(directory: Path) -> None:
    for name, text in (YOURS | documented()).items():
        path = directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
