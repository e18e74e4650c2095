"""Nothing is sent to whom nobody vouches for."""

from __future__ import annotations

import re
import ssl
from pathlib import Path
from typing import Any

import pytest

from connectly_tracking.api.verdicts import Outcome

from .certificates import CERTIFICATE, ELSEWHERE, EXPIRED, PRIVATE_KEY
from .post import (
    DELIVERED,
    KEY,
    PATH,
    post,
    took,
)
from .server import Server, answer


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
        Path(bundle).write_text(ELSEWHERE)

        def tunnel(talk):
            talk.wfile.write(b"HTTP/1.1 200 Established\r\n\r\n")
            talk.secure(tls(ELSEWHERE))

        with Server(tunnel, answer(), b"") as proxy:
            options: dict[str, Any] = {
                "proxies": {"https": proxy.url},
                "ca_bundle": bundle,
            }
            verdict = post("https://api.connectly.test", **options)
        assert verdict == DELIVERED
        connect, inner = proxy.asked
        assert connect.startswith(b"CONNECT api.connectly.test:443 HTTP/1.")
        assert KEY.encode() not in connect
        assert inner.startswith(f"POST {PATH} HTTP/1.1".encode())
