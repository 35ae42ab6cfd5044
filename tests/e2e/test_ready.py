"""``ready`` as a startup probe: the journal and the watches, and never the store."""

import json
import subprocess
import sys

import pytest
from outputs_place import Outputs, eventually
from program import Program

from sidecar import ready_mark
from sidecar.journal import Journal

SLOW = ("boto3", "botocore", "google.cloud", "azure", "obstore", "sqlite3", "yaml", "structlog")


def ready(outputs, *more, **popen):
    return outputs.program.run("ready", "--path", outputs.path, *more, **popen)


def test_a_sidecar_is_ready_until_its_end(outputs):
    """75 before it is there, 0 while it watches, 75 after it; each with one line or none."""
    before = ready(outputs)
    assert (before.code, len(before.events)) == (75, 1)
    assert (
        before.events[0]["error"]
        == f"no sidecar has the journal in {outputs.path}/.lighterman open"
    )
    running = outputs.sidecar()
    during = ready(outputs)
    assert (during.code, during.stdout, during.stderr) == (0, "", "")
    running.signal(15)
    assert running.finish(seconds=40).code == 0
    assert ready(outputs).code == 75
    assert not (outputs.path / ".lighterman" / ready_mark.NAME).exists()


def test_it_never_asks_for_the_store(s3_bucket, program_over, tmp_path):
    """With a store that answers nobody the sidecar has not started, and is ready: main may begin."""
    program = program_over(s3_bucket._replace(endpoint="http://127.0.0.1:9"))
    away = Outputs(program, s3_bucket, tmp_path / "outputs")
    running = program.start("sidecar", *away.flags())
    eventually(lambda: ready(away).code == 0)
    assert running.count("sidecar.started") == 0
    running.kill()


def test_it_can_be_waited_for(outputs):
    """`--wait`: as soon as it is ready, and no longer than is said."""
    waiting = outputs.program.start("ready", "--path", outputs.path, "--wait", "60")
    running = outputs.sidecar()
    assert waiting.finish().code == 0
    running.kill()
    assert ready(outputs, "--wait", "0.2").code == 75


def test_a_killed_sidecar_is_not_ready_and_neither_is_its_successor_by_its_mark(outputs):
    """What it left is there, and isn't believed, whoever holds the journal now."""
    running = outputs.sidecar()
    running.kill()
    state = outputs.path / ".lighterman"
    assert (state / ready_mark.NAME).exists()
    assert ready(outputs).code == 75
    journal = Journal.open(str(state), "a successor that has only just begun")
    ended = ready(outputs)
    journal.close()
    assert (ended.code, ended.events[0]["error"]) == (
        75,
        f"the sidecar with the journal in {state} has not set its watches yet",
    )


def test_run_is_ready_as_a_sidecar_is(outputs):
    """Its command asks by itself, by the variables that it has from it."""
    environ = {"LIGHTERMAN_PATH": str(outputs.path)}
    asks = [sys.executable, "-m", "lighterman", "ready"]
    ended = outputs.run(command=asks, environ=environ)
    assert (ended.code, outputs.names()) == (0, [])


def test_sync_leaves_no_mark(outputs):
    """Nobody waits for it to watch."""
    assert outputs.sync().code == 0
    assert not (outputs.path / ".lighterman" / ready_mark.NAME).exists()


def test_all_outputs_of_a_spec_have_to_be_ready(volume, tmp_path):
    """One that another sidecar has, or none, is named."""
    place = {"hostPath": str(volume.root), "mountPath": str(volume.root)}
    catalog = [{"name": "volume", "kind": "host_path", "schema": place}]
    program = Program(tmp_path, {"LIGHTERMAN_CATALOG": json.dumps(catalog)})
    blocks = [
        {"connection": "volume", "path": str(tmp_path / name), "to": name} for name in ("a", "b")
    ]
    both, first = tmp_path / "both.json", tmp_path / "first.json"
    both.write_text(json.dumps({"outputs": blocks}))
    first.write_text(json.dumps({"outputs": blocks[:1]}))

    running = program.start("sidecar", "--spec", first)
    running.wait_for_event("sidecar.reconciled")
    assert program.run("ready", "--spec", first).code == 0
    ended = program.run("ready", "--spec", both)
    assert (ended.code, f"{tmp_path}/b/.lighterman" in ended.events[0]["error"]) == (75, True)
    running.kill()

    state = ("--state", tmp_path / "state")
    running = program.start("sidecar", "--spec", both, *state)
    running.wait_for_event("sidecar.reconciled", count=2)
    assert program.run("ready", "--spec", both, *state).code == 0
    assert program.run("ready", "--spec", both).code == 75
    running.kill()


def test_without_a_word_of_which_sidecar_it_is_a_usage_error(program):
    """64, with what would say it. (The first process of this machine is none of ours.)"""
    ended = program.run("ready")
    assert (ended.code, "--state" in ended.events[-1]["hint"]) == (64, True)


def test_the_containers_report_is_not_written_over(outputs, tmp_path):
    """Both have one termination log."""
    report = tmp_path / "report.json"
    report.write_text("the sidecar's")
    assert ready(outputs, environ={"LIGHTERMAN_REPORT": str(report)}).code == 75
    assert report.read_text() == "the sidecar's"


@pytest.mark.parametrize("flag", ["--path", "--state"])
def test_the_answer_of_a_ready_sidecar_waits_for_no_import(outputs, flag):
    """It is asked for every few seconds, on the sidecar's processor and memory."""
    running = outputs.sidecar("--state", outputs.path / ".lighterman")
    place = outputs.path if flag == "--path" else outputs.path / ".lighterman"
    script = (
        "import sys; there = set(sys.modules); "  # whoever measures coverage has some of them
        "from lighterman.cli import main; code = main(sys.argv[1:]); "
        f"print(code, [name for name in {SLOW} if name in {{*sys.modules}} - there])"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, "ready", flag, place],
        capture_output=True,
        text=True,
        check=True,
    )
    running.kill()
    assert done.stdout == "0 []\n"
