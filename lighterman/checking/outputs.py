"""Whether outputs may go to a prefix: written, made of parts, found again, deleted."""

import threading
from typing import Final

from lighterman.checking.findings import Findings, State
from lighterman.checking.permissions import needed
from lighterman.checking.probe import NAME, Probe
from lighterman.clock import Clock
from lighterman.connections.model import Connection
from lighterman.errors import CredentialsError, DeadlineError, LightermanError
from lighterman.stores.advice import Advises
from lighterman.stores.contract import Store
from lighterman.transfer.retry import Attempts

LONG_OPEN_SECONDS: Final = 86_400.0
"""An upload that is open for so long is nobody's any more, or of a job that takes days for one file."""
CHECKS: Final = ("write", "read back", "conditions", "multipart", "uploads", "lifecycle", "delete")


class Outputs:
    """The checks of one prefix, in their order."""

    def __init__(
        self,
        connection: Connection,
        store: Store,
        to: str,
        findings: Findings,
        *,
        attempts: Attempts,
        clock: Clock,
        stop: threading.Event,
    ) -> None:
        self._connection = connection
        self._store = store
        self._prefix = "/".join(part for part in (store.prefix, to) if part)
        self._findings = findings
        self._clock = clock
        self._attempts = attempts
        self._stop = stop
        self._subject = connection.name if not to else f"{connection.name}:{to}"
        self.probe = Probe(store, self._prefix, attempts, clock)
        self.rate_bytes_per_second: float | None = None
        """How fast one part went, where one did."""

    def run(self) -> None:
        """All of them. ``DeadlineError`` when told to stop; nothing is left behind then either."""
        try:
            self._writes()
        finally:
            self._delete()

    def _writes(self) -> None:
        self._sweep()
        if not self._write():
            for check in CHECKS[1:-1]:
                self._skip(check, "nothing could be written")
            return
        self._read_back()
        self._conditions()
        self._multipart()
        self._uploads()
        self._lifecycle()

    def _sweep(self) -> None:
        try:
            swept = self.probe.sweep()
        except LightermanError:  # what stands against it the checks themselves tell
            return
        if swept:
            said = f"took away {swept} probes of checks that were killed"
            self._findings.tell(self._subject, "delete", State.NOTE, said)

    def _write(self) -> bool:
        self._look_for_stop()
        try:
            size_bytes = self.probe.write()
        except LightermanError as error:
            self._failed("write", error)
            return False
        where = f"{self._prefix}/" if self._prefix else "the root"
        self._ok("write", f"{size_bytes} bytes to {where}, found in the listing")
        return True

    def _read_back(self) -> None:
        self._look_for_stop()
        try:
            kept_time = self.probe.read_back()
        except CredentialsError as error:
            hint = needed(self._connection.kind, "read back")
            said = f"{error.message}; outputs go there all the same"
            self._findings.tell(self._subject, "read back", State.WARNING, said, hint)
        except LightermanError as error:
            self._failed("read back", error)
        else:
            if kept_time:
                self._ok("read back", "the same bytes, with their mode and time")
            else:
                said = "the same bytes, but the store dropped the metadata"
                hint = "modes and modification times won't come back with init"
                self._findings.tell(self._subject, "read back", State.WARNING, said, hint)

    def _conditions(self) -> None:
        self._look_for_stop()
        try:
            keeps = self.probe.is_conditional()
        except LightermanError as error:
            self._failed("conditions", error)
            return
        said = "only-if-absent writes are kept" if keeps else "only-if-absent writes are not kept"
        self._findings.tell(self._subject, "conditions", State.OK if keeps else State.NOTE, said)

    def _multipart(self) -> None:
        self._look_for_stop()
        try:
            parts = self.probe.send_parts()
        except LightermanError as error:
            self._failed("multipart", error)
            return
        self.rate_bytes_per_second = parts.rate_bytes_per_second
        self._ok("multipart", f"{parts.size_bytes} bytes in two parts, found in the listing")

    def _uploads(self) -> None:
        self._look_for_stop()
        if (
            self._connection.kind == "gcs"
        ):  # https://cloud.google.com/storage/docs/resumable-uploads
            self._skip("uploads", "GCS lists no open sessions; they end by themselves after a week")
            return
        below = f"{self._prefix}/" if self._prefix else ""
        try:
            uploads = self._attempts.call(
                f"list uploads {below}", lambda: self._store.open_uploads(below)
            )
        except CredentialsError as error:
            hint = needed(self._connection.kind, "uploads")
            self._findings.tell(self._subject, "uploads", State.WARNING, error.message, hint)
            return
        except LightermanError as error:
            self._failed("uploads", error)
            return
        own = f"{below}{NAME}"
        begun = [one.begun_seconds for one in uploads if not one.key.startswith(own)]
        if begun and self._clock.wall() - min(begun) > LONG_OPEN_SECONDS:
            days = int((self._clock.wall() - min(begun)) / 86_400)
            said = f"{len(begun)} are open, the oldest for {days} days"
            hint = "abort those that no job goes on with: their parts take space"
            self._findings.tell(self._subject, "uploads", State.WARNING, said, hint)
        else:
            self._ok("uploads", f"{len(begun)} are open" if begun else "none is open")

    def _lifecycle(self) -> None:
        store = self._store
        if not isinstance(store, Advises):
            return
        self._look_for_stop()
        below = f"{self._prefix}/" if self._prefix else ""
        try:
            told = self._attempts.call("get rules", lambda: store.advice(below))
        except LightermanError as error:
            self._failed("lifecycle", error)
            return
        for advice in told:
            state = State.WARNING if advice.hint else State.OK if advice.is_known else State.SKIPPED
            self._findings.tell(self._subject, advice.topic, state, advice.said, advice.hint)

    def _delete(self) -> None:
        was_there = self.probe.left
        failure = self.probe.remove()
        if failure is not None:
            self._failed("delete", failure, f"left behind: {', '.join(self.probe.left)}")
        elif was_there:
            self._ok("delete", "nothing is left behind")

    def _look_for_stop(self) -> None:
        if self._stop.is_set():
            raise DeadlineError("told to stop before all was checked", hint="start it again")

    def _ok(self, check: str, said: str) -> None:
        self._findings.tell(self._subject, check, State.OK, said)

    def _skip(self, check: str, why: str) -> None:
        self._findings.tell(self._subject, check, State.SKIPPED, why)

    def _failed(self, check: str, error: LightermanError, more: str = "") -> None:
        permission = ""
        if isinstance(error, CredentialsError):
            permission = needed(self._connection.kind, check)
        hint = "; ".join(part for part in (permission, more) if part)
        self._findings.failed(self._subject, check, error, hint)
