"""One thread that decides, others that work for it."""

import os
import signal
import threading

import pytest

from sidecar.loop import Done, Failed, Loop, Pool


@pytest.fixture
def loop():
    with Loop() as loop:
        yield loop


def turn_until(loop, condition):
    for _ in range(200):
        if condition():
            return
        loop.turn(0.1)
    raise AssertionError("it never came")


def test_what_other_threads_post_is_called_in_the_main_thread(loop):
    """No state but theirs is shared."""
    called = []
    threading.Thread(target=lambda: loop.post(lambda: called.append(threading.get_ident()))).start()
    turn_until(loop, lambda: called)
    assert called == [threading.get_ident()]


def test_a_turn_ends_when_a_signal_comes(loop):
    """A wait without an end is woken, and the call is made in the turn, not in the handler."""
    caught = []
    loop.catch(signal.SIGUSR1, caught.append)
    timer = threading.Timer(0.05, lambda: os.kill(os.getpid(), signal.SIGUSR1))
    timer.start()
    turn_until(loop, lambda: caught)
    assert caught == [signal.SIGUSR1]
    timer.join()


def test_handlers_are_put_back(loop):
    """A library's user keeps their own."""
    before = signal.getsignal(signal.SIGUSR2)
    with Loop() as inner:
        inner.catch(signal.SIGUSR2, lambda _: None)
        inner.catch(signal.SIGUSR2, lambda _: None)
        assert signal.getsignal(signal.SIGUSR2) is not before
    assert signal.getsignal(signal.SIGUSR2) is before


def test_a_readable_descriptor_is_named_until_it_is_ignored(loop):
    """``turn`` says who can be read."""
    reader, writer = os.pipe()
    loop.listen(reader)
    assert loop.turn(0) == set()
    os.write(writer, b"x")
    assert loop.turn(5) == {reader}
    loop.ignore(reader)
    loop.ignore(reader)
    assert loop.turn(0) == set()
    os.close(reader)
    os.close(writer)


def test_a_pool_takes_one_piece_more_for_each_thread_and_tells_each_end(loop):
    """Threads are started as they are needed; an exception is an end too."""
    pool = Pool(loop, 2)
    go, ends = threading.Event(), []

    def work(number):
        go.wait(10)
        if number == 3:
            raise ValueError(number)
        return number

    for number in range(4):
        pool.submit(lambda number=number: work(number), ends.append)
    assert (pool.free, pool.busy) == (0, 4)
    go.set()
    turn_until(loop, lambda: len(ends) == 4)
    assert sorted(end.value for end in ends if isinstance(end, Done)) == [0, 1, 2]
    assert [type(end.error) for end in ends if isinstance(end, Failed)] == [ValueError]
    assert (pool.free, pool.busy) == (4, 0)


def test_work_in_the_background_tells_its_end(loop):
    """A value, or what went wrong."""
    ends = []
    loop.in_background("fine", lambda: 7, ends.append)
    loop.in_background("broken", lambda: 1 // 0, ends.append)
    turn_until(loop, lambda: len(ends) == 2)
    assert {type(end) for end in ends} == {Done, Failed}


def test_a_halted_pool_begins_nothing_more(loop):
    """What is under way ends and is told; what waited is dropped, and the pool is free of it."""
    pool, gate, begun, ended = Pool(loop, 1), threading.Event(), threading.Event(), []

    def first():
        begun.set()
        return gate.wait(10)

    pool.submit(first, ended.append)
    pool.submit(lambda: ended.append("begun after all"), ended.append)
    assert begun.wait(10)
    pool.halt()
    gate.set()
    turn_until(loop, lambda: not pool.busy)
    assert ended == [Done(True)]


def test_a_dismissed_thread_ends_after_its_work(loop):
    """Nobody has to wait for it: what it waits for next is its end."""
    pool, gate = Pool(loop, 1), threading.Event()
    pool.submit(lambda: gate.wait(10), lambda _: None)
    loop.dismiss()
    gate.set()
    turn_until(loop, lambda: not pool.busy)
    loop.close()
    assert not any(thread.is_alive() for thread in loop._threads)
