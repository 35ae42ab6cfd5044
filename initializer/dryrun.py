"""``lighterman init --dry-run``: the plan, printed. Nothing is made, written or fetched."""

from __future__ import annotations

import contextlib
import errno
import io
import json
import os
import sys
import tempfile
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Final, Self

from initializer.keys import STATE_DIRECTORY
from initializer.plan import Action, Fetch, Keep, MakeDirectory, Placed
from initializer.space import Needs, existing
from lighterman.errors import CannotWriteError
from lighterman.log import get_logger
from lighterman.secret import scrub
from lighterman.text import human_bytes, one_line

if TYPE_CHECKING:
    import sqlite3

IN_MEMORY_BYTES: Final = 8 * 1024 * 1024
_CHUNK_BYTES: Final = 64 * 1024
_WIDTH: Final = 10
"""Of a size in the table."""


def require_place(root: str) -> CannotWriteError | None:
    """
    What would keep a run from filling the destination ``root``, looked at without trying: raised where there
    is no directory to be, returned where it only can't be written.
    """
    shown = root or "/"
    there = existing(shown)
    state_directory = f"{root}/{STATE_DIRECTORY}"
    if not os.path.isdir(there):
        raise _cannot_write(shown, there, "it is no directory")
    if os.path.islink(state_directory):
        raise _cannot_write(shown, state_directory, "a symlink")
    for path in (there, state_directory):
        if os.path.exists(path) and not os.access(path, os.W_OK | os.X_OK):
            is_read_only = os.statvfs(path).f_flag & os.ST_RDONLY
            return _cannot_write(
                shown, path, os.strerror(errno.EROFS if is_read_only else errno.EACCES)
            )
    return None


def _cannot_write(shown: str, path: str, problem: str) -> CannotWriteError:
    return CannotWriteError(
        f"can't write to {shown}: {path}: {problem}",
        hint="give a directory that this container's user may write to",
    )


def temporary_directory() -> tempfile.TemporaryDirectory[str]:
    """Where a listing may be sorted. ``CannotWriteError`` where nothing may be written at all."""
    try:
        return tempfile.TemporaryDirectory(prefix="lighterman-")
    except OSError as error:
        raise CannotWriteError(
            f"can't make a temporary directory: {error.strerror}",
            hint="set TMPDIR to a directory that this container's user may write to",
        ) from error


class SeenState:
    """The notes of an earlier run, only looked at: as :class:`initializer.state.State`, which may mend them."""

    def __init__(self, root: str) -> None:
        self._base_length = len(root) + 1
        self._path = f"{root}/{STATE_DIRECTORY}/init.sqlite3"
        self._is_lost = os.path.islink(self._path) or not os.path.isfile(self._path)
        self._database: sqlite3.Connection | None = None

    def placed(self, path: str) -> Placed | None:
        """What is noted of the file at an absolute path below the root."""
        if self._is_lost:
            return None
        import sqlite3
        from urllib.parse import quote

        try:
            if self._database is None:
                self._database = sqlite3.connect(
                    f"file:{quote(self._path)}?vfs=unix-none&mode=ro",
                    uri=True,
                    check_same_thread=False,
                )
            row = self._database.execute(
                "select size_bytes, etag, mtime_ns from placed where path = ?",
                (os.fsencode(path[self._base_length :]),),
            ).fetchone()
        except sqlite3.Error as error:
            get_logger().warning("init.state_unreadable", path=self._path, error=str(error))
            self._is_lost = True
            return None
        return Placed(*row) if row else None

    def close(self) -> None:
        """Let it go."""
        if self._database is not None:
            self._database.close()
            self._database = None


class Shown:
    """
    The plan's lines, collected while it is made and printed when it is whole: compressed, in memory while
    they are few, then in a nameless file where temporary files go.
    """

    def __init__(self, style: str | None, connections: Sequence[str], roots: Sequence[str]) -> None:
        if style is None:
            style = "table" if sys.stdout and sys.stdout.isatty() else "json"
        self._line: Callable[[dict[str, object]], str] = _row if style == "table" else _record
        self._connections = connections
        self._made = dict.fromkeys(path for root in roots for path in _missing(root or "/"))
        self._kept = tempfile.SpooledTemporaryFile(max_size=IN_MEMORY_BYTES)  # noqa: SIM115 - closed by close
        self._is_whole = False
        self.begin()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._kept.close()

    def begin(self) -> None:
        """A plan begins, for the first time or anew."""
        self._kept.seek(0)
        self._kept.truncate()
        self._compressor = zlib.compressobj(1)
        self._counts = dict.fromkeys(("fetch", "keep", "make directory", "refuse", "missing"), 0)
        self._size_bytes = 0
        for path in self._made:
            self._take({"action": "make directory", "path": path})

    def action(self, action: Action) -> None:
        """What the plan says next."""
        match action:
            case Fetch():
                self._size_bytes += action.size_bytes
                self._take(
                    {
                        "action": "fetch",
                        "path": action.path,
                        "connection": self._connections[action.store],
                        "key": action.key,
                        "size_bytes": action.size_bytes,
                    }
                )
            case MakeDirectory():
                path = action.path.rstrip("/")
                if path not in self._made:
                    self._take({"action": "make directory", "path": path})
            case Keep():
                if not action.path.endswith("/"):
                    self._take({"action": "keep", "path": action.path, "key": action.key})
            case _:
                self._take(
                    {
                        "action": "refuse",
                        "key": action.key,
                        "reason": action.reason,
                        "code": int(action.error.exit_code),
                        "kind": action.error.kind,
                    }
                )

    def end(self, missing: Iterable[tuple[str, str]], needs: Needs) -> None:
        """The plan is whole: what is declared and isn't there, and what it takes."""
        for source, connection in missing:
            self._take({"action": "missing", "source": source, "connection": connection})
        self._write(
            {
                "action": "total",
                "files": self._counts["fetch"],
                "size_bytes": self._size_bytes,
                "kept_files": self._counts["keep"],
                "directories": self._counts["make directory"],
                "refused": self._counts["refuse"],
                "missing": self._counts["missing"],
            }
        )
        for path, need, room in needs.told():
            self._write(
                {
                    "action": "space",
                    "path": path,
                    "needed_bytes": need.size_bytes,
                    "free_bytes": room.free_bytes
                    if room.memory_bytes is None
                    else min(room.free_bytes, room.memory_bytes),
                }
            )
        self._is_whole = True

    def print_out(self) -> None:
        """Print it to stdout, secrets masked, if it came to its end."""
        if not self._is_whole:
            return
        # Whoever read it may have gone away; the report and the code don't depend on it.
        with contextlib.suppress(OSError, ValueError, AttributeError):
            if isinstance(sys.stdout, io.TextIOWrapper):  # names in an encoding that lacks them
                sys.stdout.reconfigure(errors="backslashreplace")
            for text in self._lines():
                sys.stdout.write(text)
            sys.stdout.flush()

    def _take(self, fields: dict[str, object]) -> None:
        self._counts[str(fields["action"])] += 1
        self._write(fields)

    def _write(self, fields: dict[str, object]) -> None:
        line = scrub(self._line(fields)) + "\n"
        self._keep(self._compressor.compress(line.encode()))

    def _keep(self, block: bytes) -> None:
        if not block:
            return
        try:
            self._kept.write(block)
        except OSError as error:
            raise CannotWriteError(
                f"can't keep the plan until it is whole: {error.strerror}",
                hint="set TMPDIR to a directory with space",
            ) from error

    def _lines(self) -> Iterator[str]:
        """Pieces of the text, which end anywhere: all of it is ASCII, or one character after the other."""
        self._keep(self._compressor.flush())
        self._kept.seek(0)
        expander, decoder = zlib.decompressobj(), _decoder()
        while block := self._kept.read(_CHUNK_BYTES):
            while block:
                yield decoder(expander.decompress(block, _CHUNK_BYTES))
                block = expander.unconsumed_tail
        yield decoder(expander.flush())


def _decoder() -> Callable[[bytes], str]:
    import codecs

    return codecs.getincrementaldecoder("utf-8")().decode


def _missing(path: str) -> list[str]:
    """The directories that aren't there, the outermost first."""
    missing: list[str] = []
    there = existing(path)
    while path != there:
        missing.append(path)
        path = os.path.dirname(path)
    return missing[::-1]


def _record(fields: dict[str, object]) -> str:
    return json.dumps(fields)


def _row(fields: dict[str, object]) -> str:
    return one_line(_ROWS[str(fields["action"])](fields))


def _size(value: object) -> str:
    return human_bytes(int(str(value)))


_ROWS: Final[dict[str, Callable[[dict[str, object]], str]]] = {
    "fetch": lambda one: (
        f"fetch    {_size(one['size_bytes']):>{_WIDTH}}  "
        f"{one['connection']}: {one['key']} → {one['path']}"
    ),
    "keep": lambda one: f"keep     {'':{_WIDTH}}  {one['path']}",
    "make directory": lambda one: f"mkdir    {'':{_WIDTH}}  {one['path']}",
    "refuse": lambda one: f"refuse   {'':{_WIDTH}}  {one['key']!r}: {one['reason']}",
    "missing": lambda one: f"missing  {'':{_WIDTH}}  {one['connection']}: {one['source']}",
    "total": lambda one: (
        f"total    {_size(one['size_bytes']):>{_WIDTH}}  {one['files']} files to fetch, "
        f"{one['kept_files']} kept, {one['directories']} directories to make, "
        f"{one['refused']} refused, {one['missing']} missing"
    ),
    "space": lambda one: (
        f"space    {_size(one['needed_bytes']):>{_WIDTH}}  needed at {one['path']}, "
        f"{_size(one['free_bytes'])} free"
    ),
}
