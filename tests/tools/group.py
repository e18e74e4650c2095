"""A command in its own process group, with the processes that it starts."""

from __future__ import annotations

import contextlib
import os
import subprocess
import threading
import time
from pathlib import Path
from signal import SIGKILL
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

_RECHECK: Final = 0.02  # seconds between two checks of a condition
_PROC: Final = Path("/proc")


class Group:
    """Its id is not reused before ``clear``, which leaves no member behind.

    A process that leaves the group is not followed. Raises OSError if there is no such
    command. For Linux, and for macOS with Python 3.13.
    """

    def __init__(
        self,
        command: Sequence[str | os.PathLike[str]],
        *,
        env: Mapping[str, str] | None,
        cwd: str | os.PathLike[str] | None,
        log: str | os.PathLike[str] | None,
    ) -> None:
        with contextlib.ExitStack() as stack:
            output = None if log is None else stack.enter_context(Path(log).open("ab"))
            self._leader = subprocess.Popen(
                list(command),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env=env,
                cwd=cwd,
                start_new_session=True,
            )
        self.id: Final = self._leader.pid

    @property
    def has_ended(self) -> bool:
        """Whether the leader has; it is not reaped, so that its id stays taken."""
        if self._leader.returncode is not None:
            return True
        flags = os.WEXITED | os.WNOHANG | os.WNOWAIT
        return os.waitid(os.P_PID, self.id, flags) is not None

    @property
    def members(self) -> list[int]:
        """Those alive, the leader first; without ``/proc``, only the leader."""
        if self._leader.returncode is not None:
            return []
        if not _PROC.joinpath("self").exists():
            return [] if self.has_ended else [self.id]
        pids = [int(path.name) for path in _PROC.glob("[0-9]*") if self._has(path)]
        return sorted(pids, key=lambda pid: (pid != self.id, pid))

    def send(self, number: int, pid: int | None = None) -> None:
        """Send a signal to one member, or to all."""
        if self._leader.returncode is not None:
            return
        # macOS answers EPERM for a group with only a zombie.
        with contextlib.suppress(ProcessLookupError, PermissionError):
            if pid is None:
                os.killpg(self.id, number)
            else:
                os.kill(pid, number)

    def clear(self) -> None:
        """Kill the members that are left, and reap the leader."""
        self.send(SIGKILL)
        while self.members:
            time.sleep(_RECHECK)
        self._leader.wait()

    def _has(self, path: Path) -> bool:
        try:
            stat = path.joinpath("stat").read_text(errors="replace")
        except OSError:  # it has ended meanwhile
            return False
        # The name is in brackets, and may itself contain spaces and brackets.
        state, _, group, *_ = stat.rpartition(")")[2].split()
        return int(group) == self.id and state not in "ZX"


def until(
    condition: Callable[[], object],
    *,
    seconds: float,
    unless: threading.Event | None = None,
) -> None:
    """Wait until it is true, the time is over, or ``unless`` is set."""
    end = time.monotonic() + seconds
    unless = unless or threading.Event()
    while not condition() and (left := end - time.monotonic()) > 0:
        if unless.wait(min(left, _RECHECK)):
            return
