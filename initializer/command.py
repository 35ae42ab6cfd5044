"""``lighterman init``: its flags, and what it does from them to the last file in its place."""

import os
from argparse import Namespace
from collections.abc import Iterator, Mapping
from functools import partial
from itertools import zip_longest
from typing import TYPE_CHECKING, Final

from initializer.archives.forms import CHOICES
from initializer.entries import CacheSetting, Entry, as_file_pair, as_pair
from initializer.shards import Shard, shard_of
from lighterman.command import Context
from lighterman.connections.uri import is_uri
from lighterman.errors import ConfigurationError, ExitCode, LightermanError, UsageError
from lighterman.flags import Flags, size, variable_of, whole_number
from lighterman.globs import Globs

if TYPE_CHECKING:
    from lighterman.jobspec import Cache as DeclaredCache
    from lighterman.jobspec import JobSpec
    from lighterman.jobspec import Shard as WrittenShard

ARTIFACTS: Final = "/lighterman/artifacts"
WORKERS: Final = 256
"""Requests at once, at most; how many there are follows from what more of them bring."""


def configure(flags: Flags) -> None:
    """Add init's flags and its two positionals."""
    flags.parser.add_argument(
        "uri", nargs="?", metavar="URI", help="an object or a prefix, like s3://bucket/model"
    )
    flags.parser.add_argument("into", nargs="?", metavar="DEST", help="the directory it goes into")
    flags.parser.add_argument(
        "more", nargs="*", metavar="URI DEST", help="further ones, each with its own directory"
    )
    flags.add("--connection", metavar="NAME", help="a connection of the catalog, or a URI")
    flags.add_repeated(
        "--dir",
        metavar="SRC[:DST]",
        help="a directory below the connection's root; without --dir and --file, the whole root",
    )
    flags.add_repeated("--file", metavar="SRC[:DST]", help="a file below the connection's root")
    flags.add(
        "--to",
        metavar="DEST",
        help=f"the directory it goes into, if not {ARTIFACTS}/NAME "
        "($LIGHTERMAN_ARTIFACTS sets the parent)",
    )
    flags.add_switch(
        "--resume-outputs",
        help="DEST is the path that a sidecar sends to the same place: what main wrote there stays, "
        "and what comes isn't sent again (with --spec: wherever outputs say so)",
    )
    flags.add_repeated(
        "--include",
        metavar="GLOB",
        help="of the dirs, bring only what matches (as gitignore, below each dir)",
    )
    flags.add_repeated("--exclude", metavar="GLOB", help="and of that, leave out what matches")
    flags.add(
        "--unpack",
        choices=CHOICES,
        help="unpack archives where they would go: auto by their names, or all as that form",
    )
    flags.add("--spec", metavar="JOB.yaml", help="a job spec, whose init block says it all")
    flags.add_switch(
        "--kserve",
        help="URI DEST by the rules of KServe's storage initializer: a URI that is one archive is unpacked, "
        "gs:// and Azure's URIs are asked anonymously where there is no login at all, and nothing but the files stays",
    )
    flags.add_switch("--dry-run", help="print the plan, and do nothing of it")
    flags.add(
        "--results",
        choices=("table", "json"),
        help="how a plan is printed, if not as a table on a terminal and as JSON lines elsewhere",
    )
    flags.add(
        "--workers",
        convert=whole_number,
        metavar="NUMBER",
        help=f"files and ranges that come at once, if not up to {WORKERS}",
    )
    flags.add(
        "--shard",
        metavar="INDEX/COUNT",
        help="only this pod's part of it, balanced by size, like $JOB_COMPLETION_INDEX/8",
    )
    flags.add(
        "--cache",
        metavar="DIR",
        help="a directory of the node, shared by its pods, of what was fetched before",
    )
    flags.add(
        "--cache-size",
        convert=size,
        metavar="SIZE",
        help="what this user's files in the cache may take, if not half of its filesystem",
    )


def run(arguments: Namespace, context: Context) -> int:
    """Bring everything that is declared, or raise what stands against it."""
    entries = declared_entries(arguments, context.environ)
    if arguments.kserve and not arguments.uri:
        raise UsageError("--kserve without URI DEST", hint="it is about these alone: take it away")
    if entries:
        from initializer.job import carry_out, show

        bring = partial(show, style=arguments.results) if arguments.dry_run else carry_out
        if arguments.kserve:
            from initializer.kserve import by_its_rules, tidy

            by_its_rules(bring, entries, context)
            if not arguments.dry_run:
                tidy(entries)
        else:
            bring(entries, context)
    return ExitCode.DONE


def declared_entries(arguments: Namespace, environ: Mapping[str, str]) -> list[Entry]:
    """What flags, positionals or the job spec declare. ``UsageError`` for a mix of these."""
    ways = [
        name
        for name, is_given in (
            ("URI DEST", arguments.uri),
            ("--connection", arguments.connection),
            ("--spec", arguments.spec),
        )
        if is_given
    ]
    if len(ways) != 1:
        said = f"{' and '.join(ways)} are given" if ways else "nothing is declared"
        raise UsageError(
            f"{said}; give one of --connection, --spec, or URI DEST",
            hint="a flag may also come from its variable: "
            f"{variable_of('--connection')}, {variable_of('--spec')}",
        )
    if arguments.uri:
        return list(_of_uris(arguments, environ))
    if arguments.spec:
        from lighterman.jobspec import load_job_spec

        _refuse_beside_spec(arguments)
        return entries_of(load_job_spec(arguments.spec), arguments, environ)
    return [_of_flags(arguments, environ)]


def _of_uris(arguments: Namespace, environ: Mapping[str, str]) -> Iterator[Entry]:
    _refuse(arguments, "URI DEST", ("dir", "file", "to"))
    given = [arguments.uri, arguments.into, *arguments.more]
    for uri, into in zip_longest(given[::2], given[1::2]):
        if not into:
            raise UsageError(
                f"where does {uri} go?", hint="lighterman init URI DEST, or --connection"
            )
        if not is_uri(uri):
            raise UsageError(
                f"{uri!r} is no URI", hint="for a connection's name use --connection NAME"
            )
        yield _of_uri(uri, into, arguments, environ)


def _of_uri(uri: str, into: str, arguments: Namespace, environ: Mapping[str, str]) -> Entry:
    return Entry(
        connection=uri,
        destination=_absolute(into),
        include=_globs(arguments.include, "--include"),
        exclude=_globs(arguments.exclude, "--exclude"),
        unpack=arguments.unpack,
        workers=arguments.workers or WORKERS,
        shard=_flagged_shard(arguments.shard, environ),
        is_outputs=arguments.resume_outputs,
        cache=_cache_of_flags(arguments),
    )


def _of_flags(arguments: Namespace, environ: Mapping[str, str]) -> Entry:
    name = arguments.connection
    if not arguments.to and ("/" in name or name in (".", "..")):
        raise UsageError(f"where does {name} go?", hint="give --to DEST")
    return Entry(
        connection=name,
        destination=_absolute(arguments.to) if arguments.to else default_path(name, environ),
        dirs=tuple(as_pair(*_split(text, "--dir")) for text in arguments.dir),
        files=tuple(as_file_pair(*_split(text, "--file")) for text in arguments.file),
        include=_globs(arguments.include, "--include"),
        exclude=_globs(arguments.exclude, "--exclude"),
        unpack=arguments.unpack,
        workers=arguments.workers or WORKERS,
        shard=_flagged_shard(arguments.shard, environ),
        is_outputs=arguments.resume_outputs,
        cache=_cache_of_flags(arguments),
    )


def _refuse_beside_spec(arguments: Namespace) -> None:
    _refuse(
        arguments,
        "--spec",
        ("dir", "file", "to", "include", "exclude", "unpack", "shard", "resume-outputs"),
    )


def entries_of(spec: "JobSpec", arguments: Namespace, environ: Mapping[str, str]) -> list[Entry]:
    """What a job spec declares that was read from ``arguments.spec``. ``ConfigurationError`` without an init block."""
    outputs = {
        (one.connection, _absolute(one.path, error=ConfigurationError)) for one in spec.outputs
    }
    items = spec.init
    if items is None:
        raise ConfigurationError(
            f"job spec {arguments.spec} has no init block",
            hint="init: [{connection: NAME}], at the top or under run",
        )
    entries = []
    cache = _cache_of_flags(arguments)
    for declared in items:
        artifacts = declared.artifacts
        destination = (
            _absolute(declared.path, error=ConfigurationError)
            if declared.path
            else default_path(declared.connection, environ)
        )
        entries.append(
            Entry(
                connection=declared.connection,
                destination=destination,
                dirs=tuple(as_pair(*pair, error=ConfigurationError) for pair in artifacts.dirs),
                files=tuple(
                    as_file_pair(*pair, error=ConfigurationError) for pair in artifacts.files
                ),
                include=declared.include,
                exclude=declared.exclude,
                unpack=declared.unpack,
                optional=declared.optional,
                workers=arguments.workers or artifacts.workers or WORKERS,
                shard=_written_shard(declared.shard, environ),
                is_outputs=(declared.connection, destination) in outputs,
                cache=_cache_declared(declared.cache, arguments) or cache,
            )
        )
    return entries


def _written_shard(written: "WrittenShard | None", environ: Mapping[str, str]) -> Shard | None:
    if written is None:
        return None
    return shard_of(written.index, written.count, written.place, environ)


def _flagged_shard(text: str | None, environ: Mapping[str, str]) -> Shard | None:
    if not text:
        return None
    index, slash, count = text.partition("/")
    if not (index and slash and count) or "/" in count:
        raise UsageError(f"--shard {text!r}: write INDEX/COUNT", hint="for example 0/8")
    return shard_of(index, count, "--shard", environ)


def _cache_of_flags(arguments: Namespace) -> CacheSetting | None:
    if arguments.cache:
        return CacheSetting(_absolute(arguments.cache), arguments.cache_size)
    return None


def _cache_declared(declared: "DeclaredCache | None", arguments: Namespace) -> CacheSetting | None:
    if declared is None:
        return None
    size_bytes = arguments.cache_size if declared.size_bytes is None else declared.size_bytes
    return CacheSetting(_absolute(declared.path, error=ConfigurationError), size_bytes)


def default_path(connection: str, environ: Mapping[str, str]) -> str:
    """Where a connection's files go when nothing else is said."""
    return _absolute(f"{environ.get('LIGHTERMAN_ARTIFACTS') or ARTIFACTS}/{connection}")


def _absolute(path: str, *, error: type[LightermanError] = UsageError) -> str:
    if "\0" in path:
        raise error(f"{path!r} is no path: it holds a NUL", hint="give a directory")
    # POSIX leaves two slashes at the beginning alone; to Linux they are one.
    return "/" + os.path.abspath(path).lstrip("/")


def _split(text: str, flag: str) -> tuple[str, str | None]:
    r"""``SRC:DST`` at its one colon; ``\:`` is a colon of a name."""
    parts = text.replace("\\:", "\0").split(":")
    if len(parts) > 2 or not parts[0]:
        raise UsageError(
            f"{flag} {text!r}: write SRC or SRC:DST", hint="a colon in a name is written \\:"
        )
    source, *target = (part.replace("\0", ":") for part in parts)
    return source, target[0] if target else None


def _globs(patterns: list[str], flag: str) -> tuple[str, ...]:
    Globs(patterns, flag)  # what is off is said before anything is opened
    return tuple(patterns)


def _refuse(arguments: Namespace, way: str, others: tuple[str, ...]) -> None:
    for name in others:
        if getattr(arguments, name.replace("-", "_"), None):
            raise UsageError(
                f"--{name} can't stand beside {way}",
                hint=f"take --{name} away (or unset ${variable_of(name)})",
            )
