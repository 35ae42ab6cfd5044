"""Objects that a check writes to see whether it may. Whatever ends the check, they are taken away again."""

import contextlib
import os
import re
import secrets
from collections.abc import Callable, Iterator
from typing import Final, NamedTuple, TypeVar

from lighterman.clock import Clock
from lighterman.errors import (
    ConditionFailedError,
    ConfigurationError,
    LightermanError,
    Retry,
    UntrustedDataError,
)
from lighterman.stores.contract import Attributes, ETag, Key, Listed, Part, Store, Window
from lighterman.transfer.retry import Attempts

T = TypeVar("T")

NAME: Final = ".lighterman-check-"
STALE_SECONDS: Final = 3600.0
"""So old a probe is of a check that was killed: none takes a tenth of that."""
_PROBE: Final = re.compile(re.escape(NAME) + r"[0-9a-f]{16}(?:-parts)?")
_CONTENT: Final = b"lighterman check: a probe that may be deleted\n"
_MTIME_NS: Final = 1_000_000_000_123_456_789
"""A time that no store would make up."""


class Parts(NamedTuple):
    """How an upload by parts went."""

    size_bytes: int
    rate_bytes_per_second: float
    """Of its larger part, sent alone."""


@contextlib.contextmanager
def memory_file(content: bytes = b"", size_bytes: int | None = None) -> Iterator[Window]:
    """
    A window on a file in memory: of this content, or of so many zero bytes, which take no memory. So that
    checks need no directory to write to.
    """
    descriptor = os.memfd_create("lighterman-check", os.MFD_CLOEXEC)
    try:
        if size_bytes is None:
            os.write(descriptor, content)
        else:
            os.ftruncate(descriptor, size_bytes)
        yield Window(descriptor, 0, len(content) if size_bytes is None else size_bytes)
    finally:
        os.close(descriptor)


class Probe:
    """One small object and one that is made of parts, below one prefix."""

    def __init__(self, store: Store, prefix: str, attempts: Attempts, clock: Clock) -> None:
        self._store = store
        self._attempts = attempts
        self._clock = clock
        self._below = f"{prefix}/" if prefix else ""
        self.key = Key(f"{self._below}{NAME}{secrets.token_hex(8)}")
        self._by_parts = Key(f"{self.key}-parts")
        self._upload_ids: list[str] = []
        self._etag = ETag("")
        self._keys: list[Key] = []
        """Those that may be there now."""

    @property
    def left(self) -> list[str]:
        """What may be there now by this probe's doing: keys, and an upload by its key."""
        return [*self._keys, *(f"an open upload of {self._by_parts}" for _ in self._upload_ids)]

    def sweep(self) -> int:
        """Take away what checks that were killed left here long ago; how many objects and uploads that were."""
        before_seconds = self._clock.wall() - STALE_SECONDS
        stale = [
            listed.key
            for page in self._store.pages(f"{self._below}{NAME}")
            for listed in page
            if listed.modified_seconds < before_seconds and self._is_probe(listed.key)
        ]
        for key in stale:
            self._delete(key)
        return len(stale) + self._sweep_uploads(before_seconds)

    def _sweep_uploads(self, before_seconds: float) -> int:
        count = 0
        for upload in self._store.open_uploads(f"{self._below}{NAME}"):
            if upload.begun_seconds < before_seconds and self._is_probe(upload.key):
                self._store.abandon(upload.key, upload.upload_id)
                count += 1
        return count

    def _is_probe(self, key: Key) -> bool:
        return _PROBE.fullmatch(key.removeprefix(self._below)) is not None

    def write(self) -> int:
        """Write the small object, and find it in the listing; its size."""
        attributes = Attributes("text/plain", 0o640, _MTIME_NS)
        with memory_file(_CONTENT) as window, self._making(self.key):
            self._etag = self._call(
                "put", self.key, lambda: self._store.write(self.key, window, attributes)
            )
        self._expect(self.key, len(_CONTENT))
        return len(_CONTENT)

    def read_back(self) -> bool:
        """Read it back, byte for byte (65 if it is another); whether it kept its time of modification."""
        with memory_file(size_bytes=len(_CONTENT)) as window:
            attributes = self._call(
                "get",
                self.key,
                lambda: self._store.read_into(self.key, window, at=0, etag=self._etag),
            )
            if os.pread(window.descriptor, len(_CONTENT) + 1, 0) != _CONTENT:
                raise UntrustedDataError(
                    f"{self.key!r} came back with other bytes than it was written with",
                    hint="look at what stands between here and the store: a proxy, a gateway",
                    connection=self._store.connection,
                    key=self.key,
                )
        return attributes.mtime_ns == _MTIME_NS

    def is_conditional(self) -> bool:
        """Whether the store keeps the condition of a write that must not replace anything."""
        with memory_file(_CONTENT) as window:
            try:
                # It is there, so that no answer that was lost makes the next attempt mean something else.
                self._call(
                    "put",
                    self.key,
                    lambda: self._store.write(self.key, window, Attributes(), only_if_absent=True),
                )
            except ConditionFailedError:
                return True
            except ConfigurationError:  # 400, 501: it doesn't know the condition
                return False
        return False

    def send_parts(self) -> Parts:
        """Make an object of two parts, the first of the least size that there is, and find it in the listing."""
        part_bytes = self._store.limits.least_part_bytes
        key = self._by_parts
        with memory_file(size_bytes=part_bytes + 1) as window:
            upload_id = self._begin(part_bytes)
            begun = self._clock.monotonic()
            first = self._send(upload_id, 1, window._replace(size_bytes=part_bytes))
            took_seconds = self._clock.monotonic() - begun
            last = self._send(upload_id, 2, Window(window.descriptor, part_bytes, 1))
        with self._making(key):
            self._call("finish", key, lambda: self._store.finish(key, upload_id, [first, last]))
        self._upload_ids.clear()
        self._expect(key, part_bytes + 1)
        return Parts(part_bytes + 1, part_bytes / max(took_seconds, 1e-6))

    def remove(self) -> LightermanError | None:
        """Take all of it away; the first error that kept something there (``left`` tells what)."""
        failure: LightermanError | None = None
        for upload_id in list(self._upload_ids):
            try:
                self._abandon(upload_id)
                self._upload_ids.remove(upload_id)
            except LightermanError as error:
                failure = failure or error
        for key in list(self._keys):
            try:
                self._delete(key)
                self._keys.remove(key)
            except LightermanError as error:
                failure = failure or error
        return failure

    def _begin(self, part_bytes: int) -> str:
        key = self._by_parts
        upload_id = self._call(
            "begin", key, lambda: self._store.begin(key, Attributes(), part_bytes=part_bytes)
        )
        self._upload_ids.append(upload_id)
        return upload_id

    def _send(self, upload_id: str, number: int, window: Window) -> Part:
        key = self._by_parts
        return self._call(
            f"part {number} of",
            key,
            lambda: self._store.send_part(key, upload_id, number, window),
        )

    def _abandon(self, upload_id: str) -> None:
        key = self._by_parts
        self._call("abandon", key, lambda: self._store.abandon(key, upload_id))

    def _delete(self, key: Key) -> None:
        self._call("delete", key, lambda: self._store.delete(key))

    @contextlib.contextmanager
    def _making(self, key: Key) -> Iterator[None]:
        """From here on the key may be there; not, if the store refused to make it."""
        self._keys.append(key)
        try:
            yield
        except LightermanError as error:
            if error.retry is Retry.NEVER:
                self._keys.remove(key)
            raise

    def _expect(self, key: Key, size_bytes: int) -> None:
        listed = self._call("list", key, lambda: self._listed(key))
        if listed is None or listed.size_bytes != size_bytes:
            said = (
                "isn't in the listing" if listed is None else f"has {listed.size_bytes} bytes there"
            )
            raise UntrustedDataError(
                f"{key!r} was written with {size_bytes} bytes, and {said}",
                hint="the sidecar compares what it wrote with a listing: such a store can't be relied on",
                connection=self._store.connection,
                key=key,
            )

    def _listed(self, key: Key) -> Listed | None:
        for page in self._store.pages(key):
            for listed in page:
                if listed.key == key:
                    return listed
        return None

    def _call(self, what: str, key: Key, operation: Callable[[], T]) -> T:
        return self._attempts.call(f"{what} {key}", operation)
