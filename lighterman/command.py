"""What a command is given, beside its own flags."""

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from lighterman.clock import Clock, SystemClock
from lighterman.transfer.settings import TransferSettings
from lighterman.transfer.tally import Tally

if TYPE_CHECKING:
    from lighterman.connections.model import Connection


@dataclass(frozen=True)
class Context:
    """
    The process as a command sees it. A command's ``run(arguments, context)`` returns the exit code, or
    raises a ``LightermanError``; ``lighterman.cli`` turns either into the log line, the report and the
    code that the process ends with.
    """

    environ: Mapping[str, str]
    find_connection: "Callable[[str], Connection]"
    """A connection by its name in the catalog, or by a URI. Reads the catalog at its first call."""
    settings: TransferSettings = field(default_factory=TransferSettings)
    clock: Clock = field(default_factory=SystemClock)
    tally: Tally = field(default_factory=Tally)
    stop: threading.Event = field(default_factory=threading.Event)
    """Set by SIGTERM and SIGINT, where the command doesn't handle them itself."""
