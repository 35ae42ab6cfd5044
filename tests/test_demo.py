"""The demo tells the truth about what it shows."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parent.parent


@pytest.mark.parametrize("kind", ["local", "s3"])
def test_the_demo_carries_both_ways(kind, tmp_path):
    """Init, a job that writes, and its outputs in the bucket, over directories and over a real S3 server."""
    done = subprocess.run(
        [sys.executable, REPOSITORY / "demo" / "demo.py", kind, tmp_path / "demo"],
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    pulled = json.loads((tmp_path / "demo" / "init-report.json").read_text())
    assert (pulled["status"], pulled["files"]) == ("done", 4)
    pushed = json.loads((tmp_path / "demo" / "run-report.json").read_text())
    assert pushed["status"] == "done"
    assert "All 6 files that the job wrote are there" in done.stdout
    assert "demo-secret" not in done.stdout
