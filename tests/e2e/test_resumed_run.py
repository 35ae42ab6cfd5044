"""
Resume of a run: what init brought into the outputs path is in the sidecar's journal, and not sent again.
"""

import json
import os
import shutil
import signal
from urllib.parse import unquote

import places
import pytest
from outputs_place import Outputs
from program import Program

MIB = 1024 * 1024
LARGE_BYTES = 20 * MIB
"""More than what goes in one request: its ETag is no checksum of its content."""
RUN_1 = {
    "model.ckpt": b"weights" * 1000,
    "logs/train.log": b"epoch 1\n",
    "logs/ünïcödé-文件": b"1",
    "empty.txt": b"",
    "deep/er/metrics.jsonl": b"{}\n",
}


def endpoint_of(place):
    """Where a proxy goes to."""
    return getattr(place, "endpoint", None) or place.server.endpoint


def is_write(request):
    """A request that makes an object, or a part of one."""
    return request.method in ("PUT", "POST") and "token" not in request.path


def is_read(request):
    """A request for the bytes of an object: listings name no key in their path."""
    return request.method == "GET" and "/out/" in unquote(request.path)


@pytest.fixture
def proxy(bucket, proxy_to):
    """Counts what passes."""
    return proxy_to(endpoint_of(bucket))


@pytest.fixture
def run_1(bucket, proxy, tmp_path):
    """The outputs of a run, and the bucket that has them: a sync of a path that is gone with its pod."""
    over = places.through(bucket, proxy.url)
    environ = {"LIGHTERMAN_CATALOG": str(places.catalog(over, tmp_path))}
    program = Program(tmp_path, environ, places.secrets_of(bucket))
    return filled(Outputs(program, bucket, tmp_path / "outputs"))


def filled(outputs):
    """After run 1: in the place all, in the new pod's path nothing."""
    for name, content in RUN_1.items():
        outputs.write(name).write_bytes(content)
    outputs.write("large.bin").write_bytes(os.urandom(LARGE_BYTES))
    (outputs.path / "nothing-in-it").mkdir()
    assert outputs.sync().code == 0
    shutil.rmtree(outputs.path)
    return outputs


def init(outputs, *flags, **popen):
    return outputs.program.run(
        "init",
        *("--connection", "bucket", "--dir", "out:.", "--to", outputs.path),
        *(flags or ("--resume-outputs",)),
        **popen,
    )


def go_on(outputs):
    """What the continued job does: three files change, each in a way of its own."""
    log = outputs.path / "logs/train.log"
    log.write_bytes(log.read_bytes() + b"epoch 2\n")
    model = outputs.path / "model.ckpt"
    times = model.stat()
    model.write_bytes(b"WEIGHTS" * 1000)
    os.utime(model, ns=(times.st_atime_ns, times.st_mtime_ns))
    outputs.write("new.txt").write_bytes(b"new")
    return {"logs/train.log", "model.ckpt", "new.txt"}


def by_sync(outputs):
    return outputs.sync()


def by_sidecar(outputs):
    sidecar = outputs.sidecar("--native", "--grace", "60")
    sidecar.signal(signal.SIGTERM)
    return sidecar.finish()


@pytest.mark.parametrize("sent_by", [by_sync, by_sidecar], ids=["sync", "sidecar"])
def test_a_continued_job_sends_only_what_it_changed(run_1, proxy, sent_by):
    """What init brought is in the sidecar's journal, and not sent again."""
    brought = init(run_1)
    assert len(proxy.seen(is_read)) >= len(RUN_1)
    assert (brought.code, brought.report["files"]) == (0, len(RUN_1) + 1)
    changed = go_on(run_1)
    expected = {
        str(path.relative_to(run_1.path)): path.read_bytes()
        for path in run_1.path.rglob("*")
        if path.is_file() and ".lighterman" not in path.parts
    }
    proxy.forget()

    finished = sent_by(run_1)

    assert finished.code == 0, finished.stderr
    assert len(proxy.seen(is_write)) == len(changed)
    assert proxy.seen(is_read) == []
    assert finished.event("sidecar.seeded")["files"] == len(RUN_1) + 1 - 2
    assert (finished.report["files"], finished.report["skipped"]) == (3, len(RUN_1) + 1 - 2 + 1)
    assert {name.rstrip("/") for name in run_1.names()} == {*expected, "nothing-in-it"}
    assert all(run_1.place.get(f"out/{name}") == body for name, body in expected.items())

    proxy.forget()
    assert run_1.sync().code == 0
    assert proxy.seen(is_write) == []


def test_a_job_spec_says_it_by_itself(run_1, proxy, tmp_path):
    """An init entry and the outputs may name the same connection, prefix and path."""
    spec = {
        "init": [
            {
                "connection": "bucket",
                "artifacts": {"dirs": [["out", "."]]},
                "path": f"{run_1.path}/",
            }
        ],
        "outputs": {"connection": "bucket", "path": str(run_1.path), "to": "out"},
    }
    (tmp_path / "job.json").write_text(json.dumps(spec))
    assert run_1.program.run("init", "--spec", tmp_path / "job.json").code == 0
    (run_1.path / "new.txt").write_bytes(b"new")
    proxy.forget()

    finished = run_1.program.run(
        "sync", "--spec", tmp_path / "job.json", "--state", tmp_path / "state"
    )

    assert finished.code == 0
    assert len(proxy.seen(is_write)) == 1
    assert finished.event("sidecar.seeded")["files"] == len(RUN_1) + 1


class Counted:
    """A volume's files, told apart by inode and time: what was written again differs."""

    def __init__(self, outputs):
        root = outputs.place.root
        self.seen = {
            str(path.relative_to(root / "out")): (path.stat().st_ino, path.stat().st_ctime_ns)
            for path in (root / "out").rglob("*")
            if path.is_file()
        }


def test_on_a_volume_too(outputs):
    """A volume's ETags can't be computed from content: without init's word all would be sent again."""
    filled(outputs)
    before = Counted(outputs).seen
    assert init(outputs).code == 0
    changed = go_on(outputs)

    finished = outputs.sync()

    assert (finished.code, finished.report["files"]) == (0, 3)
    after = Counted(outputs).seen
    assert {name for name in after if after[name] != before.get(name)} == changed


def test_what_changed_in_the_bucket_meanwhile_is_sent(s3_outputs):
    """The journal's ETags are those of a listing: the outputs path is what the bucket is to be."""
    filled(s3_outputs)
    assert init(s3_outputs).code == 0
    s3_outputs.place.put("out/model.ckpt", b"another run's")
    s3_outputs.place.delete("out/empty.txt")

    finished = s3_outputs.sync()

    assert (finished.code, finished.report["files"]) == (0, 2)
    assert s3_outputs.place.get("out/model.ckpt") == RUN_1["model.ckpt"]


def test_what_was_brought_is_never_deleted(s3_outputs):
    """`mirror` deletes only keys that this journal uploaded."""
    filled(s3_outputs)
    assert init(s3_outputs).code == 0
    (s3_outputs.path / "model.ckpt").unlink()
    assert s3_outputs.sync("--deletes", "mirror").code == 0
    assert s3_outputs.sync("--deletes", "mirror").code == 0
    assert "model.ckpt" in s3_outputs.names()


def test_another_prefix_gets_everything(s3_outputs):
    """A journal belongs to one endpoint, bucket and prefix, and what init brought to its place."""
    filled(s3_outputs)
    assert init(s3_outputs).code == 0
    finished = s3_outputs.program.run(
        "sync", "--connection", "bucket", "--path", s3_outputs.path, "--to", "other"
    )
    assert (finished.code, finished.report["files"]) == (0, len(RUN_1) + 2)
    assert not [event for event in finished.events if event["event"] == "sidecar.seeded"]


def test_a_handover_that_cant_be_read_is_done_without(s3_outputs):
    """Then contents are compared, as with a journal that was lost."""
    filled(s3_outputs)
    assert init(s3_outputs).code == 0
    (s3_outputs.path / ".lighterman" / "brought.sqlite3").write_bytes(b"no database" * 1000)
    finished = s3_outputs.sync()
    assert (finished.code, finished.report["files"]) == (0, 0)
    assert finished.event("sidecar.handover_unreadable")


def test_outputs_that_were_not_sent_yet_stay(s3_outputs):
    """On a volume that outlives its pod, what main wrote is younger than what the bucket has."""
    filled(s3_outputs)
    assert init(s3_outputs).code == 0
    go_on(s3_outputs)  # and then the pod is killed, before anything was sent
    (s3_outputs.path / "empty.txt").unlink()

    again = init(s3_outputs)

    assert (again.code, again.report["files"]) == (0, 1)
    assert (s3_outputs.path / "model.ckpt").read_bytes() == RUN_1["model.ckpt"].upper()
    assert (s3_outputs.path / "logs/train.log").read_bytes().endswith(b"epoch 2\n")
    assert (s3_outputs.path / "empty.txt").read_bytes() == b""
    assert s3_outputs.sync().report["files"] == 3


def test_without_being_told_init_brings_what_the_bucket_has(s3_outputs):
    """A file that was edited comes again, where the destination isn't said to be an outputs path."""
    filled(s3_outputs)
    flags = ("--log-level", "debug")
    assert init(s3_outputs, *flags).code == 0
    go_on(s3_outputs)
    assert init(s3_outputs, *flags).code == 0
    assert (s3_outputs.path / "logs/train.log").read_bytes() == RUN_1["logs/train.log"]
    assert not (s3_outputs.path / ".lighterman" / "brought.sqlite3").exists()
