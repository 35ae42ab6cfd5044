"""Requests and digests as they are on the wire, with nothing of a client between."""

import base64
import hashlib
import http.client
import json
from urllib.parse import urlsplit

import google_crc32c

from servers.gcs import OWNER_TOKEN


class Wire:
    """Requests as they are, with the owner's token."""

    def __init__(self, endpoint: str) -> None:
        self._connection = http.client.HTTPConnection(str(urlsplit(endpoint).netloc), timeout=30)

    def ask(self, method: str, path: str, body: bytes = b"", **headers: str) -> "Answered":
        """One request. ``path`` may be a whole URI of this server; a header's ``_`` stands for ``-``."""
        given = {name.replace("_", "-"): value for name, value in headers.items()}
        given = {"Authorization": f"Bearer {OWNER_TOKEN}"} | given
        target = path if path.startswith("/") else "/" + path.split("/", 3)[3]
        self._connection.request(method, target, body, given)
        answer = self._connection.getresponse()
        return Answered(answer, answer.read())

    def close(self) -> None:
        self._connection.close()


class Answered:
    """An answer, read whole."""

    def __init__(self, answer: http.client.HTTPResponse, body: bytes) -> None:
        self.status = answer.status
        self.headers = answer.headers
        self.body = body

    @property
    def json(self):
        return json.loads(self.body)


def crc32c(data: bytes) -> str:
    return base64.b64encode(google_crc32c.Checksum(data).digest()).decode()


def md5(data: bytes) -> str:
    return base64.b64encode(hashlib.md5(data, usedforsecurity=False).digest()).decode()
