"""Directories that are published whole: their files first, then a manifest, last."""

import contextlib
import json
import shutil
import signal
import sqlite3

import google_crc32c
import pytest
import trees
from outputs_place import Outputs, eventually
from servers.faults import Call, is_get
from test_sidecar_ending import bound_by_modes, close_to_it

NAME = ".lighterman-manifest.json"
MIB = 1024 * 1024
FLAGS = ("--native", "--settle", "0.1")


def make_group(outputs, name, files):
    """Written elsewhere in the outputs, and renamed into place."""
    for path, text in files.items():
        outputs.write(f"making/{path}", text)
    (outputs.path / "making").rename(outputs.path / name)


def manifest(outputs, group):
    """The group's manifest in the bucket, or ``None``."""
    text = outputs.there(f"{group}/{NAME}")
    return None if text is None else json.loads(text)["files"]


def told(files):
    """What a manifest of these files says."""
    return {
        path: {
            "size_bytes": len(text),
            "crc32c": f"{google_crc32c.value(text.encode()):08x}",
        }
        for path, text in files.items()
    }


FILES = {"a": "one", "b/c": "two"}


def test_a_directory_that_is_renamed_into_place_is_published(outputs):
    """It is complete when it was renamed into place; its files are there first, then the manifest."""
    running = outputs.sidecar(*FLAGS, "--group", "ckpt-*")
    make_group(outputs, "ckpt-1", FILES)
    running.wait_for_event("sidecar.group_published")
    assert manifest(outputs, "ckpt-1") == told(FILES)
    running.signal(signal.SIGTERM)
    assert running.finish().code == 0
    assert outputs.names() == [f"ckpt-1/{NAME}", "ckpt-1/a", "ckpt-1/b/c"]


def test_a_directory_is_published_when_its_done_file_appears(outputs):
    """``--group-done NAME``."""
    running = outputs.sidecar(*FLAGS, "--group", "runs/*", "--group-done", "_SUCCESS")
    outputs.write("runs/1/a", "one")
    outputs.wait_for("runs/1/a", "one")
    assert manifest(outputs, "runs/1") is None
    outputs.write("runs/1/_SUCCESS", "")
    running.wait_for_event("sidecar.group_published")
    assert manifest(outputs, "runs/1") == told({"a": "one", "_SUCCESS": ""})
    running.signal(signal.SIGTERM)
    assert running.finish().code == 0


def test_a_directory_is_published_at_the_drain(outputs):
    """Nothing says that it is complete, but main has ended."""
    outputs.write("ckpt/a", "one")
    outputs.write("other/a", "two")
    assert outputs.sync("--group", "ckpt").code == 0
    assert manifest(outputs, "ckpt") == told({"a": "one"})
    assert outputs.names() == [f"ckpt/{NAME}", "ckpt/a", "other/a"]


def test_a_group_whose_files_were_sent_before_this_start_is_published_at_the_drain(outputs):
    """Its directory has nothing new, and its manifest is lacking all the same."""
    outputs.write("ckpt/a", "one")
    assert outputs.sync().code == 0
    assert manifest(outputs, "ckpt") is None
    assert outputs.sync("--group", "ckpt").code == 0
    assert manifest(outputs, "ckpt") == told({"a": "one"})


def test_a_group_that_changes_loses_its_manifest_and_gets_it_anew(outputs):
    """When it is whole again."""
    running = outputs.sidecar(*FLAGS, "--group", "ckpt", "--group-done", "done")
    outputs.write("ckpt/a", "one")
    outputs.write("ckpt/done", "")
    running.wait_for_event("sidecar.group_published")
    outputs.write("ckpt/a", "another")
    outputs.wait_for("ckpt/a", "another")
    assert manifest(outputs, "ckpt") is None
    outputs.write("ckpt/done", "")
    running.wait_for_event("sidecar.group_published", count=2)
    assert manifest(outputs, "ckpt") == told({"a": "another", "done": ""})
    running.signal(signal.SIGTERM)
    assert running.finish().code == 0


def test_a_second_sync_that_changes_nothing_leaves_the_manifests(outputs):
    """They stand, and so does the marker; not one request goes to either."""
    outputs.write("ckpt/a", "one")
    flags = ("--group", "ckpt", "--marker", "_END")
    assert outputs.sync(*flags).code == 0
    before = {name: outputs.there(name) for name in outputs.names()}
    ended = outputs.sync(*flags)
    assert (ended.code, ended.report["files"]) == (0, 0)
    assert {name: outputs.there(name) for name in outputs.names()} == before
    assert [line for line in ended.events if "manifest" in line["event"]] == []


def test_a_marker_is_written_at_the_very_end(outputs):
    """The manifest of the whole prefix, and what it amounts to."""
    outputs.write("a", "one")
    outputs.write("d/b", "three")
    assert outputs.sync("--marker", "_END").code == 0
    marker = json.loads(outputs.there("_END"))
    assert marker["files"] == told({"a": "one", "d/b": "three"})
    assert marker["run"]["files"] == 2
    assert marker["run"]["bytes"] == 8
    assert marker["run"]["finished"].endswith("Z")


def test_a_marker_goes_before_the_first_change(outputs):
    """A stale one never vouches for changed content."""
    outputs.write("a", "one")
    assert outputs.sync("--marker", "_END").code == 0
    running = outputs.sidecar(*FLAGS, "--marker", "_END")
    assert outputs.there("_END") is not None
    outputs.write("a", "two")
    outputs.wait_for("a", "two")
    assert outputs.there("_END") is None
    running.signal(signal.SIGTERM)
    assert running.finish().code == 0
    assert json.loads(outputs.there("_END"))["files"] == told({"a": "two"})


def test_without_its_flags_a_later_run_withdraws_them_too(outputs, tmp_path):
    """Also with the journal gone: the listing tells what is there."""
    outputs.write("ckpt/a", "one")
    assert outputs.sync("--group", "ckpt", "--marker", "_END").code == 0
    outputs.write("ckpt/a", "two")
    assert outputs.sync("--state", tmp_path / "fresh", "--marker", "_END").code == 0
    assert outputs.names() == ["_END", "ckpt/a"]
    outputs.write("ckpt/a", "three")
    assert outputs.sync("--state", tmp_path / "fresh").code == 0
    assert outputs.names() == ["ckpt/a"]


def test_a_group_that_cannot_be_read_whole_gets_no_manifest(outputs):
    """Nor the prefix its marker; the others get theirs."""
    outputs.write("ckpt-1/a")
    close_to_it(outputs.write("ckpt-1/secret"))
    outputs.write("ckpt-2/a")
    ended = outputs.sync("--group", "ckpt-*", "--marker", "_END", preexec_fn=bound_by_modes)
    assert ended.code == 73
    assert ended.event("sidecar.group_not_published")["path"] == "ckpt-1"
    assert outputs.names() == ["ckpt-1/a", f"ckpt-2/{NAME}", "ckpt-2/a"]


def test_groups_inside_of_groups_have_a_manifest_each(outputs):
    """The outer one lists the files of the inner, not its manifest."""
    outputs.write("run/a", "one")
    outputs.write("run/ckpt/b", "two")
    assert outputs.sync("--group", "run", "--group", "ckpt").code == 0
    assert manifest(outputs, "run") == told({"a": "one", "ckpt/b": "two"})
    assert manifest(outputs, "run/ckpt") == told({"b": "two"})
    outputs.write("run/a", "changed")
    ended = outputs.sync("--group", "run", "--group", "ckpt")
    withdrawn = [line for line in ended.events if line["event"] == "sidecar.manifest_withdrawn"]
    assert [line["key"] for line in withdrawn] == [f"out/run/{NAME}"]
    assert manifest(outputs, "run") == told({"a": "changed", "ckpt/b": "two"})


def test_what_a_group_holds_and_what_not(outputs):
    """Not what is excluded, links out of the outputs, and empty directories; nor a manifest that lies there."""
    outputs.write("elsewhere/e", "linked")
    outputs.write("ckpt/a", "one")
    outputs.write("ckpt/x.lock")
    outputs.write(f"ckpt/{NAME}", "nonsense")
    outputs.write("ckpt/left.tmp", "waited for the drain")
    (outputs.path / "ckpt" / "empty").mkdir()
    (outputs.path / "ckpt" / "inside").symlink_to("../elsewhere/e")
    (outputs.path / "ckpt" / "deep").symlink_to("../elsewhere")
    (outputs.path / "ckpt" / "outside").symlink_to("/etc/passwd")
    (outputs.path / "ckpt-link").symlink_to("ckpt")
    assert outputs.sync("--group", "ckpt*", "--exclude", "*.lock").code == 0
    assert manifest(outputs, "ckpt") == told(
        {"a": "one", "left.tmp": "waited for the drain", "inside": "linked", "deep/e": "linked"}
    )
    assert manifest(outputs, "ckpt-link") is None


def test_a_temporary_name_is_waited_for_by_nobody(outputs):
    """It isn't in the manifest before the drain, and in it after."""
    running = outputs.sidecar(*FLAGS, "--group", "ckpt")
    make_group(outputs, "ckpt", {"a": "one", "left.tmp": "temporary"})
    running.wait_for_event("sidecar.group_published")
    assert manifest(outputs, "ckpt") == told({"a": "one"})
    running.signal(signal.SIGTERM)
    assert running.finish().code == 0
    assert manifest(outputs, "ckpt") == told({"a": "one", "left.tmp": "temporary"})


def test_a_directory_renamed_above_completes_the_groups_in_it(outputs):
    """What comes as a whole is whole."""
    running = outputs.sidecar(*FLAGS, "--group", "ckpt-*")
    make_group(outputs, "run", {"ckpt-1/a": "one", "ckpt-2/a": "two", "log": "x"})
    running.wait_for_event("sidecar.group_published", count=2)
    assert manifest(outputs, "run/ckpt-1") == told({"a": "one"})
    assert manifest(outputs, "run/ckpt-2") == told({"a": "two"})
    running.signal(signal.SIGTERM)
    assert running.finish().code == 0


def test_a_group_that_is_renamed_away_or_deleted_keeps_what_the_bucket_has(outputs):
    """``--deletes keep``: its objects are all there still, and so is the manifest that lists them."""
    running = outputs.sidecar(*FLAGS, "--group", "ckpt-*")
    make_group(outputs, "ckpt-1", FILES)
    make_group(outputs, "ckpt-2", FILES)
    running.wait_for_event("sidecar.group_published", count=2)
    (outputs.path / "ckpt-1").rename(outputs.path / "ckpt-3")
    shutil.rmtree(outputs.path / "ckpt-2")
    running.wait_for_event("sidecar.group_published", count=3)
    running.signal(signal.SIGTERM)
    ended = running.finish()
    assert ended.code == 0
    for name in ("ckpt-1", "ckpt-2", "ckpt-3"):
        assert manifest(outputs, name) == told(FILES)
    assert "sidecar.manifest_withdrawn" not in {line["event"] for line in ended.events}


def test_mirror_deletes_the_manifest_before_the_first_file(outputs):
    """Of what is left of the group there is a new one."""
    outputs.write("ckpt-1/a", "one")
    outputs.write("ckpt-2/a", "one")
    outputs.write("ckpt-2/b", "two")
    flags = ("--group", "ckpt-*", "--deletes", "mirror")
    assert outputs.sync(*flags).code == 0
    shutil.rmtree(outputs.path / "ckpt-1")
    (outputs.path / "ckpt-2" / "b").unlink()
    assert outputs.sync(*flags).code == 0
    # A directory that is empty by now stays on a volume.
    assert [name for name in outputs.names() if not name.endswith("/")] == [
        f"ckpt-2/{NAME}",
        "ckpt-2/a",
    ]
    assert manifest(outputs, "ckpt-2") == told({"a": "one"})


def test_a_group_of_a_killed_sidecar_is_published_by_the_next(outputs):
    """That it was renamed into place is in the journal."""
    running = outputs.sidecar(*FLAGS, "--group", "ckpt", "--settle", "60")
    make_group(outputs, "ckpt", FILES)
    journal = outputs.path / ".lighterman" / "journal.db"
    eventually(lambda: completed(journal) == ["ckpt"])
    assert running.kill().code == -signal.SIGKILL
    running = outputs.sidecar(*FLAGS, "--group", "ckpt")
    running.wait_for_event("sidecar.group_published")
    assert manifest(outputs, "ckpt") == told(FILES)
    running.signal(signal.SIGTERM)
    assert running.finish().code == 0


def completed(journal):
    with contextlib.closing(sqlite3.connect(journal)) as database:
        return [name for (name,) in database.execute("SELECT directory FROM completed")]


def test_a_group_is_fetched_and_verified(bucket, program_over, tmp_path):
    """``init`` checks against a manifest where it finds one: also a large file that was put by parts."""
    outputs = Outputs(program_over(bucket), bucket, tmp_path / "outputs")
    outputs.write("model/config.json", "{}")
    trees.make_large(outputs.path / "model" / "weights.bin", 20 * MIB)
    assert outputs.sync("--group", "model").code == 0
    back = outputs.program.run(
        *("init", "--connection", "bucket", "--dir", "out/model:.", "--to", tmp_path / "back")
    )
    assert back.code == 0, back.stderr
    assert back.report.get("unverified", 0) == 0
    assert back.event("init.manifest_read")["files"] == 2
    (tmp_path / "back" / NAME).unlink()
    assert trees.differences(outputs.path / "model", tmp_path / "back") == []


def init(outputs, directory, method):
    flags = ("--connection", "bucket", "--dir", "out/ckpt:.", "--to", directory)
    return getattr(outputs.program, method)("init", *flags)


def test_while_a_group_changes_nothing_vouches_for_it(s3_outputs, tmp_path):
    """Without a manifest what has no checksum of the store counts as unverified, as ever."""
    s3_outputs.write("ckpt/small", "one")
    trees.make_large(s3_outputs.path / "ckpt" / "large", 20 * MIB)
    assert s3_outputs.sync("--group", "ckpt").code == 0
    assert init(s3_outputs, tmp_path / "first", "run").report.get("unverified", 0) == 0
    running = s3_outputs.sidecar(*FLAGS, "--group", "ckpt")
    s3_outputs.write("ckpt/small", "two")
    s3_outputs.wait_for("ckpt/small", "two")
    ended = init(s3_outputs, tmp_path / "second", "run")
    assert (ended.code, ended.report["unverified"]) == (0, 1)
    running.signal(signal.SIGTERM)
    assert running.finish().code == 0
    assert init(s3_outputs, tmp_path / "third", "run").report.get("unverified", 0) == 0


def test_an_init_that_met_the_manifest_takes_nothing_else(
    s3_bucket, program_over, proxy_to, tmp_path
):
    """A file that changes after the manifest was read is fetched anew, and refused: 65, not half of each."""
    proxy = proxy_to(s3_bucket.endpoint)
    slow = program_over(s3_bucket._replace(endpoint=proxy.url))
    outputs = Outputs(slow, s3_bucket, tmp_path / "outputs")
    outputs.write("ckpt/small")
    trees.make_large(outputs.path / "ckpt" / "large", 20 * MIB)
    assert outputs.sync("--group", "ckpt").code == 0
    proxy.on(
        lambda request: is_get(request) and "large" in request.path,
        Call(lambda _: s3_bucket.put("out/ckpt/large", b"another")),
    )
    ended = init(outputs, tmp_path / "back", "run")
    assert ended.code == 65, ended.stderr
    assert not (tmp_path / "back" / "large").exists()


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (("--group", "/"), "--group"),
        (("--group", "a", "--group-done", "b/c"), "--group-done"),
        (("--group-done", "x"), "--group-done"),
        (("--marker", "a/b"), "--marker"),
    ],
)
def test_flags_that_cannot_be_meant_are_refused(outputs, flags, said):
    """64, with the flag's name, before anything else."""
    ended = outputs.sync(*flags)
    assert (ended.code, said in ended.report["error"]["message"]) == (64, True)
