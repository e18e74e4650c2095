"""What can go wrong, as one tree. ``str()`` of each is safe to log.

::

    ConnectlyTrackingError
    └── InvalidEvent          an order or a view that cannot be reported as it is

A fault of the configuration is Django's own ``ImproperlyConfigured``.
"""

from __future__ import annotations


class ConnectlyTrackingError(Exception):
    """The root of this package's errors."""


class InvalidEvent(ConnectlyTrackingError, ValueError):  # noqa: N818
    """An event that cannot be reported as it is: names the field and what to do."""

    def __init__(self, field: str, problem: str) -> None:
        super().__init__(field, problem)
        self.field = field
        self.problem = problem

    def __str__(self) -> str:
        return f"{self.field}: {self.problem}"
