"""What the processes of one run share: a directory, a database, credentials."""

from __future__ import annotations

import os
import secrets
import shutil
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote
from uuid import uuid4

if TYPE_CHECKING:
    from collections.abc import Iterator

#: Names the run's own directory; where it is set, the settings are the run's own too.
DIRECTORY = "CONNECTLY_DEMO_DIRECTORY"


def fresh() -> dict[str, str]:
    """This process's environment, with everything that is a new run's own."""
    name = f"connectly-demo-{secrets.token_hex(8)}"
    place = Path(tempfile.gettempdir()).resolve() / name
    # Celery prefers these to the settings.
    kept = {key: os.environ[key] for key in os.environ if not key.startswith("CELERY_")}
    return kept | {
        DIRECTORY: str(place),
        "DJANGO_SETTINGS_MODULE": "example_project.settings",
        "DATABASE_URL": f"sqlite:///{quote(str(place))}/shop.sqlite3",
        "SECRET_KEY": secrets.token_urlsafe(48),
        "BANK_SECRET": secrets.token_urlsafe(32),
        "DEBUG": "true",
        "CONNECTLY_BUSINESS_ID": str(uuid4()),
        "CONNECTLY_API_KEY": secrets.token_urlsafe(32),
        "REDIS_PREFIX": f"{name}:",
        # Their logs are read while they run.
        "PYTHONUNBUFFERED": "1",
        # The sandbox is on this machine, whatever proxy leads out of it.
        "NO_PROXY": "127.0.0.1",
        "no_proxy": "127.0.0.1",
    }


@contextmanager
def directory() -> Iterator[Path]:
    """The run's directory, made and removed."""
    made = Path(os.environ[DIRECTORY])
    made.mkdir(mode=0o700)
    try:
        yield made
    finally:
        shutil.rmtree(made, ignore_errors=True)
