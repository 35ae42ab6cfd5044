"""
The thin call: one request, sent by urllib3. For listings (exact to the key),
for what obstore can't ask, and for keys that it would change.
"""

import hashlib
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NamedTuple
from urllib.parse import quote

from lighterman.errors import LightermanError, SourceChangedError
from lighterman.stores.contract import Attributes, Digest, ETag, Key, Window
from lighterman.stores.failures import require_same
from lighterman.stores.http import Http
from lighterman.stores.keys import quoted
from lighterman.stores.objects import cut_short
from lighterman.stores.s3 import attributes as metadata
from lighterman.stores.s3 import failures
from lighterman.stores.s3.configuration import S3Settings
from lighterman.stores.s3.login import Login
from lighterman.stores.s3.signing import NOTHING, Signer


class Answer(NamedTuple):
    """A successful answer, read whole."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class Wire:
    """Requests to one bucket. Threads share its pool of connections."""

    def __init__(self, settings: S3Settings, login: Login) -> None:
        self._settings = settings
        self._login = login
        self._http = Http(settings.network, settings.place)

    def call(
        self,
        method: str,
        key: str = "",
        query: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        *,
        body: bytes = b"",
        on_condition: type[LightermanError] = SourceChangedError,
    ) -> Answer:
        """One request, with a body of a few kilobytes at most, and its answer. The errors of ``failures``."""
        asked = self._answered(method, key, query or {}, headers or {}, on_condition, body)
        with asked as response:
            body = self._http.read_all(response, key)
            return Answer(response.status, response.headers, body)

    def read_into(
        self, key: Key, window: Window, at: int, etag: ETag, digest: Digest | None
    ) -> Attributes:
        """As the store's ``read_into``, for a key that obstore would change."""
        headers = {"if-match": f'"{etag}"', **self._settings.customer_key_headers}
        if window.size_bytes:
            headers["range"] = f"bytes={at}-{at + window.size_bytes - 1}"
        with self._answered("GET", key, {}, headers, SourceChangedError) as response:
            if window.size_bytes and response.status != 206 and at:
                raise failures.explained(
                    self._settings.place, failures.Failure(501, "no ranges"), key
                )
            require_same(self._settings.place, response.headers.get("etag", ""), etag, key)
            done = self._http.copy_body(response, window, digest, key)
            if done < window.size_bytes:
                raise cut_short(self._settings, key, at + done)
            return attributes_of(response.headers)

    def close(self) -> None:
        self._http.close()

    @contextmanager
    def _answered(
        self,
        method: str,
        key: str,
        query: Mapping[str, str],
        headers: Mapping[str, str],
        on_condition: type[LightermanError],
        sent: bytes = b"",
    ) -> Iterator[Any]:
        url, signed = self._signed(method, key, query, headers, sent)
        response = self._http.send(method, url, signed, key=key, body=lambda: sent)
        try:
            if response.status < 300:
                yield response
                response.release_conn()
                return
            body = self._http.read_all(response, key)
        except BaseException:
            response.close()  # what is left of its body must not be taken for another answer
            raise
        failure = failures.from_answer(response.status, response.headers, body)
        raise failures.explained(self._settings.place, failure, key, on_condition=on_condition)

    def _signed(
        self,
        method: str,
        key: str,
        query: Mapping[str, str],
        headers: Mapping[str, str],
        body: bytes,
    ) -> tuple[str, dict[str, str]]:
        pairs = sorted((quote(k, safe="-._~"), quote(v, safe="-._~")) for k, v in query.items())
        asked = "&".join(f"{name}={value}" for name, value in pairs)
        url = f"{self._settings.base_url}/{quoted(key)}"
        # Not signed, since what is on the way changes it: Google's front end does, before it checks the rest.
        plain = {"accept-encoding": "identity", "user-agent": self._settings.network.user_agent}
        plain |= headers
        if self._settings.requester_pays:
            plain["x-amz-request-payer"] = "requester"
        keys = self._login.keys()
        if keys is not None:
            _, _, host, path = url.split("/", 3)
            more = {name: value for name, value in plain.items() if name.startswith("x-amz-")}
            digest = hashlib.sha256(body).hexdigest() if body else NOTHING
            signer = Signer(host, self._settings.region, keys, more, body=digest)
            fields = signer.fields(f"/{path}", time.time(), method=method, query=asked)
            lines = (line.partition(": ") for line in fields.splitlines())
            plain |= {name: value for name, _, value in lines}
        return f"{url}?{asked}" if asked else url, plain


def attributes_of(headers: Mapping[str, str]) -> Attributes:
    """The attributes that an object's headers tell."""
    names = (metadata.MTIME, metadata.MODE)
    found = {name: headers.get(f"x-amz-meta-{name}", "") for name in names}
    return metadata.from_metadata(found, headers.get("content-type"))
