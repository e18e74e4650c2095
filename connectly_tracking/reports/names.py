"""Names and counts of campaigns and ads, read from a CSV file."""

from __future__ import annotations

import csv
import re
from itertools import chain
from typing import TYPE_CHECKING, Any, Final

from django.db import router, transaction

from ..exceptions import ConnectlyTrackingError
from ..models import UPSTREAM, CampaignName

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from typing import BinaryIO

    Names = dict[str, CampaignName]

_MAX_PROBLEMS: Final = 20
_LINE: Final = 1024 * 1024  # bytes; a file without line ends is one line
#: The heads of each kind's ids and names.
_HEADS: Final = {
    "campaign": (("sendout_id", "campaign_id"), ("campaign_name", "sendout_name")),
    "ad": (("ad_id",), ("ad_name",)),
}
_ANY_NAMES: Final = ("name", "title")
_COUNTS: Final = {
    "sent": ("sent", "messages_sent", "sent_count", "total_sent"),
    "delivered": ("delivered", "messages_delivered", "delivered_count"),
    "read": ("read", "messages_read", "read_count", "opened"),
    "link_clicks": ("link_clicks", "link_click", "clicks", "clicked", "clicks_count"),
}
#: 1234, 1,234 and 1.234 are the same count.
_COUNT: Final = re.compile(r"\d{1,15}|\d{1,3}([.,\s\xa0]\d{3}){1,4}", re.ASCII)
#: Emoji and right-to-left words have other invisible characters.
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_EMPTY: Final = frozenset({"", "-", "\N{EN DASH}", "n/a"})


class InvalidNames(ConnectlyTrackingError):  # noqa: N818
    """The file cannot be read; its problems are one a line. Nothing was changed."""


class NamesFile:
    """The names of a file that is open in binary mode.

    Columns are found by their heads, in any order; others are not read. A file of two
    columns may have any heads: the first is the id, the second the name.
    """

    def __init__(self, file: BinaryIO, kind: str | None = None) -> None:
        texts = self._texts(file)
        first = next(texts, "")
        # A spreadsheet separates by what its language uses for decimals.
        separator = max(",;\t", key=first.count)
        self._rows = csv.reader(chain([first], texts), delimiter=separator, strict=True)
        self._problems = list[str]()
        heads = [re.sub(r"\W+", "_", it.strip().lower()) for it in self._next() or ()]
        self.kind, self._id, self._name = _find(heads, kind)
        self._counts = {
            name: heads.index(known[0])
            for name, heads_known in _COUNTS.items()
            if (known := [it for it in heads_known if it in heads])
        }

    def read(self) -> Names:
        """Return the names by their ids. Raises InvalidNames."""
        found: Names = {}
        while (cells := self._next()) is not None:
            if not any(cell.strip() for cell in cells):
                continue
            try:
                self._add(found, cells)
            except ValueError as exc:
                self._problem(str(exc))
        if self._problems:
            raise InvalidNames("\n".join(self._problems))
        return found

    def _add(self, found: Names, cells: Sequence[str]) -> None:
        if len(cells) <= max(self._id, self._name, *self._counts.values(), 0):
            raise ValueError(f"has only {len(cells)} columns")
        key, name = cells[self._id].strip(), cells[self._name].strip()
        for what, text in (("id", key), ("name", name)):
            if not text:
                raise ValueError(f"the {what} is empty")
            if len(text) > 255:
                raise ValueError(f"the {what} has more than 255 characters")
            if _CONTROL.search(text):
                raise ValueError(
                    f"the {what} has a line break or a control character; perhaps a "
                    "quotation mark is missing"
                )
        counts = {it: _count(it, cells[at]) for it, at in self._counts.items()}
        known = found.get(key)
        if known is None:
            found[key] = CampaignName(id=key, kind=self.kind, name=name, **counts)
            return
        # Several lines of one campaign, such as one a day, are added up.
        known.name = name
        for column, count in counts.items():
            if count is not None:
                setattr(known, column, (getattr(known, column) or 0) + count)

    def _next(self) -> list[str] | None:
        try:
            return next(self._rows, None)
        except csv.Error as exc:
            raise InvalidNames(f"line {self._rows.line_num}: {exc}") from None

    def _problem(self, text: str) -> None:
        if len(self._problems) < _MAX_PROBLEMS:
            self._problems.append(f"line {self._rows.line_num}: {text}")

    def _texts(self, file: BinaryIO) -> Iterator[str]:
        number = 0
        while raw := file.readline(_LINE + 1):
            number += 1
            if len(raw) > _LINE:
                raise InvalidNames(f"line {number} is longer than 1 MiB")
            try:
                text = raw.decode("utf-8-sig" if number == 1 else "utf-8")
            except UnicodeDecodeError:
                raise InvalidNames(
                    f"line {number} is not UTF-8; save the file as “CSV UTF-8”"
                ) from None
            yield text


def _find(heads: Sequence[str], kind: str | None) -> tuple[str, int, int]:
    """Return the kind, and where its ids and its names are. Raises InvalidNames."""
    kinds = (kind,) if kind else tuple(_HEADS)
    found = list[tuple[str, int, int]]()
    for each in kinds:
        key, name = _columns(heads, each)
        if key is not None and name is not None:
            found.append((each, key, name))
    if len(found) > 1:
        raise InvalidNames(
            "The first line names campaigns and ads. Choose with --kind campaign or "
            "--kind ad which of them to read."
        )
    if not found and len(heads) == 2:
        said = [it for it in _HEADS if {*heads} & {*chain(*_HEADS[it])}]
        of = kind or (said or ["campaign"])[0]
        if said in ([], [of]):
            key, name = _columns(heads, of)
            key = key if key is not None else 0 if name is None else 1 - name
            return of, key, 1 - key
    if not found:
        wanted = (f"{_HEADS[it][0][0]} and {_HEADS[it][1][0]}" for it in kinds)
        raise InvalidNames(
            "The first line must name the columns, among them {} (or name). A file "
            "with two columns may name them as it likes, but not as those of the other "
            "kind.".format(", or ".join(wanted))
        )
    return found[0]


def _columns(heads: Sequence[str], kind: str) -> tuple[int | None, int | None]:
    """Return where the ids and the names of that kind are, if they are there."""
    ids, names = _HEADS[kind]
    known = (ids, (*names, *_ANY_NAMES))
    key, name = (
        next((heads.index(it) for it in them if it in heads), None) for them in known
    )
    return key, name


def _count(column: str, text: str) -> int | None:
    text = text.strip()
    if text.lower() in _EMPTY:
        return None
    if not _COUNT.fullmatch(text):
        raise ValueError(f"{column} must be a whole number, 0 or greater")
    return int(re.sub(r"\D", "", text))


def store_names(names: Names) -> tuple[int, int]:
    """Add and change names. Return how many are new, and how many others changed.

    Counts that a file does not have stay as they are.
    """
    using = router.db_for_write(CampaignName)
    stored = CampaignName.objects.using(using)
    fields = ("kind", "name", *UPSTREAM)
    with transaction.atomic(using=using):
        known = stored.in_bulk(list(names))
        changed = list[CampaignName]()
        for key, found in names.items():
            if (row := known.get(key)) is None:
                continue
            before = _values(row, fields)
            for name in fields:
                if (value := getattr(found, name)) is not None:
                    setattr(row, name, value)
            if _values(row, fields) != before:
                changed.append(row)
        new = [found for key, found in names.items() if key not in known]
        stored.bulk_create(new, batch_size=200)
        stored.bulk_update(changed, fields, batch_size=200)
    return len(new), len(changed)


def _values(row: CampaignName, fields: Sequence[str]) -> list[Any]:
    return [getattr(row, name) for name in fields]
