"""Uploads by parts: blocks that are named so that any process knows them (see ``blocks``)."""

from collections.abc import Iterable
from typing import Final

from lighterman import checksums
from lighterman.errors import UploadMissingError
from lighterman.stores.azure import blocks
from lighterman.stores.azure.blocks import Block
from lighterman.stores.azure.client import Client
from lighterman.stores.contract import (
    Attributes,
    ETag,
    Key,
    OpenUpload,
    Part,
    UploadLimits,
    Window,
)
from lighterman.stores.windows import WindowBody

MIB: Final = 1024 * 1024
LIMITS: Final = UploadLimits(1, 4000 * MIB, 50_000)
"""https://learn.microsoft.com/rest/api/storageservices/put-block#remarks, of every version since 2019-12-12"""
_BYTE: Final = b"\0"
"""What a marker holds: Azure takes no empty block."""
_BYTE_MD5: Final = "93b885adfe0da089cdf634904fd59f71"


def begin(client: Client, key: Key, attributes: Attributes) -> str:
    upload_id = blocks.new_upload(attributes)
    for marker in blocks.markers(upload_id):
        _mark(client, key, marker)
    return upload_id


def send_part(client: Client, key: Key, upload_id: str, number: int, window: Window) -> Part:
    md5 = checksums.of_window(checksums.MD5, window)
    name = blocks.part(upload_id, number, md5).name
    client.stage(key, name, lambda: WindowBody(window), window.size_bytes, md5)
    return Part(number, ETag(md5), window.size_bytes)


def sent_parts(client: Client, key: Key, upload_id: str) -> list[Part]:
    newest: dict[int, tuple[int, Part]] = {}
    for block, size_bytes in _of_open(client, key, upload_id):
        part = Part(block.number, ETag(block.md5), size_bytes)
        if block.number not in newest or newest[block.number][0] < block.sent_ns:
            newest[block.number] = (block.sent_ns, part)
    return [newest[number][1] for number in sorted(newest)]


def finish(
    client: Client,
    key: Key,
    upload_id: str,
    parts: list[Part],
    *,
    only_if_absent: bool = False,
    replacing: ETag | None = None,
) -> ETag:
    waiting = {
        Part(block.number, ETag(block.md5), size_bytes): block.name
        for block, size_bytes in _of_open(client, key, upload_id)
    }
    names = []
    for part in sorted(parts):
        if part not in waiting:
            raise UploadMissingError(
                f"the upload of {key!r} lacks part {part.number}",
                connection=client.connection,
                key=key,
            )
        names.append(waiting[part])
    return client.commit(
        key,
        names,
        blocks.attributes_in(upload_id),
        only_if_absent=only_if_absent,
        replacing=replacing,
    )


def abandon(client: Client, key: Key, upload_id: str) -> None:
    waiting = _ours(client.blocks(key, "uncommitted").waiting)
    if blocks.is_open(upload_id, (block for block, _ in waiting)):
        _mark(client, key, blocks.tombstone(upload_id))


def open_uploads(client: Client, keys: Iterable[Key]) -> list[OpenUpload]:
    """Uploads of these keys that wait for their end."""
    found = []
    for key in keys:
        waiting = _ours(client.blocks(key, "uncommitted").waiting)
        begun = blocks.open_uploads(block for block, _ in waiting)
        found += [OpenUpload(key, upload_id, seconds) for upload_id, seconds in begun.items()]
    return found


def made_of(client: Client, key: Key, parts: list[Part]) -> ETag | None:
    found = client.blocks(key, "committed")
    committed = [
        Part(block.number, ETag(block.md5), size_bytes) if block else None
        for name, size_bytes in found.committed
        for block in (blocks.parsed(name),)
    ]
    return found.etag if committed and committed == sorted(parts) else None


def same_content(client: Client, key: Key, etag: ETag, window: Window) -> bool:
    """Whether the object of that ETag is made of blocks of ours whose sums are those of the window's pieces."""
    found = client.blocks(key, "committed")
    start = 0
    for name, size_bytes in found.committed:
        block = blocks.parsed(name)
        piece = Window(window.descriptor, window.start + start, size_bytes)
        start += size_bytes
        if block is None or start > window.size_bytes:
            return False
        if checksums.of_window(checksums.MD5, piece) != block.md5:
            return False
    return found.etag == etag and start == window.size_bytes and bool(found.committed)


def _mark(client: Client, key: Key, block: Block) -> None:
    client.stage(key, block.name, lambda: _BYTE, len(_BYTE), _BYTE_MD5)


def _of_open(client: Client, key: Key, upload_id: str) -> list[tuple[Block, int]]:
    """Parts of an upload with their sizes. ``UploadMissingError`` if it doesn't wait for its end."""
    waiting = _ours(client.blocks(key, "uncommitted").waiting)
    if not blocks.is_open(upload_id, (block for block, _ in waiting)):
        raise UploadMissingError(
            f"the store knows no such upload of {key!r}", connection=client.connection, key=key
        )
    return [(block, size) for block, size in waiting if blocks.is_part_of(block, upload_id)]


def _ours(waiting: Iterable[tuple[str, int]]) -> list[tuple[Block, int]]:
    return [
        (block, size_bytes)
        for name, size_bytes in waiting
        if (block := blocks.parsed(name)) is not None
    ]
