"""Listing and planning in constant memory, whatever the number of keys."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parent.parent.parent
MIB_FOR_ANY_NUMBER = 90
"""The interpreter takes 25, keys that came before their turn 12, a plan in memory 8."""
MIB_OF_GROWTH = 16
"""Half a kilobyte for each of 80,000 keys would be 40."""


def planned(tmp_path, keys, way):
    """What the benchmark tells of one plan, made in a process of its own."""
    directory = tmp_path / f"{way}-{keys}"
    directory.mkdir()
    program = REPOSITORY / "benchmarks" / "plan_scale.py"
    finished = subprocess.run(
        [sys.executable, program, "--child", directory, "--keys", str(keys), "--ways", way],
        check=True,
        capture_output=True,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
    )
    return json.loads(finished.stdout)


@pytest.mark.parametrize(
    ("way", "few_keys", "many_keys"),
    [
        ("new", 50_000, 300_000),
        ("unsorted", 20_000, 100_000),
        ("shard", 20_000, 100_000),
        ("kept", 20_000, 100_000),
    ],
)
def test_a_plan_takes_the_same_memory_for_any_number_of_keys(tmp_path, way, few_keys, many_keys):
    """New, of a store that doesn't sort, of one shard, and of a second run; nothing is left on disk."""
    few, many = planned(tmp_path, few_keys, way), planned(tmp_path, many_keys, way)
    assert many["peak_mib"] < MIB_FOR_ANY_NUMBER
    assert many["peak_mib"] - few["peak_mib"] < MIB_OF_GROWTH
    assert few["left_on_disk"] == many["left_on_disk"] == []
    files = {"shard": many_keys // 8, "kept": 0}.get(way, many_keys)
    assert abs(many["files"] - files) < 2
    assert many["kept"] == (many_keys if way == "kept" else 0)
    assert many["plan_disk_bytes_per_key"] < 60
