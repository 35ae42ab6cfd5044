"""What the bucket has isn't sent again, by the real program."""

import os
import signal

import pytest
from outputs_place import Outputs

SETTLE = ("--settle", "0.2", "--native")
KIB = 1024


@pytest.fixture
def outputs(bucket, program_over, tmp_path):
    """Outputs that go to a bucket of each kind."""
    return Outputs(program_over(bucket), bucket, tmp_path / "outputs")


def end(running):
    running.signal(signal.SIGTERM)
    ended = running.finish()
    assert ended.code == 0, ended.stderr
    return ended.report


def test_files_and_directories_that_are_renamed_are_copied_in_the_store(outputs):
    """``mv`` of what is synced sends no byte of it again."""
    running = outputs.sidecar(*SETTLE)
    outputs.write("ckpt-1/w.bin", "w" * 300 * KIB)
    outputs.write("ckpt-1/deep/o.bin", "o" * 300 * KIB)
    outputs.write("metrics.bin", "m" * 300 * KIB)
    for name, letter in (("ckpt-1/w.bin", "w"), ("ckpt-1/deep/o.bin", "o"), ("metrics.bin", "m")):
        outputs.wait_for(name, letter * 300 * KIB)
    # Whose upload was answered, but not noted yet, would be sent again.
    outputs.write("marker-1")
    outputs.wait_for("marker-1")

    (outputs.path / "ckpt-1").rename(outputs.path / "best")
    (outputs.path / "metrics.bin").rename(outputs.path / "final.bin")
    outputs.wait_for("best/w.bin", "w" * 300 * KIB)
    outputs.wait_for("best/deep/o.bin", "o" * 300 * KIB)
    outputs.wait_for("final.bin", "m" * 300 * KIB)

    report = end(running)
    assert report["bytes"] == 3 * 300 * KIB + 1
    assert report["files"] == 7


def test_what_was_renamed_between_two_runs_is_copied_in_the_store(outputs):
    """Without events too: the same file under another path of the journal."""
    outputs.write("a/w.bin", "w" * 300 * KIB)
    assert outputs.sync().code == 0
    (outputs.path / "a").rename(outputs.path / "b")

    ended = outputs.sync()

    assert (ended.code, ended.report["files"], ended.report["bytes"]) == (0, 1, 0)
    assert outputs.there("b/w.bin") == "w" * 300 * KIB


def test_what_was_rewritten_unchanged_is_not_sent(outputs):
    """Same bytes, another mtime: the object has the new one, and no byte was sent."""
    place = outputs.write("w.bin", "w" * 300 * KIB)
    assert outputs.sync().code == 0
    place.unlink()
    outputs.write("w.bin", "w" * 300 * KIB)
    os.utime(place, ns=(10**18, 10**18))

    ended = outputs.sync()

    assert (ended.code, ended.report["files"], ended.report["bytes"]) == (0, 1, 0)
    assert outputs.there("w.bin") == "w" * 300 * KIB
    assert outputs.sync().report["files"] == 0
