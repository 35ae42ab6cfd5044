"""While main works: what it closes is in the bucket, and nothing that it hasn't finished is."""

import os
import signal
import time
from pathlib import Path

import pytest
from outputs_place import Outputs, eventually
from servers.faults import Call, is_put

SETTLE = ("--settle", "0.2")
QUEUE = Path("/proc/sys/fs/inotify/max_queued_events")


@pytest.fixture
def sidecar(outputs):
    running = outputs.sidecar(*SETTLE, "--native")
    yield running
    if running.process.poll() is None:
        running.signal(signal.SIGTERM)
        assert running.finish().code == 0


def test_a_closed_file_is_in_the_bucket_within_the_settle_time(outputs, sidecar):
    """A file closed after writing is in the bucket within ``--settle`` plus its transfer time."""
    outputs.write("a.bin")
    began = time.monotonic()
    outputs.wait_for("a.bin")
    assert time.monotonic() - began < 5


def test_renames_links_and_modes_are_followed(outputs, sidecar):
    """A file renamed into place counts as closed; links give their target's bytes."""
    outputs.write("a.tmp", "one").rename(outputs.path / "a.bin")
    outputs.wait_for("a.bin", "one")
    os.link(outputs.path / "a.bin", outputs.path / "b.bin")
    (outputs.path / "c.bin").symlink_to("a.bin")
    outputs.wait_for("b.bin", "one")
    outputs.wait_for("c.bin", "one")
    assert outputs.there("a.tmp") is None


def test_a_slow_writer_never_replaces_the_good_object_before_its_close(outputs, sidecar):
    """A large file being written slowly never replaces the good object in the bucket before its close."""
    outputs.write("model.bin", "good")
    outputs.wait_for("model.bin", "good")
    with (outputs.path / "model.bin").open("w") as file:
        for step in range(5):
            file.write(f"{step}")
            file.flush()
            marker = f"marker-{step}"
            outputs.write(marker)
            outputs.wait_for(marker)
            assert outputs.there("model.bin") == "good"
    outputs.wait_for("model.bin", "01234")


def test_a_file_renamed_while_it_is_written_waits_for_its_close(outputs, sidecar):
    """The open writer comes along with the rename."""
    with (outputs.path / "a.bin").open("w") as file:
        file.write("half")
        file.flush()
        (outputs.path / "a.bin").rename(outputs.path / "b.bin")
        outputs.write("marker")
        outputs.wait_for("marker")
        assert outputs.there("b.bin") is None
        file.write(" and half")
    outputs.wait_for("b.bin", "half and half")


def test_deep_trees_made_at_once_are_synced(outputs, sidecar):
    """``mkdir -p`` and writing in one go: files that come before their directory's watch are found."""
    for number in range(20):
        outputs.write(f"t{number}/a/b/c/d/e/f{number}", str(number))
    for number in range(20):
        outputs.wait_for(f"t{number}/a/b/c/d/e/f{number}", str(number))


def test_directories_that_move_are_synced_under_their_new_names(outputs, sidecar, tmp_path):
    """In from outside, then inside; files written there later too."""
    (tmp_path / "ckpt.partial" / "deep").mkdir(parents=True)
    (tmp_path / "ckpt.partial" / "deep" / "w").write_text("weights")
    (tmp_path / "ckpt.partial").rename(outputs.path / "ckpt")
    outputs.wait_for("ckpt/deep/w", "weights")
    (outputs.path / "ckpt").rename(outputs.path / "final")
    outputs.wait_for("final/deep/w", "weights")
    outputs.write("final/deep/late", "later")
    outputs.wait_for("final/deep/late", "later")


def test_a_file_renamed_over_another_takes_its_place(outputs, sidecar):
    """As most programs save: the name was in the bucket before, and nothing is closed under it."""
    outputs.write("model.bin", "old")
    outputs.wait_for("model.bin", "old")
    (outputs.path / "model.bin.tmp").write_text("new")
    (outputs.path / "model.bin.tmp").replace(outputs.path / "model.bin")
    outputs.wait_for("model.bin", "new")


def test_a_directory_that_leaves_and_comes_back_is_followed_again(outputs, sidecar, tmp_path):
    """Moved out and in: what happened to it meanwhile is found, what happens later is told."""
    outputs.write("d/e/a", "one")
    outputs.wait_for("d/e/a", "one")
    (outputs.path / "d").rename(tmp_path / "away")
    (tmp_path / "away" / "e" / "a").write_text("other")
    (tmp_path / "away" / "e" / "new").mkdir()
    (tmp_path / "away").rename(outputs.path / "back")
    outputs.wait_for("back/e/a", "other")
    outputs.write("back/e/new/b")
    outputs.wait_for("back/e/new/b")


def test_what_is_written_under_another_name_of_a_file_is_found_by_a_reconcile(outputs):
    """Hard links: events tell of the name that was used."""
    outputs.write("a.bin", "one")
    os.link(outputs.path / "a.bin", outputs.path / "b.bin")
    running = outputs.sidecar(*SETTLE, "--reconcile", "3", "--native")
    outputs.wait_for("b.bin", "one")
    (outputs.path / "a.bin").write_text("other")
    outputs.wait_for("a.bin", "other")
    outputs.wait_for("b.bin", "other")
    running.signal(signal.SIGTERM)
    ended = running.finish()
    assert ended.code == 0
    assert "sidecar.unheard" not in {line["event"] for line in ended.events}


def test_a_live_file_is_sent_as_a_prefix_while_it_grows(outputs):
    """Files that grow for hours are sent as a prefix that they really had."""
    running = outputs.sidecar(*SETTLE, "--max-delay", "0.5", "--native")
    with (outputs.path / "train.log").open("w") as log:
        for step in range(3):
            log.write(f"step {step}\n")
            log.flush()
            outputs.wait_for("train.log", "".join(f"step {n}\n" for n in range(step + 1)))
        log.write("last\n")
    running.signal(signal.SIGTERM)
    assert running.finish().code == 0
    assert outputs.there("train.log") == "step 0\nstep 1\nstep 2\nlast\n"


def test_temporary_names_wait_for_the_drain_and_are_never_dropped(outputs, sidecar):
    """``*.tmp``, ``*.part``, ``.~*``, ``*.swp``."""
    for name in ("a.tmp", "b.part", ".~c", ".d.swp"):
        outputs.write(name)
    outputs.write("marker")
    outputs.wait_for("marker")
    assert outputs.names() == ["marker"]
    sidecar.signal(signal.SIGTERM)
    assert sidecar.finish().code == 0
    assert outputs.names() == [".d.swp", ".~c", "a.tmp", "b.part", "marker"]


def test_only_what_exclude_names_is_left_out(outputs):
    """Repeated globs, as gitignore has them."""
    running = outputs.sidecar(*SETTLE, "--native", "--exclude", "cache/", "--exclude", "*.bak")
    for name in ("cache/x", "d/cache/y", "a.bak", "keep/cache.txt", "z"):
        outputs.write(name)
    outputs.wait_for("z")
    running.signal(signal.SIGTERM)
    assert running.finish().code == 0
    assert outputs.names() == ["d/", "keep/cache.txt", "z"]


def test_empty_directories_become_markers(outputs, sidecar):
    """A git repository needs its empty ``refs/`` back."""
    (outputs.path / "repo" / "refs" / "heads").mkdir(parents=True)
    sidecar.signal(signal.SIGTERM)
    assert sidecar.finish().code == 0
    assert outputs.names() == ["repo/refs/heads/"]


def test_what_is_no_file_inside_is_skipped_and_said(outputs):
    """Links out of the path, fifos: skipped, and said once."""
    (outputs.path / "out").symlink_to("/etc/passwd")
    os.mkfifo(outputs.path / "pipe")
    outputs.write("a")
    ended = outputs.sync()
    assert (ended.code, outputs.names()) == (0, ["a"])
    said = {
        line["path"]: line["why"] for line in ended.events if line["event"] == "sidecar.skipped"
    }
    assert said == {"out": "a link to outside of the outputs", "pipe": "a fifo"}


def test_a_truncate_by_path_is_found_by_the_reconcile(outputs):
    """``truncate(2)`` modifies and never closes."""
    outputs.write("a.bin", "four")
    running = outputs.sidecar(*SETTLE, "--reconcile", "0.5", "--native")
    outputs.wait_for("a.bin", "four")
    os.truncate(outputs.path / "a.bin", 2)
    outputs.wait_for("a.bin", "fo")
    running.signal(signal.SIGTERM)
    assert running.finish().code == 0


def test_an_overflow_of_the_queue_is_reconciled_at_once(outputs):
    """Litestream only logs an overflow: here every file is found."""
    (outputs.path / "d").mkdir()
    busy = [outputs.write(name) for name in ("one", "other")]
    running = outputs.sidecar(*SETTLE, "--native")
    running.signal(signal.SIGSTOP)
    for _ in range(int(QUEUE.read_text()) // 2 + 1):  # the kernel folds equal events, not these
        for path in busy:
            os.utime(path)
    for number in range(200):
        outputs.write(f"d/d{number % 7}/f{number}", str(number))
        outputs.write(f"d/f{number}", str(number))
    running.signal(signal.SIGCONT)
    running.wait_for_event("sidecar.overflow")
    eventually(lambda: len(outputs.names()) == 402)
    outputs.write("d/d3/after")
    outputs.wait_for("d/d3/after")
    running.signal(signal.SIGTERM)
    assert running.finish().code == 0


def test_idle_it_wakes_up_for_nothing(outputs, sidecar):
    """Idle it costs next to nothing: no polling."""
    outputs.write("a")
    outputs.wait_for("a")
    switches = Path(f"/proc/{sidecar.pid}/status")

    def voluntary():
        lines = switches.read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("voluntary"))

    def is_quiet():
        before = voluntary()
        began = time.monotonic()
        eventually(lambda: time.monotonic() - began > 2)
        return voluntary() == before

    eventually(is_quiet)


def test_an_outputs_path_made_again_is_watched_again(outputs, tmp_path):
    """``rm -r outputs; mkdir outputs`` by main."""
    running = outputs.sidecar(*SETTLE, "--native", "--state", tmp_path / "state")
    outputs.path.rmdir()
    running.wait_for_event("sidecar.outputs_gone")
    outputs.write("a")
    outputs.wait_for("a")
    outputs.write("b")
    outputs.wait_for("b", seconds=10)
    running.signal(signal.SIGTERM)
    assert running.finish().code == 0


def test_a_file_that_changes_during_its_upload_ends_as_its_last_state(
    s3_bucket, program_over, proxy_to, tmp_path
):
    """Replaced by rename, rewritten in place, truncated: one of its real states, in the end the last."""
    path = tmp_path / "outputs"
    states = {"replaced": [b"A" * 9000, b"B" * 9100], "rewritten": [b"C" * 9000, b"D" * 9000]}
    states["truncated"] = [b"E" * 9000, b"E" * 10]
    proxy = proxy_to(s3_bucket.endpoint)
    outputs = Outputs(program_over(s3_bucket._replace(endpoint=proxy.url)), s3_bucket, path)

    def change(name):
        def act(_request):
            if name == "replaced":
                (tmp_path / "new").write_bytes(states[name][1])
                (tmp_path / "new").rename(path / name)
            elif name == "rewritten":
                (path / name).write_bytes(states[name][1])
            else:
                os.truncate(path / name, 10)

        return act

    for name, (first, _) in states.items():
        (path / name).write_bytes(first)
        proxy.on(
            lambda request, name=name: is_put(request) and request.path.endswith(name),
            Call(change(name)),
        )
    running = outputs.sidecar(*SETTLE, "--reconcile", "1", "--native")
    for name, (first, last) in states.items():

        def is_last(name=name, first=first, last=last):
            if f"out/{name}" not in s3_bucket.contents("out/"):
                return False
            body = s3_bucket.get(f"out/{name}")
            assert body in (first, last)
            return body == last

        eventually(is_last)
    running.signal(signal.SIGTERM)
    assert running.finish().code == 0
