"""What init brings: the declared part of a bucket, byte for byte, once."""

import json
import os
import stat

import pytest
from pulls import MIB, Pull, gets, listings


@pytest.fixture
def proxy(proxy_to, moto_endpoint):
    """Counts what passes."""
    return proxy_to(moto_endpoint)


@pytest.fixture
def pull(s3_bucket, tmp_path, proxy):
    """Init of a fresh bucket, through the proxy."""
    return Pull(s3_bucket, tmp_path, proxy.url)


def test_declared_dirs_and_files_go_to_their_targets(pull):
    """`dirs: [train, [val, validation]], files: [labels.csv, {from: a/b.txt, to: b.txt}]`."""
    for key in ("train/x", "train/deep/y", "val/z", "labels.csv", "a/b.txt", "a/other"):
        pull.bucket.put(key, key.encode())
    flags = ("--dir", "train", "--dir", "val:validation", "--file", "labels.csv")
    finished = pull.run(*flags, "--file", "a/b.txt:b.txt")
    assert finished.code == 0
    assert pull.files() == {
        "train/x": b"train/x",
        "train/deep/y": b"train/deep/y",
        "validation/z": b"val/z",
        "labels.csv": b"labels.csv",
        "b.txt": b"a/b.txt",
    }
    assert (finished.report["files"], finished.report["bytes"]) == (5, 41)
    assert finished.report["status"] == "done"


def test_dirs_are_exact(pull):
    """`dirs` are exact: `model` never pulls `model-hf`."""
    for key in ("model/a", "model-hf/b", "model.bin", "models/c"):
        pull.bucket.put(key, b"x")
    assert pull.run("--dir", "model").code == 0
    assert sorted(pull.files()) == ["model/a"]


def test_without_artifacts_the_whole_root_comes(pull):
    """`nothing-declared   # no artifacts: the connection's whole root`."""
    for key in ("a", "b/c"):
        pull.bucket.put(key, b"x")
    assert pull.run().code == 0
    assert sorted(pull.files()) == ["a", "b/c"]


def test_zero_byte_objects_are_files_and_markers_are_directories(pull):
    """Zero-byte objects are files; `dir/` markers are empty directories."""
    pull.bucket.put("empty.txt")
    pull.bucket.put("logs/")
    assert pull.run().code == 0
    assert pull.files() == {"empty.txt": b""}
    assert (pull.dest / "logs").is_dir()


def test_stored_modes_and_mtimes_come_back(pull):
    """Stored modes and mtimes come back; else the umask's mode and the object's time."""
    metadata = {"mode": "33256", "mtime": "1000000000.123456789"}
    pull.bucket.put("dressed", b"x", Metadata=metadata)
    pull.bucket.put("large", bytes(9 * MIB), Metadata=metadata)
    pull.bucket.put("bare", b"x")
    assert pull.run(umask=0o027).code == 0
    for name in ("dressed", "large"):
        told = (pull.dest / name).stat()
        assert (stat.S_IMODE(told.st_mode), told.st_mtime_ns) == (0o750, 1000000000123456789)
    told = (pull.dest / "bare").stat()
    modified = pull.bucket.head("bare")["LastModified"].timestamp()
    assert (stat.S_IMODE(told.st_mode), told.st_mtime) == (0o640, modified)


def test_a_bucket_gives_nobody_the_right_to_run_as_another(pull):
    """Of a stored mode the permissions come back, set-uid doesn't."""
    pull.bucket.put("tool", b"x", Metadata={"mode": str(0o104755)})
    assert pull.run().code == 0
    assert stat.S_IMODE((pull.dest / "tool").stat().st_mode) == 0o755


def test_a_second_run_fetches_nothing(pull, proxy):
    """Started again on the same volume, it does only what is left."""
    for number in range(20):
        pull.bucket.put(f"d/{number}", bytes(number))
    pull.bucket.put("large", os.urandom(20 * MIB))
    assert pull.run().code == 0
    proxy.forget()
    again = pull.run()
    assert (again.code, again.report["files"], again.report["skipped"]) == (0, 0, 21)
    assert (len(gets(proxy)), len(listings(proxy))) == (0, 1)


def test_a_second_run_brings_what_changed_on_either_side(pull, proxy):
    """A new object, an edited file, a touched one and a lost one come; the rest stays."""
    for name in ("same", "replaced", "edited", "touched", "lost"):
        pull.bucket.put(name, b"1")
    assert pull.run().code == 0
    pull.bucket.put("replaced", b"2")
    pull.bucket.put("new", b"1")
    (pull.dest / "edited").write_bytes(b"longer")
    os.utime(pull.dest / "touched", (1, 1))
    (pull.dest / "lost").unlink()
    proxy.forget()
    assert pull.run().report["skipped"] == 1
    assert pull.files() == {
        "same": b"1", "replaced": b"2", "edited": b"1", "touched": b"1", "lost": b"1", "new": b"1",
    }  # fmt: skip
    assert sorted(request.path.rpartition("/")[2] for request in gets(proxy)) == [
        "edited", "lost", "new", "replaced", "touched",
    ]  # fmt: skip


def test_large_files_come_in_ranges(pull, proxy):
    """Pinned to the ETag that the listing saw, verified against the MD5 that it is."""
    body = os.urandom(20 * MIB + 5)
    etag = pull.bucket.put("large", body)
    finished = pull.run()
    assert pull.files() == {"large": body}
    assert sorted(request.headers["range"] for request in gets(proxy)) == [
        f"bytes=0-{8 * MIB - 1}",
        f"bytes={16 * MIB}-{20 * MIB + 4}",
        f"bytes={8 * MIB}-{16 * MIB - 1}",
    ]
    assert {request.headers["if-match"].strip('"') for request in gets(proxy)} == {etag}
    assert (finished.report["files"], finished.report.get("unverified", 0)) == (1, 0)


def test_what_has_no_checksum_is_counted(pull):
    """Where neither exists, size and ETag pin, counted as `unverified` in the report."""
    client = pull.bucket.client()
    name = {"Bucket": pull.bucket.name, "Key": "parts"}
    upload = client.create_multipart_upload(**name)["UploadId"]
    part = client.upload_part(**name, UploadId=upload, PartNumber=1, Body=b"x" * 5 * MIB)
    client.complete_multipart_upload(
        **name,
        UploadId=upload,
        MultipartUpload={"Parts": [{"PartNumber": 1, "ETag": part["ETag"]}]},
    )
    client.close()
    pull.bucket.put("whole", b"x")
    finished = pull.run()
    assert (finished.code, finished.report["files"], finished.report["unverified"]) == (0, 2, 1)
    assert pull.files()["parts"] == b"x" * 5 * MIB


def test_a_declared_file_needs_no_listing(pull, proxy):
    """A cold start waits for two requests: the look, and the bytes."""
    pull.bucket.put("one", b"x" * 1024)
    assert pull.run("--file", "one").code == 0
    assert [request.method for request in proxy.seen()] == ["HEAD", "GET"]


@pytest.mark.parametrize(
    ("path", "files"),
    [
        ("model", {"a": b"1", "deep/b": b"2"}),
        ("model/", {"a": b"1", "deep/b": b"2"}),
        ("model/a", {"a": b"1"}),
        ("model-hf", {"c": b"3"}),
    ],
)
def test_kserves_two_positionals(pull, path, files):
    """`lighterman init URI DEST`: the contents of a prefix, or the one object of that name."""
    for key, body in (("model/a", b"1"), ("model/deep/b", b"2"), ("model-hf/c", b"3")):
        pull.bucket.put(key, body)
    assert pull.program.run("init", f"{pull.uri}/{path}", pull.dest).code == 0
    assert pull.files() == files


def test_a_job_spec_declares_several_entries(pull, tmp_path):
    """The init block of a job spec; each connection has a directory of its own."""
    pull.bucket.put("data/train/x", b"1")
    pull.bucket.put("other/y", b"2")
    catalog = [
        {"name": "data", "kind": "s3", "schema": {"bucket": f"{pull.uri}/data"}},
        {"name": "other", "kind": "s3", "schema": {"bucket": f"{pull.uri}/other"}},
    ]
    (tmp_path / "catalog.json").write_text(json.dumps(catalog))
    (tmp_path / "job.yaml").write_text(
        f"""
        run:
          kind: job
          init:
            - connection: data
              artifacts: {{dirs: [[train, here]], workers: 4}}
              path: {tmp_path}/data
            - connection: other
            - connection: other
              artifacts: {{files: [nowhere.csv], dirs: [nothing]}}
              optional: true
        """
    )
    finished = pull.program.run(
        "init",
        *("--spec", tmp_path / "job.yaml", "--catalog", tmp_path / "catalog.json"),
        environ={"LIGHTERMAN_ARTIFACTS": str(tmp_path / "artifacts")},
    )
    assert (finished.code, finished.report["files"]) == (0, 2)
    assert (tmp_path / "data" / "here" / "x").read_bytes() == b"1"
    assert (tmp_path / "artifacts" / "other" / "y").read_bytes() == b"2"


def test_a_spec_without_an_init_block_is_an_error_an_empty_block_is_none(pull, tmp_path):
    """A block that is forgotten or misspelt is said; an empty one asks for nothing."""
    (tmp_path / "job.yaml").write_text("run: {kind: job}\n")
    ended = pull.program.run("init", "--spec", tmp_path / "job.yaml")
    assert (ended.code, "has no init block" in ended.report["error"]["message"]) == (78, True)
    (tmp_path / "job.yaml").write_text("init: []\n")
    assert pull.program.run("init", "--spec", tmp_path / "job.yaml").code == 0


def test_the_prefix_of_a_connection_is_its_root(pull):
    """Sources are below it, and what is beside it isn't seen."""
    for key in ("root/a/x", "root/y", "rooted", "a/x"):
        pull.bucket.put(key, key.encode())
    finished = pull.program.run(
        "init", "--connection", f"{pull.uri}/root", "--to", pull.dest, "--dir", "a", "--file", "y"
    )
    assert finished.code == 0
    assert pull.files() == {"a/x": b"root/a/x", "y": b"root/y"}


def test_what_it_did_is_logged_and_reported(pull):
    """Dotted event names, fields with units in their names."""
    pull.bucket.put("x", b"12345")
    finished = pull.run()
    planned, fetched, done = (
        finished.event(f"init.{name}") for name in ("planned", "file_fetched", "done")
    )
    assert (planned["files"], planned["size_bytes"], planned["kept_files"]) == (1, 5, 0)
    assert (fetched["key"], fetched["size_bytes"]) == ("x", 5)
    assert (done["files"], done["size_bytes"], done["unverified_files"]) == (1, 5, 0)


def test_a_local_directory_is_a_place_like_any_other(tmp_path, program):
    """A `file` URI of a directory, and of one file."""
    source = tmp_path / "source"
    (source / "deep").mkdir(parents=True)
    (source / "empty").mkdir()
    (source / "deep" / "x").write_bytes(b"1" * 9 * MIB)
    (source / "deep" / "x").chmod(0o751)
    assert program.run("init", f"file://{source}", tmp_path / "dest").code == 0
    told = (tmp_path / "dest" / "deep" / "x").stat()
    assert (told.st_size, stat.S_IMODE(told.st_mode)) == (9 * MIB, 0o751)
    assert (tmp_path / "dest" / "empty").is_dir()
    assert program.run("init", f"file://{source}/deep/x", tmp_path / "one").code == 0
    assert (tmp_path / "one" / "x").read_bytes() == b"1" * 9 * MIB


def test_a_destination_with_two_slashes_keeps_its_notes(pull):
    """What a second run skips doesn't hang on how the path is written."""
    pull.bucket.put("a", b"1")
    arguments = ("init", pull.uri, f"/{pull.dest}")
    assert pull.program.run(*arguments).report["files"] == 1
    assert pull.program.run(*arguments).report["skipped"] == 1
