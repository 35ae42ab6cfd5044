"""
The thin call: one request of the Blob service's REST API. For listings (exact to the key, and many times
cheaper than the SDK's), for what obstore can't say, and for keys that it would change.
"""

import base64
import binascii
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final, NamedTuple

from lighterman import checksums
from lighterman.errors import ConditionFailedError, LightermanError, SourceChangedError
from lighterman.stores import metadata
from lighterman.stores.azure import failures
from lighterman.stores.azure.access import Access
from lighterman.stores.azure.configuration import AzureSettings
from lighterman.stores.contract import Attributes, Checksum, Digest, ETag, Key, Window
from lighterman.stores.failures import require_same
from lighterman.stores.http import Http
from lighterman.stores.objects import cut_short
from lighterman.stores.windows import WindowBody

META: Final = "x-ms-meta-"


class Answer(NamedTuple):
    """A successful answer, read whole."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class Wire:
    """Requests to one container. Threads share its pool of connections."""

    def __init__(self, settings: AzureSettings, access: Access) -> None:
        self._settings = settings
        self._access = access
        self._http = Http(settings.network, settings.place, failures.broken)

    def call(
        self,
        method: str,
        key: str = "",
        query: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        *,
        body: Callable[[], Any] | None = None,
        on_condition: type[LightermanError] = SourceChangedError,
    ) -> Answer:
        """
        One request and its answer. ``body`` gives what is sent, anew for each attempt; its length is in
        ``headers``. The errors of ``failures``; whatever a body raises while it is read.
        """
        with self._answered(
            method, key, query or {}, headers or {}, on_condition, body
        ) as response:
            return Answer(response.status, response.headers, self._http.read_all(response, key))

    def read_into(
        self, key: Key, window: Window, at: int, etag: ETag, digest: Digest | None
    ) -> Attributes:
        """As the store's ``read_into``, for a key that obstore would change."""
        headers = {"if-match": f'"{etag}"'}
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

    def put(
        self,
        key: Key,
        window: Window,
        attributes: Attributes,
        *,
        only_if_absent: bool,
        replacing: ETag | None,
    ) -> ETag:
        """As the store's ``write``, streamed: the service compares what arrives with its MD5."""
        digest = bytes.fromhex(checksums.of_window(checksums.MD5, window))
        headers = {
            "x-ms-blob-type": "BlockBlob",
            "content-length": str(window.size_bytes),
            "content-md5": base64.b64encode(digest).decode(),
            **object_headers(attributes, key),
            **self._settings.write_headers,
        }
        if only_if_absent:
            headers["if-none-match"] = "*"
        if replacing is not None:
            headers["if-match"] = f'"{replacing}"'
        answer = self.call(
            "PUT",
            key,
            headers=headers,
            body=lambda: WindowBody(window),
            on_condition=ConditionFailedError,
        )
        return etag_of(answer.headers)

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
        body: Callable[[], Any] | None = None,
    ) -> Iterator[Any]:
        settings = self._settings
        # A listing is of the container itself, whose URL has no slash at its end.
        plain = settings.url(key) if key else settings.container_url
        if body is None and method == "PUT":
            headers = {"content-length": "0", **headers}
        url, signed = self._access.authorized(method, plain, query, headers)
        signed |= {"accept-encoding": "identity", "user-agent": settings.network.user_agent}
        response = self._http.send(method, url, signed, key=key, body=body)
        try:
            if response.status < 300:
                yield response
                response.release_conn()
                return
            said = self._http.read_all(response, key)
        except BaseException:
            response.close()  # what is left of its body must not be taken for another answer
            raise
        failure = failures.from_answer(response.status, response.headers, said)
        raise failures.explained(settings.place, failure, key, on_condition=on_condition)


def object_headers(attributes: Attributes, key: str) -> dict[str, str]:
    """What a request that makes an object says of its attributes."""
    fields = metadata.to_metadata(attributes, key)
    headers = {f"{META}{name}": value for name, value in fields.items()}
    if attributes.content_type:
        headers["x-ms-blob-content-type"] = attributes.content_type
    return headers


def attributes_of(headers: Mapping[str, str]) -> Attributes:
    """The attributes that an object's headers tell."""
    names = (metadata.MTIME, metadata.MODE)
    found = {name: headers.get(f"{META}{name}", "") for name in names}
    return metadata.from_metadata(found, headers.get("content-type"))


def etag_of(headers: Mapping[str, str]) -> ETag:
    """An answer's ETag, without quotes."""
    return ETag(headers.get("etag", "").strip('"'))


def checksum_of(content_md5: str | None) -> Checksum | None:
    """A Content-MD5 as a checksum; ``None`` for what is none."""
    try:
        digest = base64.b64decode(content_md5 or "", validate=True)
    except binascii.Error:
        return None
    return checksums.checksum(checksums.MD5, digest.hex()) if len(digest) == 16 else None
