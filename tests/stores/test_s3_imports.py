"""Cold start: what a store imports, in a process of its own."""

import json
import os
import subprocess
import sys

PROGRAM = """
import json, os, sys
from lighterman.connections.model import Bucket, Connection, HostPath, Options
from lighterman.stores import open_store
from lighterman.stores.contract import Attributes, Key, Window
from lighterman.transfer.settings import TransferSettings
told = json.load(sys.stdin)
CLOUDS = ("boto3", "botocore", "google.cloud", "azure", "obstore", "urllib3", "botocore.session", "botocore.client")
def loaded():
    return [name for name in CLOUDS if name in sys.modules]
steps = {"nothing": loaded()}
root = told["directory"]
volume = Connection(name="v", kind="host_path", schema=HostPath(host_path=root, mount_path=root))
store = open_store(volume, {}, TransferSettings(), concurrency=2)
file = os.open(os.path.join(root, "file"), os.O_RDWR | os.O_CREAT)
os.write(file, b"hello")
store.write(Key("copy"), Window(file, 0, 5), Attributes())
list(store.pages(""))
steps["volume"] = loaded()
s3 = Connection(name="s", kind="s3", schema=Bucket(told["bucket"]), env=told["env"],
                options=Options(endpoint=told["endpoint"], region="us-east-1"))
store = open_store(s3, {}, TransferSettings(), concurrency=2)
etag = store.write(Key("small"), Window(file, 0, 5), Attributes(mode=0o600))
store.read_into(Key("small"), Window(file, 0, 5), at=0, etag=etag)
steps["bytes"] = loaded()
list(store.pages(""))
store.stat(Key("small"))
store.delete(Key("small"))
steps["s3"] = loaded()
store.close()
print(json.dumps(steps))
"""


def test_static_keys_need_no_sdk(s3_bucket, tmp_path):
    """With static keys neither boto3 nor another cloud's SDK is imported; an unused kind's SDK never."""
    told = {
        "directory": str(tmp_path),
        "bucket": f"s3://{s3_bucket.name}",
        "endpoint": s3_bucket.endpoint,
        "env": {"AWS_ACCESS_KEY_ID": "testkey", "AWS_SECRET_ACCESS_KEY": "testsecret"},
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
    steps = json.loads(done.stdout)
    assert [] == steps["nothing"]
    assert [] == steps["volume"]
    assert ["obstore"] == steps["bytes"]
    assert {"obstore", "urllib3"} == set(steps["s3"])
