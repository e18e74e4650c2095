"""A file of orders: what a line says is recorded, and what is wrong with it is said."""

from __future__ import annotations

import csv
import io
import json
import re
import sys
import time
from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest
from django.contrib.auth import get_user_model
from django.core.management import CommandError, call_command
from django.utils import timezone
from hypothesis import given, settings
from hypothesis import strategies as st

from connectly_tracking.api.landing import PARAMETERS
from connectly_tracking.backfill import CsvFile, Interrupted, InvalidFile, backfill
from connectly_tracking.backfill.csvfile import COLUMNS, MAX_LINE
from connectly_tracking.models import Attribution, Conversion, Reason, State

from .conftest import LANDING, make_click, show_each_step
from .test_docs import ROOT

if TYPE_CHECKING:
    from pathlib import Path

HOUR = 3600


def order(order_id: str = "A-1", **cells: object) -> dict[str, object]:
    """A line, by its columns; placed an hour ago unless it says otherwise."""
    placed_at = int(time.time()) - HOUR
    documented = {"value": "99.97", "currency": "USD", "event_time": placed_at}
    return {"order_id": order_id, **documented, **cells}


def clicked(order_id: str = "A-1", **cells: object) -> dict[str, object]:
    """A line with a click of its own."""
    ids = {name: getattr(LANDING, name) for name in PARAMETERS}
    return order(order_id, **ids | cells)


def text_of(*lines: dict[str, object]) -> str:
    """The lines as a file has them."""
    names = list(dict.fromkeys(name for line in lines for name in line))
    text = io.StringIO(newline="")
    table = csv.DictWriter(text, names)
    table.writeheader()
    table.writerows(lines)
    return text.getvalue()


def table_of(*lines: dict[str, object]) -> CsvFile:
    return CsvFile(io.BytesIO(text_of(*lines).encode()))


def told(table: CsvFile, **options: Any) -> list[tuple[str, str]]:
    """What was said of the lines of a table."""
    said: list[tuple[str, str]] = []
    backfill(table, on_failure=lambda *words: said.append(words), **options)
    return said


def run(file: Path | str, *options: str) -> tuple[list[str], str]:
    """The lines of the outcomes that there were, and what went to standard error."""
    out, err = io.StringIO(), io.StringIO()
    command = ["connectly_backfill", "--csv", str(file), *options]
    call_command(*command, stdout=out, stderr=err)
    lines = [line.strip() for line in out.getvalue().splitlines()]
    return [line for line in lines if not line.startswith("0 ")], err.getvalue()


def test_a_line_with_a_click_of_its_own_is_to_be_sent(db: None, tmp_path: Path) -> None:
    at = int(time.time()) - 2 * HOUR
    contents = json.dumps([{"id": "sku-1", "quantity": 2, "item_price": 49.985}])
    file = tmp_path / "orders.csv"
    file.write_text(text_of(clicked(landed_at=at, contents=contents, num_items=2)))
    assert run(file) == (["1 new, pending"], "")
    row = Conversion.objects.get()
    assert (row.order_id, row.value, row.currency) == ("A-1", Decimal("99.97"), "USD")
    assert row.attribution == (click := Attribution.objects.get())
    assert click.landing == LANDING
    assert click.captured_at.timestamp() == at
    body = json.loads(row.body)
    assert body["attribution"]["meta_ctwa"]["ctwa_clid"] == LANDING.ctwa_clid
    assert body["payload"]["contents"] == json.loads(contents)


def test_a_second_run_changes_nothing(db: None) -> None:
    lines = [clicked("A-1"), order("A-2")]
    assert backfill(table_of(*lines)).pending == 1
    before = [list(model.objects.values()) for model in (Conversion, Attribution)]
    assert backfill(table_of(*lines)).known == 2
    after = [list(model.objects.values()) for model in (Conversion, Attribution)]
    assert after == before


def test_an_order_that_is_there_twice_is_recorded_once(db: None) -> None:
    counts = backfill(table_of(clicked(), clicked()))
    assert (counts.pending, counts.known) == (1, 1)
    assert Attribution.objects.count() == Conversion.objects.count() == 1


def test_a_click_in_a_corrected_file_mends_the_order(db: None) -> None:
    assert backfill(table_of(order())).skipped == {"not_attributed": 1}
    assert backfill(table_of(clicked())).updated == 1
    row = Conversion.objects.get()
    assert (row.state, row.attribution) == (State.PENDING, Attribution.objects.get())


def test_a_value_in_a_corrected_file_mends_the_order(db: None) -> None:
    assert backfill(table_of(clicked(value="1,50"))).skipped == {"invalid": 1}
    assert backfill(table_of(clicked(value="1.50"))).updated == 1


def test_the_customers_click_is_found(db: None) -> None:
    user = get_user_model().objects.create_user("maria")
    click = make_click(age=2 * HOUR, user=user)
    assert backfill(table_of(order(customer_id=user.pk))).pending == 1
    assert Conversion.objects.get().attribution == click


@pytest.mark.parametrize(
    ("cells", "reason"),
    [
        ({"landed_at": int(time.time())}, Reason.CLICK_AFTER_ORDER),
        ({"landed_at": int(time.time()) - 40 * 86400}, Reason.OUTSIDE_WINDOW),
        ({"ctwa_clid": ""}, Reason.INCOMPLETE_CLICK),
        ({"attribution_source": "organic"}, Reason.OTHER_SOURCE),
        (dict.fromkeys(PARAMETERS, ""), Reason.NOT_ATTRIBUTED),
        (dict.fromkeys(PARAMETERS, "NULL"), Reason.NOT_ATTRIBUTED),
        (
            dict.fromkeys(PARAMETERS[:-1], "") | {"attribution_source": "meta_ctwa"},
            Reason.NOT_ATTRIBUTED,
        ),
    ],
)
def test_a_click_that_earns_nothing_says_why(
    db: None, cells: dict[str, Any], reason: Reason
) -> None:
    assert backfill(table_of(clicked(**cells))).skipped == {reason: 1}


def test_what_is_too_old_is_never_pending(db: None, configure: Any) -> None:
    old = int(time.time()) - 8 * 86400
    lines = [clicked("A-1", event_time=old), clicked("A-2"), order("A-3")]
    counts = backfill(table_of(order("A-1", event_time=old)))
    assert counts.skipped == {"not_attributed": 1}
    counts = backfill(table_of(*lines))
    assert counts.skipped == {"expired": 1, "not_attributed": 1}
    assert f"1 expired: {Reason.EXPIRED.label}" in str(counts)
    row = Conversion.objects.get(order_id="A-1")
    assert (row.state, row.due_at) == (State.EXPIRED, None)
    assert row.event_time is not None
    assert row.event_time.timestamp() == old
    assert backfill(table_of(*lines)).known == 3
    configure(MAX_EVENT_AGE=None)
    assert backfill(table_of(clicked("A-4", event_time=old))).pending == 1
    ancient = clicked("A-5", event_time=old - 5 * 365 * 86400)
    assert backfill(table_of(ancient)).pending == 1


@pytest.mark.parametrize(
    ("cells", "words"),
    [
        ({"value": ""}, "value: is empty"),
        ({"value": "1,50"}, "value: must be a number, such as 99.97"),
        ({"value": "-1"}, "value"),
        ({"currency": "Dollar"}, "currency"),
        (
            {"event_time": "yesterday"},
            "event_time: must be a time, such as 2026-11-01T",
        ),
        (
            {"event_time": "2026-11-01"},
            "event_time: is only a date; it must be a time, such",
        ),
        (
            {"event_time": "20261101"},
            "event_time: is only a date; it must be a time, such",
        ),
        ({"event_time": "12345"}, "event_time: must be a time"),
        (
            {"event_time": "1793000000000"},
            "event_time: must be in seconds, not in milliseconds",
        ),
        ({"event_time": "2999-01-01T00:00Z"}, "event_time: must not be in the future"),
        *(
            ({"customer_id": text}, "customer_id: must be the primary key of a user")
            for text in ("maria", "9" * 20, f"{2**63}", f"-{2**63 + 1}")
        ),
        ({"landed_at": "noon"}, "landed_at: must be a time"),
        (
            {"landed_at": "2999-01-01T00:00Z"},
            "landed_at: must not be in the future; pass the time when the link was "
            "opened",
        ),
        ({"cnct_tracking_id": ""}, "cnct_tracking_id: is empty, but"),
        ({"ctwa_clid": "a b"}, "ctwa_clid: contains characters that a link cannot"),
        ({"ctwa_clid": "x" * 1025}, "ctwa_clid: is too long"),
    ],
)
def test_a_bad_value_is_named_with_its_line_and_recorded_as_invalid(
    db: None, cells: dict[str, Any], words: str
) -> None:
    lines = [clicked("A-1", **cells), order("A-2")]
    ((name, said),) = told(table_of(*lines))
    assert name == "A-1 (line 2)"
    assert said.startswith(f"skipped as invalid ({words}")
    bad, good = Conversion.objects.order_by("order_id")
    assert (bad.state, bad.reason) == (State.SKIPPED, Reason.INVALID)
    assert bad.detail.startswith(words.partition(":")[0])
    assert good.reason == Reason.NOT_ATTRIBUTED


def test_a_bad_line_of_an_order_does_not_cost_the_order(db: None) -> None:
    contents = json.dumps([{"sku": 1}, {"id": "sku-2"}])
    assert told(table_of(clicked("A-1", contents=contents))) == []
    sent = json.loads(Conversion.objects.get().body)["payload"]
    assert sent["contents"] == [{"id": "sku-2", "quantity": 1}]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        *[("contents", text) for text in ("sku-1", "{}", "null", "[" * 100_000, "[1")],
        *[("content_ids", text) for text in ("{}", "sku-1;sku-2", '"sku-1"')],
        *[("num_items", text) for text in ("many", "1,5", "1e400", "nan", "-1", "0")],
    ],
)
def test_a_bad_value_that_the_api_does_not_require_does_not_cost_the_order(
    db: None, name: str, text: str
) -> None:
    assert told(table_of(clicked("A-1", **{name: text}))) == []
    row = Conversion.objects.get()
    assert row.state == State.PENDING
    assert row.detail.startswith(name)


def test_under_strict_a_bad_value_fails_and_leaves_no_row(
    db: None, configure: Any
) -> None:
    configure(STRICT=True)
    said = told(table_of(order(value="x"), order("A-2")))
    assert said == [("A-1 (line 2)", "value: must be a number, such as 99.97")]
    assert Conversion.objects.get().order_id == "A-2"


def test_a_line_that_cannot_be_read_fails_alone(db: None, tmp_path: Path) -> None:
    head, good = b"order_id,value,currency,event_time\r\n", b"%s,1,USD,1790000000\r\n"
    bad = [
        b"B,1,USD\r\n",
        b'"B"x,1,USD,1\r\n',
        b"B\xe9,1,USD,1790000000\r\n",
        b",1,,\r\n",
    ]
    file = tmp_path / "orders.csv"
    lines = [good % b"A-%d" % number + line for number, line in enumerate(bad)]
    file.write_bytes(head + b"\r\n" + b"".join(lines) + good % b"A-9")
    err = io.StringIO()
    with pytest.raises(CommandError, match=r"^4 of 9 orders failed"):
        call_command(
            "connectly_backfill", "--csv", str(file), stdout=io.StringIO(), stderr=err
        )
    assert err.getvalue().splitlines() == [
        "(line 4): columns: the line has 3, the header 4",
        "(line 6): quotes: are not valid on this line",
        "(line 8): encoding: must be UTF-8",
        "(line 10): InvalidEvent (order_id)",
    ]
    assert Conversion.objects.count() == 5


def test_a_byte_order_mark_is_part_of_no_value(db: None) -> None:
    text = text_of(clicked("Ä-1"), clicked("A-2", value="x"))
    said = told(CsvFile(io.BytesIO(text.encode("utf-8-sig"))))
    assert [name for name, _ in said] == ["A-2 (line 3)"]
    assert Conversion.objects.filter(order_id="Ä-1", state=State.PENDING).exists()


HEAD = b"order_id,value,currency,event_time"
GOOD = b"%s,1,USD,1790000000"


@pytest.mark.parametrize(
    ("bad", "problem"),
    [
        (b'A-3,"1,USD,1790000000', "quotes: are not valid on this line"),
        (b'"A-3,1,USD,1790000000', "quotes: are not valid on this line"),
        (b'A-3,1,USD,"1790000000', "quotes: are not valid on this line"),
        (b'A-3,1,USD,"1790000000""', "quotes: are not valid on this line"),
        (b'A-3,1,"USD"x,1790000000', "quotes: are not valid on this line"),
        (b'"A-3,1,"USD",1790000000', "quotes: are not valid on this line"),
        (b'A-3,1,USD,"', "quotes: are not valid on this line"),
        (b'"', "quotes: are not valid on this line"),
        (b"A-3;1;USD;1790000000", "columns: the line has 1, the header 4"),
        (b"A-3,1,USD,17900\0", "encoding: must be text without NUL"),
        (b"\0" * 80, "encoding: must be text without NUL"),
        (b"A-3,1,USD,\xff", "encoding: must be UTF-8"),
        (b"A-3,%s,USD,1" % (b"1" * 1_000_000), "columns: a value is too long"),
        (b'"%s' % (b"," * 200_000), "columns: a value is too long"),
        (b"A-3,1,USD,1,2", "columns: the line has 5, the header 4"),
    ],
    ids=range(15),
)
@pytest.mark.parametrize("place", [1, 200, 399])
@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"], ids=["lf", "crlf", "cr"])
def test_a_line_that_cannot_be_read_costs_no_other(
    bad: bytes, problem: str, place: int, end: bytes
) -> None:
    if len(bad) > 100_000:
        end = b"\n"  # a file without a line feed is one line, and may be 1 MiB long
    lines = [HEAD, *(GOOD % b"A-%d" % number for number in range(1, 400))]
    lines[place] = bad
    orders = list(CsvFile(io.BytesIO(end.join(lines))))
    assert [str(it.failure) for it in orders if it.failure] == [problem]
    assert [it.line for it in orders if it.failure] == [place + 1]
    read = [it.order_id for it in orders if not it.failure]
    expected = [f"A-{number}" for number in range(1, 400) if number != place]
    assert read == expected


def test_one_stray_quote_in_three_thousand_orders_is_one_failure(
    db: None, tmp_path: Path
) -> None:
    lines = [HEAD, *(GOOD % b"A-%d" % number for number in range(1, 3001))]
    lines[2] = b'A-2,"1,USD,1790000000'
    file = tmp_path / "orders.csv"
    file.write_bytes(b"\n".join(lines))
    err = io.StringIO()
    with pytest.raises(CommandError, match=r"^1 of 3000 orders failed"):
        call_command(
            "connectly_backfill",
            *("--csv", str(file), "--since=2026-10-01"),
            stdout=io.StringIO(),
            stderr=err,
        )
    assert err.getvalue() == "(line 3): quotes: are not valid on this line\n"


def test_line_ends_may_be_mixed(db: None) -> None:
    lines = [GOOD % b"A-%d" % number for number in range(6)]
    ends = [b"\r\n", b"\n", b"\r", b"\r\r\n", b"\n\n", b"\n\r", b""]
    parts = zip([HEAD, *lines], ends, strict=True)
    orders = list(CsvFile(io.BytesIO(b"".join(map(b"".join, parts)))))
    assert [it.order_id for it in orders] == [f"A-{number}" for number in range(6)]
    assert not [it.failure for it in orders if it.failure]


def test_a_value_that_goes_on_in_the_next_line_fails_and_is_not_recorded_in_part(
    db: None,
) -> None:
    contents = json.dumps([{"id": "sku-1"}], indent=1)
    lines = [clicked("A-1", contents=contents), clicked("A-2", contents="[]")]
    said = told(table_of(*lines))
    assert {problem for _, problem in said} >= {"quotes: are not valid on this line"}
    assert Conversion.objects.get().order_id == "A-2"


@given(st.lists(st.binary(max_size=40), max_size=8))
@settings(max_examples=200)
def test_any_bytes_are_as_many_orders_as_there_are_lines(lines: list[bytes]) -> None:
    lines = [re.sub(rb"[\r\n]", b"", line) for line in lines]
    found = list(CsvFile(io.BytesIO(b"\n".join([HEAD, *lines, GOOD % b"last"]))))
    assert len(found) == len([line for line in lines if line]) + 1
    assert (found[-1].order_id, found[-1].failure) == ("last", None)


def test_a_time_without_an_offset_is_in_the_default_time_zone(
    db: None, settings: Any
) -> None:
    lines = [
        order("A-1", event_time="2026-07-01T09:30"),
        order("A-2", event_time="2026-07-01T09:30+02:00"),
        order("A-3", event_time=1782894600),
    ]
    settings.TIME_ZONE = "America/Sao_Paulo"
    with timezone.override("Asia/Tokyo"):
        backfill(table_of(*lines))
    times = Conversion.objects.order_by("order_id").values_list("event_time", flat=True)
    assert list(times) == [
        datetime(2026, 7, 1, 12, 30, tzinfo=UTC),
        datetime(2026, 7, 1, 7, 30, tzinfo=UTC),
        datetime(2026, 7, 1, 8, 30, tzinfo=UTC),
    ]


def test_since_and_until_pass_over_what_was_placed_at_another_time(db: None) -> None:
    now = int(time.time())
    lines = [order(f"A-{age}", event_time=now - age * HOUR) for age in (1, 2, 3)]
    since, until = (datetime.fromtimestamp(now - age * HOUR, UTC) for age in (2, 1))
    assert backfill(table_of(*lines), since=since, until=until).out_of_range == 2
    assert Conversion.objects.get().order_id == "A-2"


def test_the_first_lines_may_be_left_out(db: None, tmp_path: Path) -> None:
    file = tmp_path / "orders.csv"
    file.write_text(text_of(*(order(f"A-{number}") for number in range(5))))
    assert run(file, "--skip=3")[0][0].startswith("2 skipped, not_attributed")


def test_the_file_may_come_through_a_pipe(
    db: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    stdin = io.TextIOWrapper(io.BytesIO(text_of(clicked()).encode()))
    monkeypatch.setattr(sys, "stdin", stdin)
    assert run("-") == (["1 new, pending"], "")


@pytest.mark.parametrize("is_seen", [True, False])
def test_a_terminal_sees_count_rate_and_share_and_is_left_clean(
    db: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_seen: bool
) -> None:
    terminal = io.StringIO()
    terminal.isatty = lambda: is_seen  # type: ignore[method-assign]
    monkeypatch.setattr("sys.stderr", terminal)
    show_each_step(monkeypatch)
    file = tmp_path / "orders.csv"
    file.write_text(text_of(*(order(f"A-{number}") for number in range(200))))
    run(file)
    if not is_seen:
        assert terminal.getvalue() == ""
        return
    *_, last, cleared = terminal.getvalue().rstrip("\r").split("\r")
    assert re.match(r" *\d+%.* \d+/[12]\d\d[.\d]* \[.* [\d.]+ orders/s\]", last)
    assert cleared.strip() == ""


@pytest.mark.parametrize(
    ("head", "words"),
    [
        (b"", "the file is empty; its first line must name the columns"),
        (b"order_id,value\n", "missing columns: currency, event_time; the known"),
        (
            b"order_id,value,currency,event_time,ctwa_click\n",
            r"unknown columns: 'ctwa_click' \(did you mean ctwa_clid\?\); the known",
        ),
        (
            b"order_id,value,currency,event_time,value\n",
            "repeated columns: value",
        ),
        (b"order_id;value;currency;event_time\n", "known columns, separated by commas"),
        ("order_id,bestellmenü".encode("latin-1"), "not UTF-8; save it as"),
        ("order_id,value".encode("utf-16"), "not UTF-8; save it as"),
        (b"order_id,value\rA-1,5\rA-2,6\r", "missing columns: currency, event_time"),
        (b'order_id,"value', "the first line is not valid CSV"),
        (b"x" * (MAX_LINE + 1), "a line is longer than 1 MiB"),
    ],
)
def test_a_file_that_is_none_is_answered_before_anything_is_written(
    db: None, tmp_path: Path, head: bytes, words: str
) -> None:
    file = tmp_path / "orders.csv"
    file.write_bytes(head)
    with pytest.raises(CommandError, match=words):
        run(file)


def test_a_line_without_an_end_breaks_the_file_off(db: None) -> None:
    text = text_of(order()).encode() + b"A-2," + b"1" * MAX_LINE
    with pytest.raises(
        Interrupted, match=r"after order A-1 \(line 2\): InvalidFile: a l"
    ):
        backfill(CsvFile(io.BytesIO(text)))
    assert Conversion.objects.get().order_id == "A-1"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "Give either the dotted path of a callable, or --csv"),
        (["shop.orders", "--csv=orders.csv"], "Give either the dotted path"),
        (["shop.orders"], "--since is missing"),
        (["--csv=/no/such/file"], "/no/such/file cannot be read: No such file"),
        (["--csv=x", "--rate=0"], "--rate: must be a number greater than 0"),
        (["--csv=x", "--rate=fast"], "--rate: must be a number greater than 0"),
        (["--csv=x", "--skip=-1"], "--skip: must be a whole number, 0 or greater"),
    ],
)
def test_bad_input_is_answered_with_what_to_do(
    db: None, arguments: list[str], words: str
) -> None:
    with pytest.raises(CommandError, match=words):
        call_command("connectly_backfill", *arguments)


def test_a_refused_header_names_every_column_that_there_is() -> None:
    with pytest.raises(InvalidFile) as refused:
        CsvFile(io.BytesIO(b"order\n"))
    assert str(refused.value).endswith(", ".join(COLUMNS))


def test_the_documentation_names_every_column() -> None:
    text = (ROOT / "docs/operator/backfill.md").read_text()
    for name in COLUMNS:
        assert f"`{name}`" in text, name
