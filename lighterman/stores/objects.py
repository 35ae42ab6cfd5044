"""
obstore carries the bytes, for every cloud in the same way: ranged reads into the window of an open file, and
writes of small objects. What differs from cloud to cloud is a ``Dialect``.
"""

import os
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final, Protocol

from lighterman.errors import (
    ConditionFailedError,
    ConfigurationError,
    LightermanError,
    SourceChangedError,
    TransientError,
)
from lighterman.stores.contract import Attributes, Digest, ETag, Key, Window
from lighterman.stores.keys import obstore_takes
from lighterman.stores.windows import CHUNK_BYTES, read_window, write_at

if TYPE_CHECKING:
    from obstore.store import ObjectStore

MOST_PUT_BYTES: Final = 1024 * 1024
"""obstore takes a body as one buffer: what is larger is streamed by the cloud's own SDK instead."""
RETRIES: Final = {
    "max_retries": 2,
    "retry_timeout": timedelta(seconds=10),
    "backoff": {
        "init_backoff": timedelta(milliseconds=100),
        "max_backoff": timedelta(seconds=1),
        "base": 2,
    },
}
"""obstore's ``retry_config``: few and quick, since whoever calls owns the attempts."""


class Dialect(Protocol):
    """How one bucket is opened by obstore, and how its cloud says things."""

    connection: str
    endpoint: str
    foreign_variables: tuple[str, ...]
    """Variables that obstore would take, whatever it is told: none of them is a setting of ours."""

    def open(self) -> "ObjectStore":
        """The bucket. Called once, at the first need."""
        ...

    def pin(self, etag: ETag) -> dict[str, Any]:
        """Options of obstore's ``get`` that read this version and no other."""
        ...

    def require_pinned(self, result: Mapping[str, Any], etag: ETag, key: Key) -> None:
        """``SourceChangedError`` where what ``get`` answers says that it is another version."""
        ...

    def replacing(self, etag: ETag) -> dict[str, str]:
        """Obstore's ``mode`` of a ``put`` that replaces this version and no other."""
        ...

    def etag(self, result: Mapping[str, Any]) -> ETag:
        """The version that a ``put`` made."""
        ...

    def to_fields(self, attributes: Attributes, key: Key) -> dict[str, str]:
        """Attributes, as obstore names them, of an object that is written."""
        ...

    def from_fields(self, fields: Mapping[str, str]) -> Attributes:
        """What those of an object that was read say; their names are in lower case."""
        ...

    def meaning(
        self, error: Exception, key: Key, on_condition: type[LightermanError]
    ) -> LightermanError:
        """What an error of obstore's is to the caller; a condition that failed is ``on_condition``."""
        ...


class Relay:
    """
    A credential provider for obstore, which would make a text of the login's own error: it is kept here,
    and raised as it was.
    """

    def __init__(self, provide: Callable[[], Any]) -> None:
        self._provide = provide
        self._error: LightermanError | None = None

    def __call__(self) -> Any:
        try:
            given = self._provide()
        except LightermanError as error:
            self._error = error
            raise
        self._error = (
            None  # of an attempt that was made again: what fails now, fails for another reason
        )
        return given

    def taken(self) -> LightermanError | None:
        """The login's error, once."""
        error, self._error = self._error, None
        return error


class Objects:
    """One bucket through obstore. Safe to share among threads."""

    def __init__(self, dialect: Dialect) -> None:
        self._dialect = dialect
        self._lock = threading.Lock()
        self._store: ObjectStore | None = None

    def takes(self, key: Key) -> bool:
        """Whether this can carry the object of that key; else the cloud's own interface must."""
        return not _is_lost and obstore_takes(key)

    def read_into(
        self, key: Key, window: Window, at: int, etag: ETag, digest: Digest | None
    ) -> Attributes:
        """As the store's ``read_into``."""
        import obstore

        options = self._dialect.pin(etag)
        if window.size_bytes:
            options["range"] = (at, at + window.size_bytes)
        store = self._opened()
        done = 0
        try:
            result = obstore.get(store, key, options=options)  # type: ignore[arg-type]  # a TypedDict
            self._dialect.require_pinned(result.meta, etag, key)
            attributes = result.attributes
            if window.size_bytes:
                for chunk in result.stream(min_chunk_size=CHUNK_BYTES):
                    view = memoryview(chunk)
                    if digest is not None:
                        digest.update(view)
                    done += write_at(window.descriptor, view, window.start + done)
        except LightermanError:
            raise
        except (
            Exception
        ) as error:  # obstore's errors have no common base: OSError, ValueError, its own
            raise self._dialect.meaning(error, key, SourceChangedError) from error
        if done < window.size_bytes:
            raise cut_short(self._dialect, key, at + done)
        return self._dialect.from_fields(
            {name.lower(): value for name, value in attributes.items()}
        )

    def put(
        self,
        key: Key,
        window: Window,
        attributes: Attributes,
        *,
        only_if_absent: bool,
        replacing: ETag | None,
    ) -> ETag:
        """As the store's ``write``, of at most ``MOST_PUT_BYTES``."""
        data = read_window(window)
        return self._dialect.etag(
            self.put_bytes(
                key, data, attributes, only_if_absent=only_if_absent, replacing=replacing
            )
        )

    def put_bytes(
        self,
        key: Key,
        data: bytes,
        attributes: Attributes,
        *,
        only_if_absent: bool,
        replacing: ETag | None,
    ) -> Mapping[str, Any]:
        """What the store answers to such a write: ``e_tag`` and ``version``."""
        import obstore

        store = self._opened()
        mode: Any = "create" if only_if_absent else "overwrite"
        if replacing is not None:
            mode = self._dialect.replacing(replacing)
        try:
            return obstore.put(
                store,
                key,
                data,
                attributes=self._dialect.to_fields(attributes, key),
                mode=mode,
                use_multipart=False,
            )
        except (
            Exception
        ) as error:  # obstore's errors have no common base: OSError, ValueError, its own
            raise self._dialect.meaning(error, key, ConditionFailedError) from error

    def _opened(self) -> "ObjectStore":
        with self._lock:
            if self._store is None:
                self._store = self._open()
            return self._store

    def _open(self) -> "ObjectStore":
        dialect = self._dialect
        try:
            with _hidden(dialect.foreign_variables):
                return dialect.open()
        except (
            Exception
        ) as error:  # obstore's errors have no common base: OSError, ValueError, its own
            raise ConfigurationError(
                f"connection {dialect.connection!r} to {dialect.endpoint} can't be opened",
                hint="check the bucket's name, options.endpoint, options.proxy and the CA bundle",
                connection=dialect.connection,
            ) from error


_environment: Final = threading.Lock()
_is_lost = False
"""Whether obstore's threads are another process's: a fork copies none, and a call would wait for them for ever."""


def _forked() -> None:
    global _is_lost  # noqa: PLW0603  # one process has one fork behind it
    _is_lost = "obstore" in sys.modules
    _environment.release()


# Who forks finds the environment whole, and the lock free.
os.register_at_fork(
    before=_environment.acquire, after_in_parent=_environment.release, after_in_child=_forked
)


@contextmanager
def _hidden(names: tuple[str, ...]) -> Iterator[None]:
    with _environment:
        kept = {name: os.environ.pop(name) for name in names if name in os.environ}
        try:
            yield
        finally:
            os.environ.update(kept)


class _Named(Protocol):
    @property
    def connection(self) -> str: ...
    @property
    def endpoint(self) -> str: ...


def cut_short(where: _Named, key: str, position: int) -> TransientError:
    """Fewer bytes of an object came than were asked for."""
    return TransientError(
        f"the body of {key!r} from {where.endpoint} ended at byte {position}",
        connection=where.connection,
        key=key,
    )
