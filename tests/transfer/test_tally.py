"""What a command did, as its report tells it."""

from lighterman.transfer.tally import Tally


def test_what_happens_after_the_end_is_no_part_of_it():
    """Threads may end a request when the report is being made."""
    tally = Tally()
    tally.planned(2, 20)
    tally.done()
    tally.close()
    tally.done()
    tally.carried(10)
    totals = tally.totals()
    assert (2, 1, 0) == (totals.planned_files, totals.files, totals.bytes)
