"""What a program is told when something goes wrong, and what nobody is told."""

import logging
import os
import subprocess
import sys
import traceback
from pathlib import Path

import pytest
from catalogs import NAME, write_catalog
from servers.faults import Answer, Reset, is_get, is_put, slow_down
from trees import MIB, make_large

import lighterman
from lighterman.errors import (
    BucketMissingError,
    CannotWriteError,
    ConfigurationError,
    CredentialsError,
    TransientError,
    UntrustedDataError,
)
from lighterman.library.place import LEAST_MEMORY_BYTES


def everything_said(error):
    """Whatever a traceback shows of an error and its causes."""
    return "".join(traceback.format_exception(error)) + repr(error)


def test_an_unknown_name_is_told_with_the_nearest_one(s3_bucket, tmp_path):
    """`connect` and `get_fs` say what the catalog has."""
    catalog = write_catalog(tmp_path / "c.json", s3_bucket.connection("datasets"))
    for ask in (lighterman.connect, lighterman.get_fs):
        with pytest.raises(ConfigurationError, match="no connection 'dataset'") as caught:
            ask("dataset", catalog=catalog, environ={})
        assert "datasets" in caught.value.hint


def test_without_a_catalog_the_places_that_were_looked_at_are_told(tmp_path):
    """The first found counts; where there is none, a URI does."""
    with pytest.raises(ConfigurationError, match="LIGHTERMAN_CATALOG"):
        lighterman.connect("datasets", environ={})
    with lighterman.connect(f"file://{tmp_path}", environ={}) as place:
        assert [] == list(place.list())


def test_the_catalog_may_come_from_the_environment(s3_bucket, tmp_path, monkeypatch):
    """`$LIGHTERMAN_CATALOG` of the process, where no `environ` is given."""
    catalog = write_catalog(tmp_path / "c.json", s3_bucket.connection("datasets"))
    monkeypatch.setenv("LIGHTERMAN_CATALOG", catalog)
    s3_bucket.put("a", b"1")
    with lighterman.connect("datasets") as place:
        assert ["a"] == [entry.key for entry in place.list()]


def test_a_refused_login_is_told(account, tmp_path):
    """Wrong keys: CredentialsError from every call, with a hint, and nothing secret in it."""
    wrong = account.bucket()._replace(secret_access_key="not-the-secret-at-all")
    catalog = write_catalog(tmp_path / "c.json", wrong.connection(NAME))
    (tmp_path / "a").write_bytes(b"1")
    with lighterman.connect(NAME, catalog=catalog, environ={}) as place:
        for ask in (
            lambda: list(place.list()),
            lambda: place.upload_file(tmp_path / "a", "a"),
            lambda: place.upload_dir(tmp_path, "x"),
            lambda: place.download_file("a", tmp_path / "b"),
            lambda: place.download_dir("a", tmp_path / "c"),
        ):
            with pytest.raises(CredentialsError) as caught:
                ask()
            assert caught.value.hint
            assert "not-the-secret-at-all" not in everything_said(caught.value)
    assert not (tmp_path / "b").exists()


def test_a_bucket_that_is_not_there_is_told(s3_bucket, tmp_path):
    """A wrong bucket shows at the first call."""
    catalog = write_catalog(
        tmp_path / "c.json", s3_bucket._replace(name="no-such-bucket").connection(NAME)
    )
    with (
        lighterman.connect(NAME, catalog=catalog, environ={}) as place,
        pytest.raises(BucketMissingError, match="no-such-bucket"),
    ):
        list(place.list())


def test_nothing_secret_is_in_a_repr(s3_bucket, tmp_path):
    """Neither of a place, nor of a filesystem, nor of what they hold."""
    secret = "a-secret-of-the-tests"
    catalog = write_catalog(
        tmp_path / "c.json", s3_bucket._replace(secret_access_key=secret).connection(NAME)
    )
    with lighterman.connect(NAME, catalog=catalog, environ={}) as place:
        seen = [repr(place), str(vars(place)), str(vars(place._opened))]
    fs = lighterman.get_fs(NAME, catalog=catalog, environ={})
    fs.ls("")
    seen += [repr(fs), str(vars(fs)), str(vars(fs.fs)), str(fs.storage_options)]
    fs.close()
    assert secret not in "".join(seen)


def test_trouble_that_passes_is_retried(s3_bucket, proxy_to, tmp_path):
    """A reset and a slow-down cost attempts, which are counted, and no file."""
    proxy = proxy_to(s3_bucket.endpoint)
    catalog = write_catalog(tmp_path / "c.json", s3_bucket.connection(NAME, endpoint=proxy.url))
    proxy.on(is_put, slow_down(), times=4)
    proxy.on(is_get, Reset(), times=4)
    (tmp_path / "a").write_bytes(b"1")
    with lighterman.connect(NAME, catalog=catalog, environ={}) as place:
        sent = place.upload_file(tmp_path / "a", "a")
        came = place.download_file("a", tmp_path / "b")
    assert sent.retries > 0
    assert came.retries > 0
    assert b"1" == (tmp_path / "b").read_bytes()


@pytest.mark.parametrize("by_directory", [True, False], ids=["directory", "file"])
def test_a_failed_upload_leaves_no_parts(s3_bucket, proxy_to, tmp_path, by_directory):
    """Without a `state` nobody could go on with an open upload: it is abandoned."""
    proxy = proxy_to(s3_bucket.endpoint)
    catalog = write_catalog(tmp_path / "c.json", s3_bucket.connection(NAME, endpoint=proxy.url))
    (tmp_path / "tree").mkdir()
    large = make_large(tmp_path / "tree" / "large", 20 * MIB)
    proxy.on(lambda request: request.query.get("partNumber") == "2", slow_down(), times=None)
    with lighterman.connect(NAME, catalog=catalog, environ={}, retry_seconds=0.5) as place:
        send = place.upload_dir if by_directory else place.upload_file
        with pytest.raises(TransientError):
            send(large.parent if by_directory else large, "x")
        assert [] == list(place.list())
    assert [] == s3_bucket.open_uploads()


def test_an_upload_with_a_state_is_gone_on_with(s3_bucket, proxy_to, tmp_path):
    """Only the parts that the failed call didn't bring are sent by the next one."""
    proxy = proxy_to(s3_bucket.endpoint)
    catalog = write_catalog(tmp_path / "c.json", s3_bucket.connection(NAME, endpoint=proxy.url))
    (tmp_path / "tree").mkdir()
    large = make_large(tmp_path / "tree" / "large", 30 * MIB)
    proxy.on(lambda request: request.query.get("partNumber") == "3", slow_down(), times=None)
    with lighterman.connect(NAME, catalog=catalog, environ={}, retry_seconds=0.5) as place:
        with pytest.raises(TransientError):
            place.upload_dir(large.parent, "x", state=tmp_path / "state")
        proxy.forget()
        place.upload_dir(large.parent, "x", state=tmp_path / "state")
    assert large.read_bytes() == s3_bucket.get("x/large")
    again = {request.query.get("partNumber") for request in proxy.seen()} - {None}
    assert "3" in again
    assert len(again) < 4


def test_bytes_that_fail_their_checksum_never_arrive(s3_bucket, proxy_to, tmp_path):
    """Verified by the store's checksum where there is one; under its final name there is nothing."""
    etag = s3_bucket.put("a", b"right")
    proxy = proxy_to(s3_bucket.endpoint)
    proxy.on(
        is_get,
        Answer(
            206,
            b"wrong",
            ETag=f'"{etag}"',
            Content_Range="bytes 0-4/5",
            Last_Modified="Sat, 21 Nov 2026 10:00:00 GMT",
        ),
        times=None,
    )
    catalog = write_catalog(tmp_path / "c.json", s3_bucket.connection(NAME, endpoint=proxy.url))
    with (
        lighterman.connect(NAME, catalog=catalog, environ={}) as place,
        pytest.raises(UntrustedDataError, match="'a'"),
    ):
        place.download_file("a", tmp_path / "here" / "a")
    assert [] == os.listdir(tmp_path / "here")


def test_a_key_that_leads_out_is_refused_before_any_byte(s3_bucket, tmp_path):
    """A key that can't be placed inside the destination is refused by name."""
    s3_bucket.put("x/a", b"1")
    s3_bucket.put("x/../../escaped", b"2")
    catalog = write_catalog(tmp_path / "c.json", s3_bucket.connection(NAME))
    with (
        lighterman.connect(NAME, catalog=catalog, environ={}) as place,
        pytest.raises(UntrustedDataError, match="escaped"),
    ):
        place.download_dir("x", tmp_path / "back")
    assert not (tmp_path / "back").exists()


def test_a_key_outside_of_a_volume_is_refused(tmp_path):
    """Nothing outside of the connection's root is read."""
    (tmp_path / "root").mkdir()
    (tmp_path / "outside").write_bytes(b"1")
    with (
        lighterman.connect(f"file://{tmp_path}/root", environ={}) as place,
        pytest.raises(UntrustedDataError, match="outside"),
    ):
        place.download_file("../outside", tmp_path / "b")


def test_a_read_only_volume_is_not_written(tmp_path):
    """`readOnly` of the connection holds."""
    (tmp_path / "root").mkdir()
    (tmp_path / "a").write_bytes(b"1")
    catalog = tmp_path / "c.yaml"
    catalog.write_text(
        f"[{{name: v, kind: volume_claim, schema: {{volumeClaim: v, mountPath: {tmp_path}/root, "
        "readOnly: true}}]"
    )
    with (
        lighterman.connect("v", catalog=catalog, environ={}) as place,
        pytest.raises(CannotWriteError, match="readOnly"),
    ):
        place.upload_file(tmp_path / "a", "a")


def test_uploads_into_themselves_are_refused(tmp_path):
    """A volume's directory inside the path would be sent into itself for ever."""
    (tmp_path / "in").mkdir()
    with (
        lighterman.connect(f"file://{tmp_path}/in", environ={}) as place,
        pytest.raises(ConfigurationError, match="inside"),
    ):
        place.upload_dir(tmp_path)


@pytest.mark.parametrize(
    "wrong", [{"workers": 0}, {"memory_bytes": LEAST_MEMORY_BYTES - 1}], ids=["workers", "memory"]
)
def test_settings_that_cannot_work_are_refused(tmp_path, wrong):
    """Each names itself."""
    with pytest.raises(ConfigurationError, match=next(iter(wrong))):
        lighterman.connect(f"file://{tmp_path}", environ={}, **wrong)


def test_another_kinds_schema_is_no_place(tmp_path):
    """A bucket that can't be one is told by its name."""
    with pytest.raises(ConfigurationError, match="s3:///"):
        lighterman.connect("s3:///x", environ={})


QUIET = """
import lighterman, sys
place = lighterman.connect("file://" + sys.argv[1], environ={})
place.upload_dir(sys.argv[2], "x")
place.download_dir("x", sys.argv[2] + "-back")
place.close()
"""


def run_program(program, *arguments, **environ):
    done = subprocess.run(
        [sys.executable, "-c", program, *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, **environ},
    )
    assert 0 == done.returncode, done.stderr
    return done.stdout, done.stderr


@pytest.fixture
def two_directories(tmp_path):
    (tmp_path / "store").mkdir()
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree" / "a").write_bytes(b"1")
    (tmp_path / "tree" / "out").symlink_to("/etc/hostname")
    return tmp_path / "store", tmp_path / "tree"


def test_nothing_is_written_where_nobody_set_up_logging(two_directories):
    """The library is quiet, warnings included."""
    assert ("", "") == run_program(QUIET, *two_directories)


def test_logs_go_where_the_host_program_wants_them(two_directories):
    """Events are records of the logger `lighterman`, with their fields."""
    program = "import logging; logging.basicConfig(level=logging.INFO)\n" + QUIET
    _, logged = run_program(program, *two_directories)
    assert "INFO:lighterman:init.done files=1" in logged
    assert "WARNING:lighterman:sidecar.skipped path=out why=a link to outside" in logged


def test_a_record_has_its_fields(two_directories, caplog):
    """`record.fields` is the mapping that the text was made of; nothing in it is a known secret."""
    program = (
        "import json, logging\n"
        "class Handler(logging.Handler):\n"
        "    def emit(self, record): print(json.dumps(record.fields))\n"
        "logging.getLogger('lighterman').addHandler(Handler())\n"
        "logging.getLogger('lighterman').setLevel('INFO')\n" + QUIET
    )
    printed, _ = run_program(program, *two_directories)
    assert '"kept_files": 0' in printed
    assert logging.getLogger("lighterman").level == logging.NOTSET
    assert [] == caplog.records


def test_importing_lighterman_imports_nothing_else():
    """Importing `lighterman` stays cheap; the command line imports it too."""
    program = (
        "import sys; import lighterman; assert 'connect' in dir(lighterman);"
        "print([name for name in sys.modules if name.startswith('lighterman.')])"
    )
    printed, _ = run_program(program)
    assert "['lighterman.errors']" == printed.strip()


def test_an_unknown_name_of_the_package_is_an_attribute_error():
    """As of any module."""
    with pytest.raises(AttributeError, match="no attribute 'conect'"):
        lighterman.conect  # noqa: B018


def test_no_signal_handler_and_no_report_is_the_programs(two_directories, tmp_path):
    """As a library: no signal handlers, no writes to the termination log."""
    program = (
        "import signal, sys\n"
        "numbers = (signal.SIGTERM, signal.SIGINT, signal.SIGCHLD)\n"
        "before = [signal.getsignal(number) for number in numbers]\n" + QUIET + "assert before == ["
        "signal.getsignal(number) for number in numbers]\n"
        "assert signal.set_wakeup_fd(-1) == -1\n"
    )
    report = tmp_path / "report"
    run_program(program, *two_directories, LIGHTERMAN_REPORT=str(report))
    assert not report.exists()
    assert Path(two_directories[0], "x", "a").read_bytes() == b"1"
