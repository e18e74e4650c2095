"""A compressed answer, although "identity" was asked for."""

from __future__ import annotations

import bz2
import gzip
import json
import tracemalloc
import zlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connectly_tracking.api.client import MAX_ANSWER
from connectly_tracking.api.verdicts import Outcome

from .post import DELIVERED, post, post_to
from .server import CONFIRMS, Server, answer, chunked

WORDS = json.dumps({"message": "(#100) Invalid parameter"}).encode()


def raw_deflate(text):
    packer = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return packer.compress(text) + packer.flush()


def said(body, encoding, status=200, **options):
    return answer(
        body, status=status, headers=f"Content-Encoding: {encoding}\r\n", **options
    )


PACKED = [
    ("gzip", gzip.compress),
    ("GZip", gzip.compress),
    ("x-gzip", gzip.compress),
    (" gzip ", lambda text: gzip.compress(text, 1)),
    ("gzip", lambda text: gzip.compress(text[:9]) + gzip.compress(text[9:])),
    ("gzip", lambda text: gzip.compress(text) + b"\x00" * 20),
    ("gzip", lambda text: gzip.compress(b"") + gzip.compress(text)),
    ("deflate", zlib.compress),
    ("deflate", lambda text: zlib.compress(text, 0)),
    ("deflate", raw_deflate),
    ("identity", bytes),
    ("", bytes),
]
PLAIN = [
    "gzip",
    "deflate",
    "br",
    "zstd",
    "gzip, gzip",
    "gzip, br",
    "none",
    "utf-8",
    "*",
]


class TestEncoding:
    @pytest.mark.parametrize(("encoding", "pack"), PACKED)
    def test_one_that_is_known_is_read(self, encoding, pack):
        with Server(
            said(pack(CONFIRMS), encoding), said(pack(WORDS), encoding, 400)
        ) as server:
            assert post(server) == DELIVERED
            assert post(server).detail == WORDS.decode()
        assert server.opened == 1

    def test_it_is_read_in_chunks(self):
        packed = gzip.compress(WORDS)
        whole = chunked(*(packed[at : at + 1] for at in range(len(packed))), status=400)
        head = b"HTTP/1.1 400 Said\r\n"
        assert whole.startswith(head)
        whole = head + b"Content-Encoding: gzip\r\n" + whole.removeprefix(head)
        assert post_to(whole).detail == WORDS.decode()

    @pytest.mark.parametrize("encoding", PLAIN)
    def test_a_plain_body_is_read_whatever_its_header_says(self, encoding):
        assert post_to(said(CONFIRMS, encoding)) == DELIVERED
        verdict = post_to(said(WORDS, encoding, 400))
        assert (verdict.outcome, verdict.detail) == (Outcome.REFUSED, WORDS.decode())

    @pytest.mark.parametrize("encoding", ["br", "zstd", "compress", "gzip, gzip", "?"])
    @pytest.mark.parametrize("body", [b"\x8b\x0a\x80\xff", bz2.compress(CONFIRMS)])
    def test_one_that_is_unknown_confirms_nothing_and_is_said(self, encoding, body):
        verdict = post_to(said(body, encoding))
        assert verdict.outcome is Outcome.UNCONFIRMED
        assert verdict.detail == f"[{len(body)} bytes of unreadable {encoding!r}]"
        verdict = post_to(said(body, encoding, 400))
        assert verdict.outcome is Outcome.REFUSED
        assert verdict.detail == f"[{len(body)} bytes of unreadable {encoding!r}]"

    @pytest.mark.parametrize("encoding", ["gzip", "deflate"])
    def test_a_broken_one_confirms_nothing(self, encoding):
        packed = bytearray((gzip if encoding == "gzip" else zlib).compress(CONFIRMS))
        packed[-1] ^= 0xFF  # the checksum's, or the length's
        verdict = post_to(said(bytes(packed), encoding))
        assert verdict.outcome is Outcome.UNCONFIRMED
        assert "unreadable" in verdict.detail

    @pytest.mark.parametrize("left", [1, 8, 9, 20, 30])
    def test_half_of_one_confirms_nothing(self, left):
        packed = gzip.compress(CONFIRMS)[:-left]
        assert post_to(said(packed, "gzip")).outcome is Outcome.UNKNOWN

    def test_of_half_a_refusal_the_beginning_is_kept(self):
        packed = gzip.compress(WORDS)[:-8]
        verdict = post_to(said(packed, "gzip", 400))
        assert (verdict.outcome, verdict.detail) == (Outcome.REFUSED, WORDS.decode())

    @pytest.mark.parametrize("status", [204, 304, 400])
    def test_an_empty_body_is_empty(self, status):
        verdict = post_to(said(b"", "gzip", status))
        assert (verdict.status_code, verdict.detail) == (status, "")

    @pytest.mark.parametrize("pack", [gzip.compress, zlib.compress, raw_deflate])
    @pytest.mark.parametrize("status", [200, 400])
    def test_a_bomb_is_read_up_to_the_bound(self, pack, status):
        bomb = pack(b"x" * 30_000_000)
        encoding = "gzip" if pack is gzip.compress else "deflate"
        tracemalloc.start()
        try:
            verdict = post_to(said(bomb, encoding, status))
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert verdict.detail == "x" * MAX_ANSWER or "unreadable" in verdict.detail
        assert verdict.outcome is not Outcome.CONFIRMED
        assert peak < 2**21

    def test_a_bomb_of_many_streams_is_read_up_to_the_bound(self):
        bomb = gzip.compress(b"") * 3_000 + gzip.compress(b"x" * 10**6) * 10
        assert len(bomb) < MAX_ANSWER * 2
        verdict = post_to(said(bomb, "gzip", 400))
        assert set(verdict.detail) == {"x"}
        assert len(verdict.detail) == MAX_ANSWER

    def test_64_kib_confirm_and_one_byte_more_does_not(self):
        whole = said(gzip.compress(CONFIRMS.rjust(MAX_ANSWER)), "gzip")
        assert post_to(whole) == DELIVERED
        longer = said(gzip.compress(CONFIRMS.rjust(MAX_ANSWER + 1)), "gzip")
        assert post_to(longer).outcome is Outcome.UNCONFIRMED

    @settings(deadline=None, max_examples=50)
    @given(
        st.sampled_from(["gzip", "deflate", "br", "gzip,deflate", "x-gzip"]),
        st.sampled_from([200, 400]),
        st.binary() | st.binary().map(gzip.compress) | st.binary().map(zlib.compress),
        st.integers(0, 20),
    )
    def test_any_bytes_get_a_verdict(self, encoding, status, body, cut):
        verdict = post_to(said(body[: max(len(body) - cut, 0)], encoding, status))
        assert verdict.outcome in {
            *[Outcome.UNKNOWN, Outcome.UNCONFIRMED, Outcome.REFUSED]
        }
