"""One checkout's side of a benchmark: measures a round for each line of its input.

``rounds`` starts it: ``python -m benchmarks.subject NAME OPTIONS``. The first line of
its output is the machine, then each line is a round; both are JSON.
"""

from __future__ import annotations

import json
import os
import platform
import sys
from importlib import import_module


def main() -> None:
    name, options = sys.argv[1], json.loads(sys.argv[2])
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what else is printed is no answer
    with import_module(f"benchmarks.{name}").subject(**options) as measure:
        print(json.dumps(machine()), file=answers, flush=True)
        for _ in sys.stdin:
            print(json.dumps(measure()), file=answers, flush=True)


def machine() -> list[str]:
    """What the figures depend on, as far as this subject uses it."""
    found = [f"{os.cpu_count()} cores", f"CPython {platform.python_version()}"]
    django = sys.modules.get("django")
    if django is not None:
        found.append(f"Django {django.__version__}")
        found.append(database())
    return [it for it in found if it]


def database() -> str:
    from django.conf import settings

    if not settings.configured or not settings.DATABASES:
        return ""
    from django.db import connection

    name = connection.display_name
    with connection.cursor() as cursor:
        if connection.vendor == "sqlite":
            cursor.execute("SELECT sqlite_version()")
        else:
            cursor.execute("SHOW server_version")
        return f"{name} {str(cursor.fetchone()[0]).split()[0]}"


if __name__ == "__main__":
    main()
