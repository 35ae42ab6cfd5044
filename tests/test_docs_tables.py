"""What docs/ says that a test proves, a test of that name is there for."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGES = sorted(ROOT.glob("docs/**/*.md"))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_test_that_a_page_names_is_there(page):
    """A table of proofs that names a test that was renamed proves nothing."""
    tests = {
        name
        for path in ROOT.glob("tests/**/*.py")
        for name in re.findall(r"^ *(?:async )?def (test_\w+)", path.read_text(), re.MULTILINE)
    }
    named = set(re.findall(r"`(?:tests/[\w/]+\.py::)?(test_\w+)`", page.read_text()))
    assert set() == named - tests
