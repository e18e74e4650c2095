"""The details that are stored with an order, in the reader's language.

They are stored in English, since `api` knows no translations, and who reads them is not
known when they are written. Whatever is not found here is shown as it is.
"""

from __future__ import annotations

import re
from functools import cache
from typing import TYPE_CHECKING, Final

from django.utils.translation import gettext
from django.utils.translation import gettext_noop as _

if TYPE_CHECKING:
    from collections.abc import Iterable

_SENTENCES: Final = (
    _("%(names)s was left out: the request would be longer than %(most)s bytes."),
    _("%(names)s were left out: the request would be longer than %(most)s bytes."),
    _("%(place)s was left out: it %(problem)s."),
    _("%(place)s was left out: %(field)s %(problem)s."),
    _("content_type was replaced by 'product': the value passed %(problem)s."),
    _(
        "num_items was replaced by the sum of the quantities: the value passed "
        "%(problem)s."
    ),
    _("And %(count)s more."),
    _("The shop sent this order id again with %(amount)s; the first value is kept."),
    _("The shop first sent this order id with %(amount)s; the new value is used."),
    _(
        "The shop sent this order id again with another click (campaign %(id)s), which "
        "is not credited."
    ),
    _("Each worker that took it ended."),
)
_PROBLEMS: Final = (
    _("could not be read (%(error)s)"),
    _("must be a string, not %(value)s"),
    _("must not be empty"),
    _("must have at most %(most)s characters, not %(count)s"),
    _("must not contain control characters"),
    _("must not begin or end with white space"),
    _("is out of range"),
    _("must be a datetime or Unix seconds, not %(value)s"),
    _("must be a finite number"),
    _("must be in seconds, not in milliseconds"),
    _("must be later than 1970-01-01"),
    _("must not be in the future; pass the time when the order was placed"),
    _("must be a number, such as 99.97, not %(value)s; pass its amount"),
    _("must be a number, such as 99.97, not %(value)s"),
    _("must have at most %(most)s digits before the decimal point"),
    _("must not be negative; a refund cannot be reported"),
    _("must not be negative"),
    _("must be greater than zero"),
    _("must be an ISO 4217 currency code (such as USD), not %(value)s"),
    _("%(value)s is not an ISO 4217 currency code (such as USD)"),
    _("must be a list, not a QuerySet of model instances"),
    _("must be a list; a set drops equal lines and their order"),
    _("must be a list, not %(value)s"),
    _("must have at most %(most)s entries"),
    _(
        "is a QuerySet of model instances, and the id of each is its primary key; pass "
        "%(example)s"
    ),
    _(
        "is a model instance (%(model)s) and its id is its primary key; pass "
        "%(example)s"
    ),
    _("must be an Item or a mapping, not %(value)s"),
    _("has unknown keys: %(keys)s; an item has %(known)s"),
    _("must be a Purchase, not %(value)s"),
    _("must be one of those in the settings: %(known)s"),
    _("must be a string that make_token() returned"),
    _(
        "was changed, cut or signed with another SECRET_KEY; pass it exactly as "
        "make_token() returned it"
    ),
    _("must be a user object"),
    _(
        "makes a request of %(size)s bytes, and at most %(most)s are allowed; pass "
        "fewer"
    ),
    _("must be given together with currency"),
)
#: What is filled in, where it could run into the next sentence.
_VALUES: Final = {
    "place": r"\S+(?: \(id .+?\))?",
    "field": r"\S+",
    "names": r"\w+(?: and \w+)?",
}
_FIELD: Final = re.compile(r"([\w.\[\]]+): (.+)", re.S)


def translate_detail(detail: str) -> str:
    """Return the sentences of a stored detail in the current language."""
    found: list[str] = []
    rest = detail
    while rest:
        sentence, length = _first(_SENTENCES, r"(?:\s+|$)", rest)
        if not length:
            return " ".join([*found, _with_field(rest)])
        found.append(sentence)
        rest = rest[length:]
    return " ".join(found)


def _with_field(text: str) -> str:
    """Translate what is wrong with a field, as `InvalidEvent` says it."""
    if (match := _FIELD.fullmatch(text)) is None:
        return text
    return f"{match[1]}: {_first(_PROBLEMS, '$', match[2])[0]}"


def _first(texts: Iterable[str], end: str, text: str) -> tuple[str, int]:
    """Translate the first that the text begins with, and return its length."""
    for known in texts:
        if match := _pattern(known, end).match(text):
            values = match.groupdict()
            if problem := values.get("problem"):
                values["problem"] = _first(_PROBLEMS, "$", problem)[0]
            return gettext(known) % values, match.end()
    return text, 0


@cache
def _pattern(known: str, end: str) -> re.Pattern[str]:
    parts = re.split(r"%\((\w+)\)s", known)
    parts[::2] = map(re.escape, parts[::2])
    parts[1::2] = [f"(?P<{name}>{_VALUES.get(name, '.+?')})" for name in parts[1::2]]
    return re.compile("".join(parts) + end, re.S)
