"""
Who gives tokens for Google beside the token endpoint, as recorded: the metadata server of GCE and GKE
(https://cloud.google.com/compute/docs/metadata/querying-metadata), and IAM's generateAccessToken
(https://cloud.google.com/iam/docs/reference/credentials/rest/v1/projects.serviceAccounts/generateAccessToken).
"""

import json
import threading
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import NamedTuple, Self
from urllib.parse import parse_qs, urlsplit

NODE_ACCOUNT = "node@tests.iam.gserviceaccount.com"
_ACCOUNTS = "/computeMetadata/v1/instance/service-accounts/default/"


class Asked(NamedTuple):
    """One request."""

    method: str
    path: str
    query: dict[str, list[str]]
    flavor: str | None


class MetadataServer:
    """
    Listens on loopback from its making to ``close``. It gives ``token`` to whoever asks as Google wants to be
    asked, or ``refusal`` (status and text) where there is one.
    """

    def __init__(self, token: str, *, refusal: tuple[int, str] | None = None) -> None:
        self.asked: list[Asked] = []
        self._token = token
        self._refusal = refusal
        agent = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                agent._answer(self)

            def log_message(self, *_: object) -> None:
                """Nothing: what was asked is kept."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()
        self.host = f"127.0.0.1:{self._server.server_address[1]}"

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(10)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _answer(self, handler: BaseHTTPRequestHandler) -> None:
        parts = urlsplit(handler.path)
        flavor = handler.headers.get("Metadata-Flavor")
        asked = Asked(handler.command, parts.path, parse_qs(parts.query), flavor)
        self.asked.append(asked)
        status, kind, body = self._said(asked)
        handler.send_response(status)
        handler.send_header("Metadata-Flavor", "Google")
        handler.send_header("Content-Type", kind)
        handler.send_header("Server", "GKE Metadata Server")
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        handler.wfile.write(body)

    def _said(self, asked: Asked) -> tuple[int, str, bytes]:
        if asked.flavor != "Google":
            return 403, "text/html", b"Missing Metadata-Flavor:Google header."
        if asked.path == _ACCOUNTS and asked.query == {"recursive": ["true"]}:
            account = {
                "aliases": ["default"],
                "email": NODE_ACCOUNT,
                "scopes": ["https://www.googleapis.com/auth/cloud-platform"],
            }
            return 200, "application/json", json.dumps(account).encode()
        if self._refusal is not None:
            status, text = self._refusal
            return status, "text/plain; charset=utf-8", text.encode()
        if asked.path == f"{_ACCOUNTS}token":
            answer = {"access_token": self._token, "expires_in": 3599, "token_type": "Bearer"}
            return 200, "application/json", json.dumps(answer).encode()
        return 404, "text/html", b"<title>Error 404 (Not Found)!!1</title>"


def impersonated_token(token: str, lasts_seconds: float = 3600) -> bytes:
    """What generateAccessToken answers."""
    ends = datetime.now(UTC) + timedelta(seconds=lasts_seconds)
    return json.dumps({"accessToken": token, "expireTime": f"{ends:%Y-%m-%dT%H:%M:%SZ}"}).encode()


def api_refusal(status: int, name: str, message: str) -> bytes:
    """What an API of Google's answers to what it refuses."""
    return json.dumps({"error": {"code": status, "message": message, "status": name}}).encode()


def grant_refusal(error: str, description: str) -> bytes:
    """What the token endpoint answers to what it refuses."""
    return json.dumps({"error": error, "error_description": description}).encode()
