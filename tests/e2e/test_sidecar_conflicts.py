"""``--on-conflict fail``, by the real program: named, kept out, 65; and a store that can't, 78."""

import signal

import pytest
from outputs_place import Outputs

FAIL = ("--on-conflict", "fail")


@pytest.fixture(
    params=["volume", "s3_bucket", "gcs_bucket", "azure_container"],
    ids=["volume", "moto", "gcs", "azurite"],
)
def outputs(request, program_over, tmp_path):
    """Outputs that go to a place of each kind that keeps conditions."""
    place = request.getfixturevalue(request.param)
    return Outputs(program_over(place), place, tmp_path / "outputs")


def test_what_someone_else_wrote_is_kept_and_named(outputs):
    """A conflict ends with 65, is named in the report, and everything else is in the bucket."""
    outputs.place.put("out/theirs", b"theirs")
    outputs.write("theirs", "ours")
    outputs.write("fine", "fine")

    ended = outputs.sync(*FAIL)

    assert ended.code == ended.report["error"]["code"] == 65
    assert ended.report["error"]["kind"] == "conflict"
    assert [each["key"] for each in ended.report["failed"]["first"]] == ["out/theirs"]
    assert (outputs.there("theirs"), outputs.there("fine")) == ("theirs", "fine")


def test_what_someone_else_wrote_since_is_kept(outputs):
    """Known keys too: the object that the journal has is the only one that is replaced."""
    outputs.write("a", "1")
    outputs.write("b", "1")
    assert outputs.sync(*FAIL).code == 0
    outputs.place.put("out/b", b"theirs")
    outputs.write("a", "2")
    outputs.write("b", "2")

    ended = outputs.sync(*FAIL)

    assert ended.code == 65
    assert (outputs.there("a"), outputs.there("b")) == ("2", "theirs")


def test_an_untouched_file_whose_object_was_replaced_is_a_conflict(outputs):
    """The drain's listing finds what no upload would have met."""
    outputs.write("a", "ours")
    assert outputs.sync(*FAIL).code == 0
    outputs.place.put("out/a", b"theirs")

    ended = outputs.sync(*FAIL)

    assert (ended.code, outputs.there("a")) == (65, "theirs")


def test_a_conflict_that_is_mended_while_main_works_is_none(outputs):
    """It is tried again: who deletes the other object lets this one in."""
    outputs.place.put("out/a", b"theirs")
    outputs.write("a", "ours")
    running = outputs.sidecar("--settle", "0.1", "--native", *FAIL)
    running.wait_for_event("sidecar.file_failed")
    outputs.place.delete("out/a")
    outputs.wait_for("a", "ours")

    running.signal(signal.SIGTERM)
    ended = running.finish()
    assert (ended.code, "failed" in ended.report) == (0, False)


def test_nothing_of_the_probe_is_left(outputs):
    """A scratch key under the prefix, removed after."""
    outputs.write("a")
    assert outputs.sync(*FAIL).code == 0
    assert outputs.names() == ["a"]


@pytest.mark.ceph
def test_a_store_that_forgets_conditions_is_refused(rgw_bucket, program_over, tmp_path):
    """One that doesn't keep its word ends the start with 78 and a mend, before anything is sent."""
    outputs = Outputs(program_over(rgw_bucket), rgw_bucket, tmp_path / "outputs")
    outputs.write("a")

    ended = outputs.sync(*FAIL)

    assert ended.code == 78
    assert "doesn't keep its word" in ended.report["error"]["message"]
    assert "--on-conflict overwrite" in ended.report["error"]["hint"]
    assert outputs.names() == []
