"""`--dry-run` prints the plan, and does nothing; a run does nothing that isn't in it."""

import json
import os
import shutil

import pytest
from pulls import MIB, Pull, gets
from servers.faults import Call, is_listing


@pytest.fixture
def proxy(proxy_to, moto_endpoint):
    """Counts what passes."""
    return proxy_to(moto_endpoint)


@pytest.fixture
def pull(s3_bucket, tmp_path, proxy):
    """Init of a fresh bucket, through the proxy."""
    return Pull(s3_bucket, tmp_path, proxy.url)


def planned(finished):
    """What was printed, by action."""
    lines = [json.loads(line) for line in finished.stdout.splitlines()]
    return {
        action: [line for line in lines if line["action"] == action]
        for action in dict.fromkeys(line["action"] for line in lines)
    }


def snapshot(root):
    """Everything at and below a directory, with all that a write would change."""
    return {
        str(path): (told.st_ino, told.st_size, told.st_mtime_ns, told.st_ctime_ns)
        for path in [root, *sorted(root.rglob("*"))]
        if (told := path.lstat())
    }


def test_nothing_is_made_where_nothing_is(pull, proxy, tmp_path):
    """Not the destination, and nothing in it; the plan says what a run would make and fetch."""
    for key, size in (("a", 3), ("d/e/b", 5), ("d/large", 9 * MIB), ("logs/", 0)):
        pull.bucket.put(key, bytes(size))
    pull.dest = tmp_path / "not" / "there"
    finished = pull.run("--dry-run")
    assert (finished.code, gets(proxy)) == (0, [])
    assert not (tmp_path / "not").exists()
    plan = planned(finished)
    assert [line["path"] for line in plan["make directory"]] == [
        str(tmp_path / name)
        for name in ("not", "not/there", "not/there/d", "not/there/d/e", "not/there/logs")
    ]
    assert [(line["key"], line["path"], line["size_bytes"]) for line in plan["fetch"]] == [
        ("a", f"{pull.dest}/a", 3),
        ("d/e/b", f"{pull.dest}/d/e/b", 5),
        ("d/large", f"{pull.dest}/d/large", 9 * MIB),
    ]
    assert {line["connection"] for line in plan["fetch"]} == {pull.uri}
    [total] = plan["total"]
    assert (total["files"], total["size_bytes"], total["kept_files"]) == (3, 9 * MIB + 8, 0)
    [space] = plan["space"]
    assert space["path"] == str(pull.dest)
    assert space["needed_bytes"] >= 9 * MIB + 8
    assert space["free_bytes"] > space["needed_bytes"]
    assert (finished.report["status"], finished.report["files"]) == ("done", 0)


def test_a_run_does_what_the_plan_said(pull, proxy):
    """Printed first, carried out then: the same fetches, and the same files kept."""
    for number in range(40):
        pull.bucket.put(f"d{number % 4}/{number}", bytes(number))
    assert pull.run("--dir", "d0").code == 0
    shutil.rmtree(pull.dest / "d0")
    assert pull.run("--dir", "d1", "--dir", "d2").code == 0
    (pull.dest / "d1" / "1").write_bytes(b"edited")
    before = snapshot(pull.dest)
    plan = planned(pull.run("--dry-run"))
    assert snapshot(pull.dest) == before
    proxy.forget()
    finished = pull.run()
    fetched = {event["path"] for event in finished.events if event["event"] == "init.file_fetched"}
    assert fetched == {line["path"] for line in plan["fetch"]}
    assert len(fetched) == 21 == finished.report["files"]
    assert len(plan["keep"]) == 19 == finished.report["skipped"]


def test_what_was_brought_half_is_seen_and_left(pull, proxy):
    """Temporary files and notes of a killed run stay as they are."""
    pull.bucket.put("large", os.urandom(40 * MIB))
    pull.bucket.put("small", b"1")
    proxy.on(
        lambda request: request.headers.get("range", "").startswith(f"bytes={32 * MIB}-"),
        Call(lambda _: running.process.kill()),
    )
    running = pull.start("--workers", "1")
    running.finish()
    assert pull.temporaries() != []
    before = snapshot(pull.dest)
    assert len(planned(pull.run("--dry-run"))["fetch"]) >= 1
    assert snapshot(pull.dest) == before


def test_people_get_a_table(pull):
    """`--results table`: what is fetched with its size, what is kept, and the sums."""
    pull.bucket.put("kept", b"1")
    assert pull.run().code == 0
    pull.bucket.put("d/new", bytes(3 * MIB))
    finished = pull.run("--dry-run", "--results", "table")
    lines = finished.stdout.splitlines()
    assert lines[0].split() == ["mkdir", f"{pull.dest}/d"]
    assert lines[1].split() == ["fetch", "3.0", "MiB", f"{pull.uri}:", "d/new", "→", f"{pull.dest}/d/new"]  # fmt: skip
    assert lines[2].split() == ["keep", f"{pull.dest}/kept"]
    assert "1 files to fetch, 1 kept, 1 directories to make, 0 refused, 0 missing" in lines[3]
    assert lines[4].startswith("space")
    assert len(lines) == 5


@pytest.mark.parametrize("style", ["table", "json"])
def test_no_key_reaches_a_terminal_as_it_is(pull, tmp_path, style):
    """One line each, and nothing in it that a terminal would obey."""
    names = ["\x1b[31mred", "a\nfetch everything", "\x9b1m", "right\u202etfel", "no-utf-8-\udc80"]
    (tmp_path / "source").mkdir()
    for name in names:
        (tmp_path / "source" / name).write_bytes(b"1")
    finished = pull.program.run(
        "init", "--dry-run", "--results", style, f"file://{tmp_path}/source", pull.dest
    )
    assert finished.code == 0
    assert all(line.isprintable() for line in finished.stdout.split("\n"))
    fetches = [line for line in finished.stdout.split("\n") if line.startswith("fetch")]
    assert style == "json" or len(fetches) == len(names)
    if style == "json":
        assert {line["key"] for line in planned(finished)["fetch"]} == set(names)


@pytest.mark.parametrize(
    ("key", "code", "flags"),
    [
        ("a/../b", 65, ()),
        ("fine/below", 65, ()),
        ("cold", 66, ()),
        (None, 66, ("--dir", "none", "--file", "no.csv", "--dir", ".")),
    ],
)
def test_refusals_are_printed_and_end_it_as_a_run_would(pull, proxy, key, code, flags):
    """The plan, what stands against it, and the code that a run would end with."""
    pull.bucket.put("fine", b"1")
    if key:
        pull.bucket.put(key, b"evil", **({"StorageClass": "GLACIER"} if key == "cold" else {}))
    finished = pull.run("--dry-run", *flags)
    told = finished.report["error"]["message"]
    assert finished.code == code
    assert (pull.dest.exists(), gets(proxy)) == (False, [])
    plan = planned(finished)
    assert plan["fetch"]
    if key:
        [refusal] = plan["refuse"]
        assert (refusal["key"], refusal["code"]) == (key, code)
        assert f"{key!r} ({refusal['reason']})" in told
    else:
        assert {line["source"] for line in plan["missing"]} == {"none/", "no.csv"}
    ran = pull.run(*flags)
    assert (ran.code, ran.report["error"]["message"]) == (code, told)


def test_too_little_space_is_said_as_by_a_run(pull, mounted):
    """73, with how much is needed and how much is free, in the plan too."""
    pull.bucket.put("large", bytes(9 * MIB))
    pull.dest = mounted("-o", "size=4m")
    finished = pull.run("--dry-run")
    assert finished.code == 73
    [space] = planned(finished)["space"]
    assert (space["needed_bytes"], space["free_bytes"]) == (9 * MIB, 4 * MIB)
    assert (
        f"{9 * MIB} bytes are needed and {4 * MIB} are free"
        in (finished.report["error"]["message"])
    )
    assert list(pull.dest.iterdir()) == []


def test_a_destination_that_is_read_only(pull, mounted):
    """The plan is printed all the same; then it ends with 73, as a run would."""
    pull.bucket.put("x", b"1")
    pull.dest = mounted("-o", "ro,size=1m")
    finished = pull.run("--dry-run")
    assert [line["key"] for line in planned(finished)["fetch"]] == ["x"]
    assert (finished.code, "Read-only file system" in finished.report["error"]["message"]) == (
        73,
        True,
    )


@pytest.mark.parametrize("plant", ["file", "state link"])
def test_a_destination_that_is_none(pull, proxy, tmp_path, plant):
    """73, before anything is asked."""
    if plant == "file":
        pull.dest.write_text("mine")
    else:
        pull.dest.mkdir()
        (tmp_path / "outside").mkdir()
        (pull.dest / ".lighterman").symlink_to(tmp_path / "outside")
    finished = pull.run("--dry-run")
    assert (finished.code, finished.stdout, proxy.seen()) == (73, "", [])
    assert pull.run().report["error"]["message"] == finished.report["error"]["message"]


def test_a_plan_that_isnt_whole_isnt_printed(pull, proxy):
    """Half a plan would be taken for the whole one."""
    for number in range(1500):
        pull.bucket.put(f"{number:04}", b"")
    proxy.on(is_listing, Call(lambda _: running.process.terminate()), skip=1, times=None)
    running = pull.start("--dry-run")
    finished = running.finish()
    assert (finished.code, finished.stdout) == (75, "")


def test_notes_that_cant_be_read_are_left(pull):
    """Then the plan is that of a run without notes, which would replace them."""
    pull.bucket.put("x", b"1")
    assert pull.run().code == 0
    notes = pull.dest / ".lighterman" / "init.sqlite3"
    notes.write_bytes(b"no database" * 1000)
    plan = planned(pull.run("--dry-run"))
    assert [line["key"] for line in plan["fetch"]] == ["x"]
    assert notes.read_bytes() == b"no database" * 1000


def test_whoever_reads_it_may_go_away(pull):
    """Neither the code nor the report depend on stdout."""
    for number in range(300):
        pull.bucket.put(f"{'n' * 200}{number}", b"")
    running = pull.start("--dry-run")
    running.process.stdout.close()
    assert running.finish().code == 0
