"""One init from the declared entries to the end: destinations, stores, survey, fetch."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from functools import partial
from typing import TYPE_CHECKING, Final

import msgspec

from initializer import place
from initializer.crew import HALT_SECONDS
from initializer.destination import Destination
from initializer.disk import DestinationsDisk
from initializer.entries import CacheSetting, Entry, Pair
from initializer.fetch import Fetcher
from initializer.folding import Folding, folding_of
from initializer.keys import STATE_DIRECTORY
from initializer.large import RANGE_BYTES
from initializer.noted import Noted
from initializer.plan import Fetch, MakeDirectory
from initializer.source import Opened, Source
from initializer.state import State
from initializer.survey import Declared, Survey, Surveyed, Told
from initializer.verify import Checksums
from lighterman.connections.model import Connection, HostPath
from lighterman.handover import Handover
from lighterman.log import get_logger
from lighterman.stores import open_store
from lighterman.stores.limited import limited
from lighterman.transfer.aside import in_a_thread
from lighterman.transfer.budget import Budget
from lighterman.transfer.limit import limiter_of
from lighterman.transfer.pace import Pace
from lighterman.transfer.retry import Attempts

if TYPE_CHECKING:
    from initializer.archives.unpacking import Unpacking
    from initializer.cache.rounds import Keeping
    from lighterman.command import Context

_WORKER_BYTES: Final = 1024 * 1024
"""What a thread and its socket take beside the buffers of the budget, generously (measured: 0.4 MiB)."""
_STOPPED: Final = "start it again on the same volume: it goes on from here"


def carry_out(entries: Sequence[Entry], context: Context, opened: Opened | None = None) -> None:
    """
    Bring all entries; from the store that is ``opened`` already, where there is one and all are of it.
    Told to stop, this returns soon whatever a server does, with ``DeadlineError``.
    """
    job = _Job(entries, context, opened)
    in_a_thread(
        job.run,
        name="init",
        clock=context.clock,
        stop=context.stop,
        halt_seconds=HALT_SECONDS + 1,
        hint=_STOPPED,
    )


def show(entries: Sequence[Entry], context: Context, style: str | None) -> None:
    """
    Print what ``carry_out`` would do (``table``, ``json``, or by what stdout is), and change nothing. Ends with
    the error that it would end with before its first byte.
    """
    job = _Job(entries, context, None)
    in_a_thread(
        lambda: job.show(style),
        name="init",
        clock=context.clock,
        stop=context.stop,
        halt_seconds=HALT_SECONDS + 1,
        hint="start it again",
    )


class _Job:
    def __init__(self, entries: Sequence[Entry], context: Context, opened: Opened | None) -> None:
        self._context = context
        self._opened = opened
        self._attempts = Attempts(
            context.settings.retry_seconds, context.clock, context.tally, context.stop
        )
        self._limiter = limiter_of(context.settings.bytes_per_second, context.clock)
        self._entries, self._connections = _resolved(entries, context)
        self._roots = list(dict.fromkeys(_root(entry) for entry in self._entries))
        self._outputs = {_root(entry) for entry in self._entries if entry.is_outputs}
        self._cache_settings = _cache_settings(self._entries, self._connections, self._roots)
        most_workers = max(entry.workers for entry in self._entries)
        self._most_workers = max(
            1, min(most_workers, context.settings.memory_bytes // _WORKER_BYTES)
        )

    def run(self) -> None:
        with ExitStack() as held:
            sources = [self._source(name, held) for name in self._connections]
            destinations = [held.enter_context(Destination(root)) for root in self._roots]
            states = [self._state(one) for one in destinations]
            for state in states:
                held.callback(state.close)
            for destination, state in zip(destinations, states, strict=True):
                if destination.was_killed:
                    _sweep(destination, state)
            directories = [destination.state_directory for destination in destinations]
            notes = [Noted(state) for state in states]
            disk = DestinationsDisk(self._roots, notes, directories)
            foldings = [folding_of(directory) for directory in directories]
            # It asks of what was noted meanwhile, too.
            unpacking = self._unpacking(
                directories, DestinationsDisk(self._roots, states, directories)
            )
            if unpacking:
                held.callback(unpacking.close)
            surveyed = self._survey(
                disk, sources, directories[0], foldings=foldings, unpacking=unpacking
            )
            held.callback(surveyed.spool.close)
            self._context.tally.planned(surveyed.files, surveyed.size_bytes)
            self._context.tally.skip(surveyed.kept + (unpacking.kept_members if unpacking else 0))
            for destination in destinations:
                destination.begin()
            if unpacking:
                unpacking.begin()
            begun = self._context.clock.monotonic()
            keeping = self._keeping(sources, held)
            fetch = partial(self._fetch, states, sources, keeping)
            fetch(surveyed.spool.drain(), surveyed.files, surveyed.size_bytes)
            if unpacking:
                unpacking.run(
                    lambda items: fetch(
                        iter(items), len(items), sum(item.size_bytes for item in items)
                    )
                )
            self._say_done(begun)
            for destination in destinations:
                destination.is_tidy = True

    def show(self, style: str | None) -> None:
        from initializer.dryrun import SeenState, Shown, require_place, temporary_directory

        problems = [require_place(root) for root in self._roots]
        with ExitStack() as held:
            shown = held.enter_context(Shown(style, list(self._connections), self._roots))
            sources = [self._source(name, held) for name in self._connections]
            states = [SeenState(root) for root in self._roots]
            for state in states:
                held.callback(state.close)
            kept_out = [f"{root}/{STATE_DIRECTORY}" for root in self._roots]
            disk = DestinationsDisk(self._roots, states, kept_out)
            directory = held.enter_context(temporary_directory())
            try:
                self._survey(disk, sources, directory, shown).spool.close()
            finally:
                shown.print_out()
        for problem in problems:
            if problem:
                raise problem

    def _state(self, destination: Destination) -> State:
        is_outputs = destination.root in self._outputs
        handover = Handover(destination.root, destination.state_directory) if is_outputs else None
        return State(destination.root, destination.state_directory, handover=handover)

    def _source(self, name: str, held: ExitStack) -> Source:
        if self._opened:
            store = self._opened.store
            return Source(store, self._opened.pace, Checksums(store, self._attempts))
        asked = max(entry.workers for entry in self._entries if entry.connection == name)
        workers = min(asked, self._most_workers)  # a pool of sockets takes memory for each
        store = open_store(
            self._connections[name],
            self._context.environ,
            self._context.settings,
            concurrency=workers,
        )
        held.callback(store.close)
        store = limited(store, self._limiter, self._context.stop)
        return Source(store, Pace(workers), Checksums(store, self._attempts))

    def _unpacking(self, directories: list[str], disk: DestinationsDisk) -> Unpacking | None:
        if not any(entry.unpack for entry in self._entries):
            return None
        from initializer.archives.unpacking import Unpacking

        return Unpacking(
            self._roots,
            directories,
            disk,
            memory_bytes=self._context.settings.memory_bytes,
            tally=self._context.tally,
            stop=self._context.stop,
        )

    def _survey(
        self,
        disk: DestinationsDisk,
        sources: list[Source],
        directory: str,
        told: Told | None = None,
        foldings: Sequence[Folding] = (),
        unpacking: Unpacking | None = None,
    ) -> Surveyed:
        names = list(self._connections)
        declared = [
            Declared(entry, names.index(entry.connection), self._roots.index(_root(entry)))
            for entry in self._entries
        ]
        surveyed = Survey(
            declared,
            sources,
            self._roots,
            disk,
            outputs=frozenset(self._roots.index(root) for root in self._outputs),
            told=told,
            foldings=foldings,
            state_directory=directory,
            attempts=self._attempts,
            tally=self._context.tally,
            stop=self._context.stop,
            unpacking=unpacking,
        ).make()
        self._context.tally.shards(surveyed.shards)
        shards = surveyed.shards
        of_shards = {
            "shard": " ".join(f"{one.index}/{one.count}" for one in shards),
            "listing_digest": " ".join(one.listing_digest for one in shards),
        }
        kept = surveyed.kept + (unpacking.kept_members if unpacking else 0)
        get_logger().info(
            "init.planned",
            files=surveyed.files,
            size_bytes=surveyed.size_bytes,
            kept_files=kept,
            **(of_shards if shards else {}),
        )
        return surveyed

    def _fetch(
        self,
        states: list[State],
        sources: list[Source],
        keeping: Keeping | None,
        actions: Iterator[Fetch | MakeDirectory],
        files: int,
        size_bytes: int,
    ) -> None:
        context = self._context
        fetcher = Fetcher(
            sources,
            states,
            budget=self._opened.budget if self._opened else Budget(context.settings.memory_bytes),
            attempts=self._attempts,
            tally=context.tally,
            clock=context.clock,
            stop=context.stop,
            roots=self._roots,
            keeper=keeping,
        )
        run = fetcher.run
        if keeping is not None:
            from initializer.cache.rounds import Rounds

            run = Rounds(
                fetcher,
                keeping,
                directory=states[0].directory,
                tally=context.tally,
                clock=context.clock,
                stop=context.stop,
            ).run
        run(actions, files + size_bytes // RANGE_BYTES, self._most_workers)

    def _say_done(self, begun: float) -> None:
        context = self._context
        totals = context.tally.totals()
        get_logger().info(
            "init.done",
            files=totals.files,
            size_bytes=totals.bytes,
            kept_files=totals.skipped,
            unverified_files=totals.unverified,
            cached_files=totals.cached,
            seconds=round(context.clock.monotonic() - begun, 3),
        )

    def _keeping(self, sources: list[Source], held: ExitStack) -> Keeping | None:
        """Who keeps what is fetched for others, where a cache is declared that can be used."""
        if not any(self._cache_settings):
            return None
        from initializer.cache.declared import open_caches
        from initializer.cache.rounds import Keeping

        caches = open_caches(self._cache_settings, sources, self._context.clock, held)
        if not any(caches):
            return None
        devices = frozenset(os.stat(root or "/").st_dev for root in self._roots)
        return Keeping(caches, devices, self._context.tally)


def _cache_settings(
    entries: Sequence[Entry], connections: dict[str, Connection], roots: Sequence[str]
) -> Sequence[CacheSetting | None]:
    if not any(entry.cache for entry in entries):
        return ()
    from initializer.cache.declared import settings_of

    return settings_of(entries, connections, roots)


def _sweep(destination: Destination, state: State) -> None:
    root = destination.root
    kept = frozenset(place.temporary_of(f"{root}/{path}") for path in state.halves())
    swept = destination.sweep(kept)
    if swept:
        get_logger().info("init.swept", path=destination.shown, files=swept)


def _root(entry: Entry) -> str:
    """The destination as paths below it begin: without a slash at the end, so ``""`` for ``/``."""
    return entry.destination.rstrip("/")


def _resolved(
    entries: Sequence[Entry], context: Context
) -> tuple[list[Entry], dict[str, Connection]]:
    resolved = [
        _one_resolved(entry, context.find_connection(entry.connection)) for entry in entries
    ]
    return (
        [entry for entry, _ in resolved],
        {entry.connection: connection for entry, connection in resolved},
    )


def _one_resolved(entry: Entry, connection: Connection) -> tuple[Entry, Connection]:
    """A ``file`` URI of one file means that file of its directory."""
    schema = connection.schema
    if not (
        entry.is_whole
        and connection.origin == "uri"
        and isinstance(schema, HostPath)
        and os.path.isfile(schema.mount_path)
    ):
        return entry, connection
    parent, name = os.path.split(schema.mount_path)
    schema = msgspec.structs.replace(schema, host_path=parent, mount_path=parent)
    return (
        msgspec.structs.replace(entry, files=(Pair(name, name),)),
        msgspec.structs.replace(connection, schema=schema),
    )
