"""Objects as the JSON API shows them: https://cloud.google.com/storage/docs/json_api/v1/objects#resource."""

import base64
import binascii
from datetime import datetime
from typing import Final, TypeVar

import msgspec

from lighterman.checksums import CRC32C, MD5, checksum
from lighterman.errors import TransientError
from lighterman.stores import metadata
from lighterman.stores.contract import Attributes, Checksum, ETag, Key, Listed, Stat

T = TypeVar("T")

LISTED_FIELDS: Final = "name,size,generation,crc32c,md5Hash,updated"
STAT_FIELDS: Final = f"{LISTED_FIELDS},contentType,metadata"


class Resource(msgspec.Struct, frozen=True, rename="camel", gc=False):
    """One object, as far as it was asked for."""

    updated: datetime
    name: str
    generation: str
    size: str = "0"
    """Decimal digits, as all 64-bit numbers of the API."""
    crc32c: str = ""
    md5_hash: str = ""
    """Both in base64; neither is told of an object with the customer's own key, MD5 of no composite one."""
    content_type: str | None = None
    metadata: dict[str, str] = {}

    @property
    def checksum(self) -> Checksum | None:
        """What the content adds up to: CRC32C, which every object has, else MD5."""
        for algorithm, digits in ((CRC32C, self.crc32c), (MD5, self.md5_hash)):
            try:
                digest = base64.b64decode(digits, validate=True)
            except binascii.Error:
                continue
            if digest:
                return checksum(algorithm, digest.hex())
        return None

    def listed(self) -> Listed:
        return Listed(
            Key(self.name),
            int(self.size),
            ETag(self.generation),
            self.updated.timestamp(),
            checksum=self.checksum,
        )

    def stat(self) -> Stat:
        return Stat(
            Key(self.name),
            int(self.size),
            ETag(self.generation),
            self.updated.timestamp(),
            metadata.from_metadata(self.metadata, self.content_type),
            checksum=self.checksum,
        )


class Page(msgspec.Struct, frozen=True, rename="camel"):
    """One answer of a listing; the token is empty on the last one."""

    items: list[Resource] = []
    next_page_token: str = ""


class Rewrite(msgspec.Struct, frozen=True, rename="camel"):
    """One answer of a rewrite: done, or the token that goes on with it."""

    done: bool
    rewrite_token: str = ""
    resource: Resource | None = None


_resources: Final = msgspec.json.Decoder(Resource)
_pages: Final = msgspec.json.Decoder(Page)
_rewrites: Final = msgspec.json.Decoder(Rewrite)


def resource_of(body: bytes) -> Resource:
    """``TransientError`` for what is no such answer: a body cut short, or a proxy's own page."""
    return _decoded(_resources, body)


def page_of(body: bytes) -> Page:
    return _decoded(_pages, body)


def rewrite_of(body: bytes) -> Rewrite:
    return _decoded(_rewrites, body)


def base64_of(hexdigest: str) -> str:
    """A digest as GCS writes it."""
    return base64.b64encode(bytes.fromhex(hexdigest)).decode()


def properties(attributes: Attributes, key: str, storage_class: str | None) -> dict[str, object]:
    """What a call that makes an object is told of it."""
    made: dict[str, object] = {
        # Said in each case: by an empty resource a rewrite would take the source's own.
        "contentType": attributes.content_type or "application/octet-stream",
        "metadata": metadata.to_metadata(attributes, key),
    }
    if storage_class:
        made["storageClass"] = storage_class
    return made


def _decoded(decoder: "msgspec.json.Decoder[T]", body: bytes) -> T:
    try:
        return decoder.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise TransientError("the store's answer is cut short, or no JSON of its API") from error
