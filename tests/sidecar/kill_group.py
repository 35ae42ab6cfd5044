"""
Brings a group into the bucket and publishes it, and kills itself with SIGKILL at one of the steps: before and
after each request that changes something, and after each transition of the journal.

``python kill_group.py PLAN`` where PLAN is JSON as of ``kill_at.py``, with ``group`` and ``gone`` (paths whose
objects are to be deleted). Prints the steps.
"""

import json
import os
import signal
import sys
from typing import Any

from kill_at import connection

from lighterman.clock import SystemClock
from lighterman.stores import open_store
from lighterman.transfer.budget import Budget
from lighterman.transfer.pace import Pace
from lighterman.transfer.retry import Attempts
from lighterman.transfer.settings import TransferSettings
from lighterman.transfer.tally import Tally
from sidecar.globs import Names
from sidecar.groups import GroupNames
from sidecar.guarded import Guarded
from sidecar.journal import Journal
from sidecar.publisher import Publisher
from sidecar.states import RelPath
from sidecar.upload import Uploader

CHANGES = ("write", "delete", "finish", "begin", "send_part")


class Steps:
    """Counts, and ends the process at the number that it was told."""

    def __init__(self, kill_at: int | None) -> None:
        self._kill_at = kill_at
        self._made = 0

    def make(self, name: str) -> None:
        self._made += 1
        sys.stdout.write(f"{name}\n")
        sys.stdout.flush()
        if self._made == self._kill_at:
            os.kill(os.getpid(), signal.SIGKILL)


class Stepping:
    """A store whose changes are steps."""

    def __init__(self, store: Any, steps: Steps) -> None:
        self._store = store
        self._steps = steps

    def __getattr__(self, name: str) -> Any:
        attribute = getattr(self._store, name)
        if name not in CHANGES:
            return attribute

        def call(key: str, *arguments: object, **options: object) -> object:
            self._steps.make(f"before-{name}:{key}")
            result = attribute(key, *arguments, **options)
            self._steps.make(f"after-{name}:{key}")
            return result

        return call


def main(plan: dict[str, Any]) -> None:
    steps = Steps(plan["kill_at"])
    settings, clock, tally = TransferSettings(retry_seconds=10.0), SystemClock(), Tally()
    store: Any = Stepping(open_store(connection(plan), {}, settings, concurrency=4), steps)
    journal = Journal.open(plan["state"], store.destination, after=steps.make)
    guarded = Guarded(store, journal)
    attempts, pace = Attempts(settings.retry_seconds, clock, tally), Pace(8)
    root, prefix, group = plan["root"], plan["prefix"], plan["group"]
    uploader = Uploader(
        guarded.store,
        prefix,
        root,
        journal,
        settings=settings,
        clock=clock,
        attempts=attempts,
        pace=pace,
        budget=Budget(settings.memory_bytes),
        tally=tally,
        part_threads=1,
    )
    publisher = Publisher(
        guarded,
        journal,
        GroupNames([group]),
        root=root,
        prefix=prefix,
        names=Names(),
        clock=clock,
        attempts=attempts,
        pace=pace,
        mark=uploader.mark_directory,
    )
    uploader.recover()
    if journal.fresh:
        uploader.adopt()
    publisher.recall()
    for name in sorted(os.listdir(os.path.join(root, group))):
        uploader.send(RelPath(f"{group}/{name}"))
    for path in plan["gone"]:
        uploader.delete(RelPath(path))
    steps.make(f"verdict:{publisher.look(RelPath(group), ended=True)}")
    uploader.close()
    journal.close()


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
