"""A process of a pool learns that its worker was asked to end."""

from __future__ import annotations

import os
import subprocess
import sys

FORK = """
import os

import django

django.setup()

from celery.signals import worker_init, worker_shutting_down
from connectly_tracking.delivery import shutdown

asked, tell = os.pipe()
answer, say = os.pipe()
if os.fork() == 0:
    os.write(say, f"{shutdown.is_asked()}".encode())
    os.read(asked, 1)
    os.write(say, f"{shutdown.is_asked()}".encode())
    os._exit(0)
print(os.read(answer, 64).decode())
worker_shutting_down.send(None)
os.write(tell, b"!")
os.wait()
print(os.read(answer, 64).decode())
worker_init.send(None)
print(shutdown.is_asked())
"""


def test_a_forked_process_sees_it_and_a_new_worker_begins_afresh() -> None:
    done = subprocess.run(
        [sys.executable, "-c", FORK],
        capture_output=True,
        text=True,
        check=True,
        env=os.environ | {"DJANGO_SETTINGS_MODULE": "tests.settings"},
    )
    assert done.stdout.split() == ["False", "True", "False"]
