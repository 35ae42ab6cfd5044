"""What the benchmark reads from elsewhere: profiles, the machine, its own arguments."""

import sys
from pathlib import Path

import fetch
import launch
import machine
import profiling
import pytest
import running
import workloads
from buckets import MANIFEST, MIB, add_bucket


def test_a_profile_adds_up_functions_whatever_their_line():
    """A function counts once in a stack, however deep it calls itself."""
    text = profiling.summary(
        ["main (a.py:1);walk (a.py:5);walk (a.py:5) 3", "main (a.py:2);read (b.py:9) 1"]
    )
    assert text.startswith("4 samples\n")
    itself, anywhere = text.split("on the stack")
    assert " 75.0%  walk (a.py)" in itself
    assert "100.0%  main (a.py)" in anywhere
    assert " 75.0%  walk (a.py)" in anywhere


def test_a_profile_without_python_frames_is_counted():
    """A thread of a library has none."""
    assert "100.0%  (no frame of Python)" in profiling.summary([" 5"])


def test_a_profile_without_samples_is_empty():
    """A program may end before its first sample."""
    assert profiling.summary([]).startswith("0 samples\n")


@pytest.mark.parametrize(
    ("said", "count"),
    [
        ('{"event": "init.planned"}\n{"event": "init.done", "unverified_files": 3}\n', 3),
        ("nothing of the kind", None),
    ],
)
def test_what_lighterman_could_not_verify_is_in_its_last_line(said, count):
    """A row in which verification was off by mistake is seen."""
    assert count == running.unverified_files(said)


MOUNTS = """\
22 1 254:0 / / rw,relatime - ext4 /dev/vda rw
23 22 0:20 / /dev rw - devtmpfs devtmpfs rw
24 23 0:21 / /dev/shm rw - tmpfs tmpfs rw
25 22 0:22 / /with\\040space rw shared:1 - xfs /dev/vdb rw
26 22 0:23 / /with\\040space rw shared:1 - btrfs /dev/vdc rw
"""


@pytest.mark.parametrize(
    ("path", "system"),
    [
        ("/", "ext4"),
        ("/dev/shm/a/b", "tmpfs"),
        ("/dev/shmup", "devtmpfs"),
        ("/with space/x", "btrfs"),
    ],
)
def test_a_paths_file_system_is_that_of_its_nearest_mount(path, system):
    """By whole names; of two mounts over one point the later one."""
    assert system == machine.file_system(MOUNTS, Path(path))


def test_rows_are_named_and_kept_in_order():
    """Rows that share a bucket follow each other, so that it is made once."""
    given = fetch._options().parse_args(["--rows", "small-late,tiny,small"])
    assert ["small", "small-late", "tiny"] == given.rows
    assert {"small": ["small", "small-late"], "tiny": ["tiny"]} == fetch._by_bucket(given.rows)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--rows", "smal"], "'smal' is none of small, small-late"),
        (["--rounds", "0"], "'0' is no number from 1 on"),
        (["--lighterman", "/nowhere"], "'/nowhere' is no checkout of Lighterman"),
    ],
)
def test_a_wrong_argument_is_refused_by_name(arguments, message, capsys):
    """Before anything is made or started."""
    with pytest.raises(SystemExit):
        fetch._options().parse_args(arguments)
    assert message in capsys.readouterr().err


def test_every_row_has_a_bucket_of_its_size():
    """The sizes are those of the row's title."""
    totals = {
        name: (len(found), sum(found.values()))
        for name in ("tiny", "large", "mixed")
        for found in [workloads.sizes(name)]
    }
    assert (20_000, 20_000 * 1024) == totals["tiny"]
    assert (1, 2048 * MIB) == totals["large"]
    assert 2008 == totals["mixed"][0]
    small = workloads.sizes("small").values()
    assert (10_000, True) == (len(small), 1000 <= min(small) and max(small) <= 50_000)


def test_a_bucket_with_a_large_object_has_a_manifest(tmp_path):
    """Its ETag verifies nothing, as after an upload by parts; a bucket of small ones needs none."""
    add_bucket(tmp_path, "small", {"a/b": 10, "empty": 0})
    add_bucket(tmp_path, "large", {"a": 10, "b": 17 * MIB})
    assert not (tmp_path / "objects" / "small" / MANIFEST).exists()
    assert (tmp_path / "objects" / "large" / MANIFEST).exists()
    etags = dict(
        reversed(line.split(" ")[::2])
        for line in (tmp_path / "index" / "large").read_text().splitlines()
    )
    assert etags["b"].endswith("-3")
    assert "-" not in etags["a"]
    assert etags["b"] in (tmp_path / "listings" / "large" / "0.xml").read_text()


def test_a_launched_program_tells_its_code_and_its_cost(tmp_path, monkeypatch, capsys):
    """Its output is in the file, of both streams."""
    script = "import os, sys; os.write(2, b'said'); sys.exit(3)"
    output = tmp_path / "output"
    monkeypatch.setattr(sys, "argv", ["launch.py", str(output), sys.executable, "-c", script])
    launch.main()
    code, wall, cpu, peak_kib = capsys.readouterr().out.split()
    assert ("3", b"said") == (code, output.read_bytes())
    assert 0 < float(cpu)
    assert 0 < float(wall)
    assert 1024 < int(peak_kib)
