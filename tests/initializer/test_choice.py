"""Which objects of a declared directory are wanted."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from initializer.choice import Choice
from lighterman.globs import Globs
from lighterman.stores.contract import Listed

KEYS = [
    "a.csv",
    "a.parquet",
    "deep/",
    "deep/a.parquet",
    "deep/down/b.parquet",
    "deep/down/b.tmp",
    "empty/",
    "logs/",
    "logs/x.parquet",
]


@pytest.mark.parametrize(
    ("include", "exclude", "expected"),
    [
        ([], [], KEYS),
        (
            ["**/*.parquet"],
            [],
            ["a.parquet", "deep/a.parquet", "deep/down/b.parquet", "logs/x.parquet"],
        ),
        (["/*.parquet"], [], ["a.parquet"]),
        (["*.parquet"], ["deep/"], ["a.parquet", "logs/x.parquet"]),
        (["*.parquet"], ["*", "!a.parquet"], ["a.parquet"]),
        (["deep/down"], [], ["deep/down/b.parquet", "deep/down/b.tmp"]),
        (["deep/down"], ["*.tmp"], ["deep/down/b.parquet"]),
        (["logs/"], [], ["logs/", "logs/x.parquet"]),
        (["*", "!*.csv"], [], KEYS[1:]),
        ([], ["*.tmp", "logs"], [*KEYS[:5], "empty/"]),
        ([], ["empty/"], [key for key in KEYS if key != "empty/"]),
        ([], ["*.parquet", "!a.parquet"], [KEYS[0], *KEYS[1:4], "deep/down/b.tmp", *KEYS[6:8]]),
    ],
)
def test_include_names_what_is_wanted_and_exclude_takes_away_from_it(include, exclude, expected):
    """Globs as gitignore has them, with `!`; a marker is wanted as its directory is."""
    choice = Choice(include, exclude)
    assert [key for key in KEYS if choice.wants(key)] == expected


def test_globs_are_matched_below_the_declared_directory():
    """What the prefix is called matters to no glob; what is left out is counted, of each listing anew."""
    choice = Choice(["/a*", "train"], [])
    pages = [[Listed(f"train/{key}", 1, "e", 1.0) for key in page] for page in (KEYS[:2], KEYS[2:])]
    for _ in range(2):
        chosen = [[listed.key for listed in page] for page in choice.of(pages, "train/")]
        assert chosen == [["train/a.csv", "train/a.parquet"], []]
        assert choice.left_out == len(KEYS) - 2


def test_the_own_marker_of_the_declared_directory_comes():
    """It is no part of what is chosen from."""
    assert Choice(["*.csv"], ["*"]).wants("")


names = st.text(alphabet="ab.", min_size=1, max_size=3)
paths = st.lists(names, min_size=1, max_size=4).map("/".join)
globs = st.lists(
    st.text(alphabet="ab.*/!", min_size=1, max_size=6).filter(
        lambda text: text.removeprefix("!").removesuffix("/")
    ),
    max_size=3,
)


@given(globs, globs, st.lists(paths | paths.map(lambda path: f"{path}/"), max_size=12))
def test_each_key_is_judged_as_if_it_stood_alone(include, exclude, keys):
    """In whatever order keys come, what is remembered of a directory changes nothing."""
    choice = Choice(include, exclude)
    for key in keys:
        path, is_marker = key.removesuffix("/"), key.endswith("/")
        is_included = not include or Globs(include).covers(path, directory=is_marker)
        expected = is_included and not Globs(exclude).covers(path, directory=is_marker)
        assert expected == choice.wants(key)
