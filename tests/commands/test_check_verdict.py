"""What findings amount to, and how they are printed."""

import io
import json
import sys

import pytest

from lighterman.checking.findings import Finding, Findings, State
from lighterman.checking.shown import printer, row
from lighterman.errors import (
    CannotWriteError,
    ConfigurationError,
    CredentialsError,
    SlowDownError,
    TransientError,
)
from lighterman.secret import Secret
from lighterman.stores.s3.lifecycle import aborts_after_days
from lighterman.transfer.tally import Tally

IN_AND = """<Rule><Filter><And><Prefix>out</Prefix></And></Filter>
<Status>Enabled</Status>{abort}</Rule>"""
NAMESPACE = "http://s3.amazonaws.com/doc/2006-03-01/"


@pytest.mark.parametrize(
    ("errors", "code"),
    [
        ([], None),
        ([TransientError("t")], 75),
        ([TransientError("t"), CredentialsError("c"), ConfigurationError("o")], 77),
        ([ConfigurationError("o"), CredentialsError("c")], 78),
        ([SlowDownError("s"), TransientError("t"), CannotWriteError("w")], 73),
    ],
)
def test_the_first_that_another_start_wont_mend_decides(errors, code):
    """Who is told to try again later shall not do so in vain."""
    findings = Findings(lambda _: None, Tally())
    findings.tell("a", "resolve", State.OK, "fine")
    findings.tell("a", "lifecycle", State.WARNING, "no rule", "make one")
    for number, error in enumerate(errors):
        findings.failed("a", f"check-{number}", error)
    verdict = findings.verdict()
    assert code == (verdict.exit_code if verdict else None)
    assert len(errors) == findings.counts()[State.FAILED]


class Screen(io.StringIO):
    """A terminal."""

    def isatty(self):
        return True


@pytest.mark.parametrize(("stdout", "is_table"), [(Screen, True), (io.StringIO, False)])
def test_a_terminal_gets_a_table(monkeypatch, stdout, is_table):
    """Else JSON lines; either with secrets masked, also those in a foreign text."""
    monkeypatch.setattr(sys, "stdout", stdout())
    Secret("a-very-secret-value")
    findings = Findings(printer(None), Tally())
    findings.failed("a", "write", CredentialsError("no a-very-secret-value", hint="mend it"))
    seen = sys.stdout.getvalue()
    assert "a-very-secret-value" not in seen
    if is_table:
        assert seen.startswith("failed   a ")
        assert seen.endswith("→ mend it\n")
    else:
        assert {"state": "failed", "code": 77, "hint": "mend it"}.items() <= json.loads(
            seen
        ).items()


def test_a_reader_that_goes_away_changes_nothing(monkeypatch):
    """The checks, the report and the code don't depend on who looks."""
    gone = io.StringIO()
    gone.close()
    monkeypatch.setattr(sys, "stdout", gone)
    findings = Findings(printer("json"), Tally())
    findings.failed("a", "write", TransientError("no"))
    assert 75 == findings.verdict().exit_code


@pytest.mark.parametrize(
    ("rules", "prefix", "days"),
    [
        ("", "", None),
        ("<Rule><Status>Enabled</Status>{abort}</Rule>", "any/", 3),
        ("<Rule><Prefix>out</Prefix><Status>Enabled</Status>{abort}</Rule>", "outputs/", 3),
        ("<Rule><Prefix>out</Prefix><Status>Enabled</Status>{abort}</Rule>", "in/", None),
        (IN_AND, "outputs/", 3),
        (IN_AND, "", None),
        ("<Rule><Status>Disabled</Status>{abort}</Rule>", "", None),
        ("<Rule><Status>Enabled</Status><Expiration><Days>1</Days></Expiration></Rule>", "", None),
        ("not < xml", "", None),
    ],
)
@pytest.mark.parametrize("namespace", ["", f' xmlns="{NAMESPACE}"'])
def test_rules_of_a_bucket(rules, prefix, days, namespace):
    """A rule helps where it is enabled and holds for every key below the prefix."""
    abort = (
        "<AbortIncompleteMultipartUpload><DaysAfterInitiation>3</DaysAfterInitiation>"
        "</AbortIncompleteMultipartUpload>"
    )
    document = f"<LifecycleConfiguration{namespace}>{rules.format(abort=abort)}"
    document += "</LifecycleConfiguration>"
    assert days == aborts_after_days(document.encode(), prefix)


def test_a_key_says_nothing_to_the_terminal():
    """Names of objects are anybody's: what would move the cursor or begin a line is written out."""
    said = "the first byte of a\x1b[2Jb\nok   c\u202etxt"
    line = row(Finding("bucket", "read", State.OK, said))
    assert line.endswith(r"the first byte of a\x1b[2Jb\nok   c\u202etxt")
