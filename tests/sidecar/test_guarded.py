"""No change below a manifest before the manifest is gone, and none while it is made."""

import threading

import pytest
from sending import Acting

from lighterman.errors import CredentialsError, SourceMissingError, TransientError
from lighterman.stores.contract import Attributes, Key, Window
from sidecar.guarded import Guarded
from sidecar.journal import Journal

NAME = ".lighterman-manifest.json"
MANIFEST, FILE = Key(f"g/{NAME}"), Key("g/a")
NOTHING = Attributes()


@pytest.fixture
def journal():
    return Journal.in_memory("here")


@pytest.fixture
def guarded(volume_store, tmp_path, journal):
    return Guarded(Acting(volume_store), journal)


@pytest.fixture
def window(tmp_path):
    (tmp_path / "content").write_bytes(b"content")
    with (tmp_path / "content").open("rb") as file:
        yield Window(file.fileno(), 0, 7)


def publish(guarded, window):
    with guarded.making(MANIFEST) as may:
        assert may
        guarded.put(MANIFEST, lambda: guarded.bare.write(MANIFEST, window, NOTHING))


def is_there(guarded, key):
    try:
        guarded.bare.stat(key)
    except SourceMissingError:
        return False
    return True


def change_by_write(guarded, window):
    guarded.write(FILE, window, NOTHING)


def change_by_delete(guarded, window):
    guarded.delete(FILE)


def change_by_copy(guarded, window):
    etag = guarded.write(Key("elsewhere"), window, NOTHING)
    guarded.copy(Key("elsewhere"), etag, FILE, NOTHING)


def change_by_parts(guarded, window):
    upload_id = guarded.begin(FILE, NOTHING, part_bytes=8 << 20)
    parts = [guarded.send_part(FILE, upload_id, 1, window)]
    assert is_there(guarded, MANIFEST)  # nothing is visible yet
    guarded.finish(FILE, upload_id, parts)


CHANGES = [change_by_write, change_by_delete, change_by_copy, change_by_parts]


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_withdraws_the_manifests_above_it(guarded, window, journal, change):
    """In the bucket and in the journal, whichever way it comes."""
    publish(guarded, window)
    assert is_there(guarded, MANIFEST)
    assert guarded.is_standing(MANIFEST)
    change(guarded, window)
    assert not is_there(guarded, MANIFEST)
    assert not guarded.is_standing(MANIFEST)
    assert journal.manifests() == {}


def test_what_cannot_be_withdrawn_is_not_changed(guarded, window, journal):
    """The store's error is raised, and the next attempt begins with it."""
    publish(guarded, window)

    def refuse():
        raise CredentialsError("may not delete")

    guarded.bare.before("delete", refuse)
    with pytest.raises(CredentialsError):
        guarded.write(FILE, window, NOTHING)
    assert is_there(guarded, MANIFEST)
    assert not is_there(guarded, FILE)
    guarded.write(FILE, window, NOTHING)
    assert not is_there(guarded, MANIFEST)


def test_one_whose_writing_failed_counts_as_there(guarded, window, journal):
    """Its answer may have been lost: it is withdrawn before anything changes, and doesn't stand."""

    def fail():
        raise TransientError("the answer was lost")

    with pytest.raises(TransientError), guarded.making(MANIFEST):
        guarded.put(MANIFEST, fail)
    assert journal.manifests() == {MANIFEST: None}
    assert not guarded.is_standing(MANIFEST)
    guarded.bare.write(MANIFEST, window, NOTHING)  # as it would have arrived
    guarded.write(FILE, window, NOTHING)
    assert not is_there(guarded, MANIFEST)


def test_a_change_waits_for_a_manifest_that_is_being_made(guarded, window):
    """And the maker learns that it isn't worth its while."""
    waits = threading.Event()
    changed = threading.Event()

    def change():
        waits.set()
        guarded.write(FILE, window, NOTHING)
        changed.set()

    with guarded.making(MANIFEST) as may:
        assert may
        thread = threading.Thread(target=change)
        thread.start()
        waits.wait(10)
        while not guarded.is_disturbed(MANIFEST):
            threading.Event().wait(0.001)
        assert not changed.is_set()
    thread.join(10)
    assert is_there(guarded, FILE)


def test_no_manifest_is_made_while_a_change_is_under_way(guarded, window):
    """What it would list isn't known."""
    seen = []

    def look():
        with guarded.making(MANIFEST) as may:
            seen.append(may)

    guarded.bare.before("write", look)
    guarded.write(FILE, window, NOTHING)
    look()
    assert seen == [False, True]


def test_a_directory_s_marker_is_no_change(guarded, window):
    """No manifest lists it."""
    publish(guarded, window)
    guarded.write(Key("g/empty/"), Window(window.descriptor, 0, 0), NOTHING)
    assert guarded.is_standing(MANIFEST)


def test_what_the_journal_has_is_known_after_a_start(guarded, window, volume_store, journal):
    """Withdrawn by the next process too."""
    publish(guarded, window)
    after = Guarded(volume_store, journal)
    after.recall()
    assert after.is_standing(MANIFEST)
    after.write(FILE, window, NOTHING)
    assert not is_there(guarded, MANIFEST)


@pytest.mark.parametrize("moment", ["before", "after"])
def test_one_that_was_being_withdrawn_at_a_kill_does_not_stand(guarded, window, journal, moment):
    """The bucket may have it no more: the next look at the group has to write it anew."""
    publish(guarded, window)

    def killed():
        if moment == "after":
            guarded.bare._store.delete(MANIFEST)
        raise TransientError("killed here")

    guarded.bare.before("delete", killed)
    with pytest.raises(TransientError):
        guarded.write(FILE, window, NOTHING)
    after = Guarded(guarded.bare, journal)
    after.recall()
    assert not after.is_standing(MANIFEST)
    after.write(FILE, window, NOTHING)
    assert not is_there(guarded, MANIFEST)


@pytest.mark.parametrize("stands", [True, False])
def test_who_makes_no_manifests_withdraws_those_that_stand(
    guarded, window, volume_store, journal, stands
):
    """Without any there is nothing to ask."""
    if stands:
        publish(guarded, window)
    after = Guarded(volume_store, journal, makes_manifests=False)
    after.recall()
    after.write(FILE, window, NOTHING)
    assert is_there(guarded, FILE)
    assert not is_there(guarded, MANIFEST)
