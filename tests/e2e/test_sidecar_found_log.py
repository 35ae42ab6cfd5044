"""A log that nobody takes any more: the work goes on, and its end is told by code and report."""

import json
import os
import subprocess
import sys

import pytest
from program import REPOSITORY


def _run(outputs, command, stderr, tmp_path, wrapper=()):
    report = tmp_path / "report.json"
    arguments = [*command, *outputs.flags("--report", report)]
    cmd = ["--", "sh", "-c", f"echo x > {outputs.path}/result"] if command == ["run"] else []
    process = subprocess.run(
        [*wrapper, sys.executable, "-m", "lighterman", *map(str, arguments), *cmd],
        env={
            "PATH": os.environ["PATH"],
            "PYTHONPATH": str(REPOSITORY),
            **outputs.program.environ,
            **{name: value for name, value in os.environ.items() if name.startswith("COVERAGE")},
        },
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=stderr,
        timeout=60,
        check=False,
    )
    return process.returncode, json.loads(report.read_text())["status"]


@pytest.mark.parametrize("command", ["run", "sync"])
def test_a_log_whose_reader_went_away_costs_no_output(outputs, tmp_path, command):
    """``lighterman … 2>&1 | head`` still brings everything into the bucket, and ends with 0."""
    outputs.write("result")
    reader, writer = os.pipe()
    os.close(reader)
    try:
        end = _run(outputs, [command], writer, tmp_path)
    finally:
        os.close(writer)
    assert end == (0, "done")
    assert outputs.names() == ["result"]


def test_a_log_on_a_full_disk_costs_no_output(outputs, tmp_path):
    """The same where the log's own disk is full."""
    outputs.write("result")
    with open("/dev/full", "wb") as full:
        assert _run(outputs, ["sync"], full, tmp_path) == (0, "done")
    assert outputs.names() == ["result"]


@pytest.mark.parametrize("command", ["run", "sync"])
def test_without_stderr_the_work_is_done(outputs, tmp_path, command):
    """A process that is started with its streams closed works all the same."""
    outputs.write("result")
    closing = ["sh", "-c", 'exec "$@" <&- >&- 2>&-', "sh"]
    assert _run(outputs, [command], None, tmp_path, closing) == (0, "done")
    assert outputs.names() == ["result"]
