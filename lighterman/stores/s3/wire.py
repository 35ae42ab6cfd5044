"""
The thin call: one request, signed by botocore's signer, sent by urllib3. For listings (exact to the key),
for what obstore can't ask, and for keys that it would change.
"""

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import quote

from lighterman.errors import LightermanError, SourceChangedError, TransientError
from lighterman.stores.contract import Attributes, Digest, ETag, Key, Window
from lighterman.stores.s3 import attributes as metadata
from lighterman.stores.s3 import failures
from lighterman.stores.s3.configuration import S3Settings
from lighterman.stores.s3.keys import quoted
from lighterman.stores.s3.login import Login
from lighterman.stores.windows import CHUNK_BYTES, write_at

if TYPE_CHECKING:
    import urllib3

ATTEMPTS = 2
"""A connection that the server let go while it was idle breaks at its next use: once more, on a new one."""


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
        self._lock = threading.Lock()
        self._pool: urllib3.PoolManager | None = None

    def call(
        self,
        method: str,
        key: str = "",
        query: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        *,
        on_condition: type[LightermanError] = SourceChangedError,
    ) -> Answer:
        """One request without a body, and its answer. The errors of ``failures``."""
        with self._answered(method, key, query or {}, headers or {}, on_condition) as response:
            body = self._read_all(response, key)
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
            done = self._copy_body(response, window, digest, key)
            if done < window.size_bytes:
                raise self.cut_short(key, at + done)
            return attributes_of(response.headers)

    def cut_short(self, key: str, position: int) -> TransientError:
        """Fewer bytes came than were asked for."""
        return TransientError(
            f"the body of {key!r} from {self._settings.endpoint} ended at byte {position}",
            connection=self._settings.connection,
            key=key,
        )

    def close(self) -> None:
        if self._pool is not None:
            self._pool.clear()

    def _copy_body(self, response: Any, window: Window, digest: Digest | None, key: str) -> int:
        import urllib3.exceptions

        done = 0
        try:
            while done < window.size_bytes:
                data = response.read(
                    min(CHUNK_BYTES, window.size_bytes - done), decode_content=False
                )
                if not data:
                    break
                if digest is not None:
                    digest.update(data)
                done += write_at(window.descriptor, data, window.start + done)
        except urllib3.exceptions.HTTPError as error:
            raise failures.broken(self._settings.place, str(error), key) from error
        return done

    def _read_all(self, response: Any, key: str) -> bytes:
        import urllib3.exceptions

        try:
            body: bytes = response.read(decode_content=False)
        except urllib3.exceptions.HTTPError as error:
            raise failures.broken(self._settings.place, str(error), key) from error
        return body

    @contextmanager
    def _answered(
        self,
        method: str,
        key: str,
        query: Mapping[str, str],
        headers: Mapping[str, str],
        on_condition: type[LightermanError],
    ) -> Iterator[Any]:
        response = self._sent(method, key, query, headers)
        try:
            if response.status < 300:
                yield response
                response.release_conn()
                return
            body = self._read_all(response, key)
        except BaseException:
            response.close()  # what is left of its body must not be taken for another answer
            raise
        failure = failures.from_answer(response.status, response.headers, body)
        raise failures.explained(self._settings.place, failure, key, on_condition=on_condition)

    def _sent(
        self, method: str, key: str, query: Mapping[str, str], headers: Mapping[str, str]
    ) -> Any:
        import urllib3.exceptions

        url, signed = self._signed(method, key, query, headers)
        pool = self._connections().connection_from_url(url)
        # Given whole, a URL would lose its dot segments; a proxy in clear text has to be given it whole.
        through_proxy = self._settings.proxy and url.startswith("http://")
        target = url if through_proxy else "/" + url.split("/", 3)[3]
        for attempt in range(1, ATTEMPTS + 1):
            try:
                return pool.urlopen(
                    method,
                    target,
                    headers=signed,
                    preload_content=False,
                    redirect=False,
                    retries=False,
                    assert_same_host=False,
                )
            except urllib3.exceptions.ProtocolError as error:
                if attempt == ATTEMPTS:
                    raise failures.broken(self._settings.place, str(error), key) from error
            except urllib3.exceptions.HTTPError as error:
                raise failures.broken(self._settings.place, str(error), key) from error
        raise AssertionError

    def _signed(
        self, method: str, key: str, query: Mapping[str, str], headers: Mapping[str, str]
    ) -> tuple[str, dict[str, str]]:
        url = f"{self._settings.base_url}/{quoted(key)}"
        if query:
            pairs = (f"{quote(k, safe='-._~')}={quote(v, safe='-._~')}" for k, v in query.items())
            url += "?" + "&".join(pairs)
        plain = {"user-agent": self._settings.user_agent, "accept-encoding": "identity", **headers}
        if self._settings.requester_pays:
            plain["x-amz-request-payer"] = "requester"
        keys = self._login.keys()
        if keys is None:
            return url, plain
        from botocore.auth import S3SigV4Auth
        from botocore.awsrequest import AWSRequest

        request = AWSRequest(method, url, headers=plain)
        S3SigV4Auth(keys, "s3", self._settings.region).add_auth(request)
        return url, dict(request.headers.items())

    def _connections(self) -> "urllib3.PoolManager":
        with self._lock:
            if self._pool is None:
                self._pool = _pool(self._settings)
            return self._pool


def _pool(settings: S3Settings) -> "urllib3.PoolManager":
    import urllib3

    arguments: dict[str, Any] = {
        "num_pools": 2,
        "maxsize": settings.concurrency,
        "timeout": urllib3.Timeout(connect=settings.connect_seconds, read=settings.stall_seconds),
    }
    if settings.verify is False:
        arguments["cert_reqs"] = "CERT_NONE"
        silence_unverified()
    elif isinstance(settings.verify, str):
        arguments["ca_certs"] = settings.verify
    if settings.proxy is None:
        return urllib3.PoolManager(**arguments)
    parsed = urllib3.util.parse_url(settings.proxy)
    if parsed.auth:
        arguments["proxy_headers"] = urllib3.make_headers(proxy_basic_auth=parsed.auth)
    return urllib3.ProxyManager(settings.proxy, **arguments)


def silence_unverified() -> None:
    """Whoever turned verification off knows it: a warning for each request says nothing."""
    import urllib3

    urllib3.disable_warnings(urllib3.exceptions.InsecureRequestWarning)


def attributes_of(headers: Mapping[str, str]) -> Attributes:
    """The attributes that an object's headers tell."""
    names = (metadata.MTIME, metadata.MODE)
    found = {name: headers.get(f"x-amz-meta-{name}", "") for name in names}
    return metadata.from_metadata(found, headers.get("content-type"))
