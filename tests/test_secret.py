"""Credentials are values of a type whose `repr` is masked."""

import copy
import pickle

import pytest

from lighterman import secret
from lighterman.secret import MASK, MOST_PASSING, Secret, scrub, scrub_passing


@pytest.mark.parametrize("show", [repr, str, "{}".format, "{:>10}".format, lambda s: f"{s!r}"])
def test_no_way_of_printing_shows_the_value(show):
    """repr, str and format are masked."""
    assert "hunter2" not in show(Secret("hunter2"))


def test_only_reveal_gives_the_value():
    """For the one call that needs it."""
    assert Secret("hunter2").reveal() == "hunter2"


@pytest.mark.parametrize("take", [pickle.dumps, copy.deepcopy])
def test_a_secret_does_not_travel_by_pickle(take):
    """A pickle would carry it in clear."""
    with pytest.raises(TypeError):
        take(Secret("hunter2"))


def test_equality_hash_and_truth_are_those_of_the_value():
    """So that a changed credential can be told from the same one."""
    assert Secret("one1") == Secret("one1")
    assert Secret("one1") != Secret("two2")
    assert Secret("one1") != "one1"
    assert hash(Secret("one1")) == hash(Secret("one1"))
    assert (bool(Secret("")), bool(Secret("x"))) == (False, True)


def test_known_secrets_are_scrubbed_from_any_text():
    """Longest first, so that no piece of a longer one is left."""
    Secret("alpha-key")
    Secret("alpha-key-long")
    assert scrub("a alpha-key-long b alpha-key") == "a ******** b ********"


def test_very_short_values_are_left_alone():
    """Masking them would garble every line."""
    Secret("sidecar")
    assert scrub("sidecar.started") == "sidecar.started"


def test_of_passing_secrets_the_last_ones_are_scrubbed_and_no_more_are_kept():
    """A sidecar has a new token every hour, and a new upload every minute, for weeks."""
    Secret("a secret of the catalog")
    for number in range(2 * MOST_PASSING):
        scrub_passing(f"upload/{number:08}?id")

    assert MOST_PASSING == len(secret._passing)
    assert f"PUT {MASK}" == scrub(f"PUT upload/{2 * MOST_PASSING - 1:08}?id")
    assert MASK == scrub(f"upload%2F{2 * MOST_PASSING - 1:08}%3Fid")
    assert MASK == scrub("a secret of the catalog")


def test_a_passing_secret_that_is_in_use_stays_known():
    """Each use counts."""
    scrub_passing("upload/in-use")
    for number in range(MOST_PASSING):
        scrub_passing(f"upload/{number:08}")
        scrub_passing("upload/in-use")

    assert MASK == scrub("upload/in-use")
