"""An API that says, byte by byte, what a test wants it to say."""

from __future__ import annotations

import contextlib
import re
import socketserver
import threading
from typing import Any

CONFIRMS = b'{"events_received": 1}'


class Server(socketserver.ThreadingTCPServer):
    """Says these answers in turn, the last one for ever: bytes, or a function."""

    daemon_threads = True
    host = "127.0.0.1"

    def __init__(self, *answers: Any, keep: bool = True, tls: Any = None) -> None:
        super().__init__((self.host, 0), _Talk)
        self.answers = [*answers]
        self.asked: list[bytes] = []
        self.opened = 0
        self.closed = threading.Semaphore(0)
        self.keep, self.tls = keep, tls

    @property
    def url(self) -> str:
        return f"http{'s' if self.tls else ''}://127.0.0.1:{self.server_address[1]}"

    def __enter__(self):
        threading.Thread(target=self.serve_forever, args=(0.01,), daemon=True).start()
        return self

    def __exit__(self, *exc_info):
        self.shutdown()
        self.server_close()

    def shutdown_request(self, request):
        super().shutdown_request(request)
        self.closed.release()

    def handle_error(self, request, client_address):
        """A client that leaves early is what the tests are about."""


class _Talk(socketserver.StreamRequestHandler):
    server: Server
    timeout = 30

    def handle(self):
        self.server.opened += 1
        if self.server.tls:
            self.secure(self.server.tls)
        while head := self.head():
            length = re.search(rb"(?i)content-length: (\d+)", head)
            self.server.asked.append(
                head + self.rfile.read(int(length[1]) if length else 0)
            )
            answers = self.server.answers
            answer = answers.pop(0) if len(answers) > 1 else answers[0]
            if callable(answer):
                answer(self)
            else:
                self.wfile.write(answer)
            if not self.server.keep:
                return

    def head(self):
        """A request's lines up to the empty one; nothing once the client has left."""
        lines = []
        while (line := self.rfile.readline()).strip():
            lines.append(line)
        return b"".join(lines) if line else b""

    def secure(self, context):
        self.request = context.wrap_socket(self.request, server_side=True)
        self.setup()

    def finish(self):
        with contextlib.suppress(OSError):
            super().finish()
        self.request.close()


def answer(body=CONFIRMS, *, status=200, headers="", length=None):
    length = len(body) if length is None else length
    head = f"HTTP/1.1 {status} Said\r\n{headers}Content-Length: {length}\r\n\r\n"
    return head.encode("latin-1") + body


def chunked(*chunks, status=200, end=b"0\r\n\r\n"):
    head = f"HTTP/1.1 {status} Said\r\nTransfer-Encoding: chunked\r\n\r\n".encode()
    return head + b"".join(b"%x\r\n%s\r\n" % (len(one), one) for one in chunks) + end
