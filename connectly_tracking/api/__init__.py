"""Connectly's API in code: landing parameters, request body, HTTP client, verdicts.

Knows no Django and no Celery: each module can be used from a bare REPL. Only ``client``
and ``transport`` import an HTTP library, and only a worker imports these two.
"""
