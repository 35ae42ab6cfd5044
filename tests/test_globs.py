"""Globs as gitignore has them."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lighterman.errors import ConfigurationError, UsageError
from lighterman.globs import Globs

FILES = [
    ("*.ckpt", "a.ckpt", True),
    ("*.ckpt", "deep/down/a.ckpt", True),
    ("*.ckpt", "a.ckpt2", False),
    ("/a.txt", "a.txt", True),
    ("/a.txt", "d/a.txt", False),
    ("d/a.txt", "d/a.txt", True),
    ("d/a.txt", "x/d/a.txt", False),
    ("d/*.txt", "d/a.txt", True),
    ("d/*.txt", "d/e/a.txt", False),
    ("**/a.txt", "a.txt", True),
    ("**/a.txt", "d/e/a.txt", True),
    ("d/**", "d/e/a.txt", True),
    ("d/**", "d", False),
    ("d/**/a.txt", "d/a.txt", True),
    ("d/**/a.txt", "d/e/f/a.txt", True),
    ("cache/", "cache/x", True),
    ("cache/", "cache", False),
    ("cache", "d/cache/e/x", True),
    ("a?c", "abc", True),
    ("a?c", "a/c", False),
    ("[ab].txt", "b.txt", True),
    ("[!ab].txt", "c.txt", True),
    ("[!ab].txt", "a.txt", False),
    ("[a-c]1", "b1", True),
    ("[^a]1", "b1", True),
    ("[z-a", "[z-a", True),
    ("[z-a]", "[z-a]", True),
    ("[]]", "]", True),
    ("[?--]", "[x--]", True),
    ("[?--]", "a", False),
    ("[+--]", ",", True),
    ("[a-]", "-", True),
    ("[a&&b||c~~[]", "&", True),
    ("[a&&b||c~~[]", "x", False),
    (r"\*.txt", "*.txt", True),
    (r"\*.txt", "a.txt", False),
    ("a.b", "aXb", False),
    ("ü*", "über", True),
    ("events.out.tfevents.*", "runs/1/events.out.tfevents.1699.host.0", True),
    ("new\nline*", "new\nline.txt", True),
]


@pytest.mark.parametrize(("glob", "path", "expected"), FILES)
def test_a_glob_matches_as_gitignore_says(glob, path, expected):
    """Names at any depth, anchored paths, ``**``, classes, and what lies below a matched directory."""
    assert expected == Globs([glob]).covers(path)


@pytest.mark.parametrize(
    ("globs", "path", "expected"),
    [
        (["*.txt", "!keep.txt"], "d/keep.txt", False),
        (["*.txt", "!keep.txt"], "d/drop.txt", True),
        (["!keep.txt", "*.txt"], "keep.txt", True),
        (["d/", "!d/keep.txt"], "d/keep.txt", True),
    ],
)
def test_the_last_match_decides_and_nothing_comes_back_from_below_a_matched_directory(
    globs, path, expected
):
    """``!`` takes back what an earlier glob matched, except inside of a matched directory."""
    assert expected == Globs(globs).covers(path)


@pytest.mark.parametrize("glob", ["", "/", "!", "!/"])
def test_a_glob_that_matches_nothing_is_refused_by_the_flag_it_came_from(glob):
    """An empty pattern is a slip of the hand, and is said with its flag."""
    with pytest.raises(UsageError, match="--exclude"):
        Globs([glob], "--exclude")


def test_a_glob_of_a_document_is_refused_as_configuration():
    """Whoever reads a document says what is raised, and where the glob stands."""
    with pytest.raises(ConfigurationError, match=r"init\[0\].include: '!' matches nothing"):
        Globs(["!"], "init[0].include", error=ConfigurationError)


@given(st.text(alphabet="ab/*?[]!^-\\.é\n", min_size=1, max_size=8), st.text(alphabet="ab/.é\n"))
def test_any_text_is_a_glob_or_refused(glob, path):
    """No pattern makes the program fail other than by saying that it matches nothing."""
    if glob.removeprefix("!").removesuffix("/"):
        assert Globs([glob]).covers(path) in (True, False)
    else:
        with pytest.raises(UsageError, match="matches nothing"):
            Globs([glob])


@given(st.text(alphabet="abc/.", min_size=1, max_size=8).filter(lambda t: t.strip("/!")))
def test_a_text_without_special_characters_matches_itself(text):
    """An anchored glob without wildcards is the path that it spells."""
    path = re.sub("/+", "/", text.strip("/"))
    assert Globs(["/" + path]).covers(path)
