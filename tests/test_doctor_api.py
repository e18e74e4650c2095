"""The doctor asks the API: each answer, and each way not to get one."""

from __future__ import annotations

import io
import json
import socket
import threading
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import TYPE_CHECKING, Any

import pytest
from django.core.management import CommandError, call_command

from connectly_tracking.conf import conf
from connectly_tracking.doctor import Finding, ProbeRequest, probe
from connectly_tracking.models import Circuit, Conversion, DeliveryAttempt

from .conftest import TAGGED
from .doctor import assert_says, run, run_json

if TYPE_CHECKING:
    from collections.abc import Iterator

    from connectly_tracking.sandbox import Sandbox

OTHER = "9e1b8c1e-5d4a-4b6f-9a7e-0c1d2e3f4a5b"


def probed() -> Finding:
    """What the answer to a probe means."""
    (finding,) = probe(ProbeRequest.invalid(conf.business("default")))
    return finding


def test_a_refusal_is_the_good_answer(sandbox: Sandbox) -> None:
    finding = probed()
    assert finding.code == "api_ok"
    assert_says(finding, "ok", "400", "The key and the business are right")
    assert sandbox.received_count == 1
    assert sandbox.event_count == 0


def test_a_wrong_key_is_told_from_an_unknown_business(
    sandbox: Sandbox, configure: Any
) -> None:
    configure(API_KEY="another-key")
    finding = probed()
    assert finding.code == "api_key_refused"
    assert_says(finding, "error", "401", "Copy API_KEY")
    configure(API_KEY=sandbox._endpoint.api_key, BUSINESS_ID=OTHER)
    finding = probed()
    assert finding.code == "api_business_unknown"
    assert_says(finding, "error", "404", "WhatsApp Cloud channel")


@pytest.mark.parametrize(
    ("behaviour", "code", "level", "words"),
    [
        ("403", "api_key_refused", "error", "Copy API_KEY"),
        ("405", "api_address_wrong", "error", "https://api.connectly.ai"),
        ("410", "api_address_wrong", "error", "https://api.connectly.ai"),
        ("407", "api_proxy", "error", "what the proxy or gateway allows"),
        ("431", "api_proxy", "error", "A proxy or gateway refuses the request"),
        ("redirect", "api_redirects", "error", "never followed"),
        ("302:https://example.com/", "api_redirects", "error", "never followed"),
        ("garbage", "api_not_connectly", "error", "captive portal"),
        ("empty", "api_not_connectly", "error", "captive portal"),
        ("200", "api_accepts_anything", "error", "must refuse"),
        ("422", "api_event_refused", "warning", "422"),
        ("429:60", "api_throttles", "warning", "as long as the API asks"),
        ("503:60", "api_throttles", "warning", "as long as the API asks"),
        ("500", "api_unavailable", "warning", "tried again"),
        ("503", "api_unavailable", "warning", "tried again"),
        ("reset-before", "api_mute", "error", "No complete answer"),
        ("reset-after", "api_mute", "error", "No complete answer"),
    ],
)
def test_each_answer_has_its_meaning(
    sandbox: Sandbox, behaviour: str, code: str, level: str, words: str
) -> None:
    sandbox.behave(behaviour)
    finding = probed()
    assert finding.code == code
    assert_says(finding, level, words)


def test_an_api_that_says_nothing_is_not_waited_for(
    sandbox: Sandbox, configure: Any
) -> None:
    configure(READ_TIMEOUT=0.2)
    sandbox.behave("hang")
    finding = probed()
    assert finding.code == "api_mute"
    assert_says(finding, "error", "firewall")


def test_nobody_listens(configure: Any) -> None:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{bound.getsockname()[1]}"
        configure(BASE_URL=f"http://{address}", PROXIES={})
        finding = probed()
        assert finding.code == "api_refused"
        assert_says(finding, "error", "refuses the connection", "BASE_URL")
        proxies = {"https": f"http://{address}"}
        configure(BASE_URL="https://api.invalid", PROXIES=proxies)
        finding = probed()
    assert finding.code == "api_proxy"
    assert_says(finding, "error", "NO_PROXY")


def test_a_name_without_an_address(configure: Any) -> None:
    configure(BASE_URL="https://api.invalid", PROXIES={})
    finding = probed()
    assert finding.code == "api_unknown_host"
    assert_says(finding, "error", "name server")


def test_a_proxys_name_without_an_address(configure: Any) -> None:
    proxies = {"https": "http://no-such-proxy.invalid:3128"}
    configure(BASE_URL="https://api.invalid", PROXIES=proxies)
    finding = probed()
    assert finding.code == "api_proxy"
    assert_says(finding, "error", "The proxy's host name cannot be resolved", "PROXIES")


def test_an_address_that_speaks_no_tls(sandbox: Sandbox, configure: Any) -> None:
    configure(BASE_URL=sandbox.url.replace("http:", "https:"), PROXIES={})
    finding = probed()
    assert finding.code == "api_tls"
    assert_says(finding, "error", "CA_BUNDLE")


def test_a_proxy_that_refuses_the_tunnel(sandbox: Sandbox, configure: Any) -> None:
    configure(BASE_URL="https://api.invalid", PROXIES={"https": sandbox.url})
    finding = probed()
    assert finding.code == "api_proxy"
    assert_says(finding, "error", "PROXIES")


def test_an_exchange_that_takes_too_long_in_all(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("connectly_tracking.doctor.api.PROBE_LIMIT", 0.1)
    sandbox.behave("delay:1")
    finding = probed()
    assert (finding.code, finding.business) == ("api_mute", "default")


def test_a_check_that_fails_is_of_its_business(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("connectly_tracking.doctor.api.make_client", None)
    finding = probed()
    assert (finding.code, finding.business) == ("check_failed", "default")


class _Refuses(BaseHTTPRequestHandler):
    ahead: timedelta

    def do_POST(self) -> None:
        self.send_response(400)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def date_time_string(self, timestamp: float | None = None) -> str:
        return format_datetime(datetime.now(UTC) + self.ahead, usegmt=True)

    def log_message(self, *_: Any) -> None:
        """Not to stderr."""


@contextmanager
def api_that_is(ahead: timedelta) -> Iterator[str]:
    """Refuses everything, at a time of its own."""
    handler = type("Handler", (_Refuses,), {"ahead": ahead})
    with HTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.handle_request, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"


@pytest.mark.parametrize(
    ("seconds", "code"),
    [
        (0, None),
        (20, "api_clock_apart"),
        (-20, "api_clock_apart"),
        (600, "api_clock_far_apart"),
    ],
)
def test_an_answers_date_shows_a_clock_that_is_off(
    configure: Any, seconds: float, code: str | None
) -> None:
    with api_that_is(timedelta(seconds=seconds)) as url:
        configure(BASE_URL=url, PROXIES={})
        answer, *clock = probe(ProbeRequest.invalid(conf.business("default")))
    assert answer.code == "api_ok"
    assert [finding.code for finding in clock] == ([code] if code else [])
    for finding in clock:
        assert finding.business == ""
        assert "NTP" in finding.remedy


def test_a_probe_warns_and_asks_and_leaves_no_trace(
    db: None, sandbox: Sandbox, configure: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    configure(API_KEY="another-key")
    monkeypatch.setattr("sys.stdin", io.StringIO("y\n"))
    status, out, err = run("--probe")
    assert status == 2
    assert "[api_key_refused]" in out
    assert "status 400" in err
    assert "may be counted" in err
    assert "another-key" not in out + err
    for model in (Conversion, DeliveryAttempt, Circuit):
        assert not model.objects.exists()


@pytest.mark.parametrize("typed", ["", "\n", "no\n", "why?\n"])
@pytest.mark.parametrize("option", ["--probe", "--send-test"])
def test_without_a_yes_nothing_is_sent(
    db: None,
    sandbox: Sandbox,
    monkeypatch: pytest.MonkeyPatch,
    option: str,
    typed: str,
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(typed))
    out = io.StringIO()
    with pytest.raises(CommandError, match="Nothing was sent"):
        call_command("connectly_doctor", option, stdout=out, stderr=io.StringIO())
    assert sandbox.received_count == 0


def test_each_business_is_asked(db: None, sandbox: Sandbox, configure: Any) -> None:
    configure(BUSINESSES={"br": {"BUSINESS_ID": OTHER, "API_KEY": "k-br"}})
    _status, report = run_json("--probe", "--yes")
    texts = {it["code"]: it["text"] for it in report["findings"]}
    assert texts["api_ok"].startswith("default: ")
    assert texts["api_key_refused"].startswith("br: ")
    of = {it["code"]: it["business"] for it in report["findings"]}
    assert (of["api_ok"], of["api_key_refused"]) == ("default", "br")
    assert sandbox.received_count == 2


def test_a_test_purchase_is_shown_as_it_is_sent(db: None, sandbox: Sandbox) -> None:
    _status, out, err = run("--send-test", "--yes")
    body = out.splitlines()[0]
    (event,) = sandbox.events
    assert event.body == body.encode()
    sent = json.loads(body)
    assert sent["payload"]["order_id"].startswith("connectly-doctor-")
    assert '"value": 1.00' in body
    assert "cannot be withdrawn" in err
    assert "The test purchase was confirmed" in out
    assert not Conversion.objects.exists()


def test_a_test_purchase_may_have_a_links_own_ids(db: None, sandbox: Sandbox) -> None:
    run("--send-test", "--yes", "--click", f"https://shop.example{TAGGED}")
    (event,) = sandbox.events
    assert json.loads(event.body)["attribution"]["meta_ctwa"]["ctwa_clid"] == "clid-1"
    with pytest.raises(CommandError, match="needs --send-test"):
        call_command("connectly_doctor", "--click", TAGGED)
    with pytest.raises(CommandError, match="sendout_id, ctwa_clid, ad_id"):
        call_command("connectly_doctor", "--click", "/?cnct_tracking_id=t")


def test_what_meta_says_of_a_test_purchase_is_shown(db: None, sandbox: Sandbox) -> None:
    sandbox.behave("400:(#100) Invalid ctwa_clid")
    _status, report = run_json("--send-test", "--yes")
    (finding,) = [it for it in report["findings"] if it["subject"] == "api"]
    assert finding["code"] == "api_event_refused"
    assert "Invalid ctwa_clid" in finding["text"]
    assert "may have been counted" in finding["remedy"]


def test_of_several_businesses_one_must_be_named(
    db: None, sandbox: Sandbox, configure: Any
) -> None:
    configure(BUSINESSES={"br": {"BUSINESS_ID": OTHER, "API_KEY": "k-br"}})
    with pytest.raises(CommandError, match="--business: default, br"):
        call_command("connectly_doctor", "--send-test", "--yes")
    run("--send-test", "--yes", "--business", "default")
    assert sandbox.event_count == 1


def test_without_a_key_nothing_can_be_asked(db: None, configure: Any) -> None:
    configure(API_KEY="")
    with pytest.raises(CommandError, match="No business"):
        call_command("connectly_doctor", "--probe")
