"""Credentials are values of a type whose `repr` is masked."""

import copy
import pickle

import pytest

from lighterman.secret import Secret, scrub


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
