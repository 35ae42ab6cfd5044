"""Copies inside the bucket: whole ones as a thin call, and parts of uploads that are made of an object's bytes."""

import re
from collections.abc import Callable
from typing import Final, NamedTuple

from lighterman.errors import SourceChangedError, TransientError
from lighterman.stores.contract import Attributes, ETag, Key, Part, Span, Stat
from lighterman.stores.keys import quoted
from lighterman.stores.s3 import attributes as metadata
from lighterman.stores.s3 import failures, uploads
from lighterman.stores.s3.client import Client
from lighterman.stores.s3.configuration import S3Settings
from lighterman.stores.s3.stats import stat
from lighterman.stores.s3.uploads import bare, of_upload
from lighterman.stores.s3.wire import Wire
from lighterman.stores.windows import memory_window

_ETAG: Final = re.compile(rb"<ETag>\s*(?:&quot;|&#34;|\")?([^<&\"]+)")
_PLAIN_MD5: Final = re.compile(r"[0-9a-f]{32}")
_NOBODYS: Final = ETag("0" * 32)


class Pinned(NamedTuple):
    """What is copied where, and what it is to carry there."""

    source: Key
    etag: ETag
    target: Key
    attributes: Attributes


class Copier:
    """How one bucket's objects are copied: at once, by parts, under conditions of the target."""

    def __init__(self, limit_bytes: int, part_bytes: int) -> None:
        self._limit_bytes = limit_bytes
        self._part_bytes = min(part_bytes, limit_bytes)
        self._keeps_pins: bool | None = None
        """Whether the store keeps the condition of a copy's source: AWS does, Ceph and moto ignore it."""

    def copy(
        self,
        wire: Wire,
        client: Callable[[], Client],
        settings: S3Settings,
        pinned: Pinned,
        *,
        only_if_absent: bool,
        replacing: ETag | None,
    ) -> ETag:
        """As the store's ``copy``."""
        conditional = only_if_absent or replacing is not None
        is_plain = not (conditional or settings.write_kwargs)
        # What came by parts is looked at in any case: its size decides how it is copied.
        if is_plain and self._keeps_pins and _PLAIN_MD5.fullmatch(pinned.etag):
            return copy_plain(wire, settings, *pinned)
        found = looked_at(wire, settings, pinned.source, pinned.etag)
        if found.archived:
            raise failures.archived(settings.place, pinned.source)
        if found.size_bytes > self._limit_bytes or (conditional and found.size_bytes):
            made = uploads.copy_by_parts(
                client(),
                settings.bucket,
                *pinned,
                size_bytes=found.size_bytes,
                part_bytes=self._part_bytes,
                look=lambda: looked_at(wire, settings, pinned.source, pinned.etag),
                only_if_absent=only_if_absent,
                replacing=replacing,
            )
        elif conditional:  # no part can be made of nothing
            with memory_window(b"") as nothing:
                return uploads.put(
                    client(),
                    pinned.target,
                    nothing,
                    pinned.attributes,
                    only_if_absent=only_if_absent,
                    replacing=replacing,
                )
        else:
            if is_plain:
                made = self._copied_at_once(wire, settings, pinned)
            else:
                made = uploads.copy_whole(client(), settings.bucket, *pinned)
            self._check_unraced(wire, settings, pinned, made)
        return made or stat(wire, settings, pinned.target).etag

    def _copied_at_once(self, wire: Wire, settings: S3Settings, pinned: Pinned) -> ETag:
        """
        An object that was just looked at. The first one finds out whether pins are kept: it is asked for with one
        that no object has, which does no harm where that is ignored.
        """
        if self._keeps_pins is None:
            try:
                made = copy_plain(wire, settings, *pinned._replace(etag=_NOBODYS))
            except SourceChangedError:
                self._keeps_pins = True
            else:
                self._keeps_pins = False
                return made
        return copy_plain(wire, settings, *pinned)

    def _check_unraced(self, wire: Wire, settings: S3Settings, pinned: Pinned, made: ETag) -> None:
        """
        Where the pin is ignored, an upload may have come between the look at the source and the copy. Equal sums show
        that it didn't; of what came by parts or is encrypted, the source's own ETag does.
        """
        if self._keeps_pins or (_PLAIN_MD5.fullmatch(pinned.etag) and made == pinned.etag):
            return
        if pinned.source != pinned.target:  # of itself, a look would find what was made
            looked_at(wire, settings, pinned.source, pinned.etag)


def looked_at(wire: Wire, settings: S3Settings, source: Key, etag: ETag) -> Stat:
    """The object, if it still is the one of that ETag; else ``SourceChangedError``."""
    found = stat(wire, settings, source)
    if found.etag != etag:
        raise SourceChangedError(
            f"{source!r} is another object by now", connection=settings.connection, key=source
        )
    return found


def copy_plain(
    wire: Wire, settings: S3Settings, source: Key, etag: ETag, target: Key, attributes: Attributes
) -> ETag:
    """
    CopyObject, where no parameter of botocore's is wanted: a tenth of its client's processor time.
    https://docs.aws.amazon.com/AmazonS3/latest/API/API_CopyObject.html
    """
    headers = {
        "x-amz-copy-source": f"/{settings.bucket}/{quoted(source)}",
        "x-amz-copy-source-if-match": f'"{etag}"',
        "x-amz-metadata-directive": "REPLACE",
        "content-type": attributes.content_type or "binary/octet-stream",
        "content-length": "0",
    }
    for name, value in metadata.to_metadata(attributes, target).items():
        headers[f"x-amz-meta-{name}"] = value
    if settings.storage_class:
        headers["x-amz-storage-class"] = settings.storage_class
    answer = wire.call("PUT", target, headers=headers)
    found = _ETAG.search(answer.body)
    if found is None:  # a copy may fail after its 200 was sent
        failure = failures.from_answer(500, answer.headers, answer.body)
        if failure.code:
            raise failures.explained(settings.place, failure, source)
        raise TransientError(
            f"{settings.endpoint} copied {source!r} without saying what it made",
            connection=settings.connection,
            key=source,
        )
    return ETag(found[1].decode())


def copy_part(
    client: Client,
    bucket: str,
    source: Key,
    etag: ETag,
    key: Key,
    upload_id: str,
    number: int,
    span: Span,
) -> Part:
    """https://docs.aws.amazon.com/AmazonS3/latest/API/API_UploadPartCopy.html"""
    answer = of_upload(
        client,
        "UploadPartCopy",
        key,
        {
            "UploadId": upload_id,
            "PartNumber": number,
            "CopySource": {"Bucket": bucket, "Key": source},
            "CopySourceIfMatch": etag,
            "CopySourceRange": f"bytes={span.start}-{span.start + span.size_bytes - 1}",
        },
        on_condition=SourceChangedError,
    )
    return Part(number, bare(answer["CopyPartResult"]["ETag"]), span.size_bytes)
