"""
Extension modules without what only a debugger reads. A loader looks at program headers alone (the ELF
specification, chapter 5); symbol tables of the linker, debug information and the table of sections lie
behind the last of what these load, and are cut off. Nothing that is loaded is moved or changed.
"""

import struct
from pathlib import Path
from typing import Final

_MAGIC: Final = b"\x7fELF\x02\x01"
"""64 bits, little-endian: x86-64 and AArch64."""
_PROGRAM_HEADERS: Final = struct.Struct("<Q")
_PROGRAM_HEADERS_AT: Final = 32
_SECTIONS_AT: Final = 40
_COUNTS: Final = struct.Struct("<HH")
_COUNTS_AT: Final = 54
_SECTION_COUNTS_AT: Final = 58
_SEGMENT: Final = struct.Struct("<IIQQQQ")
"""The beginning of a program header: type, flags, offset, two addresses, size in the file."""


def cut(file: Path) -> int:
    """Cut one off; how many bytes that saved. ``ValueError`` for what is no such file."""
    content = file.read_bytes()
    if not content.startswith(_MAGIC):
        raise ValueError(f"{file} is no 64-bit little-endian ELF file")
    (at,) = _PROGRAM_HEADERS.unpack_from(content, _PROGRAM_HEADERS_AT)
    size_bytes, count = _COUNTS.unpack_from(content, _COUNTS_AT)
    end = at + size_bytes * count
    for number in range(count):
        _, _, offset, _, _, length = _SEGMENT.unpack_from(content, at + number * size_bytes)
        end = max(end, offset + length)
    kept = bytearray(content[:end])
    _PROGRAM_HEADERS.pack_into(kept, _SECTIONS_AT, 0)
    _COUNTS.pack_into(kept, _SECTION_COUNTS_AT + 2, 0, 0)
    file.write_bytes(kept)
    return len(content) - len(kept)
