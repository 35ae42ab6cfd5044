"""
A store that lets nothing change below a manifest before the manifest is gone: whoever writes, copies, deletes
or finishes an upload comes through here.
"""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar, cast

from lighterman.log import get_logger
from lighterman.stores.contract import Attributes, ETag, Key, Part, Store, Window
from sidecar.gate import Gate, known
from sidecar.journal import Journal

T = TypeVar("T")


class Guarded:
    """
    The store with the manifests that it holds. Usable from many threads. A change waits while a manifest
    above it is being made, and what can't be withdrawn isn't changed: the store's error is raised.
    """

    def __init__(self, store: Store, journal: Journal, *, makes_manifests: bool = True) -> None:
        self.bare = store
        """The store itself, for manifests alone."""
        self._journal = journal
        self._makes_manifests = makes_manifests
        self._is_open = False
        self._gate = Gate()
        self._turn = threading.Condition()
        self._withdrawing = threading.Lock()

    @property
    def store(self) -> Store:
        """The guarded store, by the contract of stores."""
        return cast("Store", self)

    @property
    def is_open(self) -> bool:
        """Whether nobody has to be asked: no manifest stands, and none will."""
        return self._is_open

    def recall(self) -> None:
        """Before the first change: take over what the journal says that the bucket has."""
        standing = self._journal.manifests()
        with self._turn:
            known(self._gate, standing.items())
        self._is_open = not standing and not self._makes_manifests

    def __getattr__(self, name: str) -> Any:
        # What changes no object is the store's own.
        return getattr(self.bare, name)

    def write(self, key: Key, window: Window, attributes: Attributes, **conditions: Any) -> ETag:
        if self._is_open:
            return self.bare.write(key, window, attributes, **conditions)
        with self._changing(key):
            return self.bare.write(key, window, attributes, **conditions)

    def copy(
        self, source: Key, etag: ETag, target: Key, attributes: Attributes, **conditions: Any
    ) -> ETag:
        with self._changing(target):
            return self.bare.copy(source, etag, target, attributes, **conditions)

    def delete(self, key: Key) -> None:
        with self._changing(key):
            self.bare.delete(key)

    def finish(self, key: Key, upload_id: str, parts: list[Part], **conditions: Any) -> ETag:
        with self._changing(key):
            return self.bare.finish(key, upload_id, parts, **conditions)

    # Manifests

    def is_standing(self, key: Key) -> bool:
        """Whether the bucket is known to have this manifest, so that nothing changed since it was written."""
        with self._turn:
            return self._gate.etag_of(key) is not None

    @contextmanager
    def making(self, key: Key) -> Iterator[bool]:
        """Keep changes below the manifest waiting for the length of the block; false where one is under way."""
        with self._turn:
            may = self._gate.begin(key)
        try:
            yield may
        finally:
            if may:
                with self._turn:
                    self._gate.end(key)
                    self._turn.notify_all()

    def is_disturbed(self, key: Key) -> bool:
        """Whether a change waits for the manifest that is being made."""
        with self._turn:
            return self._gate.is_disturbed(key)

    def put(self, key: Key, write: Callable[[], ETag]) -> None:
        """``write`` the manifest, inside of ``making``. Whoever is killed meanwhile finds it in the journal."""
        self._journal.note_manifests([(key, None)])
        with self._turn:
            self._gate.stands(key, None)
        etag = write()
        self._journal.note_manifests([(key, etag)])
        with self._turn:
            self._gate.stands(key, etag)

    @contextmanager
    def _changing(self, key: Key) -> Iterator[None]:
        if self._is_open or key.endswith("/"):  # a directory's marker, which no manifest lists
            yield
            return
        with self._turn:
            while self._gate.waits(key):
                self._turn.wait()
            self._gate.changes(key)
            has_to_withdraw = bool(self._gate.to_withdraw(key))
        try:
            if has_to_withdraw:
                self._withdraw(key)
            yield
        finally:
            with self._turn:
                self._gate.changed(key)

    def _withdraw(self, key: Key) -> None:
        with self._withdrawing:  # whoever comes second finds nothing left to do
            with self._turn:
                manifests = self._gate.to_withdraw(key)
            # Whoever is killed meanwhile mustn't find in the journal that these stand.
            self._journal.note_manifests([(manifest, None) for manifest in manifests])
            for manifest in manifests:
                self.bare.delete(manifest)
                self._journal.manifest_withdrawn(manifest)
                with self._turn:
                    self._gate.withdrawn(manifest)
                get_logger().info("sidecar.manifest_withdrawn", key=manifest)
