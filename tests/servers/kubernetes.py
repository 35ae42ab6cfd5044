"""
As much of Kubernetes' API as a sidecar asks: ``GET`` of its own pod with the service account's token, over TLS, in the
form of the API reference (Pod v1). What isn't asked so is refused as the API server refuses it.
"""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Self

from servers.certificates import Authority

NAMESPACE = "runs"
POD = "plx-operation-8aac02e3"
TOKEN = "service-account-token-hunter2"


class KubernetesApi:
    """Listens on loopback from its making to ``close``; ``end`` says that a container of the pod has ended."""

    def __init__(self, authority: Authority, directory: Path) -> None:
        self.asked: list[str] = []
        self.status = 200
        """What it answers with instead of the pod, if that isn't 200."""
        self.service_account = directory / "serviceaccount"
        self.service_account.mkdir()
        (self.service_account / "ca.crt").write_bytes(authority.ca_bundle.read_bytes())
        (self.service_account / "namespace").write_text(NAMESPACE)
        self.rotate(TOKEN)
        self._states: dict[str, dict[str, object]] = {}
        self._policy = "Never"
        self._phase = "Running"
        api = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                api._answer(self)

            def log_message(self, *_: object) -> None:
                """Nothing: what was asked is kept."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.socket = authority.server.wrap_socket(
            self._server.socket, server_side=True, do_handshake_on_connect=False
        )
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()

    def rotate(self, token: str) -> None:
        """The kubelet replaces the token; the one before is refused from now on."""
        self._token = token
        (self.service_account / "token").write_text(token)

    def end(self, container: str, code: int = 0) -> None:
        """That container has ended."""
        self._states[container] = {"terminated": {"exitCode": code, "reason": "Completed"}}

    @property
    def environ(self) -> dict[str, str]:
        """What the kubelet sets in each container."""
        host, port = self._server.server_address[:2]
        return {"KUBERNETES_SERVICE_HOST": str(host), "KUBERNETES_SERVICE_PORT": str(port)}

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _answer(self, handler: BaseHTTPRequestHandler) -> None:
        self.asked.append(handler.path)
        status, document = self.status, {"kind": "Status", "apiVersion": "v1", "status": "Failure"}
        if status == 200:
            if handler.headers.get("Authorization") != f"Bearer {self._token}":
                status = 401
            elif handler.path != f"/api/v1/namespaces/{NAMESPACE}/pods/{POD}":
                status = 404
            else:
                document = self._pod()
        body = json.dumps(document).encode()
        handler.send_response(status)
        handler.send_header("Content-Type", "application/json")
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        handler.wfile.write(body)

    def _pod(self) -> dict[str, object]:
        names = ("polyaxon-main", "polyaxon-sidecar")
        running = {"running": {"startedAt": "2026-11-27T12:00:00Z"}}
        return {
            "kind": "Pod",
            "apiVersion": "v1",
            "metadata": {"name": POD, "namespace": NAMESPACE},
            "spec": {"restartPolicy": self._policy},
            "status": {
                "phase": self._phase,
                "containerStatuses": [
                    {"name": name, "state": self._states.get(name, running)} for name in names
                ],
            },
        }
