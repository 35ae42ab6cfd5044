"""Secrets that aren't mounted: their JSON documents stand in the environment, each as a variable of its key's name."""

import base64
import json

import pytest

from lighterman.connections.azure_login import AzureLogins
from lighterman.connections.catalog import Catalog
from lighterman.connections.credentials import S3Logins
from lighterman.connections.gcs_login import GcsLogins
from lighterman.connections.model import Bucket, Connection, Mount, Options
from lighterman.connections.shapes import read_catalog
from lighterman.errors import ConfigurationError, CredentialsError
from lighterman.secret import scrub
from lighterman.stores.failures import Place

S3_KEYS = {"AWS_ACCESS_KEY_ID": "idididid", "AWS_SECRET_ACCESS_KEY": "hunter22"}
AZURE_KEY = base64.b64encode(bytes(range(64))).decode()
KEY_FILE = {
    "type": "service_account",
    "project_id": "of-the-key",
    "private_key": "-----BEGIN PRIVATE KEY-----\nc2VjcmV0c2VjcmV0\n-----END PRIVATE KEY-----\n",
    "client_email": "a@p.iam.gserviceaccount.com",
    "token_uri": "https://oauth2.googleapis.com/token",
}
STORES = {
    "s3": ("s3", "s3://b", S3Logins, S3_KEYS),
    "gcs": ("gcs", "gs://b", GcsLogins, KEY_FILE),
    "azure": (
        "wasb",
        "wasbs://b@acct.blob.core.windows.net",
        AzureLogins,
        {"AZURE_ACCOUNT_NAME": "acct", "AZURE_ACCOUNT_KEY": AZURE_KEY},
    ),
}
LISTED = Mount(name="the-secret", items=("key.json",))


def secrets_of(login):
    """What a login of any cloud holds that nobody may see."""
    held = [getattr(login, field) for field in login.__struct_fields__]
    return [each.reveal() for each in held if hasattr(each, "reveal")]


def s3(environ=None, secret=LISTED, **fields):
    connection = Connection(name="c", kind="s3", schema=Bucket("b"), secret=secret, **fields)
    return S3Logins(connection, environ or {}).current()


@pytest.fixture(params=STORES)
def store(request):
    """Each cloud, by its name in Polyaxon's legacy catalogs."""
    return request.param


def legacy(store, **fields):
    """The connection of a legacy catalog's entry."""
    place = {"store": store, "bucket": STORES[store][1], "secret": "the-secret", **fields}
    (read,) = read_catalog({"persistence": {"data": {"data": place}}}, "catalog")
    return read


def login(store, environ, **fields):
    return STORES[store][2](legacy(store, **fields), environ).current()


def test_a_secret_key_of_legacy_persistence_is_a_login(store):
    """``secretKey`` names the variable, whose document is the login."""
    environ = {"key.json": json.dumps(STORES[store][3])}

    found = login(store, environ, secretKey="key.json")

    assert ("variable $key.json", ()) == (found.source, found.unmounted)
    assert secrets_of(found)


def test_a_name_of_a_catalog_finds_it_too():
    """What the catalog gives is all that a login needs besides the environment."""
    place = {"store": "s3", "bucket": "s3://b", "secret": "the-secret", "secretKey": "key.json"}
    environ = {
        "LIGHTERMAN_CATALOG": json.dumps({"persistence": {"data": {"data": place}}}),
        "key.json": json.dumps(S3_KEYS),
    }

    found = S3Logins(Catalog(None, environ).get("data"), environ).current()

    assert ["idididid", "hunter22"] == secrets_of(found)


def test_it_comes_before_the_process_environment_as_a_set(store):
    """The document is the connection's alone; what else is in the environment may be about something else."""
    others = {
        "AWS_ACCESS_KEY_ID": "processid",
        "AWS_SECRET_ACCESS_KEY": "processkey",
        "AWS_SESSION_TOKEN": "processtoken",
        "GOOGLE_APPLICATION_CREDENTIALS": "/not/there",
        "AZURE_CONNECTION_STRING": "of another",
    }
    environ = {"key.json": json.dumps(STORES[store][3])}

    assert login(store, environ, secretKey="key.json") == login(
        store, others | environ, secretKey="key.json"
    )
    assert "processtoken" not in secrets_of(login(store, others | environ, secretKey="key.json"))


def test_another_connection_has_nothing_of_it(store):
    """A document in the environment is no login of a connection that doesn't list it."""
    environ = {"key.json": json.dumps(STORES[store][3])}

    assert "the SDK's own chain" == login(store, environ).source
    assert "the SDK's own chain" == login(store, environ, secretKey="other.json").source


def test_its_settings_merge_with_the_connections_own_which_win():
    """Region and the like, as everywhere."""
    document = json.dumps({**S3_KEYS, "AWS_REGION": "listed", "AWS_ENDPOINT_URL": "http://listed"})

    found = s3({"key.json": document, "AWS_REGION": "process"}, env={"AWS_REGION": "own"})

    assert ("own", "http://listed", "variable $key.json") == (
        found.region,
        found.endpoint,
        found.source,
    )


def test_several_items_are_one_source():
    """Of a secret and a config map; the same said twice is said once."""
    environ = {
        "id": json.dumps({"AWS_ACCESS_KEY_ID": "idididid"}),
        "key": json.dumps({"aws_secret_access_key": "hunter22\n", "AWS_ACCESS_KEY_ID": "idididid"}),
        "config": json.dumps({"AWS_REGION": "r"}),
    }

    found = s3(
        environ,
        Mount(name="s", items=("id", "key")),
        config_map=Mount(name="c", items=("config",)),
    )

    assert ["idididid", "hunter22"] == secrets_of(found)
    assert ("variables $id and $key and $config", "r") == (found.source, found.region)


def test_a_key_that_two_items_say_differently_is_an_error():
    """78, with both of their names."""
    environ = {"a": json.dumps(S3_KEYS), "b": json.dumps({"AWS_SECRET_ACCESS_KEY": "hunter23"})}

    with pytest.raises(
        ConfigurationError, match=r"AWS_SECRET_ACCESS_KEY is said twice.*\$a and in \$b"
    ):
        s3(environ, Mount(name="s", items=("a", "b")))


@pytest.mark.parametrize(
    ("store", "env"),
    [
        ("s3", {"AWS_ACCESS_KEY_ID": "ownownid", "AWS_SECRET_ACCESS_KEY": "ownownkey"}),
        ("gcs", {"GC_KEYFILE_DICT": json.dumps(KEY_FILE)}),
        ("azure", {"AZURE_ACCOUNT_KEY": AZURE_KEY, "AZURE_ACCOUNT_NAME": "acct"}),
        ("azure", {"AZURE_CLIENT_ID": "66666666-7777-8888-9999-000000000000"}),
    ],
)
def test_a_login_of_env_beside_it_is_an_error(store, env):
    """78, with both places: one of them would be passed over."""
    kind, bucket, logins, document = STORES[store]
    connection = Connection(name="c", kind=kind, schema=Bucket(bucket), secret=LISTED, env=env)

    with pytest.raises(ConfigurationError) as caught:
        logins(connection, {"key.json": json.dumps(document)}).current()

    said = "a login is said twice, in the env of the connection and in the variable $key.json"
    assert said == caught.value.message


def test_a_login_of_client_kwargs_beside_it_is_an_error():
    """The same of ZenML's kwargs."""
    options = Options(
        client_kwargs={"aws_access_key_id": "ownownid", "aws_secret_access_key": "ownownkey"}
    )

    with pytest.raises(ConfigurationError, match=r"in the client_kwargs .* variable"):
        s3({"key.json": json.dumps(S3_KEYS)}, options=options)


def test_it_is_sent_to_an_emulator_that_the_connection_names():
    """As any login of the connection's own is."""
    connection = Connection(
        name="c",
        kind="gcs",
        schema=Bucket("gs://b"),
        secret=LISTED,
        env={"STORAGE_EMULATOR_HOST": "127.0.0.1:1"},
    )

    found = GcsLogins(connection, {"key.json": json.dumps(KEY_FILE)}).current()

    assert ("variable $key.json", False, "http://127.0.0.1:1") == (
        found.source,
        found.anonymous,
        found.endpoint,
    )


def test_mounted_files_come_first(mounted):
    """A login that is mounted is the first source, whatever is listed beside it."""
    mount = Mount(name="s", mount_path=str(mounted("s", S3_KEYS).root))
    environ = {"key.json": json.dumps({**S3_KEYS, "AWS_SECRET_ACCESS_KEY": "hunter23"})}

    found = s3(environ, mount, config_map=LISTED)

    assert ["idididid", "hunter22"] == secrets_of(found)
    assert () == found.unmounted


def test_nothing_is_read_of_a_mounted_one_but_its_files(tmp_path):
    """``items`` of a mount name files; a variable of such a name is somebody else's."""
    mount = Mount(name="s", mount_path=str(tmp_path), items=("key.json",))

    found = s3({"key.json": json.dumps(S3_KEYS)}, mount)

    assert ("the SDK's own chain", (str(tmp_path),), ()) == (
        found.source,
        found.empty_mounts,
        found.unmounted,
    )


@pytest.mark.parametrize(
    "text", ['{"AWS_SECRET_ACCESS_KEY": "hunter22', '\n{"a": 1,}', '{"a": "hunter22"} hunter22']
)
def test_what_begins_like_json_and_is_none_is_refused_without_its_content(store, text):
    """77, with the variable's name, and nothing of what it holds."""
    with pytest.raises(CredentialsError, match=r"^\$key\.json:") as caught:
        login(store, {"key.json": text}, secretKey="key.json")

    said = f"{caught.value.message} {caught.value.hint}"
    assert "hunter22" not in said
    assert "AWS" not in said


@pytest.mark.parametrize(
    ("document", "error", "said"),
    [
        ({"AWS_ACCESS_KEY_ID": "idididid"}, CredentialsError, "without AWS_SECRET_ACCESS_KEY"),
        ({"AWS_ACCESS_KEY_ID": ["hunter22"]}, ConfigurationError, "AWS_ACCESS_KEY_ID is no text"),
        ({**S3_KEYS, "AWS_REGION": "no region"}, ConfigurationError, "no name of a region"),
    ],
)
def test_what_is_wrong_in_it_is_told_with_the_variable(document, error, said):
    """Half a login, a value of another type, a malformed setting."""
    with pytest.raises(error, match=said) as caught:
        s3({"key.json": json.dumps(document)})

    assert "$key.json" in caught.value.message
    assert "hunter22" not in caught.value.message


def test_a_key_file_that_lacks_a_field_is_told_with_the_variable():
    """77: what Google's key file needs is checked as everywhere."""
    document = json.dumps({**KEY_FILE, "client_email": ""})

    with pytest.raises(CredentialsError, match="client_email") as caught:
        login("gcs", {"key.json": document}, secretKey="key.json")

    assert "$key.json" in caught.value.message


@pytest.mark.parametrize("text", ["", "plain", "[1]", '"text"'])
def test_a_variable_that_holds_no_document_is_passed_over(store, text):
    """It may be a key by itself, which the process environment has anyway."""
    assert "the SDK's own chain" == login(store, {"key.json": text}, secretKey="key.json").source


def test_a_secret_of_plain_variables_is_the_process_environments(store):
    """Kubernetes' ``envFrom``: each key is a variable of the name that it is known by."""
    environ = {"GC_KEYFILE_DICT": json.dumps(KEY_FILE)} if store == "gcs" else STORES[store][3]

    assert "process environment" == login(store, environ).source


def test_what_it_holds_is_known_as_secret():
    """Masked wherever it would be said, also what no login is made of."""
    document = json.dumps({**S3_KEYS, "deeper": {"password": "hunter2222"}})

    s3({"key.json": document})

    told = scrub(f"hunter22 hunter2222 {document}")
    assert "hunter22" not in told
    assert "idididid" not in told


@pytest.mark.parametrize(
    ("mount", "environ", "said"),
    [
        (Mount(name="s"), {}, "the secret s has no mountPath"),
        (LISTED, {"key.json": "{}"}, "the secret the-secret has no mountPath"),
        (
            LISTED,
            {},
            "the secret the-secret has no mountPath, and $key.json isn't in the environment",
        ),
        (
            Mount(name="s", items=("a", "b")),
            {},
            "the secret s has no mountPath, and $a and $b aren't in the environment",
        ),
    ],
)
def test_a_secret_in_which_no_login_was_found_is_named_with_the_refusal(mount, environ, said):
    """Its name, and each variable that should have been there."""
    found = s3({**environ, **S3_KEYS}, mount)

    assert ("process environment", (said,)) == (found.source, found.unmounted)
    place = Place("c", "b", "e", "r", found.source, unmounted=found.unmounted)
    assert f"mend it; {said}" == place.with_mounts("mend it")


def test_a_config_map_in_which_no_login_was_found_is_named_too(store):
    """Whatever the cloud."""
    kind, bucket, logins, _ = STORES[store]
    connection = Connection(
        name="c", kind=kind, schema=Bucket(bucket), config_map=Mount(name="the-map")
    )

    found = logins(connection, {}).current()

    assert ("the config map the-map has no mountPath",) == found.unmounted


def test_an_account_that_nobody_names_may_be_in_the_secret_that_is_not_there():
    """Azure's first need: the hint says where it was meant to stand."""
    connection = Connection(name="c", kind="wasb", schema=Bucket("wasbs://b"), secret=LISTED)

    with pytest.raises(ConfigurationError, match="nothing names the storage account") as caught:
        AzureLogins(connection, {}).current()

    assert "; the secret the-secret has no mountPath, and $key.json isn't in" in caught.value.hint


def test_nobody_who_is_asked_as_anonymous_is_told_of_a_secret(store):
    """There is nothing to find."""
    kind, bucket, logins, _ = STORES[store]
    connection = Connection(
        name="c", kind=kind, schema=Bucket(bucket), secret=LISTED, options=Options(anonymous=True)
    )

    found = logins(connection, {}).current()

    assert ("anonymous", ()) == (found.source, found.unmounted)
