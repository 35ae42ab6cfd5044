"""``--done-file`` is found though its directory didn't stay the one that was watched."""

import shutil
import signal


def test_a_done_file_in_a_directory_that_was_made_again_ends_it(outputs, tmp_path):
    """``--done-file PATH`` tells the end of main, whatever became of its directory meanwhile."""
    told = tmp_path / "told"
    told.mkdir()
    running = outputs.sidecar("--done-file", told / "done")
    shutil.rmtree(told)
    outputs.write("a")
    outputs.wait_for("a")
    told.mkdir()
    (told / "done").touch()
    finished = running.finish(30)
    assert (finished.code, outputs.names()) == (0, ["a"])


def test_a_done_file_in_outputs_that_were_made_again_ends_it(outputs):
    """The same where the outputs path itself was made again."""
    running = outputs.sidecar(
        "--done-file", outputs.path / "done", "--state", outputs.path / "../s"
    )
    shutil.rmtree(outputs.path)
    running.wait_for_event("sidecar.outputs_gone")
    outputs.write("a")
    outputs.wait_for("a")
    outputs.write("done", "")
    finished = running.finish(30)
    assert (finished.code, outputs.names()) == (0, ["a", "done"])


def test_a_done_file_that_is_there_already_is_no_end(outputs, tmp_path):
    """One older than the sidecar's start is ignored, however often it is looked at."""
    (tmp_path / "done").touch()
    running = outputs.sidecar("--done-file", tmp_path / "done", "--settle", "0", "--native")
    outputs.write("a")
    outputs.wait_for("a")
    assert running.process.poll() is None
    running.signal(signal.SIGTERM)
    assert running.finish().code == 0
