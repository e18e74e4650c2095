"""Ends waiting for what gives no answer."""

from __future__ import annotations

import threading
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, TypeVar

from django.db import connections

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")


class TooLongError(Exception):
    """There was no answer in time."""


def within(seconds: float, ask: Callable[[], T]) -> T:
    """What ``ask`` returns or raises; TooLongError where it takes longer.

    It runs in a thread of its own, which may be left behind: neither a name server nor
    a driver can be told to give up.
    """
    answers = SimpleQueue[tuple[bool, T | Exception]]()

    def run() -> None:
        try:
            answers.put((True, ask()))
        except Exception as exc:  # noqa: BLE001 - raised where it is waited for
            answers.put((False, exc))
        finally:
            connections.close_all()  # this thread's own

    threading.Thread(target=run, daemon=True).start()
    try:
        succeeded, answer = answers.get(timeout=seconds)
    except Empty:
        raise TooLongError(f"no answer within {seconds:g} s") from None
    if succeeded:
        return answer  # type: ignore[return-value]
    raise answer  # type: ignore[misc]


def causes(exc: BaseException | None) -> list[BaseException]:
    """An exception and what led to it, outermost first."""
    chain: list[BaseException] = []
    while exc is not None and exc not in chain:
        chain.append(exc)
        exc = exc.__cause__ or exc.__context__
    return chain
