"""The task of procrastinate, which ``PROCRASTINATE_IMPORT_PATHS`` names."""

from __future__ import annotations

from procrastinate.contrib.django import app

from .post import post

send = app.task(name="benchmarks.send", queue="benchmarks")(post)
