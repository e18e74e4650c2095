"""Crashes, database errors and other workers between two statements of a move."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

from django.db import OperationalError, connection, transaction

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager

    Disturbance = AbstractContextManager[None]

#: How a transaction ends within another one.
_ENDS: Final = ("RELEASE", "ROLLBACK")


class Killed(BaseException):
    """The process was killed."""


class DatabaseGoneError(OperationalError):
    """The connection to the database was lost."""


@contextmanager
def killed_at(number: int) -> Iterator[None]:
    """Kill the process before this statement, counted from 0."""

    def end(at: int) -> None:
        if at == number:
            raise Killed

    with _before_each(end):
        yield


@contextmanager
def failing_at(number: int, *, lasting: bool) -> Iterator[None]:
    """Let this statement fail, and with ``lasting`` all later ones, too."""

    def fail(at: int) -> None:
        if at == number or (lasting and at > number):
            raise DatabaseGoneError

    with _before_each(fail):
        yield


@contextmanager
def interrupted_at(number: int, interruption: Callable[[], None]) -> Iterator[None]:
    """Others do something before a statement, unless a transaction is open there.

    In one, this connection would see what no other one can.
    """
    depth = len(connection.savepoint_ids)

    def interrupt(at: int) -> None:
        if at == number:
            interruption()

    with _before_each(interrupt, depth=depth):
        yield


@contextmanager
def _before_each(
    happen: Callable[[int], None], *, depth: int | None = None
) -> Iterator[None]:
    count, is_happening = 0, False

    def watch(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        nonlocal count, is_happening
        outside = depth is None or len(connection.savepoint_ids) == depth
        # Between two transactions, others may come before the one that begins.
        passed = _ENDS if depth is not None else ("SAVEPOINT", *_ENDS)
        if not is_happening and outside and not sql.startswith(passed):
            is_happening = True
            try:
                happen(count)
            finally:
                count, is_happening = count + 1, False
        return execute(sql, params, many, context)

    try:
        with connection.execute_wrapper(watch):
            yield
    finally:
        # What failed outside of every transaction of the product's spoils ours no more
        # than it would spoil autocommit.
        transaction.set_rollback(False)
