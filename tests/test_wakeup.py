"""The nudge after commit, against brokers that answer, refuse and say nothing."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

import pytest
from celery.signals import before_task_publish
from django.contrib.auth.models import User
from django.db import connection, transaction
from redis import Redis
from redis.connection import ConnectionPool

from connectly_tracking import outbox, wakeup
from connectly_tracking.attribution import bind_order
from connectly_tracking.models import Conversion, State
from example_project import celery_app
from example_project.demo import broker
from example_project.demo.supervisor import Supervisor

from .conftest import broker_at, make_click, make_purchase

if TYPE_CHECKING:
    from collections.abc import Iterator

    from django.test import RequestFactory

#: Seconds. More than a crowded machine adds to a quarter of one, and less than any of
#: the brokers' own timeouts.
SOON: Final = 3.0


@pytest.fixture
def closed_port() -> Iterator[int]:
    """A port on which nobody listens, and that nobody else gets."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        yield bound.getsockname()[1]


@pytest.fixture
def mute() -> Iterator[socket.socket]:
    """Takes connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield listening


def elapsed() -> float:
    began = time.perf_counter()
    wakeup.wake()
    return time.perf_counter() - began


def messages(client: Redis, queue: str = "celery") -> list[Any]:
    found: Any = client.lrange(queue, 0, -1)
    return [json.loads(message) for message in found]


def test_a_nudge_names_the_task_and_carries_nothing_else(celery_broker: Redis) -> None:
    wakeup.wake()
    (message,) = messages(celery_broker)
    assert message["headers"]["task"] == "connectly_tracking.deliver_due"
    assert message["headers"]["argsrepr"] == "()"
    assert message["headers"]["expires"] is None  # it would be by two clocks
    assert message["headers"]["ignore_result"] is True


def test_a_nudge_is_the_message_that_celery_would_send(celery_broker: Redis) -> None:
    wakeup.wake()
    celery_app.send_task(
        wakeup.DELIVER, expiration=wakeup.EXPIRES, ignore_result=True, retry=False
    )
    celerys, ours = messages(celery_broker)  # the newest first
    for message in (ours, celerys):
        for name in ("id", "root_id", "origin"):
            assert message["headers"].pop(name)
        for name in ("correlation_id", "delivery_tag"):
            assert message["properties"].pop(name)
        del message["properties"]["reply_to"]  # there is no answer
        # Celery puts the limits there if this process has loaded the task; without
        # them the worker takes the task's own.
        del message["headers"]["timelimit"]
    assert ours == celerys


def test_a_nudge_is_seen_by_who_listens_to_what_is_published(
    celery_broker: Redis,
) -> None:
    heard: list[Any] = []

    def listen(sender: str, headers: Any, **_: Any) -> None:
        heard.append(sender)
        headers["tenant"] = "br"

    before_task_publish.connect(listen)
    try:
        wakeup.wake()
    finally:
        before_task_publish.disconnect(listen)
    assert heard == [wakeup.DELIVER]
    (message,) = messages(celery_broker)
    assert message["headers"]["tenant"] == "br"


def test_the_queue_is_the_shops_choice(celery_broker: Redis, configure: Any) -> None:
    configure(QUEUE="reports")
    wakeup.wake()
    assert len(messages(celery_broker, "reports")) == 1


def test_a_thread_that_cannot_be_started_is_tried_again(
    quiet_broker: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_: object) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patched:
        patched.setattr(wakeup._Messenger, "start", refuse)
        wakeup.wake()
    wakeup.publisher._silent_until = 0.0
    before = quiet_broker.llen("celery")
    wakeup.wake()
    assert quiet_broker.llen("celery") == before + 1


def test_one_connection_serves_a_threads_nudges(quiet_broker: Redis) -> None:
    wakeup.wake()
    info: Any = quiet_broker.info("stats")
    before = info["total_connections_received"]
    for _ in range(20):
        wakeup.wake()
    info = quiet_broker.info("stats")
    assert info["total_connections_received"] == before
    assert len(messages(quiet_broker)) == 21


def test_one_client_of_redis_serves_all_nudges(
    celery_broker: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """kombu makes one for each message, which takes longer than sending it."""
    wakeup.wake()
    made: list[object] = []
    begin = Redis.__init__

    def note(client: Any, *arguments: Any, **options: Any) -> None:
        made.append(client)
        begin(client, *arguments, **options)

    monkeypatch.setattr(Redis, "__init__", note)
    for _ in range(3):
        wakeup.wake()
    monkeypatch.undo()
    assert not made
    assert len(messages(celery_broker)) == 4


def test_a_connection_that_went_stale_gets_one_fresh_try(celery_broker: Redis) -> None:
    wakeup.wake()
    mine: Any = celery_broker.client_id()
    for client in celery_broker.client_list():
        if int(client["id"]) != mine:
            celery_broker.client_kill_filter(client["id"])
    wakeup.wake()
    assert len(messages(celery_broker)) == 2


def test_a_broker_that_refuses_costs_little_and_then_nothing(
    closed_port: int, caplog: pytest.LogCaptureFixture
) -> None:
    with broker_at(f"redis://127.0.0.1:{closed_port}/0"):
        assert elapsed() < SOON
        assert "wakeup_failed" in caplog.text
        caplog.clear()
        wakeup.wake()
    assert not caplog.records


@pytest.mark.parametrize(
    ("url", "options"),
    [
        ("redis://:hunter2@127.0.0.1:{port}/0", {}),
        ("redis://:p/hunter2@127.0.0.1:{port}/0", {}),
        (
            "sentinel://127.0.0.1:{port}",
            {
                "broker_transport_options": {
                    "master_name": "shop",
                    "sentinel_kwargs": {"password": "hunter2"},
                }
            },
        ),
    ],
    ids=["password", "password with a slash", "sentinel"],
)
def test_what_is_said_of_a_broker_is_short_and_without_its_password(
    closed_port: int,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
    url: str,
    options: dict[str, Any],
) -> None:
    # Before redis-py redacted it, the text of an error had it.
    monkeypatch.setattr(ConnectionPool, "SENSITIVE_REPR_KEYS", set(), raising=False)
    with broker_at(url.format(port=closed_port), **options):
        wakeup.wake()
    (line,) = caplog.messages
    assert line.startswith("wakeup_failed error=")
    assert "hunter2" not in line
    assert len(line) < 300


@pytest.mark.parametrize("scheme", ["redis", "amqp"])
def test_a_broker_that_says_nothing_costs_a_quarter_of_a_second_once(
    mute: socket.socket, scheme: str, caplog: pytest.LogCaptureFixture
) -> None:
    with broker_at(f"{scheme}://127.0.0.1:{mute.getsockname()[1]}//"):
        assert 0.2 < elapsed() < SOON
        wakeup.wake()
    assert caplog.text.count("wakeup_failed") == 1
    mute.setblocking(False)
    mute.accept()[0].close()
    with pytest.raises(BlockingIOError):
        mute.accept()  # nobody called a second time


def test_the_silence_ends(
    celery_broker: Redis, closed_port: int, redis_url: str
) -> None:
    with broker_at(f"redis://127.0.0.1:{closed_port}/0"):
        wakeup.wake()
    assert not messages(celery_broker)
    wakeup.publisher._silent_until = time.monotonic()
    wakeup.wake()
    assert len(messages(celery_broker)) == 1


def test_a_broker_that_hangs_later_is_given_up_at_once(
    celery_broker: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    wakeup.wake()
    monkeypatch.setattr(wakeup, "MAX_DELAY", 0.3)
    celery_broker.client_pause(4500)
    try:
        assert 0.2 < elapsed() < SOON
    finally:
        celery_broker.client_unpause()  # answers when the pause is over


def test_without_a_broker_in_the_settings_nothing_is_tried(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with broker_at(None):
        wakeup.wake()
    assert not caplog.records


def test_in_eager_mode_nothing_is_published(celery_broker: Redis) -> None:
    with broker_at("redis://127.0.0.1:1/0", task_always_eager=True):
        wakeup.wake()
        assert not wakeup.publisher._messengers
    assert wakeup.publisher._silent_until == 0.0


def test_fifty_threads_share_a_connection_and_leave_no_thread_behind(
    quiet_broker: Redis,
) -> None:
    wakeup.wake()
    clients, alive = len(quiet_broker.client_list()), threading.active_count()
    threads = [threading.Thread(target=wakeup.wake) for _ in range(50)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(messages(quiet_broker)) == 51
    assert len(quiet_broker.client_list()) == clients
    assert threading.active_count() == alive
    wakeup.publisher.reset()
    while len(quiet_broker.client_list()) == clients:  # it is released
        time.sleep(0.01)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_forked_child_opens_its_own_connection(redis_url: str) -> None:
    code = f"""
import os, django
django.setup()
from example_project import celery_app
from connectly_tracking import wakeup
celery_app.conf.broker_url = {redis_url!r}
wakeup.wake()
(kept,) = wakeup.publisher._messengers.values()
if os.fork() == 0:
    wakeup.wake()
    os._exit(0 if wakeup.publisher._messengers[os.getpid()] is not kept else 1)
raise SystemExit(os.waitstatus_to_exitcode(os.wait()[1]))
"""
    env = os.environ | {"DJANGO_SETTINGS_MODULE": "tests.settings"}
    assert subprocess.run([sys.executable, "-c", code], env=env).returncode == 0


def test_an_order_nudges_on_commit_and_not_before(
    transactional_db: None, celery_broker: Redis
) -> None:
    click = make_click()
    with transaction.atomic():
        outbox.record(make_purchase(), attribution=click)
        assert not messages(celery_broker)
    assert len(messages(celery_broker)) == 1


def test_an_order_that_rolls_back_nudges_nobody(
    transactional_db: None, celery_broker: Redis
) -> None:
    click = make_click()
    with pytest.raises(ZeroDivisionError), transaction.atomic():
        outbox.record(make_purchase(), attribution=click)
        raise ZeroDivisionError
    assert not messages(celery_broker)


@pytest.mark.parametrize(("hold", "nudges"), [(0, 1), (60, 0)])
def test_an_order_that_gets_its_click_late_nudges_unless_it_is_held(
    transactional_db: None,
    celery_broker: Redis,
    rf: RequestFactory,
    configure: Any,
    hold: int,
    nudges: int,
) -> None:
    configure(HOLD=hold)
    outbox.record(make_purchase())
    request = rf.get("/")
    request.user = User.objects.create(username="ada")
    make_click(user=request.user)
    bind_order(request, "ORD-7821")
    assert Conversion.objects.get().state == State.PENDING
    assert len(messages(celery_broker)) == nudges


def test_an_order_that_is_skipped_nudges_nobody(
    transactional_db: None, celery_broker: Redis
) -> None:
    outbox.record(make_purchase())
    assert not messages(celery_broker)


def test_a_dead_broker_costs_neither_the_order_nor_other_hooks(
    transactional_db: None, closed_port: int
) -> None:
    click = make_click()
    called: list[bool] = []
    with broker_at(f"redis://127.0.0.1:{closed_port}/0"), transaction.atomic():
        outbox.record(make_purchase(), attribution=click)
        transaction.on_commit(lambda: called.append(True))
    assert called == [True]
    assert Conversion.objects.get().state == State.PENDING
    assert not connection.in_atomic_block


@pytest.fixture(scope="module")
def sentinel(redis_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A real Sentinel that knows the Redis of the tests; yields its URL."""
    directory = tmp_path_factory.mktemp("sentinel")

    def command(port: int) -> list[str]:
        config = directory / f"{port}.conf"
        monitored = f"sentinel monitor shop 127.0.0.1 {urlsplit(redis_url).port} 1"
        config.write_text(f"port {port}\nbind 127.0.0.1\n{monitored}\n")
        return [broker.find_server(), str(config), "--sentinel"]

    with Supervisor(directory, threading.Event()) as supervisor:
        port = supervisor.serve("sentinel", command, lambda _, port: answers(port))
        yield f"sentinel://127.0.0.1:{port}"


def answers(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
    except OSError:
        return False
    return True


@pytest.fixture
def dead(closed_port: int, mute: socket.socket) -> dict[str, str]:
    """Addresses that refuse, and that take a connection and say nothing."""
    return {
        "refused": f"127.0.0.1:{closed_port}",
        "mute": f"127.0.0.1:{mute.getsockname()[1]}",
    }


@pytest.fixture
def patient(celery_broker: Redis, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is asked is whether the message arrives, even on a crowded machine. The dead
    one is given up as always.
    """
    monkeypatch.setattr(wakeup, "MAX_DELAY", SOON)
    monkeypatch.setattr(wakeup, "PUBLISH_TIMEOUT", 1.0)


@pytest.mark.usefixtures("patient")
@pytest.mark.parametrize("kind", ["refused", "mute"])
@pytest.mark.parametrize("order", [1, -1], ids=["dead first", "dead last"])
def test_one_sentinel_of_two_is_enough(
    celery_broker: Redis, sentinel: str, dead: dict[str, str], kind: str, order: int
) -> None:
    urls = [f"sentinel://{dead[kind]}", sentinel][::order]
    options = {"broker_transport_options": {"master_name": "shop"}}
    with broker_at(";".join(urls), **options):
        assert elapsed() < SOON
        wakeup.wake()
    assert len(messages(celery_broker)) == 2


@pytest.mark.parametrize("kind", ["refused", "mute"])
@pytest.mark.parametrize("given", [{}, {"sentinel_kwargs": {"password": "secret"}}])
def test_sentinels_that_are_all_down_cost_no_more_than_one_broker(
    dead: dict[str, str], kind: str, given: dict[str, Any]
) -> None:
    urls = [f"sentinel://{dead[kind]}"] * 3
    options = {"broker_transport_options": {"master_name": "shop", **given}}
    with broker_at(";".join(urls), **options):
        assert elapsed() < SOON
        assert min(elapsed() for _ in range(3)) < 0.1  # it is silent now


@pytest.mark.usefixtures("patient")
@pytest.mark.parametrize("kind", ["refused", "mute"])
@pytest.mark.parametrize("as_list", [False, True], ids=["text", "list"])
def test_a_list_of_brokers_falls_over_to_the_next(
    celery_broker: Redis,
    redis_url: str,
    dead: dict[str, str],
    kind: str,
    as_list: bool,
    caplog: pytest.LogCaptureFixture,
) -> None:
    urls = [f"redis://{dead[kind]}/0", redis_url]
    with broker_at(urls if as_list else ";".join(urls)):  # type: ignore[arg-type]
        wakeup.wake()
        wakeup.wake()
    assert len(messages(celery_broker)) == 2
    assert "wakeup_failed" not in caplog.text


def test_a_list_of_which_the_broker_in_use_hangs_goes_on_with_the_next(
    celery_broker: Redis, redis_url: str, mute: socket.socket
) -> None:
    with broker_at(f"{redis_url};redis://127.0.0.1:{mute.getsockname()[1]}/0"):
        wakeup.wake()
        celery_broker.client_pause(1000)
        try:
            assert elapsed() < SOON
        finally:
            celery_broker.client_unpause()


def test_a_name_server_that_hangs_costs_three_tenths_of_a_second_once(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    may_end = threading.Event()

    def hang(*_: object, **__: object) -> Any:
        may_end.wait(30)
        raise socket.gaierror

    monkeypatch.setattr(socket, "getaddrinfo", hang)
    with broker_at("redis://broker.shop.example/0"):
        assert 0.2 < elapsed() < SOON
        assert min(elapsed() for _ in range(3)) < 0.1
        may_end.set()
    assert "error=TimeoutError: no answer in 0.3 s silent_for" in caplog.text


def test_fifty_threads_wait_for_a_mute_broker_once_and_say_it_once(
    mute: socket.socket, caplog: pytest.LogCaptureFixture
) -> None:
    waited: list[float] = []
    with broker_at(f"redis://127.0.0.1:{mute.getsockname()[1]}/0"):
        threads = [
            threading.Thread(target=lambda: waited.append(elapsed())) for _ in range(50)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert max(waited) < SOON
    assert caplog.text.count("wakeup_failed") == 1
