"""Workers take work until there is none, one fails, or they are told to stop."""

import threading
from collections import deque

import pytest

from initializer.crew import FIRST_SUPPLIED, Crew
from lighterman.clock import SystemClock

DEADLINE_SECONDS = 30


class Pieces:
    """Work that another work found."""

    def __init__(self, works):
        self.works = deque(works)

    def next(self):
        return self.works.popleft() if self.works else None


class InLine:
    """Works of an iterable."""

    def __init__(self, works):
        self.works = iter(works)
        self.is_over = False

    def next(self):
        work = next(self.works, None)
        self.is_over = work is None
        return work


def crew_of(works, most_workers=4, stop=None):
    return Crew(InLine(works), most_workers, SystemClock(), stop or threading.Event())


def no_tick():
    return None


def test_all_work_is_carried_out():
    """Each piece once."""
    done = []
    crew = crew_of([lambda number=number: done.append(number) for number in range(500)])
    assert crew.run(no_tick, 500)
    assert crew.is_done
    assert sorted(done) == list(range(500))


def test_nothing_to_do_is_done_at_once():
    """A crew without work ends."""
    crew = crew_of([])
    assert crew.run(no_tick, 0)
    assert crew.is_done


def test_work_that_was_found_comes_before_what_is_in_line():
    """With one worker the order shows."""
    done = []
    crew = crew_of([], most_workers=1)

    def large():
        crew.supply(Pieces([lambda: done.append("range 1"), lambda: done.append("range 2")]))

    crew._works = InLine([lambda: done.append("before"), large, lambda: done.append("after")])
    assert crew.run(no_tick, 3)
    assert done == ["before", "range 1", "range 2", "after"]


def test_idle_workers_wait_for_what_may_yet_be_found():
    """Work found by the last work in line is shared."""
    crew = crew_of([], most_workers=4)
    together = threading.Barrier(4, timeout=DEADLINE_SECONDS)
    crew._works = InLine([lambda: crew.supply(Pieces([together.wait] * 4))])
    assert crew.run(no_tick, 4)
    assert crew.error is None
    assert crew.is_done


def pieces_together(crew, gathered_at):
    """Pieces of which the most that were ever under way at once is told; each brings 8 MiB."""
    lock, seen = threading.Lock(), {"most": 0, "now": 0}
    gathered = threading.Event()

    def piece():
        with lock:
            seen["now"] += 1
            seen["most"] = max(seen["most"], seen["now"])
            if seen["now"] == gathered_at:
                gathered.set()
        gathered.wait(DEADLINE_SECONDS)
        with lock:
            seen["now"] -= 1
        crew.brought(8 << 20)

    return piece, seen


def test_few_pieces_of_large_work_are_under_way_at_first():
    """However many workers there are, and as long as none has ended."""
    crew = crew_of([], most_workers=64)
    piece, seen = pieces_together(crew, FIRST_SUPPLIED)
    crew._supply_growth.look = lambda now, waited_seconds: None
    crew._works = InLine([lambda: crew.supply(Pieces([piece] * 200))])
    crew._hire(40)
    assert crew.run(no_tick, 40)
    assert seen["most"] == FIRST_SUPPLIED


def test_more_pieces_are_under_way_when_more_are_worth_it():
    """Workers are hired for them: they gather only when all are there."""
    crew = crew_of([], most_workers=64)
    together = threading.Barrier(2 * FIRST_SUPPLIED, timeout=DEADLINE_SECONDS)
    crew._works = InLine([lambda: crew.supply(Pieces([together.wait] * 2 * FIRST_SUPPLIED))])

    def look(_now, _waited_seconds):
        crew._supply_growth.width = 2 * FIRST_SUPPLIED

    crew._supply_growth.look = look
    assert crew.run(no_tick, FIRST_SUPPLIED)
    assert crew.error is None
    assert crew.is_done


def test_a_work_may_keep_the_line_to_itself():
    """Nothing now isn't nothing at all: the others wait until it has ended."""
    done = []

    class Held:
        is_over = False
        steps = 0

        def next(self):
            self.steps += 1
            if self.steps == 1:
                return self.keep
            if not self.is_over:
                return None
            return rest.popleft() if rest else None

        def keep(self):
            crew.supply(Pieces([lambda: done.append("supplied")]))
            while not done:
                given_up.wait(0.001)
            self.is_over = True

    given_up = threading.Event()
    rest = deque([lambda: done.append("rest")])
    crew = Crew(Held(), 4, SystemClock(), threading.Event())
    assert crew.run(no_tick, 4)
    assert done == ["supplied", "rest"]
    assert crew.is_done


def test_the_first_failure_ends_it():
    """What is under way is ended, what is in line isn't begun."""
    begun = []

    def fail():
        raise ValueError("broken")

    works = [fail, *(lambda number=number: begun.append(number) for number in range(10_000))]
    crew = crew_of(works, most_workers=1)
    assert crew.run(no_tick, 1)
    assert not crew.is_done
    assert str(crew.error) == "broken"
    assert begun == []


def test_a_failure_in_the_line_itself_ends_it():
    """Making a directory is part of advancing it."""

    def works():
        yield lambda: None
        raise OSError("no directory")

    crew = crew_of(works())
    assert crew.run(no_tick, 4)
    assert str(crew.error) == "no directory"


def test_told_to_stop_it_stops():
    """After the work under way; the rest isn't done."""
    stop, done = threading.Event(), []

    def work():
        done.append(1)
        if len(done) == 3:
            stop.set()

    crew = crew_of([work] * 1000, most_workers=1, stop=stop)
    assert crew.run(no_tick, 1)
    assert not crew.is_done
    assert len(done) == 3


def test_workers_that_hang_are_left_behind(monkeypatch):
    """Told to stop, it isn't held up by a request that hangs."""
    monkeypatch.setattr("initializer.crew.HALT_SECONDS", 0.05)
    stop, release = threading.Event(), threading.Event()
    begun = threading.Event()

    def hang():
        begun.set()
        release.wait(DEADLINE_SECONDS)

    crew = crew_of([hang], stop=stop)
    threading.Thread(target=lambda: (begun.wait(DEADLINE_SECONDS), stop.set())).start()
    assert not crew.run(no_tick, 1)
    release.set()


@pytest.mark.parametrize(("most", "expected"), [(16, 16), (40, 40)])
def test_more_workers_come_while_files_are_waited_for(most, expected):
    """Up to the most that are allowed: they gather only when all are hired."""
    together = threading.Barrier(expected, timeout=DEADLINE_SECONDS)
    ticks = []
    crew = crew_of([together.wait] * expected, most_workers=most)
    assert crew.run(lambda: ticks.append(1), 16)
    assert crew.error is None
    assert crew.is_done


class SteppedClock:
    """Each tick is one step of the time that the test tells."""

    def __init__(self, step_seconds):
        self.now = 0.0
        self._step_seconds = step_seconds

    def monotonic(self):
        return self.now

    def wall(self):
        return self.now

    def wait(self, seconds, until=None):
        self.now += self._step_seconds
        return until is not None and until.wait(0.0005)


@pytest.mark.parametrize(
    ("gain", "hired"),
    [(1, 32), (2, 128)],
    ids=["a busy store brings no more", "a late store brings twice as many"],
)
def test_no_more_workers_are_hired_than_bring_more(gain, hired):
    """Memory goes with workers: twice as many must bring at least half as many files again."""
    crew = Crew(InLine(()), 128, SteppedClock(0.1), threading.Event())
    crew._works = InLine(iter(int, 1))
    crew._hired, rounds = 16, 0
    crew._hire = lambda count: setattr(crew, "_hired", crew._hired + count)
    while rounds < 50:
        crew._clock.now += 0.1
        crew._finished_works += 64 * (crew._hired // 16 if gain == 2 else 1)
        crew._hire_if_worthwhile()
        rounds += 1
    assert crew._hired == hired
