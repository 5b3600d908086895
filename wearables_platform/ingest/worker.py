"""The gunicorn worker: a client that sends slowly costs a thread for a bounded time, one that is silent costs none."""

from __future__ import annotations

import selectors
import socket
import threading
import time
from functools import partial
from typing import Any, Final

from gunicorn.workers.gthread import TConn, ThreadWorker

# From the first byte of a request until its body is whole. 4 MB, the largest batch, in that time is 1.1 Mbit/s.
READ_TIMEOUT_S: Final = 30.0


class ReadingWatch:
    """Which sockets are being read from, and until when; safe among threads."""

    def __init__(self, timeout_s: float = READ_TIMEOUT_S) -> None:
        self._timeout_s = timeout_s
        self._deadlines_s: dict[socket.socket, float] = {}
        self._lock = threading.Lock()

    def begin(self, client: socket.socket, now_s: float) -> None:
        """Start the clock of a request."""
        with self._lock:
            self._deadlines_s[client] = now_s + self._timeout_s

    def done(self, client: socket.socket | None) -> None:
        """Stop the clock: the request is read, or the connection is not ours any more."""
        with self._lock:
            if client is not None:
                self._deadlines_s.pop(client, None)

    def cut_overdue(self, now_s: float) -> None:
        """End the reading from clients that are overdue; they can still be answered.

        The thread that waits for them gets the end of the stream: inside a body that becomes 408, before it the
        connection is closed.
        """
        with self._lock:
            overdue = [client for client, deadline_s in self._deadlines_s.items() if deadline_s <= now_s]
            for client in overdue:
                del self._deadlines_s[client]
                try:
                    client.shutdown(socket.SHUT_RD)
                except OSError:
                    continue  # it has gone by itself


WATCH: Final = ReadingWatch()


class PatientWorker(ThreadWorker):  # type: ignore[misc]  # gunicorn is not typed
    """A threaded worker that gives a connection a thread only when it has sent something, and a time to finish."""

    def accept(self, listener: socket.socket) -> None:
        """Accept a connection and wait for its first byte beside all others."""
        try:
            client, address = listener.accept()
        except (BlockingIOError, ConnectionAbortedError, InterruptedError):
            return
        self.nr_conns += 1
        connection = TConn(self.cfg, client, address, listener.getsockname())
        connection.set_timeout()
        self.pending_conns.append(connection)
        readable = partial(self.on_pending_socket_readable, connection)
        self.poller.register(connection.sock, selectors.EVENT_READ, readable)

    def handle(self, conn: TConn) -> Any:
        """Serve a connection that has something to say."""
        WATCH.begin(conn.sock, time.monotonic())
        try:
            return super().handle(conn)
        finally:
            WATCH.done(conn.sock)

    def murder_pending(self) -> None:
        """Close what is silent and cut what is overdue; the main loop asks every second."""
        super().murder_pending()
        WATCH.cut_overdue(time.monotonic())
