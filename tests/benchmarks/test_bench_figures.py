"""Medians and ratios say what they claim."""

import pytest
from figures import Wanted, compared, taken, verdicts
from hypothesis import given
from hypothesis import strategies as st
from results import cost


def test_a_ratio_is_the_median_of_each_rounds_own():
    """A round in which the machine was slow for everybody weighs no more than another."""
    ours = [cost(1.0), cost(10.0), cost(3.0)]
    theirs = [cost(2.0), cost(20.0), cost(3.0)]
    assert 0.5 == taken(theirs, ours).wall_ratio


def test_fewer_rounds_are_compared_with_the_same_rounds():
    """Round n of one program is compared with round n of another."""
    found = compared({"lighterman": [cost(1.0), cost(9.0)], "boto3": [cost(10.0)]})
    assert (1, 0.1) == (found["boto3"].rounds, found["boto3"].wall_ratio)


def test_figures_of_a_program_are_medians():
    """Wall, CPU and memory each by itself; wall with its least and most."""
    found = taken([cost(3.0, 1.0, 70.0), cost(1.0, 2.0, 50.0), cost(2.0, 3.0, 60.0)], None)
    assert (2.0, 1.0, 3.0) == (
        found.wall_seconds,
        found.wall_seconds_least,
        found.wall_seconds_most,
    )
    assert (2.0, 60.0) == (found.cpu_seconds, found.peak_mib)


def test_without_lighterman_there_is_no_ratio():
    """Peers alone can be measured too."""
    found = compared({"s5cmd": [cost(1.0)]})
    assert found["s5cmd"].wall_ratio is None
    assert [] == verdicts(found, [Wanted("s5cmd", "wall", 0.6)], 100)


def test_a_program_that_took_no_tick_of_cpu_has_a_ratio():
    """The kernel counts in ticks; nothing is divided by zero."""
    assert (
        1000.0
        == compared({"lighterman": [cost(1.0)], "cp -r": [cost(1.0, 0.0)]})["cp -r"].cpu_ratio
    )


@pytest.mark.parametrize(("at_most", "met"), [(0.49, False), (0.5, True), (0.6, True)])
def test_what_was_wanted_is_met_up_to_its_bound(at_most, met):
    """At most means that the bound itself is met."""
    found = compared({"lighterman": [cost(1.0)], "s5cmd": [cost(2.0)]})
    verdict, peak = verdicts(found, [Wanted("s5cmd", "wall", at_most)], 100)
    assert (met, 0.5) == (verdict.is_met, verdict.found)
    assert ("peak", True) == (peak.figure, peak.is_met)


@pytest.mark.parametrize(("peak_mib", "met"), [(100.0, True), (100.1, False)])
def test_memory_above_its_limit_is_flagged(peak_mib, met):
    """Lighterman's peak is judged in each row."""
    (peak,) = verdicts(compared({"lighterman": [cost(1.0, peak_mib=peak_mib)]}), [], 100)
    assert met == peak.is_met


def test_a_peer_that_did_not_run_gives_no_verdict():
    """Nothing is claimed of what wasn't measured."""
    found = compared({"lighterman": [cost(1.0)]})
    assert ["peak"] == [one.figure for one in verdicts(found, [Wanted("rclone", "wall", 0.3)], 100)]


@given(st.lists(st.floats(0.01, 1000), min_size=1, max_size=9), st.floats(0.1, 10))
def test_a_ratio_is_between_those_of_the_rounds(walls, factor):
    """A peer that is slower by the same factor in every round has that ratio."""
    ours = [cost(wall) for wall in walls]
    theirs = [cost(wall * factor) for wall in walls]
    assert taken(theirs, ours).wall_ratio == pytest.approx(1 / factor, abs=0.01)
