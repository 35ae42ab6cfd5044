"""Both ways at once: a tree goes up by the sidecar and comes back by init, byte for byte."""

import os
import signal

import pytest
import trees

MIB = 1024 * 1024
MOST_RSS_BYTES = 150 * MIB


PLACES = {
    "volume": "volume",
    "moto": "s3_bucket",
    "gcs": "gcs_bucket",
    "azurite": "azure_container",
    "rgw": "rgw_bucket",
}


@pytest.fixture(
    params=["volume", "moto", "gcs", "azurite", pytest.param("rgw", marks=pytest.mark.ceph)]
)
def place(request):
    """A place of each kind."""
    return request.getfixturevalue(PLACES[request.param])


@pytest.fixture
def over(place, program_over):
    """The program over it."""
    return program_over(place)


def up(program, path, **environ):
    """What is in ``path`` goes up by a sidecar that is told to end once it watches."""
    sidecar = program.start(
        "sidecar",
        *("--connection", "bucket", "--path", path, "--to", "out", "--native", "--grace", "600"),
        environ=environ,
    )
    sidecar.wait_for_event("sidecar.started")
    sidecar.signal(signal.SIGTERM)
    return sidecar.finish(seconds=300)


def down(program, destination, **environ):
    return program.start(
        "init",
        *("--connection", "bucket", "--dir", "out:.", "--to", destination),
        environ=environ,
    ).finish(seconds=300)


def without_tracing():
    """Coverage's own memory isn't the program's."""
    return {name: "" for name in os.environ if name.startswith("COVERAGE")}


def test_three_thousand_odd_files_come_back_as_they_were(over, odd_tree, tmp_path):
    """Paths, bytes, modes and mtimes are kept, in under 150 MiB of memory each way."""
    went_up = up(over, odd_tree, **without_tracing())
    assert (went_up.code, went_up.report["files"]) == (0, 3000)
    came_down = down(over, tmp_path / "back", **without_tracing())
    assert (came_down.code, came_down.report["files"]) == (0, 3000)
    assert trees.differences(odd_tree, tmp_path / "back") == []
    assert went_up.peak_rss_bytes < MOST_RSS_BYTES
    assert came_down.peak_rss_bytes < MOST_RSS_BYTES


def test_a_file_of_700_mib_comes_back_as_it_was(over, tmp_path):
    """Large files go by parts and come by ranges, in under 150 MiB of memory each way."""
    (tmp_path / "tree").mkdir()
    trees.make_large(tmp_path / "tree" / "model.safetensors", 700 * MIB)
    went_up = up(over, tmp_path / "tree", **without_tracing())
    assert (went_up.code, went_up.report["bytes"]) == (0, 700 * MIB)
    came_down = down(over, tmp_path / "back", **without_tracing())
    assert (came_down.code, came_down.report["bytes"]) == (0, 700 * MIB)
    assert trees.differences(tmp_path / "tree", tmp_path / "back") == []
    assert went_up.peak_rss_bytes < MOST_RSS_BYTES
    assert came_down.peak_rss_bytes < MOST_RSS_BYTES
