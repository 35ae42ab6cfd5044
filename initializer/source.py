"""A store, with what all its transfers share."""

from typing import NamedTuple

from initializer.verify import Checksums
from lighterman.stores.contract import Key, Store
from lighterman.transfer.budget import Budget
from lighterman.transfer.pace import Pace


class Opened(NamedTuple):
    """A store that is open already, and what its transfers share with those of others."""

    store: Store
    pace: Pace
    budget: Budget


class Source(NamedTuple):
    """One opened store, with what all its transfers share."""

    store: Store
    pace: Pace
    checksums: Checksums

    @property
    def is_volume(self) -> bool:
        """Whether its bytes are copied by the kernel, so that nobody sees them on their way."""
        return self.store.destination.startswith("file:")

    def key(self, path: str) -> Key:
        """The full key of a path below the connection's root."""
        prefix = self.store.prefix
        return Key(f"{prefix}/{path}" if prefix and path else prefix or path)
