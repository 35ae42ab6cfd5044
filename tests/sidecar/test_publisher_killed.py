"""
Killed with SIGKILL between any two steps of a group's publication or change: no manifest is left that lists
anything else than what the bucket has, and the next start brings all of it.
"""

import json
import subprocess
import sys
from pathlib import Path

import google_crc32c
import pytest
from sending import MIB, Outputs, noise

from lighterman import manifest
from lighterman.errors import SourceMissingError

PROGRAM = Path(__file__).with_name("kill_group.py")
REPOSITORY = Path(__file__).parents[2]
NAME = manifest.NAME


def run(plan: dict, kill_at: int | None) -> tuple[list[str], int]:
    """One process; gives the steps that it made, and how it ended."""
    done = subprocess.run(
        [sys.executable, str(PROGRAM), json.dumps({**plan, "kill_at": kill_at})],
        check=False,  # being killed is what it is for
        cwd=REPOSITORY,
        env={"PYTHONPATH": str(REPOSITORY)},
        capture_output=True,
        text=True,
    )
    assert done.returncode in {0, -9}, done.stderr
    return done.stdout.split(), done.returncode


@pytest.fixture
def outputs(request, tmp_path):
    """Outputs with nobody at their journal; what is in the bucket is looked at through the store itself."""
    store = request.getfixturevalue(f"{getattr(request, 'param', 'volume')}_store")
    outputs = Outputs(tmp_path, store)
    outputs.close()
    outputs.journal = None
    return outputs


@pytest.fixture
def plan(outputs, request, tmp_path):
    """Where the group goes."""
    plan = {"root": str(outputs.root), "group": "g", "gone": [], "prefix": outputs.prefix}
    if outputs.store.connection == "volume":
        return plan | {"volume": str(tmp_path / "bucket")}
    bucket = request.getfixturevalue("s3_bucket")
    connection = bucket.connection()
    return plan | {
        "kind": connection.kind,
        "bucket": connection.schema.bucket,
        "env": {k: v if isinstance(v, str) else v.reveal() for k, v in connection.env.items()},
        "endpoint": connection.options.endpoint,
    }


def told(outputs, prefix):
    """What the group's manifest in the bucket says; ``None`` without one."""
    outputs.prefix = prefix
    try:
        text = outputs.stored(f"g/{NAME}")
    except SourceMissingError:
        return None
    return {path: file.crc32c for path, file in manifest.parsed(text).files.items()}


def crc32c(content):
    return f"{google_crc32c.value(content):08x}"


def assert_it_does_not_lie(outputs, prefix, steps):
    for path, listed in (told(outputs, prefix) or {}).items():
        try:
            there = crc32c(outputs.stored(f"g/{path}"))
        except SourceMissingError:
            there = "nothing"
        assert listed == there, f"{path} after {steps[-1:]}"


def on_disk(outputs):
    return {path.name: crc32c(path.read_bytes()) for path in (outputs.root / "g").iterdir()}


def test_killed_while_a_group_is_published(outputs, plan, tmp_path):
    """At each step of the first publication, a large file's by parts among them."""
    outputs.write("g/a", b"one")
    outputs.write("g/large", noise(9 * MIB))
    kill_at, code = 0, -9
    while code != 0:
        kill_at += 1
        plan |= {"prefix": f"run-{kill_at}", "state": str(tmp_path / f"state-{kill_at}")}
        steps, code = run(plan, kill_at)
        assert_it_does_not_lie(outputs, plan["prefix"], steps)
        assert run(plan, None)[1] == 0
        assert told(outputs, plan["prefix"]) == on_disk(outputs)
    assert kill_at > 15
    assert steps[-1] == "verdict:published"
    writing = [step.partition(":")[0] for step in steps[-5:-1]]
    assert writing == ["manifest_intended", "before-write", "after-write", "manifest_written"]


@pytest.mark.parametrize("outputs", ["volume", "s3"], indirect=True)
def test_killed_while_a_published_group_changes(outputs, plan, tmp_path):
    """At each step: a file is rewritten, one is new, and one is deleted."""
    plan |= {"state": str(tmp_path / "state-0")}
    outputs.write("g/stays", b"stays")
    outputs.write("g/gone-0", b"gone")
    assert run(plan, None)[1] == 0
    kill_at, code = 0, -9
    while code != 0:
        kill_at += 1
        outputs.write("g/a", noise(1000, seed=kill_at))
        outputs.write(f"g/gone-{kill_at}", b"new")
        (outputs.root / "g" / f"gone-{kill_at - 1}").unlink()
        plan["gone"] = [f"g/gone-{kill_at - 1}"]
        steps, code = run(plan, kill_at)
        assert_it_does_not_lie(outputs, plan["prefix"], steps)
        assert run(plan, None)[1] == 0
        assert told(outputs, plan["prefix"]) == on_disk(outputs)
    assert kill_at > 15
    changes = [step for step in steps if step.startswith(("before-write", "before-delete"))]
    assert changes[:2] == [f"before-delete:run-1/g/{NAME}", "before-write:run-1/g/a"]


def test_a_lost_journal_knows_of_manifests_by_the_listing(outputs, plan, tmp_path):
    """Killed at each step of a start without one."""
    outputs.write("g/a", b"one")
    plan |= {"state": str(tmp_path / "state-0")}
    assert run(plan, None)[1] == 0
    kill_at, code = 0, -9
    while code != 0:
        kill_at += 1
        outputs.write("g/a", noise(1000, seed=kill_at))
        plan |= {"state": str(tmp_path / f"state-{kill_at}")}
        steps, code = run(plan, kill_at)
        assert_it_does_not_lie(outputs, plan["prefix"], steps)
        assert run(plan, None)[1] == 0
        assert told(outputs, plan["prefix"]) == on_disk(outputs)
    assert kill_at > 8
