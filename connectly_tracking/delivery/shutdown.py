"""Whether this Celery worker was asked to end, known in every process of its pool.

A child of a prefork pool gets no signal on a warm shutdown: its task would continue to
claim rows until its time is spent. One shared byte tells it.
"""

from __future__ import annotations

import mmap
from typing import Any, Final

from celery.signals import worker_init, worker_shutting_down

# Anonymous and shared: made before the pool forks, seen by all its children.
_asked: Final = mmap.mmap(-1, 1)


def is_asked() -> bool:
    return _asked[0] != 0


@worker_shutting_down.connect(dispatch_uid=f"{__name__}.ask")
def _ask(**_: Any) -> None:
    _asked[0] = 1


@worker_init.connect(dispatch_uid=f"{__name__}.begin")
def _begin(**_: Any) -> None:
    _asked[0] = 0
