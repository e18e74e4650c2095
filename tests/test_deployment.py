"""The files that deploy a shop: compose.yaml, Dockerfile, and the systemd unit.

No container is started. The commands of the services run in a folder that has only what
the image copies, on a real PostgreSQL and a real Redis.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
import threading
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

import psycopg
import pytest
import requests
import yaml

from example_project.demo.ports import LOOPBACK, free_port
from example_project.demo.supervisor import Supervisor

from .conftest import TAGGED

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT: Final = Path(__file__).parent.parent
DOCKERFILE: Final = (ROOT / "Dockerfile").read_text()
SERVICES: Final[dict[str, Any]] = yaml.safe_load((ROOT / "compose.yaml").read_text())[
    "services"
]
PATIENCE: Final = 60.0  # seconds


@pytest.fixture
def image(tmp_path: Path) -> Path:
    """The image's folder."""
    folder = tmp_path / "image"
    for line in re.findall(r"^COPY (.*)$", DOCKERFILE, re.M):
        *sources, target = line.split()
        for source in sources:
            copied = folder / target if Path(target).name else folder / source
            copied.parent.mkdir(parents=True, exist_ok=True)
            if (ROOT / source).is_dir():
                ignored = shutil.ignore_patterns("__pycache__", "*.sqlite3")
                shutil.copytree(ROOT / source, copied, ignore=ignored)
            else:
                shutil.copy(ROOT / source, copied)
    return folder


@pytest.fixture
def shop_database() -> Iterator[str]:
    """A database of its own on the tests' server."""
    server = urlsplit(os.environ["DATABASE_URL"])
    name = f"connectly_shop_{os.getpid()}"
    # Not Django's connection: a database is not made in a transaction.
    with psycopg.connect(server.geturl(), autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
        yield server._replace(path=f"/{name}").geturl()
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)")


class Services:
    """The services of compose.yaml as processes of this machine."""

    def __init__(
        self, folder: Path, replaced: dict[str, str], supervisor: Supervisor
    ) -> None:
        self._folder = folder
        self._replaced = replaced
        self._supervisor = supervisor

    def environ(self, name: str) -> dict[str, str]:
        given = SERVICES[name]["environment"]
        return {key: self._here(value) for key, value in given.items()}

    def command(self, name: str) -> list[str]:
        first, *rest = (self._here(word) for word in SERVICES[name]["command"])
        program = [] if first == "python" else ["-m", first]
        return [sys.executable, *program, *rest]

    def start(self, name: str) -> None:
        words = shlex.join(self.command(name))
        shell = ["sh", "-c", f"cd {shlex.quote(str(self._folder))} && exec {words}"]
        self._supervisor.environ = self.environ(name)
        self._supervisor.start(name, shell)

    def run(self, name: str) -> None:
        subprocess.run(
            self.command(name),
            cwd=self._folder,
            env=os.environ | self.environ(name),
            check=True,
            capture_output=True,
        )

    def _here(self, word: str) -> str:
        for container, machine in self._replaced.items():
            word = word.replace(container, machine)
        return word


@pytest.mark.postgres
def test_the_services_deliver_an_order(
    image: Path,
    shop_database: str,
    redis_url: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    foreign = ("CONNECTLY_", "PYTHONPATH", "DJANGO_SETTINGS_MODULE")
    for name in [it for it in os.environ if it.startswith(foreign)]:
        monkeypatch.delenv(name)
    web, connectly = free_port(), free_port()
    replaced = {
        "postgres://shop:shop@database/shop": shop_database,
        "redis://redis/0": redis_url,
        "0.0.0.0:8000": f"{LOOPBACK}:{web}",
        "--host=0.0.0.0": f"--host={LOOPBACK}",
        "8080": str(connectly),
        "/tmp/beat": str(tmp_path / "beat"),  # noqa: S108
    }
    with Supervisor(tmp_path, threading.Event()) as supervisor:
        services = Services(image, replaced, supervisor)
        services.run("migrate")
        others = SERVICES.keys() - {"database", "redis", "migrate"}
        assert others == {"connectly", "web", "worker", "beat"}
        for name in others:
            services.start(name)
        shop, events = (
            f"http://{LOOPBACK}:{web}",
            f"http://{LOOPBACK}:{connectly}/events",
        )
        for address in (shop, events):
            supervisor.until(partial(_answers, address), seconds=PATIENCE)
        _buy(shop)
        supervisor.until(lambda: _get(events).json()["events"], seconds=PATIENCE)
        arrived = _get(events).json()
    assert arrived["refused"] == []
    assert '"cnct_tracking_id"' in arrived["events"][0]["body"]


def _get(url: str) -> requests.Response:
    return requests.get(url, timeout=10, proxies={"http": ""})


def _answers(url: str) -> bool:
    try:
        return _get(url).ok
    except requests.ConnectionError:
        return False


def _buy(shop: str) -> None:
    """Land from an ad, and buy what is on the first page."""
    with requests.Session() as browser:
        browser.trust_env = False
        page = browser.get(f"{shop}{TAGGED}", timeout=10).text
        (sku, *_) = re.findall(r'href="/product/([\w-]+)/"', page)
        browser.get(f"{shop}/product/{sku}/", timeout=10)
        token = browser.cookies["csrftoken"]
        cart = {"sku": sku, "quantity": 1, "csrfmiddlewaretoken": token}
        answer = browser.post(f"{shop}/checkout/", cart, timeout=10)
    assert answer.ok, answer.text


def test_each_service_runs_the_image_that_has_what_the_tests_have() -> None:
    for name, service in SERVICES.items():
        assert ("build" in service) == (name not in {"database", "redis"}), name
    (install,) = re.findall(r"^RUN pip install .*?((?: '[^']+')+)", DOCKERFILE, re.M)
    assert shlex.split(install) == [".[demo]", "psycopg[binary]>=3.2"]
    assert "\nUSER shop\n" in DOCKERFILE


def test_the_unit_of_systemd_is_valid(tmp_path: Path) -> None:
    page = (ROOT / "docs/operator/running.md").read_text()
    (name, text), *more = re.findall(
        r"```ini\n# /etc/systemd/system/(\S+)\n(.*?)```", page, re.S
    )
    assert more == []
    (start,) = re.findall(r"^ExecStart=\S+/python (.*)$", text, re.M)
    script, command, *options = start.split()
    help_text = subprocess.run(
        [sys.executable, ROOT / script, command, "--help"],
        capture_output=True,
        check=True,
        text=True,
    ).stdout
    assert all(option in help_text for option in options)
    if analyze := shutil.which("systemd-analyze"):
        # Its user and its program are those of the shop's machine.
        local = re.sub(r"(?<=ExecStart=)\S+", sys.executable, text)
        unit = tmp_path / name
        unit.write_text(local)
        done = subprocess.run(
            [analyze, "verify", "--man=no", unit], capture_output=True, text=True
        )
        said = [line for line in done.stderr.splitlines() if name in line]
        assert (done.returncode, said) == (0, [])
