"""
The report: one JSON object that tells what a command did, small enough for Kubernetes' termination
message (4,096 bytes), so that ``kubectl describe pod`` shows it.
"""

import json
from pathlib import Path

import msgspec

from lighterman.errors import ExitCode, LightermanError
from lighterman.log import get_logger
from lighterman.secret import scrub
from lighterman.text import encodable, plain_json
from lighterman.transfer.tally import Sharded, Tally

MOST_BYTES = 4096
"""https://kubernetes.io/docs/tasks/debug/debug-application/determine-reason-pod-failure/"""
MOST_SHARDS = 5
"""With 250 bytes each, and names of connections that may be cut, they fit beside an error."""
TERMINATION_LOG = Path("/dev/termination-log")


class ReportedError(msgspec.Struct, frozen=True):
    """Why a command failed."""

    code: int
    kind: str
    message: str
    hint: str

    @classmethod
    def of(cls, error: LightermanError) -> "ReportedError":
        message, hint = encodable(error.message), encodable(error.hint)
        return cls(int(error.exit_code), error.kind, message, hint)


class Report(msgspec.Struct, frozen=True, omit_defaults=True):
    """The members of the contract; ``failed`` is the first keys and how many there are in all."""

    command: str
    status: str
    files: int
    bytes: int
    skipped: int
    seconds: float
    retries: int
    unverified: int = 0
    shards: list[Sharded] | None = None
    """The first few sharded entries of init."""
    cached: int = 0
    failed: dict[str, object] | None = None
    error: ReportedError | None = None


def build(
    command: str, tally: Tally, seconds: float, code: int, error: LightermanError | None
) -> Report:
    """What the tally and the end of the command amount to."""
    totals = tally.totals()
    failures = tally.failures()
    return Report(
        command=command,
        status="done" if code == ExitCode.DONE else "failed",
        files=totals.files,
        bytes=totals.bytes,
        skipped=totals.skipped,
        seconds=round(seconds, 3),
        retries=totals.retries,
        unverified=totals.unverified,
        shards=tally.sharded()[:MOST_SHARDS] or None,
        cached=totals.cached,
        failed={
            "count": totals.failures,
            "first": [
                {"key": encodable(f.key), "kind": f.kind, "message": encodable(f.message)}
                for f in failures
            ],
        }
        if failures
        else None,
        error=ReportedError.of(error) if error else None,
    )


def encode(report: Report, most_bytes: int = MOST_BYTES) -> bytes:
    """
    The report as JSON of at most ``most_bytes``, secrets masked. What doesn't fit is cut where it
    hurts least: later failed keys first, then the ends of long texts.
    """
    document = json.loads(scrub(msgspec.json.encode(report).decode()))
    for longest in (1000, 400, 150, 60, 20):
        encoded = _encoded(document)
        while len(encoded) > most_bytes and len(document.get("failed", {}).get("first", [])) > 1:
            document["failed"]["first"].pop()
            encoded = _encoded(document)
        if len(encoded) <= most_bytes:
            return encoded
        document = _shortened(document, longest)
    return _encoded(document)


def _encoded(document: object) -> bytes:
    return plain_json(msgspec.json.encode(document).decode()).encode()


def _shortened(value: object, longest: int) -> dict[str, object]:
    def shorten(item: object) -> object:
        if isinstance(item, str) and len(item) > longest:
            return item[: longest - 1] + "…"
        if isinstance(item, dict):
            return {name: shorten(member) for name, member in item.items()}
        if isinstance(item, list):
            return [shorten(member) for member in item]
        return item

    shortened = shorten(value)
    assert isinstance(shortened, dict)  # noqa: S101 - a report is an object
    return shortened


def write(report: Report, file: str | None) -> None:
    """
    To ``file``, else to the termination log where there is one. A report that can't be written is
    said in the log; it never changes how the command ended.
    """
    place = Path(file) if file else TERMINATION_LOG
    if not file and not place.exists():
        return
    try:
        # In place: the kubelet mounts this very file, a rename over it would be lost.
        place.write_bytes(encode(report))
    except OSError as error:
        get_logger().warning("report.not_written", path=str(place), error=str(error))
