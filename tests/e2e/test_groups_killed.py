"""
Groups that are made, changed, completed and deleted while their sidecar is killed at random moments: whenever it
is dead, no manifest in the bucket lists anything else than what the bucket has.
"""

import json
import shutil
import signal
import threading
from contextlib import contextmanager

import google_crc32c
import pytest
from kills import kills
from waiting import eventually

NAME = ".lighterman-manifest.json"
KILLS = kills(12)
LONGEST_LIFE_SECONDS = 1.5
GROUPS = ("--group", "g*", "--group-done", "done")
FLAGS = ("--native", "--settle", "0.05", *GROUPS)


class Writer:
    """Does to groups whatever a job may do, from a thread of its own."""

    def __init__(self, path, chance):
        self._path = path
        self._chance = chance
        self._over = threading.Event()
        self._turn = threading.Lock()
        self._made = 0
        self.error = None
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def stop(self):
        self._over.set()
        self._thread.join()
        if self.error:
            raise self.error

    @contextmanager
    def quiet(self):
        """A group that is complete; while this is entered, nothing changes."""
        with self._turn:
            self._make()
            group = self._path / f"g{self._made}"
            self._write(group / "f0")
            (group / "done").write_text("")
            yield group

    def _run(self):
        try:
            while not self._over.wait(self._chance.uniform(0, 0.05)):
                with self._turn:
                    self._step()
        except Exception as error:  # noqa: BLE001 - the test raises it
            self.error = error

    def _step(self):
        groups = [path for path in self._path.glob("g*") if path.is_dir()]
        group = self._chance.choice(groups) if groups else None
        step = self._chance.choice(["make", "write", "write", "done", "delete", "replace", "away"])
        if step == "make" or group is None:
            self._make()
        elif step == "write":
            self._write(group / f"f{self._chance.randrange(4)}")
        elif step == "done":
            (group / "done").write_text("")
        elif step == "delete":
            shutil.rmtree(group)
        elif step == "replace":
            new = self._path / f"f{self._made}.new"
            self._write(new)
            new.rename(group / "f0")
        else:
            self._made += 1
            group.rename(self._path / f"old-{self._made}")

    def _make(self):
        self._made += 1
        making = self._path / f"making-{self._made}"
        making.mkdir()
        for number in range(self._chance.randrange(4)):
            self._write(making / f"f{number}")
        making.rename(self._path / f"g{self._made}")

    def _write(self, path):
        path.write_bytes(self._chance.randbytes(self._chance.randrange(5000)))


def manifests(outputs):
    """Each group with a manifest, and what it tells."""
    for key in outputs.place.keys("out/"):
        if key.endswith(f"/{NAME}"):
            yield key[: -len(NAME)], json.loads(outputs.place.get(key))["files"]


def groups_of(outputs):
    """Groups that have files."""
    return [group for group in outputs.path.glob("g*") if any(group.iterdir())]


def assert_none_lies(outputs):
    count = 0
    for directory, files in manifests(outputs):
        for path, told in files.items():
            count += 1
            content = outputs.place.get(directory + path)
            there = {
                "size_bytes": len(content),
                "crc32c": f"{google_crc32c.value(content):08x}",
            }
            assert there == told, directory + path
    return count


@pytest.mark.parametrize("deletes", ["keep", "mirror"])
def test_killed_again_and_again_while_groups_change(outputs, chance, deletes):
    """And after quiet every group that is there has its manifest, which lists all of it."""
    flags = (*FLAGS, "--deletes", deletes, "--reconcile", "1")
    writer = Writer(outputs.path, chance)
    seen = 0
    for kill in range(KILLS):
        running = outputs.program.start("sidecar", *outputs.flags(*flags))
        running.wait_for_event("sidecar.started")
        if kill % 4 == 3:  # a slow machine has no manifest else while groups change all the time
            with writer.quiet() as group:
                manifest = f"out/{group.name}/{NAME}"
                eventually(lambda: manifest in outputs.place.keys("out/"))  # noqa: B023
                assert running.kill().code == -signal.SIGKILL
        else:
            threading.Event().wait(chance.uniform(0, LONGEST_LIFE_SECONDS))
            assert running.kill().code == -signal.SIGKILL
        seen += assert_none_lies(outputs)
    writer.stop()
    assert seen > 0
    assert outputs.sync(*GROUPS, "--deletes", deletes).code == 0
    assert_none_lies(outputs)
    groups = {
        f"out/{group.name}/": {str(p.relative_to(group)) for p in group.rglob("*")}
        for group in groups_of(outputs)
    }
    published = {directory: set(files) for directory, files in manifests(outputs)}
    assert {directory: published.get(directory) for directory in groups} == groups
    if deletes == "mirror":
        assert published == groups
