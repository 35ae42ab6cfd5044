"""What ``--on-failure`` may say."""

from argparse import Namespace

import pytest

from lighterman.errors import ConfigurationError, UsageError
from lighterman.jobspec import Output
from sidecar.on_failure import failed_output, on_failure

TO_OUT = Output(connection="bucket", path="/outputs", to="out")


@pytest.mark.parametrize(
    "text", ["upload", "skip", "failed/{pod}", "failed", "runs/7/failed", "skip/", "/"]
)
def test_a_word_or_a_prefix(text):
    """A prefix that is called like a word is written with a slash."""
    assert on_failure(text) == text


@pytest.mark.parametrize("text", ["Skip", "uplaod", "UPLOAD", "skipp", ""])
def test_a_slip_of_the_pen_makes_no_prefix(text):
    """Outputs in ``uplaod/`` are looked for nowhere."""
    with pytest.raises(ValueError, match="prefix"):
        on_failure(text)


@pytest.mark.parametrize(
    ("said", "prefix"),
    [("upload", None), ("skip", None), ("bad/{pod}", "bad/p-0"), ("skip/", "skip"), ("/", "")],
)
def test_where_a_failed_cmds_outputs_go(said, prefix):
    """Words as in ``--to``; below the connection's root."""
    assert failed_output(Namespace(on_failure=said), [TO_OUT], {"POD_NAME": "p-0"}) == prefix


def test_a_prefix_that_is_the_usual_one_is_refused():
    """64: what it means is the word ``upload``."""
    with pytest.raises(UsageError, match="where outputs go anyway"):
        failed_output(Namespace(on_failure="out/"), [TO_OUT], {})


@pytest.mark.parametrize("said", ["bad/{pod}", "a//b", "../up", "bad/{podd}"])
def test_a_prefix_that_is_none_is_configuration(said):
    """78, before CMD runs; the flag that said it is named."""
    with pytest.raises(ConfigurationError, match="--on-failure"):
        failed_output(Namespace(on_failure=said), [TO_OUT], {})
