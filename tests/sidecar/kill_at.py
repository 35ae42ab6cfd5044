"""
Sends outputs, and kills itself with SIGKILL right after a transition of the journal is committed.

``python kill_at.py PLAN`` where PLAN is JSON: volume or connection (kind, bucket, env, endpoint), root, state, prefix, paths, and
``kill_at``: the number of the transition to die after, counted from 1, or null. Prints the transitions.
"""

import json
import os
import signal
import sys
from typing import Any

from lighterman.clock import SystemClock
from lighterman.connections.model import Bucket, Connection, HostPath, Options
from lighterman.stores import open_store
from lighterman.transfer.budget import Budget
from lighterman.transfer.pace import Pace
from lighterman.transfer.retry import Attempts
from lighterman.transfer.settings import TransferSettings
from lighterman.transfer.tally import Tally
from sidecar.journal import Journal
from sidecar.states import RelPath
from sidecar.upload import Uploader


def connection(plan: dict[str, Any]) -> Connection:
    if volume := plan.get("volume"):
        schema = HostPath(host_path=volume, mount_path=volume)
        return Connection(name="volume", kind="host_path", schema=schema)
    return Connection(
        name="bucket",
        kind=plan["kind"],
        schema=Bucket(plan["bucket"]),
        env=plan["env"],
        options=Options(endpoint=plan["endpoint"]),
    )


def main(plan: dict[str, Any]) -> None:
    transitions = 0

    def after(name: str) -> None:
        nonlocal transitions
        transitions += 1
        sys.stdout.write(f"{name}\n")
        sys.stdout.flush()
        if transitions == plan["kill_at"]:
            os.kill(os.getpid(), signal.SIGKILL)

    settings, clock, tally = TransferSettings(retry_seconds=10.0), SystemClock(), Tally()
    store = open_store(connection(plan), {}, settings, concurrency=4)
    journal = Journal.open(plan["state"], store.destination, after=after)
    uploader = Uploader(
        store,
        plan["prefix"],
        plan["root"],
        journal,
        settings=settings,
        clock=clock,
        attempts=Attempts(settings.retry_seconds, clock, tally),
        pace=Pace(8),
        budget=Budget(settings.memory_bytes),
        tally=tally,
        part_threads=plan["part_threads"],
    )
    uploader.recover()
    for path in plan["paths"]:
        uploader.send(RelPath(path))
    journal.close()
    store.close()


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
