"""A filesystem with a connection's root for its own."""

import os
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, NamedTuple

from fsspec import AbstractFileSystem
from fsspec.asyn import get_loop, sync
from fsspec.implementations.dirfs import DirFileSystem


class Opened(NamedTuple):
    """The filesystem of a kind, logged in."""

    fs: AbstractFileSystem
    root: str
    """The connection's root as a path in it."""
    path_of: Callable[[str], str | None]
    """A whole URI as a path in it; ``None`` for what is no URI."""
    resolves_dots: bool = False
    """Whether ``..`` leads up in it; elsewhere it is a name like any other."""
    close: Callable[[], Awaitable[object]] | None = None
    """Lets go of its sockets, where it has any."""


class ConnectionFileSystem(DirFileSystem):  # type: ignore[misc]  # fsspec has no types
    """See :func:`lighterman.get_fs`, which makes it."""

    cachable = False

    def __init__(
        self, open_one: Callable[[], Opened], again: tuple[str, dict[str, Any]] | None
    ) -> None:
        opened = open_one()
        self._open_one = open_one
        # A forked process leaves its parent's alone: sockets, locks and the event loop are the parent's.
        self._by_process = {os.getpid(): opened}
        super().__init__(
            path=opened.root,
            fs=opened.fs,
            asynchronous=getattr(opened.fs, "asynchronous", False),
            skip_instance_cache=True,
        )
        self._again = again

    @property
    def _opened(self) -> Opened:
        process = os.getpid()
        found = self._by_process.get(process)
        return found or self._by_process.setdefault(process, self._open_one())

    @property
    def fs(self) -> AbstractFileSystem:
        """The filesystem of the kind itself, whose paths begin with the bucket."""
        return self._opened.fs

    @fs.setter
    def fs(self, fs: AbstractFileSystem) -> None:
        """DirFileSystem would keep it: it is the one that was opened."""

    @property
    def loop(self) -> Any:
        return self.fs.loop if self.fs.async_impl else get_loop()

    async def set_session(self, *arguments: Any, **options: Any) -> Any:
        """Open the session, where the kind has one, before the first request does it."""
        if hasattr(self.fs, "set_session"):
            return await self.fs.set_session(*arguments, **options)
        return None

    async def aclose(self) -> None:
        """Let go of its sockets; of one that is asynchronous, in its event loop."""
        if self._opened.close:
            await self._opened.close()

    def close(self) -> None:
        """Let go of its sockets. One that isn't closed does so when nobody uses it any more."""
        if self.asynchronous:
            raise RuntimeError("an asynchronous filesystem is closed by: await fs.aclose()")
        if self._opened.close:
            sync(self.fs.loop, self._opened.close)

    def _join(self, path: Any) -> Any:
        if not isinstance(path, str):
            return super()._join(path)
        if self._opened.resolves_dots and ".." in path.split("/"):
            raise ValueError(f"{path!r} may lead out of {self.path!r}")
        whole = self._opened.path_of(path)
        if whole is None:
            return super()._join(path.lstrip("/"))
        if f"{whole}/".startswith(f"{self.path}/"):
            return whole
        raise ValueError(f"{path!r} is not below {self.path!r}, the root of the connection")

    def __reduce__(self) -> tuple[Any, ...]:
        from lighterman.library.filesystem import get_fs

        if self._again is None:
            raise TypeError(
                "a filesystem whose login came from a given environ isn't pickled: "
                "call get_fs in the other process"
            )
        name, options = self._again
        return partial(get_fs, **options), (name,)
