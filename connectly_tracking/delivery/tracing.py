"""OpenTelemetry's spans, if its API is installed; otherwise nothing.

A span stays in this process: no header is added to a request. An error of a tracer, an
exporter or a processor is a log line, and the delivery goes on.
"""

from __future__ import annotations

import logging
from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING, Any

from .. import __version__

try:
    from opentelemetry import context, trace
except ImportError:
    context = trace = None  # type: ignore[assignment]

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from contextlib import AbstractContextManager

    Attributes = Mapping[str, Any]
    #: Adds attributes; ``error``: what went wrong, in a word.
    Report = Callable[..., None]

logger = logging.getLogger(__name__)


def current_context() -> Any:
    """Return what `traced` takes as ``parent`` in another thread."""
    return None if trace is None else _safely(context.get_current)


def traced(
    name: str,
    attributes: Attributes,
    *,
    parent: Any = None,
    is_request: bool = False,
) -> AbstractContextManager[Report]:
    """A span around a block, which gets a function to add to it."""
    if trace is None:
        return nullcontext(_note_nothing)
    return _span(name, attributes, parent, is_request=is_request)


@contextmanager
def _span(
    name: str, attributes: Attributes, parent: Any, *, is_request: bool
) -> Iterator[Report]:
    kind = trace.SpanKind.CLIENT if is_request else trace.SpanKind.INTERNAL
    tracer = _safely(lambda: trace.get_tracer("connectly_tracking", __version__))
    span = tracer and _safely(
        lambda: tracer.start_span(
            name, context=parent, kind=kind, attributes=dict(attributes)
        )
    )
    if span is None:
        yield _note_nothing
        return

    def note(attributes: Attributes, *, error: str = "") -> None:
        _safely(lambda: span.set_attributes(dict(attributes)))
        if error:
            _safely(lambda: span.set_attribute("error.type", error))
            _safely(lambda: span.set_status(trace.StatusCode.ERROR, error))

    token = _safely(lambda: context.attach(trace.set_span_in_context(span, parent)))
    try:
        yield note
    except BaseException as exc:
        note({}, error=type(exc).__name__)  # its message may have values in it
        raise
    finally:
        if token is not None:
            _safely(lambda: context.detach(token))
        _safely(span.end)


def _note_nothing(attributes: Attributes, *, error: str = "") -> None:
    """There is no span."""


def _safely(call: Callable[[], Any]) -> Any:
    """Return what it returns, or None after an error, which is logged."""
    try:
        return call()
    except Exception as exc:  # noqa: BLE001 - of whatever the shop has installed
        logger.warning("span_lost error=%s", type(exc).__name__)
        return None
