"""Several outputs in one process: one for each block of the spec, one end for all."""

import json
import os
import signal
import sys
import time

import pytest
from outputs_place import Volume, eventually
from program import Program
from servers.faults import is_put, slow_down

SETTLE = ("--settle", "0.2")


class Outputs:
    """Three outputs: two of one connection, one of another."""

    def __init__(self, directory):
        self.directory = directory
        self.places = [Volume(directory / "place-0"), Volume(directory / "place-1")]
        for place in self.places:
            place.root.mkdir()
        catalog = directory / "catalog.json"
        catalog.write_text(
            json.dumps(
                [
                    {
                        "name": f"volume-{number}",
                        "kind": "host_path",
                        "schema": {"hostPath": str(place.root), "mountPath": str(place.root)},
                    }
                    for number, place in enumerate(self.places)
                ]
            )
        )
        self.program = Program(directory, {"LIGHTERMAN_CATALOG": str(catalog)})
        self.blocks = [
            {"connection": "volume-0", "path": str(directory / "models"), "to": "models"},
            {"connection": "volume-0", "path": str(directory / "logs"), "to": "logs"},
            {"connection": "volume-1", "path": str(directory / "logs-too"), "to": "logs"},
        ]

    def write(self, name, text="x"):
        path = self.directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def spec(self, blocks=None):
        path = self.directory / "job.json"
        path.write_text(json.dumps({"run": {"outputs": blocks or self.blocks}}))
        return "--spec", path

    def start(self, *more):
        running = self.program.start("sidecar", *self.spec(), *SETTLE, *more)
        running.wait_for_event("sidecar.reconciled", count=3)
        return running

    def there(self):
        return [place.keys() for place in self.places]


@pytest.fixture
def several(tmp_path):
    return Outputs(tmp_path)


FILES = ("models/a", "logs/b", "logs-too/c")
THERE = [["logs/b", "models/a"], ["logs/c"]]


def test_each_output_goes_to_its_place_while_main_works(several):
    """One process, each with its own watch, journal and prefix."""
    running = several.start("--native")
    for name in FILES:
        several.write(name)
    eventually(lambda: several.there() == THERE)
    several.write("logs/last", "to be drained")
    running.signal(signal.SIGTERM)
    ended = running.finish()
    assert (ended.code, ended.report["files"]) == (0, 4)
    assert several.places[0].get("logs/last") == b"to be drained"
    for name in ("models", "logs", "logs-too"):
        assert (several.directory / name / ".lighterman" / "journal.db").exists()


def test_a_journal_of_each_goes_on_where_it_was(several):
    """``--state DIR`` has a directory for each."""
    for name in FILES:
        several.write(name)
    state = ("--state", several.directory / "state")
    assert several.program.run("sync", *several.spec(), *state).report["files"] == 3
    again = several.program.run("sync", *several.spec(), *state)
    assert (again.code, again.report["files"], again.report["skipped"]) == (0, 0, 3)
    assert len(list((several.directory / "state").iterdir())) == 3
    assert not (several.directory / "models" / ".lighterman").exists()


def test_a_wrapped_command_is_started_once_and_its_end_is_the_end_of_all(several):
    """``run``: when each bucket is known to be there."""
    script = (
        "import pathlib, sys; [pathlib.Path(name).open('a').write('x') for name in sys.argv[1:]]"
    )
    command = (sys.executable, "-c", script, *FILES)
    ended = several.program.run("run", *several.spec(), *SETTLE, "--", *command)
    assert (ended.code, several.there()) == (0, THERE)
    assert several.places[0].get("models/a") == b"x"
    failing = (sys.executable, "-c", "raise SystemExit(3)")
    assert several.program.run("run", *several.spec(), *SETTLE, "--", *failing).code == 3


def test_the_done_file_is_the_end_of_all(several):
    """One end for all."""
    running = several.start("--done-file", several.directory / "done")
    several.write("models/a")
    several.write("done")
    assert (running.finish().code, several.places[0].keys()) == (0, ["models/a"])


def test_the_failure_of_one_at_the_end_does_not_keep_the_others(several):
    """Exit code and report are of all; the log says which path it was."""
    running = several.start("--native", "--settle", "60")
    for name in FILES:
        several.write(name)
    several.places[1].root.rename(several.directory / "away")
    several.places[1].root.write_text("no directory")
    running.signal(signal.SIGTERM)
    ended = running.finish()
    assert (ended.code, ended.report["files"]) == (73, 2)
    assert several.places[0].keys() == THERE[0]
    said = ended.event("sidecar.output_failed")
    assert said["path"] == os.path.realpath(several.directory / "logs-too")
    assert ended.report["failed"]["count"] >= 1


def test_all_of_them_stop_at_the_deadline(several, s3_bucket, proxy_to):
    """At the end of the grace it stops by itself, with 75, and names what is missing of each."""
    proxy = proxy_to(s3_bucket.endpoint)
    catalog = several.directory / "catalog.json"
    connections = json.loads(catalog.read_text())
    uri = f"s3://{s3_bucket.name}"
    connections[1] = {
        "name": "volume-1",
        "kind": "s3",
        "schema": {"bucket": uri},
        "env": {
            "AWS_ACCESS_KEY_ID": s3_bucket.access_key_id,
            "AWS_SECRET_ACCESS_KEY": s3_bucket.secret_access_key,
        },
        "options": {"endpoint": proxy.url, "region": s3_bucket.region},
    }
    catalog.write_text(json.dumps(connections))
    running = several.start("--native", "--settle", "60", "--grace", "4")
    for name in FILES:
        several.write(name)
    proxy.on(is_put, slow_down(), times=None)
    running.signal(signal.SIGTERM)
    ended = running.finish()
    assert ended.code == 75
    assert several.places[0].keys() == THERE[0]
    assert "logs/c" in {failed["key"] for failed in ended.report["failed"]["first"]}


@pytest.mark.parametrize(
    ("changes", "names"),
    [
        ({"path": "models"}, "models"),
        ({"path": "models/below"}, "models/below"),
        ({"path": "link"}, "models"),
        ({"to": "models"}, "models"),
        ({"to": "models/below"}, "models/below"),
        ({"to": ""}, "all"),
    ],
    ids=[
        "the same path",
        "a path below another",
        "the same path by a link",
        "the same prefix",
        "a prefix below another",
        "all of the connection",
    ],
)
def test_outputs_that_overlap_are_refused_by_name(several, changes, names):
    """Each file belongs to one output, each key to one journal (78); nothing is made before that."""
    (several.directory / "link").symlink_to(several.directory / "models")
    if "path" in changes:
        changes = {"path": str(several.directory / changes["path"])}
    blocks = [several.blocks[0], several.blocks[1] | changes]
    ended = several.program.run("sync", *several.spec(blocks))
    assert (ended.code, ended.report["error"]["code"]) == (78, 78)
    assert names in ended.report["error"]["message"]
    assert "two outputs" in ended.report["error"]["message"]


def test_flags_that_would_choose_among_several_outputs_are_refused(several):
    """``--path`` beside a spec with several outputs says nothing (64)."""
    for flag in ("--connection", "--path", "--to"):
        ended = several.program.run("sync", *several.spec(), flag, "x")
        assert (ended.code, flag in ended.report["error"]["message"]) == (64, True)


def test_journals_of_several_outputs_in_one_of_them_are_refused(several):
    """The others' journals would be synced as outputs."""
    state = ("--state", several.directory / "models" / "state")
    ended = several.program.run("sync", *several.spec(), *state)
    assert (ended.code, "--state" in ended.report["error"]["message"]) == (64, True)


@pytest.mark.parametrize("where", ["the spec", "one path", "the spec and a state"])
def test_a_stop_that_is_marked_for_any_output_counts_for_all(several, tmp_path, where):
    """A hook is given the sidecar's own spec, or the path of any of its outputs."""
    state = ("--state", tmp_path / "state") if where == "the spec and a state" else ()
    running = several.start("--native", "--grace", "30", *state)
    place = ("--path", several.blocks[2]["path"]) if where == "one path" else several.spec()
    assert several.program.run("mark-stop", *place, *state).code == 0
    marked = time.monotonic()
    eventually(lambda: time.monotonic() - marked > 1.0)  # main takes its time
    running.signal(signal.SIGTERM)
    ended = running.finish()
    assert ended.code == 0
    assert ended.event("sidecar.stopping")["left_seconds"] <= 29.0
