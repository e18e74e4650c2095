"""The public API as text, one name a line: ``python -m tests.public_api --write``.

``docs/stability.md`` says what is promised about it. ``test_public_api.py`` compares it
with the stored text, so that no public name changes unnoticed.
"""

from __future__ import annotations

import dataclasses
import importlib
import inspect
import os
import re
import sys
from argparse import SUPPRESS
from operator import attrgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import django
from django.apps import apps
from django.core.management import BaseCommand, get_commands, load_command_class
from django.dispatch import Signal
from django.urls import get_resolver

import connectly_tracking
from connectly_tracking import signals

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import ModuleType

    from django.db.models import Model

STORED: Final = Path(__file__).with_name("public_api.txt")

#: Module → names; None: all that it exports or defines, with their members.
IMPORTED: Final[dict[str, tuple[str, ...] | None]] = {
    "middleware": ("AttributionMiddleware",),
    "events": ("Purchase", "ViewContent", "Item"),
    "exceptions": ("ConnectlyTrackingError", "InvalidEvent"),
    "signals": None,
    "outbox": ("record", "cancel", "cancel_rows", "replay", "pause", "resume"),
    "attribution": (
        "capture",
        "recall",
        "bind_order",
        "make_token",
        "acapture",
        "arecall",
        "abind_order",
        "amake_token",
        "consent_changed",
        "forget",
        "erase",
        "export",
    ),
    "reports": None,
    "reports.campaigns": ("CampaignRow",),
    "views": ("ContentViewedMixin", "ContentViewedMixin.get_view_content", "monitor"),
    "admin": (
        "AttributionAdminMixin",
        "AttributionAdminMixin.connectly_campaign",
        "AttributionAdminMixin.connectly_reported",
        "AttributionAdminMixin.order_field",
        "ConversionInline",
        "ConversionInline.order_field",
    ),
    "contrib.prometheus": ("ConnectlyCollector",),
    "testing.cases": None,
    "testing.plugin": None,
    "sandbox": None,
}

#: Of a library, the tags that are meant for a shop's templates.
TAGS: Final = ("connectly_capture",)


def public_api() -> Iterator[str]:
    """Each public name with what a user may rely on, in a fixed order."""
    for name, chosen in IMPORTED.items():
        module = importlib.import_module(f"connectly_tracking.{name}")
        for public in sorted(chosen or defined_in(module)):
            value = attrgetter(public)(module)
            yield from described(f"{name}.{public}", value, members=not chosen)
    for model in sorted(own_models(), key=lambda model: model.__name__):
        yield from described_model(model)
    yield from sorted(settings_and_checks())
    yield from findings()
    yield from metrics()
    yield from sorted(tasks())
    yield from commands()
    yield from sorted(urls())
    yield from tags()


def defined_in(module: ModuleType) -> Iterator[str]:
    """The public names of a module: those that it exports, or else its own."""
    if exported := getattr(module, "__all__", None):
        yield from exported
    for name, value in () if exported else vars(module).items():
        own = getattr(value, "__module__", None) == module.__name__
        if not name.startswith(("_", "pytest_")) and (own or isinstance(value, Signal)):
            yield name


def described(name: str, value: Any, *, members: bool) -> Iterator[str]:
    """One line, and for a class one for each of its ``members`` as well."""
    if isinstance(value, Signal):
        taken = arguments_of_signals()[name.rpartition(".")[2]]
        yield f"signal {name}({', '.join(taken)})"
    elif inspect.isclass(value):
        is_data = dataclasses.is_dataclass(value)
        yield f"class {name}{parameters(value) if is_data else ''}"
        for member, own in sorted(vars(value).items()):
            if members and not is_data and not member.startswith("_"):
                yield from described(f"{name}.{member}", own, members=False)
    elif callable(value):
        yield f"function {name}{parameters(value)}"
    else:
        yield f"attribute {name}"


def parameters(function: Any) -> str:
    """The parameters without their types, which may become wider."""
    function = getattr(function, "_get_wrapped_function", lambda: function)()
    signature = inspect.signature(function)
    untyped = [
        each.replace(annotation=each.empty) for each in signature.parameters.values()
    ]
    return str(signature.replace(parameters=untyped, return_annotation=signature.empty))


def arguments_of_signals() -> dict[str, list[str]]:
    """Return the arguments of each signal, as the comment above it lists them."""
    found = {}
    for comment, name in re.findall(
        r"((?:# .*\n)+)(\w+) = Signal\(\)", Path(signals.__file__).read_text()
    ):
        listed = comment.replace("\n# ", " ").partition(" Arguments: ")[2]
        plain = re.sub(r"\(.*?\)|optional:|\.$", "", listed.strip())
        found[name] = re.split(r"\s*(?:[,;]|\bor\b)\s*", plain.strip())
    return found


def own_models() -> Iterator[type[Model]]:
    return apps.get_app_config("connectly_tracking").get_models()


def described_model(model: type[Model]) -> Iterator[str]:
    from connectly_tracking.models import Reason

    name = model.__name__
    for field in sorted(model._meta.concrete_fields, key=lambda field: field.name):
        yield f"field {name}.{field.name}: {field.get_internal_type()}"
        # The field of the reasons takes those of later versions, too.
        reasons = Reason.choices if field.name == "reason" else []
        for value, _ in field.flatchoices or reasons:
            yield f"value {name}.{field.name}: {value!r}"
    options = model._meta
    granted = [
        *(f"{action}_{options.model_name}" for action in options.default_permissions),
        *(codename for codename, _ in options.permissions),
    ]
    yield from (f"permission connectly_tracking.{each}" for each in sorted(granted))


def settings_and_checks() -> Iterator[str]:
    from connectly_tracking.checks import SETTING_IDS
    from connectly_tracking.conf import NAMES

    yield from (f"setting {name}" for name in NAMES)
    yield from (f"check connectly_tracking.{each}" for each in SETTING_IDS.values())
    for path in Path(connectly_tracking.__file__).parent.rglob("*.py"):
        for line in path.read_text().splitlines():
            if 'id="connectly_tracking.' in line:
                yield "check " + line.split('"')[1]


def findings() -> Iterator[str]:
    """What monitors read of the doctor, of ``health`` and of alerts, and its status."""
    from connectly_tracking.doctor.report import EXIT_STATUS
    from connectly_tracking.findings import CATALOGUE, Finding, Subject

    yield f"class findings.Finding{parameters(Finding)}"
    yield from (f"subject {subject.value}" for subject in Subject)
    for code, (level, _) in sorted(CATALOGUE.items()):
        yield f"finding {code}: {level.value}"
    for level, status in EXIT_STATUS.items():
        yield f"exit connectly_doctor {level.value}: {status}"


def metrics() -> Iterator[str]:
    from connectly_tracking.contrib.prometheus import METRICS

    for name, metric in METRICS.items():
        yield f"metric {name}({', '.join(metric.labels)})"


def tasks() -> Iterator[str]:
    from celery import current_app

    importlib.import_module("connectly_tracking.tasks")
    for name in current_app.tasks:
        if name.startswith("connectly_tracking."):
            yield f"task {name}"


def commands() -> Iterator[str]:
    usual = {
        option
        for action in BaseCommand().create_parser("manage.py", "")._actions
        for option in action.option_strings
    }
    for name, app in sorted(get_commands().items()):
        if app == "connectly_tracking":
            parser = load_command_class(app, name).create_parser("manage.py", name)
            for action in parser._actions:
                shown = (action.option_strings or [action.dest])[-1]
                if action.help is not SUPPRESS and shown not in usual:
                    yield f"command {name} {shown}"


def urls() -> Iterator[str]:
    """The names that ``reverse`` takes, also those of the admin's further pages."""
    from connectly_tracking.urls import app_name, urlpatterns

    yield from (f"url {app_name}:{pattern.name}" for pattern in urlpatterns)
    _, admin = get_resolver().namespace_dict["admin"]
    for name in admin.reverse_dict:
        if isinstance(name, str) and "connectly" in name:
            yield f"url admin:{name}"


def tags() -> Iterator[str]:
    from connectly_tracking.templatetags.connectly_tracking import register

    for name in TAGS:
        given = inspect.signature(inspect.unwrap(register.tags[name])).parameters
        yield f"tag {name}({', '.join(it for it in given if it != 'context')})"


if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.settings")
    django.setup()
    text = "".join(f"{line}\n" for line in dict.fromkeys(public_api()))
    if "--write" in sys.argv:
        STORED.write_text(text)
    else:
        sys.stdout.write(text)
