"""`lighterman env NAME` of GCS and Azure: a program that has nothing else logs in with it and lists."""

import json
import os
import stat
import subprocess
import sys

import pytest

GCS_LISTING = """
import sys
from google.cloud import storage
print(*(blob.name for blob in storage.Client().list_blobs(sys.argv[1])))
"""
GCSFS_LISTING = """
import sys
from gcsfs import GCSFileSystem
print(*(path.partition("/")[2] for path in GCSFileSystem().find(sys.argv[1])))
"""
AZURE_LISTING = """
import os, sys
from azure.storage.blob import ContainerClient
client = ContainerClient.from_connection_string(os.environ["AZURE_STORAGE_CONNECTION_STRING"], sys.argv[1])
print(*client.list_blob_names())
"""
ADLFS_LISTING = """
import os, sys
from adlfs import AzureBlobFileSystem
files = AzureBlobFileSystem(connection_string=os.environ["AZURE_STORAGE_CONNECTION_STRING"])
print(*(path.partition("/")[2] for path in files.find(sys.argv[1])))
"""


def _child(environ, script, *argv):
    """A process with only this environment (and what Python itself needs)."""
    done = subprocess.run(
        [sys.executable, "-c", script, *argv],
        env={"PATH": os.environ["PATH"], "NO_PROXY": "127.0.0.1"} | environ,
        capture_output=True,
        text=True,
        check=False,
    )
    assert 0 == done.returncode, done.stderr
    return done.stdout.split()


def _revealed(program, *flags):
    finished = program.run("env", "bucket", "--format", "json", "--reveal", *flags)
    assert 0 == finished.code, finished.stderr
    return json.loads(finished.stdout)


@pytest.fixture
def gcs_entry(gcs_bucket):
    """A connection to a GCS bucket that holds one object, without a login."""
    gcs_bucket.put("a/b", b"x")
    return {
        "name": "bucket",
        "kind": "gcs",
        "schema": {"bucket": f"gs://{gcs_bucket.name}"},
        "options": {"endpoint": gcs_bucket.endpoint},
    }


@pytest.fixture(params=[GCS_LISTING, GCSFS_LISTING], ids=["sdk", "gcsfs"])
def listing(request):
    """A script that lists a bucket with whatever its environment says."""
    return request.param


@pytest.fixture
def key_text(gcs_bucket):
    """A service account's key file."""
    return json.dumps(gcs_bucket.server.service_account())


def test_gcs_with_a_mounted_key(gcs_bucket, gcs_entry, key_text, listing, program_with, tmp_path):
    """The file that is mounted is the one that is named."""
    mount = tmp_path / "secret"
    mount.mkdir()
    (mount / "any-name.json").write_text(key_text)
    secret = {"secret": {"name": "s", "mountPath": str(mount)}}
    environ = _revealed(program_with(gcs_entry | secret))
    assert str(mount / "any-name.json") == environ["GOOGLE_APPLICATION_CREDENTIALS"]
    assert ["a/b"] == _child(environ, listing, gcs_bucket.name)


def test_gcs_with_a_key_in_no_file(gcs_bucket, gcs_entry, key_text, program_with, tmp_path):
    """It is said; `--write-key FILE` writes one, for its owner alone."""
    program = program_with(gcs_entry | {"env": {"GC_KEYFILE_DICT": key_text}})
    told = program.run("env", "bucket", "--format", "json")
    assert "--write-key" in told.event("env.note")["note"]
    assert "GOOGLE_APPLICATION_CREDENTIALS" not in json.loads(told.stdout)
    assert "PRIVATE KEY" not in told.stdout + told.stderr

    file = tmp_path / "key.json"
    environ = _revealed(program, "--write-key", file)
    assert str(file) == environ["GOOGLE_APPLICATION_CREDENTIALS"]
    assert 0o600 == stat.S_IMODE(file.stat().st_mode)
    assert ["a/b"] == _child(environ, GCS_LISTING, gcs_bucket.name)
    assert {"key.json"} == {path.name for path in tmp_path.glob("key*")}


def test_gcs_with_a_key_that_is_named(gcs_bucket, gcs_entry, key_text, program_with, tmp_path):
    """The ambient file stays where it is."""
    file = tmp_path / "ambient.json"
    file.write_text(key_text)
    program = program_with(gcs_entry, GOOGLE_APPLICATION_CREDENTIALS=str(file))
    environ = _revealed(program)
    assert str(file) == environ["GOOGLE_APPLICATION_CREDENTIALS"]
    assert ["a/b"] == _child(environ, GCS_LISTING, gcs_bucket.name)


def test_gcs_of_an_emulator(gcs_bucket, gcs_entry, listing, program_with):
    """Without login, at an endpoint of its own."""
    gcs_bucket.grant("roles/storage.objectViewer", "allUsers")
    gcs_entry["options"]["anonymous"] = True
    environ = _revealed(program_with(gcs_entry))
    assert gcs_bucket.endpoint == environ["STORAGE_EMULATOR_HOST"]
    assert ["a/b"] == _child(environ, listing, gcs_bucket.name)


@pytest.mark.parametrize(
    ("file", "code", "said"),
    [("/nowhere/key.json", 73, "can't write the key"), ("key.json", 78, "no key to write")],
)
def test_gcs_keys_that_cant_be_written(gcs_entry, key_text, program_with, file, code, said):
    """73 where the place refuses, 78 where there is no key."""
    env = {"env": {"GC_KEYFILE_DICT": key_text}} if code == 73 else {"options": {"anonymous": True}}
    finished = program_with(gcs_entry | env).run("env", "bucket", "--write-key", file)
    assert code == finished.code
    assert said in finished.report["error"]["message"]


def _azure(container, **env):
    account = container.server.account
    return {
        "name": "bucket",
        "kind": "azure",
        "schema": {"bucket": f"wasbs://{container.name}@{account}.blob.core.windows.net"},
        "env": {"AZURE_STORAGE_ACCOUNT": account} | env,
        "options": {"endpoint": container.endpoint},
    }


@pytest.mark.parametrize("login", ["key", "sas", "connection string"])
@pytest.mark.parametrize("script", [AZURE_LISTING, ADLFS_LISTING], ids=["sdk", "adlfs"])
def test_azure(azure_container, program_with, login, script):
    """Whatever the login was written as, the SDK and adlfs take it."""
    azure_container.put("a/b", b"x")
    env = {
        "key": {"AZURE_STORAGE_KEY": azure_container.server.key},
        "sas": {"AZURE_STORAGE_SAS_TOKEN": azure_container.sas("rl")},
        "connection string": {
            "AZURE_STORAGE_CONNECTION_STRING": azure_container.server.connection_string
        },
    }[login]
    entry = _azure(azure_container, **env)
    if login == "connection string":
        del entry["env"]["AZURE_STORAGE_ACCOUNT"]
        del entry["options"]
    environ = _revealed(program_with(entry))
    assert ["a/b"] == _child(environ, script, azure_container.name)


def test_azures_secrets_are_masked(azure_container, program_with):
    """The key stands in the connection string too."""
    key = azure_container.server.key
    program = program_with(_azure(azure_container, AZURE_STORAGE_KEY=key), hidden=[key])
    finished = program.run("env", "bucket")
    assert 0 == finished.code
    assert "# TF_AZURE_STORAGE_KEY=********" in finished.stdout
    assert "# AZURE_STORAGE_CONNECTION_STRING=********" in finished.stdout


def test_a_principal_is_printed_as_azure_identity_takes_it(program_with):
    """Tenant, client and secret; tokens are fetched by the library itself, and expire there."""
    login = {
        "AZURE_TENANT_ID": "11111111-2222-3333-4444-555555555555",
        "AZURE_CLIENT_ID": "66666666-7777-8888-9999-000000000000",
        "AZURE_CLIENT_SECRET": "of-the-client",
    }
    entry = {
        "name": "bucket",
        "kind": "wasb",
        "schema": {"bucket": "wasbs://c@account.blob.core.windows.net"},
        "env": login,
    }
    program = program_with(entry)
    environ = _revealed(program)
    assert (login | {"AZURE_STORAGE_ACCOUNT": "account"}).items() <= environ.items()
    assert "AZURE_STORAGE_CONNECTION_STRING" not in environ
    notes = program.run("env", "bucket").event("env.note")["note"]
    assert "DefaultAzureCredential" in notes
