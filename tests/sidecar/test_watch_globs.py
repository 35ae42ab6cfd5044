"""What the names of outputs mean."""

import pytest

from sidecar.globs import Names


@pytest.mark.parametrize(
    ("path", "directory", "expected"),
    [
        (".lighterman", True, True),
        (".lighterman", False, False),
        ("d/.lighterman", True, False),
        ("d/.lighterman-0123456789abcdef.tmp", False, True),
        (".lighterman-manifest.json", False, True),
        ("d/.lighterman-manifest.json", False, True),
        (".lighterman-manifest.json", True, False),
        ("_END", False, True),
        ("d/_END", False, False),
        ("state/here", True, True),
        ("cache", True, True),
        ("a.txt", False, False),
    ],
)
def test_what_is_lightermans_own_or_excluded_is_left_out(path, directory, expected):
    """The state directory, files that init is fetching, and what vouches for others, are never synced."""
    names = Names(
        exclude=["cache/"], hidden_directories=[".lighterman", "state/here"], marker="_END"
    )
    assert expected == names.is_left_out(path, directory=directory)


@pytest.mark.parametrize(
    ("path", "expected"),
    [("cache/deep/a", True), ("a/cache", False), (".lighterman/journal.db", True), ("a", False)],
)
def test_a_path_below_what_is_left_out_is_covered(path, expected):
    """A path that nobody walked to is judged by the directories above it."""
    assert expected == Names(exclude=["cache/"]).is_covered(path)


@pytest.mark.parametrize(
    ("path", "live", "temporary"),
    [
        ("d/train.log", True, False),
        ("metrics.jsonl", True, False),
        ("tb/events.out.tfevents.1", True, False),
        ("model.pt", False, False),
        ("model.pt.tmp", False, True),
        ("d/x.part", False, True),
        (".~lock.odt#", False, True),
        (".a.swp", False, True),
    ],
)
def test_names_tell_what_is_live_and_what_is_temporary(path, live, temporary):
    """The contract's default globs."""
    names = Names()
    assert (live, temporary) == (names.is_live(path), names.is_temporary(path))
