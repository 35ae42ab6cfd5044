"""Report: one JSON object, 4,096 bytes at most."""

import json

from hypothesis import given
from hypothesis import strategies as st

from lighterman import log, report
from lighterman.errors import CredentialsError, SourceMissingError
from lighterman.secret import Secret
from lighterman.transfer.tally import Sharded, Tally


def written(tally=None, code=0, error=None, command="init"):
    built = report.build(command, tally or Tally(), 1.23456, code, error)
    return json.loads(report.encode(built))


def test_a_good_run_has_the_members_of_the_contract():
    """Files, bytes, skipped, seconds and retries, as the tally counted them."""
    tally = Tally()
    tally.planned(2, 30)
    tally.carried(30)
    tally.done()
    tally.skip(4)
    tally.retried()
    assert written(tally) == {
        "command": "init",
        "status": "done",
        "files": 1,
        "bytes": 30,
        "skipped": 4,
        "seconds": 1.235,
        "retries": 1,
    }


def test_a_failure_names_its_code_kind_message_and_hint():
    """The error is an object of four members."""
    error = SourceMissingError("s3-a: there is no train/", hint="check the name")
    assert written(code=66, error=error)["error"] == {
        "code": 66,
        "kind": "source_missing",
        "message": "s3-a: there is no train/",
        "hint": "check the name",
    }


def test_failed_keys_are_the_first_and_a_count():
    """`failed` (first keys and a count)."""
    tally = Tally()
    for number in range(25):
        tally.failed(f"k{number}", "cannot_write", "no")
    tally.mended("k0")
    failed = written(tally, code=73)["failed"]
    assert failed["count"] == 24
    assert [item["key"] for item in failed["first"]] == [f"k{number}" for number in range(1, 11)]


@given(
    st.lists(st.tuples(st.text(max_size=1500), st.text(max_size=1500)), max_size=15),
    st.text(max_size=5000),
)
def test_a_report_is_never_longer_than_4096_bytes(failures, message):
    """Whatever the keys and texts, what is written is whole JSON that the kubelet keeps."""
    tally = Tally()
    for key, text in failures:
        tally.failed(key, "transient", text)
    built = report.build("sidecar", tally, 1, 77, CredentialsError(message, hint=message))
    encoded = report.encode(built)
    assert len(encoded) <= 4096
    assert json.loads(encoded)["error"]["code"] == 77


def test_no_credential_reaches_a_report():
    """A secret inside an error text is masked."""
    secret = Secret("wJalrXUtnFEMI/K7MDENG")
    error = CredentialsError(f"refused: {secret.reveal()}")
    built = report.build("init", Tally(), 1, 77, error)
    assert b"wJalr" not in report.encode(built)


def test_a_place_that_cannot_be_written_is_said_and_changes_nothing(tmp_path, capsys):
    """How a command ended doesn't depend on its report."""
    log.configure()
    report.write(report.build("init", Tally(), 1, 0, None), str(tmp_path / "no" / "report"))
    assert "report.not_written" in capsys.readouterr().err


def test_the_report_goes_to_the_file_that_was_named(tmp_path):
    """`--report FILE`."""
    report.write(report.build("init", Tally(), 1, 0, None), str(tmp_path / "report"))
    assert json.loads((tmp_path / "report").read_text())["command"] == "init"


def test_the_report_goes_to_the_termination_log_where_there_is_one(tmp_path, monkeypatch):
    """One JSON object to `/dev/termination-log` where that exists."""
    place = tmp_path / "termination-log"
    monkeypatch.setattr(report, "TERMINATION_LOG", place)
    report.write(report.build("init", Tally(), 1, 0, None), None)
    assert not place.exists()
    place.touch()
    report.write(report.build("init", Tally(), 1, 0, None), None)
    assert json.loads(place.read_text())["status"] == "done"


def test_shards_are_told_and_fit():
    """The listing's digest of the first sharded entries, whole, beside all that may fail."""
    tally = Tally()
    parts = [Sharded("c" * 900, 1, 8, 10**7, 10**15, f"{number:032x}") for number in range(9)]
    tally.shards(parts)
    for number in range(10):
        tally.failed("k" * 1000 + str(number), "cannot_write", "n" * 900)
    built = report.build("init", tally, 1.0, 65, CredentialsError("m" * 3000, hint="h" * 900))
    encoded = report.encode(built)
    assert len(encoded) <= report.MOST_BYTES
    told = json.loads(encoded)["shards"]
    assert [one["listing_digest"] for one in told] == [f"{number:032x}" for number in range(5)]
