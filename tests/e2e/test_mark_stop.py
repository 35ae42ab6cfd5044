"""``mark-stop`` as a preStop hook, and the native sidecar that is told long after it."""

import signal
import subprocess
import sys
import time

import pytest
from outputs_place import Outputs, eventually
from servers.faults import Stall, is_put

SDKS = ("boto3", "botocore", "google.cloud", "azure", "obstore", "sqlite3", "yaml", "tenacity")


@pytest.fixture
def stuck(s3_bucket, program_over, proxy_to, tmp_path):
    """Outputs that never reach their bucket."""
    proxy = proxy_to(s3_bucket.endpoint)
    proxy.on(is_put, Stall(), times=None)
    program = program_over(s3_bucket._replace(endpoint=proxy.url))
    return Outputs(program, s3_bucket, tmp_path / "outputs")


@pytest.mark.parametrize("where", ["beside", "inside"])
def test_a_native_sidecar_counts_its_grace_from_the_mark(stuck, tmp_path, where):
    """Told when main had used up half of the grace, it stops by itself before the kill: 75, and a report."""
    place = {
        "beside": ("--state", tmp_path / "state"),
        "inside": ("--path", stuck.path),
    }[where]
    running = stuck.sidecar("--native", "--grace", "5", *place)
    stuck.write("a")
    assert stuck.program.run("mark-stop", *place).code == 0
    marked = time.monotonic()
    eventually(lambda: time.monotonic() - marked > 2.5)  # main writes its checkpoint
    running.signal(signal.SIGTERM)
    ended = running.finish(seconds=20)
    assert ended.event("sidecar.stopping")["left_seconds"] <= 2.5
    assert (ended.code, ended.report["failed"]["first"][0]["key"]) == (75, "out/a")


def test_a_mark_of_a_former_run_is_stale(outputs, tmp_path):
    """A volume may keep it: the grace of the next run is whole."""
    state = tmp_path / "state"
    state.mkdir()
    assert outputs.program.run("mark-stop", "--state", state).code == 0
    running = outputs.sidecar("--native", "--grace", "30", "--state", state)
    running.signal(signal.SIGTERM)
    ended = running.finish(seconds=20)
    assert (ended.code, ended.event("sidecar.stopping")["left_seconds"]) == (0, 30.0)


def test_it_takes_the_variables_of_the_sidecars_container(outputs):
    """A hook sees the container's environment: it needs no arguments there."""
    environ = {"LIGHTERMAN_PATH": str(outputs.path)}
    running = outputs.sidecar("--native")
    ended = outputs.program.run("mark-stop", environ=environ)
    assert (ended.code, ended.event("mark_stop.noted")["sidecar_runs"]) == (0, True)
    running.signal(signal.SIGTERM)
    assert running.finish().code == 0
    ended = outputs.program.run("mark-stop", environ=environ)
    assert (ended.code, ended.event("mark_stop.noted")["sidecar_runs"]) == (0, False)


def test_it_takes_the_paths_of_a_job_spec(outputs, tmp_path):
    """``--spec``: each outputs block's."""
    spec = tmp_path / "job.yaml"
    spec.write_text(f"outputs: {{connection: bucket, path: {outputs.path}}}")
    assert outputs.program.run("mark-stop", "--spec", spec).code == 0
    assert (outputs.path / ".lighterman" / "stop").exists()


def test_without_a_sidecar_it_succeeds_with_a_word(program):
    """A hook that fails helps nobody, and nothing is made."""
    ended = program.run("mark-stop", "--path", "nothing-here")
    assert (ended.code, ended.events[-1]["event"]) == (0, "mark_stop.no_sidecar")
    assert not (program.directory / "nothing-here").exists()


def test_without_a_place_it_is_a_usage_error(program):
    """64, with the flags that say it."""
    ended = program.run("mark-stop")
    assert (ended.code, "--state" in ended.events[-1]["hint"]) == (64, True)


def test_a_mark_that_cannot_be_left_is_said(outputs):
    """73: the sidecar would believe in the whole grace."""
    (outputs.path / ".lighterman").write_text("in the way")
    ended = outputs.program.run("mark-stop", "--path", outputs.path)
    assert (ended.code, "can't note the stop" in ended.events[-1]["error"]) == (73, True)


def test_the_sidecars_report_is_not_written_over(outputs, tmp_path):
    """Both have one environment, and one termination log; its own it has where ``--report`` says so."""
    report = tmp_path / "report.json"
    report.write_text("the sidecar's")
    environ = {"LIGHTERMAN_REPORT": str(report)}
    assert outputs.program.run("mark-stop", "--path", outputs.path, environ=environ).code == 0
    assert outputs.program.run("mark-stop", environ=environ).code == 64
    assert report.read_text() == "the sidecar's"
    own = tmp_path / "own.json"
    outputs.program.run("mark-stop", "--path", outputs.path, "--report", own, environ=environ)
    assert '"command":"mark-stop"' in own.read_text()


def test_it_imports_no_sdk(outputs):
    """A hook's time is the grace's."""
    script = "import sys; there = set(sys.modules); "  # whoever measures coverage has some of them
    script += "from lighterman.cli import main; code = main(sys.argv[1:]); "
    script += (
        f"print([name for name in {SDKS} if name in {{*sys.modules}} - there]); sys.exit(code)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, "mark-stop", "--path", outputs.path],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "[]\n"
