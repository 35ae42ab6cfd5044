"""What ``lighterman ready`` believes: the mark of a living sidecar, and a container's first command line."""

import os
import subprocess
import sys

import pytest

from lighterman.cli import COMMANDS
from lighterman.errors import CannotWriteError, UsageError
from sidecar import ready_mark, where
from sidecar.first_process import Started, started, states_of
from sidecar.journal import Journal

LEAVES = "import sys; from sidecar import ready_mark; ready_mark.leave(sys.argv[1])"


def test_a_mark_counts_while_its_process_lives(tmp_path):
    """Left, it is believed; withdrawn, nothing is there."""
    state = str(tmp_path)
    assert not ready_mark.is_left(state)
    ready_mark.leave(state)
    assert ready_mark.is_left(state)
    assert os.listdir(state) == [ready_mark.NAME]
    ready_mark.withdraw(state)
    assert not ready_mark.is_left(state)
    assert os.listdir(state) == []


def test_a_mark_of_a_process_that_is_gone_counts_for_nothing(tmp_path):
    """A killed sidecar takes nothing away; what it left isn't believed, and not withdrawn by another."""
    subprocess.run([sys.executable, "-c", LEAVES, tmp_path], check=True)
    assert (tmp_path / ready_mark.NAME).exists()
    assert not ready_mark.is_left(str(tmp_path))
    ready_mark.withdraw(str(tmp_path))
    assert (tmp_path / ready_mark.NAME).exists()
    ready_mark.leave(str(tmp_path))
    assert ready_mark.is_left(str(tmp_path))


def test_a_number_that_was_given_again_is_no_sidecar(tmp_path):
    """In a container each first process has the number 1: when it began tells them apart."""
    ready_mark.leave(str(tmp_path))
    boot, pid, began = (tmp_path / ready_mark.NAME).read_text().split()
    (tmp_path / ready_mark.NAME).write_text(f"{boot} {pid} {int(began) - 1}\n")
    assert not ready_mark.is_left(str(tmp_path))
    (tmp_path / ready_mark.NAME).write_text(f"another-boot {pid} {began}\n")
    assert not ready_mark.is_left(str(tmp_path))


@pytest.mark.parametrize("content", ["", "\n", "boot", "boot x 1", "\0"])
def test_a_mark_that_cannot_be_read_is_none(tmp_path, content):
    """Whatever is there."""
    (tmp_path / ready_mark.NAME).write_text(content)
    assert not ready_mark.is_left(str(tmp_path))


def test_a_mark_that_cannot_be_left_is_said(tmp_path):
    """A probe would never be answered: 73, with the directory's name."""
    (tmp_path / "state").write_text("in the way")
    with pytest.raises(CannotWriteError, match="state that the sidecar watches: Not a directory"):
        ready_mark.leave(str(tmp_path / "state"))


def test_who_holds_a_journal_is_seen_without_taking_its_lock(tmp_path):
    """A second look finds the same, and the journal can be opened right after it."""
    assert not where.is_held(str(tmp_path))
    journal = Journal.open(str(tmp_path), "here")
    assert where.is_held(str(tmp_path))
    journal.close()
    assert not where.is_held(str(tmp_path))
    Journal.open(str(tmp_path), "here").close()


@pytest.mark.parametrize(
    ("line", "command", "arguments"),
    [
        ("python -m lighterman sidecar --path /o", "sidecar", "--path /o"),
        ("/usr/bin/python3 /opt/bin/lighterman init s3://b/p /data", "init", "s3://b/p /data"),
        ("/bin/sh /entrypoint.sh sync --path /o", "sync", "--path /o"),
        ("/dev/init -- /entrypoint.sh sidecar --path /o", "sidecar", "--path /o"),
        ("lighterman run --path /o -- lighterman init", "run", "--path /o"),
        ("/pause", None, None),
        ("python -m http.server", None, None),
        ("lighterman --help", None, None),
        ("lighterman", None, None),
        ("", None, None),
    ],
)
def test_what_a_container_was_started_with(line, command, arguments):
    """Through whatever starts it: an interpreter, a shell, an init process."""
    expected = Started(command, arguments.split()) if command else None
    assert expected == started(line.split(), COMMANDS)


@pytest.mark.parametrize(
    ("arguments", "environ", "states"),
    [
        ("--path /o", {}, ["/o/.lighterman"]),
        ("--connection c --path=/o --native", {}, ["/o/.lighterman"]),
        ("--path /o --state /s", {}, ["/s"]),
        ("--path o --state s", {}, ["/work/s"]),
        ("", {"LIGHTERMAN_PATH": "/o", "LIGHTERMAN_CONNECTION": "c"}, ["/o/.lighterman"]),
        ("--path /mine", {"LIGHTERMAN_PATH": "/o", "LIGHTERMAN_STATE": "/s"}, ["/s"]),
        ("--connection c", {}, None),
    ],
)
def test_where_a_sidecar_of_that_command_line_has_its_state(arguments, environ, states):
    """As it finds it itself: its flags, its variables, its directory."""
    assert states == states_of(arguments.split(), environ, "/work")


def test_a_command_line_that_nothing_could_have_been_started_with_is_refused():
    """64, as it would be by the command itself."""
    with pytest.raises(UsageError, match="--path"):
        states_of(["--path"], {}, "/")
