"""Logins and places that are off, by init and by check: the code, one line of what and where, and how it is mended."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

import places
import pytest
from program import Program
from servers.azure_faults import azure_error
from servers.faults import Answer, s3_error

COMMANDS = {
    "init": ("init", "--connection", "bucket", "--to", "inputs"),
    "check": ("check", "bucket"),
}
FRESH = {"s3": "s3_bucket", "gcs": "gcs_bucket", "wasb": "azure_container"}
SKEWED_JWT = (
    "Invalid JWT: Token must be a short-lived token (60 minutes) and in a reasonable timeframe."
    " Check your iat and exp values in the JWT claim."
)


class Off(NamedTuple):
    """A connection as it stands in the catalog, with what must not be seen of it."""

    entry: dict[str, Any]
    hidden: list[str]


@pytest.fixture
def fresh(request, tmp_path):
    """Makes a connection to a fresh bucket of a cloud that is right, its secret mounted; and gives the bucket."""

    def make(kind):
        place = request.getfixturevalue(FRESH[kind])
        secret = tmp_path / "secret"
        secret.mkdir()
        for name, content in places.secret_files(place).items():
            (secret / name).write_text(content)
        return place, Off(places.entry(place, secret), places.secrets_of(place))

    return make


@pytest.fixture
def behind(fresh, proxy_to):
    """The same, where a proxy answers in the store's stead."""

    def make(kind, matches, answer):
        place, off = fresh(kind)
        front = proxy_to(place.endpoint)
        front.on(matches, answer, times=None)
        off.entry["options"]["endpoint"] = places.through(place, front.url).endpoint
        return off

    return make


def everything(_) -> bool:
    return True


@pytest.fixture
def key_file_cut_short(fresh, tmp_path):
    _, off = fresh("gcs")
    file = tmp_path / "secret" / "service-account.json"
    file.write_text(file.read_text()[:400])
    return off


@pytest.fixture
def key_file_without_its_key(fresh, tmp_path):
    _, off = fresh("gcs")
    file = tmp_path / "secret" / "service-account.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"private_key": ""}))
    return off


@pytest.fixture
def azure_key_without_base64(fresh, tmp_path):
    _, off = fresh("wasb")
    (tmp_path / "secret" / "AZURE_STORAGE_KEY").write_text("this-is-no-key-of-azure!")
    return off._replace(hidden=["this-is-no-key-of-azure!"])


@pytest.fixture
def sas_of(fresh, tmp_path):
    """Makes the connection with a SAS in place of the key."""

    def make(change):
        container, off = fresh("wasb")
        sas = change(container)
        (tmp_path / "secret" / "AZURE_STORAGE_KEY").unlink()
        (tmp_path / "secret" / "AZURE_STORAGE_SAS_TOKEN").write_text(sas)
        signature = sas.partition("sig=")[2].partition("&")[0]
        return off._replace(hidden=[*off.hidden, signature])

    return make


@pytest.fixture
def expired_sas(sas_of):
    return sas_of(lambda container: container.sas("rl", hours=-1))


@pytest.fixture
def sas_that_may_not_list(sas_of):
    return sas_of(lambda container: container.sas("r"))


@pytest.fixture
def sas_of_another_key(sas_of):
    def made(container):
        other = container.server._replace(key="b3RoZXIga2V5IG9mIGFub3RoZXIgYWNjb3VudA==")
        return container._replace(server=other).sas("rl")

    return sas_of(made)


@pytest.fixture
def missing(fresh):
    """Makes the connection to a bucket that isn't there."""

    def make(kind):
        place, off = fresh(kind)
        off.entry["schema"]["bucket"] = off.entry["schema"]["bucket"].replace(
            place.name, "no-such-bucket-anywhere"
        )
        return off

    return make


@pytest.fixture
def missing_bucket_of_s3(missing):
    return missing("s3")


@pytest.fixture
def missing_bucket_of_gcs(missing):
    return missing("gcs")


@pytest.fixture
def missing_container(missing):
    return missing("wasb")


@pytest.fixture
def skewed_s3(behind):
    return behind("s3", everything, s3_error(403, "RequestTimeTooSkewed"))


@pytest.fixture
def skewed_gcs(fresh, proxy_to, tmp_path):
    bucket, off = fresh("gcs")
    front = proxy_to(bucket.endpoint)
    body = json.dumps({"error": "invalid_grant", "error_description": SKEWED_JWT}).encode()
    date = datetime.now(UTC) + timedelta(hours=1)
    front.on(everything, Answer(400, body, Date=f"{date:%a, %d %b %Y %H:%M:%S} GMT"), times=None)
    file = tmp_path / "secret" / "service-account.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"token_uri": f"{front.url}/token"}))
    return off


@pytest.fixture
def skewed_azure(behind):
    detail = "Request date header too old: 'Sat, 21 Nov 2026 00:00:00 GMT'"
    return behind("wasb", everything, azure_error(403, "AuthenticationFailed", detail))


BAD = {
    "key_file_cut_short": (
        77,
        "service-account.json",
        "not JSON",
        "mount the key file whole",
    ),
    "key_file_without_its_key": (77, "service-account.json", "without private_key", "key file"),
    "azure_key_without_base64": (77, "AZURE_STORAGE_KEY (files in", "base64", "key"),
    "expired_sas": (77, "AZURE_STORAGE_SAS_TOKEN (files in", "expired", "make a new one"),
    "sas_that_may_not_list": (77, "files in", "refuses the login", "permissions r, l"),
    "sas_of_another_key": (77, "files in", "refuses the login", "SAS token"),
    "missing_bucket_of_s3": (78, "no-such-bucket-anywhere", "there is no", "create the bucket"),
    "missing_bucket_of_gcs": (78, "no-such-bucket-anywhere", "there is no", "create the bucket"),
    "missing_container": (78, "no-such-bucket-anywhere", "there is no", "create the container"),
    "skewed_s3": (77, "files in", "RequestTimeTooSkewed", "clock"),
    "skewed_gcs": (77, "files in", "clock is wrong (3", "set the clock"),
    "skewed_azure": (77, "files in", "time is off", "clock is off"),
}
"""Each with its code, where it is said to be, what is said, and what of its hint."""


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("bad", BAD)
def test_a_bad_login_is_told_in_one_line(request, tmp_path, bad, command):
    """77 or 78, what and where and how to mend it, and nothing of the login in log, output and report."""
    code, where, said, hint = BAD[bad]
    off = request.getfixturevalue(bad)
    environ = {"LIGHTERMAN_CATALOG": json.dumps([off.entry])}

    ended = Program(tmp_path, environ, off.hidden).run(*COMMANDS[command])

    error = ended.report["error"]
    assert (code, code) == (ended.code, error["code"]), ended.stderr[-2000:]
    assert where in error["message"]
    assert said in error["message"]
    assert hint in error["hint"]
    assert "\n" not in error["message"] + error["hint"]
    assert 0 == ended.report["retries"]
    if command == "init":
        [told] = [each for each in ended.events if each["level"] == "error"]
    else:
        lines = [json.loads(line) for line in ended.stdout.splitlines()]
        [told] = [each for each in lines if each["state"] == "failed"]
    assert hint in told["hint"]
