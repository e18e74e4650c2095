"""The client as a module: what it needs, and what it says of itself."""

from __future__ import annotations

import re
import subprocess
import sys

from .post import (
    BODY,
    BUSINESS,
    KEY,
    ROOT,
)


def test_it_works_where_there_is_neither_django_nor_celery(sandbox):
    script = (
        "import sys\n"
        "sys.modules.update(dict.fromkeys(['django', 'celery', 'kombu']))\n"
        "from connectly_tracking.api import landing, payload\n"
        "assert 'requests' not in sys.modules\n"
        "from connectly_tracking.api.client import Client\n"
        "from connectly_tracking.api.secret import Secret\n"
        "url, business, key, body = sys.argv[1:]\n"
        "client = Client(base_url=url, business_id=business, key=Secret(key))\n"
        "sys.exit(client.post(body).outcome != 'confirmed')\n"
    )
    arguments = ["-W", "error", "-c", script, sandbox.url, BUSINESS, KEY, BODY]
    subprocess.run([sys.executable, *arguments], cwd=ROOT, check=True, timeout=60)


def test_the_example_in_the_docstring_can_be_typed():
    from connectly_tracking.api import client as module

    names = re.findall(r"(\w+)=", str(module.__doc__))
    assert set(names) <= {"base_url", "business_id", "key"}
