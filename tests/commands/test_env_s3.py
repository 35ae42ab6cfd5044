"""`lighterman env NAME` of S3: a program that has nothing else logs in with it and lists the bucket."""

import json
import os
import subprocess
import sys

import pytest
from told import entry_of

LISTING = """
import boto3, sys
answer = boto3.client("s3").list_objects_v2(Bucket=sys.argv[1])
print(*(item["Key"] for item in answer["Contents"]))
"""


def _child(environ, *argv):
    """A process with only this environment (and what Python itself needs)."""
    return subprocess.run(
        argv,
        env={"PATH": os.environ["PATH"], "AWS_EC2_METADATA_DISABLED": "true"} | environ,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split()


@pytest.fixture
def revealed(program_with):
    """The environment of the connection ``bucket``, as JSON tells it."""

    def of(*entries, **environ):
        finished = program_with(*entries, **environ).run(
            "env", "bucket", "--format", "json", "--reveal", *environ.pop("flags", ())
        )
        assert 0 == finished.code, finished.stderr
        return json.loads(finished.stdout)

    return of


def test_a_client_with_nothing_else_lists_the_bucket(bucket, revealed):
    """`lighterman env NAME` prints the environment that a client library needs for that connection."""
    bucket.put("a/b", b"x")
    environ = revealed(entry_of(bucket))
    assert ["a/b"] == _child(environ, sys.executable, "-c", LISTING, bucket.name)


@pytest.mark.ceph
def test_a_server_that_checks_signatures_takes_it(rgw_bucket, revealed):
    """What is printed is the login, to the last character, and the checksums that Ceph takes."""
    rgw_bucket.put("a/b", b"x")
    environ = revealed(entry_of(rgw_bucket))
    assert ["a/b"] == _child(environ, sys.executable, "-c", LISTING, rgw_bucket.name)


def test_a_shell_takes_it(bucket, program_with):
    """`eval "$(lighterman env NAME --reveal)"` also takes away what was there for another login."""
    odd = bucket._replace(secret_access_key='it\'s $HOME `date` "quoted" \\ end')
    bucket.put("a/b", b"x")
    script = (
        'eval "$PRINTED"; printf "%s\\n" "$AWS_SECRET_ACCESS_KEY" "${AWS_SESSION_TOKEN-gone}"; '
        f"{sys.executable} -c '{LISTING}' {bucket.name}"
    )
    finished = program_with(entry_of(odd), AWS_SESSION_TOKEN="of-another").run(
        "env", "bucket", "--reveal"
    )
    environ = {"PRINTED": finished.stdout, "AWS_SESSION_TOKEN": "of-another"}
    done = subprocess.run(
        ["sh", "-c", script],
        env={"PATH": os.environ["PATH"]} | environ,
        capture_output=True,
        text=True,
        check=True,
    )
    assert [odd.secret_access_key, "gone", "a/b"] == done.stdout.splitlines()


@pytest.mark.parametrize("style", ["shell", "dotenv", "json"])
def test_secrets_are_masked_unless_they_are_asked_for(bucket, program_with, style):
    """`env` and every other print mask secrets unless `--reveal`; a mask is never taken for a key."""
    program = program_with(entry_of(bucket), hidden=[bucket.secret_access_key])
    finished = program.run("env", "bucket", "--format", style)
    assert 0 == finished.code
    assert "AWS_SECRET_ACCESS_KEY" in finished.stdout
    assert "********" in finished.stdout
    assert bucket.endpoint in finished.stdout
    if style != "json":
        masked = [line for line in finished.stdout.splitlines() if "********" in line]
        assert all(line.startswith("# ") for line in masked)


def test_tensorflows_own_names(bucket, revealed):
    """TensorFlow wants host and scheme apart."""
    environ = revealed(entry_of(bucket._replace(endpoint="https://minio.example:9000")))
    assert ("minio.example:9000", "1", "1") == tuple(
        environ[name] for name in ("S3_ENDPOINT", "S3_USE_HTTPS", "S3_VERIFY_SSL")
    )
    assert "0" == revealed(entry_of(bucket))["S3_USE_HTTPS"]


def test_a_private_authority(bucket, revealed, authority):
    """`ca_bundle` as AWS's SDKs and as TensorFlow take it."""
    bundle = str(authority.ca_bundle)
    environ = revealed(entry_of(bucket, ca_bundle=bundle))
    assert bundle == environ["AWS_CA_BUNDLE"] == environ["S3_CA_FILE"]


def test_a_role_of_a_web_identity_is_printed_as_the_sdk_takes_it(bucket, revealed, tmp_path):
    """The role's variables, never a snapshot that expires; STS isn't sent to the store's endpoint."""
    token = tmp_path / "token"
    token.write_text("a.b.c")
    login = {"AWS_ROLE_ARN": "arn:aws:iam::1:role/r", "AWS_WEB_IDENTITY_TOKEN_FILE": str(token)}
    environ = revealed(entry_of(bucket) | {"env": login})
    assert login.items() <= environ.items()
    assert "AWS_ACCESS_KEY_ID" not in environ
    assert "AWS_ENDPOINT_URL" not in environ
    assert bucket.endpoint == environ["AWS_ENDPOINT_URL_S3"]


def test_a_role_that_no_library_assumes_is_exchanged_when_asked_for(bucket, program_with):
    """`--resolve` prints the keys of the role, which log in by themselves."""
    bucket.put("a/b", b"x")
    entry = entry_of(bucket)
    entry["env"] |= {
        "AWS_ROLE_ARN": "arn:aws:iam::123456789012:role/reader",
        "AWS_STS_ENDPOINT_URL": bucket.endpoint,
    }
    program = program_with(entry)
    told = program.run("env", "bucket", "--format", "json", "--reveal")
    assert "--resolve" in told.event("env.note")["note"]
    assert bucket.access_key_id == json.loads(told.stdout)["AWS_ACCESS_KEY_ID"]

    resolved = program.run("env", "bucket", "--format", "json", "--reveal", "--resolve")
    environ = json.loads(resolved.stdout)
    assert bucket.access_key_id != environ["AWS_ACCESS_KEY_ID"]
    assert environ["AWS_SESSION_TOKEN"]
    assert "AWS_ROLE_ARN" not in environ
    assert ["a/b"] == _child(environ, sys.executable, "-c", LISTING, bucket.name)


def test_what_no_variable_says_is_said(bucket, program_with):
    """Anonymous requests, and other options that only a call can have."""
    entry = entry_of(bucket, anonymous=True, requester_pays=True)
    finished = program_with(entry).run("env", "bucket", "--format", "json")
    notes = " ".join(event["note"] for event in finished.events if event["event"] == "env.note")
    assert "UNSIGNED" in notes
    assert "RequestPayer" in notes
    assert "AWS_ACCESS_KEY_ID" not in json.loads(finished.stdout)


def test_a_proxys_password_is_masked(bucket, program_with):
    """It is a login too."""
    entry = entry_of(bucket, proxy="http://user:secret-of-the-proxy@proxy.example:3128")
    finished = program_with(entry, hidden=["secret-of-the-proxy"]).run("env", "bucket")
    assert "# HTTPS_PROXY=********" in finished.stdout


def test_a_volume_needs_none(program_with, tmp_path):
    """It says so, prints nothing, and ends with 0."""
    place = {"hostPath": str(tmp_path), "mountPath": str(tmp_path)}
    entry = {"name": "bucket", "kind": "host_path", "schema": place}
    finished = program_with(entry).run("env", "bucket")
    assert (0, "") == (finished.code, finished.stdout)
    assert str(tmp_path) in finished.event("env.note")["note"]


@pytest.mark.parametrize(
    ("argv", "code", "said"),
    [
        (["nobody"], 78, "no connection 'nobody'"),
        ([], 64, "NAME"),
        (["bucket", "--format", "xml"], 64, "'xml'"),
        (["bucket", "--write-key", "key.json"], 78, "--write-key is for connections of kind gcs"),
    ],
)
def test_wrong_input(bucket, program_with, argv, code, said):
    """One line that says what, and how to mend it."""
    finished = program_with(entry_of(bucket)).run("env", *argv)
    assert code == finished.code
    assert said in finished.report["error"]["message"]
    assert finished.report["error"]["hint"]
