"""What is to be checked: from flags, names and a job spec to connections and directories."""

import os
from argparse import Namespace
from collections.abc import Mapping
from typing import NamedTuple

from initializer.entries import Entry
from lighterman.command import Context
from lighterman.connections.catalog import load_catalog
from lighterman.errors import ConfigurationError
from lighterman.jobspec import JobSpec, load_job_spec


class Wanted(NamedTuple):
    """What a job wants of one connection."""

    connection: str
    entries: tuple[Entry, ...] = ()
    """What init would bring."""
    prefixes: tuple[str, ...] = ()
    """Where outputs would go, below the connection's root."""


class Place(NamedTuple):
    """A directory of this container."""

    path: str
    is_outputs: bool = False
    """It is watched, and sent."""


class Subjects(NamedTuple):
    """All of it, each connection and each directory once."""

    connections: tuple[Wanted, ...]
    places: tuple[Place, ...]


def subjects_of(arguments: Namespace, context: Context) -> Subjects:
    """
    What names, flags and ``--spec`` say together; where they say nothing, every connection of the
    catalog. ``ConfigurationError`` where there is none.
    """
    to = _prefix(arguments.to or "", context.environ)
    found = [_named(name, to, writes=arguments.write) for name in arguments.names]
    places: list[Place] = []
    if arguments.connection:
        found.append(_named(arguments.connection, to, writes=True))
    if arguments.path:
        places.append(Place(_absolute(arguments.path), is_outputs=True))
    if arguments.spec:
        wanted, more = _of_spec(arguments.spec, context.environ)
        found += wanted
        places += more
    elif not found and not places:
        names = load_catalog(arguments.catalog, context.environ).names()
        found = [_named(name, to, writes=arguments.write) for name in names]
        if not found:
            raise ConfigurationError(
                "there is nothing to check: no catalog, or no connection in it",
                hint="name a connection, a URI, a --path or a --spec; or give a --catalog",
            )
    return Subjects(_merged_connections(found), _merged_places(places))


def _named(name: str, to: str, *, writes: bool) -> Wanted:
    return Wanted(name, prefixes=(to,) if writes else ())


def _of_spec(file: str, environ: Mapping[str, str]) -> tuple[list[Wanted], list[Place]]:
    spec = load_job_spec(file)
    found = [Wanted(name) for name in spec.connections]
    places: list[Place] = []
    for entry in _entries(file, spec, environ):
        found.append(Wanted(entry.connection, entries=(entry,)))
        places.append(Place(entry.destination))
    for output in spec.outputs:
        prefix = _prefix(output.to, environ)
        found.append(Wanted(output.connection, prefixes=(prefix,)))
        places.append(Place(_absolute(output.path), is_outputs=True))
    if not found:
        raise ConfigurationError(
            f"job spec {file} has neither init, connections nor outputs",
            hint="there is nothing of Lighterman's in it to check",
        )
    return found, places


def _entries(file: str, spec: JobSpec, environ: Mapping[str, str]) -> list[Entry]:
    if not spec.init:
        return []
    from initializer.command import declared_entries
    from lighterman.cli import parsed

    return declared_entries(parsed("init", ["init", "--spec", file], {}), environ)


def _prefix(pattern: str, environ: Mapping[str, str]) -> str:
    from sidecar.place import prefix_of

    return prefix_of(pattern, environ)


def _absolute(path: str) -> str:
    return os.path.abspath(path)


def _merged_connections(found: list[Wanted]) -> tuple[Wanted, ...]:
    merged: dict[str, Wanted] = {}
    for one in found:
        other = merged.get(one.connection, Wanted(one.connection))
        merged[one.connection] = Wanted(
            one.connection,
            other.entries + one.entries,
            tuple(dict.fromkeys(other.prefixes + one.prefixes)),
        )
    return tuple(merged.values())


def _merged_places(found: list[Place]) -> tuple[Place, ...]:
    merged: dict[str, Place] = {}
    for one in found:
        other = merged.get(one.path)
        merged[one.path] = Place(one.path, one.is_outputs or bool(other and other.is_outputs))
    return tuple(merged.values())
