"""A bucket as a store: which engine does what, and what happens when the login changes."""

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Final, TypeVar

import msgspec

from lighterman.connections.credentials import S3Login, S3Logins
from lighterman.connections.model import Connection
from lighterman.errors import (
    CredentialsError,
    SlowDownError,
    SourceMissingError,
    TransientError,
)
from lighterman.stores.advice import Advice
from lighterman.stores.conditions import of_target
from lighterman.stores.contract import (
    Attributes,
    Digest,
    ETag,
    Key,
    Listed,
    OpenUpload,
    Part,
    Span,
    Stat,
    Window,
)
from lighterman.stores.keys import fits_xml
from lighterman.stores.objects import MOST_PUT_BYTES, Objects
from lighterman.stores.s3 import copies, etags, lifecycle, listing, thin_uploads, uploads
from lighterman.stores.s3.client import Client
from lighterman.stores.s3.configuration import S3Settings, configured, is_aws
from lighterman.stores.s3.copies import Copier, Pinned
from lighterman.stores.s3.failures import OtherRegionError
from lighterman.stores.s3.kwargs import write_fields
from lighterman.stores.s3.login import Login, login_of, region_of
from lighterman.stores.s3.objects import S3Dialect
from lighterman.stores.s3.signers import Access
from lighterman.stores.s3.stats import named_region, stat
from lighterman.stores.s3.straight import straight
from lighterman.stores.s3.wire import Wire
from lighterman.stores.straight import Straight
from lighterman.stores.straight_reads import StraightReads
from lighterman.stores.straight_writes import StraightWrites
from lighterman.transfer.settings import TransferSettings

T = TypeVar("T")

SMALL_WRITE_BYTES: Final = 8 * 1024 * 1024
RENEW_EVERY_SECONDS: Final = 30.0
"""A refused login that the SDK made is looked for anew no oftener: a refusal may be of what it may do."""
DIRECTORY_BUCKET: Final = "--x-s3"
"""Ends the name of a bucket that keeps no order: https://docs.aws.amazon.com/AmazonS3/latest/API/API_ListObjectsV2.html"""
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

    def __init__(self, of: S3Login, settings: S3Settings, login: Login) -> None:
        self.of = of
        self.settings = settings
        self.login = login
        self.wire = Wire(settings, login)
        self.objects = Objects(S3Dialect(settings, login))
        way = straight(settings, lambda: Access(settings, login))
        self.reads = StraightReads(way, settings.place) if way is not None else None
        self.parts = StraightWrites(way, settings.place) if way is not None else None
        fields = write_fields(settings.write_kwargs, settings.storage_class)
        is_plain = not (settings.client_kwargs or settings.config_kwargs)
        self.write_fields = fields if is_plain else None
        self._lock = threading.Lock()
        self._client: Client | None = None
        if settings.client_kwargs or settings.config_kwargs:
            self.client()  # only botocore knows which of these there are

    def client(self) -> Client:
        with self._lock:
            if self._client is None:
                self._client = Client(self.settings, self.login)
            return self._client

    def close(self) -> None:
        self.wire.close()
        if self.reads is not None:
            self.reads.close()
        if self.parts is not None:
            self.parts.close()
        if self._client is not None:
            self._client.close()


class S3Store:
    """One bucket of S3 or of what speaks its protocol."""

    small_write_bytes = SMALL_WRITE_BYTES
    call_memory_bytes = CALL_MEMORY_BYTES
    copies_parts = True

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
        self._copier = Copier(copy_limit_bytes, copy_part_bytes)
        self._lock = threading.Lock()
        self._renewing = threading.Lock()
        self._renew_at_seconds = 0.0
        self._engines = self._made(logins.current())
        settings = self._engines.settings
        self.limits = uploads.limits_at(settings.endpoint)
        self.connection = settings.connection
        self.prefix = settings.prefix
        self.destination = f"{settings.endpoint}/{settings.bucket}"
        self.lists_after = not settings.bucket.endswith(DIRECTORY_BUCKET)

    def pages(self, prefix: str, *, after: str = "") -> Iterator[list[Listed]]:
        # Each page is a call of its own: one that fails is asked for again by whoever goes on.
        def ask(query: Mapping[str, str], headers: Mapping[str, str]) -> bytes:
            return self._with_login(
                lambda engines: engines.wire.call("GET", "", query, headers).body
            )

        tells_restores = is_aws(self._engines.settings.endpoint)
        for page in listing.pages(ask, prefix, tells_restores=tells_restores, after=after):
            yield page if tells_restores else [self._looked_at(item) for item in page]

    def _looked_at(self, item: Listed) -> Listed:
        """An archived object may have been restored, which only AWS tells in a listing."""
        if not item.archived or self.stat(item.key).archived:
            return item
        return msgspec.structs.replace(item, archived=False)

    def stat(self, key: Key) -> Stat:
        return self._with_login(lambda engines: stat(engines.wire, engines.settings, key))

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
            if engines.reads is not None:
                attributes = engines.reads.read_into(key, window, at, etag, digest)
                if attributes is not None:
                    return attributes
            if not engines.objects.takes(key) or engines.settings.customer_key_headers:
                return engines.wire.read_into(key, window, at, etag, digest)
            return engines.objects.read_into(key, window, at, etag, digest)

        return self._with_login(read)

    def straight(self) -> Straight | None:
        def current() -> Access:
            engines = self._current()
            return Access(engines.settings, engines.login)

        return straight(self._engines.settings, current)

    def write(
        self,
        key: Key,
        window: Window,
        attributes: Attributes,
        *,
        only_if_absent: bool = False,
        replacing: ETag | None = None,
    ) -> ETag:
        def put(engines: _Engines) -> ETag:
            plain = not engines.settings.write_kwargs
            if plain and engines.objects.takes(key) and window.size_bytes <= MOST_PUT_BYTES:
                return engines.objects.put(
                    key, window, attributes, only_if_absent=only_if_absent, replacing=replacing
                )
            return uploads.put(
                engines.client(),
                key,
                window,
                attributes,
                only_if_absent=only_if_absent,
                replacing=replacing,
            )

        with of_target(replacing):
            return self._with_login(put)

    def copy(
        self,
        source: Key,
        etag: ETag,
        target: Key,
        attributes: Attributes,
        *,
        only_if_absent: bool = False,
        replacing: ETag | None = None,
    ) -> ETag:
        def copy(engines: _Engines) -> ETag:
            return self._copier.copy(
                engines.wire,
                engines.client,
                engines.settings,
                Pinned(source, etag, target, attributes),
                only_if_absent=only_if_absent,
                replacing=replacing,
            )

        return self._with_login(copy)

    def delete(self, key: Key) -> None:
        def delete(engines: _Engines) -> None:
            try:
                engines.wire.call("DELETE", key)
            except SourceMissingError:
                return

        self._with_login(delete)

    def begin(
        self,
        key: Key,
        attributes: Attributes,
        *,
        part_bytes: int,  # noqa: ARG002  # S3 sees
        only_if_absent: bool = False,  # noqa: ARG002  # said to finish
        replacing: ETag | None = None,  # noqa: ARG002  # said to finish
    ) -> str:
        def begin(engines: _Engines) -> str:
            if engines.write_fields is None or not fits_xml(key):
                return uploads.begin(engines.client(), key, attributes)
            fields = engines.write_fields
            return thin_uploads.begin(engines.wire, engines.settings, fields, key, attributes)

        return self._with_login(begin)

    def send_part(self, key: Key, upload_id: str, number: int, window: Window) -> Part:
        def send(engines: _Engines) -> Part:
            if engines.parts is not None:
                part = engines.parts.send_part(key, upload_id, number, window)
                if part is not None:
                    return part
            return uploads.send_part(engines.client(), key, upload_id, number, window)

        return self._with_login(send)

    def sent_parts(self, key: Key, upload_id: str) -> list[Part]:
        return self._with_login(
            lambda engines: uploads.sent_parts(engines.client(), key, upload_id)
        )

    def copy_part(
        self, source: Key, etag: ETag, key: Key, upload_id: str, number: int, span: Span
    ) -> Part:
        def copy(engines: _Engines) -> Part:
            bucket = engines.settings.bucket
            part = copies.copy_part(
                engines.client(), bucket, source, etag, key, upload_id, number, span
            )
            # After it, for those that ignore the condition: nothing is visible before the upload's end.
            copies.looked_at(engines.wire, engines.settings, source, etag)
            return part

        return self._with_login(copy)

    def finish(
        self,
        key: Key,
        upload_id: str,
        parts: list[Part],
        *,
        only_if_absent: bool = False,
        replacing: ETag | None = None,
    ) -> ETag:
        def finish(engines: _Engines) -> ETag:
            try:
                made = self._finished(
                    engines,
                    key,
                    upload_id,
                    parts,
                    only_if_absent=only_if_absent,
                    replacing=replacing,
                )
            except SlowDownError:
                raise
            except TransientError:
                # It may have been done before its answer was lost; Ceph answers 500 when it's no more.
                uploads.sent_parts(engines.client(), key, upload_id)
                raise
            return made or stat(engines.wire, engines.settings, key).etag

        return self._with_login(finish)

    @staticmethod
    def _finished(
        engines: _Engines,
        key: Key,
        upload_id: str,
        parts: list[Part],
        *,
        only_if_absent: bool,
        replacing: ETag | None,
    ) -> ETag:
        if engines.write_fields is None or replacing is not None:
            return uploads.finish(
                engines.client(),
                key,
                upload_id,
                parts,
                only_if_absent=only_if_absent,
                replacing=replacing,
            )
        wire, settings = engines.wire, engines.settings
        return thin_uploads.finish(
            wire, settings, key, upload_id, parts, only_if_absent=only_if_absent
        )

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

    def same_content(self, key: Key, etag: ETag, window: Window, part_bytes: int) -> bool:  # noqa: ARG002  # its ETag tells
        if not self._engines.settings.md5_etags:
            return False
        if etags.checksum_of(etag) is not None:
            return etags.of_content(window) == etag
        return etags.of_content_by_parts(window, part_bytes) == etag

    @property
    def login_source(self) -> str:
        return self._engines.settings.login

    def advice(self, prefix: str) -> list[Advice]:
        return self._with_login(lambda engines: [lifecycle.advice(engines.wire, prefix)])

    def close(self) -> None:
        self._engines.close()

    def _current(self) -> _Engines:
        login = self._logins.current()
        if login is self._engines.of or login == self._engines.of:
            return self._engines
        with self._lock:
            if login != self._engines.of:
                # The engines before go when the calls that still use them are done.
                self._engines = self._made(login)
            return self._engines

    def _made(self, login: S3Login) -> _Engines:
        settings = self._configure(login)
        return _Engines(login, settings, login_of(login, settings))

    def _with_login(self, action: Callable[[_Engines], T]) -> T:
        engines = self._current()
        try:
            return self._called(engines, action)
        except CredentialsError:
            renewed = self._renewed(engines)
            if renewed is None:
                raise
        return self._called(renewed, action)

    def _called(self, engines: _Engines, action: Callable[[_Engines], T]) -> T:
        try:
            return action(engines)
        except OtherRegionError as error:
            named = named_region(engines.wire, error)
            if named is error:
                raise
            raise named from error

    def _renewed(self, refused: _Engines) -> _Engines | None:
        """Engines with another login than the refused one: it was replaced, or ended before its time."""
        self._logins.refreshed()
        current = self._current()
        if current is not refused:
            return current
        with self._renewing:
            if self._engines is not refused:
                return self._engines
            now_seconds = time.monotonic()
            if now_seconds < self._renew_at_seconds:
                return None
            self._renew_at_seconds = now_seconds + RENEW_EVERY_SECONDS
            other = refused.login.others()
            if other is None:
                return None
            self._engines = _Engines(refused.of, refused.settings, other)
            return self._engines
