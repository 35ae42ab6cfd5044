"""A container as a store: which engine does what, and what happens when the login changes."""

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from email.utils import parsedate_to_datetime
from typing import Final, TypeVar

from lighterman import checksums
from lighterman.connections.azure_login import AzureLogin, AzureLogins
from lighterman.connections.model import Connection
from lighterman.errors import (
    CredentialsError,
    SourceChangedError,
    SourceMissingError,
)
from lighterman.stores.azure import copies, listing, uploads
from lighterman.stores.azure.access import Access
from lighterman.stores.azure.client import Client
from lighterman.stores.azure.configuration import AzureSettings, configured
from lighterman.stores.azure.keys import check_writable
from lighterman.stores.azure.login import access_of
from lighterman.stores.azure.objects import AzureDialect
from lighterman.stores.azure.wire import META, Wire, attributes_of, checksum_of, etag_of
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
from lighterman.stores.keys import pages_after
from lighterman.stores.objects import MOST_PUT_BYTES, Objects
from lighterman.transfer.settings import TransferSettings

T = TypeVar("T")

SMALL_WRITE_BYTES: Final = 8 * 1024 * 1024
CALL_MEMORY_BYTES: Final = 2 * 1024 * 1024
"""A small write holds its whole body (1 MiB) and what the socket has of it; the rest streams in less."""
RENEW_EVERY_SECONDS: Final = 30.0
"""A refused token is asked for anew no oftener: a refusal may be of what it may do."""


def open_azure(
    connection: Connection,
    environ: Mapping[str, str],
    settings: TransferSettings,
    *,
    concurrency: int,
    copy_limit_bytes: int = copies.COPY_LIMIT_BYTES,
    copy_part_bytes: int = copies.COPY_PART_BYTES,
) -> "AzureStore":
    """
    The store of a ``wasb`` connection. Copies of more than ``copy_limit_bytes`` go by parts.
    ``ConfigurationError``, ``CredentialsError``.
    """

    def engines(login: AzureLogin) -> "_Engines":
        decided = configured(
            connection,
            login,
            environ,
            stall_seconds=settings.stall_seconds,
            concurrency=concurrency,
        )
        access = access_of(connection, login, environ, decided.network, decided.place)
        return _Engines(login, decided, access)

    return AzureStore(
        AzureLogins(connection, environ),
        engines,
        copy_limit_bytes=copy_limit_bytes,
        copy_part_bytes=copy_part_bytes,
    )


class _Engines:
    """All that talks to the container with one login."""

    def __init__(self, of: AzureLogin, settings: AzureSettings, access: Access) -> None:
        self.of = of
        self.settings = settings
        self.access = access
        self.wire = Wire(settings, access)
        self.objects = Objects(AzureDialect(settings, access))
        self._lock = threading.Lock()
        self._client: Client | None = None

    def client(self) -> Client:
        with self._lock:
            if self._client is None:
                self._client = Client(self.settings, self.access)
            return self._client

    def close(self) -> None:
        self.wire.close()
        if self._client is not None:
            self._client.close()


class AzureStore:
    """One container of a storage account."""

    limits = uploads.LIMITS
    lists_after = False
    small_write_bytes = SMALL_WRITE_BYTES
    call_memory_bytes = CALL_MEMORY_BYTES
    copies_parts = False

    def __init__(
        self,
        logins: AzureLogins,
        engines: Callable[[AzureLogin], _Engines],
        *,
        copy_limit_bytes: int,
        copy_part_bytes: int,
    ) -> None:
        self._logins = logins
        self._made = engines
        self._copy_limit_bytes = copy_limit_bytes
        self._copy_part_bytes = copy_part_bytes
        self._lock = threading.Lock()
        self._renew_at_seconds = 0.0
        self._engines = engines(logins.current())
        settings = self._engines.settings
        self.connection = settings.connection
        self.prefix = settings.prefix
        self.destination = settings.container_url

    def pages(self, prefix: str, *, after: str = "") -> Iterator[list[Listed]]:
        return pages_after(listing.pages(self._ask, prefix), after)

    def stat(self, key: Key) -> Stat:
        return self._with_login(lambda engines: _stat(engines, key))

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
            engine = engines.objects if engines.objects.takes(key) else engines.wire
            try:
                return engine.read_into(key, window, at, etag, digest)
            except SourceChangedError:
                _stat(engines, key)  # of one that is gone, a condition may be said to have failed
                raise

        return self._with_login(read)

    def straight(self) -> None:
        """Only its own engine reads it."""

    def write(
        self,
        key: Key,
        window: Window,
        attributes: Attributes,
        *,
        only_if_absent: bool = False,
        replacing: ETag | None = None,
    ) -> ETag:
        check_writable(key, self.connection)

        def put(engines: _Engines) -> ETag:
            is_plain = not engines.settings.write_headers and engines.objects.takes(key)
            engine = (
                engines.objects
                if is_plain and window.size_bytes <= MOST_PUT_BYTES
                else engines.wire
            )
            return engine.put(
                key, window, attributes, only_if_absent=only_if_absent, replacing=replacing
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
        check_writable(target, self.connection)

        def copy(engines: _Engines) -> ETag:
            found = _stat(engines, source)
            if found.etag != etag:
                raise SourceChangedError(
                    f"{source!r} is another object by now", connection=self.connection, key=source
                )
            arguments = (engines.settings, engines.access, found, target, attributes)
            is_small = found.size_bytes <= self._copy_limit_bytes
            conditional = only_if_absent or replacing is not None
            # A refused copy doesn't tell which of the two it was that isn't as expected; a refused list does.
            if is_small and not conditional and copies.keeps_headers(found, target, attributes):
                return copies.copy_whole(engines.wire, *arguments)
            return copies.copy_by_parts(
                engines.wire,
                engines.client(),
                *arguments,
                part_bytes=self._copy_part_bytes,
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
        part_bytes: int,  # noqa: ARG002  # blocks may differ
        only_if_absent: bool = False,  # noqa: ARG002  # said to finish
        replacing: ETag | None = None,  # noqa: ARG002  # said to finish
    ) -> str:
        check_writable(key, self.connection)
        return self._with_login(lambda engines: uploads.begin(engines.client(), key, attributes))

    def send_part(self, key: Key, upload_id: str, number: int, window: Window) -> Part:
        return self._with_login(
            lambda engines: uploads.send_part(engines.client(), key, upload_id, number, window),
        )

    def sent_parts(self, key: Key, upload_id: str) -> list[Part]:
        return self._with_login(
            lambda engines: uploads.sent_parts(engines.client(), key, upload_id)
        )

    def copy_part(
        self, source: Key, etag: ETag, key: Key, upload_id: str, number: int, span: Span
    ) -> Part:
        """Not asked of it: a block's name holds the sum of its bytes, which would have to be read."""
        raise NotImplementedError

    def finish(
        self,
        key: Key,
        upload_id: str,
        parts: list[Part],
        *,
        only_if_absent: bool = False,
        replacing: ETag | None = None,
    ) -> ETag:
        return self._with_login(
            lambda engines: uploads.finish(
                engines.client(),
                key,
                upload_id,
                parts,
                only_if_absent=only_if_absent,
                replacing=replacing,
            )
        )

    def abandon(self, key: Key, upload_id: str) -> None:
        """
        As the contract has it, but for the bytes: Azure lets nobody drop blocks; they end a week after the last
        was brought, or when the object is written.
        """
        self._with_login(lambda engines: uploads.abandon(engines.client(), key, upload_id))

    def open_uploads(self, prefix: str) -> list[OpenUpload]:
        """As the contract has it. Of keys that have an object already, only that of ``prefix`` itself is asked."""
        keys = {*listing.uncommitted(self._ask, prefix), *([Key(prefix)] if prefix else [])}
        return self._with_login(
            lambda engines: uploads.open_uploads(engines.client(), sorted(keys))
        )

    def made_of(self, key: Key, parts: list[Part]) -> ETag | None:
        return self._with_login(lambda engines: uploads.made_of(engines.client(), key, parts))

    def part_etag(self, window: Window) -> ETag | None:
        return ETag(checksums.of_window(checksums.MD5, window))

    def has_content(self, listed: Listed, window: Window, part_bytes: int) -> bool:  # noqa: ARG002  # no part tells
        if listed.size_bytes != window.size_bytes or listed.checksum is None:
            return False
        digest = checksums.of_window(checksums.MD5, window)
        return checksums.checksum(checksums.MD5, digest) == listed.checksum

    def same_content(self, key: Key, etag: ETag, window: Window, part_bytes: int) -> bool:  # noqa: ARG002  # blocks tell
        try:
            found = self.stat(key)
        except SourceMissingError:
            return False
        if found.etag != etag or found.size_bytes != window.size_bytes:
            return False
        if found.checksum is not None:
            digest = checksums.of_window(checksums.MD5, window)
            return checksums.checksum(checksums.MD5, digest) == found.checksum
        return self._with_login(
            lambda engines: uploads.same_content(engines.client(), key, etag, window)
        )

    @property
    def login_source(self) -> str:
        return self._engines.settings.login

    def close(self) -> None:
        self._engines.close()

    def _ask(self, query: Mapping[str, str]) -> bytes:
        return self._with_login(lambda engines: engines.wire.call("GET", "", query).body)

    def _current(self) -> _Engines:
        login = self._logins.current()
        if login is self._engines.of or login == self._engines.of:
            return self._engines
        with self._lock:
            if login != self._engines.of:
                # The engines before go when the calls that still use them are done.
                self._engines = self._made(login)
            return self._engines

    def _with_login(self, action: Callable[[_Engines], T]) -> T:
        engines = self._current()
        try:
            return action(engines)
        except CredentialsError:
            renewed = self._renewed(engines)
            if renewed is None:
                raise
        return action(renewed)

    def _renewed(self, refused: _Engines) -> _Engines | None:
        """Engines with another login than the refused one: it was replaced, or its token ended before its time."""
        self._logins.refreshed()
        current = self._current()
        if current is not refused:
            return current
        with self._lock:
            if self._engines is not refused:
                return self._engines
            now_seconds = time.monotonic()
            if not refused.of.takes_tokens or now_seconds < self._renew_at_seconds:
                return None
            self._renew_at_seconds = now_seconds + RENEW_EVERY_SECONDS
            self._engines = self._made(refused.of)
            return self._engines


def _stat(engines: _Engines, key: Key) -> Stat:
    headers = engines.wire.call("HEAD", key).headers
    if headers.get(f"{META}{listing.FOLDER}", "").lower() == "true":
        raise SourceMissingError(
            f"{key!r} is a directory, no object", connection=engines.settings.connection, key=key
        )
    return Stat(
        key,
        int(headers.get("content-length", "0")),
        etag_of(headers),
        parsedate_to_datetime(headers["last-modified"]).timestamp(),
        attributes_of(headers),
        archived=headers.get("x-ms-access-tier") == listing.ARCHIVE,
        checksum=checksum_of(headers.get("content-md5")),
    )
