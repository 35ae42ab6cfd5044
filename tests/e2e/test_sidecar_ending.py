"""The end of main: what is promised when the sidecar is told, and when time is short."""

import ctypes
import os
import signal
import time

import pytest
from outputs_place import Outputs, eventually
from servers.faults import Answer, Delay, Stall, is_listing, is_put, s3_error

SETTLE = ("--settle", "0.2")
NOBODY = 65534
PR_CAPBSET_DROP, CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH, CAP_LEASE = 24, 1, 2, 28
EMPTY_LISTING = b"<ListBucketResult><IsTruncated>false</IsTruncated></ListBucketResult>"


def test_native_everything_is_sent_and_checked_on_sigterm(outputs):
    """A native sidecar is told after main: open, unsettled and temporary files go as they are."""
    running = outputs.sidecar("--native", "--settle", "60")
    outputs.write("settling")
    outputs.write("a.tmp")
    with (outputs.path / "open").open("w") as file:
        file.write("open")
        file.flush()
        running.signal(signal.SIGTERM)
        ended = running.finish()
    assert (ended.code, outputs.names()) == (0, ["a.tmp", "open", "settling"])
    assert ended.event("sidecar.drained")["files"] == 3


def test_native_by_its_variable(outputs):
    """``LIGHTERMAN_NATIVE=1``, as rendered manifests set it."""
    running = outputs.sidecar(environ={"LIGHTERMAN_NATIVE": "1"})
    running.signal(signal.SIGTERM)
    assert running.finish(seconds=20).code == 0


def test_told_before_it_has_started_it_still_drains(outputs):
    """SIGTERM may come in the first millisecond."""
    outputs.write("a")
    running = outputs.program.start("sidecar", *outputs.flags("--native"))
    eventually((outputs.path / ".lighterman").exists)
    running.signal(signal.SIGTERM)
    ended = running.finish()
    if ended.code != -signal.SIGTERM:
        assert (ended.code, outputs.names()) == (0, ["a"])


def test_not_native_it_goes_on_watching_after_sigterm(outputs):
    """An ordinary container gets SIGTERM together with main, whose checkpoint comes after it."""
    running = outputs.sidecar(*SETTLE, "--grace", "5")
    running.signal(signal.SIGTERM)
    running.wait_for_event("sidecar.stopping")
    began = time.monotonic()
    outputs.write("checkpoint")
    outputs.write("late.tmp")
    outputs.wait_for("checkpoint")
    assert running.process.poll() is None
    ended = running.finish()
    assert (ended.code, outputs.names()) == (0, ["checkpoint", "late.tmp"])
    assert 2 < time.monotonic() - began < 5


@pytest.mark.parametrize("where", ["inside", "beside", "not there yet"])
def test_the_done_file_ends_it(outputs, tmp_path, where):
    """``--done-file`` inside of the outputs, beside them, or in a directory that main makes."""
    places = {
        "inside": outputs.path / "_DONE",
        "beside": tmp_path / "_DONE",
        "not there yet": tmp_path / "made" / "later" / "_DONE",
    }
    done = places[where]
    running = outputs.sidecar("--settle", "60", "--done-file", done)
    outputs.write("a")
    done.parent.mkdir(parents=True, exist_ok=True)
    done.touch()
    ended = running.finish(seconds=20)
    names = ["_DONE", "a"] if where == "inside" else ["a"]
    assert (ended.code, outputs.names()) == (0, names)


def test_a_done_file_older_than_the_start_is_ignored(outputs, tmp_path):
    """A volume may keep it from the run before; touched again, it counts."""
    done = tmp_path / "_DONE"
    done.touch()
    running = outputs.sidecar(*SETTLE, "--done-file", done)
    outputs.write("a")
    outputs.wait_for("a")
    assert running.process.poll() is None
    done.touch()
    assert running.finish(seconds=20).code == 0


def test_the_done_file_ends_the_grace_too(outputs, tmp_path):
    """After SIGTERM, an ordinary sidecar needn't wait for the deadline."""
    running = outputs.sidecar(*SETTLE, "--grace", "100", "--done-file", tmp_path / "_DONE")
    running.signal(signal.SIGTERM)
    running.wait_for_event("sidecar.stopping")
    outputs.write("a")
    (tmp_path / "_DONE").touch()
    assert (running.finish(seconds=20).code, outputs.names()) == (0, ["a"])


@pytest.fixture
def slow(s3_bucket, program_over, proxy_to, tmp_path):
    """Outputs that go to a bucket behind a proxy."""
    proxy = proxy_to(s3_bucket.endpoint)
    program = program_over(s3_bucket._replace(endpoint=proxy.url))
    outputs = Outputs(program, s3_bucket, tmp_path / "outputs")
    outputs.proxy = proxy
    return outputs


def test_at_the_deadline_it_stops_by_itself_and_the_next_start_finishes(slow):
    """It keeps the journal, names what is missing, and exits 75; it never hangs."""
    running = slow.sidecar(*SETTLE, "--native", "--grace", "3")
    slow.proxy.on(is_put, Stall(), times=None)
    for number in range(40):
        slow.write(f"f{number:02}", "text")
    began = time.monotonic()
    running.signal(signal.SIGTERM)
    ended = running.finish(seconds=30)
    assert time.monotonic() - began < 10
    assert (ended.code, ended.report["error"]["kind"]) == (75, "deadline")
    assert ended.report["failed"]["count"] == 40
    assert ended.report["failed"]["first"][0]["key"].startswith("out/f")
    assert "40 outputs not in the bucket yet" in ended.report["error"]["message"]
    slow.proxy.forget()
    assert (slow.sync().code, len(slow.names())) == (0, 40)


def test_a_second_sigterm_means_now(slow):
    """Whatever is under way."""
    running = slow.sidecar(*SETTLE, "--native", "--grace", "600")
    slow.proxy.on(is_put, Stall(), times=None)
    slow.write("a")
    running.signal(signal.SIGTERM)
    slow.proxy.wait_for(is_put)
    began = time.monotonic()
    eventually(lambda: time.monotonic() - began > 0.3)
    running.signal(signal.SIGTERM)
    ended = running.finish(seconds=30)
    assert (ended.code, ended.report["failed"]["first"][0]["key"]) == (75, "out/a")
    assert "a second signal said now" in ended.report["error"]["message"]


def test_small_files_are_safe_before_large_ones_begin(slow):
    """A drain goes by size ascending, temporary names last."""
    running = slow.sidecar("--settle", "60", "--native", "--workers", "1")
    for name, size in (("big", 900), ("middle", 500), ("small.tmp", 1), ("little", 2)):
        slow.write(name, "x" * size)
    began = time.monotonic()
    eventually(lambda: time.monotonic() - began > 0.1)  # a state is trusted once it has rested
    running.signal(signal.SIGTERM)
    ended = running.finish()
    sent = [request.path.rpartition("/")[2] for request in slow.proxy.seen(is_put)]
    assert sent == ["little", "middle", "big", "small.tmp"], ended.stderr


def test_what_the_last_walk_finds_goes_by_size_too(slow):
    """Whatever no event told of: the smallest are safe first, temporary names last."""
    slow.write("a.tmp", "")
    for number in (7, 2, 9, 4, 0, 5, 3, 8, 1, 6):
        slow.write(f"f{number}", "x" * number)
    assert slow.sync("--workers", "1").code == 0
    sent = [request.path.rpartition("/")[2] for request in slow.proxy.seen(is_put)]
    assert sent == [*(f"f{number}" for number in range(10)), "a.tmp"]


def test_a_store_that_fails_for_a_while_is_tried_again(slow):
    """Transient trouble never loses a file."""
    slow.proxy.on(is_put, s3_error(500, "InternalError"), times=8)
    running = slow.sidecar(*SETTLE, "--native")
    slow.write("a")
    slow.wait_for("a")
    running.signal(signal.SIGTERM)
    assert running.finish().code == 0


def test_without_a_deadline_trouble_that_stays_ends_it_all_the_same(slow):
    """``sync`` has no grace: transient trouble is retried for ``--retry-for`` without a success."""
    slow.proxy.on(is_put, s3_error(503, "ServiceUnavailable"), times=None)
    slow.write("a")
    ended = slow.sync("--retry-for", "1")
    assert (ended.code, ended.report["failed"]["first"][0]["key"]) == (75, "out/a")


def test_a_listing_that_lacks_what_was_sent_has_it_sent_again(slow):
    """Exit 0 only if the listing has every file, with the size and ETag that the journal has."""
    slow.write("a", "mine")
    slow.write("b", "mine")
    assert slow.sync().code == 0
    slow.place.put("out/a", b"theirs")
    slow.place.delete("out/b")
    ended = slow.sync()
    assert (ended.code, slow.there("a"), slow.there("b")) == (0, "mine", "mine")
    assert ended.event("sidecar.listing_differs")["files"] == 2


def test_wrong_credentials_fail_at_the_start(slow):
    """Not at the end, when the outputs are at stake."""
    slow.proxy.on(is_listing, s3_error(403, "InvalidAccessKeyId"), times=None)
    ended = slow.program.run("sidecar", *slow.flags("--native"))
    assert (ended.code, ended.report["error"]["kind"]) == (77, "credentials")


def test_a_wrong_bucket_fails_at_the_start(s3_bucket, program_over, tmp_path):
    """As configuration (78)."""
    program = program_over(s3_bucket._replace(name="no-such-bucket-here"))
    ended = Outputs(program, s3_bucket, tmp_path / "outputs").sync()
    assert (ended.code, ended.report["error"]["kind"]) == (78, "bucket_missing")


def test_a_stop_while_the_start_waits_for_the_store_is_heard(slow):
    """The deadline holds before the first listing was answered too."""
    slow.proxy.on(is_listing, Stall(), times=None)
    running = slow.program.start("sidecar", *slow.flags("--native", "--grace", "2"))
    slow.proxy.wait_for(is_listing)
    running.signal(signal.SIGTERM)
    assert running.finish(seconds=20).code == 75


def bound_by_modes():
    """In the child, before the program: root without the capabilities that let it read what it may not."""
    without(CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH)


def without(*capabilities):
    libc = ctypes.CDLL(None)
    for capability in capabilities:
        libc.prctl(PR_CAPBSET_DROP, capability, 0, 0, 0)


def close_to_it(path):
    """Make that the program may not read it, whoever runs the tests."""
    path.chmod(0o700 if os.geteuid() == 0 else 0)
    if os.geteuid() == 0:
        os.chown(path, NOBODY, NOBODY)


def test_an_unreadable_output_fails_the_drain_by_name(outputs):
    """Everything else is in the bucket, and the exit code is 73."""
    close_to_it(outputs.write("secret"))
    outputs.write("dir/closed")
    close_to_it(outputs.path / "dir")
    outputs.write("fine")
    ended = outputs.sync(preexec_fn=bound_by_modes)
    assert (ended.code, outputs.names()) == (73, ["fine"])
    assert {failure["key"] for failure in ended.report["failed"]["first"]} == {
        "out/secret",
        "out/dir/",
    }


def test_files_in_a_directory_that_may_only_be_listed_fail_by_name(outputs):
    """Without the right to pass through it, their names are all that is known."""
    if os.geteuid() != 0:
        (outputs.write("dir/a").parent).chmod(0o400)
    else:
        outputs.write("dir/a")
        (outputs.path / "dir").chmod(0o744)
        os.chown(outputs.path / "dir", NOBODY, NOBODY)
    ended = outputs.sync(preexec_fn=bound_by_modes)
    assert (ended.code, ended.report["failed"]["first"][0]["key"]) == (73, "out/dir/a")


def test_where_the_kernel_cannot_tell_who_writes_two_walks_must_agree(outputs):
    """A file of another uid, without CAP_LEASE: it goes with the second walk that sees it equal."""
    theirs = outputs.write("theirs")
    if os.geteuid() == 0:
        os.chown(theirs, NOBODY, NOBODY)
    running = outputs.sidecar(
        *SETTLE, "--native", "--reconcile", "0.3", preexec_fn=lambda: without(CAP_LEASE)
    )
    outputs.wait_for("theirs")
    running.signal(signal.SIGTERM)
    ended = running.finish()
    walks = [line["dirty"] for line in ended.events if line["event"] == "sidecar.reconciled"]
    assert (ended.code, walks[:2]) == (0, [1, 1] if os.geteuid() == 0 else walks[:2])


def test_a_delete_that_is_refused_fails_the_mirror(slow):
    """The right to write isn't the right to delete: 77, by name in the log."""
    for name in ("a", "b"):
        slow.write(name)
    assert slow.sync().code == 0
    (slow.path / "a").unlink()
    slow.proxy.on(
        lambda request: request.method == "DELETE", s3_error(403, "AccessDenied"), times=None
    )
    ended = slow.sync("--deletes", "mirror")
    assert (ended.code, slow.names()) == (77, ["a", "b"])
    assert ended.event("sidecar.delete_failed")["path"] == "a"


def test_a_store_that_never_lists_what_it_took_is_not_trusted(slow):
    """65, after the same was sent again and again."""
    slow.proxy.on(is_listing, Answer(200, EMPTY_LISTING), times=None)
    slow.write("a")
    ended = slow.sync()
    assert (ended.code, ended.report["failed"]["first"][0]["kind"]) == (65, "not_listed")


def test_an_unreadable_output_that_is_mended_is_sent(outputs):
    """``chmod`` is an event; the failure is forgotten."""
    close_to_it(outputs.write("secret"))
    running = outputs.sidecar(*SETTLE, "--native", preexec_fn=bound_by_modes)
    running.wait_for_event("sidecar.file_failed")
    (outputs.path / "secret").chmod(0o644)
    outputs.wait_for("secret")
    running.signal(signal.SIGTERM)
    ended = running.finish()
    assert (ended.code, "failed" in ended.report) == (0, False)


def test_a_store_that_answers_slowly_is_drained_in_parallel(slow):
    """Many small files don't wait for each other."""
    slow.proxy.on(is_put, Delay(0.2), times=None)
    for number in range(64):
        slow.write(f"f{number}")
    began = time.monotonic()
    assert slow.sync().code == 0
    assert time.monotonic() - began < 64 * 0.2 / 2
    assert len(slow.names()) == 64


def test_names_that_no_bucket_takes_fail_by_name(outputs):
    """Keys are UTF-8; the others are in the bucket."""
    outputs.write("fine")
    os.close(os.open(os.fsencode(outputs.path) + b"/bad\xff", os.O_CREAT | os.O_WRONLY))
    ended = outputs.sync()
    assert (ended.code, outputs.names()) == (73, ["fine"])
    assert ended.report["failed"]["first"][0]["key"] == "out/bad\\xff"
