"""The HTTP of a small server: requests with their bodies in pieces, answers, many connections at once."""

import contextlib
import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, BinaryIO
from urllib.parse import parse_qsl

PIECE_BYTES = 256 * 1024


class CutError(Exception):
    """The client went away in the middle of its request's body."""


class Body:
    """A request's body as it arrives, by Content-Length or chunked."""

    def __init__(self, reader: BinaryIO, length: str | None, encoding: str | None) -> None:
        self._reader = reader
        self._chunked = (encoding or "").lower() == "chunked"
        self._left = 0 if self._chunked else int(length or 0)
        self._pieces = self._in_chunks() if self._chunked else self._in_length()

    def pieces(self) -> Iterator[bytes]:
        """Pieces of ``PIECE_BYTES``, but the last. ``CutError`` where it ends too early."""
        held = b""
        for data in self._pieces:
            held = held + data if held else data
            while len(held) >= PIECE_BYTES:
                yield held[:PIECE_BYTES]
                held = held[PIECE_BYTES:]
        if held:
            yield held

    def whole(self) -> bytes:
        return b"".join(self._pieces)

    def _in_length(self) -> Iterator[bytes]:
        while self._left:
            yield self._exactly(min(self._left, PIECE_BYTES))

    def _exactly(self, size: int) -> bytes:
        data = self._reader.read(size)
        self._left -= len(data)
        if len(data) < size:
            raise CutError
        return data

    def _in_chunks(self) -> Iterator[bytes]:
        while True:
            line = self._reader.readline(1024)
            if not line:
                raise CutError
            size = int(line.split(b";", 1)[0], 16)
            self._left = size
            if size:
                yield self._exactly(size)
            if self._reader.readline(1024) == b"":
                raise CutError
            if not size:
                return


@dataclass
class Call:
    """One request. ``path`` is still quoted."""

    method: str
    path: str
    query_string: str
    headers: Any
    body: Body

    @cached_property
    def query(self) -> dict[str, str]:
        return dict(parse_qsl(self.query_string, keep_blank_values=True))

    @property
    def base_url(self) -> str:
        """As the client sees this server, which may be behind a proxy that speaks TLS for it."""
        return f"{self.headers.get('X-Forwarded-Proto', 'http')}://{self.headers.get('Host')}"

    def json(self) -> Any:
        return json.loads(self.body.whole() or b"{}")


@dataclass
class Reply:
    """An answer; a ``body`` in pieces goes chunked, unless its ``size_bytes`` is known."""

    status: int = 200
    headers: list[tuple[str, str]] = field(default_factory=list)
    body: bytes | Iterable[bytes] = b""
    size_bytes: int | None = None

    def __post_init__(self) -> None:
        if isinstance(self.body, bytes):
            self.size_bytes = len(self.body)


def json_reply(value: object, status: int = 200, *headers: tuple[str, str]) -> Reply:
    kind = ("Content-Type", "application/json; charset=UTF-8")
    return Reply(status, [kind, *headers], json.dumps(value).encode())


class _Handler(BaseHTTPRequestHandler):
    """One connection: its requests one after another."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1
    answer: Callable[[Call], Reply]

    def handle_one_request(self) -> None:
        with contextlib.suppress(ConnectionError):  # the client went away
            super().handle_one_request()
            return
        self.close_connection = True

    def serve_one(self) -> None:
        path, _, query_string = self.path.partition("?")
        body = Body(
            self.rfile, self.headers.get("Content-Length"), self.headers.get("Transfer-Encoding")
        )
        try:
            reply = self.answer(Call(self.command, path, query_string, self.headers, body))
            for _ in body.pieces():
                pass  # what the answer didn't need: the next request begins after it
        except CutError:
            self.close_connection = True
            return
        self._send(reply)

    def _send(self, reply: Reply) -> None:
        headers, pieces = list(reply.headers), _framed(reply)
        bare = reply.status in {204, 304}
        if reply.size_bytes is not None and not bare:
            headers.append(("Content-Length", str(reply.size_bytes)))
        elif not bare:
            headers.append(("Transfer-Encoding", "chunked"))
        self.send_response(reply.status)
        for name, value in headers:
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD" and not bare:
            for piece in pieces:
                self.wfile.write(piece)
        self.wfile.flush()

    def log_message(self, *_: object) -> None:
        """Nothing: a log of every request would only slow the tests down."""


for _method in ("GET", "HEAD", "PUT", "POST", "PATCH", "DELETE"):
    setattr(_Handler, f"do_{_method}", _Handler.serve_one)


def _framed(reply: Reply) -> Iterator[bytes]:
    pieces = [reply.body] if isinstance(reply.body, bytes) else reply.body
    if reply.size_bytes is not None:
        yield from pieces
        return
    for piece in pieces:
        yield b"%x\r\n%b\r\n" % (len(piece), piece)
    yield b"0\r\n\r\n"


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 256


def serve(answer: Callable[[Call], Reply], ready: Callable[[int], object]) -> None:
    """Serve on a free loopback port until the process ends; ``ready`` is told the port."""
    handler = type("Handler", (_Handler,), {"answer": staticmethod(answer)})
    with _Server(("127.0.0.1", 0), handler) as server:
        ready(server.server_address[1])
        server.serve_forever()
