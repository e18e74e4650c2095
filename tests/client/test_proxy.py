"""The environment's proxies, or the ones that the settings name."""

from __future__ import annotations

import pytest

from connectly_tracking.api.verdicts import Outcome

from .post import (
    DELIVERED,
    PATH,
    post,
    took,
)
from .server import Server, answer


class TestProxy:
    SHOP = "http://api.connectly.test"

    @pytest.mark.parametrize("name", ["http_proxy", "HTTP_PROXY", "all_proxy"])
    def test_that_of_the_environment_is_used(self, name, monkeypatch):
        with Server(answer()) as proxy:
            monkeypatch.setenv(name, proxy.url)
            assert post(self.SHOP) == DELIVERED
        assert proxy.asked[0].startswith(f"POST {self.SHOP}{PATH} HTTP/1.1".encode())

    def test_a_socks_proxy_uses_no_order_up(self, monkeypatch):
        monkeypatch.setenv("ALL_PROXY", "socks5h://127.0.0.1:1")
        verdict = post(self.SHOP)
        assert verdict.outcome is Outcome.NOT_SENT
        assert "SOCKS proxies are not supported" in verdict.detail

    def test_an_exception_of_the_environment_holds(self, monkeypatch, sandbox):
        with Server(answer()) as proxy:
            monkeypatch.setenv("http_proxy", proxy.url)
            monkeypatch.setenv("no_proxy", "127.0.0.1")
            assert post(sandbox) == DELIVERED
        assert (proxy.asked, sandbox.event_count) == ([], 1)

    @pytest.mark.parametrize("no_proxy", [None, "", "elsewhere.test"])
    @pytest.mark.parametrize(
        "name", ["http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"]
    )
    def test_loopback_never_goes_through_that_of_the_environment(
        self, name, no_proxy, monkeypatch, sandbox
    ):
        with Server(answer()) as proxy:
            monkeypatch.setenv(name, proxy.url)
            if no_proxy is not None:
                monkeypatch.setenv("no_proxy", no_proxy)
            assert post(sandbox) == DELIVERED
        assert (proxy.asked, proxy.opened, sandbox.event_count) == ([], 0, 1)

    @pytest.mark.parametrize(
        "host",
        [
            *["127.0.0.1", "127.0.0.2", "127.1", "2130706433", "0x7f000001"],
            *["localhost", "LOCALHOST", "localhost.", "0177.0.0.1"],
            *["api.localhost", "[::ffff:127.0.0.1]", "0.0.0.0"],
        ],
    )
    @pytest.mark.parametrize("scheme", ["http", "all", "http://{}", "all://{}"])
    def test_loopback_never_goes_through_that_of_the_settings(
        self, host, scheme, sandbox
    ):
        port = sandbox.url.rpartition(":")[2]
        with Server(answer()) as proxy:
            proxies = {scheme.format(host.lower()): proxy.url}
            verdict = post(f"http://{host}:{port}", proxies=proxies)
        assert proxy.opened == 0
        # A resolver may not know a name below localhost, and a machine may lack IPv6.
        assert verdict == DELIVERED or verdict.outcome is Outcome.NOT_SENT

    @pytest.mark.parametrize("name", ["https_proxy", "HTTPS_PROXY", "all_proxy"])
    def test_nor_does_a_request_to_loopback_by_https(self, name, monkeypatch):
        with Server(answer()) as proxy:
            monkeypatch.setenv(name, proxy.url)
            assert post("https://127.0.0.1:1").outcome is Outcome.NOT_SENT
        assert proxy.opened == 0

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

    @pytest.mark.parametrize("scheme", ["http", "https"])
    @pytest.mark.parametrize(
        ("proxy", "said"),
        [
            ("http://shop:s3cret/pw@proxy.test:3128", "LocationParseError: Failed to"),
            ("http://shop:s3cret#pw@proxy.test:3128", "LocationParseError: Failed to"),
            ("http://shop:s3cret?pw@proxy.test:3128", "LocationParseError: Failed to"),
            ("http://shop:s3'cret': /pw@proxy.test:3128", "LocationParseError: Failed"),
            ("http://shop:s3c[ret@proxy.test:3128", "ValueError: Invalid IPv6 URL"),
            ("shop:s3cret@proxy.test:3128", "InvalidProxyURL: Please check proxy URL"),
            ("ftp://shop:s3cret@proxy.test", "ProxySchemeUnknown: Proxy URL had unsup"),
            ("http://shop:s3cret☃@127.0.0.1:1", "UnicodeEncodeError"),
        ],
    )
    def test_a_password_in_one_that_cannot_be_read_is_not_told(
        self, proxy, said, scheme, monkeypatch
    ):
        monkeypatch.setenv(f"{scheme}_proxy", proxy)
        verdict = post(f"{scheme}://api.connectly.test")
        assert verdict.detail.startswith(said)
        assert not {*"3☃"} & {*verdict.detail}

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
            verdict = post("https://x.test", proxies={"https": proxy.url})
        assert verdict.outcome is Outcome.NOT_SENT
        assert words in verdict.detail

    @pytest.mark.parametrize("status", [402, 407, 426, 431, 494, 495, 496, 497])
    def test_what_one_says_of_itself_is_not_the_fault_of_an_event(self, status):
        head = 'Proxy-Authenticate: Basic realm="proxy"\r\n'
        with Server(answer(b"pay", status=status, headers=head)) as proxy:
            verdict = post(self.SHOP, proxies={"http": proxy.url})
        assert (verdict.outcome, verdict.status_code) == ("configuration", status)
        assert verdict.detail == "pay"

    @pytest.mark.parametrize("status", [421, 511])
    def test_what_another_connection_may_change_is_tried_again(self, status):
        with Server(answer(b"not here", status=status)) as proxy:
            verdict = post(self.SHOP, proxies={"http": proxy.url})
        assert (verdict.outcome, verdict.status_code) == ("unavailable", status)

    @pytest.mark.parametrize("scheme", ["http", "https"])
    @pytest.mark.parametrize(
        ("proxy", "said"),
        [
            ("http://no-such-proxy.invalid:3128", "ProxyError: gaierror: "),
            ("http://127.0.0.1:1", "ProxyError: ConnectionRefusedError: "),
        ],
    )
    def test_one_that_cannot_be_reached_is_told_from_the_api(self, proxy, said, scheme):
        verdict = post(f"{scheme}://api.connectly.test", proxies={scheme: proxy})
        assert verdict.outcome is Outcome.NOT_SENT
        assert verdict.detail.startswith(said)

    def test_one_that_drips_ends_at_the_deadline(self, silence):
        proxies = {"https": f"http://{silence}"}
        with took(at_least=0.4, at_most=4):
            verdict = post("https://x.test", proxies=proxies, deadline=0.4)
        assert verdict.outcome is Outcome.NOT_SENT
