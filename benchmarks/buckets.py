"""
Buckets for the ideal store, made as files: the objects, the pages of the listing, and an index.
The same sizes and keys always give the same bytes.
"""

import hashlib
import json
import os
import random
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Final
from xml.sax.saxutils import escape

import google_crc32c

MIB: Final = 1 << 20
MANIFEST: Final = ".lighterman-manifest.json"
PART_BYTES: Final = 8 * MIB
"""From this size on the AWS CLI and boto3 upload by parts of this size; the ETag is then no MD5 of the object."""
_PAGE_KEYS: Final = 1000
_MODIFIED_SECONDS: Final = 1_793_527_200
MODIFIED: Final = "2026-11-01T10:00:00.000Z"
"""When all objects were, as a listing has it."""


def add_bucket(root: Path, name: str, sizes: Mapping[str, int]) -> None:
    """
    A bucket of random objects of these sizes, by their keys. The ETag of a small object is its MD5. That of a large
    one is what an upload by parts gives, which verifies nothing; where there is one, a manifest in the bucket has
    the CRC32C of every object, as the sidecar writes it.
    """
    objects = root / "objects" / name
    rows: list[tuple[str, int, str]] = []
    checksums = {}
    draw = random.Random(7)
    for key, size_bytes in sorted(sizes.items()):
        etag, crc = _write(objects / key, size_bytes, draw)
        rows.append((key, size_bytes, etag))
        checksums[key] = {"size_bytes": size_bytes, "crc32c": f"{crc:08x}"}
    if any(size_bytes >= PART_BYTES for size_bytes in sizes.values()):
        text = json.dumps({"version": 1, "files": checksums}).encode()
        (objects / MANIFEST).write_bytes(text)
        rows.append((MANIFEST, len(text), _md5(text).hexdigest()))
    rows.sort()
    _write_listings(root / "listings" / name, name, rows)
    (root / "index").mkdir(exist_ok=True)
    (root / "index" / name).write_text(
        "".join(f"{etag} {size_bytes} {key}\n" for key, size_bytes, etag in rows)
    )


def remove_bucket(root: Path, name: str) -> None:
    """Free the space of a bucket; the store goes on serving the others."""
    shutil.rmtree(root / "objects" / name)
    shutil.rmtree(root / "listings" / name)


def _write(path: Path, size_bytes: int, draw: random.Random) -> tuple[str, int]:
    """Make one object of random bytes; its ETag, and its CRC32C."""
    path.parent.mkdir(parents=True, exist_ok=True)
    parts, crc = [], 0
    with path.open("wb") as file:
        for start in range(0, size_bytes, PART_BYTES):
            block = draw.randbytes(min(PART_BYTES, size_bytes - start))
            parts.append(_md5(block))
            crc = google_crc32c.extend(crc, block)
            file.write(block)
    os.utime(path, (_MODIFIED_SECONDS, _MODIFIED_SECONDS))
    if size_bytes < PART_BYTES:
        return (parts or [_md5(b"")])[0].hexdigest(), crc
    return f"{_md5(b''.join(part.digest() for part in parts)).hexdigest()}-{len(parts)}", crc


def _md5(data: bytes) -> "hashlib._Hash":
    return hashlib.md5(data, usedforsecurity=False)


def _write_listings(directory: Path, bucket: str, rows: list[tuple[str, int, str]]) -> None:
    directory.mkdir(parents=True)
    pages = [rows[at : at + _PAGE_KEYS] for at in range(0, len(rows), _PAGE_KEYS)]
    for number, page in enumerate(pages):
        is_last = number + 1 == len(pages)
        token = "" if is_last else f"<NextContinuationToken>{number + 1}</NextContinuationToken>"
        contents = "".join(
            f"<Contents><Key>{escape(key)}</Key><LastModified>{MODIFIED}</LastModified>"
            f"<ETag>&quot;{etag}&quot;</ETag><Size>{size}</Size><StorageClass>STANDARD</StorageClass></Contents>"
            for key, size, etag in page
        )
        (directory / f"{number}.xml").write_text(
            '<?xml version="1.0" encoding="UTF-8"?>'
            '<ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">'
            f"<Name>{bucket}</Name><Prefix></Prefix><KeyCount>{len(page)}</KeyCount><MaxKeys>1000</MaxKeys>"
            f"<EncodingType>url</EncodingType><IsTruncated>{'false' if is_last else 'true'}</IsTruncated>"
            f"{token}{contents}</ListBucketResult>"
        )
