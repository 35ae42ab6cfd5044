"""One connection: found, logged in to, and written to where outputs go; what is read is looked at by ``sources``."""

import threading
from contextlib import closing

from lighterman.checking.directories import check_mount
from lighterman.checking.findings import Findings, State
from lighterman.checking.outputs import Outputs
from lighterman.checking.sources import Sources
from lighterman.checking.subjects import Wanted
from lighterman.command import Context
from lighterman.connections.model import Bucket, Connection
from lighterman.connections.uri import is_uri
from lighterman.errors import LightermanError
from lighterman.stores import open_store
from lighterman.stores.advice import TellsLogin
from lighterman.stores.contract import Store
from lighterman.transfer.retry import Attempts


class Access:
    """The checks of one connection, in their order; those that one before made pointless are left out."""

    def __init__(
        self, wanted: Wanted, context: Context, findings: Findings, stop: threading.Event
    ) -> None:
        self._wanted = wanted
        self._context = context
        self._findings = findings
        self._stop = stop
        self._attempts = Attempts(
            context.settings.retry_seconds, context.clock, context.tally, stop
        )
        self.sources = Sources(wanted, findings, self._attempts, stop)
        self.outputs: list[Outputs] = []
        """Those that were begun: their probes may have left something."""

    def run(self) -> None:
        """All of them. ``DeadlineError`` when told to stop."""
        connection = self._resolved()
        if connection is None:
            return
        if not isinstance(connection.schema, Bucket) and not check_mount(
            connection, connection.schema, self._findings, writes=bool(self._wanted.prefixes)
        ):
            return
        store = self._opened(connection)
        if store is None:
            return
        with closing(store):
            if not self.sources.run(connection, store):
                return
            for to in self._wanted.prefixes:
                outputs = Outputs(
                    connection,
                    store,
                    to,
                    self._findings,
                    attempts=self._attempts,
                    clock=self._context.clock,
                    stop=self._stop,
                )
                self.outputs.append(outputs)
                outputs.run()

    def _resolved(self) -> Connection | None:
        name = self._wanted.connection
        try:
            connection = self._context.find_connection(name)
        except LightermanError as error:
            # A URI that is none may hold a signature; the error tells as much of it as may be told.
            self._findings.failed(name if not is_uri(name) else "URI", "resolve", error)
            return None
        schema = connection.schema
        place = schema.bucket if isinstance(schema, Bucket) else schema.mount_path
        origin = "" if connection.origin == "uri" else f", from {connection.origin}"
        self._findings.tell(
            connection.name, "resolve", State.OK, f"{connection.kind} {place}{origin}"
        )
        return connection

    def _opened(self, connection: Connection) -> Store | None:
        try:
            # One more than the one call at a time: a pool of none is none.
            store = open_store(
                connection, self._context.environ, self._context.settings, concurrency=2
            )
        except LightermanError as error:
            self._findings.failed(connection.name, "credentials", error)
            return None
        if isinstance(store, TellsLogin):
            source = store.login_source
            said = source if connection.options.anonymous else f"from {source}"
            self._findings.tell(connection.name, "credentials", State.OK, said)
        return store
