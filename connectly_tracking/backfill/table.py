"""A CSV file of orders, read line by line."""

from __future__ import annotations

import csv
import re
from difflib import get_close_matches
from typing import TYPE_CHECKING, Final

from ..exceptions import ConnectlyTrackingError
from .line import COLUMNS, REQUIRED, Line, line_of
from .values import LineFault

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from typing import BinaryIO

MAX_LINE: Final = 1024 * 1024  # bytes; a file without line ends is one line
BOM: Final = "\ufeff"

#: What is left of bytes that are not UTF-8.
_STRAY: Final = re.compile(r"[\udc80-\udcff]")


class TableFault(ConnectlyTrackingError):  # noqa: N818
    """The file as a whole is not what it should be; nothing was read of it."""


class Table:
    """The orders of a file, which is opened in binary mode and never read whole.

    The header is read at once. Raises TableFault where columns are missing or unknown,
    or where the file is not UTF-8.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._offset = 0
        # Strict, or a stray quote would swallow the orders after it.
        self._rows = csv.reader(self._texts(), strict=True)
        self._columns = self._header()

    def __iter__(self) -> Iterator[Line]:
        while True:
            number = self._rows.line_num + 1
            try:
                cells = next(self._rows)
            except StopIteration:
                return
            except csv.Error:
                yield self._unreadable(number, "quotes", "are not those of a CSV")
                continue
            if cells:
                yield self._line(cells, number)

    def _line(self, cells: list[str], number: int) -> Line:
        if len(cells) != len(self._columns):
            words = f"are {len(cells)}; the header has {len(self._columns)}"
            return self._unreadable(number, "columns", words)
        if _STRAY.search("".join(cells)):
            return self._unreadable(number, "encoding", "is not UTF-8")
        named = dict(zip(self._columns, cells, strict=True))
        return line_of(named, number=number, end=self._offset)

    def _unreadable(self, number: int, field: str, problem: str) -> Line:
        fault = LineFault(field, problem)
        return Line(number=number, end=self._offset, failure=fault)

    def _texts(self) -> Iterator[str]:
        while raw := self._file.readline(MAX_LINE + 1):
            if len(raw) > MAX_LINE:
                raise TableFault("a line is longer than 1 MiB; is this a CSV file?")
            text = raw.decode("utf-8", "surrogateescape")
            if self._offset == 0:
                text = text.removeprefix(BOM)
            self._offset += len(raw)
            yield text

    def _header(self) -> list[str]:
        try:
            names = [name.strip() for name in next(self._rows)]
        except StopIteration:
            raise TableFault(
                "the file is empty; its first line names the columns"
            ) from None
        except csv.Error:
            raise TableFault("the first line is no CSV") from None
        if _STRAY.search("".join(names)) or "\0" in "".join(names):
            raise TableFault("the file is not UTF-8; save it as “CSV UTF-8”")
        if problems := [*_problems(names)]:
            raise TableFault("; ".join(problems))
        return names


def _problems(names: Sequence[str]) -> Iterator[str]:
    if missing := [name for name in REQUIRED if name not in names]:
        yield f"columns are missing: {', '.join(missing)}"
    if unknown := [name for name in names if name not in COLUMNS]:
        yield f"columns are unknown: {', '.join(map(_suggested, unknown))}"
    if twice := sorted({name for name in names if names.count(name) > 1}):
        yield f"columns are there twice: {', '.join(twice)}"
    if missing or unknown:
        yield f"known, with commas between them, are {', '.join(COLUMNS)}"


def _suggested(name: str) -> str:
    near = get_close_matches(name, COLUMNS, 1)
    return f"{name[:64]!r}" + (f" (did you mean {near[0]}?)" if near else "")
