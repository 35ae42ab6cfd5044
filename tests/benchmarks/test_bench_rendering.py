"""What a reader of docs/performance.md sees is what was measured."""

import xml.etree.ElementTree as ET

import plot
import pytest
import report
import tables
from hypothesis import given
from hypothesis import strategies as st
from results import TWO_ROWS, cost, result, row

SVG = "{http://www.w3.org/2000/svg}"


def test_columns_are_aligned():
    """A table reads on a terminal as it does on a page."""
    text = tables.aligned(["a", "b", "c"], [["long text", "x", "1"], ["y", "z", "1000"]])
    assert 1 == len({len(line) for line in text.splitlines()})
    assert "| y         | z   | 1000 |" == text.splitlines()[-1]
    assert "| --------- | --- | ---: |" == text.splitlines()[1]


def test_medians_are_told_of_every_program():
    """A program that didn't run in a row has a dash there."""
    lines = tables.medians(TWO_ROWS).splitlines()
    cells = [cell.strip() for cell in lines[-1].strip("|").split("|")]
    assert [
        "10 files, 20 ms a request",
        "tmpfs",
        "1.00 / 1.00 / 120",
        "0.50 / 1.00 / 50",
        "-",
    ] == cells


def test_ratios_are_ours_divided_by_theirs():
    """Below 1, lighterman took less."""
    assert ["10 files", "tmpfs", "0.50 / 0.25", "0.03 / 1.00"] == ratio_cells(2)[:4]


def test_each_target_is_marked():
    """Met and not met are told apart; memory is judged in each row."""
    wanted = (
        f"s5cmd: wall ≤ 0.6 {tables.MET}, CPU ≤ 0.2 {tables.MISSED}; peak ≤ 100 MiB {tables.MET}"
    )
    assert wanted == ratio_cells(2)[-1]
    assert f"peak ≤ 100 MiB {tables.MISSED}" == ratio_cells(3)[-1]


def ratio_cells(line):
    cells = tables.ratios(TWO_ROWS).splitlines()[line].strip("|").split("|")
    return [cell.strip() for cell in cells]


def test_facts_tell_of_fewer_rounds():
    """Who ran less often than the others is named."""
    assert "Medians of 3 rounds, of boto3 1." in tables.facts(TWO_ROWS)


def test_the_plot_has_a_mark_for_every_ratio():
    """Each peer of each row is one mark with its name and its ratio, and none lies outside the picture."""
    root = ET.fromstring(plot.svg(TWO_ROWS))
    titles = [found.text for found in root.iter(f"{SVG}title")][1:]
    assert ["boto3: 40.00", "s5cmd: 0.50", "s5cmd: 2.00"] == sorted(titles)


def test_a_plot_without_lighterman_is_a_picture_too():
    """Peers alone have no ratio: the panel is empty, and the file is whole."""
    root = ET.fromstring(plot.svg(result(row({"s5cmd": [cost(1.0)]}))))
    assert f"{SVG}svg" == root.tag


@given(st.lists(st.floats(0.001, 1000), max_size=20))
def test_every_ratio_is_on_the_axis(ratios):
    """So is 1, where lighterman is; a larger ratio is further to the right."""
    axis = plot.axis_of(ratios)
    places = [axis.at(ratio) for ratio in sorted([1.0, *ratios])]
    assert places == sorted(places)
    assert 0 < places[0] <= places[-1] < axis.at(axis.most)
    assert 1 in axis.ticks()


BEGIN, END = report.marks("fetch")


def test_a_section_is_put_between_its_marks():
    """What is around them stays; doing it again changes nothing."""
    page = f"before\n\n{BEGIN}\nold\n{END}\n\nafter\n"
    once = report.inserted(page, "new")
    assert f"before\n\n{BEGIN}\nnew\n{END}\n\nafter\n" == once
    assert once == report.inserted(once, "new")


def test_a_page_without_marks_is_refused():
    """Nothing is guessed."""
    with pytest.raises(SystemExit, match="no section"):
        report.inserted("a page", "new")


def test_a_file_that_is_no_result_is_refused(tmp_path):
    """The message says where it is wrong."""
    file = tmp_path / "fetch.json"
    file.write_text('{"date": 1}')
    with pytest.raises(SystemExit, match=r"Expected `str`.*\$\.date"):
        report.read(file)


@pytest.mark.parametrize("of", report.HEADINGS)
def test_the_page_shows_the_figures_that_are_beside_it(of):
    """Nothing in docs/performance.md's sections, nor in the plots, was written by hand."""
    measured = report.read(report.PICTURES / f"{of}.json")
    page = report.PAGE.read_text()
    assert page == report.inserted(page, report.section(measured, of), of)
    assert plot.svg(measured, report.HEADINGS[of]) == (report.PICTURES / f"{of}.svg").read_text()
