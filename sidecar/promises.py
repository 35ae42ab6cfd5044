"""
Whether a store keeps its word: ``--on-conflict fail`` stands on conditions of writes, which some stores take and
forget. They are tried on a scratch key below the prefix, which is removed again.
"""

import secrets
from collections.abc import Callable
from typing import Final, NamedTuple, TypeVar

from lighterman.errors import (
    BucketMissingError,
    ConditionFailedError,
    ConfigurationError,
    LightermanError,
)
from lighterman.log import get_logger
from lighterman.stores.contract import Attributes, ETag, Key, Store
from lighterman.stores.windows import memory_window
from lighterman.transfer.retry import Attempts

T = TypeVar("T")

SCRATCH: Final = ".lighterman-probe-"
_PART_BYTES: Final = 8 << 20
"""What an upload is begun with; its only part is its last, and may be small."""


class Kept(NamedTuple):
    """Which conditions a store was seen to keep."""

    new: bool
    """A write that must not replace anything."""
    known: bool
    """A write that must replace one object alone, and does."""
    new_by_parts: bool
    known_by_parts: bool

    @property
    def broken(self) -> str:
        """What of it ``--on-conflict fail`` can't do without; ``""`` where nothing is missing."""
        if not self.new:
            return "writes that must not replace anything"
        if not self.known:
            return "writes that must replace one object alone"
        if not self.new_by_parts:
            return "uploads by parts that must not replace anything"
        return ""


def require(store: Store, prefix: str, attempts: Attempts) -> None:
    """
    ``ConfigurationError`` where the store forgets a condition that ``--on-conflict fail`` needs. Of a store that
    forgets only at the end of an upload what it was to replace, the log says so: there the object is looked at
    right before (see :func:`sidecar.conflicts.look_first`).
    """
    kept = probe(store, prefix, attempts)
    if kept.broken:
        raise ConfigurationError(
            f"the store of connection {store.connection!r} doesn't keep its word: it ignores the condition of {kept.broken}",
            hint="--on-conflict overwrite with a --to of its own for each writer, or a store that keeps conditional"
            " writes (AWS, GCS, Azure; of Ceph and MinIO a newer version)",
            connection=store.connection,
        )
    if not kept.known_by_parts:
        get_logger().warning(
            "sidecar.condition_ignored",
            connection=store.connection,
            hint="a large object is compared right before it is replaced: what another writes in that instant is lost",
        )


def probe(store: Store, prefix: str, attempts: Attempts) -> Kept:
    """Try the conditions. Raises what is no answer to them: credentials, a bucket that isn't there, trouble."""
    name = f"{SCRATCH}{secrets.token_hex(8)}"
    scratch = _Scratch(store, Key(f"{prefix}/{name}" if prefix else name), attempts)
    try:
        return scratch.probe()
    finally:
        scratch.remove()


class _Scratch:
    """One key and what is tried on it."""

    def __init__(self, store: Store, key: Key, attempts: Attempts) -> None:
        self._store = store
        self._key = key
        self._attempts = attempts
        self._uploads: list[str] = []

    def probe(self) -> Kept:
        first = self._write(b"1")
        new = self._is_refused(lambda: self._write(b"2", only_if_absent=True))
        if not new:
            return Kept(new=False, known=False, new_by_parts=False, known_by_parts=False)
        try:
            self._write(b"3", replacing=first)
        except (ConditionFailedError, ConfigurationError):
            known = False
        else:
            known = self._is_refused(lambda: self._write(b"4", replacing=first))
        return Kept(
            new=new,
            known=known,
            new_by_parts=self._is_refused(lambda: self._by_parts(only_if_absent=True)),
            known_by_parts=self._is_refused(lambda: self._by_parts(replacing=first)),
        )

    def remove(self) -> None:
        """Take it away again. A login that may only write leaves it, and the log says so."""
        try:
            for upload_id in self._uploads:
                self._call("abandon", lambda upload_id=upload_id: self._drop(upload_id))  # type: ignore[misc]  # a loop's own
            self._call("delete", lambda: self._store.delete(self._key))
        except LightermanError as error:
            get_logger().warning("sidecar.probe_left", key=self._key, error=error.message)

    def _drop(self, upload_id: str) -> None:
        self._store.abandon(self._key, upload_id)

    def _is_refused(self, attempt: Callable[[], object]) -> bool:
        """Whether a condition that doesn't hold is one that fails. A store that doesn't know it is none."""
        try:
            attempt()
        except ConditionFailedError:
            return True
        except BucketMissingError:
            raise
        except ConfigurationError:  # 400, 501
            return False
        return False

    def _write(
        self, content: bytes, *, only_if_absent: bool = False, replacing: ETag | None = None
    ) -> ETag:
        with memory_window(content) as window:
            return self._call(
                "put",
                lambda: self._store.write(
                    self._key,
                    window,
                    Attributes(),
                    only_if_absent=only_if_absent,
                    replacing=replacing,
                ),
            )

    def _by_parts(self, *, only_if_absent: bool = False, replacing: ETag | None = None) -> ETag:
        store, key = self._store, self._key
        with memory_window(b"5") as window:
            upload_id = self._call(
                "begin",
                lambda: store.begin(
                    key,
                    Attributes(),
                    part_bytes=_PART_BYTES,
                    only_if_absent=only_if_absent,
                    replacing=replacing,
                ),
            )
            self._uploads.append(upload_id)
            part = self._call("part 1 of", lambda: store.send_part(key, upload_id, 1, window))
            etag = self._call(
                "finish",
                lambda: store.finish(
                    key, upload_id, [part], only_if_absent=only_if_absent, replacing=replacing
                ),
            )
        self._uploads.remove(upload_id)
        return etag

    def _call(self, what: str, operation: Callable[[], T]) -> T:
        return self._attempts.call(f"{what} {self._key}", operation)
