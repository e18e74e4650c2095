"""What goes out, once and no further."""

from __future__ import annotations

from connectly_tracking import __version__
from connectly_tracking.api.verdicts import Outcome

from .post import (
    BODY,
    DELIVERED,
    KEY,
    PATH,
    post,
)
from .server import Server, answer


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
