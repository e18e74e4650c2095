"""A child process, with its output in a file."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
from contextlib import suppress
from typing import TYPE_CHECKING

from django.conf import settings

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

TAIL = 15  # lines
_PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None) if sys.platform == "linux" else None


class Child:
    """Runs in its own session, so that Ctrl-C in a terminal reaches only the parent."""

    def __init__(
        self, name: str, command: Sequence[str], *, log: Path, environ: dict[str, str]
    ) -> None:
        self.name = name
        self._log = log
        with log.open("wb") as output:
            self._process = subprocess.Popen(
                command,
                cwd=settings.BASE_DIR,
                env=environ,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=_end_with_parent,
            )

    @property
    def has_ended(self) -> bool:
        return self._process.poll() is not None

    @property
    def pid(self) -> int:
        return self._process.pid

    def has_said(self, words: str) -> bool:
        return words in self._log.read_text(errors="replace")

    @property
    def ending(self) -> str:
        """Its signal or exit status."""
        code = self._process.returncode
        return signal.Signals(-code).name if code < 0 else f"exit status {code}"

    @property
    def last_words(self) -> str:
        """The end of its log, for a person."""
        said = self._log.read_text(errors="replace").rstrip().splitlines()[-TAIL:]
        return "\n".join(
            ["The end of its log:", *said] if said else ["Its log is empty."]
        )

    def ask_to_end(self) -> None:
        # Only the leader: Celery's worker ends its own pool.
        self._process.terminate()

    def end(self, seconds: float) -> None:
        """Wait so long, then kill what is left of its process group."""
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(seconds)
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()


def _end_with_parent() -> None:
    """Runs in the child, for a parent that is killed cannot end its children."""
    if _libc is not None:
        _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
