"""A plan is held compactly, whatever its size."""

import tracemalloc

import pytest

from initializer.plan import Fetch, MakeDirectory
from initializer.spool import MOST_MEMORY_BYTES, Spool


def action(number):
    if number % 100 == 0:
        return MakeDirectory(f"/data/d{number}/")
    return Fetch(f"/data/\udc80/{number}", 0, 1, f"key/ü/{number}", number, f"{number:032x}", 5.25)


@pytest.mark.parametrize("count", [0, 1, 511, 512, 513, 5000])
def test_actions_come_out_as_they_went_in(tmp_path, count):
    """All of them, in order, of the same types."""
    spool = Spool(str(tmp_path))
    for number in range(count):
        spool.add(action(number))
    assert list(spool.drain()) == [action(number) for number in range(count)]
    spool.close()


def test_a_large_plan_lies_on_disk(tmp_path, monkeypatch):
    """Without a name, and with little memory."""
    monkeypatch.setattr("initializer.spool.MOST_MEMORY_BYTES", 50_000)
    spool = Spool(str(tmp_path))
    tracemalloc.start()
    for number in range(50_000):
        spool.add(action(number))
    held_bytes, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert held_bytes < 1_000_000 < MOST_MEMORY_BYTES
    assert list(tmp_path.iterdir()) == []
    for number, found in enumerate(spool.drain()):
        assert found == action(number)
    spool.close()


def test_a_planted_link_is_not_followed(tmp_path, monkeypatch):
    """Whoever put it there gains nothing, and loses nothing."""
    monkeypatch.setattr("initializer.spool.MOST_MEMORY_BYTES", 1000)
    victim = tmp_path / "victim"
    victim.write_bytes(b"mine")
    (tmp_path / "plan.tmp").symlink_to(victim)
    spool = Spool(str(tmp_path))
    for number in range(5000):
        spool.add(action(number))
    assert list(spool.drain()) == [action(number) for number in range(5000)]
    spool.close()
    assert victim.read_bytes() == b"mine"
