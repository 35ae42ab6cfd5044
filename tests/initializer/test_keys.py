"""Which keys can be placed, and which two can't be there together."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from initializer.keys import (
    MOST_PATH_BYTES,
    TEMPORARY,
    Clashes,
    why_path_refused,
    why_unsafe,
)
from initializer.place import temporary_of


@pytest.mark.parametrize(
    "relative",
    [
        "",
        "a",
        "a/b.txt",
        "dir/",
        "..two-dots",
        "...",
        ".hidden/.x",
        "with space/plus+/per%/hash#",
        "new\nline",
        "a\\..\\b",
        "x" * 255,
        "ü" * 127,
        ".lighterman-tmp",
        ".lighterman-0123456789abcdef.tmp.txt",
        "\udc80undecodable",
    ],
)
def test_ordinary_names_are_safe(relative):
    """Whatever Linux takes as a name below the destination is taken."""
    assert why_unsafe(relative) is None


@pytest.mark.parametrize(
    ("relative", "reason"),
    [
        ("..", "it has a '..' component"),
        ("../x", "it has a '..' component"),
        ("a/../b", "it has a '..' component"),
        ("a/..", "it has a '..' component"),
        ("a/../", "it has a '..' component"),
        ("/etc/passwd", "it is absolute"),
        ("/", "it is absolute"),
        ("a\0b", "it holds a NUL"),
        ("a//b", "it has an empty or '.' component"),
        ("a//", "it has an empty or '.' component"),
        ("./a", "it has an empty or '.' component"),
        ("a/./b", "it has an empty or '.' component"),
        (".", "it has an empty or '.' component"),
        ("x" * 256, "it has a component of more than 255 bytes"),
        ("a/" + "ü" * 128 + "/b", "it has a component of more than 255 bytes"),
        ("a/.lighterman-0123456789abcdef.tmp", "its name is reserved for files under way"),
    ],
)
def test_a_key_that_cant_be_placed_is_refused_with_its_reason(relative, reason):
    """A key with `..`, absolute, with a NUL or a component over 255 bytes is refused by name."""
    assert why_unsafe(relative) == reason


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("/data/.lighterman", True),
        ("/data/.lighterman/init.sqlite3", True),
        ("/data/sub/.lighterman/x", True),
        ("/data/.lightermanx", False),
        ("/data/a/.lighterman/x", False),
        ("/data/a/.lighterman/.lighterman", False),
    ],
)
def test_the_state_directory_is_reserved_at_each_root(path, reason):
    """At a destination's root, and at the root of one inside it; elsewhere the name is an ordinary one."""
    refused = why_path_refused(path, frozenset({"/data", "/data/sub"}))
    assert refused == (
        "the name .lighterman is reserved at a destination's root" if reason else None
    )


def test_the_root_of_the_file_system_is_a_root_too():
    """Its name, as paths below it begin, is empty."""
    assert why_path_refused("/.lighterman/x", frozenset({""})) is not None


def test_a_path_that_the_kernel_would_refuse_is_refused_before():
    """PATH_MAX counts bytes, and the temporary name beside the file must fit too."""
    longest = "/" + "/".join(["ü" * 100] * 20)
    path = longest + "/" + "x" * (MOST_PATH_BYTES - len(longest.encode()) - 1)
    assert why_path_refused(path, frozenset({"/r"})) is None
    assert why_path_refused(path + "x", frozenset({"/r"})) == (
        f"its path is longer than {MOST_PATH_BYTES} bytes"
    )


@pytest.mark.parametrize(
    ("paths", "clashes"),
    [
        (["a", "a-x", "a.y", "a/b"], [("a/b", "a")]),
        (["a", "a/b", "a/c"], [("a/b", "a"), ("a/c", "a")]),
        (["a", "a"], [("a", "a")]),
        (["a", "a/"], [("a/", "a")]),
        (["a/", "a/"], []),
        (["a/", "a/b"], []),
        (["a", "ab", "ab/c"], [("ab/c", "ab")]),
        (["a", "b/a", "b/a/c/d", "c"], [("b/a/c/d", "b/a")]),
        (["a/b", "a0"], []),
    ],
)
def test_clashes(paths, clashes):
    """A file where another key needs a directory, and two sources of one file."""
    finder = Clashes()
    found = [
        (path, clash.path)
        for number, path in enumerate(paths)
        if (clash := finder.add(path, (0, str(number)))) is not None
    ]
    assert found == clashes


names = st.sampled_from(["a", "b", "a-x", "a.y", "A", "ab", "0", "é"])
paths = st.lists(names, min_size=1, max_size=4).map("/".join)


@given(st.lists(st.builds(str.__add__, paths, st.sampled_from(["", "", "/"])), max_size=25))
def test_clashes_are_found_as_by_comparing_all(paths):
    """The stack finds exactly the clashes that comparing each path with all kept ones finds."""
    finder, kept = Clashes(), []
    for path in sorted(paths):
        clashes = any(
            path.startswith(f"{earlier}/") or path == earlier
            for earlier in kept
            if not earlier.endswith("/")
        )
        assert (finder.add(path, (0, path)) is not None) == clashes
        if not clashes:
            kept.append(path)


@given(paths)
def test_temporary_names_are_the_reserved_ones(path):
    """No key can have the name of a file on its way, and each stands beside its place."""
    directory, _, name = temporary_of(f"/root/{path}").rpartition("/")
    assert TEMPORARY.fullmatch(name)
    assert directory == f"/root/{path}".rpartition("/")[0]
