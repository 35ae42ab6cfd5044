"""The way to one store, and what all transfers over it share."""

import threading
from collections.abc import Callable, Mapping
from typing import Final

from lighterman.clock import Clock, SystemClock
from lighterman.connections.model import Connection
from lighterman.stores.contract import Store
from lighterman.transfer.aside import in_a_thread
from lighterman.transfer.budget import Budget
from lighterman.transfer.pace import Pace
from lighterman.transfer.settings import TransferSettings

PART_THREADS: Final = 4
"""How many parts of one large file are sent at once."""
HALT_SECONDS: Final = 5.0
"""How long requests that are under way may take to end once the work is given up."""


class Line:
    """
    An opened connection with its one budget and its paces. There are two of these, since an upload holds
    memory while it waits for its turn, and a download its turn while it waits for memory.
    """

    def __init__(
        self,
        connection: Connection,
        environ: Mapping[str, str],
        store: Store,
        settings: TransferSettings,
        workers: int,
    ) -> None:
        self.connection = connection
        self.environ = environ
        self.store = store
        self.settings = settings
        self.workers = workers
        self.clock: Clock = SystemClock()
        self.budget = Budget(settings.memory_bytes)
        self.download_pace = Pace(workers)
        self.upload_pace = Pace(workers + PART_THREADS)

    def key(self, path: str) -> str:
        """The full key of a path below the connection's root."""
        return "/".join(part for part in (self.store.prefix, path) if part)


def aside(line: Line, stop: threading.Event, work: Callable[[], None]) -> None:
    """``work()``, which Ctrl-C, or another exception from without, ends: then ``stop`` is set."""
    in_a_thread(
        work,
        name="lighterman",
        clock=line.clock,
        stop=stop,
        halt_seconds=HALT_SECONDS + 1,
        hint="call it again",
    )
