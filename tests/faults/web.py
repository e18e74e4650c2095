"""A web process of the shop: ``python -m tests.faults.web`` says its URL and serves.

With threads that last, as the servers have them that shops use.
"""

from __future__ import annotations

import socketserver
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from wsgiref.simple_server import WSGIServer, make_server

from django.core.wsgi import get_wsgi_application

from example_project.demo.ports import LOOPBACK

THREADS = 8


class ThreadedServer(socketserver.ThreadingMixIn, WSGIServer):
    request_queue_size = 128

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self._pool = ThreadPoolExecutor(THREADS)

    def process_request(self, request: Any, client_address: Any) -> None:
        self._pool.submit(self.process_request_thread, request, client_address)


if __name__ == "__main__":
    with make_server(LOOPBACK, 0, get_wsgi_application(), ThreadedServer) as server:
        sys.stdout.write(f"serving at http://{LOOPBACK}:{server.server_port}\n")
        server.serve_forever()
