"""
``--listen``: what operators see, over HTTP, in threads of its own that ask the loop and never touch its state.

While nobody asks, one thread waits for a connection, and nothing ticks.
"""

import contextlib
import errno
import ipaddress
import socket
import threading
from collections.abc import Callable, Sequence
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final, NamedTuple
from urllib.parse import parse_qs, urlsplit

import msgspec

from lighterman import __version__
from lighterman.flags import timeout
from lighterman.log import get_logger
from lighterman.text import plain_json
from sidecar.status.asking import NoAnswerError
from sidecar.status.board import Board
from sidecar.status.facts import Facts, FlushFacts

MOST_CONNECTIONS: Final = 32
MOST_FLUSHES: Final = 8
"""They hold a connection for long, and must not keep probes out."""
SOCKET_SECONDS: Final = 10.0
"""For a client to send its request, or to take its answer."""
FLUSH_SECONDS: Final = 600.0
NO_DESCRIPTOR_SECONDS: Final = 1.0
_SHORT: Final = {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM}
_JSON: Final = "application/json"
_TEXT: Final = "text/plain; charset=utf-8"


class Reply(NamedTuple):
    """What is answered."""

    status: HTTPStatus
    body: bytes
    content_type: str = _TEXT
    headers: tuple[tuple[str, str], ...] = ()


class StatusServer:
    """Answers on a socket that listens, from its making to ``close``."""

    def __init__(self, listener: socket.socket, boards: Sequence[Board]) -> None:
        self._server = _Server(listener, boards)
        host, port = listener.getsockname()[:2]
        get_logger().info("sidecar.listening", host=host, port=port)
        threading.Thread(target=self._server.serve, name="status", daemon=True).start()

    def close(self) -> None:
        """No further connection is taken."""
        self._server.stop()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    def __init__(self, listener: socket.socket, boards: Sequence[Board]) -> None:
        super().__init__(listener.getsockname()[:2], _Handler, bind_and_activate=False)
        self.socket.close()  # the one it made
        self.socket = listener
        self.boards = boards
        self.flushes = threading.Semaphore(MOST_FLUSHES)
        self._connections = threading.Semaphore(MOST_CONNECTIONS)
        self._is_over = threading.Event()

    def serve(self) -> None:
        while not self._is_over.is_set():
            self.handle_request()
        self.server_close()

    def stop(self) -> None:
        self._is_over.set()
        with contextlib.suppress(OSError):  # it wakes who waits for a connection
            self.socket.shutdown(socket.SHUT_RDWR)

    def get_request(self) -> tuple[socket.socket, Any]:
        try:
            return super().get_request()
        except OSError as error:
            if (
                error.errno in _SHORT
            ):  # the connection stays where it is, and would be tried at once
                self._is_over.wait(NO_DESCRIPTOR_SECONDS)
            raise

    def verify_request(self, request: Any, client_address: Any) -> bool:  # noqa: ARG002 - its signature
        return self._connections.acquire(blocking=False)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._connections.release()

    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ARG002 - its signature
        """A client that went away, and whatever a request met that isn't known: never this process's end."""
        import sys

        error = sys.exception()
        if not isinstance(error, OSError):
            get_logger().warning("sidecar.status_failed", error=f"{type(error).__name__}: {error}")

    def facts(self) -> Facts:
        return Facts(__version__, [board.facts() for board in self.boards])


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    protocol_version = "HTTP/1.1"
    timeout = SOCKET_SECONDS
    disable_nagle_algorithm = True

    def do_GET(self) -> None:
        self._answer("GET")

    def do_HEAD(self) -> None:
        self._answer("GET")

    def do_POST(self) -> None:
        self._answer("POST")

    def _answer(self, method: str) -> None:
        place = urlsplit(self.path)
        routes = _ROUTES.get(place.path)
        if routes is None:
            reply = _said(HTTPStatus.NOT_FOUND, f"nothing there; there are {', '.join(_ROUTES)}")
        elif routes[0] != method:
            allowed = "GET, HEAD" if routes[0] == "GET" else routes[0]
            reply = _said(HTTPStatus.METHOD_NOT_ALLOWED, f"only {allowed}")
            reply = reply._replace(headers=(("Allow", allowed),))
        else:
            try:
                reply = routes[1](self)
            except NoAnswerError:
                reply = _said(HTTPStatus.SERVICE_UNAVAILABLE, "the sidecar doesn't answer")
        self._send(reply)

    def _send(self, reply: Reply) -> None:
        self.send_response(reply.status)
        for name, value in (
            ("Content-Type", reply.content_type),
            ("Content-Length", str(len(reply.body))),
            ("Cache-Control", "no-store"),
            ("X-Content-Type-Options", "nosniff"),
            ("Referrer-Policy", "no-referrer"),
            ("Cross-Origin-Resource-Policy", "same-origin"),
            # A request's body, if it has one, isn't read: what follows it would be taken for a request.
            ("Connection", "close"),
            *reply.headers,
        ):
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(reply.body)

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:  # noqa: ARG002
        """What the base class finds wrong with a request, in one line."""
        self.close_connection = True
        self._send(_said(HTTPStatus(code), message or HTTPStatus(code).phrase))

    def version_string(self) -> str:
        return "lighterman"

    def log_message(self, format: str, *arguments: object) -> None:  # noqa: A002 - its signature
        """Probes and scrapes aren't worth a line each."""

    @property
    def is_near(self) -> bool:
        """Whether the client is in this pod, or comes by a port-forward."""
        peer = ipaddress.ip_address(self.client_address[0].partition("%")[0])
        mapped = getattr(peer, "ipv4_mapped", None)
        return (mapped or peer).is_loopback

    @property
    def is_of_another_page(self) -> bool:
        """Whether a browser sends it for a page that isn't this one."""
        origin = self.headers.get("Origin")
        return origin is not None and urlsplit(origin).netloc != self.headers.get("Host")


def _health(handler: _Handler) -> Reply:
    if all(board.is_alive() for board in handler.server.boards):
        return _said(HTTPStatus.OK, "ok")
    return _said(HTTPStatus.SERVICE_UNAVAILABLE, "the sidecar doesn't answer")


def _ready(handler: _Handler) -> Reply:
    reasons = {board.path: board.why_not_ready() for board in handler.server.boards}
    why_not = [f"{path}: {reason}" for path, reason in reasons.items() if reason]
    if why_not:
        return _said(HTTPStatus.SERVICE_UNAVAILABLE, "\n".join(why_not))
    return _said(HTTPStatus.OK, "ok")


def _metrics(handler: _Handler) -> Reply:
    from sidecar.status.metrics import exposition

    accept = handler.headers.get("Accept", "")
    body, content_type = exposition(handler.server.facts(), accept)
    return Reply(HTTPStatus.OK, body, content_type)


def _status(handler: _Handler) -> Reply:
    return _json(HTTPStatus.OK, handler.server.facts())


def _page(_: _Handler) -> Reply:
    from sidecar.status.page import page

    body, policy = page()
    headers = (("Content-Security-Policy", policy),)
    return Reply(HTTPStatus.OK, body, "text/html; charset=utf-8", headers)


def _flush(handler: _Handler) -> Reply:
    if not handler.is_near or handler.is_of_another_page:
        return _said(HTTPStatus.FORBIDDEN, "only from within the pod (localhost)")
    asked = parse_qs(urlsplit(handler.path).query).get("timeout", [str(FLUSH_SECONDS)])[-1]
    try:
        seconds = timeout(asked)
    except ValueError as error:
        return _said(HTTPStatus.BAD_REQUEST, f"timeout: {error}")
    if not handler.server.flushes.acquire(blocking=False):
        return _said(HTTPStatus.TOO_MANY_REQUESTS, f"{MOST_FLUSHES} flushes are under way")
    try:
        ended = _together(board.flush(seconds) for board in handler.server.boards)
    finally:
        handler.server.flushes.release()
    return _json(HTTPStatus.OK if ended.is_flushed else HTTPStatus.SERVICE_UNAVAILABLE, ended)


def _together(ends: Any) -> FlushFacts:
    each = list(ends)
    return FlushFacts(
        is_flushed=all(end.is_flushed for end in each),
        files=sum(end.files for end in each),
        failed_files=sum(end.failed_files for end in each),
        failed=[failed for end in each for failed in end.failed],
        error="; ".join(end.error for end in each if end.error),
    )


_ROUTES: Final[dict[str, tuple[str, Callable[[_Handler], Reply]]]] = {
    "/": ("GET", _page),
    "/healthz": ("GET", _health),
    "/readyz": ("GET", _ready),
    "/metrics": ("GET", _metrics),
    "/status": ("GET", _status),
    "/flush": ("POST", _flush),
}


def _said(status: HTTPStatus, text: str) -> Reply:
    return Reply(status, f"{text}\n".encode("utf-8", "backslashreplace"))


def _json(status: HTTPStatus, value: Facts | FlushFacts) -> Reply:
    encoded = plain_json(msgspec.json.encode(value).decode())
    return Reply(status, f"{encoded}\n".encode(), _JSON)
