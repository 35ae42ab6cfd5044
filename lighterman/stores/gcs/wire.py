"""
The thin call: one request to the JSON API, sent by urllib3. For listings (exact to the key, with checksums),
for what obstore can't ask, and for keys that it would change.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NamedTuple
from urllib.parse import urlencode

from lighterman.errors import (
    ConditionFailedError,
    LightermanError,
    SourceChangedError,
    SourceMissingError,
)
from lighterman.stores.contract import Digest, ETag, Key, Window
from lighterman.stores.gcs import failures
from lighterman.stores.gcs.keys import quoted
from lighterman.stores.gcs.login import Login
from lighterman.stores.gcs.settings import GcsSettings
from lighterman.stores.http import ATTEMPTS, Http
from lighterman.stores.objects import cut_short

JSON = {"content-type": "application/json; charset=UTF-8"}


class Answer(NamedTuple):
    """An answer, read whole."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class Wire:
    """Requests to one bucket. Threads share its pool of connections."""

    def __init__(self, settings: GcsSettings, login: Login) -> None:
        self._settings = settings
        self._login = login
        self._http = Http(settings.network, settings.place)
        self.bucket_path = f"/storage/v1/b/{quoted(settings.bucket)}"
        """The bucket's resource; uploads go to the same below ``/upload``."""

    def path_of(self, key: Key) -> str:
        """The object's resource."""
        return f"{self.bucket_path}/o/{quoted(key)}"

    def call(
        self,
        method: str,
        path: str,
        query: Mapping[str, str] | None = None,
        *,
        key: str = "",
        headers: Mapping[str, str] | None = None,
        body: Callable[[], Any] | None = None,
        on_condition: type[LightermanError] = SourceChangedError,
    ) -> Answer:
        """One request with the login, and its successful answer. The errors of ``failures``."""
        with self._answered(
            method, path, query or {}, headers or {}, key, on_condition, body
        ) as response:
            content = self._http.read_all(response, key)
            return Answer(response.status, response.headers, content)

    def read_into(
        self, key: Key, window: Window, at: int, etag: ETag, digest: Digest | None
    ) -> None:
        """The bytes of the store's ``read_into``, for a key that obstore would change."""
        headers = {"range": f"bytes={at}-{at + window.size_bytes - 1}", "accept-encoding": "gzip"}
        query = {"alt": "media", "ifGenerationMatch": etag}
        with self._answered(
            "GET", self.path_of(key), query, headers, key, SourceChangedError, None
        ) as response:
            if response.status != 206 and at:
                raise failures.explained(
                    self._settings.place, failures.Failure(501, "no ranges"), key
                )
            done = self._http.copy_body(response, window, digest, key)
        if done < window.size_bytes:
            raise cut_short(self._settings, key, at + done)

    def of_session(
        self,
        method: str,
        path: str,
        key: str,
        headers: Mapping[str, str],
        body: Callable[[], Any] | None = None,
        *,
        attempts: int = ATTEMPTS,
    ) -> Answer:
        """
        One request to an upload session, and its answer, whatever it is. Its URI is all the login that it
        takes (https://cloud.google.com/storage/docs/resumable-uploads#session-uris).
        """
        response = self._http.send(
            method,
            f"{self._settings.endpoint}{path}",
            {**self._own_headers(), **headers},
            key=key,
            body=body,
            attempts=attempts,
        )
        try:
            content = self._http.read_all(response, key)
        except BaseException:
            response.close()
            raise
        response.release_conn()
        return Answer(response.status, response.headers, content)

    def explained(self, answer: Answer, key: str) -> LightermanError:
        """The error that a refused answer to a session is."""
        failure = failures.from_answer(answer.status, answer.body)
        return failures.explained(
            self._settings.place, failure, key, on_condition=ConditionFailedError
        )

    def close(self) -> None:
        self._http.close()

    def _own_headers(self) -> dict[str, str]:
        return {"user-agent": self._settings.network.user_agent, "accept-encoding": "identity"}

    @contextmanager
    def _answered(
        self,
        method: str,
        path: str,
        query: Mapping[str, str],
        headers: Mapping[str, str],
        key: str,
        on_condition: type[LightermanError],
        body: Callable[[], Any] | None,
    ) -> Iterator[Any]:
        if self._settings.user_project:
            query = {**query, "userProject": self._settings.user_project}
        url = f"{self._settings.endpoint}{path}"
        if query:
            url += ("&" if "?" in path else "?") + urlencode(query)
        own = self._own_headers()
        if token := self._login.token():
            own["authorization"] = f"Bearer {token}"
        response = self._http.send(method, url, {**own, **headers}, key=key, body=body)
        try:
            if response.status < 300:
                yield response
                response.release_conn()
                return
            content = self._http.read_all(response, key)
        except BaseException:
            response.close()  # what is left of its body must not be taken for another answer
            raise
        response.release_conn()
        failure = failures.from_answer(response.status, content)
        if failure.status == 404 and key and not failures.tells_object(failure):
            self._look_for_bucket()
        raise failures.explained(self._settings.place, failure, key, on_condition=on_condition)

    def _look_for_bucket(self) -> None:
        """``BucketMissingError`` where that is why an object isn't there."""
        query = {"maxResults": "1", "fields": "nextPageToken"}
        try:
            self.call("GET", f"{self.bucket_path}/o", query)
        except SourceMissingError:  # a 404 that doesn't say of what
            return
