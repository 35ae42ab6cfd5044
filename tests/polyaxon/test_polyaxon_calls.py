"""What Polyaxon's calls mean, before anything is opened."""

import json
import os
import subprocess
import sys

import pytest

from initializer.entries import Pair
from lighterman.cli import _as_ours
from lighterman.connections.catalog import load_catalog
from lighterman.connections.model import Bucket, Connection, HostPath
from lighterman.errors import ConfigurationError, SourceMissingError, UsageError
from lighterman.polyaxon.context import run_of
from lighterman.polyaxon.initializer import below_root, entry_of
from lighterman.polyaxon.line import Line
from lighterman.polyaxon.pod import is_over

RUN = {
    "POLYAXON_RUN_INSTANCE": "acme.mnist.runs.8aac02e3a62a4f0aaa257c59da5eab80",
    "POLYAXON_ARTIFACTS_STORE_NAME": "store",
    "POLYAXON_K8S_POD_ID": "plx-operation-8aac02e3",
}


@pytest.mark.parametrize(
    ("argv", "expected"),
    [
        (["sidecar", "--container-id=polyaxon-main"], "polyaxon-sidecar"),
        (["sidecar", "--sleep-interval=1", "--container-id", "main"], "polyaxon-sidecar"),
        (["sidecar", "--path", "x"], "sidecar"),
        (["initializer", "path"], "initializer"),
        (["s3://bucket/model", "/mnt/models"], "init"),
        (["sync", "--container-id", "x"], "sync"),
        ([], None),
    ],
)
def test_a_call_of_others_is_known_by_its_form(argv, expected):
    """Polyaxon's sidecar by --container-id, KServe's by a URI in the command's place."""
    assert [*_as_ours(argv), None][0] == expected


@pytest.mark.parametrize(
    ("kind", "bucket", "path", "expected"),
    [
        ("s3", "s3://my-bucket/path1", "s3://my-bucket/path1/a/b.txt", "a/b.txt"),
        ("s3", "s3://my-bucket/path1", "s3://my-bucket/path1/", ""),
        ("s3", "s3://my-bucket", "s3://my-bucket/train", "train"),
        ("gcs", "gs://gb/p", "gs://gb/p/train", "train"),
        ("wasb", "wasbs://cont@acct.blob.core.windows.net/pre/fix", "cont/pre/fix/train", "train"),
        ("wasb", "wasbs://cont@acct.blob.core.windows.net", "cont/", ""),
    ],
)
def test_a_path_is_taken_below_the_connections_root(kind, bucket, path, expected):
    """As Polyaxon's compiler writes it: bucket and prefix first, for Azure without the account."""
    assert below_root(Connection(name="c", kind=kind, schema=Bucket(bucket)), path) == expected


def test_a_volumes_path_begins_with_its_mount():
    """`host_path` and `volume_claim`: mountPath and what is below it."""
    schema = HostPath(host_path="/d", mount_path="/mnt/d")
    connection = Connection(name="v", kind="host_path", schema=schema)
    assert below_root(connection, "/mnt/d/some/path") == "some/path"
    assert below_root(connection, "/mnt/d//") == ""


@pytest.mark.parametrize(
    "path", ["s3://other/path1/a", "s3://my-bucket/path12/a", "s3://my-bucket"]
)
def test_a_path_elsewhere_is_refused(path):
    """Another bucket, or a prefix that only begins alike."""
    connection = Connection(name="c", kind="s3", schema=Bucket("s3://my-bucket/path1"))
    with pytest.raises(ConfigurationError, match="isn't in connection 'c'"):
        below_root(connection, path)


ROOT = "/plx-context/artifacts"


@pytest.mark.parametrize(
    ("source", "path_to", "is_file", "expected"),
    [
        ("train", f"{ROOT}/s3/train", False, (f"{ROOT}/s3", [("train", "train")], [])),
        ("val", f"{ROOT}/s3/validation", False, (f"{ROOT}/s3", [("val", "validation")], [])),
        ("", f"{ROOT}/s3/", False, (f"{ROOT}/s3", [("", "")], [])),
        ("a/b.txt", f"{ROOT}/s3/a/b.txt", True, (f"{ROOT}/s3", [], [("a/b.txt", "a/b.txt")])),
        ("a/b.txt", f"{ROOT}/b.txt", True, (ROOT, [], [("a/b.txt", "b.txt")])),
        ("train", "/data/train", False, ("/data/train", [("train", "")], [])),
        ("x", "/data/y", True, ("/data", [], [("x", "y")])),
    ],
)
def test_a_call_is_an_entry(source, path_to, is_file, expected):
    """What goes below one directory of Polyaxon's volume shares that as its destination."""
    entry = entry_of("s3", source, path_to, is_file=is_file, is_resumed=False, root=ROOT)
    destination, dirs, files = expected
    assert entry.destination == destination
    assert entry.dirs == tuple(Pair(*pair) for pair in dirs)
    assert entry.files == tuple(Pair(*pair) for pair in files)
    assert not entry.optional


def test_a_resumed_run_hands_on_to_its_sidecar():
    """`--sync-fw` is what Polyaxon writes for a run's own artifacts: none are there at its first start."""
    entry = entry_of("s3", "run", f"{ROOT}/run", is_file=False, is_resumed=True, root=ROOT)
    assert (entry.is_outputs, entry.optional) == (True, True)


def test_a_root_is_no_file():
    """`--is-file` of the connection's root means nothing."""
    with pytest.raises(UsageError, match="connection's root"):
        entry_of("s3", "", f"{ROOT}/x", is_file=True, is_resumed=False, root=ROOT)


def test_the_run_is_told_by_the_environment():
    """Its uuid names its directory on the volume, and its prefix in the store."""
    run = run_of(RUN)
    assert run.uuid == "8aac02e3a62a4f0aaa257c59da5eab80"
    assert run.path == f"/plx-context/artifacts/{run.uuid}"
    assert run_of(RUN | {"POLYAXON_CONTEXT_ROOT": "/ctx"}).path == f"/ctx/artifacts/{run.uuid}"


@pytest.mark.parametrize("name", RUN)
def test_a_missing_variable_is_named(name):
    """78: which one, and what to do in a pod of one's own."""
    with pytest.raises(ConfigurationError) as caught:
        run_of({key: value for key, value in RUN.items() if key != name})
    assert caught.value.message == f"${name} isn't set"


@pytest.mark.parametrize("value", ["x", "a.b.runs.", "a.b.c.d.e", "a.b.runs.../x"])
def test_a_malformed_run_is_refused(value):
    """Nothing else may become a path."""
    with pytest.raises(ConfigurationError, match=r"\$POLYAXON_RUN_INSTANCE is no run"):
        run_of(RUN | {"POLYAXON_RUN_INSTANCE": value})


def pod(policy="Never", phase="Running", **state):
    statuses = [{"name": "main", "state": state}, {"name": "sidecar", "state": {"running": {}}}]
    return {
        "spec": {"restartPolicy": policy},
        "status": {"phase": phase, "containerStatuses": statuses},
    }


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        (pod(running={}), False),
        (pod(waiting={"reason": "ContainerCreating"}), False),
        (pod(terminated={"exitCode": 0}), True),
        (pod(terminated={"exitCode": 1}), True),
        (pod("OnFailure", terminated={"exitCode": 1}), False),
        (pod("OnFailure", terminated={"exitCode": 0}), True),
        (pod("Always", terminated={"exitCode": 0}), False),
        (pod("Always", phase="Failed", terminated={"exitCode": 1}), True),
        ({"status": {"phase": "Pending"}}, False),
        ({}, False),
    ],
)
def test_main_has_ended_when_it_isnt_started_again(asked, expected):
    """Its state is terminated and the pod's policy lets it be, or the pod itself is over."""
    assert is_over(asked, "main") is expected


@pytest.mark.parametrize(
    ("more", "read"),
    [
        ({"env": [["AWS_REGION", "eu-west-1"]]}, {"AWS_REGION": "eu-west-1"}),
        ({"env": {"AWS_REGION": "eu-west-1"}}, {"AWS_REGION": "eu-west-1"}),
        ({"secret": {"name": "s", "isRequested": True, "defaultMode": "0400"}}, {}),
    ],
)
def test_what_polyaxon_writes_into_its_catalog_is_read(more, read):
    """Pairs of variables, a mode as text, and who asked for a secret: as its connection schema has them."""
    entry = {"name": "c", "kind": "s3", "schema": {"bucket": "s3://b"}, **more}
    document = json.dumps({"connections": [entry]})
    found = load_catalog(None, {"POLYAXON_CONNECTIONS_CATALOG": document}).get("c")
    assert found.env == read
    if found.secret:
        assert found.secret.default_mode == 0o400


LINE = """
import sys
from lighterman.errors import LightermanError, SourceMissingError
from lighterman.polyaxon.line import Line
line = Line()
try:
    line.check()
    if sys.argv[2:] == ["fails"]:
        line.note(SourceMissingError("train isn't there", hint="bring it"))
except LightermanError as error:
    sys.exit(f"{int(error.exit_code)} {error.message}")
"""


def shell(tmp_path, line):
    """A shell with that line, and a directory of its own for temporary files."""
    (tmp_path / "polyaxon.py").write_text(LINE)
    calls = line.replace("polyaxon", f"{sys.executable} {tmp_path}/polyaxon.py")
    environ = {"PATH": os.environ["PATH"], "TMPDIR": str(tmp_path), "PYTHONPATH": os.getcwd()}
    return subprocess.run(
        ["/bin/sh", "-c", calls], env=environ, capture_output=True, text=True, check=False
    )


def test_a_line_ends_as_its_first_failed_call(tmp_path):
    """The shell goes on after it; the calls behind it don't, and the last one's code is the line's."""
    done = shell(
        tmp_path, "polyaxon initializer fails; polyaxon initializer; polyaxon initializer;"
    )
    assert done.stderr.count("66 not tried: an earlier call failed: train isn't there") == 2
    assert done.returncode == 1


def test_the_next_line_begins_anew(tmp_path):
    """A container that is started again has another shell."""
    assert shell(tmp_path, "polyaxon initializer fails; true;").returncode == 0
    assert shell(tmp_path, "polyaxon initializer; true;").stderr == ""


def test_a_persons_own_call_notes_nothing():
    """Only what a shell runs as such a line: here it is a test's."""
    line = Line()
    line.note(SourceMissingError("x"))
    line.check()
