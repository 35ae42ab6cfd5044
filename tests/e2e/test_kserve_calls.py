"""KServe's calls of its storage initializer, as its controller writes them, with the real program at real servers."""

import io
import json
import tarfile

import pytest
from program import Program

MODEL = {"model/a.bin": b"a" * 1000, "model/sub/b.bin": b"bb", "model-hf/c": b"c"}


@pytest.fixture
def called(tmp_path):
    """Runs the image's entry with KServe's args and variables; gives the ended process and what is in DEST."""

    def call(*arguments, environ, secrets=()):
        program = Program(tmp_path, environ, secrets)
        return program.run(*arguments)

    return call


def placed(directory):
    """Every file there: a model server takes what it finds."""
    return {
        str(path.relative_to(directory)): path.read_bytes()
        for path in directory.rglob("*")
        if path.is_file()
    }


def filled(bucket, contents=MODEL, **put):
    for key, body in contents.items():
        bucket.put(key, body, **put)
    return bucket


def by_secret(bucket):
    """What its controller sets from an S3 secret with KServe's annotations: pkg/credentials/s3."""
    host = bucket.endpoint.removeprefix("http://")
    return {
        "AWS_ACCESS_KEY_ID": bucket.access_key_id,
        "AWS_SECRET_ACCESS_KEY": bucket.secret_access_key,
        "S3_USE_HTTPS": "0",
        "S3_ENDPOINT": host,
        "AWS_ENDPOINT_URL": bucket.endpoint,
        "S3_VERIFY_SSL": "0",
        "awsAnonymousCredential": "false",
        "AWS_DEFAULT_REGION": "us-east-1",
        "S3_USER_VIRTUAL_BUCKET": "false",
        "S3_USE_ACCELERATE": "false",
    }


def by_endpoint_alone(bucket):
    """The variables that its docs name, without AWS's own for the endpoint."""
    variables = by_secret(bucket)
    del variables["AWS_ENDPOINT_URL"], variables["AWS_DEFAULT_REGION"]
    return variables | {"S3_REGION": "us-east-1"}


def by_storage_config(bucket):
    """A key of the secret `storage-config`, by secretKeyRef."""
    stored = {
        "type": "s3",
        "access_key_id": bucket.access_key_id,
        "secret_access_key": bucket.secret_access_key,
        "endpoint_url": bucket.endpoint,
        "bucket": bucket.name,
        "region": "us-east-1",
        "verify_ssl": "0",
        "anonymous": "False",
    }
    return {"STORAGE_CONFIG": json.dumps(stored)}


def by_override(bucket):
    """The same, with parameters of the InferenceService laid over it."""
    stored = json.loads(by_storage_config(bucket)["STORAGE_CONFIG"]) | {
        "endpoint_url": "http://x:1"
    }
    override = {"type": "s3", "bucket": bucket.name, "endpoint_url": bucket.endpoint}
    return {
        "STORAGE_CONFIG": json.dumps(stored),
        "STORAGE_OVERRIDE_CONFIG": json.dumps(override),
    }


@pytest.mark.parametrize(
    "variables", [by_secret, by_endpoint_alone, by_storage_config, by_override]
)
def test_a_prefix_comes_into_dest(called, account, tmp_path, variables):
    """URI DEST and nothing else; the login is checked, and `model` never brings `model-hf`."""
    bucket = filled(account.bucket())
    ended = called(
        f"s3://{bucket.name}/model",
        tmp_path / "models",
        environ=variables(bucket),
        secrets=[bucket.secret_access_key],
    )
    assert ended.code == 0, ended.stderr
    assert placed(tmp_path / "models") == {"a.bin": MODEL["model/a.bin"], "sub/b.bin": b"bb"}


def test_nothing_but_the_model_is_there_and_it_can_come_again(called, account, tmp_path):
    """A model server may take a hidden directory for a model. A pod whose sandbox is made anew calls once more."""
    bucket = filled(account.bucket())
    for _ in range(2):
        ended = called(f"s3://{bucket.name}/model", tmp_path / "m", environ=by_secret(bucket))
        assert ended.code == 0, ended.stderr
        assert sorted(path.name for path in (tmp_path / "m").iterdir()) == ["a.bin", "sub"]


def test_one_object_is_inside_dest(called, account, tmp_path):
    """Where the source URI is one object, the file is in DEST under its own name."""
    bucket = filled(account.bucket())
    uri = f"s3://{bucket.name}/model/a.bin"
    ended = called(uri, tmp_path / "models", environ=by_secret(bucket))
    assert ended.code == 0, ended.stderr
    assert placed(tmp_path / "models") == {"a.bin": MODEL["model/a.bin"]}


def test_several_pairs_come_in_one_call(called, account, tmp_path):
    """`supportsMultiModelDownload`: each URI into its own directory, which may be in another's."""
    bucket = filled(account.bucket())
    base, adapter = tmp_path / "models", tmp_path / "models" / "adapter"
    pairs = (f"s3://{bucket.name}/model", base, f"s3://{bucket.name}/model-hf", adapter)
    ended = called(*pairs, environ=by_storage_config(bucket))
    assert ended.code == 0, ended.stderr
    assert sorted(placed(base)) == ["a.bin", "adapter/c", "sub/b.bin"]


def test_one_archive_is_unpacked(called, account, tmp_path):
    """As KServe does with a tar or zip that is all that the URI names; an archive among others stays one."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as archive:
        member = tarfile.TarInfo("weights/w.bin")
        member.size = 3
        archive.addfile(member, io.BytesIO(b"www"))
    contents = {"model.tar.gz": packed.getvalue(), "dir/assets.tar.gz": packed.getvalue()}
    bucket = filled(account.bucket(), contents)
    ended = called(f"s3://{bucket.name}/model.tar.gz", tmp_path / "one", environ=by_secret(bucket))
    assert ended.code == 0, ended.stderr
    assert placed(tmp_path / "one") == {"weights/w.bin": b"www"}
    ended = called(f"s3://{bucket.name}/dir", tmp_path / "dir", environ=by_secret(bucket))
    assert list(placed(tmp_path / "dir")) == ["assets.tar.gz"], ended.stderr


def test_an_anonymous_credential_signs_nothing(called, s3_bucket, proxy_to, tmp_path):
    """`awsAnonymousCredential: "true"` counts before the keys beside it."""
    bucket = filled(s3_bucket, ACL="public-read")
    proxy = proxy_to(bucket.endpoint)
    variables = by_secret(bucket._replace(endpoint=proxy.url)) | {"awsAnonymousCredential": "true"}
    ended = called(f"s3://{bucket.name}/model", tmp_path / "models", environ=variables)
    assert ended.code == 0, ended.stderr
    assert len(placed(tmp_path / "models")) == 2
    assert proxy.seen()
    assert not proxy.seen(lambda request: "authorization" in request.headers)


def test_a_public_bucket_of_google_needs_no_login(
    called, gcs_bucket, proxy_to, authority, tmp_path
):
    """Where there is no login at all, gs:// is asked as nobody; and that is said."""
    bucket = filled(gcs_bucket)
    bucket.grant("roles/storage.objectViewer", "allUsers")
    front = proxy_to(bucket.endpoint, connect_tls=authority.server)
    environ = {"HTTPS_PROXY": front.url, "REQUESTS_CA_BUNDLE": str(authority.ca_bundle)}
    ended = called(f"gs://{bucket.name}/model", tmp_path / "models", environ=environ)
    assert ended.code == 0, ended.stderr
    assert sorted(placed(tmp_path / "models")) == ["a.bin", "sub/b.bin"]
    assert "has no credentials" in ended.event("init.anonymous")["error"]
    uri = f"gs://{bucket.name}/model"
    assert called("init", uri, tmp_path / "again", environ=environ).code == 77


def test_a_login_that_is_refused_is_no_reason_to_go_without(
    called, gcs_bucket, proxy_to, authority, tmp_path
):
    """Only where nothing says how to log in: what KServe's own client does."""
    bucket = filled(gcs_bucket)
    bucket.grant("roles/storage.objectViewer", "allUsers")
    front = proxy_to(bucket.endpoint, connect_tls=authority.server)
    key = {**bucket.server.service_account(), "client_email": "nobody@p.iam.gserviceaccount.com"}
    ended = called(
        f"gs://{bucket.name}/model",
        tmp_path / "models",
        environ={
            "HTTPS_PROXY": front.url,
            "REQUESTS_CA_BUNDLE": str(authority.ca_bundle),
            "GC_KEYFILE_DICT": json.dumps(key),
        },
    )
    assert ended.code == 77, ended.stderr
    assert not (tmp_path / "models" / "a.bin").exists()


def test_azures_own_uri_and_key(called, azure_container, tmp_path):
    """`AZURE_STORAGE_ACCESS_KEY` beside the URI that names the account."""
    container = filled(azure_container)
    server = container.server
    ended = called(
        f"{server.endpoint}/{container.name}/model",
        tmp_path / "models",
        environ={"AZURE_STORAGE_ACCESS_KEY": server.key},
        secrets=[server.key],
    )
    assert ended.code == 0, ended.stderr
    assert sorted(placed(tmp_path / "models")) == ["a.bin", "sub/b.bin"]


def test_googles_key_file_where_the_controller_mounts_it(
    called, gcs_bucket, proxy_to, authority, tmp_path
):
    """`GOOGLE_APPLICATION_CREDENTIALS` names gcloud-application-credentials.json."""
    bucket = filled(gcs_bucket)
    key = bucket.server.service_account()
    path = tmp_path / "gcloud-application-credentials.json"
    path.write_text(json.dumps(key))
    front = proxy_to(bucket.endpoint, connect_tls=authority.server)
    ended = called(
        f"gs://{bucket.name}/model",
        tmp_path / "models",
        environ={
            "GOOGLE_APPLICATION_CREDENTIALS": str(path),
            "HTTPS_PROXY": front.url,
            "REQUESTS_CA_BUNDLE": str(authority.ca_bundle),
        },
        secrets=[key["private_key"]],
    )
    assert ended.code == 0, ended.stderr
    assert sorted(placed(tmp_path / "models")) == ["a.bin", "sub/b.bin"]


@pytest.mark.parametrize(
    ("arguments", "environ", "code", "said"),
    [
        (("s3://b/model",), {}, 64, "where does s3://b/model go?"),
        (("s3://b/m", "x", "s3://b/n"), {}, 64, "where does s3://b/n go?"),
        (("s3://b/m", "x", "y", "z"), {}, 64, "'y' is no URI"),
        (("init", "--kserve", "--connection", "x"), {}, 64, "--kserve without URI DEST"),
        (("hf://org/model", "x"), {}, 78, "hf:// can't be fetched from"),
        (("pvc://claim/model", "x"), {}, 78, "pvc:// can't be fetched from"),
        (
            ("https://example.com/model.bin", "x"),
            {},
            78,
            "https://example.com/model.bin names no storage account",
        ),
        (("s3://b/m", "x"), {"STORAGE_CONFIG": "{hunter2"}, 78, "$STORAGE_CONFIG:1:2: not JSON"),
        (
            ("s3://b/m", "x"),
            {"STORAGE_CONFIG": '{"type": "s3", "regio": "hunter2"}'},
            78,
            "$STORAGE_CONFIG: regio: unknown field",
        ),
        (("s3://b/m", "x"), {"CONFIDENTIAL_ENABLED": "true"}, 78, "$CONFIDENTIAL_ENABLED"),
        (("s3://b/m", "x"), {"STORAGE_ALLOW_PATTERNS": "*.bin"}, 78, "$STORAGE_ALLOW_PATTERNS"),
    ],
)
def test_what_cant_be_done_ends_by_name(called, arguments, environ, code, said):
    """One line that says what and where, and never a value of the storage config."""
    ended = called(*arguments, environ=environ, secrets=["hunter2"])
    assert ended.code == code, ended.stderr
    assert said in ended.report["error"]["message"]
    assert ended.report["command"] == "init"
