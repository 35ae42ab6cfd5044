"""
The two local services that hand out AWS credentials, as they were recorded: EC2's instance metadata
(IMDSv2: a token first, then the role's name, then its keys) and the agent of EKS Pod Identity (one GET with
the pod's own token). Anything that was not asked for so is refused.
"""

import json
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import NamedTuple, Self

from servers.accounts import AccessKey

ROLE_PATH = "/latest/meta-data/iam/security-credentials/"
IMDS_TOKEN = "AQAAAFexampleexampleexampleexampleexample=="


class Asked(NamedTuple):
    """One request."""

    method: str
    path: str
    headers: dict[str, str]


class Agent:
    """Listens on loopback from its making to ``close``; ``keys`` gives what is handed out each time."""

    def __init__(
        self, keys: Callable[[], AccessKey], pod_token: str = "", *, lasts_seconds: float = 3600
    ) -> None:
        self.asked: list[Asked] = []
        self._keys = keys
        self._pod_token = pod_token
        self._lasts_seconds = lasts_seconds
        agent = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                agent._answer(self)

            do_PUT = do_GET  # noqa: N815  # the names that http.server calls

            def log_message(self, *_: object) -> None:
                """Nothing: what was asked is kept."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(10)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _answer(self, handler: BaseHTTPRequestHandler) -> None:
        headers = {name.lower(): value for name, value in handler.headers.items()}
        asked = Asked(handler.command, handler.path, headers)
        self.asked.append(asked)
        status, body = self._said(asked)
        handler.send_response(status)
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        handler.wfile.write(body)

    def _said(self, asked: Asked) -> tuple[int, bytes]:
        return self._as_pod_agent(asked) if self._pod_token else self._as_metadata(asked)

    def _as_pod_agent(self, asked: Asked) -> tuple[int, bytes]:
        is_pod = asked.headers.get("authorization") == self._pod_token
        return (200, self._document()) if is_pod else (401, b"unauthorized")

    def _as_metadata(self, asked: Asked) -> tuple[int, bytes]:
        if asked.method == "PUT" and asked.path == "/latest/api/token":
            has_ttl = "x-aws-ec2-metadata-token-ttl-seconds" in asked.headers
            return (200, IMDS_TOKEN.encode()) if has_ttl else (400, b"")
        if asked.headers.get("x-aws-ec2-metadata-token") != IMDS_TOKEN:
            return 401, b""
        if asked.path == ROLE_PATH:
            return 200, b"node-role"
        return (200, self._document()) if asked.path == f"{ROLE_PATH}node-role" else (404, b"")

    def _document(self) -> bytes:
        keys, now = self._keys(), datetime.now(UTC)
        ends = now + timedelta(seconds=self._lasts_seconds)
        return json.dumps(
            {
                "Code": "Success",
                "LastUpdated": f"{now:%Y-%m-%dT%H:%M:%SZ}",
                "Type": "AWS-HMAC",
                "AccessKeyId": keys.access_key_id,
                "SecretAccessKey": keys.secret_access_key,
                "Token": keys.session_token,
                "Expiration": f"{ends:%Y-%m-%dT%H:%M:%SZ}",
                "AccountId": "123456789012",
            }
        ).encode()
