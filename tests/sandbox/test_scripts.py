"""What happens to which request, and how often."""

from __future__ import annotations

from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pytest
import requests

from .ask import (
    PATH,
    changed,
    order,
    post,
)


class TestScripts:
    def statuses(self, sandbox, count, order_id="ORD-1"):
        return [post(sandbox, order(order_id)).status_code for _ in range(count)]

    def test_without_times_it_lasts_until_something_else_is_asked_for(self, sandbox):
        sandbox.behave("500")
        assert self.statuses(sandbox, 3) == [500, 500, 500]
        sandbox.behave("ok")
        assert self.statuses(sandbox, 2) == [200, 200]

    def test_times_are_counted_and_several_calls_queue_up(self, sandbox):
        sandbox.behave("500", times=2)
        sandbox.behave("401", times=1)
        assert self.statuses(sandbox, 4) == [500, 500, 401, 200]
        assert sandbox.behaviours == []

    @pytest.mark.parametrize(
        "script",
        [["500*2", "503", "418"], ["500×2", "503 * 1", "418"]],  # noqa: RUF001
    )
    def test_a_list_is_a_script_whose_last_line_lasts(self, sandbox, script):
        sandbox.behave(script)
        assert self.statuses(sandbox, 5) == [500, 500, 503, 418, 418]

    def test_a_star_after_a_colon_belongs_to_the_words(self, sandbox):
        sandbox.behave("429:4*2")
        assert post(sandbox).headers["Retry-After"] == "4*2"

    def test_the_script_of_an_order_goes_before_that_for_all(self, sandbox):
        sandbox.behave("503")
        sandbox.behave("500*2", order_id="ORD-1")
        sandbox.behave("ok", order_id="ORD-2")
        assert self.statuses(sandbox, 3, "ORD-1") == [500, 500, 503]
        assert self.statuses(sandbox, 2, "ORD-2") == [200, 200]
        assert self.statuses(sandbox, 1, "ORD-3") == [503]

    def test_an_event_without_an_order_follows_the_script_for_all(self, sandbox):
        sandbox.behave("503")
        view = changed(event_name="ViewContent", payload={})
        assert post(sandbox, view).status_code == 503

    def test_requests_beside_the_endpoint_use_no_step_up(self, sandbox):
        sandbox.behave("500", times=1)
        assert post(sandbox, path="/redirected").status_code == 404
        assert requests.get(sandbox.url + PATH, timeout=10).status_code == 405
        assert self.statuses(sandbox, 2) == [500, 200]

    def test_what_is_still_to_happen_can_be_read(self, sandbox):
        sandbox.behave("500", times=3)
        sandbox.behave("hang", order_id="ORD-1")
        self.statuses(sandbox, 1, "ORD-2")
        assert sandbox.behaviours == [
            {"behaviour": "500", "times": 2, "order_id": None},
            {"behaviour": "hang", "times": None, "order_id": "ORD-1"},
        ]

    def test_many_threads_use_exactly_the_steps_there_are(self, sandbox):
        sandbox.behave("500", times=60)
        with ThreadPoolExecutor(8) as pool:
            answers = pool.map(lambda n: post(sandbox, order(f"O-{n}")), range(160))
            counts = Counter(answer.status_code for answer in answers)
        assert counts == {500: 60, 200: 100}
        assert (sandbox.received_count, sandbox.event_count) == (160, 100)
