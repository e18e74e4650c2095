from __future__ import annotations

import contextlib
import gzip
import json
import pickle
import re
import socket
import socketserver
import ssl
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connectly_tracking import __version__
from connectly_tracking.client import MAX_ANSWER, Client
from connectly_tracking.sandbox import Sandbox
from connectly_tracking.secret import Secret
from connectly_tracking.verdicts import Outcome, Verdict

BUSINESS = "5f0c6f0e-2f3c-4b5e-9a53-0d5b1c9f8a11"
KEY = "cnct-key-0f9e8d7c"
PATH = f"/external/v1/businesses/{BUSINESS}/conversion_events"
CONFIRMS = b'{"events_received": 1}'
BODY = json.dumps(
    {
        "cnct_tracking_id": "t",
        "event_name": "Purchase",
        "sendout_id": "s",
        "attribution": {"meta_ctwa": {"ctwa_clid": "c", "ad_id": "a"}},
        "payload": {"currency": "USD", "value": 99.97, "order_id": "ORD-7821"},
    }
)
DELIVERED = Verdict(outcome=Outcome.CONFIRMED, status_code=200)
ROOT = Path(__file__).parent.parent

# For 127.0.0.1 alone, signed by themselves: one until 2120, one that has expired.
# Their key protects nothing but these tests.
PRIVATE_KEY = """\
-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgyGpy4IbLXPlNqDtI
vwILAEIpalLGJdZJQldDKSndtfyhRANCAAQRAJwmBkNwb6kueNBvYm170QKYVxDf
iXRgMeX1znrzDObCdLQHk1/DPHUYWhesQz2ujXqN2w3V6WMYFMyxWG+J
-----END PRIVATE KEY-----
"""
CERTIFICATE = """\
-----BEGIN CERTIFICATE-----
MIIBoDCCAUagAwIBAgIUSHQhc9NovL3Kez3yAYQCn3QVvucwCgYIKoZIzj0EAwIw
FDESMBAGA1UEAwwJMTI3LjAuMC4xMCAXDTIwMDEwMTAwMDAwMFoYDzIxMjAwMTAx
MDAwMDAwWjAUMRIwEAYDVQQDDAkxMjcuMC4wLjEwWTATBgcqhkjOPQIBBggqhkjO
PQMBBwNCAAQRAJwmBkNwb6kueNBvYm170QKYVxDfiXRgMeX1znrzDObCdLQHk1/D
PHUYWhesQz2ujXqN2w3V6WMYFMyxWG+Jo3QwcjAPBgNVHREECDAGhwR/AAABMA8G
A1UdEwEB/wQFMAMBAf8wDgYDVR0PAQH/BAQDAgKEMB0GA1UdDgQWBBQ1XcJ08SE4
Z6dZ5WiFE7MBdUwJBjAfBgNVHSMEGDAWgBQ1XcJ08SE4Z6dZ5WiFE7MBdUwJBjAK
BggqhkjOPQQDAgNIADBFAiEAmp1Mp414snGslNglnrTPKMmpQR8j2g3P6NDMmmFp
UDACIHlCsVNm73x6BrcC7j43Ll3V/YX/JzlGbxTJyY5nZDel
-----END CERTIFICATE-----
"""
EXPIRED = """\
-----BEGIN CERTIFICATE-----
MIIBnjCCAUSgAwIBAgIUY9hI40NsRxaAzckNmzehwkGxuugwCgYIKoZIzj0EAwIw
FDESMBAGA1UEAwwJMTI3LjAuMC4xMB4XDTIwMDEwMTAwMDAwMFoXDTIwMDEwMjAw
MDAwMFowFDESMBAGA1UEAwwJMTI3LjAuMC4xMFkwEwYHKoZIzj0CAQYIKoZIzj0D
AQcDQgAEEQCcJgZDcG+pLnjQb2Jte9ECmFcQ34l0YDHl9c568wzmwnS0B5Nfwzx1
GFoXrEM9ro16jdsN1eljGBTMsVhviaN0MHIwDwYDVR0RBAgwBocEfwAAATAPBgNV
HRMBAf8EBTADAQH/MA4GA1UdDwEB/wQEAwIChDAdBgNVHQ4EFgQUNV3CdPEhOGen
WeVohROzAXVMCQYwHwYDVR0jBBgwFoAUNV3CdPEhOGenWeVohROzAXVMCQYwCgYI
KoZIzj0EAwIDSAAwRQIhAOkDNradUE2wdyVFczrL8deeQj4YBf4hPBdcqTTTeEMn
AiAGyd0KjE4qHC5s/7IJ8hd8irWktLa3APP6ynozSlRM4g==
-----END CERTIFICATE-----
"""


class Server(socketserver.ThreadingTCPServer):
    """Says these answers in turn, the last one for ever: bytes, or a function."""

    daemon_threads = True

    def __init__(self, *answers: Any, keep: bool = True, tls: Any = None) -> None:
        super().__init__(("127.0.0.1", 0), _Talk)
        self.answers = [*answers]
        self.asked: list[bytes] = []
        self.opened = 0
        self.closed = threading.Semaphore(0)
        self.keep, self.tls = keep, tls

    @property
    def url(self) -> str:
        return f"http{'s' if self.tls else ''}://127.0.0.1:{self.server_address[1]}"

    def __enter__(self):
        threading.Thread(target=self.serve_forever, args=(0.01,), daemon=True).start()
        return self

    def __exit__(self, *exc_info):
        self.shutdown()
        self.server_close()

    def shutdown_request(self, request):
        super().shutdown_request(request)
        self.closed.release()

    def handle_error(self, request, client_address):
        """A client that leaves early is what the tests are about."""


class _Talk(socketserver.StreamRequestHandler):
    server: Server
    timeout = 30

    def handle(self):
        self.server.opened += 1
        if self.server.tls:
            self.secure(self.server.tls)
        while head := b"".join(iter(self.rfile.readline, b"\r\n")):
            length = re.search(rb"(?i)content-length: (\d+)", head)
            self.server.asked.append(
                head + self.rfile.read(int(length[1]) if length else 0)
            )
            answers = self.server.answers
            answer = answers.pop(0) if len(answers) > 1 else answers[0]
            if callable(answer):
                answer(self)
            else:
                self.wfile.write(answer)
            if not self.server.keep:
                return

    def secure(self, context):
        self.request = context.wrap_socket(self.request, server_side=True)
        self.setup()

    def finish(self):
        with contextlib.suppress(OSError):
            super().finish()
        self.request.close()


def answer(body=CONFIRMS, *, status=200, headers="", length=None):
    length = len(body) if length is None else length
    head = f"HTTP/1.1 {status} Said\r\n{headers}Content-Length: {length}\r\n\r\n"
    return head.encode("latin-1") + body


def chunked(*chunks, status=200, end=b"0\r\n\r\n"):
    head = f"HTTP/1.1 {status} Said\r\nTransfer-Encoding: chunked\r\n\r\n".encode()
    return head + b"".join(b"%x\r\n%s\r\n" % (len(one), one) for one in chunks) + end


def client_of(server, **options: Any) -> Client:
    url = server if isinstance(server, str) else server.url
    usual: dict[str, Any] = {"key": Secret(KEY), "read_timeout": 5, "deadline": 10}
    return Client(base_url=url, business_id=BUSINESS, **usual | options)


def post(server, body=BODY, **options):
    return client_of(server, **options).post(body)


def post_to(*answers, keep=False, **options):
    with Server(*answers, keep=keep) as server:
        return post(server, **options)


@contextlib.contextmanager
def took(*, at_least=0.0, at_most):
    begun = time.monotonic()
    yield
    assert at_least <= time.monotonic() - begun < at_most


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch):
    for name in ("http", "https", "all", "no"):
        monkeypatch.delenv(f"{name}_proxy", raising=False)
        monkeypatch.delenv(f"{name}_proxy".upper(), raising=False)
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "NETRC"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def sandbox():
    with Sandbox(business_id=BUSINESS, api_key=KEY) as running:
        yield running


@pytest.fixture
def silence():
    """A port that takes connections and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield f"127.0.0.1:{listener.getsockname()[1]}"


@pytest.fixture
def crowd():
    """A port whose queue is full: it takes no more connections, and refuses none."""
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(
            socket.create_server(("127.0.0.1", 0), backlog=0)
        )
        for _ in range(4):
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(listener.getsockname())
        yield f"127.0.0.1:{listener.getsockname()[1]}"


class TestRequest:
    def test_it_is_the_documented_one(self):
        with Server(answer()) as server:
            assert post(server) == DELIVERED
        (asked,) = server.asked
        assert asked.endswith(BODY.encode())
        first, *lines = asked.removesuffix(BODY.encode()).decode().splitlines()
        assert first == f"POST {PATH} HTTP/1.1"
        assert dict(line.split(": ") for line in lines) == {
            "Host": server.url.removeprefix("http://"),
            "Content-Type": "application/json",
            "Content-Length": str(len(BODY)),
            "X-API-KEY": KEY,
            "Accept": "application/json",
            "Accept-Encoding": "identity",
            "User-Agent": f"django-connectly-tracking/{__version__}",
        }

    def test_the_strict_fake_counts_the_event(self, sandbox):
        assert post(sandbox) == DELIVERED
        (event,) = sandbox.events
        assert event.body == BODY.encode()

    def test_the_same_bytes_go_out_each_time(self, sandbox):
        sandbox.behave(["500", "reset-after", "ok"])
        outcomes = [post(sandbox).outcome for _ in range(3)]
        assert outcomes == [Outcome.UNAVAILABLE, Outcome.UNKNOWN, Outcome.CONFIRMED]
        assert {received.body for received in sandbox.requests} == {BODY.encode()}

    def test_no_redirect_is_followed_and_no_other_host_sees_the_key(self, sandbox):
        with Server(answer()) as other:
            for status in (301, 302, 303, 307, 308):
                sandbox.behave(f"{status}:{other.url}{PATH}", times=1)
                verdict = post(sandbox)
                assert verdict.outcome is Outcome.CONFIGURATION
                assert verdict.status_code == status
        assert other.asked == []
        assert sandbox.received_count == 5

    def test_cookies_are_not_sent_back(self):
        cookies = "Set-Cookie: a=b\r\nSet-Cookie: c=d; Path=/; Max-Age=99\r\n"
        with Server(answer(headers=cookies)) as server:
            assert [post(server), post(server)] == [DELIVERED, DELIVERED]
        assert b"cookie" not in b"".join(server.asked).lower()

    def test_netrc_is_not_read(self, monkeypatch, tmp_path):
        netrc = tmp_path / "netrc"
        netrc.write_text("machine 127.0.0.1 login someone password guessed\n")
        netrc.chmod(0o600)
        monkeypatch.setenv("NETRC", str(netrc))
        with Server(answer()) as server:
            assert post(server) == DELIVERED
        assert b"authorization" not in server.asked[0].lower()


class TestAnswer:
    @pytest.mark.parametrize(
        ("behaviour", "outcome", "status"),
        [
            ("ok", Outcome.CONFIRMED, 200),
            ("299", Outcome.CONFIRMED, 299),
            ("204", Outcome.UNCONFIRMED, 204),
            ("garbage", Outcome.UNCONFIRMED, 200),
            ("empty", Outcome.UNCONFIRMED, 200),
            ("unconfirmed", Outcome.UNCONFIRMED, 200),
            ('body:{"events_received": true}', Outcome.UNCONFIRMED, 200),
            ('body:\ufeff{"events_received": 1}', Outcome.CONFIRMED, 200),
            ("300", Outcome.CONFIGURATION, 300),
            ("304", Outcome.CONFIGURATION, 304),
            ("redirect", Outcome.CONFIGURATION, 307),
            ("400", Outcome.REFUSED, 400),
            ("418", Outcome.REFUSED, 418),
            ("451", Outcome.REFUSED, 451),
            ("401", Outcome.CONFIGURATION, 401),
            ("404", Outcome.CONFIGURATION, 404),
            ("408", Outcome.UNAVAILABLE, 408),
            ("429", Outcome.THROTTLED, 429),
            ("503", Outcome.UNAVAILABLE, 503),
            ("503:7", Outcome.THROTTLED, 503),
            ("520", Outcome.UNAVAILABLE, 520),
            ("599", Outcome.UNAVAILABLE, 599),
            ("999", Outcome.UNAVAILABLE, 999),
            ("101", Outcome.UNAVAILABLE, 101),
            ("hang", Outcome.UNKNOWN, None),
            ("reset-before", Outcome.UNKNOWN, None),
            ("reset-after", Outcome.UNKNOWN, None),
            ("half-body", Outcome.UNKNOWN, None),
        ],
    )
    def test_each_gets_its_verdict_and_leaves_the_next_alone(
        self, sandbox, behaviour, outcome, status
    ):
        sandbox.behave(behaviour, times=1)
        verdict = post(sandbox, read_timeout=0.5 if behaviour == "hang" else 5)
        assert (verdict.outcome, verdict.status_code) == (outcome, status)
        assert post(sandbox) == DELIVERED

    def test_a_wrong_key_or_business_is_the_configurations_fault(self, sandbox):
        wrong_key = post(sandbox, key=Secret("another"))
        assert (wrong_key.outcome, wrong_key.status_code) == ("configuration", 401)
        stranger = Client(base_url=sandbox.url, business_id="x", key=Secret(KEY))
        assert stranger.post(BODY).status_code == 404

    @pytest.mark.parametrize(
        ("headers", "wait"),
        [
            ("Retry-After: 4\r\n", 4),
            ("retry-after:   4  \r\n", 4),
            ("Retry-After: 4\r\nRetry-After: 9\r\n", 60),
            ("Retry-After: soon\r\n", 60),
            ("Retry-After: \xff\r\n", 60),
            ("", 60),
        ],
    )
    def test_the_time_to_wait_is_read(self, headers, wait):
        verdict = post_to(answer(b"", status=429, headers=headers))
        assert (verdict.outcome, verdict.wait) == (Outcome.THROTTLED, wait)

    def test_metas_words_are_kept_whole(self, sandbox):
        words = "(#100) Invalid parameter: " + "ő" * 1000
        sandbox.behave(f"400:{words}")
        assert json.loads(post(sandbox).detail)["message"] == words

    @pytest.mark.parametrize("status", [400, 401, 404, 500])
    @pytest.mark.parametrize(
        "cut",
        [
            lambda status: answer(b'{"mess', status=status, length=99),
            lambda status: chunked(b'{"mess', status=status, end=b""),
            lambda status: chunked(b'{"mess', status=status, end=b"zz\r\n"),
        ],
        ids=["length", "chunk", "bad-chunk"],
    )
    def test_where_the_body_is_cut_the_status_still_decides(self, status, cut):
        whole = post_to(answer(b'{"mess', status=status))
        verdict = post_to(cut(status))
        assert (verdict.outcome, verdict.status_code) == (whole.outcome, status)

    def test_of_a_body_that_is_cut_the_beginning_is_kept(self):
        assert post_to(answer(b"words", status=400, length=99)).detail == "words"

    @pytest.mark.parametrize(
        "cut",
        [
            answer(CONFIRMS, length=len(CONFIRMS) + 1),
            answer(b"", length=5),
            chunked(CONFIRMS, end=b""),
            chunked(CONFIRMS, end=b"zz\r\n"),
            chunked(CONFIRMS, end=b"5\r\nx"),
            answer(headers="Content-Length: 5\r\n"),
            b"HTTP/1.1 200 OK\r\nX: " + b"x" * 100_000 + b"\r\n\r\n",
            b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 200 + b"\r\n",
            b"HTTP/1.1 20x OK\r\n\r\n",
            b"SSH-2.0-OpenSSH_9.6\r\n",
            b"\x15\x03\x01\x00\x02\x02\x46",
            b"",
        ],
        ids=lambda cut: repr(cut[-24:]),
    )
    def test_without_a_whole_answer_nobody_knows(self, cut):
        verdict = post_to(cut)
        assert (verdict.outcome, verdict.status_code) == (Outcome.UNKNOWN, None)
        assert re.match(r"\w+: \S", verdict.detail)

    def test_a_length_that_is_too_short_confirms_nothing(self):
        with Server(answer(length=5), answer()) as server:
            verdict = post(server)
            assert verdict.outcome is Outcome.UNCONFIRMED
            assert verdict.detail == '{"eve'
            assert post(server) == DELIVERED

    def test_an_interim_answer_is_passed_over(self):
        assert post_to(b"HTTP/1.1 100 Continue\r\n\r\n" + answer()) == DELIVERED

    def test_a_compressed_answer_is_not_unpacked_and_so_does_not_confirm(self):
        packed = answer(gzip.compress(CONFIRMS), headers="Content-Encoding: gzip\r\n")
        assert post_to(packed).outcome is Outcome.UNCONFIRMED

    def test_of_a_long_answer_64_kib_are_read(self):
        for status in (200, 400):
            verdict = post_to(answer(b"x" * MAX_ANSWER * 3, status=status))
            assert verdict.detail == "x" * MAX_ANSWER
        assert MAX_ANSWER == 64 * 1024

    def test_an_answer_of_64_kib_confirms_and_one_byte_more_does_not(self):
        assert post_to(answer(CONFIRMS.rjust(MAX_ANSWER))) == DELIVERED
        verdict = post_to(answer(CONFIRMS.rjust(MAX_ANSWER + 1)))
        assert verdict.outcome is Outcome.UNCONFIRMED

    def test_an_answer_without_end_is_left(self):
        with took(at_most=4):
            assert len(post_to(endless).detail) == MAX_ANSWER

    def test_nothing_that_controls_a_terminal_or_a_database_is_kept(self):
        shown = "a\x00b\x1b[31mred\x07\x7f\x9b\r\nnew\tline\rend\ufffd"
        verdict = post_to(answer(shown.encode() + b"\xff", status=400))
        assert verdict.detail == "ab[31mred\nnew\tlineend\ufffd\ufffd"

    @settings(deadline=None, max_examples=50)
    @given(st.data())
    def test_any_bytes_get_a_verdict(self, data):
        fields = st.sampled_from(
            ["Content-Length", "Transfer-Encoding", "Location", "Set-Cookie", "X"]
        )
        value = st.sampled_from(["", "5", "chunked", "http://[", "\xff"]) | st.text(
            st.characters(max_codepoint=255)
        )
        made = st.builds(
            lambda status, headers, body: (
                f"HTTP/1.1 {status} Said\r\n".encode()
                + "".join(f"{k}: {v}\r\n" for k, v in headers).encode("latin-1")
                + b"\r\n"
                + body
            ),
            st.integers(100, 999),
            st.lists(st.tuples(fields, value), max_size=3),
            st.binary() | st.just(CONFIRMS),
        )
        raw = data.draw(st.binary() | made)
        verdict = post_to(raw)
        assert verdict.outcome in [*Outcome]
        assert verdict.outcome is not Outcome.NOT_SENT
        if verdict.outcome is Outcome.CONFIRMED:
            assert raw.startswith(b"HTTP/1.1 2")
        verdict.detail.encode()

    def test_a_redirect_says_whereto_in_its_own_words(self):
        moved = answer(b"moved", status=302)
        assert post_to(moved).detail == "moved"


def endless(talk):
    talk.wfile.write(b"HTTP/1.1 400 Said\r\n\r\n")
    while True:
        talk.wfile.write(b"x" * 4096)


class TestRedirectWithLocation:
    """`requests` reads Location and the body before it hands the answer over."""

    def test_its_words_are_kept(self):
        there = "Location: http://elsewhere.test/\r\n"
        assert post_to(answer(b"moved", status=302, headers=there)).detail == "moved"

    @pytest.mark.parametrize("place", ["http://[::1", "\xff\xfe"])
    def test_one_that_leads_nowhere_is_configuration_too(self, place):
        moved = answer(b"moved", status=302, headers=f"Location: {place}\r\n")
        assert post_to(moved).outcome is Outcome.CONFIGURATION

    def test_one_whose_body_cannot_be_unpacked_is_configuration_too(self):
        headers = "Location: /x\r\nContent-Encoding: gzip\r\n"
        moved = answer(b"moved", status=302, headers=headers, length=9)
        assert post_to(moved).outcome is Outcome.CONFIGURATION

    def test_one_whose_body_is_long_is_not_read_to_the_end(self):
        sent = 0

        def long_redirect(talk):
            nonlocal sent
            talk.wfile.write(b"HTTP/1.1 302 Said\r\nLocation: /x\r\n\r\n")
            for _ in range(256):
                talk.wfile.write(b"x" * MAX_ANSWER)
                sent += 1

        with Server(long_redirect, keep=False) as server:
            post(server)
            assert server.closed.acquire(timeout=10)
        assert sent < 256  # 16 MiB: more than the buffers of two sockets


class TestKey:
    @pytest.mark.parametrize(
        "behaviour",
        [
            f"400:the key {KEY} is not known",
            f"body:<p>{KEY}</p>",
            f"500:{KEY}{KEY}",
            f"401:{KEY}",
        ],
    )
    def test_an_answer_that_echoes_it_is_masked(self, sandbox, behaviour):
        sandbox.behave(behaviour)
        verdict = post(sandbox)
        assert "***" in verdict.detail
        assert KEY not in repr(verdict)

    def test_a_key_that_json_escapes_is_masked_too(self):
        key = 'k"e\\y'
        echo = answer(json.dumps({"message": f"bad {key}"}).encode(), status=400)
        assert post_to(echo, key=Secret(key)).detail == '{"message": "bad ***"}'

    @pytest.mark.parametrize(
        "echo",
        [
            KEY.encode("utf-16-le"),
            KEY.replace("-", "\x00-").encode(),
            b"\x1b".join([b"cnct-key", b"-0f9e8d7c"]),
        ],
        ids=["utf-16", "nul", "escape"],
    )
    def test_an_echo_with_control_characters_inside_is_masked(self, echo):
        assert KEY not in post_to(answer(echo, status=400)).detail

    @pytest.mark.parametrize("key", [f"{KEY}\n", f"\t{KEY}", f"{KEY}\r\nX: y", "ключ"])
    def test_one_that_no_header_can_carry_is_not_sent_and_not_shown(self, key):
        with Server(answer()) as server:
            verdict = post(server, key=Secret(key))
        assert verdict.outcome in {Outcome.NOT_SENT, Outcome.INTERNAL}
        assert KEY not in verdict.detail
        assert server.asked == []

    def test_a_client_shows_stars_and_pickles_stars(self):
        client = client_of("https://api.connectly.test")
        assert KEY not in repr(client)
        assert "key=***" in repr(client)
        pickled = pickle.dumps(client)
        assert KEY.encode() not in pickled
        again = pickle.loads(pickled)
        assert again.url == client.url
        assert again.key.reveal() == "***"

    def test_a_client_does_not_show_the_password_of_a_proxy(self):
        proxies = {"https": "http://me:word@proxy.test:3128"}
        assert "word" not in repr(client_of("https://api.test", proxies=proxies))


class TestConnection:
    @pytest.mark.parametrize(
        "whole",
        [
            answer(),
            chunked(CONFIRMS),
            chunked(*(bytes([byte]) for byte in CONFIRMS)),
            answer(b"no", status=400),
            answer(b"x" * (MAX_ANSWER - 1), status=400),
            chunked(b"no", status=500),
            b"HTTP/1.1 204 Said\r\n\r\n",
        ],
        ids=lambda whole: repr(whole[:40]),
    )
    def test_one_is_enough_for_many_posts_of_a_thread(self, whole):
        with Server(whole) as server:
            verdicts = {post(server).outcome for _ in range(5)}
        assert (server.opened, len(server.asked), len(verdicts)) == (1, 5, 1)

    def test_each_thread_keeps_its_own(self, sandbox):
        together = threading.Barrier(4)

        def posts(_):
            together.wait(timeout=10)
            return [post(sandbox) for _ in range(5)]

        with ThreadPoolExecutor(4) as pool:
            assert [*pool.map(posts, range(4))] == [[DELIVERED] * 5] * 4
        assert sandbox.connections == 4

    def test_a_forked_child_opens_its_own(self, sandbox):
        script = (
            "import os, sys\n"
            "from connectly_tracking.client import Client\n"
            "from connectly_tracking.secret import Secret\n"
            "url, business, key, body = sys.argv[1:]\n"
            "client = Client(base_url=url, business_id=business, key=Secret(key))\n"
            "outcomes = [client.post(body).outcome]\n"
            "child = os.fork()\n"
            "outcomes.append(client.post(body).outcome)\n"
            "if child:\n"
            "    assert os.waitpid(child, 0)[1] == 0\n"
            "    outcomes.append(client.post(body).outcome)\n"
            "os._exit(set(outcomes) != {'confirmed'})\n"
        )
        arguments = [sandbox.url, BUSINESS, KEY, BODY]
        subprocess.run(
            [sys.executable, "-c", script, *arguments], cwd=ROOT, check=True, timeout=60
        )
        assert (sandbox.connections, sandbox.event_count) == (2, 4)

    def test_one_closed_before_its_next_use_is_replaced(self):
        with Server(answer(), keep=False) as server:
            for _ in range(3):
                assert post(server) == DELIVERED
                assert server.closed.acquire(timeout=10)
        assert server.opened == 3

    def test_one_closed_at_its_next_use_leaves_it_unknown_and_is_replaced(self):
        def hangs_up(talk):
            talk.request.shutdown(socket.SHUT_RDWR)

        with Server(answer(), hangs_up, answer()) as server:
            assert post(server) == DELIVERED
            verdict = post(server)
            assert verdict.outcome is Outcome.UNKNOWN
            assert verdict.detail.startswith("RemoteDisconnected: ")
            assert post(server) == DELIVERED
        assert len(server.asked) == 3

    def test_one_that_is_refused_sends_nothing(self):
        with socket.socket() as closed:
            closed.bind(("127.0.0.1", 0))
            verdict = post(f"http://127.0.0.1:{closed.getsockname()[1]}")
        assert verdict.outcome is Outcome.NOT_SENT
        assert verdict.detail.startswith("ConnectionRefusedError: ")

    def test_a_name_that_is_not_known_sends_nothing(self, monkeypatch):
        def fails(*args, **options):
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

        monkeypatch.setattr(socket, "getaddrinfo", fails)
        verdict = post("https://api.connectly.test", proxies={})
        assert verdict.outcome is Outcome.NOT_SENT
        assert verdict.detail.startswith("gaierror: ")
        assert "Name or service not known" in verdict.detail

    @pytest.mark.parametrize(
        "url", ["http://", "http://[::1", "gopher://x", "", "http://%"]
    )
    def test_an_address_that_is_none_sends_nothing(self, url):
        assert post(url, proxies={}).outcome is Outcome.NOT_SENT

    @pytest.mark.parametrize("body", ["\ud800", b"bytes", None])
    def test_a_body_that_is_no_text_is_an_error_of_our_own(self, sandbox, body):
        verdict = post(sandbox, body=body)
        assert verdict.outcome is Outcome.INTERNAL
        assert sandbox.requests == []

    @pytest.mark.skipif(sys.platform != "linux", reason="fills Linux's queue")
    def test_a_connect_that_takes_too_long_sends_nothing(self, crowd):
        with took(at_least=0.3, at_most=5):
            verdict = post(f"http://{crowd}", connect_timeout=0.3)
        assert verdict.outcome is Outcome.NOT_SENT
        assert "timed out" in verdict.detail


class TestClocks:
    def test_a_server_that_says_nothing_ends_at_the_read_timeout(self, silence):
        with took(at_least=0.3, at_most=4):
            verdict = post(f"http://{silence}", read_timeout=0.3)
        assert verdict == Verdict(
            outcome=Outcome.UNKNOWN, detail="TimeoutError: timed out"
        )

    @pytest.mark.parametrize("read_timeout", [5, None])
    def test_a_server_that_says_nothing_ends_at_the_deadline(
        self, silence, read_timeout
    ):
        with took(at_least=0.3, at_most=4):
            verdict = post(f"http://{silence}", read_timeout=read_timeout, deadline=0.3)
        assert verdict.outcome is Outcome.UNKNOWN

    @pytest.mark.parametrize("behaviour", ["drip:0.1", "drip-body:0.25"])
    def test_an_answer_that_drips_ends_at_the_deadline(self, sandbox, behaviour):
        sandbox.behave(behaviour, times=1)  # would take more than 5 s
        with took(at_least=0.6, at_most=4):
            verdict = post(sandbox, deadline=0.6)
        assert verdict.outcome is Outcome.UNKNOWN
        assert verdict.detail.startswith("TimeoutError: ")
        assert post(sandbox) == DELIVERED

    def test_a_drip_that_ends_in_time_is_an_answer(self, sandbox):
        sandbox.behave("drip:0.002")
        assert post(sandbox) == DELIVERED

    def test_a_refusal_whose_words_drip_is_final_all_the_same(self):
        def drips(talk):
            talk.wfile.write(answer(b"words", status=400, length=99))
            talk.rfile.read()  # until the client leaves

        with took(at_least=0.4, at_most=4):
            verdict = post_to(drips, deadline=0.4)
        assert (verdict.outcome, verdict.status_code) == (Outcome.REFUSED, 400)

    def test_a_deadline_that_has_passed_waits_for_no_answer(self, sandbox):
        verdict = post(sandbox, deadline=0)
        assert verdict.outcome is Outcome.UNKNOWN
        assert verdict.detail == "TimeoutError: the deadline has passed"

    def test_each_post_has_a_deadline_of_its_own(self, sandbox):
        client = client_of(sandbox, deadline=3)
        sandbox.behave("delay:1.1")
        assert [client.post(BODY) for _ in range(3)] == [DELIVERED] * 3

    @pytest.mark.skipif(sys.platform != "linux", reason="fills Linux's queue")
    def test_the_deadline_holds_while_connecting(self, crowd):
        with took(at_most=5):
            post(f"http://{crowd}", connect_timeout=15, deadline=0.2)

    def test_the_deadline_holds_during_the_handshake(self, silence):
        with took(at_most=5):
            post(f"https://{silence}", connect_timeout=15, deadline=0.2)


class TestCertificate:
    @pytest.fixture
    def tls(self, tmp_path):
        def context(certificate):
            pem = tmp_path / "server.pem"
            pem.write_text(certificate + PRIVATE_KEY)
            made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            made.load_cert_chain(pem)
            return made

        return context

    @pytest.fixture
    def bundle(self, tmp_path):
        path = tmp_path / "bundle.pem"
        path.write_text(CERTIFICATE)
        return str(path)

    def test_one_that_signed_itself_is_not_trusted_and_sends_nothing(self, tls):
        with Server(answer(), tls=tls(CERTIFICATE)) as server:
            verdict = post(server)
        assert verdict.outcome is Outcome.NOT_SENT
        assert verdict.detail.startswith("SSLCertVerificationError: ")
        assert re.search("self[- ]signed certificate", verdict.detail)
        assert (server.opened, server.asked) == (1, [])

    def test_one_that_has_expired_sends_nothing(self, tls, bundle):
        Path(bundle).write_text(EXPIRED)
        with Server(answer(), tls=tls(EXPIRED)) as server:
            verdict = post(server, ca_bundle=bundle)
        assert verdict.outcome is Outcome.NOT_SENT
        assert "certificate has expired" in verdict.detail

    def test_one_of_another_host_sends_nothing(self, tls, bundle):
        with Server(answer(), tls=tls(CERTIFICATE)) as server:
            elsewhere = server.url.replace("127.0.0.1", "localhost")
            verdict = post(elsewhere, ca_bundle=bundle)
        assert verdict.outcome is Outcome.NOT_SENT
        assert "localhost" in verdict.detail

    def test_one_in_the_bundle_is_trusted_and_its_connection_kept(self, tls, bundle):
        with Server(answer(), tls=tls(CERTIFICATE)) as server:
            verdicts = [post(server, ca_bundle=bundle) for _ in range(3)]
        assert verdicts == [DELIVERED] * 3
        assert server.opened == 1

    @pytest.mark.parametrize("name", ["REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"])
    def test_the_bundle_may_come_from_the_environment(
        self, tls, bundle, name, monkeypatch
    ):
        monkeypatch.setenv(name, bundle)
        with Server(answer(), tls=tls(CERTIFICATE)) as server:
            assert post(server) == DELIVERED

    def test_what_the_settings_say_comes_before_the_environment(
        self, tls, bundle, monkeypatch
    ):
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", "/nowhere")
        with Server(answer(), tls=tls(CERTIFICATE)) as server:
            assert post(server, ca_bundle=bundle) == DELIVERED

    def test_a_bundle_that_is_missing_sends_nothing(self, tls):
        with Server(answer(), tls=tls(CERTIFICATE)) as server:
            verdict = post(server, ca_bundle="/nowhere/ca.pem")
        assert verdict.outcome is Outcome.NOT_SENT
        assert "/nowhere/ca.pem" in verdict.detail

    def test_a_handshake_that_takes_too_long_sends_nothing(self, silence):
        with took(at_least=0.3, at_most=4):
            verdict = post(f"https://{silence}", connect_timeout=0.3)
        assert verdict.outcome is Outcome.NOT_SENT
        assert "timed out" in verdict.detail

    def test_a_reset_after_the_request_has_left_is_unknown(self, tls, bundle):
        with Server(b"", tls=tls(CERTIFICATE), keep=False) as server:
            verdict = post(server, ca_bundle=bundle)
        assert verdict.outcome is Outcome.UNKNOWN

    def test_a_proxy_sees_neither_the_key_nor_the_body(self, tls, bundle):
        def tunnel(talk):
            talk.wfile.write(b"HTTP/1.1 200 Established\r\n\r\n")
            talk.secure(tls(CERTIFICATE))

        with Server(tunnel, answer(), b"") as proxy:
            options: dict[str, Any] = {
                "proxies": {"https": proxy.url},
                "ca_bundle": bundle,
            }
            verdict = post("https://127.0.0.1:443", **options)
        assert verdict == DELIVERED
        connect, inner = proxy.asked
        assert connect.startswith(b"CONNECT 127.0.0.1:443 HTTP/1.")
        assert KEY.encode() not in connect
        assert inner.startswith(f"POST {PATH} HTTP/1.1".encode())


class TestProxy:
    SHOP = "http://api.connectly.test"

    @pytest.mark.parametrize("name", ["http_proxy", "HTTP_PROXY", "all_proxy"])
    def test_that_of_the_environment_is_used(self, name, monkeypatch):
        with Server(answer()) as proxy:
            monkeypatch.setenv(name, proxy.url)
            assert post(self.SHOP) == DELIVERED
        assert proxy.asked[0].startswith(f"POST {self.SHOP}{PATH} HTTP/1.1".encode())

    def test_an_exception_of_the_environment_holds(self, monkeypatch, sandbox):
        with Server(answer()) as proxy:
            monkeypatch.setenv("http_proxy", proxy.url)
            monkeypatch.setenv("no_proxy", "127.0.0.1")
            assert post(sandbox) == DELIVERED
        assert (proxy.asked, sandbox.event_count) == ([], 1)

    def test_none_in_the_settings_bypasses_that_of_the_environment(
        self, monkeypatch, sandbox
    ):
        with Server(answer()) as proxy:
            monkeypatch.setenv("http_proxy", proxy.url)
            assert post(sandbox, proxies={}) == DELIVERED
        assert (proxy.asked, sandbox.event_count) == ([], 1)

    def test_that_of_the_settings_comes_before_the_environment(self, monkeypatch):
        monkeypatch.setenv("http_proxy", "http://nowhere.test:1")
        monkeypatch.setenv("no_proxy", "*")
        with Server(answer()) as proxy:
            assert post(self.SHOP, proxies={"http": proxy.url}) == DELIVERED

    @pytest.mark.parametrize(
        ("said", "words"),
        [
            (b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n", "407"),
            (b"HTTP/1.1 502 Bad Gateway\r\n\r\n", "502"),
            (b"", "closed"),
            (b"HTTP/1.1 200 Established\r\n\r\n", ""),
        ],
    )
    def test_one_that_opens_no_tunnel_sends_nothing(self, said, words):
        with Server(said, keep=False) as proxy:
            verdict = post("https://127.0.0.1:443", proxies={"https": proxy.url})
        assert verdict.outcome is Outcome.NOT_SENT
        assert words in verdict.detail

    def test_one_that_drips_ends_at_the_deadline(self, silence):
        proxies = {"https": f"http://{silence}"}
        with took(at_least=0.4, at_most=4):
            verdict = post("https://x.test", proxies=proxies, deadline=0.4)
        assert verdict.outcome is Outcome.NOT_SENT


def test_it_works_where_there_is_neither_django_nor_celery(sandbox):
    script = (
        "import sys\n"
        "sys.modules.update(dict.fromkeys(['django', 'celery', 'kombu']))\n"
        "from connectly_tracking import landing, payload, wire\n"
        "assert 'requests' not in sys.modules\n"
        "from connectly_tracking.client import Client\n"
        "from connectly_tracking.secret import Secret\n"
        "url, business, key, body = sys.argv[1:]\n"
        "client = Client(base_url=url, business_id=business, key=Secret(key))\n"
        "sys.exit(client.post(body).outcome != 'confirmed')\n"
    )
    arguments = ["-W", "error", "-c", script, sandbox.url, BUSINESS, KEY, BODY]
    subprocess.run([sys.executable, *arguments], cwd=ROOT, check=True, timeout=60)


def test_the_example_in_the_docstring_can_be_typed():
    from connectly_tracking import client as module

    names = re.findall(r"(\w+)=", str(module.__doc__))
    assert set(names) <= {"base_url", "business_id", "key"}
