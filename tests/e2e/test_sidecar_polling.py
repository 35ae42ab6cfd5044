"""Where events don't come, that part of the outputs is looked at again and again."""

import os
import signal
import subprocess
import sys

import inotify_limits
import pytest
from outputs_place import Outputs, Volume

SETTLE = ("--settle", "0.2")
NEVER = ("--reconcile", "1h")
"""What is found meanwhile wasn't found by a reconcile."""
MOST_SECONDS = 15
"""Far less than a reconcile, far more than settle and interval on a busy machine."""


def end(running):
    running.signal(signal.SIGTERM)
    ended = running.finish()
    assert ended.code == 0
    return ended


def said(ended, event):
    return [line for line in ended.events if line["event"] == event]


def test_with_poll_no_event_is_asked_for_and_changes_are_found(outputs):
    """``--watch poll``: it says so once, and looks."""
    outputs.write("before")
    running = outputs.sidecar(*SETTLE, *NEVER, "--native", "--watch", "poll")
    outputs.write("d/e/a", "one")
    outputs.wait_for("d/e/a", "one", MOST_SECONDS)
    outputs.write("d/e/a", "other")
    outputs.wait_for("d/e/a", "other", MOST_SECONDS)
    assert not any(
        "inotify" in os.readlink(f"/proc/{running.pid}/fd/{number}")
        for number in os.listdir(f"/proc/{running.pid}/fd")
    )
    assert len(said(end(running), "sidecar.polling")) == 1


def test_with_poll_an_open_writer_is_waited_for(outputs):
    """A file that is open for writing waits for its close: each look asks the kernel again."""
    running = outputs.sidecar(*SETTLE, *NEVER, "--native", "--watch", "poll")
    with (outputs.path / "model.bin").open("w") as file:
        file.write("half")
        file.flush()
        for number in range(3):
            outputs.write(f"marker-{number}")
            outputs.wait_for(f"marker-{number}", seconds=MOST_SECONDS)
            assert outputs.there("model.bin") is None
        file.write(" and half")
    outputs.wait_for("model.bin", "half and half", MOST_SECONDS)
    end(running)


if inotify_limits.may_be_lowered():

    def test_without_watches_that_part_is_looked_at(outputs):
        """A watch limit: said once, and that part is polled."""
        running = outputs.sidecar(
            *SETTLE, *NEVER, "--native", through=inotify_limits.without("watches")
        )
        assert running.wait_for_event("sidecar.unwatched")["first"] == "['.']"
        for name in ("a", "d/a"):
            outputs.write(name)
            outputs.wait_for(name, seconds=MOST_SECONDS)
        assert len(said(end(running), "sidecar.unwatched")) == 1

    def test_without_an_instance_all_is_looked_at(outputs):
        """128 instances for each uid."""
        running = outputs.sidecar(
            *SETTLE, *NEVER, "--native", through=inotify_limits.without("instances")
        )
        outputs.write("d/a")
        outputs.wait_for("d/a", seconds=MOST_SECONDS)
        assert said(end(running), "sidecar.unwatched")[0]["first"] == "['.']"

    def test_watches_that_run_out_meanwhile_leave_a_part_to_be_looked_at(outputs):
        """What is watched stays watched; directories beyond the limit are polled, said once."""
        running = outputs.sidecar(
            *SETTLE, *NEVER, "--native", through=inotify_limits.with_only("watches", 12)
        )
        for number in range(30):
            outputs.write(f"d{number}/e/f")
        for number in range(30):
            outputs.wait_for(f"d{number}/e/f", seconds=MOST_SECONDS)
        for number in range(30):
            outputs.write(f"d{number}/e/late")
        for number in range(30):
            outputs.wait_for(f"d{number}/e/late", seconds=MOST_SECONDS)
        end(running)


@pytest.fixture
def behind(tmp_path, program_over):
    """
    Outputs on an overlay, and the directory behind it. What is written there changes the outputs
    without an event, as another machine does on a network filesystem.
    """
    mount = tmp_path / "mount"
    mount.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "tmpfs", mount], check=True)
    for name in ("lower", "upper", "work", "outputs"):
        (mount / name).mkdir()
    options = ",".join(f"{name}dir={mount / name}" for name in ("lower", "upper", "work"))
    outputs = mount / "outputs"
    try:
        subprocess.run(["mount", "-t", "overlay", "-o", options, "overlay", outputs], check=True)
        try:
            (tmp_path / "place").mkdir()
            place = Volume(tmp_path / "place")
            found = Outputs(program_over(place), place, outputs)
            found.behind = mount / "upper"
            found.state = tmp_path / "state"
            yield found
        finally:
            subprocess.run(["umount", outputs], check=True)
    finally:
        subprocess.run(["umount", mount], check=True)


def test_a_part_whose_changes_come_without_events_is_looked_at_from_then_on(behind):
    """A reconcile that finds a change without event: said once, and that part is polled."""
    running = behind.sidecar(*SETTLE, "--reconcile", "3", "--native", "--state", behind.state)
    behind.write("seen")
    behind.wait_for("seen")
    (behind.behind / "unseen").write_text("one")
    said_so = running.wait_for_event("sidecar.unheard")
    assert (said_so["path"], said_so["part"]) == ("unseen", ".")
    behind.wait_for("unseen", "one")
    ended = end(running)
    assert len(said(ended, "sidecar.unheard")) == 1


@pytest.mark.parametrize("watch", ["auto", "poll"])
def test_what_is_written_through_a_mapping_is_sent_when_it_is_closed(outputs, watch):
    """Writes through mmap give no event of their own: they are caught at the close, or by a walk."""
    outputs.write("a.bin", "four")
    running = outputs.sidecar(*SETTLE, *NEVER, "--native", "--watch", watch)
    outputs.wait_for("a.bin", "four")
    subprocess.run([sys.executable, "-c", MAPPED, outputs.path / "a.bin", "five"], check=True)
    outputs.wait_for("a.bin", "five", MOST_SECONDS)
    end(running)


def test_what_is_mapped_for_writing_waits_and_accuses_nobody(outputs):
    """A reconcile sees the write and the open mapping; the close that ends it is told."""
    outputs.write("a.bin", "four")
    running = outputs.sidecar(*SETTLE, "--reconcile", "3", "--native")
    outputs.wait_for("a.bin", "four")
    holder = subprocess.Popen(
        [sys.executable, "-c", MAPPED + HELD, outputs.path / "a.bin", "five"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert holder.stdout.readline() == b"held\n"
    running.wait_for_event("sidecar.reconciled", count=3)
    assert outputs.there("a.bin") == "four"
    holder.communicate(b"\n")
    outputs.wait_for("a.bin", "five", MOST_SECONDS)
    assert said(end(running), "sidecar.unheard") == []


MAPPED = """
import mmap, os, sys
descriptor = os.open(sys.argv[1], os.O_RDWR)
mapped = mmap.mmap(descriptor, 0)
os.close(descriptor)
mapped[:4] = sys.argv[2].encode()
"""
HELD = """
print("held", flush=True)
sys.stdin.readline()
"""
