"""What the report counts."""

import os
import signal


def test_a_file_that_is_touched_is_not_counted_as_skipped(outputs):
    """``skipped`` is what was in the bucket before, once for each file."""
    running = outputs.sidecar("--settle", "0", "--native")
    outputs.write("a")
    outputs.wait_for("a")
    for number in range(5):
        os.close(os.open(outputs.path / "a", os.O_WRONLY))  # a close without a change
        outputs.write(f"marker-{number}")
        outputs.wait_for(f"marker-{number}")
    running.signal(signal.SIGTERM)
    report = running.finish().report
    assert (report["files"], report["skipped"]) == (6, 0)


def test_what_was_there_is_counted_as_skipped_once(s3_outputs):
    """By a journal that knows it, and by the listing where the journal is gone."""
    for name in ("a", "b"):
        s3_outputs.write(name)
    assert s3_outputs.sync().report["files"] == 2
    known = s3_outputs.sync().report
    listed = s3_outputs.sync("--state", s3_outputs.path.parent / "another").report
    assert (known["files"], known["skipped"]) == (0, 2)
    assert (listed["files"], listed["skipped"]) == (0, 2)
