"""Connectly's API in code: what a link carries, what is sent, what an answer means.

Knows no Django and no Celery: each module can be used from a bare REPL. Only ``client``
and ``transport`` import an HTTP library, and only a worker imports them.
"""
