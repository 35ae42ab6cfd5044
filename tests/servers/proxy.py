"""
A proxy between a real client and a real server, that counts what passes and spoils what it is told to.

It takes requests as a server does (its ``url`` in place of the server's), as an HTTP proxy does
(absolute targets, ``CONNECT``), in clear or over TLS, and passes them on to one server, bodies streamed.
"""

import contextlib
import select
import socket
import ssl
import threading
from collections.abc import Callable
from dataclasses import dataclass
from http.client import responses as reasons
from typing import BinaryIO, Self
from urllib.parse import urlsplit

from servers.faults import (
    Answer,
    Call,
    CallAfter,
    Cut,
    Delay,
    Fault,
    Match,
    Request,
    Reset,
    Slow,
    Stall,
    StallBody,
    Without,
)
from servers.frames import CHUNK_BYTES, Head, copy_body, origin_form, read_head

LONGEST_WAIT_SECONDS = 60.0
KEPT_BYTES = 4096


@dataclass
class _Rule:
    matches: Match
    fault: Fault
    times: int | None
    skip: int = 0


class Proxy:
    """Listens from its making to ``close``. ``tls`` makes the listener itself speak TLS."""

    def __init__(
        self,
        upstream: str,
        *,
        tls: ssl.SSLContext | None = None,
        connect_tls: ssl.SSLContext | None = None,
    ) -> None:
        parts = urlsplit(upstream)
        self._upstream = (str(parts.hostname), int(parts.port or 80))
        self._tls = tls
        self._connect_tls = connect_tls
        self._lock = threading.Condition()
        self._rules: list[_Rule] = []
        self._sockets: set[socket.socket] = set()
        self._threads: list[threading.Thread] = []
        self._clients = 0
        self._closing = threading.Event()
        self.requests: list[Request] = []
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=256)
        self.port = int(self._listener.getsockname()[1])
        self.url = f"{'https' if tls else 'http'}://127.0.0.1:{self.port}"
        self._start(self._accept)

    def on(self, matches: Match, fault: Fault, *, times: int | None = 1, skip: int = 0) -> None:
        """Spoil the next ``times`` requests that match (``None``: all), after passing ``skip`` of them."""
        with self._lock:
            self._rules.append(_Rule(matches, fault, times, skip))

    def forget(self) -> None:
        """Drop the rules and the requests seen so far."""
        with self._lock:
            self._rules.clear()
            self.requests.clear()

    def seen(self, matches: Match = lambda _: True) -> list[Request]:
        """The requests so far that match."""
        with self._lock:
            return [request for request in self.requests if matches(request)]

    def wait_for(self, matches: Match, count: int = 1, seconds: float = 30.0) -> list[Request]:
        """Wait until ``count`` matching requests came; fails at the deadline."""
        with self._lock:

            def found() -> list[Request]:
                return [request for request in self.requests if matches(request)]

            if not self._lock.wait_for(lambda: len(found()) >= count, seconds):
                raise TimeoutError(f"{len(found())} of {count} requests after {seconds} s")
            return found()

    def wait_until_left(self, seconds: float = 30.0) -> None:
        """Wait until no client is connected: of every request is known how it ended."""
        with self._lock:
            if not self._lock.wait_for(lambda: self._clients == 0, seconds):
                raise TimeoutError(f"{self._clients} clients are connected after {seconds} s")

    def close(self) -> None:
        self._closing.set()
        with self._lock:
            sockets = [self._listener, *self._sockets]
        for each in sockets:
            _shut(each)
        for thread in self._threads:
            thread.join(10)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _start(self, target: Callable[..., None], *arguments: object) -> None:
        thread = threading.Thread(target=target, args=arguments, daemon=True)
        self._threads = [each for each in self._threads if each.is_alive()] + [thread]
        thread.start()

    def _accept(self) -> None:
        with self._listener:
            while not self._closing.is_set():
                try:
                    client, _ = self._listener.accept()
                except OSError:
                    return
                with self._lock:
                    self._clients += 1
                self._start(self._serve, client)

    def _serve(self, client: socket.socket) -> None:
        self._hold(client)
        link = _Link(self, client)
        try:
            if self._tls:
                link.secure(self._tls)
            while link.serve_one(self._connect_tls):
                pass
        except (OSError, ValueError):
            pass  # either side went away: the other notices by the closing below
        finally:
            link.close()
            with self._lock:
                self._clients -= 1
                self._lock.notify_all()

    def _hold(self, connection: socket.socket) -> None:
        with self._lock:
            self._sockets.add(connection)
            if self._closing.is_set():
                _shut(connection)

    def _release(self, connection: socket.socket) -> None:
        with self._lock:
            self._sockets.discard(connection)

    def _note(self, request: Request) -> list[Fault]:
        """Keep the request, and tell what is to happen to it."""
        faults: list[Fault] = []
        with self._lock:
            self.requests.append(request)
            self._lock.notify_all()
            for rule in list(self._rules):
                if not rule.matches(request):
                    continue
                if rule.skip > 0:
                    rule.skip -= 1
                    continue
                faults.append(rule.fault)
                if rule.times is not None:
                    rule.times -= 1
                    if rule.times == 0:
                        self._rules.remove(rule)
        return faults

    def _pause(self, seconds: float = LONGEST_WAIT_SECONDS) -> None:
        self._closing.wait(seconds)


def _shut(connection: socket.socket) -> None:
    with contextlib.suppress(OSError):  # it was closed by its other side
        connection.shutdown(socket.SHUT_RDWR)


class _Link:
    """One client's connection, and the one to the server that goes with it."""

    def __init__(self, proxy: Proxy, client: socket.socket) -> None:
        self._proxy = proxy
        self._client = client
        self._from_client: BinaryIO = client.makefile("rb", CHUNK_BYTES)
        self._server: socket.socket | None = None
        self._from_server: BinaryIO | None = None

    def secure(self, context: ssl.SSLContext) -> None:
        plain, reader = self._client, self._from_client
        reader.close()
        self._client = context.wrap_socket(plain, server_side=True)
        self._proxy._release(plain)
        self._proxy._hold(self._client)
        self._from_client = self._client.makefile("rb", CHUNK_BYTES)

    def close(self) -> None:
        self._close_server()
        self._from_client.close()
        self._proxy._release(self._client)
        _shut(self._client)
        self._client.close()

    def serve_one(self, connect_tls: ssl.SSLContext | None) -> bool:
        """Answer one request; false when the connection is at its end."""
        head = read_head(self._from_client)
        if head is None:
            return False
        method, target, _ = head.first_line.split(" ", 2)
        request = Request(method, target, {name.lower(): value for name, value in head.headers})
        faults = self._proxy._note(request)
        if method == "CONNECT":
            return self._open_tunnel(request, head, faults, connect_tls)
        for fault in faults:
            if isinstance(fault, Call):
                fault.hook(request)
            elif isinstance(fault, Delay):
                self._proxy._pause(fault.seconds)
            elif isinstance(fault, Stall):
                self._proxy._pause()
                return False
            elif isinstance(fault, Answer):
                return self._answer(request, head, fault)
            elif isinstance(fault, Reset):
                return self._reset_after(request, head, fault.after_bytes)
        return self._pass_on(request, head, faults)

    def _open_tunnel(
        self,
        request: Request,
        head: Head,
        faults: list[Fault],
        connect_tls: ssl.SSLContext | None,
    ) -> bool:
        if refusal := next((fault for fault in faults if isinstance(fault, Answer)), None):
            return self._answer(request, head, refusal)
        request.status = 200
        self._client.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
        if connect_tls:
            self.secure(connect_tls)
        return True

    def _answer(self, request: Request, head: Head, answer: Answer) -> bool:
        # The body is taken first: a server that answers early and closes makes clients see a reset.
        if head.get("expect").lower() != "100-continue":
            self._copy_request_body(request, head, None)
        request.status = answer.status
        reply = Head(f"HTTP/1.1 {answer.status} {reasons.get(answer.status, 'Unknown')}")
        reply.headers = [*answer.headers.items(), ("Content-Length", str(len(answer.body)))]
        reply.headers.append(("Connection", "close"))
        self._client.sendall(reply.to_bytes() + (b"" if request.method == "HEAD" else answer.body))
        return False

    def _reset_after(self, request: Request, head: Head, after_bytes: int) -> bool:
        if after_bytes:
            self._invite_body(head)
            while request.body_bytes < after_bytes:
                chunk = self._from_client.read(min(CHUNK_BYTES, after_bytes - request.body_bytes))
                if not chunk:
                    break
                request.body_bytes += len(chunk)
        self._client.setsockopt(
            socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00"
        )
        self._from_client.close()
        self._proxy._release(self._client)
        self._client.close()
        return False

    def _invite_body(self, head: Head) -> None:
        if head.get("expect").lower() == "100-continue":
            self._client.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")

    def _pass_on(self, request: Request, head: Head, faults: list[Fault]) -> bool:
        self._invite_body(head)
        onward = Head(f"{request.method} {origin_form(request.target)} HTTP/1.1")
        kept_back = {fault.header for fault in faults if isinstance(fault, Without)}
        onward.headers = [
            (name, value)
            for name, value in head.headers
            if name.lower() not in {"expect", "proxy-connection", "connection", *kept_back}
        ]
        if isinstance(self._client, ssl.SSLSocket):
            onward.headers.append(("X-Forwarded-Proto", "https"))
        server, reader = self._connected()
        server.sendall(onward.to_bytes())
        pace = next((fault.bytes_per_second for fault in faults if isinstance(fault, Slow)), None)
        if not self._copy_request_body(request, head, server, pace):
            return False  # the server is to notice too that the client went away
        reply = read_head(reader)
        while reply is not None and reply.first_line.split(" ")[1].startswith("1"):
            reply = read_head(reader)
        if reply is None:
            return False
        request.status = int(reply.first_line.split(" ")[1])
        for fault in faults:
            if isinstance(fault, CallAfter):
                fault.hook(request)
        return self._send_reply(request, reply, reader, faults)

    def _send_reply(
        self, request: Request, reply: Head, reader: BinaryIO, faults: list[Fault]
    ) -> bool:
        spoiled = next((fault for fault in faults if isinstance(fault, (Cut, StallBody))), None)
        pace = next((fault.bytes_per_second for fault in faults if isinstance(fault, Slow)), None)

        def pass_chunk(data: bytes) -> None:
            self._client.sendall(data)
            request.answer_bytes += len(data)
            if pace:
                self._proxy._pause(len(data) / pace)

        self._client.sendall(reply.to_bytes())
        if request.method == "HEAD" or request.status in {204, 304}:
            whole, framed = True, True
        else:
            framed = bool(reply.get("content-length") or reply.get("transfer-encoding"))
            whole = copy_body(reader, reply, pass_chunk, spoiled.after_bytes if spoiled else None)
        request.is_answered = whole
        if not whole:
            if isinstance(spoiled, StallBody):
                self._proxy._pause()
            return False
        closes = (
            not framed
            or reply.first_line.startswith("HTTP/1.0")
            or reply.get("connection").lower() == "close"
        )
        if closes:
            self._close_server()
        return not closes

    def _copy_request_body(
        self,
        request: Request,
        head: Head,
        server: socket.socket | None,
        bytes_per_second: float | None = None,
    ) -> bool:
        def pass_chunk(data: bytes) -> None:
            request.body_bytes += len(data)
            request.body_start = (request.body_start + data[:KEPT_BYTES])[:KEPT_BYTES]
            if server:
                server.sendall(data)
            if bytes_per_second:
                self._proxy._pause(len(data) / bytes_per_second)

        if head.get("content-length") or head.get("transfer-encoding"):
            return copy_body(self._from_client, head, pass_chunk, None)
        return True

    def _connected(self) -> tuple[socket.socket, BinaryIO]:
        if self._server and select.select([self._server], [], [], 0)[0]:
            self._close_server()  # readable between requests: the server has closed it
        if self._server is None or self._from_server is None:
            self._server = socket.create_connection(self._proxy._upstream)
            self._server.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._proxy._hold(self._server)
            self._from_server = self._server.makefile("rb", CHUNK_BYTES)
        return self._server, self._from_server

    def _close_server(self) -> None:
        if self._server and self._from_server:
            self._from_server.close()
            self._proxy._release(self._server)
            self._server.close()
            self._server = self._from_server = None
