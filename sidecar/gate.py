"""
Who may change an object below a manifest, and when one may be written: pure. A manifest vouches for every
object that it lists, so it goes before any of them changes, and comes only while none does.

Everything here is by keys: a manifest covers what begins with its own key's directory.
"""

from collections import Counter
from collections.abc import Iterable, Iterator

from lighterman.stores.contract import ETag, Key


def directory_of(key: str) -> str:
    """What a manifest of this key covers: ``a/b/`` of ``a/b/c``, ``""`` of ``c``."""
    return key[: key.rfind("/") + 1]


def directories_above(key: str) -> Iterator[str]:
    """Every directory that a manifest over this key can be in, the nearest first; ``""`` is the last."""
    end = len(key)
    while (end := key.rfind("/", 0, end)) >= 0:
        yield key[: end + 1]
    yield ""


class Gate:
    """What stands, what is being written, and what changes at the moment."""

    def __init__(self) -> None:
        self._standing: dict[str, dict[Key, ETag | None]] = {}
        self._changing: Counter[str] = Counter()
        self._writing: dict[str, bool] = {}
        """Directories whose manifest is being made; true once a change waits for the end of that."""

    # Manifests

    def stands(self, key: Key, etag: ETag | None) -> None:
        """The bucket has this manifest, or (``None``) may have it."""
        self._standing.setdefault(directory_of(key), {})[key] = etag

    def etag_of(self, key: Key) -> ETag | None:
        """The ETag of a manifest that is known to stand."""
        return self._standing.get(directory_of(key), {}).get(key)

    def withdrawn(self, key: Key) -> None:
        """The bucket has it no more."""
        directory = directory_of(key)
        found = self._standing.get(directory, {})
        found.pop(key, None)
        if not found:
            self._standing.pop(directory, None)

    # Changes

    def waits(self, key: Key) -> bool:
        """Whether a change of this object has to wait; the manifests in whose making it came learn of it."""
        found = [above for above in directories_above(key) if above in self._writing]
        for above in found:
            self._writing[above] = True
        return bool(found)

    def to_withdraw(self, key: Key) -> list[Key]:
        """The manifests that have to go before this object changes."""
        if not self._standing:
            return []
        return [
            standing
            for above in directories_above(key)
            for standing in self._standing.get(above, ())
        ]

    def changes(self, key: Key) -> None:
        """An object of this key is about to change."""
        self._changing.update(directories_above(key))

    def changed(self, key: Key) -> None:
        """It did, or didn't, and won't any more."""
        for above in directories_above(key):
            self._changing[above] -= 1
            if not self._changing[above]:
                del self._changing[above]

    # Making one

    def begin(self, key: Key) -> bool:
        """Make this manifest from now on; false while something changes that it would list."""
        directory = directory_of(key)
        if directory in self._writing or self._changing[directory]:
            return False
        self._writing[directory] = False
        return True

    def is_disturbed(self, key: Key) -> bool:
        """Whether a change waits: then the manifest would be withdrawn at once, and isn't worth its making."""
        return self._writing[directory_of(key)]

    def end(self, key: Key) -> None:
        """It is made, or given up."""
        del self._writing[directory_of(key)]


def known(gate: Gate, manifests: Iterable[tuple[Key, ETag | None]]) -> None:
    """What a journal says that the bucket has."""
    for key, etag in manifests:
        gate.stands(key, etag)
