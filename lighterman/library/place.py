"""
``connect``: a connection, opened for a program. The two jobs of the command line do the work: a download is
an init, an upload a sync; they are imported with the first of each.
"""

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from types import TracebackType
from typing import Any, Final, Self

from lighterman import log
from lighterman.connections.catalog import find_connection
from lighterman.connections.model import Connection
from lighterman.errors import ConfigurationError, UntrustedDataError
from lighterman.library.line import PART_THREADS, Line
from lighterman.library.told import Entry, Transferred
from lighterman.stores import open_store
from lighterman.transfer.settings import TransferSettings

WORKERS: Final = 32
"""Requests at once: enough for a local store's whole rate, few beside a host program's own threads."""
MOST_MEMORY_BYTES: Final = 128 * 1024 * 1024
LEAST_MEMORY_BYTES: Final = 16 * 1024 * 1024


def connect(
    name_or_uri: str,
    *,
    catalog: str | os.PathLike[str] | None = None,
    environ: Mapping[str, str] | None = None,
    workers: int = WORKERS,
    memory_bytes: int | None = None,
    retry_seconds: float = 300.0,
    stall_seconds: float = 60.0,
) -> "Place":
    """
    The place that a connection's name, or a URI, stands for.

    ``catalog`` is the file of the connections; without it the first found counts: ``$LIGHTERMAN_CATALOG``,
    ``/etc/lighterman/connections.yaml``, ``$POLYAXON_CONNECTIONS_CATALOG``. ``environ`` is where credentials,
    proxies and these variables come from, if not the process's environment. ``workers`` requests run at once,
    at most; their buffers hold ``memory_bytes`` together: by default 128 MiB, or half of the container's limit
    where that is less. Transient trouble is retried for ``retry_seconds``; a transfer without a byte for
    ``stall_seconds`` is cut, and retried.

    Nothing is asked of the store yet: a wrong bucket or a wrong key shows at the first call.
    ``ConfigurationError`` for an unknown name and for what the catalog says wrong, ``CredentialsError`` for a
    login of which a part is missing.
    """
    if workers < 1:
        raise ConfigurationError(f"workers={workers}: nobody would work", hint="give 1 or more")
    log.to_standard_logging()
    again = None
    if environ is None:
        environ = os.environ
        again = partial(
            connect,
            name_or_uri,
            catalog=catalog,
            workers=workers,
            memory_bytes=memory_bytes,
            retry_seconds=retry_seconds,
            stall_seconds=stall_seconds,
        )
    connection = find_connection(None if catalog is None else os.fspath(catalog), environ)(
        name_or_uri
    )
    settings = TransferSettings(
        memory_bytes=_budget_bytes(memory_bytes),
        retry_seconds=retry_seconds,
        stall_seconds=stall_seconds,
    )
    return Place(partial(_line, connection, environ, settings, workers), again)


def _line(
    connection: Connection, environ: Mapping[str, str], settings: TransferSettings, workers: int
) -> Line:
    store = open_store(connection, environ, settings, concurrency=workers + PART_THREADS)
    return Line(connection, environ, store, settings, workers)


def _budget_bytes(asked: int | None) -> int:
    if asked is None:
        from lighterman.cgroup import memory_limit_bytes

        limit = memory_limit_bytes()
        most = MOST_MEMORY_BYTES if limit is None else min(MOST_MEMORY_BYTES, limit // 2)
        return max(LEAST_MEMORY_BYTES, most)
    if asked < LEAST_MEMORY_BYTES:
        raise ConfigurationError(
            f"memory_bytes={asked} are too few to move a file",
            hint=f"give {LEAST_MEMORY_BYTES} or more",
        )
    return asked


class Place:
    """
    One opened connection. Every path in it is relative to the connection's own root, with ``/``, and exact:
    the directory ``model`` is never ``model-hf``. Safe to share among threads, and with forked processes, in
    each of which it is opened anew at the first call. Pickled, it takes its connection's name along, never its
    login. Close it, or use it as a context; after that it raises ``ValueError``.

    What goes wrong is a :class:`lighterman.LightermanError` that says what, where, and how to mend it.
    """

    def __init__(
        self, open_line: Callable[[], Line], again: "Callable[[], Place] | None" = None
    ) -> None:
        line = open_line()
        self._open_line = open_line
        self._again = again
        # A forked process leaves its parent's line alone: sockets, locks and threads of it are the parent's.
        self._lines = {os.getpid(): line}
        self._is_closed = False
        self.name = line.connection.name
        """The connection's name, or the URI without what is secret in it."""

    def upload_file(self, path: str | os.PathLike[str], key: str) -> Transferred:
        """
        Bring one local file to ``key``, over what is there. The object is one state that the file had: it is
        read from one descriptor, and one that changes meanwhile is sent anew, until it rests. A large one
        goes by parts.

        ``SourceMissingError`` if there is no such file, ``CannotWriteError`` if it can't be read, or the key
        not be written, ``SourceChangedError`` if it never rests, ``UntrustedDataError`` for a key that could
        not be downloaded again (``..``, an empty component).
        """
        from lighterman.library.uploads import upload_file

        return upload_file(self._opened, os.fspath(path), _safe(key))

    def upload_dir(
        self,
        path: str | os.PathLike[str],
        prefix: str = "",
        *,
        exclude: Sequence[str] = (),
        state: str | os.PathLike[str] | None = None,
    ) -> Transferred:
        """
        Bring everything below a local directory to ``prefix``, and compare the result with a listing. What
        is there with the same content, as far as its checksum tells, isn't sent. Nothing is deleted. Empty
        directories become ``dir/`` markers; symlinks to inside of the directory are followed; those to
        outside, sockets, fifos and devices are left out, and so is what ``exclude`` names (globs as in
        gitignore) and Lighterman's own ``.lighterman/``.

        With a directory for its ``state``, a call that was killed is gone on with by the next one, down to
        the parts of a large file; without one a failed call leaves nothing behind.
        """
        from lighterman.library.uploads import upload_dir

        place = None if state is None else os.fspath(state)
        prefix = prefix.strip("/")
        return upload_dir(
            self._opened, os.fspath(path), _safe(prefix) if prefix else "", tuple(exclude), place
        )

    def download_file(self, key: str, path: str | os.PathLike[str]) -> Transferred:
        """
        Bring one object to a local file, whose directory is made if it is missing. It appears at once and
        whole: fetched under another name beside it, verified, given its mode and modification time, renamed.
        Calls for one and the same file don't disturb each other.

        ``SourceMissingError`` if there is no such object, or an archived one; ``CannotWriteError`` if there is
        no space or no permission.
        """
        from lighterman.library.downloads import download_file

        return download_file(self._opened, key, os.fspath(path))

    def download_dir(self, prefix: str, path: str | os.PathLike[str]) -> Transferred:
        """
        Bring everything below ``prefix`` (``""``: the connection's whole root) into a local directory, which
        is made if it is missing. All is looked at before the first byte: a key that can't be placed inside
        is refused by name (``UntrustedDataError``), as is what doesn't fit (``CannotWriteError``).

        A second call does only what is left: whole files are recognised, half-fetched large ones gone on
        with. What that needs is kept in ``.lighterman/`` in the directory. One call at a time fills a
        directory: another one raises ``TransientError``. ``SourceMissingError`` if there is nothing below
        the prefix.
        """
        from lighterman.library.downloads import download_dir

        return download_dir(self._opened, prefix, os.fspath(path))

    def list(self, prefix: str = "") -> Iterator[Entry]:
        """
        Every object below ``prefix``, in the order of the keys, in constant memory. An absent prefix has
        none. Directory markers are listed as the objects that they are.
        """
        from lighterman.library.downloads import listed

        return listed(self._opened, prefix)

    def close(self) -> None:
        """Let go of sockets and threads."""
        self._is_closed = True
        line = self._lines.pop(os.getpid(), None)
        if line is not None:
            line.store.close()

    @property
    def _opened(self) -> Line:
        if self._is_closed:
            raise ValueError(f"the place {self.name!r} is closed")
        process = os.getpid()
        return self._lines.get(process) or self._lines.setdefault(process, self._open_line())

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<Place {self.name!r}{', closed' if self._is_closed else ''}>"

    def __reduce__(self) -> tuple[Any, ...]:
        if self._again is None:
            raise TypeError(
                "a place whose login came from a given environ isn't pickled: "
                "call connect in the other process"
            )
        return self._again, ()


def _safe(key: str) -> str:
    """A key as it may be written. Whatever is there may be read; what is written must come back."""
    from initializer.keys import why_unsafe

    why = why_unsafe(key) if key and not key.endswith("/") else "it names no file"
    if not why and not _is_utf8(key):
        why = "keys are UTF-8"
    if why:
        raise UntrustedDataError(
            f"{key!a} is no key to write to: {why}",
            hint="write a plain relative path, like runs/1/model.pt",
            key=ascii(key),
        )
    return key


def _is_utf8(key: str) -> bool:
    try:
        key.encode()
    except UnicodeEncodeError:
        return False
    return True
