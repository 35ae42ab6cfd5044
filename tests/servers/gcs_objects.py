"""
What the GCS server of the tests holds: buckets, objects with their generations, and resumable sessions.

Each rule names the page of https://cloud.google.com/storage/docs/ that it was read from.
"""

import base64
import bisect
import functools
import hashlib
import os
import secrets
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, NamedTuple

import google_crc32c

IN_MEMORY_BYTES = 1024 * 1024
QUANTUM_BYTES = 256 * 1024
"""Sessions keep whole multiples of this until their last request (performing-resumable-uploads)."""
SETTABLE = (
    "cacheControl",
    "contentDisposition",
    "contentEncoding",
    "contentLanguage",
    "contentType",
    "customTime",
    "metadata",
    "storageClass",
)
"""The fields of an object that a client may write (json_api/v1/objects)."""


class ApiError(Exception):
    """An answer that isn't a success: JSON's reason and XML's code of one and the same."""

    def __init__(
        self, status: int, reason: str, code: str, message: str, details: str = "", **headers: str
    ) -> None:
        super().__init__(message)
        self.status = status
        self.reason = reason
        self.code = code
        self.message = message
        self.details = details
        self.headers = {name.replace("_", "-"): value for name, value in headers.items()}


def no_such_bucket() -> ApiError:
    return ApiError(404, "notFound", "NoSuchBucket", "The specified bucket does not exist.")


def no_such_object(bucket: str, name: str) -> ApiError:
    return ApiError(404, "notFound", "NoSuchKey", f"No such object: {bucket}/{name}")


def invalid(message: str, code: str = "InvalidArgument") -> ApiError:
    return ApiError(400, "invalid", code, message)


class Content:
    """Bytes that only grow, in memory while they are few, with their digests."""

    def __init__(self, data: bytes = b"") -> None:
        self._memory = bytearray()
        self._file: Any = None
        self._md5 = hashlib.md5(usedforsecurity=False)
        self._crc32c = google_crc32c.Checksum()
        self.size_bytes = 0
        self.append(data)

    def append(self, data: bytes) -> None:
        if self._file is None and self.size_bytes + len(data) > IN_MEMORY_BYTES:
            self._file = tempfile.TemporaryFile(buffering=0)  # noqa: SIM115 (it lives as long as this)
            self._file.write(self._memory)
            self._memory = bytearray()
        if self._file is None:
            self._memory += data
        else:
            os.pwrite(self._file.fileno(), data, self.size_bytes)
        self.size_bytes += len(data)
        self._md5.update(data)
        self._crc32c.update(data)

    def read(self, start: int, size_bytes: int) -> bytes:
        if self._file is None:
            return bytes(self._memory[start : start + size_bytes])
        return os.pread(self._file.fileno(), size_bytes, start)

    @property
    def md5(self) -> str:
        return base64.b64encode(self._md5.digest()).decode()

    @property
    def md5_hex(self) -> str:
        return self._md5.hexdigest()

    @property
    def crc32c(self) -> str:
        return base64.b64encode(self._crc32c.digest()).decode()


class Hashes(NamedTuple):
    """What a client says that its content adds up to, in base64."""

    md5: str | None = None
    crc32c: str | None = None

    def check(self, content: Content) -> None:
        """A wrong hash keeps the object from being made (docs/data-validation#server-side_validation)."""
        for name, given, computed in (
            ("MD5", self.md5, content.md5),
            ("CRC32C", self.crc32c, content.crc32c),
        ):
            if given and given != computed:
                raise invalid(
                    f'Provided {name} hash "{given}" doesn\'t match calculated {name} hash'
                    f' "{computed}".',
                    "BadDigest",
                )

    def merged(self, other: "Hashes") -> "Hashes":
        return Hashes(other.md5 or self.md5, other.crc32c or self.crc32c)


@dataclass(frozen=True)
class GcsObject:
    """One generation of one object. A change of its metadata makes a new value."""

    bucket: str
    name: str
    content: Content
    generation: int
    created_seconds: float
    metageneration: int = 1
    updated_seconds: float = 0.0
    fields: Mapping[str, Any] = field(default_factory=dict)
    components: int | None = None
    """Of a composed object, which has no MD5 (docs/composite-objects)."""

    @property
    def md5(self) -> str | None:
        return None if self.components else self.content.md5

    @property
    def etag(self) -> str:
        """The JSON API's: of generation and metageneration, opaque (docs/hashes-etags)."""
        return base64.b64encode(f"{self.generation}/{self.metageneration}".encode()).decode()

    @property
    def xml_etag(self) -> str:
        """The XML API's: the MD5, except of a composed object (docs/hashes-etags)."""
        return f'"-{self.generation}"' if self.components else f'"{self.content.md5_hex}"'

    def resource(self, base_url: str) -> dict[str, Any]:
        """As the JSON API shows it (docs/json_api/v1/objects#resource)."""
        quoted = _quoted(self.name)
        link = f"{base_url}/storage/v1/b/{self.bucket}/o/{quoted}"
        media = f"{base_url}/download/storage/v1/b/{self.bucket}/o/{quoted}"
        created = rfc3339(self.created_seconds)
        shown: dict[str, Any] = {
            "kind": "storage#object",
            "id": f"{self.bucket}/{self.name}/{self.generation}",
            "selfLink": link,
            "mediaLink": f"{media}?generation={self.generation}&alt=media",
            "name": self.name,
            "bucket": self.bucket,
            "generation": str(self.generation),
            "metageneration": str(self.metageneration),
            "storageClass": "STANDARD",
            "size": str(self.content.size_bytes),
            "crc32c": self.content.crc32c,
            "etag": self.etag,
            "timeCreated": created,
            "updated": rfc3339(self.updated_seconds or self.created_seconds),
            "timeStorageClassUpdated": created,
            "timeFinalized": created,
        }
        if self.components:
            shown["componentCount"] = self.components
        else:
            shown["md5Hash"] = self.content.md5
        return shown | {name: value for name, value in self.fields.items() if value}


class Conditions(NamedTuple):
    """Preconditions of a request (docs/request-preconditions); ``None`` where it has none of the kind."""

    generation: int | None = None
    not_generation: int | None = None
    metageneration: int | None = None
    not_metageneration: int | None = None
    etags: tuple[str, ...] = ()
    """``If-Match``."""
    not_etags: tuple[str, ...] = ()
    """``If-None-Match``."""

    def check(self, found: GcsObject | None, etag: str | None) -> None:
        """412 where a match doesn't hold, 304 where a not-match doesn't (docs/request-preconditions)."""
        generation = found.generation if found else 0
        metageneration = found.metageneration if found else 0
        if (
            self.generation not in {None, generation}
            or self.metageneration not in {None, metageneration}
            or (self.etags and not _names(self.etags, etag))
        ):
            raise failed_condition(412)
        if (
            self.not_generation == generation
            or self.not_metageneration == metageneration
            or (self.not_etags and _names(self.not_etags, etag))
        ):
            raise failed_condition(304)


def failed_condition(status: int) -> ApiError:
    return ApiError(
        status,
        "conditionNotMet",
        "PreconditionFailed",
        "At least one of the pre-conditions you specified did not hold.",
    )


def _names(etags: Iterable[str], etag: str | None) -> bool:
    return etag is not None and any(each in {"*", etag, etag.strip('"')} for each in etags)


@dataclass
class Session:
    """One resumable upload (docs/resumable-uploads, docs/performing-resumable-uploads)."""

    upload_id: str
    bucket: str
    name: str
    fields: dict[str, Any]
    conditions: Conditions
    hashes: Hashes
    size_bytes: int | None
    """As its beginning told it (``X-Upload-Content-Length``)."""
    content: Content = field(default_factory=Content)
    made: GcsObject | None = None
    cancelled: bool = False
    lock: threading.Lock = field(default_factory=threading.Lock)

    def take(self, at: int, piece: bytes) -> None:
        """Append a piece. What is there already is passed over; a gap is refused by the caller."""
        with self.lock:
            known = self.content.size_bytes - at
            if 0 <= known < len(piece):
                self.content.append(piece[known:])


@dataclass
class Bucket:
    """A bucket's settings and its live objects, with their names in the order of a listing."""

    name: str
    fields: dict[str, Any]
    created_seconds: float
    metageneration: int = 1
    objects: dict[str, GcsObject] = field(default_factory=dict)
    names: list[str] = field(default_factory=list)
    policy: list[dict[str, Any]] = field(default_factory=list)

    def resource(self, base_url: str) -> dict[str, Any]:
        """As the JSON API shows it (docs/json_api/v1/buckets#resource)."""
        created = rfc3339(self.created_seconds)
        return {
            "kind": "storage#bucket",
            "id": self.name,
            "selfLink": f"{base_url}/storage/v1/b/{self.name}",
            "name": self.name,
            "projectNumber": "1234",
            "location": "US",
            "locationType": "multi-region",
            "storageClass": "STANDARD",
            "metageneration": str(self.metageneration),
            "etag": base64.b64encode(str(self.metageneration).encode()).decode(),
            "timeCreated": created,
            "updated": created,
        } | self.fields


class Page(NamedTuple):
    """A page of a listing."""

    found: list[GcsObject]
    prefixes: list[str]
    next_token: str | None


class Catalog:
    """All buckets. Every change and every precondition is decided under one lock."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._buckets: dict[str, Bucket] = {}
        self._sessions: dict[str, Session] = {}
        self._rewrites: dict[str, int] = {}
        self._last_generation = 0

    def create_bucket(self, name: str, fields: Mapping[str, Any]) -> Bucket:
        with self._lock:
            if name in self._buckets:
                raise ApiError(
                    409,
                    "conflict",
                    "BucketAlreadyOwnedByYou",
                    "Your previous request to create the named bucket succeeded and you already own it.",
                )
            kept = {key: value for key, value in fields.items() if key != "name"}
            bucket = self._buckets[name] = Bucket(name, kept, time.time())
            return bucket

    def bucket(self, name: str) -> Bucket:
        bucket = self._buckets.get(name)
        if bucket is None:
            raise no_such_bucket()
        return bucket

    def buckets(self) -> list[Bucket]:
        with self._lock:
            return [self._buckets[name] for name in sorted(self._buckets)]

    def change_bucket(self, name: str, fields: Mapping[str, Any]) -> Bucket:
        with self._lock:
            bucket = self.bucket(name)
            bucket.fields = _merged(bucket.fields, fields)
            bucket.metageneration += 1
            return bucket

    def delete_bucket(self, name: str) -> None:
        with self._lock:
            if self.bucket(name).objects:
                raise ApiError(
                    409,
                    "conflict",
                    "BucketNotEmpty",
                    "The bucket you tried to delete is not empty.",
                )
            del self._buckets[name]

    def find(
        self,
        bucket: str,
        name: str,
        generation: int | None = None,
        conditions: Conditions | None = None,
        etag_of: Callable[[GcsObject], str] = lambda found: found.etag,
    ) -> GcsObject:
        """The live object. An older generation is no more: these buckets have no versioning."""
        with self._lock:
            found = self.bucket(bucket).objects.get(name)
            if found is None or generation not in {None, found.generation}:
                raise no_such_object(bucket, name)
            (conditions or Conditions()).check(found, etag_of(found))
            return found

    def place(
        self,
        bucket: str,
        name: str,
        content: Content,
        fields: Mapping[str, Any],
        conditions: Conditions,
        hashes: Hashes,
        components: int | None = None,
        etag_of: Callable[[GcsObject], str] = lambda found: found.etag,
    ) -> GcsObject:
        """Make a new generation, if the hashes are right and the preconditions hold at this moment."""
        check_name(name)
        hashes.check(content)
        with self._lock:
            held = self.bucket(bucket)
            old = held.objects.get(name)
            conditions.check(old, etag_of(old) if old else None)
            now = time.time()
            made = GcsObject(
                bucket,
                name,
                content,
                self._next_generation(),
                now,
                fields={key: fields[key] for key in SETTABLE if fields.get(key) is not None},
                components=components,
            )
            if old is None:
                bisect.insort(held.names, name)
            held.objects[name] = made
            return made

    def change(
        self,
        bucket: str,
        name: str,
        generation: int | None,
        fields: Mapping[str, Any],
        conditions: Conditions,
        *,
        whole: bool,
    ) -> GcsObject:
        """
        Change metadata: merged (PATCH, docs/json_api/v1/objects/patch) or replaced as a whole (PUT,
        docs/json_api/v1/objects/update). The generation stays, the metageneration grows.
        """
        with self._lock:
            old = self._writable(bucket, name, generation, conditions)
            given = {key: fields[key] for key in SETTABLE if key in fields}
            made = GcsObject(
                bucket,
                name,
                old.content,
                old.generation,
                old.created_seconds,
                old.metageneration + 1,
                time.time(),
                given if whole else _merged(old.fields, given),
                old.components,
            )
            self.bucket(bucket).objects[name] = made
            return made

    def delete(
        self,
        bucket: str,
        name: str,
        generation: int | None,
        conditions: Conditions,
        etag_of: Callable[[GcsObject], str] = lambda found: found.etag,
    ) -> None:
        with self._lock:
            self._writable(bucket, name, generation, conditions, etag_of)
            held = self.bucket(bucket)
            del held.objects[name]
            del held.names[bisect.bisect_left(held.names, name)]

    def compose(
        self,
        bucket: str,
        name: str,
        sources: list[tuple[str, int | None, Conditions]],
        fields: Mapping[str, Any],
        conditions: Conditions,
    ) -> GcsObject:
        """At most 32 objects of the bucket, end to end (docs/json_api/v1/objects/compose)."""
        if not 1 <= len(sources) <= 32:
            raise invalid("The number of source components provided must be between 1 and 32.")
        with self._lock:
            content, components = Content(), 0
            for source, generation, wanted in sources:
                found = self.find(bucket, source, generation, wanted)
                for at in range(0, found.content.size_bytes, IN_MEMORY_BYTES):
                    content.append(found.content.read(at, IN_MEMORY_BYTES))
                components += found.components or 1
            return self.place(bucket, name, content, fields, conditions, Hashes(), components)

    def move(
        self, bucket: str, name: str, to_name: str, conditions: Conditions, wanted: Conditions
    ) -> GcsObject:
        """Another name for the same content and metadata, at once (docs/json_api/v1/objects/move)."""
        with self._lock:
            old = self.find(bucket, name, None, wanted)
            content, fields, parts = old.content, old.fields, old.components
            made = self.place(bucket, to_name, content, fields, conditions, Hashes(), parts)
            if to_name != name:
                self.delete(bucket, name, old.generation, Conditions())
            return made

    def rewritten(
        self, token: str | None, most_bytes: int | None, size_bytes: int
    ) -> tuple[str, int]:
        """
        How far a rewrite has come by this call (docs/json_api/v1/objects/rewrite): the token that goes on
        with it, and the bytes so far.
        """
        with self._lock:
            if token is None:
                token = secrets.token_urlsafe(24)
            elif token not in self._rewrites:
                raise invalid("Invalid rewrite token.")
            so_far = self._rewrites.get(token, 0) + (
                size_bytes if most_bytes is None else most_bytes
            )
            self._rewrites[token] = so_far = min(so_far, size_bytes)
            return token, so_far

    def page(
        self,
        bucket: str,
        prefix: str,
        token: str | None,
        most: int,
        delimiter: str = "",
        start: str = "",
        end: str = "",
    ) -> Page:
        """
        Names in the order of their UTF-8 bytes (docs/json_api/v1/objects/list), which is the order of
        Python's strings. A token says after which name to go on.
        """
        with self._lock:
            held = self.bucket(bucket)
            if token is None:
                at = bisect.bisect_left(held.names, max(prefix, start))
            else:
                at = bisect.bisect_right(held.names, base64.urlsafe_b64decode(token).decode())
            found: list[GcsObject] = []
            prefixes: list[str] = []
            last = None
            for name in held.names[at:]:
                if not name.startswith(prefix) or (end and name >= end):
                    break
                cut = name.find(delimiter, len(prefix)) if delimiter else -1
                if cut >= 0 and prefixes and name.startswith(prefixes[-1]):
                    last = name
                    continue
                if len(found) + len(prefixes) == most:
                    after = base64.urlsafe_b64encode(str(last).encode()).decode()
                    return Page(found, prefixes, after)
                if cut >= 0:
                    prefixes.append(name[: cut + len(delimiter)])
                else:
                    found.append(held.objects[name])
                last = name
            return Page(found, prefixes, None)

    def begin(
        self,
        bucket: str,
        name: str,
        fields: Mapping[str, Any],
        conditions: Conditions,
        hashes: Hashes,
        size_bytes: int | None,
    ) -> Session:
        """A session. Its preconditions and hashes are those of the object that it will make."""
        check_name(name)
        with self._lock:
            self.bucket(bucket)
            upload_id = secrets.token_urlsafe(48)
            session = Session(upload_id, bucket, name, dict(fields), conditions, hashes, size_bytes)
            self._sessions[upload_id] = session
            return session

    def session(self, upload_id: str) -> Session:
        """404 for an unknown one, 410 for one that ended without an object (docs/resumable-uploads)."""
        session = self._sessions.get(upload_id)
        if session is None:
            raise ApiError(404, "notFound", "NoSuchUpload", "The requested upload was not found.")
        if session.cancelled:
            raise ApiError(410, "gone", "NoSuchUpload", "The requested upload is no more.")
        return session

    def finish(self, session: Session, hashes: Hashes) -> GcsObject:
        """
        Make the object of what the session has; the preconditions that its beginning gave are decided now.
        A session whose object was refused is at its end (which isn't documented).
        """
        with session.lock:
            if session.made is None:
                try:
                    session.made = self.place(
                        session.bucket,
                        session.name,
                        session.content,
                        session.fields,
                        session.conditions,
                        session.hashes.merged(hashes),
                    )
                except ApiError:
                    session.cancelled = True
                    raise
            return session.made

    def _writable(
        self,
        bucket: str,
        name: str,
        generation: int | None,
        conditions: Conditions,
        etag_of: Callable[[GcsObject], str] = lambda found: found.etag,
    ) -> GcsObject:
        found = self.bucket(bucket).objects.get(name)
        if found is None or generation not in {None, found.generation}:
            raise no_such_object(bucket, name)
        conditions.check(found, etag_of(found))
        return found

    def _next_generation(self) -> int:
        """Microseconds since the epoch, as GCS's look; always greater than the one before."""
        self._last_generation = max(self._last_generation + 1, time.time_ns() // 1000)
        return self._last_generation


def check_name(name: str) -> None:
    """docs/objects#naming: 1 to 1,024 bytes, no CR or LF, neither ``.`` nor ``..``, no ACME challenge."""
    size = len(name.encode("utf-8", "surrogateescape"))
    if not 1 <= size <= 1024:
        raise invalid("Invalid object name: it must have 1 to 1024 bytes.", "InvalidObjectName")
    if (
        name in {".", ".."}
        or "\n" in name
        or "\r" in name
        or name.startswith(".well-known/acme-challenge/")
        or any("\udc80" <= letter <= "\udcff" for letter in name)
    ):
        raise invalid(f"Disallowed object name: {name!r}", "InvalidObjectName")


@functools.lru_cache(4096)
def _quoted(name: str) -> str:
    return "".join(
        letter if letter.isascii() and (letter.isalnum() or letter in "-_.~") else _percent(letter)
        for letter in name
    )


def _percent(letter: str) -> str:
    return "".join(f"%{byte:02X}" for byte in letter.encode())


def _merged(old: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """A patch: members are merged, and a null takes one away (docs/json_api#patch)."""
    merged = dict(old)
    for key, value in given.items():
        if value is None:
            merged.pop(key, None)
        elif isinstance(value, Mapping) and isinstance(merged.get(key), Mapping):
            merged[key] = _merged(merged[key], value)
        else:
            merged[key] = value
    return merged


def rfc3339(seconds: float) -> str:
    """With milliseconds, as GCS writes times."""
    moment = datetime.fromtimestamp(seconds, UTC)
    return moment.strftime("%Y-%m-%dT%H:%M:%S.") + f"{moment.microsecond // 1000:03}Z"
