"""Bad input: each with its exit code, one clear line, and nothing half-written."""

import os

import pytest
from pulls import MIB, Pull, gets
from servers.faults import Call, is_get, s3_error


@pytest.fixture
def proxy(proxy_to, moto_endpoint):
    """Counts what passes."""
    return proxy_to(moto_endpoint)


@pytest.fixture
def pull(s3_bucket, tmp_path, proxy):
    """Init of a fresh bucket, through the proxy."""
    return Pull(s3_bucket, tmp_path, proxy.url)


def line_of(finished):
    """The one error line of a failed run."""
    lines = [event for event in finished.events if event["level"] == "error"]
    assert len(lines) == 1, finished.stderr
    assert lines[0]["event"] == "init.failed"
    assert lines[0]["hint"]
    assert "Traceback" not in finished.stderr
    assert finished.report["error"]["message"][:100] == lines[0]["error"][:100]
    return lines[0]["error"]


@pytest.mark.parametrize(
    ("key", "said"),
    [
        ("a/../../escape", "it has a '..' component"),
        ("../escape", "it has a '..' component"),
        ("/etc/escape", "it is absolute"),
        ("a//b", "it has an empty or '.' component"),
        ("./a", "it has an empty or '.' component"),
        ("n" * 256, "it has a component of more than 255 bytes"),
        (".lighterman/init.sqlite3", "the name .lighterman is reserved at a destination's root"),
        ("zz/.lighterman-0123456789abcdef.tmp", "its name is reserved for files under way"),
        ("fine/below", "its directory is where the file of 'fine' goes"),
    ],
)
def test_a_hostile_key_is_refused_by_name_before_any_byte_moves(pull, proxy, tmp_path, key, said):
    """65, and nothing is written anywhere."""
    pull.bucket.put("fine", b"1")
    pull.bucket.put(key, b"evil")
    before = sorted(os.listdir(tmp_path))
    finished = pull.run()
    line = line_of(finished)
    assert finished.code == 65
    assert repr(key)[:60] in line
    assert said in line
    assert gets(proxy) == []
    assert not pull.dest.exists()
    assert set(os.listdir(tmp_path)) - set(before) == {"report-1.json"}
    assert finished.report["failed"]["count"] == 1


def test_many_refusals_are_named_and_counted(pull):
    """The first ones by name, the rest by their number."""
    for number in range(13):
        pull.bucket.put(f"d{number:02}//x", b"1")
    line = line_of(pull.run())
    assert all(f"'d{number:02}//x'" in line for number in range(10))
    assert line.endswith("and 3 more")


def test_two_sources_of_one_file_are_refused(pull):
    """Neither wins silently."""
    for key in ("a/x", "b/x"):
        pull.bucket.put(key, b"1")
    finished = pull.run("--dir", "a:same", "--dir", "b:same")
    assert (finished.code, line_of(finished)) == (
        65,
        "refused before any byte moved: 'b/x' ('a/x' goes to the same place)",
    )


def test_a_planted_symlink_that_leaves_is_refused(pull, tmp_path):
    """Through a symlink that leaves the destination nothing is written; inside it, it may lead."""
    outside = tmp_path / "outside"
    outside.mkdir()
    (pull.dest / "real").mkdir(parents=True)
    os.symlink(outside, pull.dest / "out")
    os.symlink("real", pull.dest / "inside")
    os.symlink(outside / "file", pull.dest / "file")
    pull.bucket.put("inside/x", b"1")
    pull.bucket.put("file", b"2")
    assert pull.run("--dir", "inside", "--file", "file").code == 0
    assert (pull.dest / "real" / "x").read_bytes() == b"1"
    assert not (pull.dest / "file").is_symlink()
    pull.bucket.put("out/x", b"evil")
    finished = pull.run()
    assert (finished.code, "out is a symlink that leaves" in line_of(finished)) == (65, True)
    assert list(outside.iterdir()) == []


def test_a_planted_temporary_name_is_not_followed(pull, tmp_path):
    """A link where a file is on its way is taken away, not written through."""
    from initializer.place import temporary_of

    victim = tmp_path / "victim"
    victim.write_text("mine")
    pull.dest.mkdir()
    os.symlink(victim, temporary_of(f"{pull.dest}/x"))
    os.link(victim, temporary_of(f"{pull.dest}/y"))
    pull.bucket.put("x", b"1")
    pull.bucket.put("y", b"2" * 9 * MIB)
    assert pull.run().code == 0
    assert victim.read_text() == "mine"
    assert sorted(pull.files()) == ["x", "y"]


def test_missing_sources_are_all_named(pull, proxy):
    """A declared file or dir that isn't there is an error that names it."""
    pull.bucket.put("there", b"1")
    pull.bucket.put("dir-hf/x", b"1")
    finished = pull.run("--file", "there", "--file", "no.csv", "--dir", "dir", "--dir", "none")
    line = line_of(finished)
    assert finished.code == 66
    assert all(repr(name) in line for name in ("no.csv", "dir/", "none/"))
    assert "there'" not in line.replace("is there", "")
    assert gets(proxy) == []
    assert not pull.dest.exists()


@pytest.mark.parametrize("arguments", [("--to", "DEST"), ()], ids=["flags", "positionals"])
def test_an_empty_root_is_a_missing_source(pull, arguments):
    """Nothing there is an error, unless the job spec says `optional: true`."""
    where = f"{pull.uri}/nowhere"
    arguments = ("--connection", where, "--to", pull.dest) if arguments else (where, pull.dest)
    finished = pull.program.run("init", *arguments)
    assert finished.code == 66
    assert where in line_of(finished)


def test_an_archived_object_is_refused_by_name(pull, proxy):
    """An archived object is refused by name from the listing (66), before any byte."""
    pull.bucket.put("cold", b"1", StorageClass="GLACIER")
    pull.bucket.put("warm", b"1")
    finished = pull.run()
    assert (finished.code, gets(proxy)) == (66, [])
    assert "'cold' (it is archived" in line_of(finished)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("init",), "nothing is declared"),
        (("init", "s3://b/x"), "where does s3://b/x go?"),
        (("init", "name", "dest"), "'name' is no URI"),
        (("init", "s3://b/x", "dest", "--connection", "c"), "URI DEST and --connection are given"),
        (("init", "--spec", "job.yaml", "--connection", "c"), "--connection and --spec are given"),
        (("init", "--spec", "job.yaml", "--dir", "d"), "--dir can't stand beside --spec"),
        (("init", "--spec", "job.yaml", "--resume-outputs"), "--resume-outputs can't stand beside"),
        (("init", "s3://b/x", "dest", "--file", "f"), "--file can't stand beside URI DEST"),
        (("init", "s3://b/x", "dest", "--to", "f"), "--to can't stand beside URI DEST"),
        (("init", "--connection", "s3://b"), "where does s3://b go?"),
        (("init", "--connection", "c", "--dir", "a:b:c"), "--dir 'a:b:c': write SRC or SRC:DST"),
        (("init", "--connection", "c", "--file", ":b"), "--file ':b': write SRC or SRC:DST"),
        (("init", "--connection", "c", "--file", "a:../b"), "it has a '..' component"),
        (("init", "--connection", "c", "--workers", "0"), "no whole number"),
    ],
)
def test_wrong_flags(program, arguments, said):
    """64, and the line says what to give instead."""
    finished = program.run(*arguments)
    assert finished.code == 64
    assert said in line_of(finished)


def test_a_target_outside_in_a_job_spec_is_configuration(program, tmp_path):
    """78: the spec is what is off."""
    (tmp_path / "job.yaml").write_text(
        "init: [{connection: bucket, artifacts: {dirs: [[a, ../b]]}}]"
    )
    finished = program.run("init", "--spec", tmp_path / "job.yaml")
    assert (finished.code, "'../b'" in line_of(finished)) == (78, True)


@pytest.mark.parametrize("file", ["one:", "one:.", "one:/", ".", "/"])
def test_a_file_needs_a_name(pull, file):
    """It can't be the destination itself, nor the connection's root: neither is passed over in silence."""
    pull.bucket.put("one", b"1")
    finished = pull.run("--file", file)
    assert finished.code == 64
    assert "destination itself" in line_of(finished) or "the root" in line_of(finished)


def test_more_workers_than_a_machine_has_are_no_more_than_memory_allows(pull):
    """A pool of sockets isn't made for each."""
    pull.bucket.put("one", b"1")
    finished = pull.run("--workers", "99999999999")
    assert (finished.code, pull.files()) == (0, {"one": b"1"})
    assert finished.peak_rss_bytes < 150 * MIB


def test_the_report_of_a_wrong_command_line_is_written(program, tmp_path):
    """Also when its flag is written in one word."""
    report = tmp_path / "own.json"
    process = program.start("init", f"--report={report}", "--frob").process
    assert process.wait(timeout=60) == 64
    assert '"code":64' in report.read_text()


def test_an_unknown_connection_is_configuration(program, tmp_path):
    """78, by name."""
    finished = program.run("init", "--connection", "buckit", "--to", tmp_path / "dest")
    assert (finished.code, "buckit" in line_of(finished)) == (78, True)
    assert not (tmp_path / "dest").exists()


def test_a_wrong_bucket(pull):
    """78: what is wrong is the connection."""
    finished = pull.program.run("init", "s3://no-such-bucket-here/x", pull.dest)
    assert (finished.code, "no-such-bucket-here" in line_of(finished)) == (78, True)
    assert not pull.dest.exists()


@pytest.mark.parametrize("code", ["InvalidAccessKeyId", "SignatureDoesNotMatch", "AccessDenied"])
@pytest.mark.parametrize("flags", [(), ("--file", "x")], ids=["listing", "file"])
def test_refused_credentials(pull, proxy, code, flags):
    """77, at once: permanent errors are never retried."""
    pull.bucket.put("x", b"1")
    proxy.on(lambda _: True, s3_error(403, code), times=None)
    finished = pull.run(*flags)
    assert (finished.code, finished.report["retries"]) == (77, 0)
    assert line_of(finished)
    assert not pull.dest.exists()


def test_refused_reads_stop_everything(pull, proxy):
    """Who may list but not read is told so, and what was begun is taken away."""
    for number in range(20):
        pull.bucket.put(f"x{number}", b"1")
    pull.bucket.put("y", b"1" * 20 * MIB)
    proxy.on(is_get, s3_error(403, "AccessDenied"), times=None)
    finished = pull.run()
    assert finished.code == 77
    assert line_of(finished)
    assert (pull.files(), pull.temporaries()) == ({}, [])
    assert len(gets(proxy)) < 2 * 21  # down the lane, and once more by who knows what it means


def test_an_endpoint_that_refuses(s3_bucket, tmp_path, closed_port):
    """75: it may come up; retried until the deadline."""
    pull = Pull(s3_bucket, tmp_path, f"http://127.0.0.1:{closed_port}")
    finished = pull.run("--retry-for", "1")
    assert (finished.code, str(closed_port) in line_of(finished)) == (75, True)
    assert finished.report["retries"] >= 1
    assert not pull.dest.exists()


def test_a_hostname_that_doesnt_resolve(s3_bucket, tmp_path):
    """75: a pod's DNS is often late by seconds."""
    pull = Pull(s3_bucket, tmp_path, "http://no-such-host.invalid")
    finished = pull.run("--retry-for", "1", "--file", "x")
    assert (finished.code, "no-such-host.invalid" in line_of(finished)) == (75, True)


@pytest.mark.parametrize("is_below", [False, True])
def test_a_destination_that_is_a_file(pull, proxy, is_below):
    """73, before anything is fetched."""
    pull.bucket.put("x", b"1")
    pull.dest.write_text("mine")
    finished = pull.program.run("init", pull.uri, pull.dest / "below" if is_below else pull.dest)
    assert (finished.code, str(pull.dest) in line_of(finished)) == (73, True)
    assert (proxy.seen(), pull.dest.read_text()) == ([], "mine")


def test_a_destination_that_is_read_only(pull, proxy, mounted):
    """73, by a real try."""
    pull.bucket.put("x", b"1")
    place = mounted("-o", "ro,size=1m")
    finished = pull.program.run("init", pull.uri, place)
    assert (finished.code, str(place) in line_of(finished)) == (73, True)
    assert proxy.seen() == []


def test_what_is_in_the_way_stays(pull):
    """73, by name: a directory where a file goes, a file where a directory goes."""
    pull.bucket.put("file", b"1")
    pull.bucket.put("dir/x", b"1")
    (pull.dest / "file" / "mine").mkdir(parents=True)
    (pull.dest / "dir").write_text("mine")
    finished = pull.run()
    line = line_of(finished)
    assert finished.code == 73
    assert "file is there and a directory" in line
    assert "dir is there and no directory" in line
    assert (pull.dest / "dir").read_text() == "mine"


def test_a_full_disk_is_known_before_the_first_byte(pull, proxy, mounted):
    """73, with how much is needed and how much is free."""
    pull.bucket.put("large", b"1" * 9 * MIB)
    place = mounted("-o", "size=4m")
    finished = pull.program.run("init", pull.uri, place)
    assert finished.code == 73
    assert f"{9 * MIB} bytes are needed and {4 * MIB} are free" in line_of(finished)
    assert gets(proxy) == []
    assert list(place.iterdir()) == []


def test_a_disk_that_fills_up_meanwhile(pull, proxy, mounted):
    """73 in the middle: what came whole stays, no partial file does."""
    pull.bucket.put("a", b"1")
    pull.bucket.put("large", b"1" * 9 * MIB)
    place = mounted("-o", "size=12m")
    proxy.on(
        lambda request: is_get(request) and request.path.endswith("/large"),
        Call(lambda _: (place / "other").write_bytes(bytes(8 * MIB))),
    )
    finished = pull.program.run("init", pull.uri, place, "--workers", "1")
    assert finished.code == 73
    assert f"no space left for {place}/large of {9 * MIB} bytes" in line_of(finished)
    (place / "other").unlink()
    assert sorted(path.name for path in place.iterdir()) == [".lighterman", "a"]
