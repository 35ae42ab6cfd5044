"""Destinations that take two names for one: neither object wins silently."""

import os
import threading

import pytest

from initializer.disk import DestinationsDisk
from initializer.entries import Entry
from initializer.folding import CLASH, Apart, Folding, folding_of
from initializer.plan import Fetch, Keep, MakeDirectory, Refuse
from initializer.source import Source
from initializer.state import State
from initializer.survey import Declared, Survey
from initializer.verify import Checksums
from lighterman.clock import SystemClock
from lighterman.errors import UntrustedDataError
from lighterman.stores.volume import VolumeStore
from lighterman.transfer.pace import Pace
from lighterman.transfer.retry import Attempts
from lighterman.transfer.tally import Tally

NFC, NFD = "\u00e9", "e\u0301"
CASE, UNICODE, BOTH = Folding(case=True), Folding(unicode=True), Folding(case=True, unicode=True)


def action(path):
    """What the plan says of a path; a directory's ends with a slash."""
    if path.endswith("/"):
        return MakeDirectory(path)
    if path.startswith("/data/kept"):
        return Keep(path, path.removeprefix("/data/"))
    return Fetch(path, 0, 0, path.removeprefix("/data/"), 1, "etag", 1.0)


@pytest.mark.parametrize(
    ("folding", "paths", "refused"),
    [
        (Folding(), ["A", "a", NFC, NFD], []),
        (CASE, ["A", "a", "b"], ["a"]),
        (CASE, ["A", NFC, NFD], []),
        (CASE, ["STRASSE", "straße"], ["straße"]),
        (UNICODE, ["A", "a", NFC, NFD], [NFD]),
        (BOTH, ["É", NFD], [NFD]),
        (CASE, ["D/", "D/x", "d/", "d/y"], []),
        (CASE, ["D/", "D/x", "d/", "d/x"], ["d/x"]),
        (CASE, ["A", "a/", "a/x"], ["a/", "a/x"]),
        (CASE, ["A/", "A/x", "a"], ["a"]),
        (CASE, ["A/x", "a"], ["a"]),
        (CASE, ["kept", "KEPT"], ["KEPT"]),
        (CASE, ["x", "x"], ["x"]),
    ],
)
def test_what_a_filesystem_doesn_t_tell_apart_is_refused(folding, paths, refused):
    """By name, before any byte moves; directories that are one hold the files of both."""
    actions = [action(f"/data/{path}") for path in paths]
    checked = list(Apart(["/data"], [folding]).checked(actions))
    assert [one.key for one in checked if isinstance(one, Refuse)] == refused
    assert all(one[1:] == (CLASH, UntrustedDataError) for one in checked if isinstance(one, Refuse))
    assert [one for one in checked if not isinstance(one, Refuse)] == [
        one for path, one in zip(paths, actions, strict=True) if path not in refused or path == "x"
    ][: len(paths) - len(refused)]


def test_each_destination_has_a_filesystem_of_its_own():
    """Also one inside another."""
    paths = ["/data/A", "/data/a", "/data/in/A", "/data/in/a"]
    apart = Apart(["/data", "/data/in"], [Folding(), CASE])
    refused = [one.key for one in apart.checked(map(action, paths)) if isinstance(one, Refuse)]
    assert refused == ["in/a"]


def test_refusals_pass():
    """What was refused already is refused for that."""
    refusal = Refuse("a/../b", "it has a '..' component", UntrustedDataError)
    assert list(Apart(["/data"], [CASE]).checked([refusal])) == [refusal]


def test_linux_tells_names_apart(tmp_path):
    """Found out by a try that leaves nothing."""
    assert folding_of(str(tmp_path)) == Folding()
    assert os.listdir(tmp_path) == []
    assert folding_of(str(tmp_path / "not there")) == Folding()


def test_a_filesystem_that_folds_is_found_out(tmp_path, monkeypatch):
    """Stood in for by a look that folds: Linux's own such filesystems need kernels that few have."""
    real = os.path.lexists

    def folds(path):
        names = {name.lower() for name in os.listdir(os.path.dirname(path))}
        return real(path) or os.path.basename(path).lower() in names

    monkeypatch.setattr("initializer.folding.os.path.lexists", folds)
    assert folding_of(str(tmp_path)) == Folding(case=True)


def test_a_survey_refuses_them_before_any_byte_moves(tmp_path):
    """Only where a destination's filesystem folds names."""
    (tmp_path / "place").mkdir()
    for name in ("Case", "case", "other"):
        (tmp_path / "place" / name).write_bytes(b"1")
    root = str(tmp_path / "dest")
    os.makedirs(f"{root}/.lighterman")
    store, tally = VolumeStore(str(tmp_path / "place"), "c"), Tally()
    attempts = Attempts(0, SystemClock(), tally)

    def surveyed(folding):
        state = State(root, f"{root}/.lighterman")
        survey = Survey(
            [Declared(Entry(connection="c", destination=root, workers=4), 0, 0)],
            [Source(store, Pace(4), Checksums(store, attempts))],
            [root],
            DestinationsDisk([root], [state], [f"{root}/.lighterman"]),
            foldings=[folding],
            state_directory=f"{root}/.lighterman",
            attempts=attempts,
            tally=tally,
            stop=threading.Event(),
        ).make()
        survey.spool.close()
        return survey.files

    assert surveyed(Folding()) == 3
    with pytest.raises(UntrustedDataError, match=f"'case' .{CLASH}"):
        surveyed(CASE)
