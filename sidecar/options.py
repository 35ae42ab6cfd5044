"""What the flags of ``sidecar``, ``run`` and ``sync`` amount to."""

from typing import Final, Literal, NamedTuple

from sidecar.globs import LIVE

WORKERS: Final = 16
CONNECTIONS: Final = 256
"""As init's: what is beyond brings little (measured at 20 ms a request)."""


class Options(NamedTuple):
    """Defaults are the contract's."""

    root: str
    """The real path of the outputs."""
    prefix: str
    """Where in the bucket they go, the connection's own root included."""
    state: str
    """The directory of the journal."""
    watch: Literal["auto", "poll"] = "auto"
    """``poll``: events aren't asked for, the outputs are looked at again and again."""
    settle_seconds: float = 1.0
    reconcile_seconds: float = 300.0
    grace_seconds: float = 30.0
    max_delay_seconds: float = 30.0
    native: bool = False
    """SIGTERM says that main has ended; else it only begins the grace."""
    once: bool = False
    """Main has ended before the start: one reconcile, no watching."""
    drops_failed: bool = False
    """Once main has failed, nothing more is sent here."""
    done_file: str | None = None
    deletes: Literal["keep", "mirror"] = "keep"
    on_conflict: Literal["overwrite", "fail"] = "overwrite"
    """``fail``: an object that someone else wrote is never replaced."""
    live: tuple[str, ...] = LIVE
    exclude: tuple[str, ...] = ()
    workers: int = WORKERS
    """Files that threads send at once."""
    connections: int = CONNECTIONS
    """Small files that are sent at once beside them, where the store can be written to straight."""
    groups: tuple[str, ...] = ()
    """Directories that are published whole, as globs."""
    group_done: str = ""
    """The file in a group that says that it is complete."""
    marker: str = ""
    """The name, below the prefix, of what is written once everything is there."""
