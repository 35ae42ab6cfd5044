"""A filesystem with a connection's root for its own."""

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, NamedTuple

from fsspec import AbstractFileSystem
from fsspec.asyn import sync
from fsspec.implementations.dirfs import DirFileSystem


class Opened(NamedTuple):
    """The filesystem of a kind, logged in."""

    fs: AbstractFileSystem
    root: str
    """The connection's root as a path in it."""
    resolves_dots: bool = False
    """Whether ``..`` leads up in it; elsewhere it is a name like any other."""
    close: Callable[[], Awaitable[object]] | None = None
    """Lets go of its sockets, where it has any."""


class ConnectionFileSystem(DirFileSystem):  # type: ignore[misc]  # fsspec has no types
    """See :func:`lighterman.get_fs`, which makes it."""

    cachable = False

    def __init__(self, opened: Opened, again: tuple[str, dict[str, Any]] | None) -> None:
        super().__init__(
            path=opened.root,
            fs=opened.fs,
            asynchronous=opened.fs.asynchronous,
            skip_instance_cache=True,
        )
        self._opened = opened
        self._again = again
        schemes = opened.fs.protocol
        schemes = (schemes,) if isinstance(schemes, str) else schemes
        self._uris = tuple(f"{scheme}://" for scheme in schemes)

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
        if path.startswith(self._uris):
            return self._of_uri(path)
        path = path.lstrip("/")
        if self._opened.resolves_dots and ".." in path.split("/"):
            raise ValueError(f"{path!r} may lead out of {self.path!r}")
        return super()._join(path)

    def _of_uri(self, uri: str) -> str:
        whole: str = self.fs._strip_protocol(uri)  # noqa: SLF001  # fsspec's own way to ask
        if whole != self.path and not whole.startswith(f"{self.path}/"):
            raise ValueError(f"{uri!r} is not below {self.path!r}, the root of the connection")
        return whole

    def __reduce__(self) -> tuple[Any, ...]:
        from lighterman.library.filesystem import get_fs

        if self._again is None:
            raise TypeError(
                "a filesystem whose login came from a given environ isn't pickled: "
                "call get_fs in the other process"
            )
        name, options = self._again
        return partial(get_fs, **options), (name,)
