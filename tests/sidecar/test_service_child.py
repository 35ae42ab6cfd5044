"""CMD's environment, the done-file, the place of the outputs: what needs no process."""

import os
from argparse import Namespace

import pytest

from lighterman.clock import SystemClock
from lighterman.errors import CannotWriteError, ConfigurationError
from lighterman.jobspec import Output
from lighterman.secret import Secret
from sidecar.child import Child, without_credentials
from sidecar.done_file import DoneFile
from sidecar.outputs import outputs_of
from sidecar.place import Hold, made


def test_scrubbing_takes_out_what_opens_a_store_and_nothing_else():
    """The clouds' variables, catalogs that stand in one, and any value with a secret that was read."""
    Secret("read-from-a-mount")
    environ = {
        "AWS_ACCESS_KEY_ID": "x",
        "aws_secret_access_key": "x",
        "AWS_REGION": "kept",
        "AWS_DEFAULT_REGION": "kept",
        "AZURE_STORAGE_KEY": "x",
        "GOOGLE_APPLICATION_CREDENTIALS": "x",
        "GC_KEY_PATH": "x",
        "POLYAXON_CONNECTIONS_CATALOG": "[]",
        "STORAGE_CONFIG": "{}",
        "STORAGE_OVERRIDE_CONFIG": "{}",
        "AZ_CLIENT_SECRET": "x",
        "MY_URL": "https://user:read-from-a-mount@host",
        "PATH": "/bin",
    }
    assert without_credentials(environ) == {
        "AWS_REGION": "kept",
        "AWS_DEFAULT_REGION": "kept",
        "PATH": "/bin",
    }


def test_a_signal_to_a_child_that_was_not_started_goes_nowhere():
    """The wrapper may be told to stop before it has a child."""
    child = Child(["true"], os.environ)
    child.pass_on(15)
    child.kill()
    child.reap()
    assert not child.ended


def test_a_done_file_counts_from_its_first_change_on(tmp_path):
    """One older than the start doesn't; its end and return do."""
    path = tmp_path / "done"
    path.touch()
    done = DoneFile(str(path), SystemClock())
    assert not done.is_there()
    path.unlink()
    assert not done.is_there()
    path.write_text("x")
    assert done.is_there()


def test_a_done_file_is_looked_for_seldom_where_events_tell_of_it(tmp_path):
    """Every second where they can't, every ten as a precaution where they should."""
    done = DoneFile(str(tmp_path / "done"), SystemClock())
    waits = []
    for is_watched in (True, False):
        done.watch(lambda _directory, is_watched=is_watched: is_watched)
        began = SystemClock().monotonic()
        done.is_there()
        waits.append(done.look_at - began)
    assert waits == pytest.approx([10.0, 1.0], abs=0.5)


def test_the_outputs_path_is_real(tmp_path):
    """Links on the way to it are followed once, at the start."""
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    assert made(str(tmp_path / "link" / "out")) == str(tmp_path / "real" / "out")


def test_a_path_is_held_by_one(tmp_path):
    """The second is told; after the first let go, the next has it."""
    first = Hold(str(tmp_path))
    with pytest.raises(ConfigurationError, match="another lighterman"):
        Hold(str(tmp_path))
    first.release()
    Hold(str(tmp_path)).release()


def test_a_path_that_is_gone_cannot_be_held(tmp_path):
    """73, with the path."""
    with pytest.raises(CannotWriteError, match="can't read outputs path"):
        Hold(str(tmp_path / "missing"))


def test_flags_win_over_the_spec_field_by_field(tmp_path):
    """The spec says what the flags don't."""
    spec = tmp_path / "job.json"
    spec.write_text(
        '{"run": {"kind": "job"}, "outputs": {"connection": "a", "path": "b", "to": "c"}}'
    )
    arguments = Namespace(spec=str(spec), connection=None, path="other", to=None)
    assert outputs_of(arguments) == (Output(connection="a", path="other", to="c"),)
