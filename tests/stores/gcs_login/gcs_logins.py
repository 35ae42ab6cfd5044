"""What the tests of GCS's logins do with a login, and Google's credentials of the rarer kinds."""

import json
import os
import subprocess
import sys
import urllib.parse
import urllib.request
from pathlib import Path

from servers.gcs import GcsBucket

SCOPE = "https://www.googleapis.com/auth/cloud-platform"


def listing(bucket: GcsBucket, token: str | None) -> list[str]:
    """The keys of a bucket, listed with this token."""
    request = urllib.request.Request(f"{bucket.endpoint}/storage/v1/b/{bucket.name}/o")
    if token:
        request.add_header("Authorization", f"Bearer {token}")
    with urllib.request.urlopen(request, timeout=10) as answer:
        return [item["name"] for item in json.load(answer).get("items", [])]


def is_token(request) -> bool:
    return request.path.endswith("/token")


def federation(gcs, token_file: Path, **more) -> dict[str, object]:
    return {
        "type": "external_account",
        "audience": "//iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/p/providers/q",
        "subject_token_type": "urn:ietf:params:oauth:token-type:jwt",
        "token_url": f"{gcs.endpoint}/v1/token",
        "credential_source": {"file": str(token_file)},
    } | more


OTHER_PROCESS = """
import json, os, sys
from lighterman.connections.gcs_login import GcsLogins
from lighterman.connections.model import Bucket, Connection
from lighterman.errors import LightermanError
from lighterman.stores.failures import Place
from lighterman.stores.gcs.login import login_of
from lighterman.stores.network import Network, proxy_for

connection = Connection(name="mine", kind="gcs", schema=Bucket("gs://b"))
login = GcsLogins(connection, os.environ).current()
place = Place("mine", "b", "https://storage.googleapis.com", "", login.source)

def reach(endpoint):
    proxy = proxy_for(connection, os.environ, endpoint)
    return Network(endpoint=endpoint, proxy=proxy, stall_seconds=5, concurrency=1)

said = {"source": login.source}
try:
    said["token"] = login_of(login, place, reach).token()
except LightermanError as error:
    said |= {"error": type(error).__name__, "message": error.message, "hint": error.hint}
said["modules"] = sorted({name.split(".")[0] for name in sys.modules})
json.dump(said, sys.stdout)
"""


def in_another_process(environ: dict[str, str], path: Path) -> dict[str, object]:
    """google-auth reads the metadata server's place as it is imported: once in a process."""
    base = {
        name: os.environ[name] for name in ("PATH", "COVERAGE_PROCESS_START") if name in os.environ
    }
    ran = subprocess.run(
        [sys.executable, "-W", "error", "-c", OTHER_PROCESS],
        env={**base, "HOME": str(path), "PYTHONPATH": str(Path(__file__).parents[3])} | environ,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    return json.loads(ran.stdout)
