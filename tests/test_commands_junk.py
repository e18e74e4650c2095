"""Whatever an option of a command says, the answer is an outcome or a CommandError."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Final

import pytest
from django.core.management import (
    CommandError,
    call_command,
    get_commands,
    load_command_class,
)

from connectly_tracking import outbox
from connectly_tracking.models import Conversion

from .conftest import make_click, make_purchase

if TYPE_CHECKING:
    from argparse import Action
    from collections.abc import Iterator
    from datetime import datetime
    from pathlib import Path

    from example_project.shop.models import Order

pytestmark = pytest.mark.django_db
APP: Final = "connectly_tracking"
JUNK: Final = [
    *("", " ", "-", "abc", "null", "é", "x" * 5000, "/", ".", "..", ".a", "os.path"),
    *("-1", "0", "1.5", "1e400", "nan", "inf", "9" * 19, "9" * 30, "9" * 5000),
    *(
        "\0",
        "a\0b",
        "\ud800",
        "a\nb",
        "\x1b[31m",
        "?cnct_tracking_id=%00",
        "*",
        "%s{0}",
    ),
    *("9999-12-31T23:59:59-14:00", "0001-01-01T00:00:00+14:00", "9999-12-31"),
    *(
        "0001-01-01",
        "0002-01-01",
        "9998-12-31T23:59:59-12:00",
        "2026-02-30",
        "2026-W01",
    ),
]
#: What a command needs beside an option, so that the option is looked at.
NEEDED: Final = {
    "connectly_backfill": [f"{__name__}.no_orders", "--since=2026-01-01"],
    "connectly_replay": ["--state=skipped"],
}
#: Django's own options; and commands that run until they are stopped.
FOREIGN: Final = {"version", "verbosity", "settings", "pythonpath", "help"}
ENDLESS: Final = {"connectly_sandbox"}


def no_orders(since: datetime) -> list[Order]:
    return []


def options() -> Iterator[tuple[str, Action]]:
    for name, app in sorted(get_commands().items()):
        if app == APP and name not in ENDLESS:
            parser = load_command_class(APP, name).create_parser("manage.py", name)
            for action in parser._actions:
                if action.dest not in FOREIGN and action.nargs != 0:
                    yield name, action


OPTIONS: Final = {f"{name} {it.dest}": (name, it) for name, it in options()}


def run(*arguments: str) -> str:
    """What a command says when it fails; its output otherwise."""
    out = io.StringIO()
    try:
        call_command(*arguments, stdout=out, stderr=out)
    except CommandError as exc:
        return str(exc)
    except SystemExit as exc:  # the doctor's status
        out.write(f"status {exc.code}")
    return out.getvalue()


@pytest.fixture(autouse=True)
def _no_terminal(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"")))
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("option", OPTIONS)
def test_no_option_of_any_command_is_a_traceback(option: str) -> None:
    outbox.record(make_purchase(), attribution=make_click())
    before = list(Conversion.objects.values())
    name, action = OPTIONS[option]
    for junk in JUNK:
        if not action.option_strings:
            run(name, "--since=2026-01-01", junk)
            continue
        flag = f"{action.option_strings[-1]}={junk}"
        others = [] if action.dest == "csv" else NEEDED.get(name, [])
        run(name, *others, flag)
        run(name, flag)
    # Most of it was refused, and nothing that is there was meant.
    if name in {"connectly_backfill", "connectly_replay", "connectly_forget"}:
        assert list(Conversion.objects.values()) == before


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["connectly_replay", "--since=9999-12-31T23:59:59-14:00"], "is not a time"),
        (["connectly_replay", "--until=0001-01-01T00:00:00+14:00"], "is not a time"),
        (["connectly_backfill", "x", "--since=9999-12-31"], "is not a time"),
        (["connectly_forget", "--user-id=" + "9" * 30], "not the primary key"),
        (["connectly_forget", "--user-id=" + "9" * 5000], "not the primary key"),
        (["connectly_forget", "--user-id=-" + "9" * 30], "not the primary key"),
        (["connectly_forget", "--user=a\0b"], "There is no user"),
        (["connectly_forget", "--order=a\0b"], "cannot be an order id"),
        (["connectly_replay", "--order=\ud800"], "cannot be an order id"),
        (["connectly_backfill", ".", "--since=2026-01-01"], "Give the dotted path"),
        (["connectly_backfill", "--csv=a\0b"], "is not the name of a file"),
        (["connectly_backfill", "--csv=."], "cannot be read: Is a directory"),
        (["connectly_backfill", "--csv=x", "--skip=" + "9" * 30], "--skip: must be"),
    ],
)
def test_an_option_that_cannot_be_is_refused_in_words(
    arguments: list[str], words: str
) -> None:
    assert words in run(*arguments)


@pytest.mark.parametrize(
    "option",
    [
        *("--host=a\0b", "--host=\ud800", "--host=256.256.256.256", "--host=/"),
        *(
            "--port=-1",
            "--port=65536",
            "--port=" + "9" * 30,
            "--port=x",
            "--port=1e400",
        ),
        *("--delay=-1", "--delay=nan", "--delay=inf", "--delay=1e400", "--delay=x"),
        *("--log=/", "--log=a\0b", "--log=/no/such/directory/log", "--log=\ud800"),
        *("--behave=nonsense", "--behave=500*x", "--behave=\0", "--business=\0"),
    ],
)
def test_the_sandbox_does_not_start_with_what_cannot_be(
    option: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises((SystemExit, CommandError)) as refused:
        call_command("connectly_sandbox", option)
    assert getattr(refused.value, "code", 1) in {1, 2}
