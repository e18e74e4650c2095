"""A port that stays taken: open, shut or jammed."""

from __future__ import annotations

import select
import socket
from typing import Final

_BACKLOG: Final = 256
_MANY: Final = 16  # more than any system queues with a backlog of 0
_ANSWER: Final = 0.1  # seconds in which a connection to this host succeeds


class Door:
    """Shut, it refuses connections; jammed, it drops them. Raises OSError."""

    def __init__(self, host: str, port: int) -> None:
        self._family = socket.AF_INET6 if ":" in host else socket.AF_INET
        # Bound and never listening: it keeps the port taken.
        self._keeper = self._bind(host, port)
        self._host = host
        self.port: int = self._keeper.getsockname()[1]
        self._listener: socket.socket | None = None
        self._jam: dict[object, socket.socket] = {}

    def open(self) -> socket.socket:
        """The socket to watch for connections."""
        if self._listener is None:
            self._listener = self._bind(self._host, self.port)
            self._listener.setblocking(False)
        for sock in self._jam.values():
            sock.close()
        self._listener.listen(_BACKLOG)
        return self._listener

    def shut(self) -> None:
        for sock in (self._listener, *self._jam.values()):
            if sock is not None:
                sock.close()
        self._listener = None
        self._jam.clear()

    def jam(self) -> None:
        """Fill the queue of connections: Linux drops those that come later."""
        listener = self.open()
        self._jam.clear()
        listener.listen(0)
        while len(self._jam) < _MANY:
            sock = socket.socket(self._family)
            sock.setblocking(False)
            sock.connect_ex(listener.getsockname())
            if not select.select([], [sock], [], _ANSWER)[1]:
                sock.close()
                return
            self._jam[sock.getsockname()] = sock
        self.shut()
        raise OSError("this system does not drop connections when its queue is full")

    def accept(self) -> socket.socket | None:
        """None if there is no connection, or only one that jams the door."""
        if self._listener is None:
            return None
        try:
            sock, address = self._listener.accept()
        except OSError:  # it may have left meanwhile
            return None
        if self._jam.pop(address, None) is not None:
            sock.close()
            return None
        return sock

    def close(self) -> None:
        self.shut()
        self._keeper.close()

    def _bind(self, host: str, port: int) -> socket.socket:
        sock = socket.socket(self._family)
        try:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            sock.bind((host, port))
        except BaseException:
            sock.close()
            raise
        return sock
