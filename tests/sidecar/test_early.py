"""The last check, made while the last walk is under way."""

import pytest
from sending import HastyClock

from lighterman.errors import CredentialsError
from lighterman.stores.contract import Key
from lighterman.transfer.retry import Attempts
from sidecar.early import EarlyCheck


@pytest.fixture
def sent(outputs):
    """Two files that are in the bucket."""
    for path in ("a", "b/c"):
        outputs.send(outputs.write(path))
    return outputs


def check(outputs):
    attempts = Attempts(outputs.settings.retry_seconds, HastyClock(), outputs.tally)
    return EarlyCheck(outputs.store, outputs.prefix, outputs.journal, attempts)


def looked(outputs):
    """A check that came to its end."""
    early = check(outputs)
    assert early.is_awaited
    early.ended(early.look())
    assert not early.is_awaited
    return early


def test_what_is_all_listed_needs_no_other_look(sent):
    """As long as the journal stays as it is."""
    early = looked(sent)
    assert early.holds
    sent.send(sent.write("d"))
    assert not early.holds


def test_what_is_lacking_is_for_the_check_that_follows(sent):
    """It names what it is."""
    sent.store.delete(sent.key("a"))
    assert not looked(sent).holds


def test_an_error_is_for_the_check_that_follows(sent):
    """It is raised there, if it is still one."""

    def refuse():
        raise CredentialsError("refused")

    sent.store.before("pages", refuse)
    assert not looked(sent).holds


def test_it_is_of_no_use_once_something_is_sent(sent):
    """Nobody waits for it, and it ends with the page that it reads."""
    early = check(sent)
    sent.store.before("pages", lambda: sent.send(sent.write("d")))
    assert not early.look()
    assert not early.is_awaited


def test_what_is_sent_between_its_end_and_the_last_look_counts(sent):
    """Even where the same is noted again."""
    early = looked(sent)
    [(path, synced)] = [(path, row) for path, row in sent.journal.rows() if path == "a"]
    sent.journal.mark_synced([(path, synced)])
    assert not early.holds
    assert sent.key("a") == Key(synced.key)
