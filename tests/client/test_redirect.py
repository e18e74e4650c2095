"""A redirect that names a place is not followed either."""

from __future__ import annotations

import pytest

from connectly_tracking.api.client import MAX_ANSWER
from connectly_tracking.api.verdicts import Outcome

from .post import (
    post,
    post_to,
)
from .server import Server, answer


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
