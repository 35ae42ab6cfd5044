"""
Killed with SIGKILL at each transition of the journal, and started again: nothing is lost, no object is
torn, and no part that arrived is sent again.
"""

import json
import subprocess
import sys
from pathlib import Path

import places
import pytest
from sending import MIB, Outputs, noise
from servers.faults import is_part

PROGRAM = Path(__file__).with_name("kill_at.py")
REPOSITORY = Path(__file__).parents[2]
FILES = {"small": noise(1000), "large": noise(20 * MIB), "z/last": b"last"}
PARTS = 3
BUCKETS = {
    "volume": None,
    "s3": "s3_bucket",
    "gcs": "gcs_bucket",
    "azure": "azure_container",
    "rgw": "rgw_bucket",
}
TRANSITIONS = ["rebase", "mark_synced", "intend", "begun", *["part_sent"] * PARTS, "finished"]
"""Of a first run; ``mark_synced`` of the last file follows."""


def run(plan: dict, kill_at: int | None) -> tuple[list[str], int]:
    """One process; gives the transitions that it made, and how it ended."""
    command = [sys.executable, str(PROGRAM), json.dumps({**plan, "kill_at": kill_at})]
    done = subprocess.run(
        command,
        check=False,  # being killed is what it is for
        cwd=REPOSITORY,
        env={"PYTHONPATH": str(REPOSITORY)},
        capture_output=True,
        text=True,
    )
    assert done.returncode in {0, -9}, done.stderr
    return done.stdout.split(), done.returncode


@pytest.fixture
def outputs_to_kill(outputs):
    """Outputs that are written, with nobody at their journal."""
    for path, content in FILES.items():
        outputs.write(path, content)
    outputs.close()
    outputs.journal = None
    (Path(outputs.state) / "journal.db").unlink()
    return outputs


@pytest.fixture
def bucket(request):
    """The bucket that the outputs go to; ``None`` for a volume."""
    name = BUCKETS[request.node.callspec.params["store"]]
    return name and request.getfixturevalue(name)


@pytest.fixture
def proxy(bucket, proxy_to):
    """Counts what goes to the bucket; ``None`` for a volume."""
    return bucket and proxy_to("/".join(bucket.endpoint.split("/")[:3]))


def plan_of(outputs: Outputs, bucket, proxy, part_threads: int = 1) -> dict:
    plan = {
        "root": str(outputs.root),
        "state": outputs.state,
        "prefix": outputs.prefix,
        "paths": list(FILES),
        "part_threads": part_threads,
    }
    if bucket is None:
        return plan | {"volume": str(outputs.root.parent / "bucket")}
    connection = places.through(bucket, proxy.url).connection()
    return plan | {
        "kind": connection.kind,
        "bucket": connection.schema.bucket,
        "env": {k: v if isinstance(v, str) else v.reveal() for k, v in connection.env.items()},
        "endpoint": connection.options.endpoint,
    }


def assert_complete(outputs: Outputs) -> None:
    assert {path: outputs.stored(path) for path in FILES} == FILES
    assert sorted(outputs.listed_keys()) == sorted(outputs.key(path) for path in FILES)
    assert outputs.open_uploads() == []


@pytest.mark.parametrize("kill_at", range(1, len(TRANSITIONS) + 2))
def test_killed_after_a_transition(outputs_to_kill, bucket, proxy, kill_at):
    """Killed at any moment and started with the same journal, it goes on."""
    plan = plan_of(outputs_to_kill, bucket, proxy)
    made, code = run(plan, kill_at)
    assert (code, made) == (-9, [*TRANSITIONS, "mark_synced"][:kill_at])

    made_then, code = run(plan, None)

    assert code == 0
    assert_complete(outputs_to_kill)
    # A session that takes parts in order tells only whole ones: a smaller last one is noted again, not sent.
    is_noted_again = outputs_to_kill.store.limits.in_order and made[-1] == "part_sent"
    is_noted_again = is_noted_again and made.count("part_sent") == PARTS
    assert (made + made_then).count("part_sent") == PARTS + is_noted_again
    assert (made + made_then).count("finished") == 1
    if proxy is not None:
        assert sum(part.body_bytes for part in proxy.seen(is_part)) == len(FILES["large"])


@pytest.mark.parametrize("part_threads", [1, 4])
def test_killed_again_and_again(outputs_to_kill, bucket, proxy, part_threads):
    """Each start makes two steps and dies: the steps add up, and the end is reached."""
    plan = plan_of(outputs_to_kill, bucket, proxy, part_threads)
    steps: list[str] = []
    code = -9
    while code != 0 and len(steps) < 3 * len(TRANSITIONS):
        made, code = run(plan, 2)
        steps += made

    assert code == 0
    assert_complete(outputs_to_kill)
    assert steps.count("finished") == 1
