"""What ``/status`` tells, member by member; ``docs/status.md`` describes it. Times are seconds before or after the answer."""

import msgspec


class Reasons(msgspec.Struct, frozen=True):
    """How many of the files that wait do so for which reason."""

    sending: int = 0
    """Handed to the threads that send."""
    queued: int = 0
    """Ready: all threads are at work."""
    resting: int = 0
    """Closed lately: sent after ``--settle``, or a live file before its turn."""
    retrying: int = 0
    """Failed: tried again later."""
    open: int = 0
    """Open for writing: sent after its close."""
    temporary: int = 0
    """A temporary name: sent at the drain."""


class BacklogFacts(msgspec.Struct, frozen=True):
    """What isn't in the bucket yet."""

    files: int
    bytes: int
    is_estimate: bool
    """Sizes were looked up of a sample."""
    is_least: bool
    """A walk is under way, or a queue is full: there may be more."""
    behind_seconds: float
    """How old the oldest change is whose time to be sent has come."""
    needed_seconds: float | None
    """How long all of it takes at the measured rate; ``None``: nothing was measured yet."""
    reasons: Reasons


class WaitingFact(msgspec.Struct, frozen=True):
    """One file that waits."""

    path: str
    why: str
    """A member of ``Reasons``."""
    for_seconds: float | None
    """Since its first event that isn't in the bucket."""
    next_seconds: float | None
    """Until it is looked at by itself; ``None``: it waits for something other than time."""


class FailedFact(msgspec.Struct, frozen=True):
    """One file whose latest attempt failed."""

    path: str
    kind: str
    message: str
    hint: str


class SentFact(msgspec.Struct, frozen=True):
    """One file that was sent."""

    path: str
    seconds_ago: float


class Sample(msgspec.Struct, frozen=True, array_like=True):
    """A moment of the last hour."""

    seconds_ago: float
    sent_bytes: int
    """Since the start: throughput is the difference of two samples over their distance."""
    sent_files: int
    backlog_bytes: int
    backlog_files: int


class ReconcileFacts(msgspec.Struct, frozen=True):
    """The walks over the whole path."""

    count: int
    is_walking: bool
    last_duration_seconds: float | None
    last_seconds_ago: float | None
    last_files: int | None
    next_seconds: float | None


class OutputsFacts(msgspec.Struct, frozen=True, kw_only=True):
    """One outputs path and where it goes."""

    path: str
    connection: str
    prefix: str
    phase: str
    is_ready: bool
    why_not_ready: str
    uptime_seconds: float
    sent_files: int
    sent_bytes: int
    skipped_files: int
    """Found to be there, as they are."""
    synced_files: int | None
    """Files and markers that the journal has as being in the bucket."""
    retries: int
    uploads_in_flight: int
    bytes_per_second: float
    """Measured while something was sent, the last minute counting most."""
    files_per_second: float
    grace_seconds: float
    backlog: BacklogFacts
    waiting: list[WaitingFact]
    """The first of them, those that wait longest first."""
    failed_files: int
    failed: list[FailedFact]
    """The first of them."""
    failures: dict[str, int]
    """Attempts that failed, by the error's kind, since the start."""
    last_sent_timestamp_seconds: float | None
    recent: list[SentFact]
    """The last files that were sent, the latest first."""
    reconciles: ReconcileFacts
    watch_overflows: int
    unwatched_directories: int
    history: list[Sample]


class Facts(msgspec.Struct, frozen=True):
    """All of ``/status``."""

    version: str
    outputs: list[OutputsFacts]


class FlushFacts(msgspec.Struct, frozen=True):
    """How a flush ended."""

    is_flushed: bool
    files: int
    """How many files it waited for."""
    failed_files: int
    failed: list[FailedFact]
    """The first of those that aren't in the bucket, and why."""
    error: str = ""
    """Why it ended before it knew."""
