"""A bucket as a store: which engine does what, and what happens when the login changes."""

import threading
from collections.abc import Callable, Iterator, Mapping
from email.utils import parsedate_to_datetime
from typing import Final, TypeVar

from lighterman.connections.credentials import S3Login, S3Logins
from lighterman.connections.model import Connection
from lighterman.errors import (
    CredentialsError,
    LightermanError,
    SlowDownError,
    SourceChangedError,
    SourceMissingError,
    TransientError,
)
from lighterman.stores.contract import (
    Attributes,
    Digest,
    ETag,
    Key,
    Listed,
    OpenUpload,
    Part,
    Stat,
    Window,
)
from lighterman.stores.objects import MOST_PUT_BYTES, Objects
from lighterman.stores.s3 import etags, listing, uploads
from lighterman.stores.s3.client import Client
from lighterman.stores.s3.configuration import S3Settings, configured
from lighterman.stores.s3.keys import obstore_takes
from lighterman.stores.s3.login import login_of, region_of
from lighterman.stores.s3.objects import S3Dialect
from lighterman.stores.s3.wire import Wire, attributes_of
from lighterman.transfer.settings import TransferSettings

T = TypeVar("T")

SMALL_WRITE_BYTES: Final = 8 * 1024 * 1024
CALL_MEMORY_BYTES: Final = 2 * 1024 * 1024
"""A small write holds its whole body (1 MiB) and what the socket has of it; the rest streams in less."""


def open_s3(
    connection: Connection,
    environ: Mapping[str, str],
    settings: TransferSettings,
    *,
    concurrency: int,
    copy_limit_bytes: int = uploads.COPY_LIMIT_BYTES,
    copy_part_bytes: int = uploads.COPY_PART_BYTES,
) -> "S3Store":
    """
    The store of an ``s3`` connection. Copies of more than ``copy_limit_bytes`` go by parts.
    ``ConfigurationError``, ``CredentialsError``.
    """
    logins = S3Logins(connection, environ)

    def configure(login: S3Login) -> S3Settings:
        return configured(
            connection,
            login,
            environ,
            region=region_of(login),
            stall_seconds=settings.stall_seconds,
            concurrency=concurrency,
        )

    return S3Store(
        logins, configure, copy_limit_bytes=copy_limit_bytes, copy_part_bytes=copy_part_bytes
    )


class _Engines:
    """All that talks to the bucket with one login."""

    def __init__(self, login: S3Login, settings: S3Settings) -> None:
        self.of = login
        self.settings = settings
        self._login = login_of(login, settings)
        self.wire = Wire(settings, self._login)
        self.objects = Objects(S3Dialect(settings, self._login))
        self._lock = threading.Lock()
        self._client: Client | None = None
        if settings.client_kwargs or settings.config_kwargs:
            self.client()  # only botocore knows which of these there are

    def client(self) -> Client:
        with self._lock:
            if self._client is None:
                self._client = Client(self.settings, self._login)
            return self._client

    def close(self) -> None:
        self.wire.close()
        if self._client is not None:
            self._client.close()


class S3Store:
    """One bucket of S3 or of what speaks its protocol."""

    limits = uploads.LIMITS
    small_write_bytes = SMALL_WRITE_BYTES
    call_memory_bytes = CALL_MEMORY_BYTES

    def __init__(
        self,
        logins: S3Logins,
        configure: Callable[[S3Login], S3Settings],
        *,
        copy_limit_bytes: int,
        copy_part_bytes: int,
    ) -> None:
        self._logins = logins
        self._configure = configure
        self._copy_limit_bytes = copy_limit_bytes
        self._copy_part_bytes = copy_part_bytes
        self._lock = threading.Lock()
        login = logins.current()
        self._engines = _Engines(login, configure(login))
        settings = self._engines.settings
        self.connection = settings.connection
        self.prefix = settings.prefix
        self.destination = f"{settings.endpoint}/{settings.bucket}"

    def pages(self, prefix: str) -> Iterator[list[Listed]]:
        # Each page is a call of its own: one that fails is asked for again by whoever goes on.
        engines = self._current()
        return listing.pages(engines.wire, prefix, engines.settings.endpoint)

    def stat(self, key: Key) -> Stat:
        return self._with_login(lambda engines: self._stat(engines, key))

    def read_into(
        self,
        key: Key,
        window: Window,
        *,
        at: int,
        etag: ETag,
        digest: Digest | None = None,
    ) -> Attributes:
        def read(engines: _Engines) -> Attributes:
            if not obstore_takes(key) or engines.settings.customer_key_headers:
                return engines.wire.read_into(key, window, at, etag, digest)
            return engines.objects.read_into(key, window, at, etag, digest)

        return self._with_login(read)

    def write(
        self, key: Key, window: Window, attributes: Attributes, *, only_if_absent: bool = False
    ) -> ETag:
        def put(engines: _Engines) -> ETag:
            plain = not engines.settings.write_kwargs
            if plain and obstore_takes(key) and window.size_bytes <= MOST_PUT_BYTES:
                return engines.objects.put(key, window, attributes, only_if_absent=only_if_absent)
            return uploads.put(
                engines.client(),
                key,
                window,
                attributes,
                only_if_absent=only_if_absent,
            )

        return self._with_login(put)

    def copy(self, source: Key, etag: ETag, target: Key, attributes: Attributes) -> ETag:
        def copy(engines: _Engines) -> ETag:
            found = self._stat(engines, source)
            if found.etag != etag:  # Ceph ignores the condition of the copy itself
                raise SourceChangedError(
                    f"{source!r} is another object by now", connection=self.connection, key=source
                )
            size_bytes = found.size_bytes
            arguments = (
                engines.client(),
                engines.settings.bucket,
                source,
                etag,
                target,
                attributes,
            )
            if size_bytes <= self._copy_limit_bytes:
                made = uploads.copy_whole(*arguments)
            else:
                made = uploads.copy_by_parts(
                    *arguments, size_bytes=size_bytes, part_bytes=self._copy_part_bytes
                )
            return made or self._stat(engines, target).etag

        return self._with_login(copy)

    def delete(self, key: Key) -> None:
        def delete(engines: _Engines) -> None:
            try:
                engines.wire.call("DELETE", key)
            except SourceMissingError:
                return

        self._with_login(delete)

    def begin(self, key: Key, attributes: Attributes, *, part_bytes: int) -> str:  # noqa: ARG002  # S3 sees
        return self._with_login(lambda engines: uploads.begin(engines.client(), key, attributes))

    def send_part(self, key: Key, upload_id: str, number: int, window: Window) -> Part:
        return self._with_login(
            lambda engines: uploads.send_part(engines.client(), key, upload_id, number, window)
        )

    def sent_parts(self, key: Key, upload_id: str) -> list[Part]:
        return self._with_login(
            lambda engines: uploads.sent_parts(engines.client(), key, upload_id)
        )

    def finish(self, key: Key, upload_id: str, parts: list[Part]) -> ETag:
        def finish(engines: _Engines) -> ETag:
            try:
                made = uploads.finish(engines.client(), key, upload_id, parts)
            except SlowDownError:
                raise
            except TransientError:
                # It may have been done before its answer was lost; Ceph answers 500 when it's no more.
                uploads.sent_parts(engines.client(), key, upload_id)
                raise
            return made or self._stat(engines, key).etag

        return self._with_login(finish)

    def abandon(self, key: Key, upload_id: str) -> None:
        self._with_login(lambda engines: uploads.abandon(engines.client(), key, upload_id))

    def open_uploads(self, prefix: str) -> list[OpenUpload]:
        return self._with_login(lambda engines: uploads.open_uploads(engines.client(), prefix))

    def made_of(self, key: Key, parts: list[Part]) -> ETag | None:
        expected = etags.of_parts(parts)
        if expected is None or not self._engines.settings.md5_etags:
            return None
        try:
            found = self.stat(key).etag
        except SourceMissingError:
            return None
        return found if found == expected else None

    def part_etag(self, window: Window) -> ETag | None:
        return etags.of_content(window) if self._engines.settings.md5_etags else None

    def has_content(self, listed: Listed, window: Window, part_bytes: int) -> bool:
        if listed.size_bytes != window.size_bytes or not self._engines.settings.md5_etags:
            return False
        if listed.checksum is not None:
            return etags.of_content(window) == listed.etag
        return etags.of_content_by_parts(window, part_bytes) == listed.etag

    def close(self) -> None:
        self._engines.close()

    def _current(self) -> _Engines:
        login = self._logins.current()
        if login is self._engines.of or login == self._engines.of:
            return self._engines
        with self._lock:
            if login != self._engines.of:
                # The engines before go when the calls that still use them are done.
                self._engines = _Engines(login, self._configure(login))
            return self._engines

    def _with_login(self, action: Callable[[_Engines], T]) -> T:
        engines = self._current()
        try:
            return action(engines)
        except CredentialsError:
            self._logins.refreshed()
            renewed = self._current()
            if renewed is engines:
                raise
        return action(renewed)  # refused while the mounted login was being replaced

    def _stat(self, engines: _Engines, key: Key) -> Stat:
        try:
            answer = engines.wire.call("HEAD", key, headers=engines.settings.customer_key_headers)
        except LightermanError as error:
            raise self._reason(engines, key, error) from error
        headers = answer.headers
        encryption = headers.get("x-amz-server-side-encryption", "")
        customer = headers.get("x-amz-server-side-encryption-customer-algorithm")
        is_md5 = not encryption.startswith("aws:kms") and not customer
        etag = headers.get("etag", "").strip('"')
        return Stat(
            key,
            int(headers.get("content-length", "0")),
            ETag(etag),
            parsedate_to_datetime(headers["last-modified"]).timestamp(),
            attributes_of(headers),
            checksum=etags.checksum_of(etag) if is_md5 else None,
        )

    def _reason(self, engines: _Engines, key: Key, error: LightermanError) -> LightermanError:
        """A HEAD's answer has no body to say why: ask for what has one."""
        if not isinstance(error, (SourceMissingError, CredentialsError)):
            return error
        try:
            if isinstance(error, SourceMissingError):
                engines.wire.call("GET", "", {"list-type": "2", "max-keys": "0"})
            else:
                engines.wire.call("GET", key, headers={"range": "bytes=0-0"})
        except LightermanError as better:
            return error if isinstance(better, type(error)) and not better.hint else better
        return error
