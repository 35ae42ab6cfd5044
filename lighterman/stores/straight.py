"""
Straight requests: a GET or a PUT as its bytes, over connections that the caller holds. obstore takes eight thread switches
for each small file, and copies each byte twice more; a loop over many sockets, or a thread with one, doesn't.
An answer whose end isn't told beforehand isn't taken here: whoever gets one asks again in the store's own way.
"""

import contextlib
import socket
import struct
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol
from urllib.parse import urlsplit

from lighterman.errors import LightermanError
from lighterman.stores.contract import Attributes, ETag, Key
from lighterman.stores.heads import Head
from lighterman.stores.network import Network

if TYPE_CHECKING:
    import ssl


class Range(NamedTuple):
    """A part of an object."""

    start: int
    size_bytes: int


class Straight(Protocol):
    """Requests to one store, for who holds the connections."""

    way: "Way"

    def request(self, key: Key, etag: ETag, part: Range | None = None) -> bytes | None:
        """
        A GET of the object, or of a part, pinned to ``etag``, logged in for now; ``None`` for one that can't
        go this way. ``CredentialsError`` where there is no login to be had.
        """
        ...

    def put(self, key: Key, size_bytes: int, attributes: Attributes) -> bytes | None:
        """
        The head of a PUT that makes, or replaces, the whole object, as the store's ``write`` does; so many bytes are to follow it.
        ``None`` for one that can't go this way. ``CredentialsError`` where there is no login to be had.
        """
        ...

    def etag(self, head: Head) -> ETag | None:
        """The ETag of the object that a PUT made; ``None`` where the answer has none."""
        ...

    def attributes(self, head: Head) -> Attributes:
        """What an answer's head tells of the object."""
        ...

    def is_of(self, head: Head, etag: ETag) -> bool:
        """Whether an answer is that of the object that ``etag`` stands for, as far as its head tells."""
        ...

    def refusal(self, head: Head, body: bytes, key: Key) -> LightermanError:
        """What an answer means that isn't the object."""
        ...


class Address(NamedTuple):
    """One place that a server's name stands for."""

    family: socket.AddressFamily
    where: tuple[str, int] | tuple[str, int, int, int] | tuple[int, bytes]


class Way(NamedTuple):
    """How a server is reached without a proxy."""

    host: str
    port: int
    tls: "ssl.SSLContext | None"
    connect_seconds: float
    stall_seconds: float

    def connected(self) -> socket.socket:
        """A connection whose receives end after ``stall_seconds`` without a byte. ``OSError``."""
        plain = socket.create_connection((self.host, self.port), self.connect_seconds)
        try:
            plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if self.tls is None:
                self._make_blocking(plain)
                return plain
            wrapped = self.tls.wrap_socket(plain, server_hostname=self.host)
        except BaseException:
            plain.close()
            raise
        wrapped.settimeout(self.stall_seconds)
        return wrapped

    def addresses(self) -> list[Address]:
        """
        Those of the name that a connection comes to, by trying them: where the first answers, those of its
        family. ``OSError``.
        """
        with socket.create_connection((self.host, self.port), self.connect_seconds) as first:
            family = first.family
        found = socket.getaddrinfo(self.host, self.port, family, socket.SOCK_STREAM)
        return list(dict.fromkeys(Address(each[0], each[4]) for each in found))

    def _make_blocking(self, plain: socket.socket) -> None:
        # A socket with a timeout of Python's own doesn't block, and so never waits for all that was asked for.
        plain.settimeout(None)
        seconds, fraction = divmod(self.stall_seconds, 1)
        patience = struct.pack("@ll", int(seconds), int(fraction * 1e6) + 1)
        plain.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, patience)
        plain.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, patience)


_HTTPS_PORT: Final = 443
_HTTP_PORT: Final = 80


def way_to(url: str, network: Network) -> Way | None:
    """The way to a URL's server; ``None`` where a proxy stands before it."""
    if network.proxy is not None:
        return None
    parsed = urlsplit(url)
    is_https = parsed.scheme == "https"
    return Way(
        parsed.hostname or "",
        parsed.port or (_HTTPS_PORT if is_https else _HTTP_PORT),
        _context(network.verify) if is_https else None,
        network.connect_seconds,
        network.stall_seconds,
    )


def _context(verify: bool | str) -> "ssl.SSLContext":  # as the settings have it
    import ssl

    context = ssl.create_default_context(cafile=verify if isinstance(verify, str) else None)
    if verify is False:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


def dropped(connection: socket.socket) -> None:
    """Close a connection, whatever state it is in."""
    with contextlib.suppress(OSError):
        connection.close()
