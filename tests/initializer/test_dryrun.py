"""The plan, printed."""

import io
import json
import sys
import tracemalloc

import pytest

from initializer.dryrun import IN_MEMORY_BYTES, SeenState, Shown, require_place
from initializer.plan import Fetch, Keep, MakeDirectory, Placed, Refuse
from initializer.space import Needs
from initializer.state import State
from lighterman.errors import CannotWriteError, UntrustedDataError
from lighterman.secret import Secret


def printed(shown, capsys):
    shown.print_out()
    return capsys.readouterr().out


def fetch(number, root):
    return Fetch(f"{root}/{number:07}", 0, 0, f"key/{number:07}", number, "etag", 1.0)


def test_a_plan_that_is_begun_anew_is_printed_once(tmp_path, capsys):
    """A listing that turns out to be in no order is sorted, and planned again."""
    with Shown("json", ["c"], [str(tmp_path)]) as shown:
        shown.begin()
        shown.action(fetch(1, tmp_path))
        shown.begin()
        shown.action(fetch(0, tmp_path))
        shown.action(fetch(1, tmp_path))
        shown.end([], Needs([str(tmp_path)]))
        lines = [json.loads(line) for line in printed(shown, capsys).splitlines()]
    assert [line.get("key") for line in lines] == ["key/0000000", "key/0000001", None, None]
    assert (lines[2]["files"], lines[2]["size_bytes"]) == (2, 1)


def test_a_plan_that_isn_t_whole_isn_t_printed(tmp_path, capsys):
    """Half of it would be taken for all."""
    with Shown("json", ["c"], [str(tmp_path)]) as shown:
        shown.begin()
        shown.action(fetch(1, tmp_path))
        assert printed(shown, capsys) == ""


def test_secrets_are_masked(tmp_path, capsys):
    """As in everything that is printed."""
    Secret("hunter2hunter2")
    with Shown("table", ["c"], [str(tmp_path)]) as shown:
        shown.begin()
        shown.action(Keep(f"{tmp_path}/hunter2hunter2", "k"))
        shown.action(Refuse("hunter2hunter2/..", "no", UntrustedDataError))
        shown.end([("hunter2hunter2", "c")], Needs([str(tmp_path)]))
        assert "hunter2" not in printed(shown, capsys)


def test_directories_are_said_once(tmp_path, capsys):
    """Those of a destination inside another aren't there for the plan of the outer one either."""
    roots = [f"{tmp_path}/out", f"{tmp_path}/out/in"]
    with Shown("json", ["c"], roots) as shown:
        shown.begin()
        for path in (f"{roots[0]}/in/", f"{roots[0]}/d/"):
            shown.action(MakeDirectory(path))
        shown.end([], Needs(roots))
        lines = [json.loads(line) for line in printed(shown, capsys).splitlines()]
    made = [line["path"] for line in lines if line["action"] == "make directory"]
    assert made == [*roots, f"{roots[0]}/d"]


class Nothing(io.TextIOBase):
    """Takes everything, keeps nothing but how much it was."""

    def __init__(self):
        self.chars = 0

    def write(self, text):
        self.chars += len(text)
        return len(text)


def test_a_large_plan_is_printed_in_constant_memory(tmp_path, monkeypatch):
    """Collected on disk, and printed in pieces."""
    monkeypatch.setattr("initializer.dryrun.IN_MEMORY_BYTES", 100_000)
    monkeypatch.setattr(sys, "stdout", Nothing())
    with Shown("json", ["c"], [str(tmp_path)]) as shown:
        shown.begin()
        tracemalloc.start()
        for number in range(60_000):
            shown.action(fetch(number, tmp_path))
        shown.end([], Needs([str(tmp_path)]))
        shown.print_out()
        _, peak_bytes = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert sys.stdout.chars > 60_000 * 100
    assert peak_bytes < 2_000_000 < IN_MEMORY_BYTES


def test_notes_are_only_looked_at(tmp_path):
    """What an earlier run placed is known, and its file isn't touched."""
    (tmp_path / ".lighterman").mkdir()
    state = State(str(tmp_path), f"{tmp_path}/.lighterman")
    state.note_placed([(f"{tmp_path}/a", Placed(3, "etag", 5))])
    state.close()
    file = tmp_path / ".lighterman" / "init.sqlite3"
    before = file.stat().st_ctime_ns, sorted(file.parent.iterdir())
    seen = SeenState(str(tmp_path))
    assert seen.placed(f"{tmp_path}/a") == Placed(3, "etag", 5)
    assert seen.placed(f"{tmp_path}/b") is None
    seen.close()
    assert (file.stat().st_ctime_ns, sorted(file.parent.iterdir())) == before


def test_a_place_that_could_be_filled(tmp_path):
    """There, or to be made."""
    for root in (tmp_path, tmp_path / "a" / "b"):
        assert require_place(str(root)) is None
    assert list(tmp_path.iterdir()) == []


def test_a_place_that_is_none(tmp_path):
    """A file, and a state directory that leads elsewhere."""
    (tmp_path / "file").write_bytes(b"")
    (tmp_path / ".lighterman").symlink_to("/")
    for root in (tmp_path / "file", tmp_path / "file" / "below", tmp_path):
        with pytest.raises(CannotWriteError, match=r"no directory|a symlink"):
            require_place(str(root))
