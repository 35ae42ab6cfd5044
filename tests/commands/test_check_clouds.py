"""`lighterman check` of GCS and Azure: the same checks, and the roles by their names."""

import json

import pytest
from servers.faults import Answer
from told import findings, states

HOLDS = dict.fromkeys(
    ("resolve", "credentials", "list", "write", "read back", "conditions", "multipart", "delete"),
    "ok",
)
READER = "reader@tests.iam.gserviceaccount.com"


@pytest.fixture
def gcs_entry(gcs_bucket):
    """A connection to the GCS bucket with the key of one account, of an owner if none is given."""

    def make(endpoint=None, **account):
        key = gcs_bucket.server.service_account(**account)
        return {
            "name": "bucket",
            "kind": "gcs",
            "schema": {"bucket": f"gs://{gcs_bucket.name}/runs"},
            "env": {"GC_KEYFILE_DICT": json.dumps(key)},
            "options": {"endpoint": endpoint or gcs_bucket.endpoint},
        }

    return make


@pytest.fixture
def azure_entry(azure_container):
    """A connection to the container with the account's key, or with the login that is given."""

    def make(endpoint=None, **env):
        server = azure_container.server
        key = {"AZURE_STORAGE_KEY": server.key}
        return {
            "name": "bucket",
            "kind": "wasb",
            "schema": {
                "bucket": f"wasbs://{azure_container.name}@{server.account}.blob.core.windows.net/runs"
            },
            "env": {"AZURE_STORAGE_ACCOUNT": server.account} | (env or key),
            "options": {"endpoint": endpoint or azure_container.endpoint},
        }

    return make


def test_gcs_holds(gcs_bucket, gcs_entry, program_with):
    """Logged in, listed, written, made of parts by a session, deleted; sessions can't be listed."""
    finished = program_with(gcs_entry()).run("check", "bucket", "--write")
    assert 0 == finished.code, finished.stdout
    assert HOLDS | {"uploads": "skipped"} == states(finished)
    assert [] == gcs_bucket.keys()


def test_gcs_of_a_reader(gcs_bucket, gcs_entry, program_with):
    """77: the role that is missing, by its name; reading holds."""
    gcs_bucket.put("runs/a", b"x")
    gcs_bucket.grant("roles/storage.objectViewer", f"serviceAccount:{READER}")
    entry = gcs_entry(email=READER, owner=False)
    program = program_with(entry)
    assert 0 == program.run("check", "bucket").code
    finished = program.run("check", "bucket", "--write")
    assert 77 == finished.code
    assert "failed" == states(finished)["write"]
    assert "storage.objects.create" in findings(finished)["bucket", "write"]["hint"]
    assert ["runs/a"] == gcs_bucket.keys()


def test_gcs_without_the_bucket(gcs_entry, program_with):
    """78."""
    entry = gcs_entry() | {"schema": {"bucket": "gs://no-such-bucket-anywhere"}}
    finished = program_with(entry).run("check", "bucket")
    assert (78, "failed") == (finished.code, states(finished)["list"])


def test_a_key_that_is_cut_short(gcs_entry, program_with):
    """77 before any request, and nothing of the key is told."""
    entry = gcs_entry()
    entry["env"]["GC_KEYFILE_DICT"] = entry["env"]["GC_KEYFILE_DICT"][:400]
    finished = program_with(entry).run("check", "bucket")
    assert 77 == finished.code
    assert {"resolve": "ok", "credentials": "failed"} == states(finished)
    assert "PRIVATE KEY" not in finished.stdout + finished.stderr


def test_azure_holds(azure_container, azure_entry, program_with):
    """Logged in, listed, written, made of blocks, deleted."""
    finished = program_with(azure_entry(), hidden=[azure_container.server.key]).run(
        "check", "bucket", "--write"
    )
    assert 0 == finished.code, finished.stdout
    assert HOLDS | {"uploads": "ok"} == states(finished)
    assert [] == azure_container.keys()
    assert [] == azure_container.open_uploads()


def test_azure_with_a_signature_that_only_reads(azure_container, azure_entry, program_with):
    """77: the role, and the letters that the SAS token lacks."""
    azure_container.put("runs/a", b"x")
    sas = azure_container.sas("rl")
    finished = program_with(
        azure_entry(AZURE_STORAGE_SAS_TOKEN=sas), hidden=[sas.partition("sig=")[2].split("&")[0]]
    ).run("check", "bucket", "--write")
    assert 77 == finished.code
    line = findings(finished)["bucket", "write"]
    assert "Storage Blob Data Contributor" in line["hint"]
    assert "c and w in a SAS token" in line["hint"]
    assert ["runs/a"] == azure_container.keys()


def test_azure_with_a_signature_that_only_creates(azure_container, azure_entry, program_with):
    """77: what replacing takes is named at each step that replaces or makes blocks."""
    entry = azure_entry(AZURE_STORAGE_SAS_TOKEN=azure_container.sas("rcl"))
    finished = program_with(entry).run("check", "bucket", "--write")
    assert 77 == finished.code
    for check in ("conditions", "multipart"):
        assert "c and w in a SAS token" in findings(finished)["bucket", check]["hint"]


def test_azure_with_a_signature_that_never_reads(azure_container, azure_entry, program_with):
    """77: an upload by parts asks for its blocks; what couldn't be dropped is said, upload and key."""
    entry = azure_entry(AZURE_STORAGE_SAS_TOKEN=azure_container.sas("wlc"))
    finished = program_with(entry).run("check", "bucket", "--write")
    assert 77 == finished.code
    found = findings(finished)
    assert "r, c and w in a SAS token" in found["bucket", "multipart"]["hint"]
    [key], [open_key] = azure_container.keys(), azure_container.open_uploads()
    hint = found["bucket", "delete"]["hint"]
    assert f"left behind: {key}, an open upload of {open_key}" in hint


def test_azure_without_the_container(azure_entry, azure_container, program_with):
    """78."""
    account = azure_container.server.account
    entry = azure_entry() | {
        "schema": {"bucket": f"wasbs://no-such@{account}.blob.core.windows.net"}
    }
    finished = program_with(entry).run("check", "bucket")
    assert (78, "failed") == (finished.code, states(finished)["list"])


@pytest.mark.parametrize("cloud", ["gcs", "azure"])
def test_nobody_listens(cloud, closed_port, program_with, request):
    """75: it may pass."""
    made = request.getfixturevalue(f"{cloud}_entry")
    account = "" if cloud == "gcs" else "/lightermantests"
    entry = made(f"http://127.0.0.1:{closed_port}{account}")
    if cloud == "gcs":  # the token comes from somewhere else
        entry["options"]["anonymous"] = True
    finished = program_with(entry, LIGHTERMAN_RETRY_FOR="0").run("check", "bucket")
    assert (75, "failed") == (finished.code, states(finished)["list"])


def test_azure_refuses_to_delete(azure_container, azure_entry, program_with, proxy_to):
    """77, with the names that are left behind."""
    server = azure_container.server
    proxy = proxy_to(server.url)
    proxy.on(
        lambda request: request.method == "DELETE",
        Answer(403, x_ms_error_code="AuthorizationPermissionMismatch"),
        times=None,
    )
    entry = azure_entry(f"{proxy.url}/{server.account}")
    finished = program_with(entry).run("check", "bucket", "--write")
    assert 77 == finished.code, finished.stdout
    left = azure_container.keys()
    assert 2 == len(left)
    assert all(key in findings(finished)["bucket", "delete"]["hint"] for key in left)
