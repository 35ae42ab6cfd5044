"""Where the login of a GCS connection comes from, and what is wrong with one that can't be used."""

import base64
import io
import json
from functools import cache

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import given, settings
from hypothesis import strategies as st

from lighterman import log
from lighterman.connections.credentials import LOOK_EVERY_SECONDS
from lighterman.connections.gcs_keyfile import NEEDED, decoded
from lighterman.connections.gcs_login import DEFAULT_SCOPES, GcsLogin, GcsLogins
from lighterman.connections.model import Bucket, Connection, Mount, Options
from lighterman.connections.shapes import read_catalog
from lighterman.connections.sources import Setting
from lighterman.errors import ConfigurationError, CredentialsError, ExitCode, LightermanError
from lighterman.secret import MASK, scrub

TOKEN_URI = "https://oauth2.googleapis.com/token"


@cache
def private_key() -> str:
    return (
        ec.generate_private_key(ec.SECP256R1())
        .private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        .decode()
    )


def service_account(who: str = "a", **changes) -> dict[str, object]:
    """A key file; a change to ``None`` leaves the field out."""
    whole = {
        "type": "service_account",
        "project_id": "of-the-key",
        "private_key": private_key(),
        "client_email": f"{who}@p.iam.gserviceaccount.com",
        "token_uri": TOKEN_URI,
    } | changes
    return {name: value for name, value in whole.items() if value is not None}


USER = {
    "type": "authorized_user",
    "client_id": "id",
    "client_secret": "client-hunter2",
    "refresh_token": "1//refresh",
}
FEDERATION = {
    "type": "external_account",
    "audience": "//iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/p/providers/q",
    "subject_token_type": "urn:ietf:params:oauth:token-type:jwt",
    "token_url": "https://sts.googleapis.com/v1/token",
    "credential_source": {"file": "/var/run/token"},
}
IMPERSONATION = {
    "type": "impersonated_service_account",
    "service_account_impersonation_url": "https://iamcredentials.googleapis.com/v1/projects/-/"
    "serviceAccounts/target@p.iam.gserviceaccount.com:generateAccessToken",
    "source_credentials": USER,
}


def text(who: str = "a", **changes) -> str:
    return json.dumps(service_account(who, **changes), indent=2)


def encoded(who: str = "a") -> str:
    return base64.b64encode(text(who).encode()).decode()


def connection(**fields) -> Connection:
    return Connection(name="c", kind="gcs", schema=Bucket("gs://b"), **fields)


def login(environ=None, **fields) -> GcsLogin:
    return GcsLogins(connection(**fields), environ or {}).current()


def info(found: GcsLogin) -> dict[str, object]:
    assert found.key_file is not None
    return json.loads(found.key_file.reveal())


def mount(secret) -> Mount:
    return Mount(name="s", mount_path=str(secret.root))


@pytest.mark.parametrize(
    "files",
    [
        {"gc-secret.json": text()},
        {"token": text()},
        {"key": "\n" + text() + "\n"},
        {"GOOGLE_APPLICATION_CREDENTIALS": text()},
        {"GC_KEYFILE_DICT": text() + "\n"},
        {"GOOGLE_KEYFILE_DICT": encoded() + "\n"},
        {"google_keyfile_dict": encoded()},
        {"all.json": json.dumps({"GC_KEYFILE_DICT": text(), "GC_PROJECT": "p"})},
        {"all.json": json.dumps({"google_keyfile_dict": encoded()})},
        {"key.json": text(), "ca.crt": "-----BEGIN", "raw": b"\xff\xfe", "other.json": '{"a": 1}'},
        {"key.json": text(), "copy.json": text()},
    ],
)
def test_a_login_is_read_from_mounted_files(mounted, files):
    """One file per key, one JSON file of any name holding the keys, or a mounted service-account JSON."""
    secret = mounted("gcs", files)
    found = login(secret=mount(secret))
    assert service_account() == info(found)
    assert (f"files in {secret.root}", "service_account", "a@p.iam.gserviceaccount.com") == (
        found.source,
        found.key_type,
        found.account,
    )


def test_a_mounted_path_names_a_key_file(mounted, tmp_path):
    """Polyaxon's config map holds GC_KEY_PATH, and the secret beside it the key file."""
    secret = mounted("secret", {"gc-secret.json": text()})
    config = mounted("config", {"GC_KEY_PATH": f"{secret.root}/gc-secret.json\n"})
    found = login(secret=mount(secret), config_map=mount(config))
    assert service_account() == info(found)
    assert "a@p.iam.gserviceaccount.com" == found.account


def test_only_the_items_of_a_mount_are_read(mounted):
    """items name the keys of the secret that count."""
    secret = mounted("gcs", {"a.json": text("a"), "b.json": text("b")})
    of_b = Mount(name="s", mount_path=str(secret.root), items=("b.json",))
    assert "b@p.iam.gserviceaccount.com" == login(secret=of_b).account


def test_a_mounted_file_in_place_of_a_directory_is_read(tmp_path):
    """A subPath mount is one file."""
    path = tmp_path / "anything"
    path.write_text(text())
    assert service_account() == info(login(secret=Mount(name="s", mount_path=str(path))))


def test_of_several_mounted_key_files_one_is_named(mounted):
    """GC_KEY_PATH of the environment says which of a secret's key files counts; else it is an error."""
    secret = mounted("gcs", {"a.json": text("a"), "b.json": text("b")})
    named = login({"GC_KEY_PATH": f"{secret.root}/b.json"}, secret=mount(secret))
    assert "b@p.iam.gserviceaccount.com" == named.account
    with pytest.raises(ConfigurationError) as caught:
        login(secret=mount(secret))
    root = secret.root
    assert f"{root}/a.json and {root}/b.json are several logins at once" == caught.value.message


def test_the_first_source_with_a_login_wins_whole(mounted, tmp_path):
    """Files, then the connection's env, then the process environment, then the SDK's own chain."""
    secret = mounted("gcs", {"key.json": text("files")})
    home = tmp_path / "home"
    known = home / ".config/gcloud/application_default_credentials.json"
    known.parent.mkdir(parents=True)
    known.write_text(json.dumps(USER))
    key = tmp_path / "process.json"
    key.write_text(text("process"))
    environ = {"HOME": str(home), "GOOGLE_APPLICATION_CREDENTIALS": str(key)}
    own = {"GOOGLE_KEYFILE_DICT": text("own")}
    found = [
        login(environ, secret=mount(secret), env=own),
        login(environ, env=own),
        login(environ),
        login({"HOME": str(home)}),
        login({"CLOUDSDK_CONFIG": str(known.parent)}),
        login({"HOME": str(tmp_path)}),
        login(environ, secret=mount(secret), env=own, options=Options(anonymous=True)),
    ]
    assert [
        (f"files in {secret.root}", "files", False),
        ("env of the connection", "own", False),
        ("process environment", "process", False),
        ("the SDK's own chain", "", False),
        ("the SDK's own chain", "", False),
        ("the SDK's own chain", "", False),
        ("anonymous", "", True),
    ] == [(each.source, each.account.partition("@")[0], each.anonymous) for each in found]
    assert ["service_account"] * 3 + ["authorized_user"] * 2 + ["", ""] == [
        each.key_type for each in found
    ]


def test_a_source_behind_the_first_one_is_not_even_looked_at(mounted):
    """First found wins: a damaged key in the environment is no trouble of a connection with its own."""
    secret = mounted("gcs", {"key.json": text()})
    environ = {"GOOGLE_APPLICATION_CREDENTIALS": "/not/there", "GC_KEYFILE_DICT": "{"}
    assert "a@p.iam.gserviceaccount.com" == login(environ, secret=mount(secret)).account
    assert "a@p.iam.gserviceaccount.com" == login(environ, env={"GC_KEYFILE_DICT": text()}).account


@pytest.mark.parametrize("document", [service_account(), USER, FEDERATION, IMPERSONATION])
@pytest.mark.parametrize(
    "name", ["GOOGLE_APPLICATION_CREDENTIALS", "GC_KEY_PATH", "GOOGLE_KEY_PATH"]
)
def test_a_path_names_credentials_of_any_type(tmp_path, name, document):
    """Service account, user, workload identity federation, impersonation: by GOOGLE_APPLICATION_CREDENTIALS, …"""
    path = tmp_path / "credentials"
    path.write_text(json.dumps(document))
    for found in (login({name: str(path)}), login(env={name: str(path)})):
        assert (document, document["type"]) == (info(found), found.key_type)


@pytest.mark.parametrize("name", ["GC_KEYFILE_DICT", "GOOGLE_KEYFILE_DICT"])
@pytest.mark.parametrize(
    "value",
    [
        text(),
        encoded(),
        base64.urlsafe_b64encode(text().encode()).decode().rstrip("="),
        base64.encodebytes(text().encode()).decode(),
        json.dumps(service_account(private_key=private_key().replace("\n", "\\n"))),
        json.dumps(service_account(type=None)),
    ],
    ids=["json", "base64", "urlsafe", "wrapped", "escaped twice", "no type"],
)
def test_the_key_file_itself_may_stand_in_a_variable(name, value):
    """KEYFILE_DICT holds JSON, maybe in base64; line ends that were escaped twice are line ends, as in Polyaxon."""
    assert service_account() == info(login({name: value}))


@pytest.mark.parametrize(
    ("options", "env", "environ", "expected"),
    [
        ({}, {}, {}, ("of-the-key", DEFAULT_SCOPES, None, True)),
        ({}, {"GC_PROJECT": "e"}, {"GC_PROJECT": "p"}, ("e", DEFAULT_SCOPES, None, True)),
        ({}, {}, {"GOOGLE_PROJECT": "p"}, ("p", DEFAULT_SCOPES, None, True)),
        ({}, {}, {"GC_PROJECT_ID": "p"}, ("p", DEFAULT_SCOPES, None, True)),
        ({}, {}, {"GOOGLE_CLOUD_PROJECT": "p"}, ("p", DEFAULT_SCOPES, None, True)),
        ({}, {"GC_SCOPES": "https://a,https://b"}, {}, ("of-the-key", ("https://a", "https://b"), None, True)),
        ({}, {"GOOGLE_SCOPES": " https://a  https://b "}, {}, ("of-the-key", ("https://a", "https://b"), None, True)),
        ({"endpoint": "https://o:1/"}, {}, {}, ("of-the-key", DEFAULT_SCOPES, "https://o:1", True)),
        ({"endpoint": "o:1"}, {}, {}, ("of-the-key", DEFAULT_SCOPES, "https://o:1", True)),
        ({"endpoint": "http://o"}, {}, {"STORAGE_EMULATOR_HOST": "e:2"}, ("of-the-key", DEFAULT_SCOPES, "http://o", True)),
        ({}, {}, {"STORAGE_EMULATOR_HOST": "e:2"}, ("of-the-key", DEFAULT_SCOPES, "http://e:2", True)),
        ({"ca_bundle": "/o.pem"}, {}, {"REQUESTS_CA_BUNDLE": "/p.pem"}, ("of-the-key", DEFAULT_SCOPES, None, "/o.pem")),
        ({}, {}, {"REQUESTS_CA_BUNDLE": "/p.pem"}, ("of-the-key", DEFAULT_SCOPES, None, "/p.pem")),
    ],
)  # fmt: skip
def test_settings_merge_across_sources_options_first(mounted, options, env, environ, expected):
    """Only the credentials are a set; project, scopes, endpoint and CA merge around them."""
    secret = mounted("gcs", {"key.json": text()})
    found = login(environ, env=env, options=Options(**options), secret=mount(secret))
    assert expected == (found.project, found.scopes, found.endpoint, found.verify)


@pytest.mark.parametrize(
    ("env", "environ", "expected"),
    [
        ({}, {"STORAGE_EMULATOR_HOST": "localhost:9023"}, (True, "http://localhost:9023")),
        ({}, {"STORAGE_EMULATOR_HOST": "https://e:1/"}, (True, "https://e:1")),
        ({"STORAGE_EMULATOR_HOST": "e:1"}, {}, (True, "http://e:1")),
        ({"STORAGE_EMULATOR_HOST": "e:1"}, {"GC_KEYFILE_DICT": text()}, (True, "http://e:1")),
        ({}, {"STORAGE_EMULATOR_HOST": "e:1", "GC_KEYFILE_DICT": text()}, (True, "http://e:1")),
        ({"STORAGE_EMULATOR_HOST": "e:1", "GC_KEYFILE_DICT": text()}, {}, (False, "http://e:1")),
        ({"GC_KEYFILE_DICT": text()}, {"STORAGE_EMULATOR_HOST": "e:1"}, (False, "http://e:1")),
    ],
)
def test_an_emulator_is_an_endpoint_without_login(env, environ, expected):
    """STORAGE_EMULATOR_HOST: anonymous, but for a login that was given to that very connection."""
    found = login(environ, env=env)
    assert expected == (found.anonymous, found.endpoint)


def test_an_emulator_that_is_not_the_endpoint_takes_no_login_away():
    """A connection with an endpoint of its own keeps the login of the environment."""
    environ = {"STORAGE_EMULATOR_HOST": "e:1", "GC_KEYFILE_DICT": text()}
    found = login(environ, options=Options(endpoint="https://own"))
    assert (False, "https://own", "service_account") == (
        found.anonymous,
        found.endpoint,
        found.key_type,
    )


def test_a_mount_without_a_login_is_passed_over_and_remembered(mounted, tmp_path):
    """Declared mounts in which no login was found are named, for the hint of a refusal."""
    absent = str(tmp_path / "absent")
    settings = mounted("config", {"GC_PROJECT": "p"})
    found = login(
        {"GC_KEYFILE_DICT": text()},
        secret=Mount(name="s", mount_path=absent),
        config_map=mount(settings),
    )
    assert ("process environment", "p", (absent, str(settings.root))) == (
        found.source,
        found.project,
        found.empty_mounts,
    )


KEY = "GC_KEYFILE_DICT (env of the connection)"


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (text()[:-40], f"{KEY}:"),
        ("{}", f"{KEY} has no type, so it is no credentials of Google's"),
        (text(type="service_acount"), f"{KEY} is of a type that isn't known, so it is no credentials of Google's"),
        (text(type=["service_account"]), f"{KEY} is of a type that isn't known, so it is no credentials of Google's"),
        (text(private_key=None), f"{KEY}: service_account without private_key"),
        (text(client_email=""), f"{KEY}: service_account without client_email"),
        (text(token_uri=None), f"{KEY}: service_account without token_uri"),
        (text(token_uri=1), f"{KEY}: its token_uri is no text"),
        (text(private_key="hunter22"), f"{KEY}: its private_key is no PEM of a private key, or is cut short"),
        (text(private_key=private_key()[:-30]), f"{KEY}: its private_key is no PEM of a private key, or is cut short"),
        (text(private_key=private_key().replace("PRIVATE", "PUBLIC")), f"{KEY}: its private_key is no PEM of a private key, or is cut short"),
        ("hunter22hunter22", f"{KEY} is neither JSON nor base64 of it"),
        ("not base64 at all!", f"{KEY} is neither JSON nor base64 of it"),
        (encoded()[:100], f"{KEY}:"),
        (base64.b64encode(b"\xff\xfe").decode(), f"{KEY} is neither JSON nor base64 of it"),
        (json.dumps({**USER, "refresh_token": None}), f"{KEY}: authorized_user without refresh_token"),
        (json.dumps({**FEDERATION, "credential_source": "f"}), f"{KEY}: its credential_source is no object"),
        (json.dumps({**IMPERSONATION, "source_credentials": {"type": "x"}}), f"{KEY}: source_credentials is of a type that isn't known, so it is no credentials of Google's"),
        (json.dumps({**IMPERSONATION, "source_credentials": {**USER, "client_id": 7}}), f"{KEY}: source_credentials: its client_id is no text"),
    ],
)  # fmt: skip
def test_credentials_that_cannot_be_used_are_named_with_their_place(value, message):
    """77, in one line: what, in which key of which source, and how to mend it; never the value."""
    with pytest.raises(CredentialsError) as caught:
        login(env={"GC_KEYFILE_DICT": value})
    error = caught.value
    assert error.message.startswith(message)
    assert (ExitCode.REFUSED, "c") == (error.exit_code, error.connection)
    assert error.hint
    assert "\n" not in error.message + error.hint
    for secret in (value, "hunter22", private_key().splitlines()[1]):
        assert secret == "{}" or secret not in error.message + error.hint


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (text()[:50], "{path}:"),
        (text(private_key="x"), "{path}: its private_key is no PEM of a private key, or is cut short"),
        (text(type="x"), "{path} is of a type that isn't known, so it is no credentials of Google's"),
    ],
)  # fmt: skip
def test_a_mounted_key_file_that_cannot_be_used_is_named(mounted, content, message):
    """77, with the file."""
    secret = mounted("gcs", {"key.json": content})
    with pytest.raises(CredentialsError) as caught:
        login({"GC_KEYFILE_DICT": text()}, secret=mount(secret))
    assert caught.value.message.startswith(message.format(path=f"{secret.root}/key.json"))
    assert "key" in caught.value.hint


def test_a_path_that_leads_nowhere_is_named(tmp_path):
    """77: not there, no file, no JSON; the path is shown, as it is no secret."""
    (tmp_path / "key.p12").write_bytes(b"\x30\x82\xff")
    (tmp_path / "huge").write_bytes(b" " * (1 << 21))
    named = "that GC_KEY_PATH (process environment) names"
    cases = {
        "/not/there.json": f"the file /not/there.json {named} isn't there",
        str(tmp_path): f"the file {tmp_path} {named} can't be read: Is a directory",
        f"{tmp_path}/key.p12": f"the file {tmp_path}/key.p12 {named} is no JSON",
        f"{tmp_path}/huge": f"the file {tmp_path}/huge {named} is no JSON",
        "hunter22": f"the file {named} isn't there",
        "/a\0b": f"the file {named} is no JSON",
    }
    for path, message in cases.items():
        with pytest.raises(CredentialsError) as caught:
            login({"GC_KEY_PATH": path})
        assert message == caught.value.message


@pytest.mark.parametrize(
    ("env", "options", "message"),
    [
        ({"GC_SCOPES": ","}, {}, "GC_SCOPES (env of the connection): no scopes"),
        ({"GC_SCOPES": 'https://"a"'}, {}, "GC_SCOPES (env of the connection): no scopes"),
        ({"STORAGE_EMULATOR_HOST": "http://"}, {}, "STORAGE_EMULATOR_HOST (env of the connection): no URL of an endpoint"),
        ({"STORAGE_EMULATOR_HOST": "http://u:p@h"}, {}, "STORAGE_EMULATOR_HOST (env of the connection): no URL of an endpoint"),
        ({}, {"endpoint": "https://h:99999"}, "endpoint (options of the connection): no URL of an endpoint"),
        ({"GC_KEYFILE_DICT": text("a"), "GOOGLE_APPLICATION_CREDENTIALS": text("b")}, {}, "GOOGLE_APPLICATION_CREDENTIALS and GC_KEYFILE_DICT (env of the connection) are several logins at once"),
    ],
)  # fmt: skip
def test_a_malformed_setting_is_named_with_its_place(env, options, message):
    """78, never with the value."""
    with pytest.raises(ConfigurationError) as caught:
        login(env=env, options=Options(**options))
    assert (message, ExitCode.CONFIGURATION) == (caught.value.message, caught.value.exit_code)


def test_what_is_secret_in_a_key_file_is_shown_nowhere(mounted):
    """Neither a repr nor a text that somebody else makes of it holds the private key or the JSON."""
    found = login(secret=mount(mounted("gcs", {"key.json": text()})))
    line = private_key().splitlines()[1]
    assert line not in repr(found)
    for shown in (private_key(), text(), json.dumps(service_account()), repr(private_key())[1:-1]):
        assert line not in scrub(f"the SDK says: {shown}.")
    login(env={"GC_KEYFILE_DICT": json.dumps(IMPERSONATION)})
    assert f"{MASK} {MASK}" == scrub(f"{USER['client_secret']} {USER['refresh_token']}")


def test_polyaxons_documented_catalog_logs_in(mounted):
    """Polyaxon's catalog of GCS, as its documentation has it, with the secret mounted where it says."""
    secret = mounted("gcs", {"gc-secret.json": text()})
    document = {
        "name": "gcs-dataset1",
        "kind": "gcs",
        "schema": {"bucket": "gs://gcs-datasets/path1"},
        "secret": {"name": "gcs-secret", "mountPath": str(secret.root)},
        "configMap": {"name": "gcs-key-path"},
    }
    [entry] = read_catalog([document], "catalog")
    environ = {"GC_KEY_PATH": f"{secret.root}/gc-secret.json"}
    assert isinstance(entry, Connection)
    for each in ({}, environ):
        assert service_account() == info(GcsLogins(entry, each).current())


def test_zenmls_artifact_store_logs_in():
    """ZenML's secret for GCP has one key, token, that holds the key file; the pod gives it as a variable."""
    document = {"name": "z", "flavor": "gcp", "path": "gs://b/p", "authentication_secret": "gcp"}
    [entry] = read_catalog([document], "catalog")
    assert isinstance(entry, Connection)
    for environ in ({"token": text()}, {"GOOGLE_KEYFILE_DICT": text()}):
        assert service_account() == info(GcsLogins(entry, environ).current())


@pytest.mark.parametrize(
    "files",
    [{"token": text()}, {"secret.json": json.dumps({"token": text()})}],
)
def test_zenmls_secret_may_be_mounted(mounted, files):
    """As one file, or as one JSON file that holds the key."""
    assert service_account() == info(login(secret=mount(mounted("gcs", files))))


@pytest.mark.parametrize("value", ["eyJhbGciOi.J9.x", '{"a": 1}', '{"a', "[]"])
def test_any_other_token_is_none_of_ours(mounted, value):
    """A variable or a projected service account token of that name is somebody else's."""
    assert "the SDK's own chain" == login({"token": value}).source
    federated = {"gcp.json": json.dumps(FEDERATION)}
    if not value.startswith("{"):
        secret = mounted("gcs", {**federated, "token": value})
        assert "external_account" == login(secret=mount(secret)).key_type


def test_zenmls_secret_that_was_cut_short_is_named():
    """77, as every key file that can't be used."""
    with pytest.raises(CredentialsError, match=r"TOKEN \(process environment\):\d+:\d+: not JSON"):
        login({"token": text()[:-30]})


@pytest.fixture
def logged():
    """What is logged, as JSON lines."""
    stream = io.StringIO()
    log.configure("info", "json", stream)
    yield lambda: [json.loads(line) for line in stream.getvalue().splitlines()]
    log.configure()


def test_a_rotated_key_file_is_read_again_without_a_restart(mounted, hand_clock, logged):
    """A mounted file is read again when it changes: rotation needs no restart."""
    secret = mounted("gcs", {"key.json": text("old")})
    logins = GcsLogins(connection(secret=mount(secret)), {}, hand_clock)
    assert "old@p.iam.gserviceaccount.com" == logins.current().account
    secret.put({"key.json": text("new")})
    hand_clock.now_seconds += LOOK_EVERY_SECONDS
    assert "new@p.iam.gserviceaccount.com" == logins.current().account
    assert ["credentials.reread"] == [line["event"] for line in logged()]


@pytest.mark.parametrize("content", [text("new")[:60], text("new", private_key="x"), ""])
def test_a_half_replaced_key_file_keeps_the_last_good_login(mounted, hand_clock, logged, content):
    """While the file is half there, the last good login stays; it is said once, and mended later."""
    secret = mounted("gcs", {"key.json": text("old")})
    logins = GcsLogins(connection(secret=mount(secret)), {}, hand_clock)
    first = logins.current()
    secret.put({"key.json": content})
    for _ in range(3):
        hand_clock.now_seconds += LOOK_EVERY_SECONDS
        assert first is logins.current()
    assert ["credentials.kept"] == [line["event"] for line in logged()]
    secret.put({"key.json": text("new")})
    assert "new@p.iam.gserviceaccount.com" == logins.refreshed().account


def test_a_key_file_named_by_the_environment_rotates_too(mounted, hand_clock):
    """The pod may mount the secret in place of the catalog: GOOGLE_APPLICATION_CREDENTIALS names a file in it."""
    secret = mounted("gcs", {"key.json": text("old")})
    environ = {"GOOGLE_APPLICATION_CREDENTIALS": f"{secret.root}/key.json"}
    logins = GcsLogins(connection(), environ, hand_clock)
    assert "old@p.iam.gserviceaccount.com" == logins.current().account
    secret.put({"key.json": text("new")})
    assert "old@p.iam.gserviceaccount.com" == logins.current().account
    hand_clock.now_seconds += LOOK_EVERY_SECONDS
    assert "new@p.iam.gserviceaccount.com" == logins.current().account
    secret.put({})
    assert "new@p.iam.gserviceaccount.com" == logins.refreshed().account


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=4), inner, max_size=2)
    ),
    max_leaves=4,
)
FIELDS = st.dictionaries(
    st.sampled_from(sorted({name for names in NEEDED.values() for name in names} | {"type"})),
    st.sampled_from([*NEEDED, private_key()]) | JSON_VALUES,
)


@settings(deadline=None)
@given(
    FIELDS.map(json.dumps) | st.text() | st.binary().map(lambda raw: base64.b64encode(raw).decode())
)
def test_whatever_a_key_holds_it_is_a_login_or_one_of_our_errors(value):
    """No text in KEYFILE_DICT brings the program down, or is quoted when it is refused."""
    said, found = "", None
    try:
        found = login(env={"GC_KEYFILE_DICT": value})
    except LightermanError as error:
        said = error.message + error.hint
    assert said or (found and (found.key_file is None or found.key_type in NEEDED))
    assert len(value) < 12 or value not in said


def test_base64_without_its_padding_is_understood():
    """Editors and shells lose the equals signs at the end."""
    for filler in range(4):
        value = json.dumps({"x": "y" * filler})
        plain = base64.b64encode(value.encode()).decode().rstrip("=")
        assert value == decoded(Setting("GC_KEYFILE_DICT", plain, "somewhere"))
