"""
Who gives tokens for Azure: Microsoft Entra's token endpoint over TLS, and the metadata services of a virtual
machine and of App Service as they were recorded (see Microsoft's "How to use managed identities … to acquire an
access token" and "REST endpoint reference"). The tokens are those that Azurite takes: unsigned, and true about
issuer, audience and time.
"""

import base64
import json
import ssl
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple, Self
from urllib.parse import parse_qsl, urlsplit

TENANT = "11111111-2222-3333-4444-555555555555"
CLIENT = "66666666-7777-8888-9999-000000000000"
CLIENT_SECRET = "the~secret.of-the_application"
IDENTITY_HEADER = "853b9a84-5bfa-4b22-a3f3-0b9a43d9ad8a"


class Asked(NamedTuple):
    """One request."""

    method: str
    path: str
    fields: dict[str, str]
    """Of the query, or of the form that was posted."""
    headers: dict[str, str]


class Answer(NamedTuple):
    """One reply, as it was recorded."""

    status: int
    body: dict[str, Any] | str


def bearer_token(lasts_seconds: float, mark: str = "") -> str:
    """A JWT that Azurite takes for ``lasts_seconds``. Negative: it has run out."""
    now = int(time.time())
    claims = {
        "aud": "https://storage.azure.com",
        "iss": f"https://sts.windows.net/{TENANT}/",
        "iat": now - 600,
        "nbf": now - 600,
        "exp": now + int(lasts_seconds),
        "oid": CLIENT,
        "mark": mark,
    }
    parts = ({"typ": "JWT", "alg": "RS256"}, claims)
    encoded = (base64.urlsafe_b64encode(json.dumps(part).encode()) for part in parts)
    return ".".join([part.decode().rstrip("=") for part in encoded] + ["c2lnbmVk"])


def refusal(code: int, error: str = "invalid_client", status: int = 401) -> Answer:
    """What the token endpoint says to a request that it refuses."""
    return Answer(
        status,
        {
            "error": error,
            "error_description": f"AADSTS{code}: It was refused. Trace ID: 0b5f Correlation ID: 3a1c",
            "error_codes": [code],
            "error_uri": f"https://login.microsoftonline.com/error?code={code}",
        },
    )


class TokenServer:
    """
    Listens on loopback from its making to ``close``, over TLS where it has a context. Each token that it gives
    lasts ``lasts_seconds``; ``replies`` are given first, before any token. The first ``revoked`` tokens are past
    their end, whatever is told of them. Nothing is answered while ``may_answer`` is cleared.
    """

    def __init__(self, tls: ssl.SSLContext | None = None, *, lasts_seconds: float = 3600) -> None:
        self.asked: list[Asked] = []
        self.given: list[str] = []
        self.replies: list[Answer] = []
        self.lasts_seconds = lasts_seconds
        self.revoked = 0
        self.may_answer = threading.Event()
        self.may_answer.set()
        self._lock = threading.Condition()
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                server._answer(self, dict(parse_qsl(urlsplit(self.path).query)))

            def do_POST(self) -> None:
                form = self.rfile.read(int(self.headers["Content-Length"])).decode()
                server._answer(self, dict(parse_qsl(form)))

            def log_message(self, *_: object) -> None:
                """Nothing: what was asked is kept."""

        class Server(ThreadingHTTPServer):
            def handle_error(self, *_: object) -> None:
                """Nothing: a client that doesn't trust the certificate hangs up."""

        self._server = Server(("127.0.0.1", 0), Handler)
        if tls:
            self._server.socket = tls.wrap_socket(
                self._server.socket, server_side=True, do_handshake_on_connect=False
            )
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(0.02,), daemon=True
        )
        self._thread.start()
        self.port = self._server.server_address[1]
        self.url = f"{'https' if tls else 'http'}://127.0.0.1:{self.port}"

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(10)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def wait_until_asked(self, count: int, seconds: float = 30.0) -> None:
        """Wait for that many requests since its making; fails at the deadline."""
        with self._lock:
            if not self._lock.wait_for(lambda: len(self.asked) >= count, seconds):
                raise TimeoutError(f"{len(self.asked)} of {count} requests after {seconds} s")

    def exchanges(self) -> list[Asked]:
        """The requests for tokens, without those that ask where to."""
        return [asked for asked in self.asked if "openid-configuration" not in asked.path]

    def _answer(self, request: BaseHTTPRequestHandler, fields: dict[str, str]) -> None:
        path = urlsplit(request.path).path
        headers = {name.lower(): value for name, value in request.headers.items()}
        asked = Asked(request.command, path, fields, headers)
        with self._lock:
            self.asked.append(asked)
            self._lock.notify_all()
        self.may_answer.wait(60)
        with self._lock:
            answer = self._found(asked)
        body = answer.body if isinstance(answer.body, str) else json.dumps(answer.body)
        request.send_response(answer.status)
        request.send_header("Content-Type", "application/json; charset=utf-8")
        request.send_header("Content-Length", str(len(body.encode())))
        request.end_headers()
        request.wfile.write(body.encode())

    def _found(self, asked: Asked) -> Answer:
        if self.replies:
            return self.replies.pop(0)
        for matches, answer in _KINDS:
            if matches(asked):
                return answer(self, asked)
        return Answer(404, {"error": "not_found"})

    def _token(self) -> str:
        lasts = -60.0 if len(self.given) < self.revoked else self.lasts_seconds
        self.given.append(bearer_token(lasts, str(len(self.given))))
        return self.given[-1]


def _configuration(server: TokenServer, asked: Asked) -> Answer:
    tenant = asked.path.split("/")[1]
    base = f"{server.url}/{tenant}"
    return Answer(
        200,
        {
            "token_endpoint": f"{base}/oauth2/v2.0/token",
            "authorization_endpoint": f"{base}/oauth2/v2.0/authorize",
            "issuer": f"{base}/v2.0",
        },
    )


def _exchange(server: TokenServer, asked: Asked) -> Answer:
    wanted = {"grant_type": "client_credentials", "scope": "https://storage.azure.com/.default"}
    if wanted.items() - asked.fields.items():
        return refusal(900144, "invalid_request", 400)
    if asked.fields.get("client_id") != CLIENT:
        return refusal(700016, "unauthorized_client", 400)
    if (
        "client_assertion" not in asked.fields
        and asked.fields.get("client_secret") != CLIENT_SECRET
    ):
        return refusal(7000215)
    lasts = int(server.lasts_seconds)
    return Answer(
        200,
        {
            "token_type": "Bearer",
            "expires_in": lasts,
            "ext_expires_in": lasts,
            "access_token": server._token(),
        },
    )


def _machine(server: TokenServer, asked: Asked) -> Answer:
    if asked.headers.get("metadata") != "true":
        return Answer(
            400,
            {
                "error": "bad_request_102",
                "error_description": "Required metadata header not specified",
            },
        )
    return _identity(server, asked, "2018-02-01")


def _app_service(server: TokenServer, asked: Asked) -> Answer:
    if asked.headers.get("x-identity-header") != IDENTITY_HEADER:
        return Answer(401, {"statusCode": 401, "message": "Unauthorized"})
    return _identity(server, asked, "2019-08-01")


def _identity(server: TokenServer, asked: Asked, version: str) -> Answer:
    wanted = {"api-version": version, "resource": "https://storage.azure.com"}
    if wanted.items() - asked.fields.items():
        return Answer(400, {"error": "invalid_request", "error_description": "Invalid resource"})
    if asked.fields.get("client_id", CLIENT) != CLIENT:
        return Answer(400, {"error": "invalid_request", "error_description": "Identity not found"})
    lasts = int(server.lasts_seconds)
    return Answer(
        200,
        {
            "access_token": server._token(),
            "client_id": CLIENT,
            "expires_in": str(lasts),
            "expires_on": str(int(time.time()) + lasts),
            "not_before": str(int(time.time()) - 300),
            "resource": "https://storage.azure.com",
            "token_type": "Bearer",
        },
    )


_KINDS: list[tuple[Callable[[Asked], bool], Callable[[TokenServer, Asked], Answer]]] = [
    (lambda asked: asked.path.endswith("/.well-known/openid-configuration"), _configuration),
    (lambda asked: asked.path.endswith("/oauth2/v2.0/token"), _exchange),
    (lambda asked: asked.path == "/metadata/identity/oauth2/token", _machine),
    (lambda asked: asked.path == "/msi/token", _app_service),
]
