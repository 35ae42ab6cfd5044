"""A continued job: what init brought into the outputs path is in the bucket already, by init's own word."""

import os

from lighterman.handover import Brought, brought
from lighterman.stores.contract import ETag
from sidecar.journal import Journal
from sidecar.rebuild import Adoption
from sidecar.states import FileState, RelPath, Synced, key_of
from sidecar.where import STATE_DIRECTORY


def seed(journal: Journal, adoption: Adoption, root: str, prefix: str) -> int:
    """
    Note as synced every file that init brought from this journal's destination, if it still is as init left
    it, and the destination's listing has its object with the ETag that init saw. Returns how many these are.

    Reads no file: one ``lstat`` each, with memory for one page. They count as found, not as uploaded, so
    that their objects are never deleted.
    """
    device = os.stat(root).st_dev
    count = 0
    for page in brought(os.path.join(root, STATE_DIRECTORY), journal.destination):
        files = [
            (RelPath(row.path), synced)
            for row in page
            if (synced := _synced(row, adoption, root, device, prefix))
        ]
        journal.mark_synced(files)
        count += len(files)
    return count


def _synced(row: Brought, adoption: Adoption, root: str, device: int, prefix: str) -> Synced | None:
    try:
        row.path.encode()
        told = os.lstat(os.path.join(root, row.path))
    except (OSError, ValueError):  # gone, no path at all, or no name for a key
        return None
    if told.st_dev != device or not row.is_of(told):
        return None
    key, etag = key_of(prefix, RelPath(row.path)), ETag(row.etag)
    if not adoption.has(key, etag, told.st_size):
        return None
    return Synced(FileState.of(told), key, etag, uploaded=False)
