"""A bucket as a store: which engine does what, and what happens when the login changes."""

import hashlib
import threading
from collections.abc import Callable, Iterator, Mapping
from typing import Final, TypeVar

from lighterman.checksums import CRC32C, MD5, algorithm_of, checksum, new_sum, of_window
from lighterman.connections.gcs_login import GcsLogin, GcsLogins
from lighterman.connections.model import Connection
from lighterman.errors import (
    CredentialsError,
    SourceChangedError,
    SourceMissingError,
)
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
from lighterman.stores.gcs import listing, sessions, writes
from lighterman.stores.gcs.failures import TokenRefusedError
from lighterman.stores.gcs.keys import check_name
from lighterman.stores.gcs.login import Login, login_of
from lighterman.stores.gcs.objects import GcsDialect
from lighterman.stores.gcs.resources import STAT_FIELDS, Page, Resource, base64_of, resource_of
from lighterman.stores.gcs.settings import GcsSettings, configured, network_to
from lighterman.stores.gcs.uploads import LIMITS, Uploads, combined
from lighterman.stores.gcs.wire import Wire
from lighterman.stores.network import Network
from lighterman.stores.objects import MOST_PUT_BYTES, Objects
from lighterman.stores.windows import read_window
from lighterman.transfer.settings import TransferSettings

T = TypeVar("T")

SMALL_WRITE_BYTES: Final = 8 * 1024 * 1024
CALL_MEMORY_BYTES: Final = 2 * 1024 * 1024
"""A small write holds its whole body (1 MiB) and what the socket has of it; the rest streams in less."""


def open_gcs(
    connection: Connection,
    environ: Mapping[str, str],
    settings: TransferSettings,
    *,
    concurrency: int,
) -> "GcsStore":
    """The store of a ``gcs`` connection. ``ConfigurationError``, ``CredentialsError``."""

    def engines(login: GcsLogin) -> "_Engines":
        stall_seconds = settings.stall_seconds
        made = configured(
            connection, login, environ, stall_seconds=stall_seconds, concurrency=concurrency
        )

        def reach(endpoint: str) -> Network:
            return network_to(
                endpoint, connection, login, environ, stall_seconds=stall_seconds, concurrency=1
            )

        return _Engines(login, made, login_of(login, made.place, reach))

    return GcsStore(GcsLogins(connection, environ), engines)


class _Engines:
    """All that talks to the bucket with one login."""

    def __init__(self, of: GcsLogin, settings: GcsSettings, login: Login) -> None:
        self.of = of
        self.settings = settings
        self.login = login
        self.wire = Wire(settings, login)
        self.objects = Objects(GcsDialect(settings, login))

    def resource(self, key: Key) -> Resource:
        query = {"fields": STAT_FIELDS}
        return resource_of(self.wire.call("GET", self.wire.path_of(key), query, key=key).body)

    def close(self) -> None:
        self.wire.close()
        self.login.close()


class GcsStore:
    """One bucket of Google Cloud Storage."""

    limits = LIMITS
    lists_after = True
    small_write_bytes = SMALL_WRITE_BYTES
    call_memory_bytes = CALL_MEMORY_BYTES
    copies_parts = False

    def __init__(self, logins: GcsLogins, made: Callable[[GcsLogin], _Engines]) -> None:
        self._logins = logins
        self._made = made
        self._lock = threading.Lock()
        self._engines = made(logins.current())
        settings = self._engines.settings
        self.connection = settings.connection
        self.prefix = settings.prefix
        self.destination = f"{settings.endpoint}/{settings.bucket}"
        self._uploads = Uploads(settings)

    def pages(self, prefix: str, *, after: str = "") -> Iterator[list[Listed]]:
        def ask(query: dict[str, str]) -> Page:
            return self._with_login(lambda engines: listing.page(engines.wire, query))

        return listing.pages(ask, prefix, after)

    def stat(self, key: Key) -> Stat:
        return self._with_login(lambda engines: engines.resource(key).stat())

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
            if not engines.objects.takes(key):
                return _read_odd(engines, key, window, at, etag, digest)
            try:
                return engines.objects.read_into(key, window, at, etag, digest)
            except SourceMissingError as error:
                # A generation that was replaced is as absent as an object that never was.
                if engines.resource(key).generation != etag:
                    raise _changed(engines, key) from error
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
        check_name(key, self.connection)

        def put(engines: _Engines) -> ETag:
            settings = engines.settings
            is_plain = not (settings.acl or settings.kms_key or settings.anonymous)
            if is_plain and engines.objects.takes(key) and window.size_bytes <= MOST_PUT_BYTES:
                return _put_small(
                    engines,
                    key,
                    window,
                    attributes,
                    only_if_absent=only_if_absent,
                    replacing=replacing,
                )
            return writes.put(
                engines.wire,
                settings,
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
        check_name(target, self.connection)

        return self._with_login(
            lambda engines: writes.copy(
                engines.wire,
                engines.settings,
                source,
                etag,
                target,
                attributes,
                only_if_absent=only_if_absent,
                replacing=replacing,
            )
        )

    def delete(self, key: Key) -> None:
        def delete(engines: _Engines) -> None:
            try:
                engines.wire.call("DELETE", engines.wire.path_of(key), key=key)
            except SourceMissingError:
                return

        self._with_login(delete)

    def begin(
        self,
        key: Key,
        attributes: Attributes,
        *,
        part_bytes: int,
        only_if_absent: bool = False,
        replacing: ETag | None = None,
    ) -> str:
        check_name(key, self.connection)
        path = self._with_login(
            lambda engines: sessions.begin(
                engines.wire,
                engines.settings,
                key,
                attributes,
                only_if_absent=only_if_absent,
                replacing=replacing,
            )
        )
        return self._uploads.begun(path, part_bytes)

    def send_part(self, key: Key, upload_id: str, number: int, window: Window) -> Part:
        return self._uploads.send_part(self._engines.wire, key, upload_id, number, window)

    def sent_parts(self, key: Key, upload_id: str) -> list[Part]:
        return self._uploads.sent_parts(self._engines.wire, key, upload_id)

    def copy_part(
        self, source: Key, etag: ETag, key: Key, upload_id: str, number: int, span: Span
    ) -> Part:
        """Not asked of it: a session takes bytes alone."""
        raise NotImplementedError

    def finish(
        self,
        key: Key,
        upload_id: str,
        parts: list[Part],
        *,
        only_if_absent: bool = False,  # noqa: ARG002  # a session has it from its beginning
        replacing: ETag | None = None,  # noqa: ARG002  # likewise
    ) -> ETag:
        return self._with_login(
            lambda engines: self._uploads.finish(engines.wire, key, upload_id, parts)
        )

    def abandon(self, key: Key, upload_id: str) -> None:
        self._uploads.abandon(self._engines.wire, key, upload_id)

    def open_uploads(self, prefix: str) -> list[OpenUpload]:  # noqa: ARG002  # the contract's
        # GCS lists no sessions, and ends them by itself after a week.
        return []

    def made_of(self, key: Key, parts: list[Part]) -> ETag | None:
        expected = combined(parts)
        if expected is None:
            return None
        try:
            found = self.stat(key)
        except SourceMissingError:
            return None
        size_bytes = sum(part.size_bytes for part in parts)
        is_equal = (found.checksum, found.size_bytes) == (expected, size_bytes)
        return found.etag if is_equal else None

    def part_etag(self, window: Window) -> ETag | None:
        return ETag(of_window(CRC32C, window))

    def has_content(self, listed: Listed, window: Window, part_bytes: int) -> bool:  # noqa: ARG002  # the contract's
        if listed.size_bytes != window.size_bytes or listed.checksum is None:
            return False
        algorithm = algorithm_of(listed.checksum)
        return listed.checksum == checksum(algorithm, of_window(algorithm, window))

    def same_content(self, key: Key, etag: ETag, window: Window, part_bytes: int) -> bool:  # noqa: ARG002  # the contract's
        try:
            found = self._with_login(lambda engines: engines.resource(key))
        except SourceMissingError:
            return False
        is_told = found.generation == etag and int(found.size) == window.size_bytes
        # Its CRC32C, which every object has, is too short to tell.
        return is_told and found.md5_hash == base64_of(of_window(MD5, window))

    @property
    def login_source(self) -> str:
        """Where the credentials came from, never what they are."""
        settings = self._engines.settings
        absent = f", as there are none in {' and '.join(settings.empty_mounts)}"
        return settings.login + (absent if settings.empty_mounts else "")

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

    def _with_login(self, action: Callable[[_Engines], T]) -> T:
        engines = self._current()
        token = None
        try:
            token = engines.login.token()
            return action(engines)
        except CredentialsError as error:
            renewed = self._renewed(
                engines, token if isinstance(error, TokenRefusedError) else None
            )
            if renewed is None:
                raise
        return action(renewed)

    def _renewed(self, refused: _Engines, token: str | None) -> _Engines | None:
        """Engines with another login than the refused one, or with another token, where one was refused."""
        self._logins.refreshed()
        current = self._current()
        if current is not refused:
            return current
        if token is None or refused.login.renewed(token) is None:
            return None
        return refused


def _put_small(
    engines: _Engines,
    key: Key,
    window: Window,
    attributes: Attributes,
    *,
    only_if_absent: bool,
    replacing: ETag | None,
) -> ETag:
    """
    By obstore, which can send no checksum along: what the store answers is compared. Its ETag is the MD5 of
    what it has, unless the bucket encrypts with a key of its own; there CRC32C is asked for
    (https://cloud.google.com/storage/docs/hashes-etags).
    """
    data = read_window(window)
    result = engines.objects.put_bytes(
        key, data, attributes, only_if_absent=only_if_absent, replacing=replacing
    )
    etag = ETag(str(result["version"]))
    digest = hashlib.md5(data, usedforsecurity=False).hexdigest()
    if str(result["e_tag"]).strip('"') != digest:
        found = engines.resource(key)
        if found.generation == etag:
            total = new_sum(CRC32C)
            total.update(data)
            expected = checksum(CRC32C, total.hexdigest())
            writes.check(engines.settings, key, found, len(data), expected)
    return etag


def _read_odd(
    engines: _Engines, key: Key, window: Window, at: int, etag: ETag, digest: Digest | None
) -> Attributes:
    """By the JSON API, whose answers with bytes have no metadata: that is asked for besides."""
    found = engines.resource(key)
    if found.generation != etag:
        raise _changed(engines, key)
    if window.size_bytes:
        engines.wire.read_into(key, window, at, etag, digest)
    return found.stat().attributes


def _changed(engines: _Engines, key: Key) -> SourceChangedError:
    return SourceChangedError(
        f"{key!r} is another object by now", connection=engines.settings.connection, key=key
    )
