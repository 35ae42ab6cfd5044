"""A connection that never waits: for a loop that holds many."""

import socket
from typing import TYPE_CHECKING

from lighterman.stores.straight import Address, Way, dropped

if TYPE_CHECKING:
    import ssl


class ConnectionFailedError(OSError):
    """Nothing comes through a connection any more. Not the disk's ``OSError``."""


class Channel:
    """Opened bit by bit; then requests go out at once, and answers come in as far as they are there."""

    def __init__(self, way: Way, address: Address) -> None:
        """Begin to connect. ``ConnectionFailedError`` where that fails at once."""
        self._way = way
        self._tls: ssl.SSLSocket | None = None
        try:
            self._socket = socket.socket(address.family, socket.SOCK_STREAM)
        except OSError as error:  # no descriptor left
            raise ConnectionFailedError(*error.args) from error
        self.descriptor = self._socket.fileno()
        self.is_open = False
        self.is_plain = way.tls is None
        self.wants_write = True
        """Until it is open: whether it goes on when it can be written to, or when there is something to read."""
        try:
            self._socket.setblocking(False)
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._socket.connect(address.where)
        except BlockingIOError:
            return
        except OSError as error:
            self._socket.close()
            raise ConnectionFailedError(*error.args) from error

    def open_further(self) -> None:
        """Go on with opening. ``ConnectionFailedError``."""
        if self._tls is None:
            failed = self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            if failed:
                raise ConnectionFailedError(failed, "no connection")
            if self._way.tls is None:
                self.is_open, self.wants_write = True, False
                return
            try:
                self._tls = self._way.tls.wrap_socket(
                    self._socket, server_hostname=self._way.host, do_handshake_on_connect=False
                )
            except OSError as error:  # reset meanwhile
                raise ConnectionFailedError(*error.args) from error
            self._socket = self._tls
        self._shake_hands(self._tls)

    def send(self, request: bytes) -> None:
        """All of a request, which is far smaller than what a socket holds. ``ConnectionFailedError``."""
        try:
            sent = self._socket.send(request)
        except OSError as error:
            raise ConnectionFailedError(*error.args) from error
        if sent != len(request):
            raise ConnectionFailedError("the connection takes no whole request")

    def send_some(self, data: memoryview) -> int:
        """So many bytes went out; 0 when there is no room for any now. ``ConnectionFailedError``."""
        try:
            return self._socket.send(data)
        except BlockingIOError:
            return 0
        except OSError as error:
            if self._tls is not None and _is_not_yet(error):
                return 0
            raise ConnectionFailedError(*error.args) from error

    def receive(self, buffer: memoryview) -> int:
        """
        So many bytes came into the buffer; 0 at the connection's end, -1 when there are none now.
        ``ConnectionFailedError``.
        """
        try:
            return self._socket.recv_into(buffer)
        except BlockingIOError:
            return -1
        except OSError as error:
            if self._tls is not None and _is_not_yet(error):
                return -1
            raise ConnectionFailedError(*error.args) from error

    def close(self) -> None:
        """Let go of it."""
        dropped(self._socket)

    def _shake_hands(self, tls: "ssl.SSLSocket") -> None:
        import ssl

        try:
            tls.do_handshake()
        except ssl.SSLWantReadError:
            self.wants_write = False
        except ssl.SSLWantWriteError:
            self.wants_write = True
        except OSError as error:  # ssl.SSLError is one
            raise ConnectionFailedError(*error.args) from error
        else:
            self.is_open, self.wants_write = True, False


def _is_not_yet(error: OSError) -> bool:
    import ssl

    return isinstance(error, (ssl.SSLWantReadError, ssl.SSLWantWriteError))
