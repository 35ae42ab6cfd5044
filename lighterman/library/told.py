"""What a place tells: of one object, and of what a transfer did."""

from datetime import UTC, datetime
from typing import Self

import msgspec

from lighterman.stores.contract import Listed
from lighterman.transfer.tally import Tally


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """One object of a place."""

    key: str
    """Its path below the connection's root; a directory's marker ends with ``/``."""
    size_bytes: int
    etag: str
    """A version: another one where the content is another. GCS: the generation."""
    modified: datetime
    """When the store last wrote it, in UTC."""
    archived: bool = False
    """True where its bytes can't be read before a restore (Glacier, archive tiers)."""

    @property
    def is_directory(self) -> bool:
        """Whether it stands for an empty directory, and has no bytes."""
        return self.key.endswith("/")

    @classmethod
    def of(cls, listed: Listed, key: str) -> Self:
        """What a listing told, under its key below the connection's root."""
        return cls(
            key=key,
            size_bytes=listed.size_bytes,
            etag=listed.etag,
            modified=datetime.fromtimestamp(listed.modified_seconds, UTC),
            archived=listed.archived,
        )


class Transferred(msgspec.Struct, frozen=True, kw_only=True):
    """What one upload or download did."""

    files: int
    """Files that were carried, directory markers of uploads included."""
    size_bytes: int
    """Bytes that were carried; less than the files have where a transfer was gone on with."""
    skipped: int
    """Files that were there already, with the same content."""
    unverified: int
    """Downloads for which the store has no checksum of the whole object: size and ETag pin hold."""
    retries: int
    """Attempts that were made again after transient trouble."""

    @classmethod
    def of(cls, tally: Tally) -> Self:
        """The counters at the end."""
        totals = tally.totals()
        return cls(
            files=totals.files,
            size_bytes=totals.bytes,
            skipped=totals.skipped,
            unverified=totals.unverified,
            retries=totals.retries,
        )
