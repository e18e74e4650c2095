"""What is tried, by the names of `SEEDS`. Each takes bytes, and raises only if the code
breaks a promise.
"""

from __future__ import annotations

import io
from contextlib import suppress

from connectly_tracking.api.landing import MAX_VALUE, PARAMETERS, read_url
from connectly_tracking.api.secret import Secret
from connectly_tracking.api.verdicts import MAX_WAIT, Outcome, verdict_of
from connectly_tracking.attribution.cookie import read_id, sign_id
from connectly_tracking.backfill.csvfile import CsvFile, InvalidFile
from connectly_tracking.reports.names import InvalidNames, NamesFile

from .seeds import KEY


def link(data: bytes) -> None:
    """A query and a path, separated by a line break."""
    query, _, path = data.decode("utf-8", "surrogateescape").partition("\n")
    landing = read_url(query, path).landing
    if landing is None:
        return
    assert landing.cnct_tracking_id
    for name in PARAMETERS:
        value = getattr(landing, name)
        assert len(value) <= MAX_VALUE
        assert value.isascii()
        assert value.isprintable()
    assert landing.is_reportable == (
        not landing.missing and landing.attribution_source == "meta_ctwa"
    )


def answer(data: bytes) -> None:
    """A status as two bytes, a line for ``Retry-After``, and the body."""
    status = int.from_bytes(data[:2], "big") % 1000
    retry_after, _, body = data[2:].partition(b"\n")
    verdict = verdict_of(status, body, retry_after.decode("latin-1") or None)
    if verdict.outcome is Outcome.CONFIRMED:
        assert 200 <= status < 300
        assert b"events_received" in body.replace(b"\\u", b"")
    assert verdict.wait is None or 1 <= verdict.wait <= MAX_WAIT


def orders(data: bytes) -> None:
    """A CSV file of `connectly_backfill`."""
    with suppress(InvalidFile):
        for order in CsvFile(io.BytesIO(data)):
            assert order.line


def names(data: bytes) -> None:
    """A CSV file of `connectly_names`."""
    with suppress(InvalidNames):
        for key, name in NamesFile(io.BytesIO(data)).read().items():
            assert key
            assert name.name.isprintable()


def token(data: bytes) -> None:
    """A click's cookie or token, from anybody."""
    text = data.decode("utf-8", "replace")
    with suppress(ValueError):
        assert sign_id(read_id(text, salt="salt"), salt="salt") == text


def secret(data: bytes) -> None:
    """An answer in which the key may be, in any spelling."""
    text = data.decode("utf-8", "replace")
    masked = Secret(KEY).mask(text)
    assert KEY not in masked
    assert KEY not in masked.replace("\\/", "/")
