"""A node's cache, with what goes into it and comes out."""

import os
from pathlib import Path

from initializer.cache.node import open_cache
from initializer.cache.record import name_of
from initializer.entries import CacheSetting
from initializer.plan import Fetch
from lighterman.clock import SystemClock
from lighterman.stores.contract import Attributes

MIB = 1024 * 1024
ATTRIBUTES = Attributes(mode=0o640, mtime_ns=1_234_567_890_123_456_789)


class Desk:
    """A cache, and files that go into it and come out."""

    def __init__(self, directory, size_bytes=64 * MIB):
        self.directory = Path(directory)
        self.path = self.directory / "cache"
        self.size_bytes = size_bytes
        self.opened = []
        self.cache = self.open()

    def open(self, **how):
        cache = open_cache(CacheSetting(str(self.path), self.size_bytes), SystemClock(), **how)
        if cache is not None:
            self.opened.append(cache)
        return cache

    def item(self, content, key="k"):
        return Fetch(str(self.directory / "out"), 0, 0, key, len(content), "e", 1.0)

    def name(self, content, key="k"):
        return name_of("s", key, "e", len(content))

    def file(self, content):
        path = self.directory / f"in-{len(content)}"
        path.write_bytes(content)
        return os.open(path, os.O_RDWR | os.O_CLOEXEC)

    def keep(self, content, key="k", *, checksum=None, reserved_bytes=0):
        descriptor = self.file(content)
        self.cache.keep(
            self.name(content, key),
            self.item(content, key),
            descriptor,
            ATTRIBUTES,
            checksum,
            reserved_bytes=reserved_bytes,
        )
        os.close(descriptor)

    def entry(self, content, key="k"):
        name = self.name(content, key)
        return self.path / f"uid-{os.geteuid()}" / name[:2] / name[2:]

    def take(self, content, key="k", cache=None):
        """What comes out, or None; whether into an empty file or not."""
        cache = cache or self.cache
        entry = cache.find(self.name(content, key), len(content))
        if entry is None:
            return None
        out = self.directory / "out"
        out.unlink(missing_ok=True)
        descriptor = os.open(out, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC)
        try:
            if not cache.copy_out(entry, self.item(content, key), descriptor):
                return None
            return out.read_bytes()
        finally:
            os.close(descriptor)
            os.close(entry.descriptor)

    def close(self):
        while self.opened:
            self.opened.pop().close()
