"""Uploads that were cut short: what arrived isn't sent again, and nothing is left behind."""

import threading

import pytest
from sending import MIB, Outputs, noise

from lighterman.clock import SystemClock
from lighterman.errors import (
    CredentialsError,
    SourceMissingError,
    TransientError,
    UploadMissingError,
)
from lighterman.stores.contract import Attributes, Part, Window
from lighterman.transfer.settings import TransferSettings
from sidecar.multipart import CLOCK_SKEW_SECONDS, MOST_BEGINNINGS, in_threads
from sidecar.output import opened
from sidecar.states import FileState, RelPath
from sidecar.upload import Result

CONTENT = noise(28 * MIB)  # four parts, the last one shorter

PART_BYTES = 5 * 1024 * 1024


class Stop(BaseException):
    """Ends a send as abruptly as a test can without ending the process."""


def stop() -> None:
    raise Stop


def cut_short(outputs: Outputs, parts: int, path: str = "big") -> RelPath:
    """Begin an upload, and stop it before part ``parts + 1``."""
    written = outputs.write(path, CONTENT)
    outputs.store.before("send_part", *[lambda: None] * parts, stop)
    with pytest.raises(Stop):
        outputs.send(path)
    outputs.restart()
    return written


@pytest.mark.parametrize("parts", [0, 1, 3])
def test_an_upload_goes_on_where_it_ended(outputs, parts):
    """Killed and started with the same journal, it goes on: parts that arrived are not sent again."""
    path = cut_short(outputs, parts)
    outputs.uploader.recover()

    assert outputs.send(path) is Result.SENT

    assert 4 - parts == outputs.store.calls.count("send_part")
    assert outputs.store.calls.count("begin") == 0
    assert outputs.stored(path) == CONTENT
    assert outputs.open_uploads() == []


def test_an_upload_stopped_before_its_end_only_needs_that(outputs):
    """With all parts there, nothing but the end is asked for."""
    path = outputs.write("big", CONTENT)
    outputs.store.before("finish", stop)
    with pytest.raises(Stop):
        outputs.send(path)
    outputs.restart()

    assert outputs.send(path) is Result.SENT
    assert outputs.store.calls.count("send_part") == 0
    assert outputs.stored(path) == CONTENT


def test_an_upload_whose_end_was_not_noted_is_found_done(s3_outputs):
    """Killed between the store's last answer and the journal: the object is compared, not sent again."""
    outputs = s3_outputs
    path = outputs.write("big", CONTENT)
    outputs.store.before("finish", stop)
    with pytest.raises(Stop):
        outputs.send(path)
    upload = outputs.journal.open_upload(path)
    outputs.store.finish(upload.key, upload.upload_id, outputs.journal.parts(path))
    outputs.restart()

    assert outputs.send(path) is Result.SENT
    assert outputs.store.calls.count("send_part") == 0
    assert outputs.store.calls.count("begin") == 0
    assert outputs.synced(path).etag == outputs.store.stat(outputs.key(path)).etag
    assert outputs.journal.open_uploads() == []


@pytest.mark.parametrize("other", ["another object", "none"])
def test_another_object_under_the_key_is_not_taken_for_ours(s3_outputs, other):
    """An upload that was aborted, beside an object that isn't it, begins anew."""
    outputs = s3_outputs
    path = outputs.write("big", CONTENT)
    if other == "another object":
        outputs.write("small", b"small")
        with opened(str(outputs.root), RelPath("small")) as small:
            outputs.store.write(outputs.key("big"), small.window, Attributes())
    outputs.store.before("finish", stop)
    with pytest.raises(Stop):
        outputs.send(path)
    upload = outputs.journal.open_upload(path)
    outputs.store.abandon(upload.key, upload.upload_id)
    outputs.restart()

    assert outputs.send(path) is Result.SENT
    assert outputs.store.calls.count("send_part") == 4
    assert outputs.stored(path) == CONTENT


def test_a_part_that_arrived_but_was_not_noted_is_not_sent_again(s3_outputs):
    """Where the store's ETags can be computed, the part's own bytes vouch for it."""
    outputs = s3_outputs
    path = cut_short(outputs, 1)
    upload = outputs.journal.open_upload(path)
    with opened(str(outputs.root), path) as output:
        window = Window(output.descriptor, 8 * MIB, 8 * MIB)
        outputs.store.send_part(upload.key, upload.upload_id, 2, window)
    outputs.restart()

    assert outputs.send(path) is Result.SENT
    assert outputs.store.calls.count("send_part") == 2
    assert outputs.stored(path) == CONTENT


@pytest.mark.parametrize("wrong", ["bytes", "size"])
def test_a_part_that_is_not_what_was_noted_is_sent_again(outputs, wrong):
    """Only parts that both sides know alike count."""
    path = cut_short(outputs, 2)
    upload = outputs.journal.open_upload(path)
    other = outputs.write("other", noise(8 * MIB, seed=9))
    with opened(str(outputs.root), other) as output:
        size_bytes = 8 * MIB if wrong == "bytes" else 6 * MIB
        window = Window(output.descriptor, 0, size_bytes)
        outputs.store.send_part(upload.key, upload.upload_id, 2, window)
    outputs.restart()

    assert outputs.send(path) is Result.SENT
    # Where parts go in order, what came first stands.
    assert outputs.store.calls.count("send_part") == (2 if outputs.store.limits.in_order else 3)
    assert outputs.stored(path) == CONTENT


@pytest.mark.parametrize("change", ["rewritten", "removed", "now small"])
def test_an_upload_of_a_file_that_is_another_by_now_is_abandoned(outputs, change):
    """Its parts would be those of two states."""
    path = cut_short(outputs, 2)
    outputs.restart()
    if change == "removed":
        (outputs.root / path).unlink()
    else:
        outputs.write("big", noise(28 * MIB, seed=5) if change == "rewritten" else b"small")

    outputs.uploader.recover()
    assert outputs.open_uploads() == []
    assert outputs.journal.open_uploads() == []

    assert outputs.send(path) is (Result.GONE if change == "removed" else Result.SENT)
    if change != "removed":
        assert outputs.store.calls.count("send_part") == (4 if change == "rewritten" else 0)
        assert (outputs.root / path).read_bytes() == outputs.stored(path)


@pytest.mark.parametrize("change", ["rewritten", "removed", "now small"])
def test_a_send_without_recovery_abandons_it_too(outputs, change):
    """The same while the sidecar runs: a failed upload's file may change before it is tried again."""
    path = cut_short(outputs, 2)
    if change == "removed":
        (outputs.root / path).unlink()
    else:
        outputs.write("big", noise(28 * MIB, seed=5) if change == "rewritten" else b"small")

    outputs.send(path)

    assert outputs.open_uploads() == []
    assert outputs.journal.open_uploads() == []


def test_an_upload_that_was_begun_but_not_noted_is_abandoned(dated_outputs):
    """Killed between the store's answer and the journal: exactly this key's newer uploads go."""
    outputs = dated_outputs
    path = outputs.write("big", CONTENT)
    neighbour = outputs.store.begin(
        outputs.key("big-neighbour"), Attributes(), part_bytes=PART_BYTES
    )

    def begin_and_stop() -> None:
        outputs.store._store.begin(outputs.key("big"), Attributes(), part_bytes=PART_BYTES)
        raise Stop

    outputs.store.before("begin", begin_and_stop)
    with pytest.raises(Stop):
        outputs.send(path)
    assert sorted(outputs.open_uploads()) == [outputs.key("big"), outputs.key("big-neighbour")]
    outputs.restart()

    outputs.uploader.recover()

    assert outputs.open_uploads() == [outputs.key("big-neighbour")]
    assert outputs.send(path) is Result.SENT
    assert outputs.stored(path) == CONTENT
    outputs.store.abandon(outputs.key("big-neighbour"), neighbour)


def test_an_older_upload_of_the_same_key_is_someone_elses(dated_outputs):
    """Only what was begun since the intention can be this journal's."""
    outputs = dated_outputs
    outputs.store.begin(outputs.key("big"), Attributes(), part_bytes=PART_BYTES)
    state = FileState(0, 0, 0, 0, 0, 0)
    later_seconds = SystemClock().wall() + 2 * CLOCK_SKEW_SECONDS
    outputs.journal.intend(RelPath("big"), outputs.key("big"), state, 8 * MIB, later_seconds)
    outputs.restart()

    outputs.uploader.recover()

    assert outputs.open_uploads() == [outputs.key("big")]
    assert outputs.journal.open_uploads() == []


def test_a_begin_whose_answer_was_lost_leaves_no_second_upload(dated_outputs):
    """A retried request may have been heard twice."""
    outputs = dated_outputs
    path = outputs.write("big", CONTENT)

    def begin_and_lose_the_answer() -> None:
        outputs.store._store.begin(outputs.key("big"), Attributes(), part_bytes=PART_BYTES)
        raise TransientError("the answer was lost")

    outputs.store.before("begin", begin_and_lose_the_answer)

    assert outputs.send(path) is Result.SENT
    assert outputs.open_uploads() == []
    assert outputs.stored(path) == CONTENT


def test_an_end_whose_answer_was_lost_is_found_done(s3_outputs):
    """The second attempt finds no upload: the object is our own."""
    outputs = s3_outputs
    path = outputs.write("big", CONTENT)

    def finish_and_lose_the_answer() -> None:
        upload = outputs.journal.open_upload(path)
        parts = outputs.journal.parts(path)
        outputs.store._store.finish(upload.key, upload.upload_id, parts)
        raise TransientError("the answer was lost")

    outputs.store.before("finish", finish_and_lose_the_answer)

    assert outputs.send(path) is Result.SENT
    assert outputs.store.calls.count("send_part") == 4
    assert outputs.synced(path).etag == outputs.store.stat(outputs.key(path)).etag


def test_an_upload_that_the_store_lost_begins_anew(outputs):
    """A rule of the bucket aborted it while the sidecar was down, or under it."""
    path = cut_short(outputs, 2)
    upload = outputs.journal.open_upload(path)
    outputs.store.abandon(upload.key, upload.upload_id)
    outputs.restart()

    assert outputs.send(path) is Result.SENT
    assert outputs.store.calls.count("send_part") == 4
    assert outputs.stored(path) == CONTENT


def test_a_store_that_keeps_losing_uploads_is_trouble(outputs):
    """It is said, not tried for ever."""
    path = outputs.write("big", CONTENT)

    def lose() -> None:
        raise UploadMissingError("no such upload")

    outputs.store.before("send_part", *[lose] * MOST_BEGINNINGS)

    with pytest.raises(TransientError, match=f"lost the upload of .*big {MOST_BEGINNINGS} times"):
        outputs.send(path)
    assert outputs.journal.open_uploads() == []


def test_an_upload_that_cannot_be_abandoned_is_said(outputs, said):
    """A missing permission to abort stops nothing; the bucket's own rule has to clean up."""
    path = cut_short(outputs, 1)
    outputs.write("big", b"small by now")

    def refuse() -> None:
        raise CredentialsError("no permission to abort")

    outputs.store.before("abandon", refuse)

    assert outputs.send(path) is Result.SENT
    assert "sidecar.upload_not_abandoned" in said.getvalue()
    assert "no permission to abort" in said.getvalue()
    assert outputs.journal.open_uploads() == []


def test_an_upload_that_cannot_be_abandoned_yet_is_kept(outputs, said):
    """While the store is away, what is to be abandoned isn't forgotten."""
    path = cut_short(outputs, 1)
    (outputs.root / path).unlink()
    outputs.settings = TransferSettings(retry_seconds=0.0)
    outputs.restart()

    def fail() -> None:
        raise TransientError("the network is away")

    outputs.store.before("abandon", fail, fail)

    outputs.uploader.recover()
    with pytest.raises(TransientError):
        outputs.send(path)

    assert [path] == [upload.path for upload in outputs.journal.open_uploads()]
    assert "sidecar.upload_not_abandoned" in said.getvalue()
    outputs.uploader.recover()
    assert outputs.journal.open_uploads() == []
    assert outputs.open_uploads() == []


def test_an_upload_waits_for_the_next_send_when_the_store_is_down(outputs):
    """What arrived before the retries ran out still counts."""
    path = outputs.write("big", CONTENT)

    def refuse() -> None:
        raise CredentialsError("expired")

    outputs.store.before("send_part", lambda: None, refuse)
    with pytest.raises(CredentialsError):
        outputs.send(path)
    outputs.store.calls.clear()

    assert outputs.send(path) is Result.SENT
    assert outputs.store.calls.count("send_part") == 3


def test_an_intention_without_an_upload_is_dropped(outputs):
    """Killed before the store was asked."""
    path = outputs.write("big", CONTENT)
    outputs.journal.intend(path, outputs.key("big"), FileState(0, 0, 0, 0, 0, 0), 8 * MIB, 0.0)
    outputs.restart()

    outputs.uploader.recover()

    assert outputs.journal.open_uploads() == []
    assert outputs.send(path) is Result.SENT


def test_a_resumed_part_list_is_kept_by_number(outputs):
    """Parts that arrived in any order make the object in the right one."""
    outputs.restart(part_threads=4)
    path = outputs.write("big", CONTENT)

    assert outputs.send(path) is Result.SENT
    assert outputs.stored(path) == CONTENT


def test_threads_end_after_the_first_error():
    """No further item is begun, every thread has ended, and the error is the caller's."""
    begun: list[int] = []
    all_begun = threading.Barrier(3)

    def work(item: int) -> None:
        begun.append(item)
        all_begun.wait(10)
        if item == 1:
            raise SourceMissingError("item 1")

    before = threading.active_count()
    with pytest.raises(SourceMissingError, match="item 1"):
        in_threads(work, range(3), threads=3)

    assert sorted(begun) == [0, 1, 2]
    assert threading.active_count() == before

    done: list[int] = []

    def fail_first(item: int) -> None:
        done.append(item)
        raise SourceMissingError(f"item {item}")

    with pytest.raises(SourceMissingError, match="item 0"):
        in_threads(fail_first, range(100), threads=1)
    assert done == [0]


def test_no_item_needs_no_thread():
    """A file whose parts are all there."""
    in_threads(lambda part: pytest.fail("there is none"), list[Part](), threads=4)
