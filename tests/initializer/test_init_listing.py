"""Listings of a store that doesn't sort are sorted on disk."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from initializer.listing import put_in_order
from lighterman.clock import SystemClock
from lighterman.errors import TransientError
from lighterman.stores.contract import Listed
from lighterman.transfer.retry import Attempts
from lighterman.transfer.tally import Tally


class Lists:
    """A store that lists what it is given, and breaks off where it is told to: no server does on demand."""

    def __init__(self, keys, page=2, breaks=(), error=TransientError):
        self.keys = keys
        self.page = page
        self.breaks = list(breaks)
        self.error = error

    def pages(self, prefix):
        for start in range(0, len(self.keys), self.page):
            if self.breaks and self.breaks[0] == start // self.page:
                self.breaks.pop(0)
                raise self.error("broken off")
            yield [listed(key) for key in self.keys[start : start + self.page]]


def listed(key):
    return Listed(key, len(key), f"etag-{key}", 1.5, key.endswith("c"))


class Hurried(SystemClock):
    """Waits for nothing."""

    def wait(self, seconds, until=None):
        return False


@pytest.fixture
def attempts():
    return Attempts(60, Hurried(), Tally())


def flat(pages):
    return [listed for page in pages for listed in page]


@given(st.sets(st.text(min_size=1, max_size=5), max_size=30), st.randoms(), st.lists(st.just(1)))
def test_a_store_that_doesnt_sort_is_sorted_on_disk(tmp_path_factory, keys, chance, breaks):
    """Every key once, in the order of the keys; nothing is left on disk."""
    directory = tmp_path_factory.mktemp("listing")
    shuffled = sorted(keys)
    chance.shuffle(shuffled)
    store = Lists(shuffled, breaks=breaks[:3] if len(keys) > 2 else [])
    attempts = Attempts(60, Hurried(), Tally())
    found = flat(put_in_order(store, "", attempts, str(directory)))
    assert found == [listed(key) for key in sorted(keys)]
    assert list(directory.iterdir()) == []


def test_several_listings_may_be_sorted_at_once(tmp_path, attempts):
    """Also beside one that a killed run left."""
    (tmp_path / "listing-0.tmp").write_text("left")
    one = put_in_order(Lists(["b", "a"]), "", attempts, str(tmp_path))
    two = put_in_order(Lists(["d", "c"]), "", attempts, str(tmp_path))
    assert next(one) + next(two) == [listed(key) for key in "abcd"]
    one.close()
    two.close()
