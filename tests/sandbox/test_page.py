"""What a person sees and presses in a browser."""

from __future__ import annotations

import contextlib
import http.client
import json
import re
from datetime import datetime

import pytest
import requests

from connectly_tracking.sandbox import Sandbox
from connectly_tracking.sandbox.rules import BODY_LIMIT

from .ask import (
    ABSENT,
    BUSINESS,
    KEY,
    PATH,
    changed,
    message,
    order,
    post,
)


class TestPage:
    def ask(self, sandbox, path, method="GET", **options):
        return requests.request(method, sandbox.url + path, timeout=10, **options)

    def test_health_is_fine(self, sandbox):
        assert self.ask(sandbox, "/healthz").json() == {"status": "ok"}

    def test_events_and_refusals_are_listed_newest_last(self, sandbox):
        sandbox.behave(["ok", "500", "400:Meta's words", "ok"])
        for number in range(4):
            post(sandbox, order(f"O-{number}"))
        seen = self.ask(sandbox, "/events").json()
        assert [e["order_id"] for e in seen["events"]] == ["O-0", "O-2", "O-3"]
        assert [e["order_id"] for e in seen["refused"]] == ["O-1"]
        assert (seen["received_count"], seen["event_count"]) == (4, 3)
        event = seen["events"][1]
        assert json.loads(event["body"]) == order("O-2")
        assert (event["status"], event["behaviour"]) == (400, "400:Meta's words")
        assert json.loads(event["answer"])["message"] == "Meta's words"
        assert datetime.fromisoformat(event["time"]).tzinfo is not None
        assert event["headers"]["X-API-KEY"] == "***"

    def test_only_what_is_new_can_be_asked_for(self, sandbox):
        for number in range(3):
            post(sandbox, order(f"O-{number}"))
        seen = self.ask(sandbox, "/events?after=2").json()
        assert [e["number"] for e in seen["events"]] == [3]
        assert seen["oldest"] == 1
        assert self.ask(sandbox, "/events?after=x").status_code == 400

    def test_another_sandbox_is_told_from_the_same_one(self, sandbox):
        def tells(sandbox):
            asked = (self.ask(sandbox, path).json() for path in ("/about", "/events"))
            (told,) = {answer["sandbox"] for answer in asked}
            return told

        before = tells(sandbox)
        sandbox.stop()
        assert tells(sandbox.start()) == before
        with Sandbox(business_id=BUSINESS, api_key=KEY) as another:
            assert tells(another) != before

    def test_events_can_be_cleared(self, sandbox):
        post(sandbox)
        sandbox.behave("500")
        seen = self.ask(sandbox, "/events", "DELETE").json()
        assert (seen["events"], seen["received_count"], seen["oldest"]) == ([], 0, 2)
        assert sandbox.requests == []
        assert len(sandbox.behaviours) == 1

    def test_behaviours_can_be_added_read_and_cleared(self, sandbox):
        steps = [{"behaviour": "500", "times": 3, "order_id": None}]
        added = self.ask(sandbox, "/behaviours", "POST", json=steps[0])
        assert added.json() == {"behaviours": steps, "delay": 0.0}
        self.ask(
            sandbox, "/behaviours", "POST", json={"behaviour": "hang", "order_id": "A"}
        )
        steps.append({"behaviour": "hang", "times": None, "order_id": "A"})
        assert self.ask(sandbox, "/behaviours").json()["behaviours"] == steps
        assert post(sandbox).status_code == 500
        cleared = self.ask(sandbox, "/behaviours", "DELETE").json()
        assert cleared["behaviours"] == sandbox.behaviours == []

    @pytest.mark.parametrize(
        "body",
        [
            b"",
            b"[]",
            b"{}",
            b'{"behaviour": "teapot"}',
            b'{"behaviour": 500}',
            b'{"behaviour": "body:\\ud800"}',
            b'{"behaviour": "500", "times": 0}',
            b'{"behaviour": "500", "order_id": 1}',
            b'{"behaviour": "500", "time": 1}',
            b"[" * 100_000,
        ],
    )
    def test_a_behaviour_that_is_none_is_refused(self, sandbox, body):
        headers = {"Content-Type": "application/json"}
        answer = self.ask(sandbox, "/behaviours", "POST", data=body, headers=headers)
        assert (answer.status_code, answer.json()["code"]) == (400, "INVALID_ARGUMENT")
        assert sandbox.behaviours == []

    @pytest.mark.parametrize(
        ("path", "content_type"),
        [
            ("/", "text/html; charset=utf-8"),
            ("/page.css", "text/css; charset=utf-8"),
            ("/page.js", "text/javascript; charset=utf-8"),
            ("/page.svg", "image/svg+xml"),
        ],
    )
    def test_the_page_runs_nothing_but_its_own_files(self, sandbox, path, content_type):
        answer = self.ask(sandbox, path)
        assert answer.headers["Content-Type"] == content_type
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        policy = answer.headers["Content-Security-Policy"].split("; ")
        assert policy[0] == "default-src 'self'"
        assert "frame-ancestors 'none'" in policy
        assert "unsafe" not in answer.headers["Content-Security-Policy"]

    def test_the_page_needs_nothing_from_elsewhere(self, sandbox):
        for path in ("/", "/page.css", "/page.js"):
            text = self.ask(sandbox, path).text
            for absent in ("http:", "https:", "url(", "@import", "eval(", "//www"):
                assert absent not in text
        page = self.ask(sandbox, "/").text
        assert re.findall(r"<script[^>]*>", page) == ['<script src="page.js" defer>']
        assert not re.search(r"<style|\sstyle=|\son[a-z]+=|javascript:", page)

    def test_the_page_puts_in_what_came_as_text(self, sandbox):
        script = self.ask(sandbox, "/page.js").text
        assert "textContent" in script
        for absent in ("innerHTML", "outerHTML", "insertAdjacent", "document.write"):
            assert absent not in script

    def test_an_event_cannot_end_the_json_that_it_is_shown_in(self, sandbox):
        words = "</script><script>alert(1)</script>"
        event = changed(
            cnct_tracking_id=words,
            sendout_id=words,
            attribution__meta_ctwa__ctwa_clid=words,
            payload__order_id=words,
        )
        post(sandbox, event)
        answer = self.ask(sandbox, "/events")
        assert answer.headers["Content-Type"] == "application/json"
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        (seen,) = answer.json()["events"]
        assert json.loads(seen["body"]) == event

    def test_each_button_asks_for_what_the_sandbox_can_do(self, sandbox):
        page = self.ask(sandbox, "/").text
        offered = re.findall('data-behaviour="([^"]+)"', page)
        assert {name.partition(":")[0] for name in offered} == {
            *("500", "429", "503", "400", "401", "404", "ok"),
            *("redirect", "garbage", "empty", "unconfirmed"),
            *("delay", "drip", "drip-body", "hang"),
            *("reset-before", "reset-after", "half-body", "close"),
        }
        wanted = [
            {
                "behaviour": name.replace("SECONDS", "5").replace(
                    "MESSAGE", "(#100) No"
                ),
                "times": times,
                "order_id": order_id,
            }
            for name in offered
            for times, order_id in ((1, None), (3, "A"), (None, "A"))
        ]
        for one in wanted:
            assert self.ask(sandbox, "/behaviours", "DELETE").json() == {
                "behaviours": [],
                "delay": 0.0,
            }
            said = self.ask(sandbox, "/behaviours", "POST", json=one).json()
            assert said["behaviours"] == [one]

    def test_a_refused_event_comes_with_all_its_problems(self, sandbox):
        answer = post(
            sandbox,
            changed(
                event_name="purchase",
                sendout_id="",
                payload__currency="usd",
                payload__value=ABSENT,
                payload__contents__1__id=2,
                payload__curency="USD",
            ),
        )
        (seen,) = self.ask(sandbox, "/events").json()["refused"]
        assert [problem["field"] for problem in seen["problems"]] == [
            "event_name",
            "sendout_id",
            "payload.curency",
            "payload.currency",
            "payload.contents[1].id",
        ]
        assert seen["problems"][0]["message"] == message(answer)
        assert seen["problems"][1]["message"] == "sendout_id must not be empty"

    @pytest.mark.parametrize(
        ("body", "problems"),
        [
            (changed(payload=ABSENT), {"payload": "payload is required"}),
            (
                {"event_name": "Purchase", "payload": {}},
                {
                    "cnct_tracking_id": "cnct_tracking_id is required",
                    "sendout_id": "sendout_id is required",
                    "attribution": "attribution is required",
                    "payload.currency": "payload.currency is required for a Purchase",
                    "payload.value": "payload.value is required for a Purchase",
                },
            ),
            (b"[]", {"": "the body must be an object, not a list"}),
            (
                b" " * (BODY_LIMIT + 1),
                {"": f"the body is larger than {BODY_LIMIT} bytes"},
            ),
        ],
        ids=["payload", "many", "list", "large"],
    )
    def test_problems_are_listed_however_little_is_left(self, sandbox, body, problems):
        post(sandbox, body)
        (seen,) = self.ask(sandbox, "/events").json()["refused"]
        assert {f["field"]: f["message"] for f in seen["problems"]} == problems

    def test_at_most_fifty_problems_are_listed(self, sandbox):
        post(sandbox, changed(payload__content_ids=[1] * 100_000))
        (seen,) = self.ask(sandbox, "/events").json()["refused"]
        assert len(seen["problems"]) == 50

    def test_problems_are_the_events_own(self, sandbox):
        sandbox.behave(["500", "500", "ok"])
        post(sandbox)
        post(sandbox, changed(sendout_id=""))
        post(sandbox)
        post(sandbox, path="/elsewhere")
        seen = self.ask(sandbox, "/events").json()
        counts = [len(one["problems"]) for one in seen["events"] + seen["refused"]]
        assert counts == [0, 0, 1, 0]

    def test_it_says_where_events_go_and_not_with_which_key(self, sandbox):
        answer = self.ask(sandbox, "/about")
        told = answer.json()
        assert (told.keys(), told["path"]) == ({"path", "sandbox"}, PATH)
        for path in ("/", "/page.js", "/about", "/events"):
            assert KEY not in self.ask(sandbox, path).text

    @pytest.mark.parametrize("path", ["/", "/page.js", "/events", "/behaviours"])
    @pytest.mark.parametrize(
        "headers",
        [
            {"Host": "attacker.example"},
            {"Host": "attacker.example:80"},
            {"Host": "localhost.attacker.example"},
            {"Host": ""},
            {"Host": "a:b:c"},
            {"Host": "[fe80::1]:80"},
            {"Origin": "http://attacker.example"},
            {"Origin": "null"},
            {"Origin": "http://localhost:1"},
            {"Sec-Fetch-Site": "cross-site"},
            {"Sec-Fetch-Site": "same-site"},
            {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors"},
        ],
    )
    def test_a_foreign_page_gets_nothing(self, sandbox, path, headers):
        for method in ("GET", "DELETE", "POST"):
            answer = self.ask(sandbox, path, method, headers=headers)
            assert answer.status_code == 403

    @pytest.mark.parametrize("host", ["localhost", "127.0.0.1:80", "[::1]:80"])
    def test_a_page_of_this_host_gets_everything(self, sandbox, host):
        headers = {"Host": host, "Origin": f"http://{host}"}
        assert self.ask(sandbox, "/events", "DELETE", headers=headers).ok

    @pytest.mark.parametrize("site", ["same-origin", "none"])
    def test_the_page_itself_and_its_user_get_everything(self, sandbox, site):
        headers = {"Sec-Fetch-Site": site}
        assert self.ask(sandbox, "/behaviours", "DELETE", headers=headers).ok

    def test_a_link_from_elsewhere_leads_to_the_page_and_changes_nothing(self, sandbox):
        sandbox.behave("500")
        headers = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"}
        assert self.ask(sandbox, "/", headers=headers).ok
        for method in ("POST", "DELETE"):
            answer = self.ask(sandbox, "/behaviours", method, headers=headers)
            assert answer.status_code == 403
        assert len(sandbox.behaviours) == 1

    def test_the_host_that_is_listened_on_is_welcome_by_name(self):
        with Sandbox(business_id=BUSINESS, api_key=KEY, host="0.0.0.0") as sandbox:
            port = sandbox.url.rsplit(":", 1)[1]
            local = f"http://127.0.0.1:{port}/events"
            headers = {"Host": f"0.0.0.0:{port}"}
            assert requests.get(local, headers=headers, timeout=10).ok
            headers = {"Host": f"192.0.2.1:{port}"}
            assert requests.get(local, headers=headers, timeout=10).status_code == 403

    def test_a_form_of_a_foreign_page_changes_nothing(self, sandbox):
        headers = {"Content-Type": "text/plain"}
        answer = self.ask(
            sandbox, "/behaviours", "POST", data=b'{"behaviour":"500"}', headers=headers
        )
        assert answer.status_code == 415
        assert sandbox.behaviours == []

    def test_other_methods_are_told_which_are_allowed(self, sandbox):
        answer = self.ask(sandbox, "/behaviours", "PUT")
        assert (answer.status_code, answer.headers["Allow"]) == (
            405,
            "GET, POST, DELETE",
        )

    def test_a_look_at_the_page_is_no_request_of_the_shop(self, sandbox):
        for path in ("/", "/page.js", "/about", "/events", "/behaviours", "/healthz"):
            connection = http.client.HTTPConnection(
                sandbox.url.removeprefix("http://"), timeout=10
            )
            with contextlib.closing(connection):
                connection.request("HEAD", path)
                answer = connection.getresponse()
                assert (answer.status, answer.read()) == (200, b"")
        assert (sandbox.requests, sandbox.connections) == ([], 0)
