"""What a shop can rely on in each call of ours that runs in its request or transaction.

An error, of ours or of the shop's own objects and callables, is one log line, and the
page goes on as if it had not called us: our statements are in savepoints. If the
database has ended the shop's transaction, the error is raised instead, so that nobody
is thanked for an order that does not exist. Under STRICT, mistakes in the shop's code
are raised, too. Nothing of the shop's is evaluated again to write the log line, and
what is not an ``Exception``, such as KeyboardInterrupt, is never caught.
"""

from __future__ import annotations

import logging
import traceback
from contextlib import ExitStack, contextmanager, nullcontext
from contextvars import ContextVar
from functools import cache
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple, TypeVar

from django.core.exceptions import ImproperlyConfigured, SynchronousOnlyOperation
from django.db import (
    Error,
    OperationalError,
    ProgrammingError,
    connections,
    router,
    transaction,
)
from django.db.transaction import TransactionManagementError
from django.utils.asyncio import async_unsafe

from .conf import conf
from .exceptions import InvalidEvent, causes
from .models import Conversion

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from django.db.backends.base.base import BaseDatabaseWrapper

#: Whose messages are our own, or say what a developer must change. Those of others may
#: have values in them.
_SAFE_TO_SHOW: Final = (ImproperlyConfigured, InvalidEvent, SynchronousOnlyOperation)

#: Of the shop's code.
_MISTAKES: Final = (InvalidEvent, SynchronousOnlyOperation)

_Result = TypeVar("_Result")

logger = logging.getLogger(__name__)


class _Trouble(NamedTuple):
    event: str
    text: str
    level: int
    exc: BaseException


#: What went wrong in the shop's call that is under way.
_troubles: ContextVar[list[_Trouble] | None] = ContextVar("_troubles", default=None)


def guarded(
    event: str,
    body: Callable[[], _Result],
    *,
    name: Callable[[], str] | None = None,
    savepoint: Literal["around", "inside", "none"] = "around",
    using: object = None,
    strict: type[Exception] | tuple[type[Exception], ...] = _MISTAKES,
) -> _Result | None:
    """Return what ``body`` returns, or None after an error that the shop is spared.

    ``event`` begins the log line. ``name`` returns the order's id for it, and evaluates
    nothing of the shop's. ``strict``: the errors that STRICT raises.

    ``savepoint``: "around" the body, in each open transaction; "inside" if the body
    opens its own in the database ``using`` (None: that of our tables); "none" for a
    body that mostly makes no query: then a database error in a transaction is raised.
    """
    before: list[BaseDatabaseWrapper] = []
    token = _troubles.set([]) if _troubles.get() is None else None
    try:
        before = [
            each
            for each in connections.all(initialized_only=True)
            if each.in_atomic_block and not each.needs_rollback
        ]
        with ExitStack() as savepoints:
            if before and savepoint != "none":
                if savepoint == "inside" and type(using) is not str:
                    using = router.db_for_write(Conversion)
                for each in before:
                    if savepoint == "around" or each.alias != using:
                        savepoints.enter_context(transaction.atomic(each.alias))
            result = body()
        if any(each.needs_rollback for each in before):
            raise TransactionManagementError("The database ended the transaction.")
        return result
    except Exception as exc:
        is_database = issubclass(type(exc), Error)
        if not is_database and issubclass(type(exc), strict) and conf.is_strict():
            raise
        _note(event, exc, order=name and name())
        if [each for each in before if _is_ended(each)]:
            raise
        if before and savepoint == "none" and is_database:
            raise
        return None
    finally:
        if token is not None:  # this is the shop's own call, not one inside it
            noted = _troubles.get()
            _troubles.reset(token)
            if noted:
                _log_worst(noted)


@contextmanager
def tolerated(event: str, level: int = logging.ERROR) -> Iterator[None]:
    """Go on without a part of a call, and note its error for the call's log line."""
    try:
        yield
    except Exception as exc:
        if issubclass(type(exc), SynchronousOnlyOperation) and conf.is_strict():
            raise
        _note(event, exc, level=level)


def savepoint(using: str | None = None) -> transaction.Atomic | nullcontext[None]:
    """Protect the caller's transaction, if there is one, from an error in ours."""
    using = using or router.db_for_write(Conversion)
    in_atomic = connections[using].in_atomic_block
    return transaction.atomic(using) if in_atomic else nullcontext()


def refuse_async(function: str, instead: str) -> None:
    """Raise SynchronousOnlyOperation in async code, where Django allows no query.

    Its message says what to use ``instead``.
    """
    _sync_only(f"You cannot call {function} from async code. Use {instead}.")()


def traceback_of(exc: BaseException) -> str:
    """Return the lines of a traceback without the messages in which values may be, such
    as those of a database about a row.
    """
    lines = list[str]()
    for error in reversed(causes(exc)):
        lines += traceback.format_tb(error.__traceback__)
        kind = type(error)
        shown = issubclass(kind, (*_SAFE_TO_SHOW, ProgrammingError, OperationalError))
        lines.append(f"{kind.__name__}: {error}\n" if shown else f"{kind.__name__}\n")
    return "".join(lines).rstrip()


@cache
def _sync_only(message: str) -> Callable[[], None]:
    return async_unsafe(message)(lambda: None)


def _is_ended(connection: BaseDatabaseWrapper) -> bool:
    """Whether the transaction can only be rolled back. Django may not know it yet."""
    if not connection.needs_rollback:
        try:
            with transaction.atomic(connection.alias):
                pass  # a savepoint
        except Error:
            connection.needs_rollback = True
    return connection.needs_rollback


def _note(
    event: str,
    exc: Exception,
    *,
    order: str | None = None,
    level: int = logging.ERROR,
) -> None:
    """Log an error, at the end of the shop's call if one is under way."""
    error = type(exc).__name__
    parts: tuple[Any, ...] = exc.args
    if issubclass(type(exc), _SAFE_TO_SHOW) and all(
        type(part) is str for part in parts
    ):
        error = f"{error}: {': '.join(parts)}"
    text = f"error={error}" if order is None else f"order_id={order} error={error}"
    noted = _troubles.get()
    if noted is None:
        logger.log(level, "%s %s", event, text)
    elif not any(trouble.exc is exc for trouble in noted):
        noted.append(_Trouble(event, text, level, exc))
        logger.debug("%s\n%s", event, traceback_of(exc))


def _log_worst(noted: list[_Trouble]) -> None:
    """Log what went wrong in a call as one line, which names the worst first."""
    worst = max(reversed(noted), key=lambda trouble: trouble.level)
    others = dict.fromkeys(trouble.event for trouble in noted)
    others.pop(worst.event)
    also = f" also={','.join(others)}" if others else ""
    logger.log(worst.level, "%s %s%s", worst.event, worst.text, also)
