"""A sidecar lives for weeks: what it opens for a file is closed with that file."""

import contextlib
import os
import signal

import pytest
from outputs_place import Outputs, eventually

MIB = 1024 * 1024
FRESH = {"s3": "s3_bucket", "gcs": "gcs_bucket", "wasb": "azure_container"}


@pytest.fixture(params=FRESH)
def outputs(request, program_over, tmp_path):
    """An outputs path that goes to each cloud."""
    place = request.getfixturevalue(FRESH[request.param])
    return Outputs(program_over(place), place, tmp_path / "outputs")


def open_files(pid):
    """What the process has open, by name; sockets, which a pool keeps, are left out."""
    names = []
    for descriptor in os.listdir(f"/proc/{pid}/fd"):
        with contextlib.suppress(FileNotFoundError):  # closed meanwhile
            names.append(os.readlink(f"/proc/{pid}/fd/{descriptor}"))
    return sorted(name for name in names if not name.startswith("socket:"))


def test_uploads_by_parts_leave_no_file_open(outputs):
    """The same files are open after the sixth large upload as after the second."""
    running = outputs.sidecar("--native", "--settle", "0.05")
    seen = []
    for size in range(17, 23):
        (outputs.path / "checkpoint").write_bytes(bytes(size * MIB))
        eventually(
            lambda: outputs.place.contents("out/").get("out/checkpoint") == size * MIB,  # noqa: B023  # called before the next
        )
        running.wait_for_event("sidecar.file_synced", count=size - 16)
        seen.append(open_files(running.pid))
    running.signal(signal.SIGTERM)

    assert 0 == running.finish().code
    assert seen[1] == seen[-1]
