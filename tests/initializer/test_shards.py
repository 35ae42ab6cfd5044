"""Shards: every pod computes the same balanced assignment from the same listing."""

import tracemalloc

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from initializer.plan import (
    Fetch,
    Found,
    MakeDirectory,
    Refuse,
    Stream,
    Wanted,
    merged,
    plan,
    wanted,
)
from initializer.shards import FILE_BYTES, Balance, Shard, Share, shard_of
from lighterman.errors import ConfigurationError
from lighterman.stores.contract import Listed

KIB = 1024
sizes = st.lists(
    st.one_of(st.just(0), st.integers(0, 1000), st.integers(0, 10**7), st.integers(0, 10**12)),
    max_size=60,
)
counts = st.integers(1, 9)


class Nothing:
    """A disk with nothing on it."""

    def directory(self, root, path):
        return Found.ABSENT

    def file(self, path):
        return None


def listed(key, size_bytes, etag="e"):
    return Listed(key, size_bytes, etag, 5.0, archived=etag == "archived")


def planned(objects, index, count, more=()):
    """What one pod plans of a listing, and what it tells of it."""
    share = Share("name", Shard(index, count))
    stream = Stream(
        "/d/", lambda: wanted([sorted(objects, key=lambda one: one.key)], "", "/d/", 0, 0, share)
    )
    items = merged([stream, *(Stream(item.path, lambda item=item: iter([item])) for item in more)])
    return list(plan(items, ["/d"], Nothing())), share.told()


def fetched(actions):
    return [action.key for action in actions if isinstance(action, Fetch)]


@settings(deadline=None)
@given(sizes, counts)
def test_shards_are_disjoint_and_complete(sizes, count):
    """Every file comes to exactly one pod, in the order of the keys."""
    objects = [listed(f"{number:03}", size) for number, size in enumerate(sizes)]
    shards = [fetched(planned(objects, index, count)[0]) for index in range(count)]
    assert sorted(key for shard in shards for key in shard) == [one.key for one in objects]
    assert all(shard == sorted(shard) for shard in shards)


@given(sizes, counts)
def test_shards_are_balanced_within_one_largest_file(sizes, count):
    """The most bytes of a shard less the least are at most the largest file's, at every moment."""
    balance = Balance(count)
    loads = [0] * count
    for done, size_bytes in enumerate(sizes, 1):
        loads[balance.owner_of_next(size_bytes)] += size_bytes
        assert max(loads) - min(loads) <= max(sizes[:done])


@given(st.integers(0, 1000), st.integers(1, 9))
def test_empty_files_are_spread_too(files, count):
    """A million empty files don't all go to one pod."""
    balance = Balance(count)
    owners = [balance.owner_of_next(0) for _ in range(files)]
    found = [owners.count(owner) for owner in range(count)]
    assert max(found) - min(found) <= 1


def test_small_files_are_spread_where_large_ones_make_no_two_shards_equal():
    """They cost a request each, whatever their bytes: a shard that has less by some MB doesn't get them all."""
    balance = Balance(4)
    for size_bytes in (10**9, 10**9 + 5 * 10**6, 10**9 + 10**7, 10**9 + 3 * 10**7):
        balance.owner_of_next(size_bytes)
    owners = [balance.owner_of_next(100) for _ in range(4000)]
    found = [owners.count(owner) for owner in range(4)]
    assert max(found) - min(found) <= 3 * 10**7 // FILE_BYTES + 1


def test_the_assignment_needs_no_memory_for_its_files():
    """Ten million keys must not need ten million Python objects."""
    balance = Balance(3)
    balance.owner_of_next(10**15)  # from now on the two others take turns
    tracemalloc.start()
    for number in range(30_000):
        balance.owner_of_next(number % 7)
    held_bytes, peak_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert max(held_bytes, peak_bytes) < 100_000


@settings(deadline=None)
@given(sizes, st.integers(2, 5))
def test_all_pods_tell_the_same_digest(sizes, count):
    """The report carries the listing's digest, with the files and bytes of all shards together."""
    objects = [listed(f"{number:03}", size) for number, size in enumerate(sizes)]
    told = {planned(objects, index, count)[1].listing_digest for index in range(count)}
    assert len(told) == 1
    [one, *_] = [planned(objects, index, count)[1] for index in range(count)]
    assert (len(sizes), sum(sizes)) == (one.listed_files, one.listed_bytes)


@pytest.mark.parametrize(
    "other",
    [
        [listed("a", 1), listed("b", 3)],
        [listed("a", 1), listed("c", 2)],
        [listed("a", 1), listed("b", 2, "f")],
        [listed("a", 1)],
        [listed("a", 1), listed("b", 2), listed("c/", 0)],
    ],
)
def test_another_listing_has_another_digest(other):
    """Of every key, size and ETag."""
    digest = planned([listed("a", 1), listed("b", 2)], 0, 2)[1].listing_digest
    assert digest != planned(other, 0, 2)[1].listing_digest


def test_markers_come_to_every_shard():
    """A ``dir/`` marker is a directory, and no file: each pod has it."""
    objects = [listed("a/", 0), listed("b/x", 1), listed("c/y", 1)]
    for index in range(3):
        made = [one for one in planned(objects, index, 3)[0] if isinstance(one, MakeDirectory)]
        assert MakeDirectory("/d/a/") in made
        assert (MakeDirectory("/d/b/") in made) == (index == 0)


@pytest.mark.parametrize(
    "bad",
    [listed("x/../y", 1), listed("b/below", 1), listed("z", 1, "archived"), listed("full/", 7)],
)
def test_what_is_refused_of_the_listing_is_refused_in_every_shard(bad):
    """All pods agree on an unsafe key, a clash, an archived object: none begins."""
    objects = [listed("a", 1), listed("b", 1), listed("c", 1), bad]
    refused = [
        [one for one in planned(objects, index, 4)[0] if isinstance(one, Refuse)]
        for index in range(4)
    ]
    assert all(len(one) == 1 and one[0].key == bad.key for one in refused)
    assert all(one == refused[0] for one in refused)


@given(counts)
def test_a_file_that_is_declared_twice_comes_to_one_pod(count):
    """As a file and with its directory, in one sharded entry: it counts once."""
    objects = [listed(name, 5) for name in "abc"]
    shards = []
    for index in range(count):
        share = Share("name", Shard(index, count))
        items = merged(
            [
                Stream("/d/", lambda share=share: wanted([objects], "", "/d/", 0, 0, share)),
                Stream("/d/b", lambda share=share: iter([Wanted("/d/b", 0, 0, objects[1], share)])),
            ]
        )
        shards.append(fetched(list(plan(items, ["/d"], Nothing()))))
        assert share.told().listed_files == 3
    assert sorted(key for shard in shards for key in shard) == ["a", "b", "c"]


def test_what_another_entry_wants_whole_comes_to_every_pod():
    """Two entries may declare one object, and only one of them be sharded."""
    objects = [listed(name, 5) for name in "abc"]
    for index in range(3):
        for place in ("/d/b", "/d/a"):
            item = Wanted(place, 0, 0, listed(place[-1], 5))
            actions, told = planned(objects, index, 3, [item])
            assert place[-1] in fetched(actions)
            assert len(fetched(actions)) == len(set(fetched(actions)))
            assert "abc"[index] in fetched(actions)
            assert told.listed_files == 3


@pytest.mark.parametrize(
    ("index", "count", "shard"),
    [
        ("0", "1", Shard(0, 1)),
        ("$JOB_COMPLETION_INDEX", "8", Shard(7, 8)),
        ("${JOB_COMPLETION_INDEX}", "$(COUNT)", Shard(7, 9)),
    ],
)
def test_numbers_may_be_variables(index, count, shard):
    """``$JOB_COMPLETION_INDEX`` in index and count, resolved from the environment."""
    environ = {"JOB_COMPLETION_INDEX": "7", "COUNT": "9"}
    assert shard == shard_of(index, count, "spec: init[0].shard", environ)


@pytest.mark.parametrize(
    ("index", "count", "said"),
    [
        ("$UNSET", "8", "spec.index: $UNSET isn't set"),
        ("$EMPTY", "8", "spec.index: $EMPTY isn't set"),
        ("$WORD", "8", "spec.index: $WORD is 'two', no number"),
        ("0", "$UNSET", "spec.count: $UNSET isn't set"),
        ("-1", "8", "spec.index: '-1' is no number"),
        ("x", "8", "spec.index: 'x' is no number"),
        ("8", "8", "spec.index: 8 is 8, of a count of 8"),
        ("$NINE", "8", "spec.index: $NINE is 9, of a count of 8"),
        ("0", "0", "spec.count: 0 is 0"),
        ("0", "100001", "spec.count: 100001 is 100001"),
    ],
)
def test_a_shard_that_is_off_is_named(index, count, said):
    """Unset, not a number, an index beyond the count: 78, and how to mend it."""
    with pytest.raises(ConfigurationError) as caught:
        shard_of(index, count, "spec", {"WORD": "two", "EMPTY": "", "NINE": "9"})
    assert said == caught.value.message
    assert caught.value.hint
