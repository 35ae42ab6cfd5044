"""Where Azure's login comes from, and which account it is for."""

import base64
import itertools
import json
from datetime import UTC, datetime, timedelta

import pytest

from lighterman.connections.azure_login import AzureLogin, AzureLogins
from lighterman.connections.credentials import LOOK_EVERY_SECONDS
from lighterman.connections.model import Bucket, Connection, Mount, Options
from lighterman.connections.shapes import read_catalog
from lighterman.connections.uri import connection_of
from lighterman.errors import ConfigurationError, CredentialsError, LightermanError
from lighterman.secret import scrub

KEY = base64.b64encode(bytes(range(64))).decode()
OTHER_KEY = base64.b64encode(bytes(64)).decode()
CONTAINER = "wasbs://box@acct.blob.core.windows.net/runs"
SAS = "sv=2023-11-03&se=2099-01-01T00%3A00%3A00Z&sr=c&sp=rl&sig=c2ln%2Bc2ln%2Fc2ln%3D"
TENANT = "11111111-2222-3333-4444-555555555555"
CLIENT = "66666666-7777-8888-9999-000000000000"
PRINCIPAL = {
    "AZURE_TENANT_ID": TENANT,
    "AZURE_CLIENT_ID": CLIENT,
    "AZURE_CLIENT_SECRET": "the~secret",
}
TEXT = f"DefaultEndpointsProtocol=https;AccountName=acct;AccountKey={KEY};EndpointSuffix=core.windows.net"


def connection(bucket: str = CONTAINER, **fields) -> Connection:
    return Connection(name="c", kind="wasb", schema=Bucket(bucket), **fields)


def login(environ=None, bucket: str = CONTAINER, **fields) -> AzureLogin:
    return AzureLogins(connection(bucket, **fields), environ or {}).current()


def form_of(found: AzureLogin) -> str:
    """What kind of login it is, with what it shows of itself."""
    if found.anonymous:
        return "anonymous"
    if found.account_key:
        return f"key {found.account_key.reveal()}"
    if found.sas_token:
        return f"sas {found.sas_token.reveal()}"
    if found.client_secret:
        return f"secret {found.client_secret.reveal()} {found.client_id} {found.tenant_id}"
    if found.federated_token_file:
        return f"federated {found.federated_token_file} {found.client_id} {found.tenant_id}"
    return f"managed {found.client_id}"


BY_KEY = f"key {KEY}"
BY_SAS = f"sas {SAS}"
BY_SECRET = f"secret the~secret {CLIENT} {TENANT}"


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({"AZURE_STORAGE_CONNECTION_STRING": TEXT}, BY_KEY),
        ({"AZURE_CONNECTION_STRING": TEXT}, BY_KEY),
        ({"AZURE_STORAGE_ACCOUNT": "acct", "AZURE_STORAGE_KEY": KEY}, BY_KEY),
        ({"AZURE_ACCOUNT_NAME": "acct", "AZURE_ACCOUNT_KEY": KEY}, BY_KEY),
        ({"AZURE_STORAGE_ACCOUNT_NAME": "acct", "AZURE_STORAGE_ACCOUNT_KEY": KEY}, BY_KEY),
        ({"AZURE_STORAGE_ACCESS_KEY": KEY}, BY_KEY),
        ({"AZURE_STORAGE_ACCOUNT": "acct", "AZURE_STORAGE_SAS_TOKEN": SAS}, BY_SAS),
        ({"AZURE_SAS_TOKEN": SAS}, BY_SAS),
        ({"AZURE_STORAGE_CONNECTION_STRING": f"AccountName=acct;SharedAccessSignature={SAS}"}, BY_SAS),
        (PRINCIPAL, BY_SECRET),
        (
            {"AZURE_STORAGE_TENANT_ID": TENANT, "AZURE_STORAGE_CLIENT_ID": CLIENT, "AZURE_STORAGE_CLIENT_SECRET": "the~secret"},
            BY_SECRET,
        ),
    ],
)  # fmt: skip
@pytest.mark.parametrize("place", ["files", "json", "env", "environ"])
def test_a_login_is_read_from_every_source_by_every_name(mounted, place, values, expected):
    """Files, one a key or one JSON file of any name; the connection's env; the process environment."""
    if place == "env":
        found, source = login(env=values), "env of the connection"
    elif place == "environ":
        found, source = login(values), "process environment"
    else:
        files = {name: f"{value}\n" for name, value in values.items()}
        secret = mounted("az", files if place == "files" else {"any.json": json.dumps(values)})
        found = login(secret=Mount(name="s", mount_path=str(secret.root)))
        source = f"files in {secret.root}"
    assert (expected, source, "acct") == (form_of(found), found.source, found.account)
    assert "https://acct.blob.core.windows.net" == found.endpoint


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ({"account_name": "acct", "account_key": KEY}, BY_KEY),
        ({"account_name": "acct", "sas_token": SAS}, BY_SAS),
        ({"connection_string": TEXT}, BY_KEY),
        ({"account_name": "acct", "tenant_id": TENANT, "client_id": CLIENT, "client_secret": "the~secret"}, BY_SECRET),
        ({"accountname": "acct", "accountkey": KEY}, BY_KEY),
        ({"accountname": "acct", "tenantid": TENANT, "clientid": CLIENT, "clientsecret": "the~secret"}, BY_SECRET),
    ],
)  # fmt: skip
def test_zenmls_secret_is_a_login(mounted, content, expected):
    """ZenML's artifact store: the values of its secret for Azure, by their own names, with an ``az://`` path."""
    secret = mounted("zen", content)
    (store,) = read_catalog(
        [
            {
                "name": "zen",
                "flavor": "azure",
                "path": "az://box/runs",
                "authentication_secret": "zen",
            }
        ],
        "catalog",
    )
    assert isinstance(store, Connection)
    mount = Mount(name="zen", mount_path=str(secret.root))
    found = AzureLogins(
        Connection(name="zen", kind=store.kind, schema=store.schema, secret=mount),
        {"AZURE_STORAGE_ACCOUNT": "acct"},
    )
    if "connection_string" not in content:
        assert "acct" == found.current().account
    assert expected == form_of(found.current())


def test_zenmls_plain_names_mean_nothing_in_an_environment():
    """``CLIENT_ID`` and the like are too common there to be Azure's."""
    found = login({"ACCOUNT_KEY": OTHER_KEY, "CLIENT_ID": "of another", "CONNECTION_STRING": "x"})
    assert "managed None" == form_of(found)


def test_polyaxons_secret_is_a_login(mounted):
    """Polyaxon's legacy persistence: one JSON file, with the key beside the connection string that holds it."""
    content = {
        "AZURE_ACCOUNT_NAME": "acct",
        "AZURE_ACCOUNT_KEY": KEY,
        "AZURE_CONNECTION_STRING": TEXT,
    }
    secret = mounted("az-secret", {"az-secret.json": json.dumps(content)})
    entry = {
        "store": "azure",
        "bucket": "wasbs://box@acct.blob.core.windows.net/",
        "secret": "az-secret",
        "secretKey": "az-secret.json",
    }
    (read,) = read_catalog({"persistence": {"data": {"azure-data1": entry}}}, "catalog")
    assert isinstance(read, Connection)
    mount = Mount(name="az-secret", mount_path=str(secret.root), items=("az-secret.json",))
    found = AzureLogins(
        Connection(name=read.name, kind=read.kind, schema=read.schema, secret=mount), {}
    ).current()
    assert (BY_KEY, "acct") == (form_of(found), found.account)


def test_the_first_source_with_any_part_of_a_login_wins_whole(mounted):
    """Files, then the connection's env, then the process environment, then the SDK's own chain."""
    secret = mounted("az", {"AZURE_STORAGE_KEY": KEY})
    mount = Mount(name="s", mount_path=str(secret.root))
    environ = {"AZURE_STORAGE_ACCOUNT": "another", "AZURE_STORAGE_KEY": OTHER_KEY, **PRINCIPAL}
    own = {"AZURE_STORAGE_SAS_TOKEN": SAS}
    found = [
        login(environ, secret=mount, env=own),
        login(environ, env=own),
        login(environ, "wasbs://box@another.blob.core.windows.net"),
        login(),
        login(environ, secret=mount, env=own, options=Options(anonymous=True)),
        login(environ, env={"AZURE_CLIENT_ID": CLIENT}),
    ]
    assert [
        (f"files in {secret.root}", BY_KEY, "acct"),
        ("env of the connection", BY_SAS, "acct"),
        ("process environment", f"key {OTHER_KEY}", "another"),
        ("the SDK's own chain", "managed None", "acct"),
        ("anonymous", "anonymous", "acct"),
        ("env of the connection", f"managed {CLIENT}", "acct"),
    ] == [(each.source, form_of(each), each.account) for each in found]


def test_a_mount_without_a_login_is_passed_over_and_remembered(tmp_path):
    """Declared mounts in which no login was found are named, for the hint of a refusal."""
    absent = str(tmp_path / "absent")
    found = login({"AZURE_STORAGE_KEY": KEY}, secret=Mount(name="s", mount_path=absent))
    assert ("process environment", (absent,)) == (found.source, found.empty_mounts)


@pytest.mark.parametrize(
    ("env", "environ", "expected"),
    [
        ({}, {"AZURE_CLIENT_ID": CLIENT}, f"managed {CLIENT}"),
        ({"AZURE_CLIENT_ID": CLIENT}, {}, f"managed {CLIENT}"),
        ({}, {"AZURE_CLIENT_ID": CLIENT, "AZURE_TENANT_ID": TENANT}, f"managed {CLIENT}"),
        (
            {},
            {"AZURE_CLIENT_ID": CLIENT, "AZURE_TENANT_ID": TENANT, "AZURE_FEDERATED_TOKEN_FILE": "/t"},
            f"federated /t {CLIENT} {TENANT}",
        ),
        (
            {"AZURE_CLIENT_ID": CLIENT},
            {"AZURE_TENANT_ID": TENANT, "AZURE_FEDERATED_TOKEN_FILE": "/t"},
            f"federated /t {CLIENT} {TENANT}",
        ),
        (
            {"AZURE_CLIENT_ID": CLIENT, "AZURE_TENANT_ID": TENANT},
            {"AZURE_CLIENT_ID": TENANT, "AZURE_TENANT_ID": CLIENT, "AZURE_FEDERATED_TOKEN_FILE": "/t"},
            f"federated /t {CLIENT} {TENANT}",
        ),
        (
            {"AZURE_CLIENT_ID": CLIENT, "AZURE_TENANT_ID": "contoso.onmicrosoft.com", "AZURE_FEDERATED_TOKEN_FILE": "/own"},
            {},
            f"federated /own {CLIENT} contoso.onmicrosoft.com",
        ),
        ({}, {**PRINCIPAL, "AZURE_FEDERATED_TOKEN_FILE": "/t"}, BY_SECRET),
        (
            {"AZURE_STORAGE_KEY": KEY},
            {"AZURE_CLIENT_ID": CLIENT, "AZURE_TENANT_ID": TENANT, "AZURE_FEDERATED_TOKEN_FILE": "/t"},
            BY_KEY,
        ),
    ],
)  # fmt: skip
def test_the_pods_own_identity_is_a_workload_identity_or_a_managed_one(env, environ, expected):
    """The webhook's variables make a workload identity; else it is managed, that of AZURE_CLIENT_ID if it's given."""
    assert expected == form_of(login(environ, env=env))


@pytest.mark.parametrize(
    ("bucket", "env", "endpoint", "expected"),
    [
        (CONTAINER, {}, None, "https://acct.blob.core.windows.net"),
        ("abfss://box@acct.dfs.core.windows.net/p", {}, None, "https://acct.blob.core.windows.net"),
        ("https://acct.blob.core.chinacloudapi.cn/box", {}, None, "https://acct.blob.core.chinacloudapi.cn"),
        ("az://box", {"AZURE_STORAGE_ACCOUNT": "acct"}, None, "https://acct.blob.core.windows.net"),
        ("box", {"AZURE_STORAGE_ACCOUNT": "acct"}, "http://127.0.0.1:10000", "http://127.0.0.1:10000/acct"),
        ("box", {"AZURE_STORAGE_ACCOUNT": "acct"}, "azurite:10000/", "https://azurite:10000/acct"),
        ("box", {}, "http://127.0.0.1:10000/acct/", "http://127.0.0.1:10000/acct"),
        ("box", {}, "http://[::1]:10000/acct", "http://[::1]:10000/acct"),
        ("box", {}, "https://acct.privatelink.blob.core.windows.net", "https://acct.privatelink.blob.core.windows.net"),
        ("box", {}, "https://acct.z6.blob.storage.azure.net", "https://acct.z6.blob.storage.azure.net"),
        (CONTAINER, {}, "https://blobs.example.com", "https://blobs.example.com"),
        ("box", {"AZURE_STORAGE_CONNECTION_STRING": TEXT}, None, "https://acct.blob.core.windows.net"),
        (
            "box",
            {"AZURE_STORAGE_CONNECTION_STRING": f"AccountName=acct;AccountKey={KEY};EndpointSuffix=core.usgovcloudapi.net"},
            None,
            "https://acct.blob.core.usgovcloudapi.net",
        ),
        (
            CONTAINER,
            {"AZURE_STORAGE_CONNECTION_STRING": f"AccountName=acct;AccountKey={KEY};BlobEndpoint=http://127.0.0.1:1/acct"},
            None,
            "http://127.0.0.1:1/acct",
        ),
        (
            CONTAINER,
            {"AZURE_STORAGE_CONNECTION_STRING": TEXT},
            "http://azurite:10000",
            "http://azurite:10000/acct",
        ),
        ("box", {"AZURE_STORAGE_SAS_TOKEN": f"https://acct.blob.core.windows.net/box?{SAS}"}, None, "https://acct.blob.core.windows.net"),
        ("box", {"AZURE_STORAGE_SAS_TOKEN": f"http://127.0.0.1:10000/acct/box?{SAS}"}, None, "http://127.0.0.1:10000/acct"),
    ],
)  # fmt: skip
def test_the_endpoint_follows_from_whoever_names_it(bucket, env, endpoint, expected):
    """options.endpoint, then the login's own, then the account's in the domain of the URI."""
    options = Options(endpoint=endpoint, anonymous=not {*env} - {"AZURE_STORAGE_ACCOUNT"})
    found = login(bucket=bucket, env=env, options=options)
    assert (expected, "acct") == (found.endpoint, found.account)


def test_the_emulator_is_known_by_its_short_connection_string():
    """``UseDevelopmentStorage=true``, with the account, the key and the port that all emulators have."""
    found = login(
        bucket="box", env={"AZURE_STORAGE_CONNECTION_STRING": "UseDevelopmentStorage=true"}
    )
    assert ("devstoreaccount1", "http://127.0.0.1:10000/devstoreaccount1") == (
        found.account,
        found.endpoint,
    )
    assert found.account_key


def test_a_sas_in_the_uri_is_the_login():
    """Wherever a connection's name is taken, a URI is taken too, with the signature that it has."""
    place = connection_of(f"https://acct.blob.core.windows.net/box/p?{SAS}")
    found = AzureLogins(place, {"AZURE_STORAGE_KEY": OTHER_KEY}).current()
    assert (BY_SAS, "https://acct.blob.core.windows.net") == (form_of(found), found.endpoint)


@pytest.mark.parametrize(
    "written", [SAS, f"?{SAS}", f" {SAS} ", SAS.replace("%2B", "+").replace("%3D", "=")]
)
def test_a_sas_is_taken_as_it_is_pasted(written):
    """With the question mark of its URL, with spaces around, with a signature that isn't percent-encoded."""
    assert BY_SAS == form_of(login(env={"AZURE_STORAGE_SAS_TOKEN": written}))


def test_the_authority_of_another_cloud_is_taken():
    """``AZURE_AUTHORITY_HOST``, with or without its scheme; Azure's public one by itself."""
    assert [
        "https://login.microsoftonline.com",
        "https://login.chinacloudapi.cn",
        "https://login.microsoftonline.us",
    ] == [
        login(env=PRINCIPAL).authority,
        login(
            env={**PRINCIPAL, "AZURE_AUTHORITY_HOST": "https://login.chinacloudapi.cn/"}
        ).authority,
        login({"AZURE_AUTHORITY_HOST": "login.microsoftonline.us"}, env=PRINCIPAL).authority,
    ]


FILE = "AZURE_FEDERATED_TOKEN_FILE"


@pytest.mark.parametrize(
    ("env", "environ", "message", "hint"),
    [
        ({"AZURE_CLIENT_SECRET": "s", "AZURE_TENANT_ID": TENANT}, {}, "AZURE_CLIENT_SECRET (env of the connection) without AZURE_CLIENT_ID", "in the same place"),
        ({"AZURE_CLIENT_SECRET": "s", "AZURE_CLIENT_ID": CLIENT}, {"AZURE_TENANT_ID": TENANT}, "AZURE_CLIENT_SECRET (env of the connection) without AZURE_TENANT_ID", "never put together"),
        ({"AZURE_CLIENT_ID": CLIENT, "AZURE_TENANT_ID": TENANT}, {}, "AZURE_CLIENT_ID (env of the connection) without AZURE_CLIENT_SECRET", "AZURE_CLIENT_ID alone"),
        ({"AZURE_TENANT_ID": TENANT}, {}, "AZURE_TENANT_ID (env of the connection) without AZURE_CLIENT_ID", ""),
        ({}, {"AZURE_CLIENT_SECRET": "s"}, "AZURE_CLIENT_SECRET (process environment) without AZURE_TENANT_ID", ""),
        ({}, {FILE: "/t", "AZURE_TENANT_ID": TENANT}, f"{FILE} (process environment) without AZURE_CLIENT_ID", "azure.workload.identity/client-id"),
        ({}, {FILE: "/t", "AZURE_CLIENT_ID": CLIENT}, f"{FILE} (process environment) without AZURE_TENANT_ID", "azure.workload.identity/tenant-id"),
        ({FILE: "/t", "AZURE_CLIENT_ID": CLIENT}, {}, f"{FILE} (env of the connection) without AZURE_TENANT_ID", ""),
    ],
)  # fmt: skip
def test_a_part_of_a_login_that_stands_alone_is_a_refusal(env, environ, message, hint):
    """77, with the missing part and where it belongs."""
    with pytest.raises(CredentialsError) as caught:
        login(environ, env=env)
    assert message == caught.value.message
    assert hint in caught.value.hint


@pytest.mark.parametrize(("key", "characters"), [("not base64!", 11), (KEY[:-1], 87)])
def test_a_key_that_is_no_base64_is_a_refusal(key, characters):
    """77, as for a key that lost as much as makes it another one."""
    with pytest.raises(CredentialsError) as caught:
        login(env={"AZURE_STORAGE_KEY": key})
    assert (
        f"AZURE_STORAGE_KEY (env of the connection): no account key: its {characters} characters aren't base64"
        == caught.value.message
    )
    assert "88 characters" in caught.value.hint


@pytest.mark.parametrize("name", ["AZURE_STORAGE_KEY", "AZURE_STORAGE_SAS_TOKEN"])
def test_a_key_without_its_account_is_a_refusal(name):
    """Another source's account would be a mixed login."""
    value = KEY if name.endswith("KEY") else SAS
    with pytest.raises(CredentialsError) as caught:
        login({"AZURE_STORAGE_ACCOUNT": "acct"}, "box", env={name: value})
    assert f"{name} (env of the connection) without AZURE_STORAGE_ACCOUNT" == caught.value.message


@pytest.mark.parametrize(
    ("env", "message"),
    [
        ({**PRINCIPAL, "AZURE_TENANT_ID": "my tenant"}, "AZURE_TENANT_ID (env of the connection): no tenant id"),
        ({**PRINCIPAL, "AZURE_CLIENT_ID": "my-app"}, "AZURE_CLIENT_ID (env of the connection): no client id"),
        ({"AZURE_CLIENT_ID": "my-app"}, "AZURE_CLIENT_ID (env of the connection): no client id"),
        ({**PRINCIPAL, "AZURE_AUTHORITY_HOST": "http://login.example"}, "AZURE_AUTHORITY_HOST (env of the connection): the authority is without TLS"),
        ({**PRINCIPAL, "AZURE_AUTHORITY_HOST": "https://login.example/tenant"}, "AZURE_AUTHORITY_HOST (env of the connection): there is more behind its host"),
        ({"AZURE_STORAGE_ACCOUNT": "My Account", "AZURE_STORAGE_KEY": KEY}, "AZURE_STORAGE_ACCOUNT (env of the connection): 'My Account' is no name of a storage account"),
        ({"AZURE_STORAGE_KEY": KEY, "AZURE_STORAGE_SAS_TOKEN": SAS}, "AZURE_STORAGE_KEY and AZURE_STORAGE_SAS_TOKEN (env of the connection) are several logins at once"),
        ({"AZURE_STORAGE_KEY": KEY, **PRINCIPAL}, "AZURE_STORAGE_KEY and AZURE_CLIENT_SECRET (env of the connection) are several logins at once"),
        ({"AZURE_STORAGE_CONNECTION_STRING": TEXT, "AZURE_STORAGE_KEY": OTHER_KEY}, "AZURE_STORAGE_CONNECTION_STRING and AZURE_STORAGE_KEY (env of the connection) are several logins at once"),
        ({"AZURE_STORAGE_SAS_TOKEN": f"https://acct.blob.core.windows.net/other?{SAS}"}, "the container is box by schema.bucket, and other by the URL in AZURE_STORAGE_SAS_TOKEN (env of the connection)"),
        ({"AZURE_STORAGE_SAS_TOKEN": f"https://another.blob.core.windows.net/box?{SAS}"}, "the storage account is acct by schema.bucket, and another by the URL in AZURE_STORAGE_SAS_TOKEN (env of the connection)"),
        ({"AZURE_STORAGE_ACCOUNT": "another", "AZURE_STORAGE_KEY": KEY}, "the storage account is acct by schema.bucket, and another by AZURE_STORAGE_ACCOUNT (env of the connection)"),
        ({"AZURE_STORAGE_CONNECTION_STRING": TEXT.replace("acct", "another")}, "the storage account is acct by schema.bucket, and another by AZURE_STORAGE_CONNECTION_STRING (env of the connection)"),
        ({"AZURE_STORAGE_CONNECTION_STRING": TEXT.replace("core.windows.net", "core.chinacloudapi.cn")}, "the domain is core.windows.net by schema.bucket, and core.chinacloudapi.cn by AZURE_STORAGE_CONNECTION_STRING (env of the connection)"),
    ],
)  # fmt: skip
def test_what_is_malformed_or_contradicts_is_said(env, message):
    """78, with what, where and a mend, each one line; a contradiction names both."""
    with pytest.raises(ConfigurationError) as caught:
        login(env=env)
    assert message == caught.value.message
    assert caught.value.hint
    assert "\n" not in caught.value.hint
    assert "c" == caught.value.connection


@pytest.mark.parametrize(
    ("endpoint", "message"),
    [
        ("https://another.blob.core.windows.net", "the storage account is acct by schema.bucket, and another by options.endpoint"),
        ("http://127.0.0.1:10000/another", "the storage account is acct by schema.bucket, and another by options.endpoint"),
        ("https://acct.dfs.core.windows.net", "endpoint (options of the connection): that is the endpoint for Data Lake"),
        ("https://acct.blob.core.windows.net/box", "endpoint (options of the connection): there is more behind the account than an endpoint has"),
        ("http://127.0.0.1:10000/acct/box", "endpoint (options of the connection): there is more behind the account than an endpoint has"),
        ("not a url", "endpoint (options of the connection): no URL of an endpoint"),
    ],
)  # fmt: skip
def test_an_endpoint_that_can_not_be_is_said(endpoint, message):
    """78, before anything is sent there."""
    with pytest.raises(ConfigurationError) as caught:
        login(env={"AZURE_STORAGE_KEY": KEY}, options=Options(endpoint=endpoint))
    assert message == caught.value.message


def test_without_an_account_that_is_what_is_said():
    """78: the forms in which it can be named."""
    with pytest.raises(ConfigurationError, match="nothing names the storage account") as caught:
        login(bucket="az://box")
    assert "wasbs://CONTAINER@ACCOUNT" in caught.value.hint


def test_the_account_of_the_environment_counts_where_nothing_else_names_it():
    """Settings merge across sources; only the login itself doesn't."""
    found = login({"AZURE_STORAGE_ACCOUNT": "acct"}, "az://box", env=PRINCIPAL)
    assert ("acct", BY_SECRET) == (found.account, form_of(found))


def test_the_account_of_the_environment_is_no_contradiction_to_a_login_of_its_own():
    """What another tool was told doesn't matter to a connection that names its account."""
    assert "acct" == login({"AZURE_STORAGE_ACCOUNT": "another"}, env=PRINCIPAL).account


@pytest.mark.parametrize("env", [{}, PRINCIPAL])
def test_tokens_are_not_sent_in_clear(env):
    """A bearer token on http could be read, and used, by anyone on the way."""
    with pytest.raises(ConfigurationError, match="tokens aren't sent without TLS"):
        login(env=env, options=Options(endpoint="http://127.0.0.1:10000"))


def sas(**fields: str) -> str:
    return "&".join(f"{name}={value}" for name, value in {**dict(pair.split("=", 1) for pair in SAS.split("&")), **fields}.items() if value)  # fmt: skip


def at(hours: float) -> str:
    return (datetime.now(UTC) + timedelta(hours=hours)).strftime("%Y-%m-%dT%H:%M:%SZ")


@pytest.mark.parametrize(
    ("token", "kind", "message"),
    [
        (sas(se="2020-01-02T03:04:05Z"), CredentialsError, "the SAS has expired at 2020-01-02 03:04 UTC; it is 20"),
        (sas(se="2020-01-02"), CredentialsError, "the SAS has expired at 2020-01-02 00:00 UTC"),
        (sas(se=at(-1)), CredentialsError, "the SAS has expired at "),
        (sas(st="2098-01-01T00:00Z"), CredentialsError, "the SAS doesn't hold before 2098-01-01 00:00 UTC"),
        (sas(sig=""), CredentialsError, "a SAS without sig="),
        (sas(sv=""), CredentialsError, "a SAS without sv="),
        (sas(se=""), ConfigurationError, "a SAS without se="),
        (sas(se="tomorrow"), ConfigurationError, "the SAS's se= is no time"),
        (sas(ss="qt"), ConfigurationError, "a SAS for other services than blobs (ss=qt)"),
        (f"{SAS}&sp=r", ConfigurationError, "a SAS in which a name stands twice"),
        (f'"{SAS}"', ConfigurationError, "a SAS with spaces or quotes in it"),
        ("hunter2hunter2", ConfigurationError, "no SAS token: piece 1 of 1 isn't like name=value"),
        (f"{SAS}&hunter2", ConfigurationError, "no SAS token: piece 6 of 6 isn't like name=value"),
        ("https://acct.blob.core.windows.net/box", ConfigurationError, "a URL without a signature"),
    ],
    ids=itertools.count(),  # some tokens hold the time
)  # fmt: skip
def test_a_sas_that_can_not_hold_is_said(token, kind, message):
    """Expired since when, not yet from when, cut in copying, for another service; never the signature."""
    with pytest.raises(LightermanError) as caught:
        login(env={"AZURE_STORAGE_SAS_TOKEN": token})
    assert kind is type(caught.value)
    assert f"AZURE_STORAGE_SAS_TOKEN (env of the connection): {message}" in caught.value.message
    assert not {"c2ln", "hunter2"} & {*caught.value.message.replace("=", " ").split()}


def test_a_sas_near_its_times_is_left_to_the_store():
    """This machine's clock may be off by some minutes: within, the store decides."""
    token = sas(se=at(-0.05), st=at(0.05))
    assert login(env={"AZURE_STORAGE_SAS_TOKEN": token}).sas_token


def test_a_sas_for_https_only_does_not_go_over_http():
    """The store would refuse it with less to say."""
    env = {"AZURE_STORAGE_SAS_TOKEN": sas(spr="https")}
    with pytest.raises(ConfigurationError, match=r"for https only \(spr=https\)"):
        login(env=env, options=Options(endpoint="http://127.0.0.1:10000"))


def test_a_sas_is_described_without_its_signature():
    """A refusal tells what it is for and until when."""
    token = sas(st="2026-01-01", sip="10.0.0.1", srt="co", ss="b", sr="")
    found = login(env={"AZURE_STORAGE_SAS_TOKEN": token})
    limits = (
        "sp=rl, ss=b, srt=co, sip=10.0.0.1, from 2026-01-01 00:00 UTC, until 2099-01-01 00:00 UTC"
    )
    assert f"env of the connection (a SAS: {limits})" == found.described


def test_what_is_secret_is_masked_everywhere():
    """Keys, connection strings, signatures: in a repr, and in any text that leaves the process."""
    found = [
        login(env={"AZURE_STORAGE_CONNECTION_STRING": TEXT}),
        login({"AZURE_STORAGE_SAS_TOKEN": SAS}),
        login({**PRINCIPAL, "AZURE_CLIENT_SECRET": "the~secret~of~it"}),
    ]
    signature = "c2ln+c2ln/c2ln="
    text = f"{found} {scrub(f'{KEY} {TEXT} {SAS} sig={signature} the~secret~of~it')}"
    for secret in (KEY, "c2ln%2B", signature, "the~secret~of~it"):
        assert secret not in text


def test_a_rotated_secret_is_read_again(mounted, hand_clock):
    """A mounted file is read again when it changes: rotation needs no restart."""
    secret = mounted("az", {"AZURE_STORAGE_KEY": KEY})
    mount = Mount(name="s", mount_path=str(secret.root))
    logins = AzureLogins(connection(secret=mount), {}, hand_clock)
    first = logins.current()
    secret.put({"AZURE_STORAGE_KEY": OTHER_KEY})
    hand_clock.now_seconds += LOOK_EVERY_SECONDS
    second = logins.current()
    secret.put({"AZURE_STORAGE_KEY": "no key"})
    assert [BY_KEY, f"key {OTHER_KEY}"] == [form_of(first), form_of(second)]
    assert second is logins.refreshed()


def test_a_rotation_to_an_expired_sas_keeps_the_one_before(mounted):
    """What can't be used doesn't replace what can."""
    secret = mounted("az", {"AZURE_STORAGE_SAS_TOKEN": SAS})
    logins = AzureLogins(connection(secret=Mount(name="s", mount_path=str(secret.root))), {})
    first = logins.current()
    secret.put({"AZURE_STORAGE_SAS_TOKEN": sas(se="2020-01-01")})
    assert first is logins.refreshed()
