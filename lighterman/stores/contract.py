"""
What every store promises, whichever cloud or volume is behind it. The conformance suite in
``tests/stores`` runs each sentence here over every store.

A *key* is the full name of an object inside its bucket (for a volume: the path below its root, with
``/``), as the user sees it in a console; it is never normalised. A *prefix* is any leading string of
a key, matched exactly. Every method raises the errors of :mod:`lighterman.errors` and no others:
``SourceMissingError`` (no such object), ``BucketMissingError``, ``CredentialsError``,
``TransientError``/``SlowDownError`` (worth another try by the caller), ``SourceChangedError`` (an
ETag pin that no longer holds), ``ConditionFailedError``, ``UploadMissingError``, ``CannotWriteError``.
A method makes at most a few quick attempts of its own; the policy is the caller's.

All methods may be called from many threads at once.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple, NewType, Protocol

import msgspec

if TYPE_CHECKING:
    from lighterman.stores.straight import Straight

Key = NewType("Key", str)
"""The full, exact name of an object in its bucket."""

ETag = NewType("ETag", str)
"""
A version of an object, without quotes: S3's and Azure's ETag, GCS's generation. Equal ETags of one key mean
equal content; no more is promised.
"""

Checksum = NewType("Checksum", str)
"""
Of an object's whole content, as ``md5:`` or ``crc32c:`` and lower-case hexadecimal digits: what a store tells
without reading, and ``lighterman.checksums`` computes.
"""


class Listed(msgspec.Struct, frozen=True, gc=False):
    """One object as a listing tells it."""

    key: Key
    size_bytes: int
    etag: ETag
    modified_seconds: float
    """When the store last wrote it, seconds since the epoch."""
    archived: bool = False
    """True where its bytes can't be read before a restore (Glacier, archive tiers)."""
    checksum: Checksum | None = None
    """
    What the content adds up to, as far as the listing tells. Where S3 encrypts with keys of its own choice
    an ETag only looks like an MD5: ``stat`` knows, and is to be asked before content is called wrong.
    """


class Attributes(msgspec.Struct, frozen=True, gc=False):
    """What an object carries beside its bytes. ``None`` means: not known, or not given."""

    content_type: str | None = None
    mode: int | None = None
    """Permission bits (``0o7777`` at most)."""
    mtime_ns: int | None = None
    """The file's modification time, nanoseconds since the epoch."""


class Stat(msgspec.Struct, frozen=True, gc=False):
    """One object as the store tells it when asked for that key alone."""

    key: Key
    size_bytes: int
    etag: ETag
    modified_seconds: float
    attributes: Attributes
    archived: bool = False
    """As in a listing."""
    checksum: Checksum | None = None
    """What the content adds up to; the store stands by it."""


class Window(NamedTuple):
    """A range of an open file. It is read with ``pread``, so one descriptor serves many windows at once."""

    descriptor: int
    start: int
    size_bytes: int


class Span(NamedTuple):
    """A range of an object."""

    start: int
    size_bytes: int


class Part(NamedTuple):
    """One part that the store has."""

    number: int
    etag: ETag
    size_bytes: int


class OpenUpload(NamedTuple):
    """An upload that was begun and neither finished nor abandoned."""

    key: Key
    upload_id: str
    begun_seconds: float


class Digest(Protocol):
    """Takes the bytes as they pass: what ``hashlib`` returns."""

    def update(self, data: bytes | memoryview, /) -> object: ...


class UploadLimits(NamedTuple):
    """The store's own limits for uploads by parts."""

    least_part_bytes: int
    most_part_bytes: int
    most_parts: int
    in_order: bool = False
    """True where parts are taken one after another only, from the first (GCS's resumable sessions)."""


class Store(Protocol):
    """One connection, opened. Cheap to hold, safe to share among threads."""

    connection: str
    """The connection's name, for errors and logs."""
    prefix: str
    """The connection's own root inside the bucket: ``""`` or a path without slashes at its ends."""
    destination: str
    """Endpoint and bucket as one stable string without secrets: what a journal is bound to."""
    limits: UploadLimits
    small_write_bytes: int
    """Up to this size ``write`` takes an object at once; larger ones go by parts."""
    call_memory_bytes: int
    """The most that one ``read_into``, ``write`` or ``send_part`` holds in buffers, whatever its window."""

    lists_after: bool
    """
    Whether a listing ``after`` a key begins there, in a store that keeps the keys in their order. Elsewhere all
    that comes before is asked for too, and dropped.
    """

    def pages(self, prefix: str, *, after: str = "") -> Iterator[list[Listed]]:
        """
        Pages of every object whose key starts with ``prefix`` and comes after ``after``, which need be no
        object's key, in the byte order of their UTF-8 keys, with memory for one page. Directory markers are listed as the objects that they are (a volume
        lists an empty directory as ``dir/``). An absent prefix gives no page or empty ones.
        """
        ...

    def stat(self, key: Key) -> Stat:
        """Size, ETag and attributes of one object. ``SourceMissingError`` if there is none."""
        ...

    def read_into(
        self,
        key: Key,
        window: Window,
        *,
        at: int,
        etag: ETag,
        digest: Digest | None = None,
    ) -> Attributes:
        """
        Write ``window.size_bytes`` bytes of the object, from its offset ``at``, into the window of an
        open file, never holding more than ``call_memory_bytes``, pinned to ``etag``: ``SourceChangedError``
        when the object is another by now, ``TransientError`` when fewer bytes came. A bucket that keeps old
        versions may still give those of that ETag: whole, and of one object all the same. ``digest`` sees the
        bytes in order. Returns the attributes that came with the bytes, at no further request.
        Zero bytes are a request too, where the store needs one to know the attributes.
        """
        ...

    def straight(self) -> "Straight | None":
        """How to read and write over connections of one's own; ``None`` where only this store's calls know how."""
        ...

    def write(
        self,
        key: Key,
        window: Window,
        attributes: Attributes,
        *,
        only_if_absent: bool = False,
        replacing: ETag | None = None,
    ) -> ETag:
        """
        Put one object of at most ``small_write_bytes`` at once, from the window. A reader sees the old
        object or the new one, never a mix. ``only_if_absent`` raises ``ConditionFailedError`` if the key
        has an object, ``replacing`` if it has another than the one of that ETag, or none.
        """
        ...

    def copy(
        self,
        source: Key,
        etag: ETag,
        target: Key,
        attributes: Attributes,
        *,
        only_if_absent: bool = False,
        replacing: ETag | None = None,
    ) -> ETag:
        """
        Copy inside the store, pinned to the source's ETag, with ``attributes`` in place of its own. The target
        may be the source itself, which so gets other attributes. Conditions are of the target, as of ``write``.
        """
        ...

    def delete(self, key: Key) -> None:
        """Delete one object. An absent one is no error."""
        ...

    def begin(
        self,
        key: Key,
        attributes: Attributes,
        *,
        part_bytes: int,
        only_if_absent: bool = False,
        replacing: ETag | None = None,
    ) -> str:
        """
        Open an upload by parts, all of ``part_bytes`` but the last, which may be smaller; returns its id,
        which any process may go on with. The id may be all that it takes: it is never logged.
        Conditions are said here and to ``finish``: some stores take them with the one, some with the other.
        """
        ...

    def send_part(self, key: Key, upload_id: str, number: int, window: Window) -> Part:
        """
        Send part ``number`` (from 1) from the window; sent twice, the last one counts (where parts go
        in order: the first one). Parts but the last must be within ``limits``. ``UploadMissingError`` if
        the upload is no more, or lacks a part that had to come before.
        """
        ...

    def sent_parts(self, key: Key, upload_id: str) -> list[Part]:
        """
        The parts that the store has, by number; with an empty ETag where it only tells how far it came.
        ``UploadMissingError`` if the upload is no more.
        """
        ...

    copies_parts: bool
    """Whether ``copy_part`` can be asked. Where it can, the parts of an upload needn't be of one size."""

    def copy_part(
        self, source: Key, etag: ETag, key: Key, upload_id: str, number: int, span: Span
    ) -> Part:
        """
        Fill a part of an upload with a span of an object that the store has, pinned to its ETag: no byte of it
        passes here. ``SourceChangedError`` and ``SourceMissingError`` as of ``copy``, ``UploadMissingError`` as of
        ``send_part``.
        """
        ...

    def finish(
        self,
        key: Key,
        upload_id: str,
        parts: list[Part],
        *,
        only_if_absent: bool = False,
        replacing: ETag | None = None,
    ) -> ETag:
        """
        Make the object of these parts visible, whole. ``UploadMissingError`` if the upload is no more, or
        lacks one of them; ``ConditionFailedError`` where a condition doesn't hold, as of ``write``.
        """
        ...

    def abandon(self, key: Key, upload_id: str) -> None:
        """Drop an upload and what it holds. One that is no more is no error."""
        ...

    def open_uploads(self, prefix: str) -> list[OpenUpload]:
        """Uploads that wait for their end, of keys that start with ``prefix``."""
        ...

    def made_of(self, key: Key, parts: list[Part]) -> ETag | None:
        """
        The ETag of the object under ``key``, if it is what ``finish`` of these parts makes; ``None`` if it
        is another, if there is none, and where that can't be told.
        """
        ...

    def part_etag(self, window: Window) -> ETag | None:
        """The ETag that a part of these bytes has; ``None`` where it can't be computed. Reads the window."""
        ...

    def has_content(self, listed: Listed, window: Window, part_bytes: int) -> bool:
        """
        Whether the object has the window's content, by its size and its checksum or by an ETag that can be
        computed (of parts of ``part_bytes``, where it came so); False where that can't be told. Reads the
        window, asks the store nothing. Lets a lost journal be rebuilt from a listing.
        """
        ...

    def same_content(self, key: Key, etag: ETag, window: Window, part_bytes: int) -> bool:
        """
        Whether the object of that ETag has the window's content, by a sum of 128 bits or byte for byte; False
        where that can't be told, and where the key has another object by now. May ask the store once; reads
        the window. ``part_bytes`` as of ``has_content``.
        """
        ...

    def close(self) -> None:
        """Let go of sockets and threads. The store isn't used after."""
        ...
