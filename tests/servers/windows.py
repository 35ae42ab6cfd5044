"""What an open file's window holds, read as the kernel sees it."""

import os

from lighterman.stores.contract import Window


def content_of(window: Window) -> bytes:
    """The bytes of a window now."""
    return os.pread(window.descriptor, window.size_bytes, window.start)
