"""What is declared: which part of which connection goes where."""

import msgspec

from initializer.shards import Shard
from lighterman.errors import LightermanError, UsageError


class CacheSetting(msgspec.Struct, frozen=True):
    """A cache as it is declared."""

    path: str
    """An absolute path."""
    size_bytes: int | None = None
    """What this user's entries may take; ``None``: a share of the filesystem."""


class Pair(msgspec.Struct, frozen=True, array_like=True):
    """One declared directory or file: its path below the connection's root, and below the destination."""

    source: str
    target: str


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """One item of the init block. Without any pair, the connection's whole root is meant."""

    connection: str
    """A name in the catalog, or a URI."""
    destination: str
    """An absolute path."""
    dirs: tuple[Pair, ...] = ()
    files: tuple[Pair, ...] = ()
    include: tuple[str, ...] = ()
    """Globs of what is wanted of the directories; none: everything."""
    exclude: tuple[str, ...] = ()
    """Globs of what isn't, of that."""
    unpack: str | None = None
    """Which objects are archives whose members are wanted in their place; ``None``: none is."""
    optional: bool = False
    """Nothing there is no error."""
    workers: int
    shard: Shard | None = None
    """Only this part of it comes."""
    is_outputs: bool = False
    """The destination is also an outputs path: what main wrote there stays, and what comes is handed on."""
    cache: CacheSetting | None = None
    """Where what is fetched is kept for others, and looked for first."""

    @property
    def is_whole(self) -> bool:
        """Whether everything below the connection's root is declared."""
        return not self.dirs and not self.files


def as_pair(source: str, target: str | None, *, error: type[LightermanError] = UsageError) -> Pair:
    """
    A declared pair with slashes at the ends taken off. A target left out is the source's own path;
    ``.`` and ``/`` mean the root of either side. ``error`` is raised for a target outside.
    """
    from initializer.keys import why_unsafe

    cleaned_source = _cleaned(source)
    cleaned = cleaned_source if target is None else _cleaned(target)
    reason = why_unsafe(cleaned)
    if reason:
        raise error(
            f"{source!r} can't go to {cleaned!r} below the destination: {reason}",
            hint="give a target that is a plain relative path",
        )
    return Pair(cleaned_source, cleaned)


def as_file_pair(
    source: str, target: str | None, *, error: type[LightermanError] = UsageError
) -> Pair:
    """As ``as_pair``; also raises ``error`` where either side would be a root, which no file can be."""
    pair = as_pair(source, target, error=error)
    if not pair.source:
        raise error(f"{source!r} is no file but the root", hint="declare it as a dir")
    if not pair.target:
        raise error(
            f"the file {source!r} can't go to {target!r}: that is the destination itself",
            hint="give the file a name there, or leave the target out",
        )
    return pair


def _cleaned(path: str) -> str:
    stripped = path.removeprefix("./").strip("/")
    return "" if stripped == "." else stripped
