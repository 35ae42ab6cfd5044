"""Whole URIs, as paths of the filesystem that they are given to."""

from collections.abc import Callable
from typing import Final

from lighterman.connections.model import Kind
from lighterman.connections.uri import parse_bucket

_SCHEMES: Final[dict[Kind, tuple[str, ...]]] = {
    "s3": ("s3://",),
    "gcs": ("gs://", "gcs://"),
    "wasb": ("abfs://", "abfss://", "az://", "wasb://", "wasbs://", "https://"),
}


def bucket_path(kind: Kind, account: str = "") -> Callable[[str], str | None]:
    """
    A function from a URI of the kind to ``bucket/key``; it gives ``None`` for a path that is none.
    ``ValueError`` for one of another ``account``, ``ConfigurationError`` for one that is malformed.
    """
    schemes = _SCHEMES[kind]

    def path_of(text: str) -> str | None:
        if not text.startswith(schemes):
            return None
        place = parse_bucket(kind, text.replace("gcs://", "gs://", 1))
        if account and place.account not in ("", account):
            raise ValueError(f"{text!r} is of another account than {account}")
        return f"{place.bucket}/{place.prefix}".rstrip("/")

    return path_of


def volume_path(text: str) -> str | None:
    """A ``file`` URI's path; ``None`` for a path that is no URI."""
    if not text.startswith("file://"):
        return None
    from urllib.parse import unquote

    return "/" + unquote(text.removeprefix("file://").removeprefix("localhost").lstrip("/"))
