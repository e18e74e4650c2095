"""Runs a command, kills it at random, and starts it again.

Does an order get lost when my worker is killed -9? Let it happen, and see::

    with Chaos(["celery", "-A", "shop", "worker"], every=(0.3, 2.0), seed=1) as chaos:
        …  # place orders
    print(len(chaos.kills), "kills")

or, in a terminal::

    python -m tests.tools.chaos --every 0.3:2 -- celery -A shop worker

One kill in two is for the whole process group, as when a machine goes; the others are
for one member alone, as when memory runs out. Where that one is the leader, those it
leaves behind go on for a moment, as they would, and are killed before it is started
again: orphans that went on for good would do the work of which it is to be seen whether
it is done.
"""

from __future__ import annotations

import argparse
import random
import signal as signals
import sys
import threading
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Final, Literal, Self, get_args

from .group import Group, until

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Mapping, Sequence

Whom = Literal["any", "tree", "leader"]
Hit = Literal["tree", "leader", "member", "rest"]

_ORPHANED: Final = 0.5  # seconds that orphans go on for, at most
_BREATH: Final = 0.2  # seconds before a command that ended by itself is started again


@dataclass(frozen=True, slots=True, kw_only=True)
class Kill:
    """A signal that was sent; ``pids`` are those that it was for.

    The rest are those still there when the command is to be started again, or to be
    no more; theirs is always a SIGKILL.
    """

    at: datetime  # UTC
    whom: Hit
    pids: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Draw:
    """What chance decides for one kill; all at once, so that a seed can be repeated."""

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
    """``every`` is the least and the most seconds from one kill to the next.

    ``whom`` is ``"any"``, ``"tree"`` or ``"leader"``. None is any for SIGKILL; a signal
    that asks, such as SIGTERM, is for the leader, as a deploy is. Who is asked to end
    has ``grace`` seconds, then all are killed. The same ``seed`` makes the same pauses.
    The output is added to ``log``; without one it goes where this process's goes.
    ``on_kill`` is called with each kill, mostly from another thread.
    """

    def __init__(
        self,
        command: Sequence[str | os.PathLike[str]],
        *,
        every: tuple[float, float] = (0.3, 2.0),
        seed: int | None = None,
        whom: Whom | None = None,
        signal: int = signals.SIGKILL,
        grace: float = 10.0,
        env: Mapping[str, str] | None = None,
        cwd: str | os.PathLike[str] | None = None,
        log: str | os.PathLike[str] | None = None,
        on_kill: Callable[[Kill], object] | None = None,
    ) -> None:
        if not 0 <= every[0] <= every[1]:
            raise ValueError(f"every must be two numbers of seconds, not {every!r}")
        if whom is not None and whom not in get_args(Whom):
            raise ValueError(f"whom must be any, tree or leader, not {whom!r}")
        self._launch = partial(Group, tuple(command), env=env, cwd=cwd, log=log)
        self._every = every
        self._chance = random.Random(seed)
        self._signal = signal
        self._whom = whom or ("any" if signal == signals.SIGKILL else "leader")
        self._grace = grace
        self._on_kill = on_kill
        self._stopping = threading.Event()
        self._due = threading.Event()
        self._switch = threading.Lock()
        self._thread: threading.Thread | None = None
        self._kills: list[Kill] = []
        self.restarts = 0

    def start(self) -> Self:
        """Raises ``OSError`` where there is no such command."""
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
        """Ask the leader to end, wait for ``grace``, and kill whoever is left."""
        with self._switch:
            if self._thread is None:
                return
            self._stopping.set()
            self._thread.join()
            self._thread = None
            group = self._group
            try:
                group.send(signals.SIGTERM, group.id)
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
        """The next kill is now, whatever chance says of its time."""
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
        """Whether it is over with the leader."""
        group = self._group
        members = group.members
        if not members:
            return True
        if self._whom == "tree" or (self._whom == "any" and draw.tree):
            self._record("tree", members)
            group.send(self._signal)
            until(lambda: group.has_ended and not group.members, seconds=self._grace)
            return True
        pid = group.id
        if self._whom == "any":
            pid = members[int(draw.member * len(members))]
        self._record("leader" if pid == group.id else "member", [pid])
        group.send(self._signal, pid)
        if pid != group.id:
            return False
        until(lambda: group.has_ended, seconds=self._grace)
        until(lambda: not group.members, seconds=draw.orphaned)
        return True

    def _clear(self) -> None:
        if rest := self._group.members:
            self._record("rest", rest)
        self._group.clear()

    def _record(self, whom: Hit, pids: Sequence[int]) -> None:
        kill = Kill(at=datetime.now(UTC), whom=whom, pids=tuple(pids))
        self._kills.append(kill)
        if self._on_kill is not None:
            self._on_kill(kill)


def main(argv: Sequence[str] | None = None) -> int:
    """Until interrupted or terminated, or for as long as was asked."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.tools.chaos",
        description="Runs a command, kills it at random and starts it again.",
    )
    parser.add_argument(
        "--every", type=_span, default=(0.3, 2.0), metavar="SECONDS:SECONDS"
    )
    parser.add_argument(
        "--for", type=float, dest="seconds", metavar="SECONDS", help="default: for good"
    )
    parser.add_argument("--seed", type=int, help="default: a new one, which is said")
    parser.add_argument("--whom", choices=get_args(Whom))
    parser.add_argument(
        "--signal", choices=("KILL", "TERM", "INT", "QUIT", "HUP"), default="KILL"
    )
    parser.add_argument("--grace", type=float, default=10.0, metavar="SECONDS")
    parser.add_argument("--log", metavar="FILE", help="default: the output is shown")
    parser.add_argument("command", nargs="+", help="after --")
    options = parser.parse_args(argv)
    seed = options.seed
    if seed is None:
        seed = random.randrange(1_000_000)
    ended = threading.Event()
    for number in (signals.SIGINT, signals.SIGTERM, signals.SIGHUP):
        signals.signal(number, lambda *_: ended.set())
    try:
        chaos = Chaos(
            options.command,
            every=options.every,
            seed=seed,
            whom=options.whom,
            signal=signals.Signals[f"SIG{options.signal}"],
            grace=options.grace,
            log=options.log,
            on_kill=lambda kill: _say(_line(kill, options.signal)),
        )
        _say(f"The seed is {seed}; Ctrl-C ends it.")
        chaos.start()
    except (ValueError, OSError) as exc:
        parser.error(str(exc))
    try:
        ended.wait(options.seconds)
    finally:
        chaos.stop()
    _say(f"Kills: {len(chaos.kills)}; restarts: {chaos.restarts}; nothing is left.")
    return 0


def _span(text: str) -> tuple[float, float]:
    least, _, most = text.partition(":")
    return float(least), float(most or least)


def _line(kill: Kill, name: str) -> str:
    pids = ", ".join(map(str, kill.pids))
    name = "KILL" if kill.whom == "rest" else name
    time = kill.at.astimezone().time().isoformat("milliseconds")
    return f"{time} SIG{name} to the {kill.whom}: {pids}"


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
