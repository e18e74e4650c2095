"""A fake API without a socket. Its answers are set by the test."""

from __future__ import annotations

import json
from collections import defaultdict
from enum import Enum
from typing import TYPE_CHECKING

from connectly_tracking.api.verdicts import Outcome, Verdict, verdict_of

if TYPE_CHECKING:
    from typing import Self


class Behaviour(Enum):
    """What happens to a request: in the API, on the way to it, or in this app."""

    CONFIRMS = verdict_of(200, b'{"events_received": 1}')
    REFUSES = verdict_of(400, b"no such campaign")
    FAILS = verdict_of(503, b"down")
    MUMBLES = verdict_of(200, b"<html>please log in</html>")
    IS_MISCONFIGURED = verdict_of(401, b"no such key")
    THROTTLES = verdict_of(429, b"", "60")
    THROTTLES_LONG = verdict_of(429, b"", "3600")
    LOSES_THE_ANSWER = Verdict(outcome=Outcome.UNKNOWN, detail="counted")
    LOSES_THE_REQUEST = Verdict(outcome=Outcome.UNKNOWN, detail="not counted")
    IS_UNREACHABLE = Verdict(outcome=Outcome.NOT_SENT)
    BREAKS_US = Verdict(outcome=Outcome.INTERNAL, detail="KeyError")
    #: The worker ends and gets no verdict.
    KILLS = Verdict(outcome=Outcome.UNKNOWN, detail="killed")

    @classmethod
    def weathers(cls) -> list[Self]:
        return [behaviour for behaviour in cls if behaviour is not cls.KILLS]


class Api:
    """Keeps the bodies it received, by order, and those it confirmed."""

    def __init__(self) -> None:
        self.weather = Behaviour.CONFIRMS
        self.received = defaultdict[str, set[str]](set)
        self.confirmed = set[str]()

    def receive(self, body: str) -> None:
        order_id = json.loads(body)["payload"]["order_id"]
        self.received[order_id].add(body)
        assert len(self.received[order_id]) == 1, f"{order_id} came with other bytes"

    def answer(self, body: str, behaviour: Behaviour) -> Verdict:
        if behaviour is Behaviour.CONFIRMS:
            self.confirmed.add(body)
        return behaviour.value
