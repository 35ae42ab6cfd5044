"""Every login of GCS as a catalog has it: the store opens, logs in, lists, reads and writes."""

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from servers.gcs import ACCOUNT, GcsBucket
from servers.windows import content_of

from lighterman.connections.model import Bucket, Connection, Mount, Options
from lighterman.errors import CredentialsError
from lighterman.stores.contract import Attributes, Key, Store, Window

OTHER = "other@tests.iam.gserviceaccount.com"


def use(store: Store, files) -> list[str]:
    """Write, list, and read with whichever engine does it."""
    etag = store.write(Key("dir/a.txt"), files.of(b"content"), Attributes())
    keys = [item.key for page in store.pages("") for item in page]
    window = files.of(bytes(7))
    store.read_into(Key("dir/a.txt"), window, at=0, etag=etag)
    assert b"content" == content_of(window)
    return keys


def mounted_key(root: Path, key: dict[str, str], name: str = "gc-secret.json") -> None:
    """A secret as Kubernetes mounts it; called again, it is replaced as the kubelet does it."""
    version = root / f"..{len(list(root.iterdir()))}"
    version.mkdir()
    (version / name).write_text(json.dumps(key))
    (root / "..new").symlink_to(version.name)
    os.replace(root / "..new", root / "..data")
    if not (root / name).is_symlink():
        (root / name).symlink_to(f"..data/{name}")


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    root = tmp_path / "secret"
    root.mkdir()
    return root


@pytest.fixture
def connect(gcs_bucket: GcsBucket) -> Callable[..., Connection]:
    """A connection to the bucket, with the login that is given."""

    def connect(**fields) -> Connection:
        options = {"endpoint": gcs_bucket.endpoint} | fields.pop("options", {})
        return Connection(
            name="mine",
            kind="gcs",
            schema=Bucket(f"gs://{gcs_bucket.name}"),
            options=Options(**options),
            **fields,
        )

    return connect


@pytest.mark.parametrize("name", ["gc-secret.json", "token", "GOOGLE_APPLICATION_CREDENTIALS"])
def test_a_mounted_key_file_of_any_name_works(gcs_bucket, connect, opened, files, secret, name):
    """A mounted service-account JSON of any name."""
    mounted_key(secret, gcs_bucket.server.service_account(), name)
    store = opened(connect(secret=Mount(name="s", mount_path=str(secret))))
    assert ["dir/a.txt"] == use(store, files)


def test_a_path_in_the_process_environment_works(gcs_bucket, connect, opened, files, secret):
    """GOOGLE_APPLICATION_CREDENTIALS."""
    mounted_key(secret, gcs_bucket.server.service_account())
    environ = {"GOOGLE_APPLICATION_CREDENTIALS": f"{secret}/gc-secret.json"}
    assert ["dir/a.txt"] == use(opened(connect(), environ), files)


def test_a_federated_identity_works(gcs_bucket, connect, opened, files, tmp_path):
    """An external account with its token in a file, exchanged at the STS."""
    gcs_bucket.server.accept_refresh("subject-token", OTHER)
    gcs_bucket.grant("roles/storage.objectAdmin", f"serviceAccount:{OTHER}")
    (tmp_path / "token").write_text("subject-token")
    federation = {
        "type": "external_account",
        "audience": "//iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/p/providers/q",
        "subject_token_type": "urn:ietf:params:oauth:token-type:jwt",
        "token_url": f"{gcs_bucket.endpoint}/v1/token",
        "credential_source": {"file": str(tmp_path / "token")},
    }
    store = opened(connect(env={"GOOGLE_KEYFILE_DICT": json.dumps(federation)}))
    assert ["dir/a.txt"] == use(store, files)


def test_an_emulator_works_without_a_login(gcs_bucket, connect, opened, files):
    """STORAGE_EMULATOR_HOST is all that an emulator needs, for what anybody may read there."""
    gcs_bucket.put("a", b"content")
    gcs_bucket.grant("roles/storage.objectViewer", "allUsers")
    environ = {"STORAGE_EMULATOR_HOST": gcs_bucket.endpoint.removeprefix("http://")}
    store = opened(connect(options={"endpoint": None}), environ)
    assert ["a"] == [item.key for page in store.pages("") for item in page]


def test_a_rotated_secret_is_taken_up_by_every_engine(gcs_bucket, connect, opened, files, secret):
    """A secret that was changed on disk, and whose old login is dead, costs no failed file."""
    server = gcs_bucket.server
    old, new = "old@tests.iam.gserviceaccount.com", "new@tests.iam.gserviceaccount.com"
    mounted_key(secret, server.service_account(old))
    store = opened(connect(secret=Mount(name="s", mount_path=str(secret))))
    use(store, files)
    mounted_key(secret, server.service_account(new))
    server.forget(old)
    server.revoke_all(old)
    assert ["dir/a.txt"] == use(store, files)


def test_a_token_that_dies_before_its_end_costs_no_failed_file(
    gcs_bucket, connect, opened, files, secret
):
    """A session that was revoked in mid-transfer: every call gets a new token and goes on."""
    mounted_key(secret, gcs_bucket.server.service_account())
    store = opened(connect(secret=Mount(name="s", mount_path=str(secret))))
    etag = store.write(Key("a"), files.of(b"content"), Attributes())
    window = files.of(bytes(7))
    for call in (
        lambda: store.write(Key("b"), files.of(b"content"), Attributes()),
        lambda: store.read_into(Key("a"), window, at=0, etag=etag),
        lambda: store.stat(Key("a")),
        lambda: list(store.pages("")),
        lambda: store.delete(Key("b")),
    ):
        gcs_bucket.server.revoke_all(ACCOUNT)
        call()
    assert b"content" == content_of(window)


def test_a_key_that_is_dead_is_refused_with_its_place(gcs_bucket, connect, opened, secret):
    """77, with the file that the login is from and the account that it is of."""
    gone = "gone@tests.iam.gserviceaccount.com"
    mounted_key(secret, gcs_bucket.server.service_account(gone))
    gcs_bucket.server.forget(gone)
    store = opened(connect(secret=Mount(name="s", mount_path=str(secret))))
    with pytest.raises(CredentialsError) as caught:
        list(store.pages(""))
    assert f"the login from files in {secret} ({gone}) was refused" in caught.value.message
    assert "there is no such service account" in caught.value.message
    assert "mine" == caught.value.connection


def test_tokens_that_end_all_the_time_cost_no_failed_part(
    gcs_bucket, connect, opened, files, secret
):
    """A token that expires in mid-transfer: the upload goes on, part by part, and what was sent is whole."""
    mounted_key(secret, gcs_bucket.server.service_account())
    store = opened(connect(secret=Mount(name="s", mount_path=str(secret))))
    content = os.urandom(3 * 256 * 1024 + 5)
    window = files.of(content)
    size = 256 * 1024
    key = Key("large.bin")
    upload = store.begin(key, Attributes(), part_bytes=size)
    parts = []
    for number, start in enumerate(range(0, len(content), size), 1):
        gcs_bucket.server.revoke_all(ACCOUNT)
        part = Window(window.descriptor, start, min(size, len(content) - start))
        parts.append(store.send_part(key, upload, number, part))
    gcs_bucket.server.revoke_all(ACCOUNT)
    store.finish(key, upload, parts)
    assert content == gcs_bucket.get(key)
