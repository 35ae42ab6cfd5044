"""
What a job spec says to Lighterman: its ``init``, ``connections`` and ``outputs``, at the top or under ``run``.

The rest of a job spec describes the main container and belongs to others: it passes unread, except for a
name that is nearly one of ours (``ouputs``). Inside our own blocks every unknown field is an error.
"""

import re
from typing import Any, Final, Literal, NamedTuple, TypeAlias

import msgspec

from lighterman.connections.uri import connection_of, is_uri
from lighterman.document import read_document
from lighterman.errors import ConfigurationError
from lighterman.flags import size
from lighterman.globs import Globs
from lighterman.strict import decode, fail, under

_OURS: Final = ("init", "connections", "outputs")
_SLIP: Final = 0.85
"""How like (difflib's ratio) one of our names another must be to be taken for a slip of the pen:
``outputs`` and ``inputs`` have 0.62, ``connections`` and ``connection`` 0.95, ``ouputs`` 0.92."""


_SHARD_NUMBER: Final = re.compile(r"\d{1,9}|\$(?:\w+|\{\w+\}|\(\w+\))", re.ASCII)
Form: TypeAlias = Literal["auto", "tar", "tar.gz", "tar.zst", "zip"]
"""What ``unpack`` may say: archives by their names, or that everything is an archive of that form."""


class Wanted(NamedTuple):
    """One declared directory or file."""

    source: str
    """Its path below the connection's root, as it was written."""
    target: str | None
    """Its path below the destination; ``None``: the same."""


class Artifacts(msgspec.Struct, frozen=True, kw_only=True):
    """What of a connection is declared. Nothing at all: its whole root."""

    dirs: tuple[Wanted, ...] = ()
    files: tuple[Wanted, ...] = ()
    workers: int | None = None


class Shard(msgspec.Struct, frozen=True):
    """A pod's part of an entry, as it was written: each of the two a number or a variable."""

    index: str
    count: str
    place: str
    """Where it is written: how an error about it begins."""


class Cache(NamedTuple):
    """A node's directory of what was fetched before."""

    path: str
    size_bytes: int | None
    """``None``: not said here."""


class InitEntry(msgspec.Struct, frozen=True, kw_only=True):
    """One item of the init block."""

    connection: str
    """A name in the catalog, or a URI."""
    artifacts: Artifacts = Artifacts()
    path: str | None = None
    """Where it goes; ``None``: a directory of the connection's name. A URI always has a path."""
    include: tuple[str, ...] = ()
    """Globs of what of the directories is wanted; none: everything."""
    exclude: tuple[str, ...] = ()
    """Globs of what isn't, of that."""
    unpack: Form | None = None
    """Which objects are archives whose members are wanted in their place; ``None``: none is."""
    optional: bool = False
    shard: Shard | None = None
    cache: Cache | None = None


class Output(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One outputs path and where it is synced to: below the connection's root, or ``to`` in it."""

    connection: str
    path: str
    to: str = ""


class JobSpec(msgspec.Struct, frozen=True, kw_only=True):
    """The part of a job spec that is Lighterman's."""

    init: tuple[InitEntry, ...] | None = None
    """``None``: there is no init block; an empty one declares nothing."""
    connections: tuple[str, ...] = ()
    """Names of connections that the main container uses."""
    outputs: tuple[Output, ...] = ()


class FromTo(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename={"from_": "from"}):
    """A declared dir or file with another name at its destination."""

    from_: str
    to: str


class ArtifactsDocument(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``artifacts`` as it is written."""

    dirs: tuple[str | tuple[str, str] | FromTo, ...] | None = None
    files: tuple[str | tuple[str, str] | FromTo, ...] | None = None
    workers: int | None = None


class ShardDocument(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``shard`` as it is written; numbers may be variables."""

    index: int | str
    count: int | str


class CacheDocument(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``cache`` as it is written, with a size."""

    path: str
    size: str | int | None = None


class InitDocument(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An item of ``init`` as it is written."""

    connection: str
    artifacts: ArtifactsDocument | None = None
    path: str | None = None
    include: tuple[str, ...] | str | None = None
    exclude: tuple[str, ...] | str | None = None
    unpack: Form | None = None
    shard: ShardDocument | None = None
    cache: str | CacheDocument | None = None
    optional: bool = False


def load_job_spec(path: str) -> JobSpec:
    """The job spec in a YAML or JSON file; ``ConfigurationError`` names the place of what is off in it."""
    return job_spec(read_document(path, what="job spec"), path)


def job_spec(data: object, origin: str) -> JobSpec:
    """The job spec in plain data that was read from ``origin``."""
    if data is None:
        fail(origin, "", "no job spec: it is empty", "see the README for an example")
    top = decode(data, dict[str, object], origin)
    run = top.get("run")
    _refuse_slips(top, (*_OURS, "run"), origin, "")
    members: dict[str, object] = (
        {} if run is None else decode(run, dict[str, object], origin, "run")
    )
    _refuse_slips(members, _OURS, origin, "run")
    blocks: dict[str, tuple[Any, str]] = {}
    for name in _OURS:
        in_top, in_run = top.get(name), members.get(name)
        if in_top is not None and in_run is not None:
            fail(origin, name, f"stands at the top and under run: {name}", "keep one of them")
        blocks[name] = (in_top, name) if in_run is None else (in_run, f"run.{name}")
    connections, place = blocks["connections"]
    return JobSpec(
        init=_init(*blocks["init"], origin),
        connections=decode(
            () if connections is None else connections, tuple[str, ...], origin, place
        ),
        outputs=_outputs(*blocks["outputs"], origin),
    )


def _refuse_slips(data: dict[str, object], ours: tuple[str, ...], origin: str, place: str) -> None:
    for name in data:
        if name in ours:
            continue
        import difflib

        close = difflib.get_close_matches(name.lower(), ours, n=1, cutoff=_SLIP)
        if close:
            fail(origin, under(place, name), "unknown field", f"did you mean {close[0]}?")


def _init(data: object, place: str, origin: str) -> tuple[InitEntry, ...] | None:
    if data is None:
        return None
    entries = decode(data, tuple[object, ...], origin, place)
    return tuple(_entry(entry, under(place, index), origin) for index, entry in enumerate(entries))


def _entry(data: object, place: str, origin: str) -> InitEntry:
    document = decode(data, InitDocument, origin, place)
    _check_connection(document.connection, under(place, "connection"), origin)
    if document.path is None and is_uri(document.connection):
        fail(
            origin, under(place, "path"), "missing", "a URI gives no directory its name: say which"
        )
    if document.path is not None and not document.path:
        fail(origin, under(place, "path"), "empty", "give a directory")
    return InitEntry(
        connection=document.connection,
        artifacts=_artifacts(document.artifacts, under(place, "artifacts"), origin),
        path=document.path,
        include=_globs(document.include, under(place, "include"), origin),
        exclude=_globs(document.exclude, under(place, "exclude"), origin),
        unpack=document.unpack,
        optional=document.optional,
        shard=_shard(document.shard, under(place, "shard"), origin),
        cache=_cache(document.cache, under(place, "cache"), origin),
    )


def _shard(document: ShardDocument | None, place: str, origin: str) -> Shard | None:
    if document is None:
        return None
    for name, written in (("index", document.index), ("count", document.count)):
        if not _SHARD_NUMBER.fullmatch(str(written)):
            fail(
                origin,
                under(place, name),
                f"{written!r} is no number and no variable",
                "write a whole number, or a variable like $JOB_COMPLETION_INDEX",
            )
    return Shard(str(document.index), str(document.count), f"{origin}: {place}")


def _globs(declared: tuple[str, ...] | str | None, place: str, origin: str) -> tuple[str, ...]:
    if declared is None:
        return ()
    globs = (declared,) if isinstance(declared, str) else declared
    if not globs:
        fail(origin, place, "an empty list", "name what is meant, or leave it out")
    Globs(globs, f"{origin}: {place}", error=ConfigurationError)
    return globs


def _cache(document: str | CacheDocument | None, place: str, origin: str) -> Cache | None:
    if document is None:
        return None
    if isinstance(document, str):
        document = CacheDocument(document)
    if not document.path:
        fail(origin, place, "empty", "give a directory of the node")
    if document.size is None:
        return Cache(document.path, None)
    try:
        return Cache(document.path, size(str(document.size)))
    except ValueError as error:
        fail(origin, under(place, "size"), str(error), "write a size like 100GiB")


def _artifacts(document: ArtifactsDocument | None, place: str, origin: str) -> Artifacts:
    if document is None:
        return Artifacts()
    if document.workers is not None and document.workers < 1:
        fail(origin, under(place, "workers"), "too few", "a whole number from 1 up")
    is_whole = document.dirs is None and document.files is None and document.workers is not None
    if not (document.dirs or document.files or is_whole):
        fail(
            origin,
            place,
            "declares nothing",
            "name dirs or files, or leave artifacts out for the connection's whole root",
        )
    return Artifacts(
        dirs=_wanted(document.dirs or (), under(place, "dirs"), origin),
        files=_wanted(document.files or (), under(place, "files"), origin),
        workers=document.workers,
    )


def _wanted(
    declared: tuple[str | tuple[str, str] | FromTo, ...], place: str, origin: str
) -> tuple[Wanted, ...]:
    found = []
    for index, item in enumerate(declared):
        if isinstance(item, str):
            wanted = Wanted(item, None)
        elif isinstance(item, FromTo):
            wanted = Wanted(item.from_, item.to)
        else:
            wanted = Wanted(*item)
        if "" in wanted:
            fail(origin, under(place, index), "an empty path", "the root is written as .")
        found.append(wanted)
    return tuple(found)


def _outputs(data: object, place: str, origin: str) -> tuple[Output, ...]:
    if data is None:
        return ()
    if not isinstance(data, list):
        return (_output(data, place, origin),)
    return tuple(_output(item, under(place, index), origin) for index, item in enumerate(data))


def _output(data: object, place: str, origin: str) -> Output:
    output = decode(data, Output, origin, place)
    _check_connection(output.connection, under(place, "connection"), origin)
    if not output.path:
        fail(origin, under(place, "path"), "empty", "give the directory that main writes to")
    return output


def _check_connection(connection: str, place: str, origin: str) -> None:
    """A name may be anything that a catalog could have; a URI must be one, before anything is opened."""
    if not connection.strip():
        fail(origin, place, "empty", "give the name of a connection, or a URI")
    if is_uri(connection):
        try:
            connection_of(connection)
        except ConfigurationError as error:
            fail(origin, place, error.message, error.hint)
