"""What the manual takes from the code: ``python -m tests.manual --write``.

A page says ``<!-- generated: checks -->`` before the table of that name.
``test_manual.py`` compares each table with the code, so that none is out of date.
"""

from __future__ import annotations

import ast
import importlib
import inspect
import os
import re
import sys
from argparse import SUPPRESS
from contextlib import suppress
from dataclasses import is_dataclass
from operator import attrgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import django
from django.core.management import BaseCommand, get_commands, load_command_class
from django.utils.translation import override

import connectly_tracking

from .public_api import IMPORTED, defined_in, own_models, parameters

if TYPE_CHECKING:
    from argparse import Action
    from collections.abc import Iterable, Iterator

PACKAGE: Final = Path(connectly_tracking.__file__).parent
DOCS: Final = Path(__file__).parent.parent / "docs"
PART: Final = re.compile(
    r"(<!-- generated: (\w+) -->\n)(.*?)(<!-- /generated -->)", re.S
)
#: Modules of the public names that have a page of their own.
ELSEWHERE: Final = {"signals", "testing.cases", "testing.plugin"}


def generated(page: str) -> str:
    """Return a page with all its tables as the code has them today."""
    with override("en"):
        return PART.sub(
            lambda part: f"{part[1]}\n{TABLES[part[2]]()}\n\n{part[4]}", page
        )


def table(heads: str, rows: Iterable[Iterable[object]]) -> str:
    """Return a table; ``heads`` are separated by bars."""
    titles = heads.split("|")
    lines = [titles, ["---"] * len(titles), *([cell(it) for it in row] for row in rows)]
    return "\n".join("| " + " | ".join(line).rstrip() + " |" for line in lines)


def cell(value: object) -> str:
    text = re.sub(r"\s+", " ", str(value)).strip()
    text = text.replace("``", "`").replace("|", r"\|")
    # Names of arguments may begin or end with an underscore; stars are arguments.
    return re.sub(r"(?<![`\w*])\*(?=\w)", r"\*", text)


def code(value: object) -> str:
    return f"`{value}`"


def first_paragraph(thing: Any) -> str:
    return inspect.cleandoc(thing.__doc__ or "").partition("\n\n")[0]


def settings() -> str:
    from connectly_tracking.checks import SETTING_IDS
    from connectly_tracking.conf import NAMES, Conf

    return table(
        "setting|what it is|check",
        (
            (
                f"[`{name}`](#{name.lower()})",
                first_paragraph(getattr(Conf, name)),
                code(SETTING_IDS[name]),
            )
            for name in sorted(NAMES)
        ),
    )


def checks() -> str:
    """The calls of ``checks.Error`` and ``checks.Warning``."""
    paths = [*(PACKAGE / "checks").glob("*.py"), PACKAGE / "contrib/oscar/checks.py"]
    rows = sorted(row for path in paths for row in _checks_in(path))
    return table(
        "check|level|what it says|what to do",
        ((code(identifier), *rest) for identifier, *rest in rows),
    )


def _checks_in(path: Path) -> Iterator[tuple[str, str, str, str]]:
    name = ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts)
    constants: dict[str, object] = {}
    with suppress(ImportError):  # django-oscar need not be installed
        constants = vars(importlib.import_module(name))
    for node in ast.walk(ast.parse(path.read_text())):
        match node:
            case ast.Call(
                ast.Attribute(ast.Name("checks"), "Error" | "Warning" as level),
                [message],
                keywords,
            ):
                given = {it.arg: text_of(it.value, constants) for it in keywords}
                if "…" not in given["id"]:
                    what = text_of(message, constants)
                    yield given["id"], level.lower(), what, given["hint"]


def text_of(node: ast.expr, constants: dict[str, object]) -> str:
    """The text that an expression makes, with … for what is known later."""
    match node:
        case ast.Constant(str(text)):
            return text
        case ast.JoinedStr(values):
            return "".join(text_of(value, constants) for value in values)
        case ast.FormattedValue(ast.Name(name)) if name in constants:
            return str(constants[name])
        case ast.Call(ast.Name("_"), [text]):
            return re.sub(r"%\(\w+\)s", "…", text_of(text, constants))
        case ast.BinOp(text, ast.Mod()):
            return text_of(text, constants)
        case ast.IfExp(_, body, orelse):
            return f"{text_of(body, constants)} Or: {text_of(orelse, constants)}"
    return "…"


def functions() -> str:
    rows = []
    for name in sorted(IMPORTED.keys() - ELSEWHERE):
        module = importlib.import_module(f"connectly_tracking.{name}")
        for public in sorted(IMPORTED[name] or defined_in(module)):
            value = attrgetter(public)(module)
            if what := callable(value) and first_paragraph(value):
                is_plain = inspect.isclass(value) and not is_dataclass(value)
                taken = "" if is_plain else parameters(value).replace("(self)", "()")
                rows.append((code(f"{name}.{public}{taken}"), what))
    return table("name|what it does", rows)


def signals() -> str:
    source = (PACKAGE / "signals.py").read_text()
    found = re.findall(r"((?:# .*\n)+)(\w+) = Signal\(\)", source)
    rows = []
    for comment, name in found:
        text = re.sub(r"^# ", "", comment, flags=re.M).replace("\n", " ")
        what, _, arguments = text.partition(" Arguments: ")
        rows.append((code(name), what, arguments.strip().removesuffix(".")))
    return table("signal|when|arguments", rows)


def tasks() -> str:
    from connectly_tracking import tasks

    return table(
        "task|what it does",
        (
            (code(task.name), first_paragraph(task.run))
            for task in (tasks.deliver_due, tasks.prune_old, tasks.watch_now)
        ),
    )


def commands() -> str:
    usual = {
        option
        for action in BaseCommand().create_parser("manage.py", "")._actions
        for option in action.option_strings
    }
    chapters = []
    for name, app in sorted(get_commands().items()):
        if app == "connectly_tracking":
            command = load_command_class(app, name)
            actions = command.create_parser("manage.py", name)._actions
            options = [
                (code(" ".join(_usage(action))), action.help or "")
                for action in actions
                if action.help is not SUPPRESS
                and not usual.intersection(action.option_strings)
            ]
            chapters.append(f"## {name}\n\n{cell(command.help)}")
            chapters.append(table("option|", options) if options else "")
    return "\n\n".join(filter(None, chapters))


def _usage(action: Action) -> Iterator[str]:
    yield from action.option_strings[-1:] or [action.dest]
    if action.choices and action.dest != "using":
        yield "{" + ",".join(map(str, action.choices)) + "}"
    elif action.nargs != 0 and action.option_strings:
        yield str(action.metavar or action.dest.upper())


def states() -> str:
    from connectly_tracking.models import State

    meanings = _strings_after(PACKAGE / "models/states.py", "State")
    return table("state|meaning", ((code(it), meanings[it.name]) for it in State))


def outcomes() -> str:
    from connectly_tracking.api.verdicts import Outcome
    from connectly_tracking.models import DeliveryAttempt

    meanings = _strings_after(PACKAGE / "api/verdicts.py", "Outcome")
    return table(
        "outcome|in the admin|meaning",
        (
            (code(it.value), it.label, meanings[Outcome(it.value).name])
            for it in DeliveryAttempt.Outcome
        ),
    )


def _strings_after(path: Path, name: str) -> dict[str, str]:
    """The text below each member of a class."""
    (found,) = (
        node
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ClassDef) and node.name == name
    )
    return {
        ast.unparse(member.targets[0]): str(text.value.value)
        for member, text in zip(found.body, found.body[1:], strict=False)
        if isinstance(member, ast.Assign)
        and isinstance(text, ast.Expr)
        and isinstance(text.value, ast.Constant)
    }


def reasons() -> str:
    from connectly_tracking.models import Reason

    return table("reason|why", ((code(it.value), it.label) for it in Reason))


def pauses() -> str:
    from connectly_tracking.models import Circuit
    from connectly_tracking.remedies import FOR_PAUSE

    return table(
        "reason|why|what to do",
        ((code(it.value), it.label, FOR_PAUSE[it]) for it in Circuit.Reason),
    )


def codes() -> str:
    from connectly_tracking.api.verdicts import CODES, Consequence
    from connectly_tracking.remedies import FOR_CAUSE

    follows = {
        Consequence.REJECT: "rejected",
        Consequence.PAUSE: "the business is paused",
        Consequence.RETRY: "sent again, three times at most",
    }
    return table(
        "code|subcode|meaning|what happens",
        (
            (
                _numbers(it.codes),
                _numbers(it.subcodes),
                FOR_CAUSE[it.cause],
                follows[it.consequence],
            )
            for it in CODES
            if it.codes or it.subcodes
        ),
    )


def _numbers(found: frozenset[int]) -> str:
    """Numbers in their order, with runs of them as first to last."""
    runs: list[list[int]] = []
    for number in sorted(found):
        if runs and number == runs[-1][-1] + 1:
            runs[-1].append(number)
        else:
            runs.append([number])
    long = 3
    return ", ".join(
        f"{run[0]} to {run[-1]}" if len(run) >= long else ", ".join(map(str, run))
        for run in runs
    )


def models() -> str:
    chapters = []
    for model in sorted(own_models(), key=lambda model: model.__name__):
        if not model._meta.proxy and model._meta.managed:
            rows = [
                (
                    code(field.name),
                    _type_of(field),
                    "yes"
                    if (field.null or field.blank) and not field.primary_key
                    else "",
                    field.help_text,
                )
                for field in model._meta.concrete_fields
            ]
            chapters += [
                f"## {model.__name__}",
                first_paragraph(model),
                table("field|type|may be empty|what it is", rows),
            ]
    return "\n\n".join(chapters)


def _type_of(field: Any) -> str:
    kind = field.get_internal_type().removesuffix("Field")
    return f"{kind} to {field.related_model.__name__}" if field.related_model else kind


def permissions() -> str:
    return table(
        "permission|in the admin",
        (
            (code(f"connectly_tracking.{codename}"), label)
            for model in sorted(own_models(), key=lambda model: model.__name__)
            for codename, label in model._meta.permissions
        ),
    )


TABLES: Final = {
    it.__name__: it
    for it in (
        settings,
        checks,
        functions,
        signals,
        tasks,
        commands,
        states,
        outcomes,
        reasons,
        pauses,
        codes,
        models,
        permissions,
    )
}

if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.settings")
    django.setup()
    for path in sorted(DOCS.rglob("*.md")):
        before = path.read_text()
        if before != (after := generated(before)):
            sys.stdout.write(f"{path.relative_to(DOCS.parent)}\n")
            if "--write" in sys.argv:
                path.write_text(after)
