"""How a state gets into the bucket: a table of what the journal knows, and what holds for all of it."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lighterman.stores.contract import ETag, Key
from sidecar.states import FileState, Synced
from sidecar.ways import Abilities, Copy, Extend, Known, Proof, ways

MIB = 1 << 20
STATE = FileState(1, 7, 20 * MIB, 100, 200, 0o644)
RENAMED = STATE._replace(ctime_ns=300)
REWRITTEN = STATE._replace(mtime_ns=101, ctime_ns=300)
REPLACED = REWRITTEN._replace(inode=8)
GROWN = REWRITTEN._replace(size_bytes=30 * MIB)
KEY, OTHER = Key("run/a"), Key("run/b")
ABLE = Abilities(copies_parts=True, least_part_bytes=5 * MIB, whole_bytes=8 * MIB)
UNABLE = ABLE._replace(copies_parts=False)
OWN = Synced(STATE, KEY, ETag("own"), crc32c="0badcafe")
MOVED = Synced(STATE, OTHER, ETag("moved"), crc32c="0badcafe")


def without_sum(synced: Synced) -> Synced:
    return msgspec.structs.replace(synced, crc32c=None)


def of_size(synced: Synced, size_bytes: int) -> Synced:
    return msgspec.structs.replace(synced, state=synced.state._replace(size_bytes=size_bytes))


@pytest.mark.parametrize(
    ("state", "known", "abilities", "live", "expected"),
    [
        (STATE, Known(None), ABLE, False, []),
        # renamed, and told so
        (RENAMED, Known(None, origin=MOVED), ABLE, False, [Copy(MOVED, Proof.RENAME)]),
        (RENAMED, Known(None, origin=without_sum(MOVED)), ABLE, False, [Copy(without_sum(MOVED), Proof.RENAME)]),
        (RENAMED, Known(None, origin=MOVED, twins=(MOVED,)), ABLE, False, [Copy(MOVED, Proof.RENAME), Copy(MOVED, Proof.SUM)]),
        (REWRITTEN, Known(None, origin=MOVED), ABLE, False, []),
        (REPLACED, Known(None, origin=MOVED), ABLE, False, []),
        # renamed, and found so
        (RENAMED, Known(None, twins=(MOVED,)), ABLE, False, [Copy(MOVED, Proof.SUM)]),
        (RENAMED, Known(None, twins=(without_sum(MOVED),)), ABLE, False, []),
        # touched, or its mode changed
        (RENAMED, Known(OWN, twins=(OWN,)), ABLE, False, [Copy(OWN, Proof.SUM)]),
        # rewritten, as long as it was
        (REWRITTEN, Known(OWN), ABLE, False, [Copy(OWN, Proof.CONTENT)]),
        (REPLACED, Known(OWN), ABLE, False, [Copy(OWN, Proof.CONTENT)]),
        (REWRITTEN, Known(OWN), UNABLE, True, [Copy(OWN, Proof.CONTENT)]),
        (REWRITTEN, Known(without_sum(OWN)), ABLE, False, []),
        (REWRITTEN, Known(of_size(OWN, 19 * MIB)), ABLE, False, []),
        # another prefix's row is no word on this key
        (REWRITTEN, Known(MOVED), ABLE, False, []),
        # a log that grew
        (GROWN, Known(OWN), ABLE, True, [Extend(OWN)]),
        (GROWN, Known(OWN), ABLE, False, []),
        (GROWN, Known(OWN), UNABLE, True, []),
        (GROWN, Known(without_sum(OWN)), ABLE, True, []),
        (GROWN._replace(inode=8), Known(OWN), ABLE, True, []),
        (GROWN, Known(of_size(OWN, 5 * MIB - 1)), ABLE, True, []),
        (GROWN._replace(size_bytes=8 * MIB), Known(of_size(OWN, 6 * MIB)), ABLE, True, []),
        (REWRITTEN._replace(size_bytes=10 * MIB), Known(OWN), ABLE, True, []),
        # nothing is cheaper than nothing
        (STATE._replace(size_bytes=0), Known(of_size(OWN, 0), of_size(MOVED, 0)), ABLE, True, []),
    ],
)  # fmt: skip
def test_what_may_spare_the_sending(state, known, abilities, live, expected):
    """The surest claim first; where nothing is claimed, it is sent."""
    assert ways(state, KEY, known, abilities, live=live) == expected


numbers = st.integers(0, 3)
states = st.builds(
    FileState,
    device=numbers,
    inode=numbers,
    size_bytes=st.sampled_from([0, 1, 6 * MIB, 20 * MIB, 21 * MIB]),
    mtime_ns=numbers,
    ctime_ns=numbers,
    mode=numbers,
)
rows = st.builds(
    Synced,
    state=states,
    key=st.sampled_from([KEY, OTHER]),
    etag=st.sampled_from([ETag("1"), ETag("2")]),
    crc32c=st.sampled_from([None, "00000001"]),
)
knowns = st.builds(Known, st.none() | rows, st.none() | rows, st.lists(rows, max_size=3).map(tuple))


@given(states, knowns, st.sampled_from([ABLE, UNABLE]), st.booleans())
def test_nothing_is_claimed_without_a_ground(state, known, abilities, live):
    """Every way names a row that the journal has, of a size that fits, with what its proof wants."""
    for way in ways(state, KEY, known, abilities, live=live):
        source = way.source
        assert source in (known.own, known.origin, *known.twins)
        match way:
            case Copy(_, Proof.RENAME):
                assert source == known.origin
                assert source.state[:4] == state[:4]
            case Copy(_, Proof.SUM):
                assert source.crc32c is not None
                assert source.state[:4] == state[:4]
            case Copy(_, Proof.CONTENT):
                assert source.key == KEY
                assert source.crc32c is not None
                assert source.state.size_bytes == state.size_bytes
            case Extend():
                assert live
                assert abilities.copies_parts
                assert source.key == KEY
                assert source.state[:2] == state[:2]
                assert 5 * MIB <= source.state.size_bytes < state.size_bytes


@given(states, knowns, st.booleans())
def test_the_surest_claim_comes_first(state, known, live):
    """Nothing is read where the kernel's word is enough, the store isn't asked where the file's state is."""
    found = ways(state, KEY, known, ABLE, live=live)
    order = [Proof.RENAME, Proof.SUM, Proof.CONTENT]
    ranks = [order.index(way.proof) if isinstance(way, Copy) else len(order) for way in found]
    assert ranks == sorted(ranks)
