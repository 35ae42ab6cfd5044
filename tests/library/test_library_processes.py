"""Places and filesystems in other processes than the one that opened them: forked ones, and by pickle."""

import os
import pickle
import subprocess
import sys

import pytest
from catalogs import NAME
from program import REPOSITORY
from trees import MIB, make_large

import lighterman

WAIT_SECONDS = 60
WORKERS = """
import faulthandler, multiprocessing, os, sys
import lighterman

local, method = sys.argv[1:]


def work(place, fs, number):
    faulthandler.dump_traceback_later(30, exit=True)  # it must not keep the test
    keys = sorted(entry.key for entry in place.list("x"))
    place.download_dir("x", f"{local}/back-{number}")
    for name in ("small", "large"):
        place.upload_file(f"{local}/tree/{name}", f"y/{number}/{name}")
    fs.pipe_file(f"z/{number}", fs.cat_file("x/small"))
    fs.close()
    place.close()
    assert keys == ["x/large", "x/small"], keys


if __name__ == "__main__":
    place, fs = lighterman.connect("datasets"), lighterman.get_fs("datasets")
    place.upload_dir(f"{local}/tree", "x")
    place.download_file("x/small", f"{local}/small")
    assert fs.cat_file("x/small") == b"small"
    context = multiprocessing.get_context(method)
    workers = [context.Process(target=work, args=(place, fs, number)) for number in range(3)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert [worker.exitcode for worker in workers] == [0, 0, 0]
    assert len(list(place.list("y"))) == 6
    assert len(fs.ls("z")) == 3
    fs.close()
    place.close()
"""


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_workers_use_what_their_parent_opened(place, catalog, tmp_path, method):
    """DataLoader workers, forked or spawned, transfer at the same time as each other; none hangs."""
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree" / "small").write_bytes(b"small")
    large = make_large(tmp_path / "tree" / "large", 17 * MIB)
    (tmp_path / "workers.py").write_text(WORKERS)
    done = subprocess.run(
        [sys.executable, str(tmp_path / "workers.py"), str(tmp_path), method],
        capture_output=True,
        text=True,
        check=False,
        timeout=WAIT_SECONDS,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY), "LIGHTERMAN_CATALOG": catalog},
    )
    assert 0 == done.returncode, done.stderr[-3000:]
    for number in range(3):
        assert large.read_bytes() == (tmp_path / f"back-{number}" / "large").read_bytes()
        key = f"y/{number}/large"
        place.download_file(key, tmp_path / "again")
        assert large.read_bytes() == (tmp_path / "again").read_bytes()


def test_a_pickled_place_takes_its_name_along(catalog, place, monkeypatch, tmp_path):
    """Its settings too, and never its login: the other process looks the name up."""
    monkeypatch.setenv("LIGHTERMAN_CATALOG", catalog)
    (tmp_path / "a").write_bytes(b"1")
    place.upload_file(tmp_path / "a", "a")
    with lighterman.connect(NAME, workers=3) as mine:
        pickled = pickle.dumps(mine)
    assert b"testsecret" not in pickled
    with pickle.loads(pickled) as again:
        assert ["a"] == [entry.key for entry in again.list()]
        assert 3 == again._opened.workers


def test_a_place_of_a_given_environment_is_not_pickled(place):
    """It may hold credentials."""
    with pytest.raises(TypeError, match="environ"):
        pickle.dumps(place)
