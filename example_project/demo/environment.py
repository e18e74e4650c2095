"""The environment of one run: a directory, a database, credentials."""

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

#: The run's own directory; if this is set, so are the run's settings.
DIRECTORY = "CONNECTLY_DEMO_DIRECTORY"


def fresh() -> dict[str, str]:
    """This process's environment, with the values of a new run."""
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
        # The sandbox is on this machine, so no proxy is used for it.
        "NO_PROXY": "127.0.0.1",
        "no_proxy": "127.0.0.1",
    }


@contextmanager
def directory() -> Iterator[Path]:
    """Make the run's directory, and remove it afterwards."""
    made = Path(os.environ[DIRECTORY])
    made.mkdir(mode=0o700)
    try:
        yield made
    finally:
        shutil.rmtree(made, ignore_errors=True)
