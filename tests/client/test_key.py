"""The key is in the request, and nowhere else."""

from __future__ import annotations

import base64
import json
import pickle

import pytest

from connectly_tracking.api.client import MAX_ANSWER
from connectly_tracking.api.secret import Secret
from connectly_tracking.api.verdicts import Outcome

from .post import (
    KEY,
    client_of,
    post,
    post_to,
)
from .server import Server, answer


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

    @pytest.mark.parametrize(
        "echo",
        [
            KEY.upper(),
            KEY.replace("-", "&#45;"),
            KEY.replace("-", "\\u002d"),
            KEY.replace("-", "%252D"),
            "\u200b".join(KEY),
            base64.b64encode(f"key:{KEY}".encode()).decode(),
            f"{'.' * (MAX_ANSWER - 18)}{KEY}",
        ],
        ids=["upper", "html", "json", "url", "zero-width", "base64", "cut"],
    )
    def test_an_echo_in_another_spelling_is_masked(self, echo):
        detail = post_to(answer(f"the key {echo}".encode(), status=400)).detail
        assert detail.removeprefix("the key ").strip(".") in {"***", "a2V5Om***"}

    @pytest.mark.parametrize("length", [40, 90, 200])
    def test_an_echo_in_the_name_of_an_encoding_is_masked(self, length):
        key = KEY * (length // len(KEY))
        head = (
            f"HTTP/1.1 400 No\r\nContent-Encoding: {key}\r\nContent-Length: 1\r\n\r\n"
        )
        verdict = post_to(head.encode() + b"\xff", key=Secret(key))
        assert KEY[:8] not in verdict.detail
        assert verdict.detail.startswith("[1 bytes of unreadable ")

    def test_an_echo_in_a_status_line_is_masked(self):
        echo = f"{base64.b64encode(KEY.encode()).decode()} {KEY.upper()}\r\n\r\n"
        verdict = post_to(echo.encode())
        assert verdict.outcome is Outcome.UNKNOWN
        assert KEY.upper() not in verdict.detail
        assert verdict.detail.count("***") == 2

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
