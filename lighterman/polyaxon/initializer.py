"""
``lighterman initializer``: how Polyaxon calls its init image, as an init of one entry.

The calls stand in one line of a shell, ``…; polyaxon initializer path …; polyaxon initializer path …;``, which ends
with the code of its last command: a call that fails is noted, and those after it end as it did.
"""

import os
from argparse import Namespace
from typing import TYPE_CHECKING, Final

from lighterman.command import Context
from lighterman.connections.model import Bucket, Connection
from lighterman.errors import ConfigurationError, ExitCode, LightermanError, UsageError
from lighterman.flags import Flags
from lighterman.log import get_logger
from lighterman.polyaxon.context import artifacts_root

if TYPE_CHECKING:
    from initializer.entries import Entry

_KINDS: Final = ("s3", "gcs", "wasb")
_WATCHED: Final = "fswatch"
_OTHERS: Final = {
    "auth": "gets a token of Polyaxon's API (plugins: {auth: false} does without)",
    "file": "writes a file, and tells Polyaxon's API of it",
    "git": "clones a repository",
    "tensorboard": "asks Polyaxon's API for runs",
}


def configure(flags: Flags) -> None:
    """Add the flags that Polyaxon's compiler writes, and those that its own program takes beside them."""
    flags.parser.add_argument(
        "what",
        nargs="?",
        type=_known,
        metavar="path|s3|gcs|wasb|fswatch",
        help="what is brought from where",
    )
    flags.add("--connection-name", metavar="NAME", help="a connection of the catalog")
    flags.add("--connection-kind", metavar="KIND", help="its kind, as the catalog has it")
    flags.add("--path-from", metavar="PATH", help="what is brought, with the connection's own root")
    flags.add("--path-to", metavar="PATH", help="what it becomes: a directory, or a file")
    flags.add("--path", metavar="DIR", help="of fswatch: what was copied")
    flags.add_switch("--is-file", help="it is one file")
    flags.add_switch("--check-path", help="the store knows whether it is a file or a directory")
    flags.add_switch(
        "--sync-fw",
        help="it is what the run wrote before: it isn't sent again, and nothing there is no error",
    )
    flags.add_switch("--raise-errors", help="errors are always raised here")


def run(arguments: Namespace, context: Context) -> int:
    """Bring what the call names, or end as an earlier call of the same line did."""
    from lighterman.polyaxon.line import Line

    if arguments.what is None:
        raise UsageError("what is to be brought?", hint="lighterman initializer path …")
    line = Line()
    line.check()
    try:
        if arguments.what == _WATCHED:
            get_logger().info(
                "polyaxon.not_needed",
                what=_WATCHED,
                hint="the sidecar compares with the store's listing",
            )
        else:
            _bring(arguments, context)
    except LightermanError as error:
        line.note(error)
        raise
    return ExitCode.DONE


def _known(what: str) -> str:
    if why := _OTHERS.get(what):
        raise ConfigurationError(
            f"initializer {what} isn't done here: it {why}",
            hint="leave that container to Polyaxon's own image",
        )
    if what not in ("path", *_KINDS, _WATCHED):
        raise UsageError(
            f"there is no initializer {what!r}", hint=f"known are path, {', '.join(_KINDS)}"
        )
    return what


def _bring(arguments: Namespace, context: Context) -> None:
    from initializer.job import carry_out

    for name in ("connection-name", "path-from", "path-to"):
        if not getattr(arguments, name.replace("-", "_")):
            raise UsageError(
                f"initializer {arguments.what} without --{name}", hint=f"give --{name}"
            )
    connection = context.find_connection(arguments.connection_name)
    _check_kind(connection, arguments)
    source = below_root(connection, arguments.path_from)
    is_file = arguments.is_file
    if arguments.check_path and source:
        is_file = _is_file(connection, source, context)
    entry = entry_of(
        connection.name,
        source,
        arguments.path_to,
        is_file=is_file,
        is_resumed=arguments.sync_fw,
        root=artifacts_root(context.environ),
    )
    carry_out([entry], context)


def _check_kind(connection: Connection, arguments: Namespace) -> None:
    said = arguments.what if arguments.what in _KINDS else arguments.connection_kind
    if said and said != connection.kind:
        raise ConfigurationError(
            f"connection {connection.name!r} is of kind {connection.kind}, not {said}",
            hint="give --connection-kind as the catalog has it",
            connection=connection.name,
        )


def below_root(connection: Connection, path: str) -> str:
    """
    ``path``, which begins with the connection's own root as Polyaxon writes it, without that. ``ConfigurationError``
    if it is elsewhere.
    """
    from lighterman.connections.uri import parse_bucket

    schema = connection.schema
    if isinstance(schema, Bucket):
        own, given = (
            parse_bucket(connection.kind, schema.bucket),
            parse_bucket(connection.kind, path),
        )
        root, asked = f"{own.bucket}/{own.prefix}", f"{given.bucket}/{given.prefix}"
    else:
        root, asked = schema.mount_path, os.path.normpath(path)
    root, asked = root.rstrip("/"), asked.rstrip("/")
    if asked != root and not asked.startswith(f"{root}/"):
        raise ConfigurationError(
            f"--path-from {path} isn't in connection {connection.name!r}",
            hint="it begins with the bucket (or mountPath) that the catalog says",
            connection=connection.name,
        )
    return asked[len(root) + 1 :]


def entry_of(
    connection: str, source: str, path_to: str, *, is_file: bool, is_resumed: bool, root: str
) -> "Entry":
    """
    The entry that a call means. Whatever goes below one directory of Polyaxon's volume has that as its destination,
    so that all calls share what is noted there.
    """
    from initializer.command import WORKERS
    from initializer.entries import Entry, as_file_pair, as_pair

    path = os.path.abspath(path_to)
    if is_file and not source:
        raise UsageError(
            "--is-file: --path-from is the connection's root", hint="name a file in it"
        )
    top, _, target = path.removeprefix(f"{root}/").partition("/")
    destination = f"{root}/{top}"
    if not path.startswith(f"{root}/") or (is_file and not target):
        destination, target = os.path.split(path) if is_file else (path, "")
    return Entry(
        connection=connection,
        destination=destination,
        dirs=() if is_file else (as_pair(source, target),),
        files=(as_file_pair(source, target),) if is_file else (),
        optional=is_resumed,
        is_outputs=is_resumed and not target,
        workers=WORKERS,
    )


def _is_file(connection: Connection, source: str, context: Context) -> bool:
    from initializer.look import Sought, look_at
    from initializer.source import Source
    from initializer.verify import Checksums
    from lighterman.stores.opening import open_store
    from lighterman.transfer.pace import Pace
    from lighterman.transfer.retry import Attempts

    attempts = Attempts(context.settings.retry_seconds, context.clock, context.tally, context.stop)
    store = open_store(connection, context.environ, context.settings, concurrency=1)
    try:
        place = Source(store, Pace(1), Checksums(store, attempts))
        sought = Sought(place, place.key(source), source, source, may_be_prefix=True)
        [(_, _, found)] = look_at([(None, sought)], attempts)
    finally:
        store.close()
    return found is not None
