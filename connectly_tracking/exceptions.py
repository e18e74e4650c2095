"""The errors of this package, as one tree. ``str()`` of each is safe to log.

::

    ConnectlyTrackingError
    └── InvalidEvent          an order or a view that cannot be reported as it is

A wrong setting raises Django's own ``ImproperlyConfigured``.
"""

from __future__ import annotations


class ConnectlyTrackingError(Exception):
    """The root of this package's errors."""


class InvalidEvent(ConnectlyTrackingError, ValueError):  # noqa: N818
    """An event that cannot be reported as it is.

    ``field`` names the field, ``problem`` says what must be changed.
    """

    def __init__(self, field: str, problem: str) -> None:
        super().__init__(field, problem)
        self.field = field
        self.problem = problem

    def __str__(self) -> str:
        return f"{self.field}: {self.problem}"


def causes(exc: BaseException) -> list[BaseException]:
    """Return an exception and those that led to it, the first cause last."""
    chain = [exc]
    while (cause := chain[-1].__cause__ or chain[-1].__context__) is not None:
        if cause in chain:
            break
        chain.append(cause)
    return chain
