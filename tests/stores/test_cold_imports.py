"""Cold start: which SDKs a store imports, in a process of its own."""

import json
import os
import subprocess
import sys

import pytest

PROGRAM = """
import json, os, sys
from lighterman.connections.model import Bucket, Connection, Options
from lighterman.stores import open_store
from lighterman.stores.contract import Attributes, Key, Window
from lighterman.transfer.settings import TransferSettings
told = json.load(sys.stdin)
SDKS = ("boto3", "botocore", "google.cloud.storage", "google.auth", "azure.storage.blob", "azure.identity", "requests")
connection = Connection(name="c", kind=told["kind"], schema=Bucket(told["bucket"]), env=told["env"],
                        options=Options(**told["options"]))
def loaded():
    return [name for name in SDKS if name in sys.modules]
store = open_store(connection, {}, TransferSettings(), concurrency=2)
steps = [loaded()]
file = os.memfd_create("file")
os.write(file, b"hello")
etag = store.write(Key("small"), Window(file, 0, 5), Attributes(mode=0o600))
list(store.pages(""))
store.stat(Key("small"))
store.read_into(Key("small"), Window(file, 0, 5), at=0, etag=etag)
upload = store.begin(Key("large"), Attributes(), part_bytes=5 << 20)
store.abandon(Key("large"), upload)
store.delete(Key("small"))
steps.append(loaded())
store.close()
print(json.dumps(steps))
"""

OWN = {
    "s3_bucket": {"botocore"},
    "gcs_bucket": {"google.cloud.storage", "google.auth", "requests"},
    "azure_container": {"azure.storage.blob", "requests"},
}


@pytest.mark.parametrize("place", OWN)
def test_a_connection_imports_only_its_own_sdk(request, place):
    """Opening a connection imports only its own SDK, and opening alone none."""
    connection = request.getfixturevalue(place).connection()
    options = connection.options
    told = {
        "kind": connection.kind,
        "bucket": connection.schema.bucket,
        "env": {k: v if isinstance(v, str) else v.reveal() for k, v in connection.env.items()},
        "options": {"endpoint": options.endpoint, "region": options.region},
    }

    done = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        input=json.dumps(told),
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )

    assert 0 == done.returncode, done.stderr
    opened, used = map(set, json.loads(done.stdout))
    assert set() == opened
    assert used <= OWN[place]
