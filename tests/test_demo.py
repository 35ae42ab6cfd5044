"""The demo tells the truth about what it shows."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

DEMO = Path(__file__).parent.parent / "demo" / "demo.py"


@pytest.mark.parametrize("kind", ["local", "s3"])
def test_the_demo_carries_both_ways(kind, tmp_path):
    """Init, a job that writes, and its outputs in the bucket, over directories and over a real S3 server."""
    done = subprocess.run(
        [sys.executable, DEMO, kind, tmp_path / "demo"],
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
    assert (pushed["status"], pushed["files"]) == ("done", 6)
    assert "runs/demo/checkpoints/epoch-4.json" in done.stdout
    assert "demo-secret" not in done.stdout
