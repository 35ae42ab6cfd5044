"""``--listen HOST:PORT``: read with the other flags, and taken before anything else is done."""

from __future__ import annotations

import errno
import re
import socket
from typing import TYPE_CHECKING, Final, NamedTuple

from lighterman.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sidecar.status.board import Board

_ADDRESS: Final = re.compile(
    r"(?:\[(?P<ipv6>[0-9A-Fa-f:.]+(?:%\w+)?)\]|(?P<host>[^\s\[\]:/@]+)):(?P<port>\d{1,5})"
)
MOST_PORT: Final = 65_535
BACKLOG: Final = 32
_HINTS: Final = {
    errno.EADDRINUSE: "choose another port: another process of this pod has it",
    errno.EADDRNOTAVAIL: "choose 0.0.0.0 or 127.0.0.1: that address isn't this pod's",
    errno.EACCES: "choose a port from 1024 up: this user may not listen on a lower one",
}


class Address(NamedTuple):
    """Where to listen."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def address(text: str) -> Address:
    """``0.0.0.0:9464``, ``[::]:9464``, ``localhost:9464``; port 0 is any free one."""
    match = _ADDRESS.fullmatch(text.strip())
    if match is None or int(match["port"]) > MOST_PORT:
        raise ValueError(f"{text!r} is no HOST:PORT; write one like 0.0.0.0:9464")
    return Address(match["ipv6"] or match["host"], int(match["port"]))


def listening(place: Address) -> socket.socket:
    """A socket that listens there. ``ConfigurationError`` where that can't be."""
    try:
        family, kind, protocol, _, found = socket.getaddrinfo(
            place.host, place.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
    except (OSError, UnicodeError) as error:  # the latter: a label that is too long
        raise ConfigurationError(
            f"--listen {place}: there is no host {place.host!r}",
            hint="write 0.0.0.0 for all of the pod's addresses, or 127.0.0.1",
        ) from error
    listener = socket.socket(family, kind, protocol)
    try:
        # A port that a predecessor used a moment ago is free; one that another listens on is not.
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(found)
        listener.listen(BACKLOG)
    except OSError as error:
        listener.close()
        raise ConfigurationError(
            f"can't listen on {place}: {error.strerror}",
            hint=_HINTS.get(error.errno or 0, "choose another --listen"),
        ) from error
    return listener


def shown(listener: socket.socket | None, boards: Sequence[Board]) -> Callable[[], None]:
    """Let operators see what ``boards`` know, where that was asked for; returns how to end it."""
    if listener is None:
        return lambda: None
    from sidecar.status.server import StatusServer

    return StatusServer(listener, boards).close
