"""
Objects whose bytes wait in an archive, as S3 tells it. Instant Retrieval (``GLACIER_IR``) is no archive in
this sense. https://docs.aws.amazon.com/AmazonS3/latest/userguide/restoring-objects.html
"""

from collections.abc import Mapping
from typing import Final

_CLASSES: Final = {"GLACIER", "DEEP_ARCHIVE"}
_TIERS: Final = {"ARCHIVE_ACCESS", "DEEP_ARCHIVE_ACCESS"}
"""Of ``INTELLIGENT_TIERING``: told of one object alone, never in a listing."""


def is_archived(storage_class: str | None, restored_until: str | None) -> bool:
    """Whether an entry of a listing is archived, and no restored copy of it is there."""
    return storage_class in _CLASSES and not restored_until


def is_archived_by_headers(headers: Mapping[str, str]) -> bool:
    """The same of an object's own headers. A restore that is under way has no copy yet."""
    in_archive = headers.get("x-amz-storage-class") in _CLASSES
    in_archive = in_archive or headers.get("x-amz-archive-status") in _TIERS
    return in_archive and "expiry-date=" not in headers.get("x-amz-restore", "")
