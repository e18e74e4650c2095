"""What a fault adds to a checkout, measured through real requests, in pairs."""

from __future__ import annotations

import statistics
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Self

if TYPE_CHECKING:
    from collections.abc import Callable

    from .customer import Customer

PAIRS: Final = 60
ROUNDS: Final = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Added:
    """In milliseconds: what is added to the ``usual`` checkout, and to its p99.

    ``first`` is for the checkout that meets the fault, ``median`` and ``p99`` are for
    those after it.
    """

    first: float
    median: float
    p99: float
    usual: float
    usual_p99: float

    @classmethod
    def between(
        cls, plain: Customer, spoiled: Callable[[], Customer], *, most: float
    ) -> Self:
        """The same checkouts at two shops, both warm; ``spoiled`` opens one that has
        not met the fault. The first may pay ``most``.
        """
        for _ in range(ROUNDS):
            added = cls._from_pairs(plain, spoiled())
            if added.is_little(most):
                break  # else it may have been others who use the machine
        return added

    @classmethod
    def _from_pairs(cls, plain: Customer, spoiled: Customer) -> Self:
        first = _milliseconds(spoiled)
        pairs = [(_milliseconds(plain), _milliseconds(spoiled)) for _ in range(PAIRS)]
        without, beside = zip(*pairs, strict=True)
        usual, usual_p99 = statistics.median(without), _p99(without)
        return cls(
            first=first - usual,
            median=statistics.median(b - a for a, b in pairs),
            p99=_p99(beside) - usual_p99,
            usual=usual,
            usual_p99=usual_p99,
        )

    def is_little(self, most: float) -> bool:
        """The first pays no more; after it nothing stands out from how long checkouts
        take.
        """
        return (
            self.first < most + self.usual_p99
            and self.median < max(5, self.usual / 4)
            and self.p99 < max(50, self.usual_p99)
        )

    def __str__(self) -> str:
        return (
            f"{self.first:.1f} ms once, then {self.median:.2f} ms (p99 {self.p99:.1f}),"
            f" to {self.usual:.1f} ms (p99 {self.usual_p99:.1f})"
        )


def warm(customer: Customer) -> None:
    """Land, and buy until what is loaded once is loaded."""
    customer.land()
    for _ in range(5):
        customer.buy()


def _milliseconds(customer: Customer) -> float:
    began = time.perf_counter()
    customer.buy()
    return 1000 * (time.perf_counter() - began)


def _p99(figures: tuple[float, ...]) -> float:
    return statistics.quantiles(figures, n=100, method="inclusive")[98]
