"""What a service works with, put together."""

import threading
from typing import Final

from lighterman.clock import Clock
from lighterman.stores.contract import Store
from lighterman.transfer.budget import Budget
from lighterman.transfer.pace import Pace
from lighterman.transfer.retry import Attempts
from lighterman.transfer.settings import TransferSettings
from lighterman.transfer.tally import Tally
from sidecar.deletes import Deletes
from sidecar.dispatch import Dispatch
from sidecar.ending import MainsEnd
from sidecar.events import Events
from sidecar.globs import Names
from sidecar.guarded import Guarded
from sidecar.journal import Journal
from sidecar.lane import lane_to
from sidecar.leases import Leases
from sidecar.loop import Loop, Pool
from sidecar.options import Options
from sidecar.publishing import Publishing
from sidecar.reconcile import Reconciler
from sidecar.settle import Rules, Settle
from sidecar.status.board import Board
from sidecar.status.described import Parts
from sidecar.status.ledger import Ledger
from sidecar.upload import Uploader
from sidecar.where import STATE_DIRECTORY

PART_THREADS: Final = 4


class Rig:
    """The parts of one service, each knowing those that it needs."""

    def __init__(
        self,
        options: Options,
        store: Store,
        journal: Journal,
        *,
        loop: Loop,
        settings: TransferSettings,
        clock: Clock,
        tally: Tally,
        device: int,
        end: MainsEnd,
        pace: Pace | None,
        budget: Budget | None,
    ) -> None:
        """As ``Service``; without a ``pace`` or ``budget`` to share, it has its own."""
        guarded = Guarded(store, journal, makes_manifests=bool(options.groups or options.marker))
        self.store = store = guarded.store
        self.stop = threading.Event()
        names = Names(
            exclude=options.exclude,
            live=options.live,
            hidden_directories=_hidden(options),
            marker=options.marker,
        )
        pace = pace or Pace(options.workers + PART_THREADS + options.connections)
        self.settle = Settle(Rules(options.settle_seconds, options.max_delay_seconds), names)
        ledger = Ledger(tally, clock)
        self.attempts = Attempts(settings.retry_seconds, clock, ledger, self.stop)
        leases = Leases(options.root)
        budget = budget or Budget(settings.memory_bytes)
        self.uploader = Uploader(
            store,
            options.prefix,
            options.root,
            journal,
            settings=settings,
            clock=clock,
            attempts=self.attempts,
            pace=pace,
            budget=budget,
            tally=tally,
            part_threads=PART_THREADS,
            fails_on_conflict=options.on_conflict == "fail",
            leases=leases,
        )
        self.pool = Pool(loop, options.workers)
        self.lane = lane_to(
            store,
            self.uploader,
            journal,
            loop,
            root=options.root,
            prefix=options.prefix,
            clock=clock,
            pace=pace,
            budget=budget,
            tally=tally,
            leases=leases,
            # What is unusual about a write, the threads know.
            may_send=lambda: guarded.is_open and options.on_conflict == "overwrite",
            most=options.connections,
        )
        self.dispatch = Dispatch(
            self.settle,
            self.uploader,
            self.pool,
            names=names,
            root=options.root,
            prefix=options.prefix,
            clock=clock,
            tally=tally,
            ledger=ledger,
            give_up_seconds=settings.retry_seconds,
            lane=self.lane,
        )
        self.events = (
            None
            if options.once
            else Events(loop, self.settle, options, names, journal, clock=clock, leases=leases)
        )
        self.reconciler = Reconciler(
            loop,
            self.dispatch,
            root=options.root,
            names=names,
            journal=journal,
            clock=clock,
            tally=tally,
            interval_seconds=options.reconcile_seconds,
            seeks_absent=options.deletes == "mirror",
            watch=self.events.watch if self.events else lambda _directory: None,
            leases=leases,
            unheard=self.events.unheard if self.events else None,
        )
        self.deletes = Deletes(
            self.uploader, self.pool, self.attempts, root=options.root, device=device
        )
        if options.deletes == "mirror":
            self.dispatch.being_deleted = self.deletes.under_way
            self.dispatch.on_sent = self.deletes.arrived
        self.publishing = Publishing(
            options,
            self.settle,
            self.pool,
            guarded=guarded,
            journal=journal,
            names=names,
            clock=clock,
            attempts=self.attempts,
            pace=pace,
            mark=self.uploader.mark_directory,
        )
        self.publishing.listen(self.dispatch, self.reconciler, self.events)
        parts = Parts(
            options,
            store.connection,
            self.settle,
            self.dispatch,
            self.pool,
            self.reconciler,
            self.events,
            end,
            journal,
            ledger,
            tally,
            loop,
            clock,
            settings.bytes_per_second,
        )
        self.board = Board(parts)
        """What is known of all this."""


def _hidden(options: Options) -> list[str]:
    """Directories below the outputs that are Lighterman's own."""
    hidden = [STATE_DIRECTORY]
    below = options.root.rstrip("/") + "/"
    if options.state.startswith(below):
        hidden.append(options.state.removeprefix(below))
    return hidden
