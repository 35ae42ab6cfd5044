"""
Blocks by their names. Azure has no uploads, only blocks of a name that were brought and wait for being named
in a list; so a block's id says what it is: of which upload, its number, when it was sent, and the MD5 of its bytes.

An upload is begun by a *marker*: blocks of one byte whose ids hold the attributes that the object will get. It
is abandoned by a *tombstone*. (Put Block: ids of one object are all of one length, at most 64 bytes.)
"""

import base64
import binascii
import secrets
import struct
import time
from collections.abc import Iterable
from typing import Final, NamedTuple

from lighterman.stores.contract import Attributes

TOMBSTONE: Final = 0xFFFF_FFFF
_MARKERS: Final = 0x8000_0000
"""Numbers of markers begin here; those of parts end at 50,000."""
_NAME: Final = struct.Struct(">2s8sIQ26s")
_MAGIC: Final = b"lm"
_PAYLOAD_BYTES: Final = 26
_FIXED: Final = struct.Struct(">HqB")
_NO_MODE: Final = 0xFFFF
_NO_MTIME: Final = -(2**63)
_MOST_TYPE_BYTES: Final = 255


class Block(NamedTuple):
    """What an id of ours says."""

    upload: bytes
    number: int
    sent_ns: int
    payload: bytes

    @property
    def name(self) -> str:
        """As the SDK takes it: 64 characters."""
        payload = self.payload.ljust(_PAYLOAD_BYTES, b"\0")
        packed = _NAME.pack(_MAGIC, self.upload, self.number, self.sent_ns, payload)
        return base64.urlsafe_b64encode(packed).decode()

    @property
    def md5(self) -> str:
        """Of a part's bytes, in hexadecimal digits."""
        return self.payload[:16].hex()


def parsed(name: str) -> Block | None:
    """The block of that name; ``None`` if it is none of ours."""
    try:
        packed = base64.b64decode(name.encode(), altchars=b"-_", validate=True)
        magic, upload, number, sent_ns, payload = _NAME.unpack(packed)
    except (binascii.Error, ValueError, struct.error):
        return None
    return Block(upload, number, sent_ns, payload) if magic == _MAGIC else None


def part(upload_id: str, number: int, md5: str) -> Block:
    """A part that is being sent."""
    return Block(_upload_of(upload_id), number, time.time_ns(), bytes.fromhex(md5))


def tombstone(upload_id: str) -> Block:
    """What stands for an upload that was abandoned."""
    return Block(_upload_of(upload_id), TOMBSTONE, time.time_ns(), b"")


def new_upload(attributes: Attributes) -> str:
    """The id of an upload of an object with these attributes: it holds them."""
    packed = base64.urlsafe_b64encode(_packed(attributes)).decode().rstrip("=")
    return f"{secrets.token_hex(8)}.{packed}"


def markers(upload_id: str) -> list[Block]:
    """The blocks that tell of an upload. It is begun when all are there: the first one is last."""
    packed = _padded(upload_id.partition(".")[2])
    pieces = [packed[at : at + _PAYLOAD_BYTES] for at in range(0, len(packed), _PAYLOAD_BYTES)]
    upload, now_ns = _upload_of(upload_id), time.time_ns()
    found = [Block(upload, _MARKERS + at, now_ns, piece) for at, piece in enumerate(pieces)]
    return found[::-1]


def attributes_in(upload_id: str) -> Attributes:
    """The attributes that an upload was begun with."""
    return _unpacked(_padded(upload_id.partition(".")[2]))


def open_uploads(blocks: Iterable[Block]) -> dict[str, float]:
    """The ids of uploads that wait for their end, and when each was begun, of all blocks of one key."""
    by_upload: dict[bytes, dict[int, Block]] = {}
    for block in blocks:
        if block.number >= _MARKERS:
            by_upload.setdefault(block.upload, {})[block.number] = block
    found = {}
    for upload, numbered in by_upload.items():
        if TOMBSTONE in numbered or _MARKERS not in numbered:
            continue
        payload = b"".join(numbered[number].payload for number in sorted(numbered))
        attributes = base64.urlsafe_b64encode(_packed(_unpacked(payload))).decode().rstrip("=")
        begun_seconds = numbered[_MARKERS].sent_ns / 1e9
        found[f"{upload.hex()}.{attributes}"] = begun_seconds
    return found


def is_open(upload_id: str, blocks: Iterable[Block]) -> bool:
    """Whether an upload waits for its end, by all blocks of its key."""
    upload = _upload_of(upload_id)
    numbers = {block.number for block in blocks if block.upload == upload}
    return _MARKERS in numbers and TOMBSTONE not in numbers


def is_part_of(block: Block, upload_id: str) -> bool:
    """Whether it is a part of that upload."""
    return block.upload == _upload_of(upload_id) and block.number < _MARKERS


def _upload_of(upload_id: str) -> bytes:
    return bytes.fromhex(upload_id.partition(".")[0])


def _packed(attributes: Attributes) -> bytes:
    kind = (attributes.content_type or "").encode()[:_MOST_TYPE_BYTES]
    mode = _NO_MODE if attributes.mode is None else attributes.mode & 0o7777
    mtime = _NO_MTIME if attributes.mtime_ns is None else attributes.mtime_ns
    return _FIXED.pack(mode, mtime, len(kind)) + kind


def _unpacked(packed: bytes) -> Attributes:
    mode, mtime, length = _FIXED.unpack_from(packed)
    kind = packed[_FIXED.size : _FIXED.size + length].decode(errors="replace")
    return Attributes(
        kind or None,
        None if mode == _NO_MODE else mode,
        None if mtime == _NO_MTIME else mtime,
    )


def _padded(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
