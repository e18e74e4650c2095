"""A small shop that reports its orders to Connectly."""

from .celery import app as celery_app

__all__ = ("celery_app",)
