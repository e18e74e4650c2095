"""TLS before the sandbox, which speaks none; it knows what came through."""

from __future__ import annotations

import select
import socket
import ssl
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from example_project.demo.ports import LOOPBACK

if TYPE_CHECKING:
    from pathlib import Path

PIECE: Final = 64 * 1024


class Front:
    """Listens at ``https://<any name>:port`` with the certificate it was last given.

    ``heard`` is all that clients said once they trusted it.
    """

    def __init__(self, server: str, directory: Path) -> None:
        parts = urlsplit(server)
        self._server = (parts.hostname, parts.port)
        self._pem = directory / "server.pem"
        self._listener = socket.create_server((LOOPBACK, 0))
        self.port: int = self._listener.getsockname()[1]
        self.heard = b""

    def __enter__(self) -> Front:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        # It wakes the thread that accepts, which closing alone does not.
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def present(self, certificate: str, key: str) -> None:
        """From now on; PEM."""
        self._pem.write_text(certificate + key)

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                threading.Thread(target=self._talk, args=(client,), daemon=True).start()

    def _talk(self, client: socket.socket) -> None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self._pem)
        with (
            client,
            suppress(OSError),  # a client that refuses it just leaves
            context.wrap_socket(client, server_side=True) as secure,
            socket.create_connection(self._server) as server,
        ):
            self._relay(secure, server)

    def _relay(self, client: ssl.SSLSocket, server: socket.socket) -> None:
        """Until either side ends it. In one thread, since TLS is not for two."""
        while True:
            ready = (
                [client]
                if client.pending()
                else select.select([client, server], [], [])[0]
            )
            for source in ready:
                piece = source.recv(PIECE)
                if not piece:
                    return
                if source is client:
                    self.heard += piece
                    server.sendall(piece)
                else:
                    client.sendall(piece)
