"""Runs a command, kills it at random, and starts it again::

    with Chaos(["celery", "-A", "shop", "worker"], every=(0.3, 2.0), seed=1) as chaos:
        …  # place orders
    print(len(chaos.kills), "kills")

Half of the kills hit the whole process group, as when a machine fails; the others hit
one member, as when memory runs out. If that is the leader, its orphans continue for a
moment and are killed before it starts again: orphans that survived would do the work of
the new ones.
"""

from __future__ import annotations

import random
import signal
import threading
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Final, Literal, Self, get_args

from .group import Group, until

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping, Sequence

Whom = Literal["any", "tree", "leader"]
Hit = Literal["tree", "leader", "member", "rest"]

_ORPHANED: Final = 0.5  # seconds that orphans continue, at most
_BREATH: Final = 0.2  # seconds before a command that ended by itself starts again


@dataclass(frozen=True, slots=True, kw_only=True)
class Kill:
    """A SIGKILL that was sent to ``pids``, of a group of ``members``.

    The "rest" are the members left before the command starts again, or at the end.
    """

    at: datetime  # UTC
    whom: Hit
    pids: tuple[int, ...]
    members: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Draw:
    """The random choices for one kill, all at once, so that a seed can be repeated."""

    pause: float
    tree: bool
    member: float  # from 0 to 1: the place among the members
    orphaned: float

    @classmethod
    def from_chance(cls, chance: random.Random, every: tuple[float, float]) -> Draw:
        return cls(
            pause=chance.uniform(*every),
            tree=chance.random() < 0.5,
            member=chance.random(),
            orphaned=chance.uniform(0, _ORPHANED),
        )


class Chaos:
    """``every`` is the shortest and the longest time between two kills, in seconds.

    ``whom`` is ``"any"``, ``"tree"`` or ``"leader"``. At the end the leader gets a
    SIGTERM and ``grace`` seconds, then all are killed. The same ``seed`` makes the same
    pauses. The output is appended to ``log``, if there is one.
    """

    def __init__(
        self,
        command: Sequence[str | os.PathLike[str]],
        *,
        every: tuple[float, float] = (0.3, 2.0),
        seed: int | None = None,
        whom: Whom = "any",
        grace: float = 10.0,
        env: Mapping[str, str] | None = None,
        cwd: str | os.PathLike[str] | None = None,
        log: str | os.PathLike[str] | None = None,
    ) -> None:
        if not 0 <= every[0] <= every[1]:
            raise ValueError(f"every must be two numbers of seconds, not {every!r}")
        if whom not in get_args(Whom):
            raise ValueError(f"whom must be any, tree or leader, not {whom!r}")
        self._launch = partial(Group, tuple(command), env=env, cwd=cwd, log=log)
        self._every = every
        self._chance = random.Random(seed)
        self._whom = whom
        self._grace = grace
        self._stopping = threading.Event()
        self._due = threading.Event()
        self._switch = threading.Lock()
        self._thread: threading.Thread | None = None
        self._kills: list[Kill] = []
        self.restarts = 0

    def start(self) -> Self:
        """Raises OSError if there is no such command."""
        with self._switch:
            if self._thread is not None:
                raise RuntimeError("this chaos has been started already")
            self._stopping.clear()
            self._group = self._launch()
            self._thread = threading.Thread(
                target=self._run, name=f"chaos-{self._group.id}", daemon=True
            )
            self._thread.start()
        return self

    def stop(self) -> None:
        """Ask the leader to end, wait for ``grace``, and kill what is left."""
        with self._switch:
            if self._thread is None:
                return
            self._stopping.set()
            self._thread.join()
            self._thread = None
            group = self._group
            try:
                group.send(signal.SIGTERM, group.id)
                until(lambda: group.has_ended, seconds=self._grace)
            finally:
                self._clear()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *exc_info: object) -> None:
        self.stop()

    @property
    def kills(self) -> list[Kill]:
        """Oldest first."""
        return list(self._kills)

    def strike(self) -> None:
        """Kill now, and not at the next random time."""
        self._due.set()

    def _run(self) -> None:
        while not self._stopping.is_set():
            draw = Draw.from_chance(self._chance, self._every)
            until(
                lambda: self._group.has_ended or self._due.is_set(),
                seconds=draw.pause,
                unless=self._stopping,
            )
            self._due.clear()
            if ended := self._group.has_ended:
                self._stopping.wait(_BREATH)
            over = not self._stopping.is_set() and (ended or self._hit(draw))
            if over and not self._stopping.is_set():
                self._clear()
                self._group = self._launch()
                self.restarts += 1

    def _hit(self, draw: Draw) -> bool:
        """Kill one or all; True if the leader has ended."""
        group = self._group
        members = group.members
        if not members:
            return True
        if self._whom == "tree" or (self._whom == "any" and draw.tree):
            self._record("tree", members, members)
            group.send(signal.SIGKILL)
            until(lambda: group.has_ended and not group.members, seconds=self._grace)
            return True
        pid = group.id
        if self._whom == "any":
            pid = members[int(draw.member * len(members))]
        self._record("leader" if pid == group.id else "member", [pid], members)
        group.send(signal.SIGKILL, pid)
        if pid != group.id:
            return False
        until(lambda: group.has_ended, seconds=self._grace)
        until(lambda: not group.members, seconds=draw.orphaned)
        return True

    def _clear(self) -> None:
        if rest := self._group.members:
            self._record("rest", rest, rest)
        self._group.clear()

    def _record(self, whom: Hit, pids: Sequence[int], members: Sequence[int]) -> None:
        kill = Kill(
            at=datetime.now(UTC), whom=whom, pids=tuple(pids), members=tuple(members)
        )
        self._kills.append(kill)
