"""Memory is bounded by one budget for all transfers."""

import threading

import pytest

from lighterman.transfer.budget import Budget


def test_a_taker_waits_until_enough_is_free():
    """Every buffer is taken from one byte budget before it is filled."""
    budget = Budget(10)
    inside, leave, got_in = threading.Event(), threading.Event(), threading.Event()

    def hold():
        with budget.take(8):
            inside.set()
            leave.wait(10)

    def want():
        with budget.take(4):
            got_in.set()

    holder, wanter = threading.Thread(target=hold), threading.Thread(target=want)
    holder.start()
    assert inside.wait(10)
    wanter.start()
    assert not got_in.wait(0.05)
    leave.set()
    assert got_in.wait(10)
    holder.join()
    wanter.join()


def test_more_than_the_whole_budget_is_granted_alone():
    """A file larger than the budget is moved nevertheless, by itself."""
    budget = Budget(10)
    with budget.take(1_000):
        pass
    with budget.take(10):
        pass


def test_all_is_given_back_after_an_error():
    """A transfer that fails leaves the budget as it was."""
    budget = Budget(10)
    with pytest.raises(KeyError), budget.take(10):
        raise KeyError
    with budget.take(10):
        pass


def test_a_budget_of_nothing_is_refused():
    """A budget that can hold no buffer would wait for ever."""
    with pytest.raises(ValueError, match="0 bytes can't hold a buffer"):
        Budget(0)


def test_takers_never_hold_more_than_the_limit_at_once():
    """Whatever the number of threads, what is held stays under the limit."""
    budget = Budget(100)
    lock, held, most = threading.Lock(), [0], [0]

    def work(amount):
        for _ in range(50):
            with budget.take(amount):
                with lock:
                    held[0] += amount
                    most[0] = max(most[0], held[0])
                with lock:
                    held[0] -= amount

    threads = [threading.Thread(target=work, args=(amount,)) for amount in (1, 7, 30, 60, 100)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most[0] <= 100
