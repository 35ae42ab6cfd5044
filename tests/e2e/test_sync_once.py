"""``lighterman sync``: one reconcile, a listing, and an end; and what is wrong from the start."""

import threading

import pytest
import trees
from outputs_place import Outputs
from servers.faults import Call, is_listing, is_part, is_put


def test_a_tree_is_in_the_bucket_and_a_second_sync_sends_nothing(s3_outputs):
    """A journal vouches for what it sent."""
    trees.make_tree(s3_outputs.path, 60, most_bytes=20_000)
    first = s3_outputs.sync()
    second = s3_outputs.sync()
    assert (first.code, first.report["files"]) == (0, 60)
    assert (second.code, second.report["files"], second.report["skipped"]) == (0, 0, 60)
    assert len(s3_outputs.names()) == 60


def test_a_name_that_the_store_cannot_keep_fails_the_drain_and_is_named(
    azure_container, program_over, tmp_path
):
    """Azure makes a slash of a backslash: nothing goes to another key, and the rest of the files is there."""
    outputs = Outputs(program_over(azure_container), azure_container, tmp_path / "outputs")
    outputs.write("kept")
    outputs.write("back\\slash")
    ended = outputs.sync()
    assert ended.code == ended.report["error"]["code"] == 73
    assert [failed["key"] for failed in ended.report["failed"]["first"]] == ["out/back\\slash"]
    assert outputs.names() == ["kept"]


def test_another_prefix_has_everything_sent_again(outputs):
    """The same outputs path with another prefix: a journal never vouches for another destination."""
    outputs.write("a")
    assert outputs.sync().report["files"] == 1
    again = outputs.program.run(
        "sync", "--connection", "bucket", "--path", outputs.path, "--to", "other"
    )
    assert (again.code, again.report["files"]) == (0, 1)
    assert outputs.place.keys() == ["other/a", "out/a"]


def test_with_the_journal_gone_the_listing_is_compared(s3_bucket, s3_outputs, tmp_path):
    """What is there with equal content isn't sent again."""
    s3_outputs.write("a", "same")
    s3_outputs.write("b", "old")
    assert s3_outputs.sync("--state", tmp_path / "one").code == 0
    s3_outputs.write("b", "new")
    ended = s3_outputs.sync("--state", tmp_path / "two")
    assert (ended.code, ended.report["files"], ended.report["skipped"]) == (0, 1, 1)
    assert s3_outputs.there("b") == "new"


def test_deletes_are_kept_by_default(outputs):
    """``--deletes keep`` never deletes."""
    outputs.write("a")
    assert outputs.sync().code == 0
    (outputs.path / "a").unlink()
    assert (outputs.sync().code, outputs.names()) == (0, ["a"])


def test_mirror_deletes_what_this_journal_uploaded_and_nobody_changed(outputs):
    """Neither foreign objects, nor ones that someone changed since."""
    for name in ("gone", "changed", "d/e/gone", "stays"):
        outputs.write(name)
    outputs.place.put("out/foreign", b"theirs")
    assert outputs.sync().code == 0
    outputs.place.put("out/changed", b"changed by someone")
    for name in ("gone", "changed", "d/e/gone"):
        (outputs.path / name).unlink()
    (outputs.path / "d" / "e").rmdir()
    (outputs.path / "d").rmdir()
    ended = outputs.sync("--deletes", "mirror")
    assert ended.code == 0
    assert outputs.there("gone") is None
    assert {"foreign", "stays"} <= set(outputs.names())
    assert not {"gone", "d/e/gone"} & set(outputs.names())


def test_mirror_never_deletes_for_a_path_that_is_empty_of_a_sudden(outputs, tmp_path):
    """A volume that isn't mounted must never empty a bucket."""
    state = ("--state", tmp_path / "state")
    outputs.write("a")
    assert outputs.sync(*state).code == 0
    (outputs.path / "a").unlink()
    ended = outputs.sync("--deletes", "mirror", *state)
    assert (ended.code, outputs.names()) == (0, ["a"])
    assert ended.event("sidecar.deletes_withheld")["files"] == 1


def test_mirror_by_a_sidecar_deletes_after_two_walks(outputs):
    """While it runs, at its reconciles."""
    outputs.write("a")
    outputs.write("b")
    running = outputs.sidecar(
        "--native", "--settle", "0.1", "--reconcile", "0.2", "--deletes", "mirror"
    )
    outputs.wait_for("a")
    outputs.wait_for("b")
    (outputs.path / "a").unlink()
    running.wait_for_event("sidecar.deleted")
    assert outputs.names() == ["b"]
    running.signal(15)
    assert running.finish().code == 0


def test_mirror_deletes_what_arrives_after_its_file_was_missed_by_the_last_walk(
    s3_bucket, program_over, proxy_to, tmp_path
):
    """It was deleted while it was sent, and the drain's walk passes before the object is there."""
    proxy = proxy_to(s3_bucket.endpoint)
    program = program_over(s3_bucket._replace(endpoint=proxy.url))
    outputs = Outputs(program, s3_bucket, tmp_path / "outputs")
    under_way, may_go_on = threading.Event(), threading.Event()

    def wait(_request):
        under_way.set()
        may_go_on.wait(60)

    outputs.write("stays")
    running = outputs.sidecar("--native", "--settle", "0.1", "--deletes", "mirror")
    outputs.wait_for("stays")
    proxy.on(lambda request: is_put(request) and "/gone" in request.target, Call(wait))
    outputs.write("gone")
    assert under_way.wait(60)
    (outputs.path / "gone").unlink()
    running.signal(15)
    running.wait_for_event("sidecar.reconciled", 2)
    may_go_on.set()
    assert running.finish().code == 0
    assert outputs.names() == ["stays"]


def test_the_outputs_path_is_made(outputs):
    """A missing outputs path is made."""
    missing = outputs.path / "not" / "yet"
    ended = outputs.program.run("sync", "--connection", "bucket", "--path", missing)
    assert (ended.code, missing.is_dir()) == (0, True)


@pytest.mark.parametrize("path", ["file", "file/below"])
def test_an_outputs_path_that_is_a_file_or_cannot_be_made(outputs, path):
    """73, before anything else is tried."""
    (outputs.program.directory / "file").write_text("x")
    ended = outputs.program.run("sync", "--connection", "bucket", "--path", path)
    assert (ended.code, ended.report["error"]["kind"]) == (73, "cannot_write")


def test_two_sidecars_on_one_path_are_refused(outputs, tmp_path):
    """Whatever their state directories: 78, and the first goes on."""
    running = outputs.sidecar("--native", "--settle", "0.1")
    ended = outputs.sync("--state", tmp_path / "other")
    assert (ended.code, "another lighterman" in ended.report["error"]["message"]) == (78, True)
    outputs.write("a")
    outputs.wait_for("a")
    running.signal(15)
    assert running.finish().code == 0


def test_a_place_inside_of_the_outputs_is_refused(outputs):
    """It would be sent into itself for ever."""
    ended = outputs.program.run(
        "sync", "--connection", "bucket", "--path", outputs.program.directory
    )
    assert (ended.code, "inside the outputs path" in ended.report["error"]["message"]) == (78, True)


@pytest.mark.parametrize(
    ("to", "environ", "code", "key"),
    [
        ("runs/{pod}/{index}", {"POD_NAME": "p-0", "JOB_COMPLETION_INDEX": "3"}, 0, "runs/p-0/3/a"),
        ("{namespace}-{uid}", {"POD_NAMESPACE": "ns", "POD_UID": "u"}, 0, "ns-u/a"),
        ("/slashes/", {}, 0, "slashes/a"),
        ("runs/{pod}", {}, 78, "{pod} is not set"),
        ("runs/{node}", {}, 78, "there is no word {node}"),
        ("a//b", {}, 78, "is no prefix"),
        ("../b", {}, 78, "is no prefix"),
    ],
)
def test_the_prefix_may_hold_words_of_the_downward_api(outputs, to, environ, code, key):
    """Replicas never share one; an unset one is an error (78)."""
    outputs.write("a")
    ended = outputs.program.run(
        "sync",
        *("--connection", "bucket", "--path", outputs.path, "--to", to),
        environ=environ,
    )
    assert ended.code == code
    if code:
        assert key in ended.report["error"]["message"]
    else:
        assert outputs.place.keys() == [key]


@pytest.mark.parametrize("nested", [True, False])
def test_a_job_spec_says_the_three(outputs, nested):
    """``run.outputs``, or ``outputs`` at the top; a flag wins."""
    outputs.write("a")
    block = f"outputs: {{connection: bucket, path: {outputs.path}, to: of-spec}}"
    spec = outputs.program.directory / "job.yaml"
    spec.write_text(f"run:\n  kind: job\n  {block}\n" if nested else f"{block}\n")
    assert outputs.program.run("sync", "--spec", spec).code == 0
    assert outputs.program.run("sync", "--spec", spec, "--to", "of-flag").code == 0
    assert outputs.place.keys() == ["of-flag/a", "of-spec/a"]


@pytest.mark.parametrize(
    ("text", "code", "said"),
    [
        ("outputs: {conection: bucket, path: x}", 78, "outputs.conection: unknown field"),
        ("outputs: {connection: 3, path: x}", 78, "outputs"),
        ("init: []", 78, "no outputs block"),
        (
            "outputs: [{connection: bucket, path: b, to: c}, {connection: bucket, path: b, to: d}]",
            78,
            "two outputs share",
        ),
        ("outputs: []", 78, "no outputs block"),
        ("outputs: {connection: bucket}", 78, "outputs.path: missing"),
        ("a: [", 78, "not YAML"),
        (None, 78, "there is no such job spec"),
    ],
)
def test_a_spec_that_is_off_is_named(outputs, text, code, said):
    """One line that says what and where."""
    spec = outputs.program.directory / "job.yaml"
    if text is not None:
        spec.write_text(text)
    ended = outputs.program.run("sync", "--spec", spec)
    assert (ended.code, said in ended.report["error"]["message"]) == (code, True)


def test_a_glob_that_matches_nothing_is_refused_before_the_network(s3_outputs):
    """64, with the flag's name."""
    ended = s3_outputs.sync("--exclude", "/")
    assert (ended.code, "--exclude" in ended.report["error"]["message"]) == (64, True)


def test_a_state_directory_inside_of_the_outputs_is_not_synced(outputs):
    """Wherever it is."""
    outputs.write("a")
    assert outputs.sync("--state", outputs.path / "deep" / "state").code == 0
    assert outputs.names() in (["a"], ["a", "deep/"])


def test_a_state_directory_that_is_the_outputs_is_refused(outputs):
    """The journal needs a directory of its own."""
    assert outputs.sync("--state", outputs.path).code == 64


def test_a_state_directory_that_cannot_be_written_is_said(outputs):
    """73, with the flag that mends it."""
    (outputs.program.directory / "file").write_text("x")
    ended = outputs.sync("--state", "file/state")
    assert (ended.code, "--state" in ended.report["error"]["hint"]) == (73, True)


def test_a_large_file_is_sent_by_parts_and_a_small_tree_costs_few_requests(
    s3_bucket, program_over, proxy_to, tmp_path
):
    """One listing at the start, one at the end, one for a lost journal; one PUT for each small file."""
    proxy = proxy_to(s3_bucket.endpoint)
    program = program_over(s3_bucket._replace(endpoint=proxy.url))
    outputs = Outputs(program, s3_bucket, tmp_path / "outputs")
    for number in range(10):
        outputs.write(f"f{number}")
    trees.make_large(outputs.path / "large", 40 * trees.MIB)
    assert outputs.sync().code == 0
    assert len(proxy.seen(is_put)) == 10
    assert len(proxy.seen(is_part)) > 1
    assert len(proxy.seen(is_listing)) == 3
