"""
``--deletes mirror``: what the outputs lack, in two walks one after the other, is deleted once all
uploads are done; only objects that this journal uploaded and that nobody changed since.
"""

import os

from lighterman.errors import LightermanError
from lighterman.log import get_logger
from lighterman.transfer.retry import Attempts
from sidecar.loop import Done, Failed, Pool
from sidecar.output import is_there
from sidecar.reconcile import Walked
from sidecar.states import RelPath, printable
from sidecar.upload import Uploader


class Deletes:
    """Lives in the main thread."""

    def __init__(
        self, uploader: Uploader, pool: Pool, attempts: Attempts, *, root: str, device: int
    ) -> None:
        self._uploader = uploader
        self._pool = pool
        self._attempts = attempts
        self._root = root
        self._device = device
        self._is_behind = False
        self._missed: set[RelPath] = set()
        self._confirmed: set[RelPath] = set()
        self.failed: dict[RelPath, LightermanError] = {}
        self.under_way: set[RelPath] = set()
        """What is being deleted."""

    def walk_begins(self) -> None:
        """What arrived before that, it knows of."""
        self._is_behind = False

    def arrived(self, path: RelPath) -> None:
        """An object arrived; the walk may have passed where its file had been before that."""
        self._is_behind = self._is_behind or not is_there(self._root, path)

    @property
    def needs_another_walk(self) -> bool:
        """Whether something was missed by the last walk alone, or may have been passed by it."""
        return self._is_behind or bool(self._missed - self._confirmed)

    def note(self, walked: Walked) -> None:
        """
        What a walk missed. A root that is empty of a sudden, is another filesystem, or couldn't be
        read whole, says nothing: a volume that isn't mounted must never empty a bucket.
        """
        if not self._is_trusted(walked):
            if walked.absent:
                get_logger().warning(
                    "sidecar.deletes_withheld", path=self._root, files=len(walked.absent)
                )
            self._missed, self._confirmed = set(), set()
            return
        self._confirmed = walked.absent & self._missed
        self._missed = walked.absent

    def go(self) -> None:
        """Delete what two walks missed and is still not there."""
        confirmed, self._confirmed = self._confirmed, set()
        self._missed -= confirmed
        for path in confirmed:
            self._delete(path)

    def _delete(self, path: RelPath) -> None:
        self.under_way.add(path)

        def ended(end: Done[bool] | Failed) -> None:
            self.under_way.discard(path)
            if isinstance(end, Done):
                self.failed.pop(path, None)
                if end.value:
                    get_logger().info("sidecar.deleted", path=printable(path))
            elif isinstance(end.error, LightermanError):
                self.failed[path] = end.error
                get_logger().warning(
                    "sidecar.delete_failed", path=printable(path), error=end.error.message
                )
            else:
                raise end.error

        self._pool.submit(lambda: self._uploader.delete(path), ended)

    def _is_trusted(self, walked: Walked) -> bool:
        try:
            device = os.stat(self._root).st_dev
        except OSError:
            return False
        return device == self._device and walked.files > 0 and not walked.unreadable
