"""What KServe says to its storage initializer, as one source of a login among the others."""

import base64
import json

import pytest
from test_login import KEYS, keys_of, login

from lighterman.connections.azure_login import AzureLogins
from lighterman.connections.gcs_login import GcsLogins
from lighterman.connections.model import Bucket, Connection, Mount, Options
from lighterman.connections.uri import connection_of
from lighterman.errors import ConfigurationError, CredentialsError

STORED = {
    "type": "s3",
    "access_key_id": "stored-id",
    "secret_access_key": "stored-hunter2",
    "endpoint_url": "http://minio-service.kubeflow:9000",
    "bucket": "mlpipeline",
    "region": "us-south",
    "anonymous": "False",
}
"""As KServe's own tests and docs write one key of the secret ``storage-config``."""
TENANT = "00000000-0000-0000-0000-000000000001"
CLIENT = "00000000-0000-0000-0000-000000000002"
KEY_FILE = {
    "type": "service_account",
    "client_email": "sa@p.iam.gserviceaccount.com",
    "private_key": "-----BEGIN PRIVATE KEY-----\nhunter2hunter2\n-----END PRIVATE KEY-----\n",
    "token_uri": "https://oauth2.googleapis.com/token",
}


def environ(stored=STORED, override=None, **more):
    variables = {"STORAGE_CONFIG": json.dumps(stored), **more}
    return variables if override is None else variables | {"STORAGE_OVERRIDE_CONFIG": override}


def test_the_storage_config_is_a_login_with_its_place():
    """Keys, endpoint and region of KServe's storage secret; its bucket is in the URI by then."""
    found = login(environ())
    assert keys_of(found) == ("stored-id", "stored-hunter2")
    assert found.source == "$STORAGE_CONFIG"
    assert (found.endpoint, found.region) == ("http://minio-service.kubeflow:9000", "us-south")


def test_it_comes_before_the_process_environment():
    """KServe writes it over the variables: also where both have a login, and for the settings."""
    found = login(environ(**KEYS, AWS_ENDPOINT_URL="http://other:1", AWS_REGION="eu-west-1"))
    assert keys_of(found) == ("stored-id", "stored-hunter2")
    assert (found.endpoint, found.region) == ("http://minio-service.kubeflow:9000", "us-south")


def test_it_comes_after_what_the_connection_itself_says(mounted):
    """A login of the connection's own files or env is nobody else's to replace."""
    secret = mounted("s3", KEYS)
    by_files = login(environ(), secret=Mount(name="s", mount_path=str(secret.root)))
    assert keys_of(by_files) == keys_of(login(environ(), env=KEYS)) == ("idididid", "hunter22")


def test_a_login_is_never_put_together_of_it_and_others():
    """Id, secret and token are one source's; only region and endpoint merge."""
    found = login(environ(AWS_SESSION_TOKEN="ambient-token"))
    assert keys_of(found) == ("stored-id", "stored-hunter2")
    only_place = {"type": "s3", "bucket": "b", "region": "na"}
    found = login(environ(only_place, **KEYS))
    assert (keys_of(found), found.region) == (("idididid", "hunter22"), "na")
    assert found.source == "process environment"


def test_parameters_are_laid_over_it():
    """`STORAGE_OVERRIDE_CONFIG` replaces what it names, and may give the type."""
    override = json.dumps({"region": "eu-north-1", "bucket": "other"})
    assert login(environ(override=override)).region == "eu-north-1"
    untyped = {name: value for name, value in STORED.items() if name != "type"}
    assert keys_of(login(environ(untyped, '{"type": "s3"}'))) == ("stored-id", "stored-hunter2")


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"verify_ssl": "0"}, False),
        ({"verify_ssl": "false"}, False),
        ({"verify_ssl": "1"}, True),
        ({"verify_ssl": True}, True),
        ({"ca_bundle": "/etc/ca.crt"}, "/etc/ca.crt"),
        ({"verify_ssl": "false", "ca_bundle": "/etc/ca.crt"}, False),
        ({"cabundle_configmap": "local-ca"}, True),
    ],
)
def test_how_the_server_is_verified(fields, expected):
    """`verify_ssl` and `ca_bundle`; a configmap's name is its controller's to mount."""
    assert login(environ(STORED | fields)).verify == expected


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({"CA_BUNDLE_CONFIGMAP_NAME": "ca"}, "/etc/ssl/custom-certs/cabundle.crt"),
        (
            {"CA_BUNDLE_CONFIGMAP_NAME": "ca", "CA_BUNDLE_VOLUME_MOUNT_POINT": "/ca"},
            "/ca/cabundle.crt",
        ),
        ({"CA_BUNDLE_CONFIGMAP_NAME": "ca", "AWS_CA_BUNDLE": "/own.crt"}, "/own.crt"),
        ({"CA_BUNDLE_CONFIGMAP_NAME": "ca", "S3_VERIFY_SSL": "0"}, False),
        ({"CA_BUNDLE_VOLUME_MOUNT_POINT": "/ca"}, True),
    ],
)
def test_the_ca_bundle_that_the_controller_mounts_is_found(variables, expected):
    """`cabundle.crt` at the mount point, unless something nearer says how to verify."""
    assert login(KEYS | variables).verify == expected


@pytest.mark.parametrize(
    "variables",
    [
        {"STORAGE_CONFIG": json.dumps(STORED | {"anonymous": "True"})},
        {"STORAGE_CONFIG": json.dumps(STORED | {"anonymous": True})},
        {"awsAnonymousCredential": "true", **KEYS},
    ],
)
def test_anonymous_is_said_for_a_whole_source(variables):
    """As in KServe it counts before the keys beside it; it says nothing about another source's."""
    found = login(variables)
    assert (found.anonymous, keys_of(found)) == (True, ())
    assert not login(variables, env=KEYS).anonymous


def test_the_bucket_can_be_asked_into_the_hosts_name():
    """`S3_USER_VIRTUAL_BUCKET` (KServe's spelling) says it, unless the connection says which way."""
    from lighterman.stores.s3.configuration import configured

    def virtual(variables, **options):
        connection = Connection(
            name="c", kind="s3", schema=Bucket("bucket"), options=Options(**options)
        )
        found = login(KEYS | variables | {"AWS_ENDPOINT_URL": "https://store.example"})
        settings = configured(connection, found, {}, region="r", stall_seconds=60.0, concurrency=1)
        return settings.virtual

    said = {"S3_USER_VIRTUAL_BUCKET": "true"}
    assert (virtual({}), virtual(said)) == (False, True)
    assert not virtual(said, addressing_style="path")


def gcs(variables):
    connection = Connection(name="g", kind="gcs", schema=Bucket("gs://bucket"))
    return GcsLogins(connection, variables).current()


def azure(variables):
    uri = "https://account1.blob.core.windows.net/box/model"
    return AzureLogins(connection_of(uri), variables).current()


@pytest.mark.parametrize(
    "stored",
    [
        {
            "type": "gs",
            "base64_service_account": base64.b64encode(json.dumps(KEY_FILE).encode()).decode(),
        },
        {"type": "gcs", **{name: KEY_FILE[name] for name in ("private_key", "client_email")}},
    ],
)
def test_a_service_account_of_google(stored):
    """The key file in base64, or ModelMesh's parts of one."""
    found = gcs(environ(stored))
    assert (found.source, found.account) == ("$STORAGE_CONFIG", KEY_FILE["client_email"])
    assert found.key_type == "service_account"


def test_a_key_of_azure():
    """A principal, a key or a connection string; the account may be the URI's."""
    principal = {
        "type": "azure",
        "tenant_id": TENANT,
        "client_id": CLIENT,
        "client_secret": "hunter2!",
    }
    found = azure(environ(principal))
    assert (found.source, found.tenant_id, found.client_id) == ("$STORAGE_CONFIG", TENANT, CLIENT)
    key = {"type": "azure", "account_name": "account1", "account_key": "aHVudGVyMg=="}
    assert azure(environ(key)).account_key.reveal() == "aHVudGVyMg=="


def test_the_names_that_kserves_secrets_for_azure_had_first():
    """`AZ_TENANT_ID` and its like are the principal's, where Azure's own aren't set."""
    found = azure({"AZ_TENANT_ID": TENANT, "AZ_CLIENT_ID": CLIENT, "AZ_CLIENT_SECRET": "hunter2!"})
    assert (found.tenant_id, found.client_id) == (TENANT, CLIENT)
    assert found.client_secret.reveal() == "hunter2!"


@pytest.mark.parametrize("kind", ["hdfs", "webhdfs", "gs", "azure"])
def test_a_config_of_another_kind_is_about_another_place(kind):
    """It neither logs in nor stands in the way."""
    found = login(environ({"type": kind, "region": "x"}, **KEYS))
    assert (keys_of(found), found.region) == (("idididid", "hunter22"), None)


@pytest.mark.parametrize(
    ("text", "override", "message", "hint"),
    [
        ("{hunter2", None, "$STORAGE_CONFIG:1:2: not JSON", "mend"),
        ('["hunter2"]', None, "$STORAGE_CONFIG: not a JSON object", '{"type": "s3", …}'),
        ('{"access_key_id": "hunter2"}', None, "$STORAGE_CONFIG: type: missing", "s3, gs"),
        ('{"type": "hunter2"}', None, "$STORAGE_CONFIG: type: none of s3, gs", "correct"),
        ('{"type": ["hunter2"]}', None, "$STORAGE_CONFIG: type: none of s3, gs", "correct"),
        (
            '{"type": "s3", "acces_key_id": "hunter2"}',
            None,
            "$STORAGE_CONFIG: acces_key_id: unknown field",
            "did you mean access_key_id?",
        ),
        (
            '{"type": "s3", "region": {"hunter2": 1}}',
            None,
            "$STORAGE_CONFIG: region is no text",
            "quotes",
        ),
        ('{"type": "s3", "a": 1, "a": 2}', None, "$STORAGE_CONFIG: the key 'a' stands twice", ""),
        (
            '{"type": "s3", "endpoint_url": "hunter2 x"}',
            None,
            "endpoint_url ($STORAGE_CONFIG): no URL of an endpoint",
            "https://minio.example:9000",
        ),
        (
            '{"type": "s3", "verify_ssl": "hunter2"}',
            None,
            "verify_ssl ($STORAGE_CONFIG): neither true nor false",
            "true or false",
        ),
        ("{}", "hunter2", "$STORAGE_OVERRIDE_CONFIG:1:1: not JSON", "mend"),
        (
            '{"type": "s3"}',
            '{"regin": "hunter2"}',
            "$STORAGE_OVERRIDE_CONFIG: regin: unknown field",
            "did you mean region?",
        ),
    ],
)
def test_a_malformed_config_is_refused_by_its_place(text, override, message, hint):
    """78: the variable and the field, and never a value."""
    variables = {"STORAGE_CONFIG": text}
    if override:
        variables["STORAGE_OVERRIDE_CONFIG"] = override
    with pytest.raises(ConfigurationError) as caught:
        login(variables)
    assert caught.value.message.startswith(message)
    assert hint in caught.value.hint
    assert "hunter2" not in caught.value.message + caught.value.hint


@pytest.mark.parametrize(
    ("of", "stored", "message"),
    [
        (
            login,
            {"type": "s3", "access_key_id": "x"},
            "access_key_id ($STORAGE_CONFIG) without secret_access_key",
        ),
        (
            gcs,
            {"type": "gs", "private_key": "hunter2"},
            "$STORAGE_CONFIG: private_key without client_email",
        ),
        (
            gcs,
            {"type": "gs", "base64_service_account": "hunter2"},
            "base64_service_account ($STORAGE_CONFIG) is neither JSON nor base64 of it",
        ),
    ],
)
def test_half_a_login_is_refused_by_its_place(of, stored, message):
    """77, as for every source."""
    with pytest.raises(CredentialsError) as caught:
        of(environ(stored))
    assert message == caught.value.message


def test_a_login_is_said_once():
    """Two fields for one key, or two ways to log in, are refused."""
    both = {"base64_service_account": "eA==", "private_key": "x", "client_email": "y"}
    with pytest.raises(ConfigurationError, match="several logins at once"):
        gcs(environ({"type": "gs", **both}))
    with pytest.raises(ConfigurationError, match="access_key and account_key are several logins"):
        azure(environ({"type": "azure", "account_key": "eA==", "access_key": "eQ=="}))


def test_what_others_read_in_it_passes():
    """A bucket, a certificate, the fields of other downloaders are no errors."""
    assert keys_of(login(environ(STORED | {"certificate": "x", "default_bucket": "b"})))


@pytest.mark.parametrize(
    ("uri", "why"),
    [
        ("hf://org/model", "hf:// can't be fetched from: Hugging Face's hub is no store of files"),
        ("modelscope://org/model", "modelscope:// can't be fetched from"),
        (
            "oci://registry/image:tag",
            "oci:// can't be fetched from: a registry is no store of files",
        ),
        ("hdfs://nn/model", "hdfs:// can't be fetched from: HDFS isn't known here"),
        ("pvc://claim/model", "pvc:// can't be fetched from: a claim is mounted by its pod"),
    ],
)
def test_kserves_other_schemes_are_refused_by_name(uri, why):
    """Each says why, and who brings it."""
    with pytest.raises(ConfigurationError) as caught:
        connection_of(uri)
    assert why in caught.value.message
    assert "KServe" in caught.value.hint or "file:///PATH" in caught.value.hint
