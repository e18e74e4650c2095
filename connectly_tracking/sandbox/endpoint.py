"""Decides on a request: the answer of the rules, or the script's next behaviour."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from .behaviour import OK, Behaviour
from .document import order_id_of
from .rules import apply_rules, is_endpoint

if TYPE_CHECKING:
    from .answer import Answer
    from .ledger import Ledger
    from .script import Script
    from .wire import Request


@dataclass(slots=True, kw_only=True)
class Endpoint:
    """``delay`` and ``meta_max_age`` are seconds, and may change at any time."""

    business_id: str
    api_key: str = field(repr=False)
    ledger: Ledger
    script: Script
    delay: float
    meta_max_age: float | None
    connections: int = 0
    _counting: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def is_post(self, request: Request) -> bool:
        return request.method == "POST" and is_endpoint(request.path)

    def count_connection(self) -> None:
        with self._counting:
            self.connections += 1

    def reset_unread(self, request: Request) -> bool:
        """Record a reset before the body is read; False if the script has none."""
        if not self.is_post(request):
            return False
        behaviour = self.script.take_unread()
        if behaviour is None:
            return False
        self.ledger.record(request, behaviour=behaviour, answer=None, order_id=None)
        return True

    def receive(self, request: Request) -> tuple[Behaviour, Answer | None]:
        """Decide on the behaviour and the answer, if any, and record them."""
        order_id = order_id_of(request.body)
        ruled = apply_rules(
            request.method,
            request.path,
            request.fields,
            request.body,
            business_id=self.business_id,
            api_key=self.api_key,
            now=time.time(),
            meta_max_age=self.meta_max_age,
        )
        behaviour = self.script.take(order_id) if self.is_post(request) else OK
        answer = behaviour.decide(ruled)
        self.ledger.record(
            request, behaviour=behaviour, answer=answer, order_id=order_id
        )
        return behaviour, answer
