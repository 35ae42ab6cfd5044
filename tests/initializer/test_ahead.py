"""Listings run ahead of the plan, side by side and in parts, and are whole and in order all the same."""

import threading
from bisect import bisect_right

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from initializer import ahead as ahead_module
from initializer import splits
from initializer.ahead import Ahead, Listing
from initializer.listing import UnsortedError
from initializer.splits import Seen
from lighterman.clock import SystemClock
from lighterman.errors import CredentialsError, TransientError
from lighterman.stores.contract import Listed
from lighterman.transfer.retry import Attempts
from lighterman.transfer.tally import Tally

SECONDS = 30
"""A wait that ends so late has failed."""


class Store:
    """
    A store that lists what it is given, and does with a request what a test tells it to: no server breaks off,
    or waits for another request, on demand.
    """

    def __init__(
        self, keys, page=2, *, lists_after=True, breaks=(), error=TransientError, hook=None
    ):
        self.keys = list(keys)
        self.page = page
        self.lists_after = lists_after
        self.breaks = list(breaks)
        self.error = error
        self.hook = hook or (lambda prefix, after, number: None)
        self.asked = []
        self.turn = threading.Lock()

    def pages(self, prefix, *, after=""):
        keys = [key for key in self.keys if key.startswith(prefix)]
        if after:
            keys = keys[bisect_right(keys, after) :]
        for number in range(max(1, -(-len(keys) // self.page))):
            self.hook(prefix, after, number)
            with self.turn:
                self.asked.append((prefix, after, number))
                if self.breaks and self.breaks[0] == len(self.asked) - 1:
                    self.breaks.pop(0)
                    raise self.error("broken off")
            yield [listed(key) for key in keys[number * self.page : (number + 1) * self.page]]


def listed(key):
    return Listed(key, len(key), f"etag-{key}", 1.5, key.endswith("c"))


class Hurried(SystemClock):
    """Waits for nothing."""

    def wait(self, seconds, until=None):
        return False


def read(directory, *listings, **options):
    """Each listing's keys, read one after the other."""
    attempts = Attempts(60, Hurried(), Tally())
    with Ahead([Listing(*one) for one in listings], attempts, str(directory), **options) as ahead:
        found = [
            [one for page in ahead.pages(number) for one in page] for number in range(len(listings))
        ]
    for rows in found:
        assert rows == [listed(one.key) for one in rows]
    return [[one.key for one in rows] for rows in found]


def in_parts(store):
    return {after for _, after, _ in store.asked if after}


@pytest.mark.parametrize("lists_after", [True, False])
@pytest.mark.parametrize("breaks", [[], [0], [1], [2], [2, 3, 4], [0, 2, 4, 5]])
def test_a_listing_that_breaks_off_is_gone_on_with(tmp_path, lists_after, breaks):
    """No key is lost, none comes twice; where the store can begin there, it isn't asked for the keys before."""
    keys = ["a", "a-c", "a/c", "b", "é"]
    store = Store(keys, lists_after=lists_after, breaks=breaks)
    assert read(tmp_path, (store, ""), most_listers=1) == [keys]
    if lists_after:
        assert len(store.asked) == 3 + len(breaks)


def test_permanent_errors_end_it(tmp_path):
    """A listing that isn't allowed isn't tried again."""
    store = Store(["a"], breaks=[0, 1], error=CredentialsError)
    with pytest.raises(CredentialsError):
        read(tmp_path, (store, ""))
    assert store.breaks == [1]


@pytest.mark.parametrize("keys", [["b", "a"], ["a", "c", "b", "d"], ["a", "b", "0", "c"]])
@pytest.mark.parametrize("breaks", [[], [1]])
def test_disorder_is_noticed(tmp_path, keys, breaks):
    """Within a page, from one page to the next, and after a break: what was seen isn't taken for in order."""
    with pytest.raises(UnsortedError):
        read(tmp_path, (Store(keys, lists_after=False, breaks=breaks), ""))


texts = st.text(
    st.one_of(st.sampled_from("ab0189/-_\0é\U0010ffff"), st.characters(codec="utf-8")),
    min_size=1,
    max_size=9,
)
numbered = st.builds(
    lambda stem, count: {f"{stem}{number:04}" for number in range(count)}, texts, st.integers(0, 90)
)
several = st.lists(numbered | st.sets(texts, max_size=30), max_size=4).map(
    lambda sets: set().union(*sets)
)


@settings(deadline=None)  # threads take turns as the machine lets them
@given(
    several,
    st.integers(1, 7),
    st.sampled_from(["", "a", "a/"]),
    st.sets(st.integers(0, 60), max_size=5),
)
def test_any_listing_is_whole_and_in_order(tmp_path_factory, keys, page, prefix, breaks):
    """Read in parts or not, with breaks or not: every key once, as a listing from end to end gives it."""
    directory = tmp_path_factory.mktemp("ahead")
    store = Store(sorted(keys), page, breaks=sorted(breaks))
    expected = [key for key in store.keys if key.startswith(prefix)]
    assert read(directory, (store, prefix)) == [expected]
    assert list(directory.iterdir()) == []


@given(texts, texts, texts, st.none() | texts, st.booleans(), st.integers(0, 3))
def test_a_cut_is_between_the_last_key_and_the_horizon(one, other, stem, horizon, is_full, cut):
    """Whatever keys are like: behind what came, before what is known to be the end, and inside the prefix."""
    first, last = sorted((stem + one, stem + other))
    prefix = stem[:cut]
    if horizon is not None:
        horizon = max(last + "\0", prefix + horizon)
    seen = Seen(first, last, horizon, is_full)
    place = splits.place(prefix, seen)
    assert splits.width(seen) >= 0
    if place is not None:
        assert place > last
        assert horizon is None or place < horizon
        assert place.startswith(prefix)
        place.encode()


@pytest.mark.parametrize(
    ("first", "last", "horizon", "pages"),
    [
        ("f00000", "f00999", "f1", 10),
        ("d01/f000", "d01/f999", "d01/g", 0),
        ("img_1000", "img_1999", "img`", 9),
        ("d010/f0", "d012/f5", "d1", 44),
        ("f00000", "f00999", "f00999", 0),
    ],
)
def test_what_is_still_to_come_is_guessed(first, last, horizon, pages):
    """In pages like the latest: a part that is nearly over isn't worth a request."""
    assert splits.width(Seen(first, last, None, is_full=False)) == float("inf")
    assert round(splits.width(Seen(first, last, horizon, is_full=False))) == pages


def test_listings_are_asked_for_side_by_side(tmp_path):
    """Those of several dirs: each waits here until all the others are asked for too."""
    met = threading.Barrier(8, timeout=SECONDS)

    def hook(prefix, after, number):
        met.wait()

    names = [f"d{number}/" for number in range(8)]
    store = Store([f"{name}x" for name in names], hook=hook)
    assert read(tmp_path, *((store, name) for name in names)) == [[f"{name}x"] for name in names]


class Meeting:
    """The third page of a listing from its begin waits until some part of it was asked for that page."""

    def __init__(self, page=1):
        self.page = page
        self.part = threading.Event()

    def __call__(self, prefix, after, number):
        if after and number >= self.page:
            self.part.set()
        elif not after and number > 1:
            assert self.part.wait(SECONDS)


LONG = [f"train/image_{number:06}.jpeg" for number in range(3000)]


def test_a_long_listing_is_asked_for_in_parts(tmp_path):
    """By several threads at once, with few requests that only find where parts end."""
    store = Store(LONG, 10, hook=Meeting())
    assert read(tmp_path, (store, "train/")) == [LONG]
    assert in_parts(store)
    assert len(store.asked) < 2 * 300


@pytest.mark.parametrize(("keys", "requests"), [(0, 1), (9, 1), (10, 1), (20, 2 + 1)])
def test_a_short_listing_costs_no_request_more(tmp_path, keys, requests):
    """None at all for one page."""
    store = Store(LONG[:keys], 10)
    assert read(tmp_path, (store, "train/")) == [LONG[:keys]]
    assert len(store.asked) <= requests


def test_a_store_without_such_an_order_is_asked_from_end_to_end(tmp_path):
    """``lists_after`` says it: nothing is asked for in parts."""
    store = Store(LONG, 10, lists_after=False)
    assert read(tmp_path, (store, "train/")) == [LONG]
    assert not in_parts(store)


def test_a_store_that_begins_elsewhere_is_noticed(tmp_path):
    """One that doesn't know the question answers from the begin: nothing comes twice."""

    class Ignorant(Store):
        def pages(self, prefix, *, after=""):
            for number, page in enumerate(super().pages(prefix)):
                self.hook(prefix, after, number)
                yield page

    store = Ignorant(LONG, 10, hook=Meeting(page=0))
    assert read(tmp_path, (store, "train/")) == [LONG]


def test_parts_that_dont_meet_are_noticed(tmp_path):
    """A key that only one of two listings has, where they should meet: no key may be lost by that."""

    class Haunted(Store):
        def pages(self, prefix, *, after=""):
            pages = super().pages(prefix, after=after)
            if after:
                yield [listed(after + "\0ghost"), *next(pages)]
            yield from pages

    with pytest.raises(UnsortedError):
        read(tmp_path, (Haunted(LONG, 10, hook=Meeting()), "train/"))


def test_what_comes_before_its_turn_goes_to_the_disk(tmp_path, monkeypatch):
    """With little memory, and as long as the first listing is waited for; nothing is left there."""
    monkeypatch.setattr(ahead_module, "MOST_HELD_KEYS", 100)
    monkeypatch.setattr(ahead_module, "_RESUME_KEYS", 50)
    others = threading.Semaphore(0)

    def hook(prefix, after, number):
        if prefix == "a/":
            for _ in range(2):
                assert others.acquire(timeout=SECONDS)
        elif number == 49:
            others.release()

    keys = {name: [f"{name}{number:05}" for number in range(500)] for name in ("b/", "c/")}
    store = Store(["a/x", *keys["b/"], *keys["c/"]], 10, hook=hook, lists_after=False)
    found = read(tmp_path, (store, "a/"), (store, "b/"), (store, "c/"))
    assert found == [["a/x"], keys["b/"], keys["c/"]]
    assert list(tmp_path.iterdir()) == []


def test_memory_is_bounded_by_keys(tmp_path, monkeypatch):
    """Whatever the number of listings: no more than so many keys are held at any time."""
    monkeypatch.setattr(ahead_module, "MOST_HELD_KEYS", 200)
    monkeypatch.setattr(ahead_module, "_RESUME_KEYS", 100)
    store = Store(LONG, 10)
    attempts = Attempts(60, Hurried(), Tally())
    found = []
    prefixes = [f"train/image_00{number}" for number in range(3)]
    with Ahead([Listing(store, one) for one in prefixes], attempts, str(tmp_path)) as ahead:
        for number in range(3):
            for page in ahead.pages(number):
                found += [one.key for one in page]
                assert ahead._held_keys <= 200 + 50
    assert found == LONG


def test_leaving_early_ends_the_listers(tmp_path):
    """Who waits for room doesn't wait for ever."""
    store = Store([f"{number:06}" for number in range(40_000)], 1000)
    attempts = Attempts(60, Hurried(), Tally())
    before = set(threading.enumerate())
    with Ahead([Listing(store, "")], attempts, str(tmp_path)) as ahead:
        next(ahead.pages(0))
        listers = set(threading.enumerate()) - before
    for lister in listers:
        lister.join(SECONDS)
        assert not lister.is_alive()
    assert list(tmp_path.iterdir()) == []
