"""Which store's objects are cached where, as the entries declare it."""

import os
from collections.abc import Mapping, Sequence
from contextlib import ExitStack

from initializer.cache.node import NodeCache, open_cache
from initializer.cache.rounds import Cached
from initializer.entries import CacheSetting, Entry
from initializer.source import Source
from lighterman.clock import Clock
from lighterman.connections.model import Bucket, Connection
from lighterman.errors import ConfigurationError
from lighterman.log import get_logger


def settings_of(
    entries: Sequence[Entry], connections: Mapping[str, Connection], roots: Sequence[str]
) -> list[CacheSetting | None]:
    """
    For each connection the cache of its objects. ``ConfigurationError`` for two caches of one connection, two
    sizes of one directory, and a cache that is inside a destination or has one inside. A volume's files are
    near enough: they aren't cached.
    """
    found: dict[str, CacheSetting] = {}
    sizes: dict[str, CacheSetting] = {}
    for entry in entries:
        setting = entry.cache
        if setting is None:
            continue
        if found.setdefault(entry.connection, setting) != setting:
            raise ConfigurationError(
                f"two caches are declared for connection {entry.connection!r}",
                hint="give all its entries one cache and one size",
            )
        if sizes.setdefault(setting.path, setting) != setting:
            raise ConfigurationError(
                f"two sizes are declared for the cache {setting.path}",
                hint="give a cache one size",
            )
        _refuse_overlap(setting.path, roots)
    return [
        found.get(name) if isinstance(connection.schema, Bucket) else None
        for name, connection in connections.items()
    ]


def open_caches(
    settings: Sequence[CacheSetting | None],
    sources: Sequence[Source],
    clock: Clock,
    held: ExitStack,
) -> list[Cached | None]:
    """The caches, each opened once, and closed with ``held``. One that can't be used is said, and is none."""
    opened: dict[str, NodeCache | None] = {}
    for setting in settings:
        if setting is not None and setting.path not in opened:
            cache = opened[setting.path] = open_cache(setting, clock)
            if cache is not None:
                held.callback(cache.close)
                get_logger().info("init.cache", path=setting.path, limit_bytes=cache.limit_bytes)
    caches: list[Cached | None] = []
    for setting, source in zip(settings, sources, strict=True):
        found = opened[setting.path] if setting is not None else None
        caches.append(Cached(found, source.store.destination) if found is not None else None)
    return caches


def _refuse_overlap(path: str, roots: Sequence[str]) -> None:
    cache = f"{os.path.realpath(path)}/"
    for root in roots:
        destination = f"{os.path.realpath(root or '/').rstrip('/')}/"
        if cache.startswith(destination) or destination.startswith(cache):
            raise ConfigurationError(
                f"the cache {path} and the destination {root or '/'} are one inside the other",
                hint="keep the cache on a directory of its own, such as a hostPath",
            )
