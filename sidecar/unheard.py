"""Whether a change that a walk found shows that events don't come: pure, a table of what is told and what never is."""

from typing import Final

from sidecar.states import FileState, RelPath

FRESH_SECONDS: Final = 2.0
"""The event of a younger change may be on its way."""


def should_have_been_told(
    now: FileState, synced: FileState | None, *, links: int, is_link: bool, wall_seconds: float
) -> bool:
    """
    Whether inotify would have told of what made a closed file's ``synced`` state (``None``: there was
    none) its state of now. It says nothing where a file has other names, which are written and unlinked
    elsewhere; nor of the target of a link; nor where ctime alone moved, as it does when another name goes.
    """
    if is_link or links > 1 or wall_seconds - now.ctime_ns / 1e9 < FRESH_SECONDS:
        return False
    return synced is None or now._replace(device=0, ctime_ns=0) != synced._replace(
        device=0, ctime_ns=0
    )


def part_of(directory: RelPath, devices: list[int]) -> RelPath:
    """
    The part whose filesystem holds ``directory``, as whether events come is a filesystem's affair.
    ``devices`` are those of the root, of each directory on the way, and of ``directory`` itself.
    """
    names = directory.split("/") if directory else []
    depth = len(names)
    while depth and devices[depth - 1] == devices[-1]:
        depth -= 1
    return RelPath("/".join(names[:depth]))
