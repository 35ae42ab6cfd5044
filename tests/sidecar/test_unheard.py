"""Whether a change that a walk found shows that events don't come."""

import pytest

from sidecar.states import FileState, RelPath
from sidecar.unheard import part_of, should_have_been_told

NOW_SECONDS = 1000.0
SYNCED = FileState(1, 2, 3, 4, 900_000_000_000, 0o644)
CHANGED = SYNCED._replace(mtime_ns=5, ctime_ns=950_000_000_000)


@pytest.mark.parametrize(
    ("now", "synced", "links", "is_link", "expected"),
    [
        (CHANGED, SYNCED, 1, False, True),
        (CHANGED, None, 1, False, True),
        (SYNCED._replace(mode=0o600), SYNCED, 1, False, True),
        (SYNCED._replace(inode=9), SYNCED, 1, False, True),
        (CHANGED._replace(ctime_ns=998_500_000_000), SYNCED, 1, False, False),
        (CHANGED, SYNCED, 2, False, False),
        (CHANGED, SYNCED, 1, True, False),
        (SYNCED._replace(ctime_ns=950_000_000_000), SYNCED, 1, False, False),
        (SYNCED._replace(device=7), SYNCED, 1, False, False),
    ],
    ids=[
        "content changed",
        "new",
        "mode changed",
        "replaced",
        "a moment ago",
        "it has another name",
        "the target of a link changed",
        "another name was unlinked",
        "the volume has another number",
    ],
)
def test_only_what_inotify_always_tells_accuses_it(now, synced, links, is_link, expected):
    """A filesystem isn't called deaf for what is never told of a name."""
    told = should_have_been_told(
        now, synced, links=links, is_link=is_link, wall_seconds=NOW_SECONDS
    )
    assert expected is told


@pytest.mark.parametrize(
    ("directory", "devices", "expected"),
    [
        ("", [1], ""),
        ("a/b", [1, 1, 1], ""),
        ("a/b", [1, 1, 2], "a/b"),
        ("a/b/c", [1, 2, 2, 2], "a"),
        ("a/b/c", [1, 2, 1, 1], "a/b"),
    ],
)
def test_a_part_is_what_is_mounted_there(directory, devices, expected):
    """Whether events come is a filesystem's affair."""
    assert expected == part_of(RelPath(directory), devices)
