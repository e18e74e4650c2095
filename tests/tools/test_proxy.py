from __future__ import annotations

import contextlib
import os
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import redis

from connectly_tracking.sandbox.wire import arm_reset
from tests.tools.proxy import Proxy

PATIENCE = 30.0  # seconds: an answer that should come, comes before
SILENCE = 0.3  # seconds without an answer that should not come


@pytest.fixture
def echo():
    """A server that answers what it is told, and says goodbye when the client does."""
    talks: list[threading.Thread] = []

    def talk(sock):
        with sock, contextlib.suppress(ConnectionError):
            while said := sock.recv(65536):
                sock.sendall(said)

    def serve():
        with contextlib.suppress(OSError):
            while True:
                talks.append(
                    threading.Thread(target=talk, args=(listener.accept()[0],))
                )
                talks[-1].start()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        serving = threading.Thread(target=serve)
        serving.start()
        yield listener.getsockname()
        listener.shutdown(socket.SHUT_RDWR)
        serving.join()
    for thread in talks:
        thread.join()


@pytest.fixture
def proxy(echo):
    with Proxy(echo) as proxy:
        yield proxy


@contextlib.contextmanager
def dialled(proxy, *, timeout=PATIENCE):
    with socket.create_connection(("127.0.0.1", proxy.port), timeout) as sock:
        yield sock


def is_answered(sock, said=b"ping"):
    sock.sendall(said)
    return heard(sock, len(said)) == said


def heard(sock, length):
    sock.settimeout(PATIENCE)
    pieces = b""
    while len(pieces) < length and (piece := sock.recv(length - len(pieces))):
        pieces += piece
    return pieces


def is_silent(sock, said=b"ping"):
    sock.settimeout(SILENCE)
    try:
        sock.sendall(said)
        sock.recv(1)
    except TimeoutError:
        return True
    return False


def is_reset(sock):
    sock.settimeout(PATIENCE)
    try:
        sock.recv(1)
    except ConnectionResetError:
        return True
    return False


def is_over(sock):
    sock.settimeout(PATIENCE)
    return sock.recv(1) == b""


def is_refused(proxy):
    try:
        with dialled(proxy):
            return False
    except ConnectionRefusedError:
        return True


def hangs(proxy):
    """Whether connecting takes longer than a second."""
    try:
        with dialled(proxy, timeout=1):
            return False
    except TimeoutError:
        return True


def sockets():
    """Of this process, by their numbers."""
    links = set()
    for path in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):
            links.add(str(path.readlink()))
    return {link for link in links if link.startswith("socket:")}


def eventually(condition):
    end = time.monotonic() + PATIENCE
    while not (true := condition()) and time.monotonic() < end:
        time.sleep(0.01)
    return true


def threads(port):
    return [thread for thread in threading.enumerate() if str(port) in thread.name]


@pytest.mark.parametrize(
    ("to", "url"),
    [
        ("redis://127.0.0.1:6379/0", "redis://{}/0"),
        ("redis://:secret@127.0.0.1/2?ssl=no", "redis://:secret@{}/2?ssl=no"),
        ("amqp://guest:p%40ss@localhost//", "amqp://guest:p%40ss@{}//"),
        ("postgres://shop@[::1]:5433/shop#x", "postgres://shop@{}/shop#x"),
        ("https://api.connectly.ai", "https://{}"),
        (("127.0.0.1", 6379), "tcp://{}"),
    ],
)
def test_the_url_is_the_servers_but_for_host_and_port(to, url) -> None:
    with Proxy(to) as proxy:
        assert proxy.url == url.format(f"127.0.0.1:{proxy.port}")


@pytest.mark.parametrize("to", ["", "redis", "redis:///0", "unknown://127.0.0.1/"])
def test_a_url_without_a_host_or_a_port_is_refused(to) -> None:
    with pytest.raises(ValueError, match="give a URL"):
        Proxy(to)


def test_what_is_said_passes_both_ways_and_whole(proxy) -> None:
    said = os.urandom(3_000_000)
    with dialled(proxy) as sock, ThreadPoolExecutor() as pool:
        telling = pool.submit(sock.sendall, said)
        assert heard(sock, len(said)) == said
        telling.result()
    assert proxy.connections == 1


def test_a_goodbye_passes_and_the_last_answer_still_comes(proxy) -> None:
    with dialled(proxy) as sock:
        sock.sendall(b"last words")
        sock.shutdown(socket.SHUT_WR)
        assert heard(sock, 10) == b"last words"
        assert is_over(sock)


def test_refuse_resets_who_is_there_and_refuses_who_comes(proxy) -> None:
    with dialled(proxy) as sock:
        assert is_answered(sock)
        proxy.behave("refuse")
        assert is_reset(sock)
    assert is_refused(proxy)
    proxy.behave("pass")
    with dialled(proxy) as sock:
        assert is_answered(sock)


def test_nobody_else_gets_the_port_while_it_refuses(proxy) -> None:
    proxy.behave("refuse")
    with socket.socket() as other, pytest.raises(OSError, match="in use"):
        other.bind(("127.0.0.1", proxy.port))


def test_mute_accepts_and_answers_nothing_until_it_passes(proxy) -> None:
    with dialled(proxy) as before:
        assert is_answered(before)
        proxy.behave("mute")
        assert is_silent(before, b"one")
        with dialled(proxy) as during:
            assert is_silent(during, b"two")
            assert proxy.connections == 2
            proxy.behave("pass")
            assert heard(before, 3) == b"one"
            assert heard(during, 3) == b"two"


def test_what_a_client_said_to_a_mute_server_goes_with_it() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(SILENCE)
        with Proxy(server.getsockname()) as proxy:
            proxy.behave("mute")
            before = sockets()
            with dialled(proxy) as sock:
                sock.sendall(b"anybody there?")
                assert eventually(lambda: proxy.connections)
            assert eventually(lambda: sockets() <= before)
            proxy.behave("pass")
            with pytest.raises(TimeoutError):
                server.accept()


@pytest.mark.parametrize("ending", [is_over, is_reset])
def test_a_server_that_ends_while_mute_is_not_heard_of_until_it_passes(ending) -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as server,
        Proxy(server.getsockname()) as proxy,
        dialled(proxy) as sock,
    ):
        with server.accept()[0] as serving:
            proxy.behave("mute")
            if ending is is_reset:
                arm_reset(serving)
        assert is_silent(sock)
        proxy.behave("pass")
        assert ending(sock)


def test_drop_lets_a_connect_hang_and_the_others_fall_silent(proxy) -> None:
    with dialled(proxy) as sock:
        assert is_answered(sock)
        proxy.behave("drop")
        assert is_silent(sock, b"one")
        with ThreadPoolExecutor() as pool:
            assert all(pool.map(hangs, [proxy] * 5))
        proxy.behave("drop")
        assert hangs(proxy)
        assert proxy.connections == 1
        proxy.behave("pass")
        assert heard(sock, 3) == b"one"


def test_a_connect_that_hung_goes_on_when_it_passes(proxy) -> None:
    proxy.behave("drop")
    with ThreadPoolExecutor() as pool:
        dialling = pool.submit(socket.create_connection, ("127.0.0.1", proxy.port), 60)
        with pytest.raises(TimeoutError):
            dialling.result(SILENCE)
        proxy.behave("pass")
        with dialling.result() as sock:
            assert is_answered(sock)
    assert proxy.connections == 1


@pytest.mark.parametrize("behaviour", ["refuse", "mute", "reset"])
def test_after_drop_anything_else_may_come(proxy, behaviour) -> None:
    proxy.behave("drop")
    proxy.behave(behaviour)
    proxy.behave("drop")
    assert hangs(proxy)
    proxy.behave(behaviour)
    proxy.behave("pass")
    with dialled(proxy) as sock:
        assert is_answered(sock)


def test_reset_accepts_and_resets(proxy) -> None:
    with dialled(proxy) as before:
        assert is_answered(before)
        proxy.behave("reset")
        assert is_reset(before)
    # A RST that is fast enough is there before the connect returns.
    with contextlib.suppress(ConnectionResetError), dialled(proxy) as sock:
        assert is_reset(sock)
    assert proxy.connections == 2


def test_delay_holds_each_piece_back_and_keeps_their_order(proxy) -> None:
    with dialled(proxy) as sock:
        proxy.behave("delay:0.2")
        start = time.monotonic()
        for piece in (b"one", b"two", b"three"):
            sock.sendall(piece)
        assert heard(sock, 11) == b"onetwothree"
        assert time.monotonic() - start >= 0.4


def test_what_is_delayed_passes_at_once_when_it_may(proxy) -> None:
    with dialled(proxy) as sock:
        proxy.behave("delay:3600")
        assert is_silent(sock)
        proxy.behave("pass")
        assert heard(sock, 4) == b"ping"


def test_cut_resets_those_that_are_there_and_no_more(proxy) -> None:
    with dialled(proxy) as one, dialled(proxy) as two:
        assert is_answered(one)
        assert is_answered(two)
        proxy.cut()
        assert is_reset(one)
        assert is_reset(two)
    with dialled(proxy) as three:
        assert is_answered(three)


def test_cut_resets_the_silent_too(proxy) -> None:
    proxy.behave("mute")
    with dialled(proxy) as sock:
        assert is_silent(sock)
        proxy.cut()
        assert is_reset(sock)


def test_a_server_that_refuses_is_a_reset() -> None:
    with socket.socket() as deaf:
        deaf.bind(("127.0.0.1", 0))
        with (
            Proxy(deaf.getsockname()) as proxy,
            contextlib.suppress(ConnectionResetError),
            dialled(proxy) as sock,
        ):
            assert is_reset(sock)


def test_a_reset_of_the_servers_is_one_for_the_client() -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as server,
        Proxy(server.getsockname()) as proxy,
        dialled(proxy) as sock,
    ):
        with server.accept()[0] as serving:
            sock.sendall(b"never read")
            while not serving.recv(1, socket.MSG_PEEK):
                pass
        assert is_reset(sock)


@pytest.mark.parametrize(
    "behaviour", ["", "Mute", "mute:1", "cut", "delay", "delay:", "delay:-1", "delay:x"]
)
def test_an_unknown_behaviour_is_refused_and_changes_nothing(proxy, behaviour) -> None:
    with pytest.raises(ValueError, match=r"known:|a number of seconds"):
        proxy.behave(behaviour)
    with dialled(proxy) as sock:
        assert is_answered(sock)


def test_the_refusal_lists_the_known_ones(proxy) -> None:
    with pytest.raises(ValueError, match="known") as refusal:
        proxy.behave("hang")
    for name in ("pass", "refuse", "mute", "drop", "reset", "delay:SECONDS"):
        assert f"\n  {name}" in str(refusal.value)


@pytest.mark.parametrize(
    "behaviour", ["pass", "refuse", "mute", "drop", "reset", "delay:9"]
)
def test_stopping_leaves_no_thread_and_no_socket(echo, behaviour) -> None:
    before = sockets()
    with Proxy(echo) as proxy:
        port = proxy.port
        with dialled(proxy) as sock:
            assert is_answered(sock)
            proxy.behave(behaviour)
            assert threads(port)
    assert not threads(port)
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port), PATIENCE)
    # The server's own ends of them go when it has seen that they are over.
    assert eventually(lambda: sockets() <= before)


def test_stopped_and_started_again_it_keeps_port_and_behaviour(echo) -> None:
    proxy = Proxy(echo)
    with pytest.raises(RuntimeError, match="once the proxy has been started"):
        proxy.port  # noqa: B018
    proxy.behave("refuse")
    with proxy:
        port = proxy.port
        assert is_refused(proxy)
        with pytest.raises(RuntimeError, match="already"):
            proxy.start()
        proxy.behave("pass")
        with dialled(proxy) as sock:
            assert is_answered(sock)
    proxy.stop()
    proxy.cut()
    with proxy, dialled(proxy) as sock:
        assert is_answered(sock)
        assert (proxy.port, proxy.connections) == (port, 2)


def test_a_port_that_is_taken_is_said(echo) -> None:
    proxy = Proxy(echo, port=echo[1])
    with pytest.raises(OSError, match="in use"):
        proxy.start()
    assert not threads(echo[1])


def test_many_threads_may_ask_at_once(proxy) -> None:
    behaviours = ["mute", "drop", "refuse", "reset", "delay:1", "pass"] * 4
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(proxy.behave, behaviours))
        list(pool.map(lambda _: proxy.cut(), range(8)))
    proxy.behave("pass")
    with dialled(proxy) as sock:
        assert is_answered(sock)


def test_a_client_of_a_real_redis_sees_each_fault(redis_url) -> None:
    with (
        Proxy(redis_url) as proxy,
        redis.Redis.from_url(
            proxy.url, socket_timeout=SILENCE, socket_connect_timeout=SILENCE
        ) as client,
    ):
        assert client.ping()
        proxy.behave("mute")
        with pytest.raises(redis.TimeoutError):
            client.ping()
        for behaviour in ("refuse", "reset"):
            proxy.behave(behaviour)
            with pytest.raises(redis.ConnectionError):
                client.ping()
        proxy.behave("drop")
        with pytest.raises(redis.TimeoutError):
            client.ping()
        proxy.behave("pass")
    with Proxy(redis_url) as proxy, redis.Redis.from_url(proxy.url) as client:
        assert client.ping()
